//! The containers that have the targets of an interrupted restore in use: who has started since, who is stopped for its end and starts
//! again after it.

use super::late::Late;
use super::unfinished::Ended;
use crate::base::fault;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Rules};
use crate::drivers::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::model::{BackupId, UnitName};
use crate::quiesce::{self, Place, Quiesced, RecordFile, cold};
use crate::swap::exchange;
use crate::swap::journal::Journal;
use crate::swap::users::{self, Users};

/// How it is known who uses the targets.
#[derive(Clone, Copy)]
pub enum Services<'a> {
    /// Docker is asked.
    Asked(&'a Context),
    /// Docker does not run yet, and no container does. What is Docker's waits for it.
    NotYet,
    #[cfg(test)]
    None,
}

/// Empty if no container runs.
pub struct Crew<'a>(Option<Asked<'a>>);

struct Asked<'a> {
    cx: &'a Context,
    config: Config,
    engine: Engine,
    id: BackupId,
    unit: UnitName,
    swapped: Vec<Place>,
    started_since: Vec<String>,
    users: Result<Users>,
    stopped: Option<Quiesced>,
    /// Ids of those that may go on.
    tolerated: Vec<String>,
    /// Ids of those that do not start once everything is in place.
    holds: Vec<String>,
}

impl<'a> Crew<'a> {
    pub async fn of(services: &Services<'a>, journal: &Journal) -> Result<Self> {
        let Services::Asked(cx) = *services else {
            return Ok(Self(None));
        };
        // A host may have lost its configuration; its containers are still to be asked for.
        let config = cx.config_again().map(|loaded| loaded.config);
        let config = config.unwrap_or_default();
        let rules = Rules::of(&config, &cx.paths);
        let asked = async {
            let engine = Engine::connect(&journal.socket).await?;
            let host = discovery::discover(&engine, &rules).await?;
            Ok::<_, anyhow::Error>((engine, host))
        };
        let (engine, host) = asked.await.map_err(|error| no_answer(journal, error))?;
        let swapped = users::swapped_by(journal);
        let decided_at = journal.decided_at();
        Ok(Self(Some(Asked {
            started_since: users::started_since(&host, &swapped, decided_at).await?,
            users: users::ask(&host, &config, Some(&journal.unit), &swapped).await,
            stopped: None,
            tolerated: Vec::new(),
            holds: journal.held_ids(),
            id: journal.id,
            unit: journal.unit.clone(),
            cx,
            config,
            engine,
            swapped,
        })))
    }

    /// Names of containers that have a target in use, or had, and were started after the swaps were decided.
    pub fn started_since(&self) -> &[String] {
        self.0
            .as_ref()
            .map_or(&[], |asked| asked.started_since.as_slice())
    }

    /// Stops all that have a target in use, and proves that none is left. After an error some may be down until [`Crew::start`].
    pub async fn stop(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        match &mut self.0 {
            Some(asked) => asked.stop(warnings).await,
            None => Ok(()),
        }
    }

    /// By which Docker is asked.
    pub fn engine(&self) -> Option<&Engine> {
        self.0.as_ref().map(|asked| &asked.engine)
    }

    /// Starts what was stopped, whatever `result` is, unless it is half old and half new. Containers that came up meanwhile are restarted.
    pub async fn start(self, result: Result<Ended>, warnings: &mut Vec<String>) -> Result<Ended> {
        match self.0 {
            Some(asked) => asked.start(result, warnings).await,
            None => result,
        }
    }
}

impl Asked<'_> {
    async fn stop(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        let users = std::mem::replace(&mut self.users, Ok(Users::default()))?;
        self.tolerated = users.tolerated;
        warnings.extend(users.warnings);
        fault::reached("replay_stop").await;
        let (entries, ended) = quiesce::still_running(&self.engine, users.entries).await?;
        warnings.extend(ended);
        let mut seen = Vec::new();
        if !entries.is_empty() {
            let record = RecordFile::create(
                &self.cx.paths.stop_records(),
                // The restore's own may still be there.
                &format!("{}-replay", self.id),
                &self.unit,
                self.engine.socket(),
                self.config.backup.start_timeout.as_secs(),
                entries,
            )?;
            let (quiesced, stopped) =
                quiesce::stop_all(&self.engine, record, &self.cx.shutdown).await;
            seen = quiesced.seen();
            self.stopped = Some(quiesced);
            stopped?;
        }
        fault::reached("replay_prove_cold").await;
        let ends = cold::prove(&self.engine, &seen, &self.swapped, &self.tolerated).await?;
        warnings.extend(ends.warnings);
        Ok(())
    }

    async fn start(self, result: Result<Ended>, warnings: &mut Vec<String>) -> Result<Ended> {
        fault::reached("replay_start").await;
        let holds = match &result {
            Ok(Ended::InPlace) => self.holds.as_slice(),
            _ => &[],
        };
        if result.is_ok() {
            let late = Late {
                cx: self.cx,
                config: &self.config,
                engine: &self.engine,
                id: self.id,
                unit: &self.unit,
                swapped: &self.swapped,
                tolerated: &self.tolerated,
                holds,
            };
            warnings.extend(late.restart().await.warnings);
        }
        let is_half_way = matches!(&result, Err(error) if error.is::<exchange::NotTakenBack>());
        if let Some(mut quiesced) = self.stopped
            && !is_half_way
        {
            quiesced.hold(holds);
            let started = quiesced.start(&self.engine).await;
            warnings.extend(started.warnings);
            // Their record stays: what replays it next tells of them.
        }
        result
    }
}

/// Docker is needed to finish `journal`, and cannot be asked.
pub fn no_answer(journal: &Journal, error: anyhow::Error) -> Failure {
    Failure::new(
        Exit::Docker,
        format!(
            "the interrupted restore {} of `{}` can be neither finished nor undone before Docker says who uses its data",
            journal.id, journal.unit
        ),
    )
    .hint("start Docker, then run `kopi-docka recover`; where `kopi-docka-recover.timer` is enabled, it does that")
    .caused_by(error)
}
