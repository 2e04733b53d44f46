//! What a recipient is told.

use chrono::Utc;
use serde_json::{Value, json};

use super::cause::Known;
use super::ledger::Due;
use super::mask::Masks;
use crate::base::text;
use crate::config::Config;

/// How long a message with the end of the log may be: a check keeps no more.
pub const LONGEST: usize = 10_000;
/// How long its text may be: ntfy would make a longer one a file.
const LONGEST_TEXT: usize = 4000;

/// What a check hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    Start,
    /// What the run exited with.
    Status(u8),
    /// Without an exit status: it was killed, say.
    Fail,
    /// Noted, and changes nothing.
    Log,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub ping: Ping,
    /// The id of the run that it is about.
    pub run: Option<String>,
    pub title: String,
    pub text: String,
    /// The end of the log.
    pub log: String,
    pub is_bad: bool,
    /// For programs.
    pub document: Value,
}

impl Message {
    /// The beginning of the text, where it is too long.
    pub fn short_text(&self) -> String {
        let mut text = self.text.clone();
        if text.len() > LONGEST_TEXT {
            let cut = LONGEST_TEXT - "…".len();
            text.truncate(
                (0..=cut)
                    .rev()
                    .find(|at| text.is_char_boundary(*at))
                    .unwrap_or(0),
            );
            text.push('…');
        }
        text
    }

    /// The text, and as much of the end of the log as there may be.
    pub fn with_log(&self) -> String {
        let text = self.short_text();
        if self.log.is_empty() {
            return format!("{text}\n");
        }
        let left = LONGEST.saturating_sub(text.len() + 2);
        format!("{text}\n\n{}", tail(&self.log, left))
    }

    #[must_use]
    pub fn masked(&self, masks: &Masks) -> Self {
        Self {
            title: masks.apply(&self.title),
            text: masks.apply(&self.text),
            log: masks.apply(&self.log),
            document: masked_document(&self.document, masks),
            ..self.clone()
        }
    }
}

fn masked_document(value: &Value, masks: &Masks) -> Value {
    match value {
        Value::String(text) => masks.apply(text).into(),
        Value::Array(list) => list
            .iter()
            .map(|value| masked_document(value, masks))
            .collect(),
        Value::Object(fields) => {
            let masked =
                |(key, value): (&String, &Value)| (key.clone(), masked_document(value, masks));
            Value::Object(fields.iter().map(masked).collect())
        }
        other => other.clone(),
    }
}

/// The last whole lines of `text` that are no longer than `bytes` together.
fn tail(text: &str, bytes: usize) -> &str {
    let Some(cut) = text.len().checked_sub(bytes) else {
        return text;
    };
    let from = (cut..text.len()).find(|at| {
        text.is_char_boundary(*at) && text.as_bytes().get(at.wrapping_sub(1)) == Some(&b'\n')
    });
    from.and_then(|from| text.get(from..)).unwrap_or_default()
}

/// `kopi-docka on nas: <what>`
pub fn title(config: &Config, what: &str) -> String {
    format!("kopi-docka on {}: {}", host(config), text::printable(what))
}

pub fn host(config: &Config) -> String {
    let own = || {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    };
    config.kopia.host.clone().unwrap_or_else(own)
}

/// What programs are told; `run` and `report` are `null` where it is about no run.
pub fn document(config: &Config, event: &str, due: &Due, run: Value, report: &Value) -> Value {
    json!({
        "event": event,
        "time": Utc::now(),
        "host": host(config),
        "profile": config.profile(),
        "kopi_docka_version": env!("CARGO_PKG_VERSION"),
        "run": run,
        "problems": due.new,
        "gone": due.gone,
        "report": report,
    })
}

/// What is new and what is gone, a line each; empty without either.
pub fn told(due: &Due) -> String {
    let line = |what: &'static str| move |known: &Known| format!("{what}: {}", known.text);
    let new = due.new.iter().map(line("problem"));
    let gone = due.gone.iter().map(line("no more"));
    new.chain(gone).collect::<Vec<_>>().join("\n")
}

/// In a few words, for a title.
pub fn headline(due: &Due) -> String {
    match (due.new.as_slice(), due.gone.len()) {
        ([], 1) => "a problem is gone".to_owned(),
        ([], gone) => format!("{gone} problems are gone"),
        ([one], _) => first_line(&one.text),
        (several, _) => format!("{} problems", several.len()),
    }
}

fn first_line(text: &str) -> String {
    const LONGEST: usize = 120;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    let start: String = line.chars().take(LONGEST).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn a_long_message_is_cut_where_it_matters_least() {
        let message = Message {
            ping: Ping::Log,
            run: None,
            title: String::new(),
            text: "ü".repeat(5000),
            log: "a line\n".repeat(5000),
            is_bad: false,
            document: Value::Null,
        };
        let short = message.short_text();
        assert!(short.len() <= LONGEST_TEXT && short.ends_with("ü…"));
        let both = message.with_log();
        assert!(both.len() <= LONGEST && both.len() > LONGEST - 20);
        assert!(both.ends_with("\na line\n"));
    }

    #[test]
    fn the_end_of_a_log_is_whole_lines() {
        assert_eq!(tail("one\ntwo\nthree\n", 100), "one\ntwo\nthree\n");
        assert_eq!(
            tail("one\ntwo\nthree\n", 11),
            "two\nthree\n".get(..).unwrap()
        );
        assert_eq!(tail("one\ntwö\nthree\n", 9), "three\n");
        assert_eq!(tail("one long line", 3), "");
    }

    #[test]
    fn nothing_of_a_message_has_a_secret() {
        let message = Message {
            ping: Ping::Log,
            run: None,
            title: "of hunter22".to_owned(),
            text: "hunter22".to_owned(),
            log: "say hunter22\n".to_owned(),
            is_bad: false,
            document: json!({"report": {"units": [{"errors": ["hunter22"]}]}}),
        };
        let masked = message.masked(&Masks::default().and(&[Secret::new("hunter22")]));
        assert!(!format!("{masked:?}").contains("hunter22"));
        assert!(format!("{masked:?}").contains("***"));
    }
}
