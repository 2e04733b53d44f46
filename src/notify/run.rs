//! The messages of a run: that it begins, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tracing::info;

use super::cause::{Cause, Problem, What};
use super::deliver::{Parcel, deliver};
use super::ledger::{Due, Ledger};
use super::mark::{self, AtWork, Mark};
use super::mask::Masks;
use super::message::{self, Message, Ping};
use super::recipient::name;
use crate::base::paths::Paths;
use crate::base::quiet::unless_quiet;
use crate::base::shutdown::Shutdown;
use crate::base::text::{hex, minute};
use crate::config::{Config, MessageType, MessageWhen, Target};
use crate::context::Context;
use crate::error::{self, Result};
use crate::logging;
use crate::model::UnitName;
use crate::ui::Ui;

/// How long the message of the start may keep the one of the end.
const START_AT_END: Duration = Duration::from_secs(1);

/// What is done in a run. A drill, say, is another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Backup,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
        }
    }

    /// What is wrong when one was killed.
    fn killed(self) -> What {
        match self {
            Self::Backup => What::Killed,
        }
    }
}

/// Who can tell something: what it takes, apart from the run.
#[derive(Clone)]
pub struct Teller {
    pub paths: Paths,
    pub config: Arc<Config>,
    pub shutdown: Shutdown,
    ui: Ui,
    masks: Masks,
}

impl Teller {
    pub fn new(cx: &Context, config: &Config) -> Self {
        Self {
            paths: cx.paths.clone(),
            config: Arc::new(config.clone()),
            shutdown: cx.shutdown.clone(),
            ui: cx.ui.clone(),
            masks: Masks::of(config),
        }
    }

    pub fn has_targets(&self) -> bool {
        !self.config.notify.is_empty()
    }

    /// Each with its place in the list.
    pub fn targets(&self) -> impl Iterator<Item = (usize, &Target)> {
        self.config.notify.iter().enumerate()
    }

    pub async fn ledger(&self) -> Result<Ledger> {
        Ledger::open(&self.paths, self.config.profile()).await
    }

    /// Sends what `message` makes for each target, which is told what it is due; `None` where there is nothing to send. What is delivered is
    /// taken down; what is not is a warning.
    pub async fn tell(
        &self,
        patience: TimeDelta,
        message: impl Fn(&Target, &Due) -> Option<Message>,
    ) {
        let mut claims = Vec::new();
        let mut parcels = Vec::new();
        match self.ledger().await {
            Ok(mut ledger) => {
                for (index, target) in self.targets() {
                    let due = ledger.content.claim(target, Utc::now(), patience);
                    claims.push((index, target, due));
                }
                self.warn_of(ledger.save());
            }
            Err(error) => {
                self.warn_of(Err(error));
                claims.extend(
                    self.targets()
                        .map(|(index, target)| (index, target, Due::default())),
                );
            }
        }
        for (index, target, due) in &claims {
            let index = *index;
            parcels.extend(message(target, due).map(|message| Parcel {
                index,
                target,
                message,
            }));
        }
        let sent = deliver(&parcels, &self.masks, &self.shutdown).await;
        let mut failed = Vec::new();
        for (parcel, sent) in parcels.iter().zip(sent) {
            if let Err(why) = sent {
                let name = name(parcel.index, parcel.target);
                self.ui
                    .warn(format!("a message was not delivered: {name}: {why}"));
                failed.push(parcel.index);
            }
        }
        // What a target is not told by a message it counts as told.
        claims.retain(|(index, _, due)| !due.is_empty() && !failed.contains(index));
        let confirmed = async {
            let mut ledger = self.ledger().await?;
            for (_, target, due) in &claims {
                ledger.content.confirm(target, due);
            }
            ledger.content.forget(&self.config.notify, Utc::now());
            ledger.save()
        };
        self.warn_of(confirmed.await);
    }

    /// Tells what is wrong, apart from any run.
    pub async fn tell_problems(&self, patience: TimeDelta) {
        self.tell(patience, |target, due| {
            (!due.is_empty()).then(|| Message {
                ping: match target.when() {
                    _ if !due.new.is_empty() => Ping::Fail,
                    MessageWhen::Problem => Ping::Status(0),
                    // The next run says how things are.
                    _ => Ping::Log,
                },
                run: due.new.iter().find_map(|known| known.run.clone()),
                title: message::title(&self.config, &message::headline(due)),
                text: message::told(due),
                log: String::new(),
                is_bad: !due.new.is_empty(),
                document: message::document(
                    &self.config,
                    "problem",
                    due,
                    Value::Null,
                    &Value::Null,
                ),
            })
        })
        .await;
    }

    pub fn warn_of(&self, done: Result<()>) {
        if let Err(error) = done {
            self.ui.warn(format!(
                "what was told to whom could not be written down, so something may be told twice or not at all: {error:#}"
            ));
        }
    }

    /// Takes down the runs that were killed.
    pub async fn take_down_killed(&self) -> Result<()> {
        let killed = mark::killed(&self.paths, self.config.profile());
        if killed.is_empty() {
            return Ok(());
        }
        let mut ledger = self.ledger().await?;
        for run in killed.iter().filter_map(|(_, run)| run.as_ref()) {
            let text = format!(
                "the {} of {} did not come to its end: it was killed, or the power went",
                run.kind.as_str(),
                minute(run.started_at)
            );
            let problem = Problem {
                run: Some(run.id.clone()),
                ..Problem::new(Cause::of_host(run.kind.killed()), text)
            };
            ledger.content.add(&problem, Utc::now());
        }
        ledger.save()?;
        for (path, _) in &killed {
            crate::base::files::remove(path)?;
        }
        Ok(())
    }

    /// That `run` begins. Whoever it does not concern hears nothing.
    async fn tell_start(&self, run: &AtWork) {
        let concerns = |target: &Target| {
            let is_asked = |unit: &UnitName| run.units.is_empty() || run.units.contains(unit);
            target.kind == MessageType::Healthchecks
                && target.when() == MessageWhen::Always
                && target.unit.as_ref().is_none_or(is_asked)
        };
        let title = message::title(&self.config, &format!("{} begins", run.kind.as_str()));
        let parcel = |(index, target)| Parcel {
            index,
            target,
            message: Message {
                ping: Ping::Start,
                run: Some(run.id.clone()),
                text: title.clone(),
                title: title.clone(),
                log: String::new(),
                is_bad: false,
                document: Value::Null,
            },
        };
        let targets = self.targets().filter(|(_, target)| concerns(target));
        let parcels: Vec<_> = targets.map(parcel).collect();
        for (parcel, sent) in parcels
            .iter()
            .zip(deliver(&parcels, &self.masks, &self.shutdown).await)
        {
            if let Err(why) = sent {
                let name = name(parcel.index, parcel.target);
                self.ui
                    .warn(format!("a message was not delivered: {name}: {why}"));
            }
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
    match run.kind {
        Kind::Backup => ledger.content.began = Some(run.started_at),
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
