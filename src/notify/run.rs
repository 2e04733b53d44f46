//! The messages of a run: that it begins, and how it ended.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tracing::info;

use super::cause::{Cause, Problem, What};
use super::ledger::Due;
use super::mark::{AtWork, Mark};
use super::message::{self, Message, Ping};
use super::teller::Teller;
use crate::base::quiet::unless_quiet;
use crate::base::text::hex;
use crate::config::{Config, MessageType, MessageWhen, Target};
use crate::context::Context;
use crate::error::{self, Result};
use crate::logging;
use crate::model::UnitName;

/// How long the message of the start may keep the one of the end.
const START_AT_END: Duration = Duration::from_secs(1);

/// What is done in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Backup,
    Drill,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Drill => "drill",
        }
    }

    /// What is wrong when one was killed.
    pub fn killed(self) -> What {
        match self {
            Self::Backup => What::Killed,
            Self::Drill => What::DrillKilled,
        }
    }
}

/// How a run ended.
pub struct Ended<'a> {
    pub exit_code: u8,
    /// A line or a few, for people.
    pub text: String,
    /// The units that it tried, and whether each was done well.
    pub units: Vec<(UnitName, bool)>,
    /// What it found to be wrong.
    pub found: Vec<Problem>,
    /// The causes that are gone if it did not find them: those that it looked at.
    pub settles: Box<dyn Fn(&Cause) -> bool + 'a>,
    /// For webhooks.
    pub report: Value,
}

/// The messages of one run. Without [`Messages::end`] it counts as killed.
pub struct Messages {
    teller: Teller,
    run: AtWork,
    mark: Option<Mark>,
    starting: JoinHandle<()>,
}

impl Messages {
    /// Tells, beside the run, that it begins: until services go down, when that is cut off. `None` where nobody is to be told.
    pub async fn begin(
        cx: &Context,
        config: &Config,
        kind: Kind,
        units: &[UnitName],
    ) -> Option<Self> {
        if config.notify.is_empty() {
            return None;
        }
        logging::keep_tail(message::LONGEST);
        let teller = Teller::new(cx, config);
        let run = AtWork {
            id: run_id(),
            kind,
            started_at: Utc::now(),
            units: units.to_vec(),
        };
        teller.warn_of(teller.take_down_killed().await);
        teller.warn_of(note_begin(&teller, &run).await);
        let mark = Mark::make(&teller.paths, config.profile(), &run);
        let mark = mark.map_err(|error| teller.warn_of(Err(error))).ok();
        let starting = {
            let (teller, run) = (teller.clone(), run.clone());
            tokio::spawn(async move {
                let telling = async {
                    // What an earlier run could not say comes before it.
                    teller.tell_problems(TimeDelta::zero()).await;
                    teller.tell_start(&run).await;
                };
                if unless_quiet(telling).await.is_none() {
                    info!(target: logging::FILE, "services go down: the message that the run begins is given up");
                }
            })
        };
        Some(Self {
            teller,
            run,
            mark,
            starting,
        })
    }

    /// Tells how it ended. Services are up.
    pub async fn end(mut self, ended: Ended<'_>) {
        // A check would take a start that comes late for another run.
        if tokio::time::timeout(START_AT_END, &mut self.starting)
            .await
            .is_err()
        {
            self.starting.abort();
        }
        let noted = async {
            let mut ledger = self.teller.ledger().await?;
            ledger
                .content
                .update(&ended.found, &ended.settles, Utc::now());
            ledger.save()
        };
        self.teller.warn_of(noted.await);
        let log = logging::tail();
        self.teller
            .tell(TimeDelta::zero(), |target, due| {
                self.message(target, due, &ended, &log)
            })
            .await;
        if let Some(mark) = self.mark.take() {
            self.teller.warn_of(mark.remove());
        }
    }

