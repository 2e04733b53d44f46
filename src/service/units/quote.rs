//! How a path is written in a unit file. systemd reads the three kinds of places each in its own way.

use std::path::Path;

use crate::error::{Exit, Failure, Result};

/// Of a path as text; a unit file is UTF-8, and a line of it ends with the line.
pub fn text(path: &Path) -> Result<&str> {
    let text = path
        .to_str()
        .filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| refusal(path.to_string_lossy().escape_debug().to_string()))
}

/// In `ExecStart=` and `Environment=`: quotes, escapes as in C, `%` is a specifier.
pub fn in_words(word: &str) -> String {
    let escaped = word
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    let is_plain = !word.is_empty() && word.chars().all(is_harmless);
    if is_plain {
        word.to_owned()
    } else {
        format!("\"{escaped}\"")
    }
}

/// In `ReadWritePaths=` and the like: quotes, no escapes, `%` is a specifier. `prefix` is such as the `-` that makes it optional.
pub fn in_list(prefix: &str, path: &Path) -> Result<String> {
    let text = format!("{prefix}{}", text(path)?);
    if text.chars().all(is_harmless) {
        return Ok(text);
    }
    let escaped = text.replace('%', "%%");
    match (text.contains('"'), text.contains('\'')) {
        (false, _) => Ok(format!("\"{escaped}\"")),
        (true, false) => Ok(format!("'{escaped}'")),
        (true, true) => Err(refusal(text)),
    }
}

/// In `Condition…=`: as it is to the end of the line, `%` is a specifier.
pub fn in_condition(path: &Path) -> Result<String> {
    let text = text(path)?;
    // It would go on in the next line, or lose its blanks.
    if text.ends_with('\\') || text.trim() != text {
        return Err(refusal(text.to_owned()));
    }
    Ok(text.replace('%', "%%"))
}

fn is_harmless(c: char) -> bool {
    c.is_alphanumeric() || "/._-:=@+,".contains(c)
}

fn refusal(path: String) -> anyhow::Error {
    Failure::new(
        Exit::Config,
        format!("`{path}` cannot be written in a systemd unit"),
    )
    .hint("choose a path without line breaks and without both kinds of quotes")
    .into()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn words_and_lists_are_quoted_as_systemd_reads_them() {
        assert_eq!(in_words("/usr/bin/x"), "/usr/bin/x");
        assert_eq!(
            in_words(r#":/my "tools"\100%"#),
            r#"":/my \"tools\"\\100%%""#
        );
        let list = |text: &str| in_list("-", Path::new(text)).ok();
        assert_eq!(list("/srv/data").as_deref(), Some("-/srv/data"));
        assert_eq!(
            list(r"/srv/my data\").as_deref(),
            Some(r#""-/srv/my data\""#)
        );
        assert_eq!(list("/100%\"").as_deref(), Some("'-/100%%\"'"));
        assert_eq!(list("/both'\""), None);
    }

    #[test]
    fn what_does_not_fit_into_a_line_is_refused() {
        for bytes in [&b"/a\nExecStart=/bin/sh"[..], b"/a\r", b"/\xff", b"/a\x1b"] {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert!(text(path).is_err(), "{path:?}");
            assert!(in_list("", path).is_err(), "{path:?}");
            assert!(in_condition(path).is_err(), "{path:?}");
        }
        assert!(in_condition(Path::new("/a\\")).is_err());
        assert_eq!(in_condition(Path::new("/a b%")).unwrap(), "/a b%%");
    }
}
