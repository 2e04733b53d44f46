//! Containers that were started by another hand while their data was exchanged: they go on with what was there before, or with one part of
//! each, without an error. They are started again.

use tracing::warn;

use crate::base::blocking::aside;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Rules};
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::{BackupId, UnitName};
use crate::quiesce::start::Started;
use crate::quiesce::{Place, RecordFile, stop_all};
use crate::swap::users;

pub struct Late<'a> {
    pub cx: &'a Context,
    pub config: &'a Config,
    pub engine: &'a Engine,
    pub id: BackupId,
    pub unit: &'a UnitName,
    pub swapped: &'a [Place],
    /// Ids of those that may go on.
    pub tolerated: &'a [String],
    /// Ids of those that are not started on what is there now.
    pub holds: &'a [String],
}

impl Late<'_> {
    /// To be called after the exchange, when all that ran before is down. What goes wrong is a warning: the data is in place.
    pub async fn restart(&self) -> Started {
        self.try_to_restart().await.unwrap_or_else(|error| Started {
            warnings: vec![format!(
                "it is not known whether a container was started while the data was exchanged: {error:#}"
            )],
            ..Started::default()
        })
    }

    async fn try_to_restart(&self) -> Result<Started> {
        let found = self.found().await?;
        if found.is_empty() {
            return Ok(Started::default());
        }
        let (held, others): (Vec<_>, Vec<_>) =
            found.iter().partition(|(id, _)| self.holds.contains(id));
        let listed = |all: &[&(String, String)]| {
            let names = all.iter().map(|(_, name)| name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let all = listed(&found.iter().collect::<Vec<_>>());
        let may_go_on = |error: anyhow::Error| {
            format!(
                "{all} started while the data was exchanged, and may go on with what was there before: restart it. {error:#}"
            )
        };
        let rules = Rules::of(self.config, &self.cx.paths);
        let host = discovery::discover(self.engine, &rules).await?;
        let mut started = Started::default();
        let users = match users::ask(&host, self.config, Some(self.unit), self.swapped).await {
            Ok(users) => users,
            Err(error) => {
                started.warnings.push(may_go_on(error));
                return Ok(started);
            }
        };
        warn!("started while the data was exchanged: {all}");
        let record = RecordFile::create(
            &self.cx.paths.stop_records(),
            &format!("{}-late", self.id),
            self.unit,
            self.engine.socket(),
            self.config.backup.start_timeout.as_secs(),
            users.entries,
        )?;
        let (mut quiesced, stopped) = stop_all(self.engine, record, &self.cx.shutdown).await;
        quiesced.hold(self.holds);
        started = quiesced.start(self.engine).await;
        if let Err(error) = stopped {
            started.warnings.push(may_go_on(error));
            return Ok(started);
        }
        if !others.is_empty() {
            started.warnings.push(format!(
                "{} started while the data was exchanged, and was started again to see what was restored",
                listed(&others)
            ));
        }
        if !held.is_empty() {
            started.warnings.push(format!(
                "{} started while the data was exchanged, which is not its own: it is stopped again",
                listed(&held)
            ));
        }
        Ok(started)
    }

    /// Id and ``container `db` `` of each that runs and has one of the targets mounted.
    async fn found(&self) -> Result<Vec<(String, String)>> {
        let running = self.engine.running().await?;
        let (swapped, tolerated) = (self.swapped.to_vec(), self.tolerated.to_vec());
        aside(move || {
            let others = running.iter().filter(|one| !tolerated.contains(&one.id));
            let holders = others.filter(|one| users::hold(&one.mounts, &swapped));
            Ok(holders
                .map(|one| (one.id.clone(), format!("container `{}`", one.name)))
                .collect())
        })
        .await
    }
}
