//! Who tells: it knows the targets, what each is due, and takes down what was delivered.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use super::cause::{Cause, Problem};
use super::deliver::{Parcel, deliver};
use super::ledger::{Due, Ledger};
use super::mark::{self, AtWork};
use super::mask::Masks;
use super::message::{self, Message, Ping};
use super::recipient::name;
use super::run::Kind;
use crate::base::paths::Paths;
use crate::base::shutdown::Shutdown;
use crate::base::text::minute;
use crate::config::{Config, MessageType, MessageWhen, Target};
use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;
use crate::ui::Ui;

/// What it takes to tell something, apart from a run.
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
    pub async fn tell_start(&self, run: &AtWork) {
        let concerns = |target: &Target| {
            let is_asked = |unit: &UnitName| run.units.is_empty() || run.units.contains(unit);
            run.kind == Kind::Backup
                && target.kind == MessageType::Healthchecks
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
