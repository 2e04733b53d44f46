//! What an interrupted `--undo` has not brought up yet: its data is back, and the containers that belong to it are to follow.

use std::path::Path;
use std::time::Duration;

use crate::base::shutdown::Shutdown;
use crate::context::Context;
use crate::drivers::docker::{Engine, cli};
use crate::error::Result;
use crate::model::{BackupId, UnitName};
use crate::swap::kept::{self, Restored};
use crate::swap::program::{Aside, Owed, aside_name};
use crate::ui::progress::Progress;

/// Brings it up, and forgets it; what cannot be brought up is told with the commands that do it. Once no journal and no stop record
/// is left to replay. Returns warnings.
pub async fn bring_up_owed(cx: &Context) -> Result<Vec<String>> {
    let journals = cx.paths.restore_journals();
    let (records, _) = kept::read_all(&journals)?;
    let mut warnings = Vec::new();
    let mut seen: Vec<UnitName> = Vec::new();
    for record in records {
        // A later restore of the unit has brought its own.
        let is_newest = !seen.contains(&record.unit);
        seen.push(record.unit.clone());
        let Some(owed) = &record.owed else { continue };
        if is_newest {
            warnings.extend(bring_up(cx, &journals, &record, owed).await);
        } else {
            kept::forget_owed(&journals, record.id)?;
        }
    }
    Ok(warnings)
}

async fn bring_up(cx: &Context, journals: &Path, record: &Restored, owed: &Owed) -> Vec<String> {
    let undone = record.undoes.unwrap_or(record.id);
    let unit = &record.unit;
    let engine = match Engine::connect(&record.socket).await {
        Ok(engine) => engine,
        // It stays for the next run.
        Err(error) => {
            let why = format!(
                "what ran on the data of `{unit}` before restore {undone} is not started yet: {error:#}"
            );
            return vec![why];
        }
    };
    cx.ui.say(format!(
        "Bringing up what ran on the data of `{unit}` before restore {undone}, whose taking back was interrupted"
    ));
    // A host may have lost its configuration.
    let config = cx.config_again().map(|loaded| loaded.config);
    let config = config.unwrap_or_default();
    let progress = Progress::new(&cx.ui);
    let comeback = Comeback {
        engine: &engine,
        id: record.id,
        limit: config.docker.compose_timeout,
        shutdown: &cx.shutdown,
        say: &|line| progress.say(line),
    };
    let brought = comeback.of(owed).await;
    if cx.shutdown.is_asked() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    if let Err(error) = brought {
        warnings.push(format!(
            "what ran on the data of `{unit}` before restore {undone} was not started: {error:#}{}",
            owed.next()
        ));
    }
    let forgotten = kept::forget_owed(journals, record.id);
    warnings.extend(forgotten.err().map(|error| format!("{error:#}")));
    warnings
}

/// Brings back what a restore replaced, after its data.
pub struct Comeback<'a> {
    pub engine: &'a Engine,
    /// Of the restore that takes it back.
    pub id: BackupId,
    /// How long `docker compose` may take.
    pub limit: Duration,
    pub shutdown: &'a Shutdown,
    pub say: &'a dyn Fn(&str),
}

impl Comeback<'_> {
    /// Doing it twice is harmless.
    pub async fn of(&self, owed: &Owed) -> Result<()> {
        let Owed { program, gone } = owed;
        let engine = self.engine;
        let mut is_replaced = match &program.container {
            Some(aside) => self.make_way_back(aside).await?,
            None => false,
        };
        for id in &program.containers {
            is_replaced |= engine.inspect(id).await?.is_none();
        }
        if is_replaced {
            for tag in &program.tags {
                engine.tag(&tag.image, &tag.name).await?;
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let Some(up) = &program.up else {
            anyhow::bail!("{} was removed: make it again", gone.join(", "));
        };
        for up in up.each() {
            let ended = cli::run(
                engine.socket(),
                &up.args(),
                up.environment(),
                self.limit,
                self.shutdown,
                self.say,
            )
            .await;
            ended.map_err(|error| error.context(format!("`{}` failed", up.command())))?;
        }
        Ok(())
    }

    /// Gives a container its name back, which another one has. Whether that had to be done.
    async fn make_way_back(&self, aside: &Aside) -> Result<bool> {
        let engine = self.engine;
        if engine.inspect(&aside.id).await?.is_none() {
            return Ok(false);
        }
        let taken = engine
            .inspect(&aside.name)
            .await?
            .and_then(|other| other.id);
        if taken.as_ref() == Some(&aside.id) {
            return Ok(false);
        }
        if let Some(other) = taken {
            let name = aside_name(&aside.name, self.id);
            engine.rename_container(&other, &name).await?;
        }
        engine.rename_container(&aside.id, &aside.name).await?;
        Ok(true)
    }
}