    fn message(&self, target: &Target, due: &Due, ended: &Ended<'_>, log: &str) -> Option<Message> {
        let code = match &target.unit {
            None => Some(ended.exit_code),
            Some(unit) => code_of_unit(unit, &self.run.units, ended),
        };
        let has_result = code.is_some_and(|code| wants(target, code));
        // A check that hears of every run goes by its exit status.
        let is_check = target.kind == MessageType::Healthchecks;
        let is_told = !due.is_empty() && (!is_check || target.when() == MessageWhen::Problem);
        if !has_result && !is_told {
            return None;
        }
        let code = code.unwrap_or(ended.exit_code);
        let config = &self.teller.config;
        let kind = self.run.kind.as_str();
        let result = error::result(code);
        let about = target.unit.as_ref().map(|unit| format!(" of {unit}"));
        let about = about.unwrap_or_default();
        let what = match (has_result, target.when()) {
            (false, _) | (true, MessageWhen::Problem) if !due.is_empty() => message::headline(due),
            _ => format!("{kind}{about}: {result}"),
        };
        let told = message::told(due);
        // A long text is cut at its end.
        let texts = [&told, ended.text.as_str()].into_iter();
        let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        let run = json!({
            "id": self.run.id, "kind": kind, "started_at": self.run.started_at, "exit_code": ended.exit_code,
            "result": error::result(ended.exit_code),
        });
        Some(Message {
            ping: match due.new.as_slice() {
                // A check waits for backups: nothing else keeps it quiet.
                _ if has_result && self.run.kind != Kind::Backup => Ping::Log,
                _ if has_result => Ping::Status(code),
                [] => Ping::Status(0),
                _ => Ping::Fail,
            },
            run: Some(self.run.id.clone()),
            title: message::title(config, &what),
            text: texts.join("\n"),
            log: log.to_owned(),
            is_bad: !due.new.is_empty() || (has_result && code != 0),
            document: message::document(config, "ended", due, run, &ended.report),
        })
    }
}

/// What a run of `asked` came to for `unit`; `None` where it was not about it.
fn code_of_unit(unit: &UnitName, asked: &[UnitName], ended: &Ended<'_>) -> Option<u8> {
    let tried = ended.units.iter().find(|(name, _)| name == unit);
    match tried {
        Some((_, true)) => Some(0),
        Some((_, false)) if ended.exit_code == 0 => Some(error::Exit::UnitsFailed.code()),
        Some((_, false)) => Some(ended.exit_code),
        // It came to no unit.
        None if ended.units.is_empty() && (asked.is_empty() || asked.contains(unit)) => {
            Some(ended.exit_code)
        }
        None => None,
    }
}

/// Whether the result of a run is sent to `target`. People hear of problems as such, a check hears its exit status.
fn wants(target: &Target, code: u8) -> bool {
    match target.when() {
        MessageWhen::Always => true,
        MessageWhen::Success => code == 0,
        MessageWhen::Problem => code != 0 && target.kind == MessageType::Healthchecks,
    }
}

async fn note_begin(teller: &Teller, run: &AtWork) -> Result<()> {
    let mut ledger = teller.ledger().await?;
    if run.kind == Kind::Backup {
        ledger.content.began = Some(run.started_at);
    }
    ledger.save()
}

/// A random UUID.
fn run_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    // Version 4, variant 1.
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let digits = hex(&bytes);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: u8, units: &[(&str, bool)]) -> Ended<'static> {
        let units = units
            .iter()
            .map(|(name, good)| (UnitName::parse(name).unwrap(), *good));
        Ended {
            exit_code,
            text: String::new(),
            units: units.collect(),
            found: Vec::new(),
            settles: Box::new(|_| true),
            report: Value::Null,
        }
    }

    #[test]
    fn a_target_of_a_unit_hears_how_that_was() {
        let [web, db] = ["web", "db"].map(|name| UnitName::parse(name).unwrap());
        let both = ended(3, &[("web", true), ("db", false)]);
        assert_eq!(code_of_unit(&web, &[], &both), Some(0));
        assert_eq!(code_of_unit(&db, &[], &both), Some(3));
        let only_db = std::slice::from_ref(&db);
        assert_eq!(
            code_of_unit(&web, only_db, &ended(0, &[("db", true)])),
            None
        );
        assert_eq!(code_of_unit(&web, only_db, &ended(17, &[])), None);
        assert_eq!(code_of_unit(&web, &[], &ended(17, &[])), Some(17));
    }

    #[test]
    fn an_id_is_a_random_uuid() {
        let id = run_id();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert_ne!(id, run_id());
    }
}
