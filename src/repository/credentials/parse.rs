//! The file as systemd's `EnvironmentFile=` reads it: quotes, escapes, lines that go on, comments. Two things differ: what systemd
//! passes over in silence is an error, since a password that is not there ends in "access denied" at night; and `export` is
//! taken, since people source such files in a shell too.

use std::ops::Range;

use crate::base::secret::Secret;
use crate::error::{Exit, Failure};

pub struct Assignment {
    pub name: String,
    pub value: Secret,
    /// Where it is in the text, with the end of its last line.
    pub span: Range<usize>,
}

pub fn parse(text: &str, file: &str) -> Result<Vec<Assignment>, Failure> {
    let mut reader = Reader {
        rest: text.char_indices().peekable(),
        end: text.len(),
        line: 1,
    };
    let mut found = Vec::new();
    loop {
        reader.skip(char::is_whitespace);
        match reader.peek() {
            None => return Ok(found),
            Some('#' | ';') => reader.skip(|c| !is_newline(c)),
            Some(_) => {
                let (start, line) = (reader.position(), reader.line);
                let assignment = reader
                    .assignment()
                    .map_err(|what| refusal(file, line, what))?;
                found.push(Assignment {
                    span: start..reader.position(),
                    ..assignment
                });
            }
        }
    }
}

