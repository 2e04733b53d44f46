//! What programs of Docker write to their log, as a sentence.

/// `line` without the time and the level around its message: `time="…" level=error msg="…"` becomes what `msg` says. Everything else
/// is returned as it is.
pub fn message(line: &str) -> String {
    let plain = line.trim();
    let is_log = plain.starts_with("time=") || plain.starts_with("level=");
    let message = plain.find("msg=").and_then(|at| plain.get(at + 4..));
    match message {
        Some(message) if is_log && plain.contains("level=") => value(message),
        _ => line.to_owned(),
    }
}

/// As [`message`], of every line.
pub fn messages(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(message).collect();
    lines.join("\n")
}

/// The value that `text` begins with: quoted, or up to a space.
fn value(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split(' ').next().unwrap_or_default().to_owned();
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => match characters.next() {
                Some('n') => value.push(' '),
                Some('t') => value.push(' '),
                Some(escaped) => value.push(escaped),
                None => {}
            },
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    #[test]
    fn the_message_of_a_log_line_is_all_that_is_told() {
        for (line, told) in [
            (
                r#"time="2026-01-02T03:04:05Z" level=warning msg="The \"DB\" variable is not set.\nDefaulting" x=1"#,
                r#"The "DB" variable is not set. Defaulting"#,
            ),
            ("time=\"x\" level=error msg=refused id=3", "refused"),
            ("level=error msg=\"no such image\"", "no such image"),
            (
                " Container web-db-1  Started",
                " Container web-db-1  Started",
            ),
            ("mount: msg=\"level=\"", "mount: msg=\"level=\""),
            ("time=\"x\" level=info", "time=\"x\" level=info"),
        ] {
            assert_eq!(message(line), told);
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(line in damaged_text(r#"time="2026-01-02T03:04:05Z" level=warning msg="The \"DB\" variable\nis" x=1"#)) {
            let _ = message(&line);
        }
    }
}