/// One line that is read back as `value`.
pub fn line(name: &str, value: &Secret) -> String {
    let value = value.expose();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return format!("{name}={value}\n");
    }
    let mut quoted = String::new();
    for c in value.chars() {
        if is_escaped(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    format!("{name}=\"{quoted}\"\n")
}

/// Neither the line nor a part of it is repeated: it may be a secret that lost its name.
fn refusal(file: &str, line: usize, what: &str) -> Failure {
    Failure::new(Exit::Config, format!("`{file}`: line {line} {what}"))
        .hint("each line is `NAME=value`, with quotes around a value that holds spaces or quotes; a comment begins with `#`")
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::CharIndices<'a>>,
    end: usize,
    line: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, c)| *c)
    }

    fn position(&mut self) -> usize {
        self.rest.peek().map_or(self.end, |(at, _)| *at)
    }

    fn next(&mut self) -> Option<char> {
        let (_, c) = self.rest.next()?;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn skip(&mut self, matches: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&matches) {
            self.next();
        }
    }

    fn assignment(&mut self) -> Result<Assignment, &'static str> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some('=') => break,
                None | Some('\n' | '\r') => return Err("is no `NAME=value`"),
                Some(c) => name.push(c),
            }
        }
        let name = name.trim();
        let name = name
            .strip_prefix("export")
            .filter(|rest| rest.starts_with(char::is_whitespace))
            .map_or(name, str::trim);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err("has something before its `=` that is not a variable name");
        }
        let name = name.to_owned();
        let value = self.value()?;
        if value.contains('\0') {
            return Err("has a value with a NUL in it");
        }
        Ok(Assignment {
            name,
            value: Secret::new(value),
            span: 0..0,
        })
    }

    /// Up to the end of its line; quoted parts may go on over several, and stand side by side.
    fn value(&mut self) -> Result<String, &'static str> {
        let mut value = String::new();
        loop {
            self.skip(|c| c == ' ' || c == '\t');
            match self.peek() {
                None => return Ok(value),
                Some(c) if is_newline(c) => {
                    self.next();
                    return Ok(value);
                }
                Some('\'') => {
                    self.next();
                    self.single_quoted(&mut value)?;
                }
                Some('"') => {
                    self.next();
                    self.double_quoted(&mut value)?;
                }
                Some(_) => {
                    self.unquoted(&mut value);
                    return Ok(value);
                }
            }
        }
    }

    fn unquoted(&mut self, value: &mut String) {
        // White space at the end is not part of it, unless escaped.
        let mut kept = value.len();
        loop {
            match self.next() {
                None => break,
                Some(c) if is_newline(c) => break,
                Some('\\') => match self.next() {
                    None => break,
                    Some(c) if is_newline(c) => {}
                    Some(c) => {
                        value.push(c);
                        kept = value.len();
                    }
                },
                Some(c) => {
                    value.push(c);
                    if !c.is_whitespace() {
                        kept = value.len();
                    }
                }
            }
        }
        value.truncate(kept);
    }

    fn single_quoted(&mut self, value: &mut String) -> Result<(), &'static str> {
        loop {
            match self.next() {
                None => return Err("has a quote that is not closed"),
                Some('\'') => return Ok(()),
                Some(c) => value.push(c),
            }
        }
    }

    fn double_quoted(&mut self, value: &mut String) -> Result<(), &'static str> {
        const UNCLOSED: &str = "has a quote that is not closed";
        loop {
            match self.next().ok_or(UNCLOSED)? {
                '"' => return Ok(()),
                '\\' => match self.next().ok_or(UNCLOSED)? {
                    '\n' => {}
                    c if is_escaped(c) => value.push(c),
                    c => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
    }
}

fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// What loses a backslash before it inside double quotes.
fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\' | '`' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let found = parse(text, "/f").map_err(|failure| failure.to_string());
        let found = found.unwrap().into_iter();
        found
            .map(|it| (it.name, it.value.expose().to_owned()))
            .collect()
    }

    /// Taken from systemd's own test-env-file.c and env-file.c of version 255.
    #[test]
    fn values_are_what_systemd_makes_of_them() {
        for (text, value) in [
            ("A=a", "a"),
            ("  A = a  ", "a"),
            ("A=", ""),
            ("A=a b", "a b"),
            ("A=a#b ;c", "a#b ;c"),
            ("A=a\\\nb", "ab"),
            ("A='a b' ", "a b"),
            ("A='a'\"b\"c", "abc"),
            ("A='a\\'", "a\\"),
            ("A=\"a\\\"b\\$\\x\"", "a\"b$\\x"),
            ("A=\"a\nb\"", "a\nb"),
            ("A=\"a\\\nb\"", "ab"),
            ("A=a\\ ", "a "),
            ("A=a\"b\"", "a\"b\""),
            ("A=$HOME", "$HOME"),
            ("export A=a", "a"),
            ("A=a\r\n", "a"),
        ] {
            assert_eq!(read(text), [("A".to_owned(), value.to_owned())], "{text:?}");
        }
        assert_eq!(read("# A=a\n ; B=b\n\n"), []);
        let names = read("exported=1\nA=1\nA=2")
            .into_iter()
            .map(|(name, _)| name);
        assert_eq!(names.collect::<Vec<_>>(), ["exported", "A", "A"]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in [
            "plain/+=",
            "",
            " a ",
            "a\"b'c`d$e\\f",
            "a\nb",
            "ä #",
            "\\",
            "'",
        ] {
            let text = line("A", &Secret::new(value));
            assert_eq!(
                read(&text),
                [("A".to_owned(), value.to_owned())],
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_line_that_means_nothing_is_named_and_not_repeated() {
        for text in [
            "hunter2",
            "A=1\nhunter2\n",
            "hunter 2=x",
            "A='hunter2",
            "A=\"hunter2\\\"",
            "=hunter2",
            "hunter-2=x",
            "A=hunter2\0",
        ] {
            let error = parse(text, "/f").err().unwrap().to_string();
            assert!(error.starts_with("`/f`: line "), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
        let error = parse("\nA=1\n\n# x\nB", "/f").err().unwrap();
        assert!(error.to_string().contains("line 5 "), "{error}");
    }

    proptest! {
        /// As systemd reads it, or an error that repeats no value.
        #[test]
        fn no_file_breaks_it_and_no_error_has_a_secret(
            text in damaged_text("# a comment\nAWS_KEY='s3cr3t with blanks'\nB=\"a \\\"s3cr3t\\\" b\"\nC=s3cr3t\\\n  more\n"),
        ) {
            match parse(&text, "/f") {
                Ok(found) => prop_assert!(found.iter().all(|one| !one.name.contains(['=', '\n']))),
                Err(error) => prop_assert!(!error.to_string().contains("s3cr3t"), "{}", error),
            }
        }
    }
}
