//! Finishes or undoes what a killed restore left. Doing it twice is harmless.
//!
//! Must come before anything starts containers: a unit is never started half old and half new.

use std::path::Path;

use super::crew::Services;
use super::keep_down::keep_down;
use super::unfinished::{self, Ended};
use crate::base::blocking::aside;
use crate::base::shutdown;
use crate::drivers::docker::Engine;
use crate::drivers::docker::json::Json as _;
use crate::error::{Exit, Failure, Result, exit_of, hints_of};
use crate::model::SourceKey;
use crate::swap::journal::{Journal, JournalFile, Phase};
use crate::swap::kept;
use crate::swap::{exchange, held, staging};
use crate::ui::Ui;

/// What a replay found and did.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Restores whose targets hold what they held before.
    pub undone: usize,
    /// Restores whose targets hold what was restored.
    pub finished: usize,
    pub warnings: Vec<String>,
}

/// Replays every journal in `folder`. One that has to wait does not keep the others from their end; its error comes last.
pub async fn replay(folder: &Path, services: Services<'_>, ui: &Ui) -> Result<Replayed> {
    let (files, damaged) = JournalFile::pending(folder)?;
    let mut replayed = Replayed::default();
    for path in damaged {
        replayed.warnings.push(format!(
            "`{}` is not a restore journal this version can read: look for directories called `….kopi-docka-…` manually, then remove it",
            path.display()
        ));
    }
    let mut waits = None;
    for file in files {
        if let Err(error) = replayed.one(file, services, ui).await {
            waits = waits.or(Some(error));
        }
    }
    match waits {
        None => Ok(replayed),
        Some(error) => {
            for warning in &replayed.warnings {
                ui.warn(warning);
            }
            Err(error)
        }
    }
}

impl Replayed {
    async fn one(&mut self, mut file: JournalFile, services: Services<'_>, ui: &Ui) -> Result<()> {
        let what = format!(
            "the interrupted restore {} of `{}`",
            file.journal.id, file.journal.unit
        );
        if file.journal.phase == Phase::Swapping {
            if file.is_noted() {
                // Whatever was put in place is the services' own since then.
                self.keep_down(&file, services, &what).await?;
                self.warnings
                    .extend(file.finish().err().map(|error| format!("{error:#}")));
                self.finished += 1;
                return Ok(());
            }
            if matches!(services, Services::NotYet) && file.journal.has_policies() {
                // Docker would start at once what must stay down.
                return Ok(());
            }
            ui.say(format!("Finishing {what}"));
            let mut warnings = Vec::new();
            let ended = unfinished::settle(&mut file, &services, &mut warnings).await;
            let told = warnings
                .into_iter()
                .map(|warning| format!("{what}: {warning}"));
            self.warnings.extend(told);
            match ended {
                Ok(Ended::InPlace) => {
                    let settled = held::settle(&file.journal, file.folder(), None).await?;
                    self.warnings.extend(settled);
                    self.keep_down(&file, services, &what).await?;
                    self.warnings.extend(keep_all(&file));
                    self.finished += 1;
                    return Ok(());
                }
                Ok(Ended::TakenBack) => {}
                Err(error) => return Err(half_way(&what, error).into()),
            }
        }
        if matches!(services, Services::NotYet) {
            // Its targets hold what they held: what is left can wait for Docker, which has some of it.
            return Ok(());
        }
        ui.say(format!("Undoing {what}"));
        match undo(&file).await {
            Ok(()) => self.undone += 1,
            // The targets are as they were: no reason to keep services down.
            Err(error) => self
                .warnings
                .push(format!("{what} left things behind: {error:#}")),
        }
        Ok(())
    }

    async fn keep_down(
        &mut self,
        file: &JournalFile,
        services: Services<'_>,
        what: &str,
    ) -> Result<()> {
        let told = keep_down(&file.journal, &services).await?;
        let told = told.into_iter().map(|told| format!("{what}: {told}"));
        self.warnings.extend(told);
        Ok(())
    }
}

/// Keeps what was there before and forgets the journal; what cannot be kept as it should is told, and stays where it is.
fn keep_all(file: &JournalFile) -> Vec<String> {
    let mut warnings: Vec<String> = file
        .journal
        .swaps
        .iter()
        .filter_map(|swap| {
            let error = exchange::keep(swap).err()?;
            Some(format!(
                "what {} held before is still in `{}`: {error:#}",
                swap.what,
                swap.content().display()
            ))
        })
        .collect();
    // Without the note the journal stays: it is all that knows what is kept.
    let ended = file.note().and_then(|()| file.finish());
    warnings.extend(ended.err().map(|error| format!("{error:#}")));
    warnings
}

/// Removes everything that the restore made. Its targets must hold what they held before.
pub async fn undo(file: &JournalFile) -> Result<()> {
    let (journal, folder) = (file.journal.clone(), file.folder().to_owned());
    let journal: Journal = aside(move || {
        kept::write_taken_back(&folder, &journal)?;
        for swap in &journal.swaps {
            staging::remove(swap)?;
        }
        Ok(journal)
    })
    .await?;
    if !journal.new_volumes.is_empty() || !journal.new_networks.is_empty() {
        shutdown::cut_soon("what undoes it in Docker", undo_in_docker(&journal)).await?;
    }
    staging::remove_empty(&journal.new_folders);
    file.clear()
}

async fn undo_in_docker(journal: &Journal) -> Result<()> {
    let engine = Engine::connect(&journal.socket).await?;
    for name in &journal.new_volumes {
        if !keeps_something(journal, name) {
            remove_if_empty(&engine, name).await?;
        }
    }
    remove_networks(&engine, &journal.new_networks).await
}

/// Undoes what a restore made that came to nothing: networks that no container was put on since.
pub async fn remove_networks(engine: &Engine, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let containers = engine.raw_containers().await?;
    for name in names {
        let is_used = containers.iter().any(|container| {
            !container
                .at("NetworkSettings")
                .at("Networks")
                .at(name.as_str())
                .is_null()
        });
        if !is_used {
            engine.remove_network(name).await?;
        }
    }
    Ok(())
}

/// Docker removes a volume with all that is beside its data.
fn keeps_something(journal: &Journal, volume: &str) -> bool {
    journal.swaps.iter().any(|swap| {
        matches!(&swap.key, Some(SourceKey::Volume { name }) if name == volume)
            && swap.since().symlink_metadata().is_ok()
    })
}

/// A volume that we created and that was not used since.
async fn remove_if_empty(engine: &Engine, name: &str) -> Result<()> {
    let Some(volume) = engine.volume(name).await? else {
        return Ok(());
    };
    let is_empty = match std::fs::read_dir(&volume.mountpoint) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => false,
    };
    if is_empty {
        engine.remove_volume(name).await?;
    }
    Ok(())
}

fn half_way(what: &str, error: anyhow::Error) -> Failure {
    let failure = Failure::new(
        match exit_of(&error) {
            Exit::Docker => Exit::Docker,
            _ => Exit::StillStopped,
        },
        format!("{what} can be neither finished nor undone, so its containers are not started"),
    );
    let failure = if hints_of(&error).is_empty() {
        failure.hint("fix what the error names, then run `kopi-docka recover`")
    } else {
        failure
    };
    failure.caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::{BackupId, UnitName};
    use crate::swap::journal::Swap;

    fn fill(path: &Path, text: &str) {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("file"), text).unwrap();
    }

    /// Three targets with old content, one without; all extracted.
    fn extracted(root: &Path) -> JournalFile {
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let names = ["one", "two", "three", "deep/fresh"];
        let swaps: Vec<Swap> = names
            .map(|name| Swap::new(name.to_owned(), root.join(name), id))
            .into();
        let unit = UnitName::parse("u").unwrap();
        let journal = Journal {
            swaps,
            new_folders: vec![root.join("deep")],
            ..Journal::new(id, unit, "/nonexistent".into())
        };
        let file = JournalFile::create(&root.join("journals"), journal).unwrap();
        std::fs::create_dir(root.join("deep")).unwrap();
        for swap in &file.journal.swaps {
            if swap.what != "deep/fresh" {
                fill(&swap.target, "old");
            }
            staging::make(swap).unwrap();
            fill(&swap.content(), "new");
        }
        file
    }

    fn contents(file: &JournalFile) -> Vec<Option<String>> {
        let read = |swap: &Swap| std::fs::read_to_string(swap.target.join("file")).ok();
        file.journal.swaps.iter().map(read).collect()
    }

    fn leftovers(root: &Path) -> Vec<PathBuf> {
        let all = std::fs::read_dir(root)
            .unwrap()
            .chain(std::fs::read_dir(root.join("deep")).into_iter().flatten());
        all.map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("kopi-docka-new"))
            .collect()
    }

    fn old() -> Vec<Option<String>> {
        vec![
            Some("old".into()),
            Some("old".into()),
            Some("old".into()),
            None,
        ]
    }

    #[tokio::test]
    async fn what_was_only_extracted_is_undone() {
        let root = tempfile::tempdir().unwrap();
        let file = extracted(root.path());
        for _ in 0..2 {
            replay(&root.path().join("journals"), Services::None, &Ui::quiet())
                .await
                .unwrap();
            assert_eq!(contents(&file), old());
            assert!(leftovers(root.path()).is_empty());
            assert!(!root.path().join("deep").exists());
        }
        assert!(
            JournalFile::pending(&root.path().join("journals"))
                .unwrap()
                .0
                .is_empty()
        );
    }

    #[tokio::test]
    async fn a_journal_without_anything_made_is_undone_too() {
        let root = tempfile::tempdir().unwrap();
        let file = extracted(root.path());
        for swap in &file.journal.swaps {
            staging::remove(swap).unwrap();
        }
        std::fs::remove_dir(root.path().join("deep")).unwrap();
        let replayed = replay(&root.path().join("journals"), Services::None, &Ui::quiet())
            .await
            .unwrap();
        assert_eq!((replayed.undone, replayed.warnings.len()), (1, 0));
        assert_eq!(contents(&file), old());
    }

    /// Killed after each of the renames that a restore makes, in order.
    #[tokio::test]
    async fn a_kill_after_any_rename_ends_with_everything_new_and_the_old_kept() {
        let renames = 4 * 2;
        for killed_after in 0..=renames {
            let root = tempfile::tempdir().unwrap();
            let mut file = extracted(root.path());
            file.decide().unwrap();
            let swaps = file.journal.swaps.clone();
            for step in 0..killed_after {
                if step < 4 {
                    exchange::exchange_all(&swaps[step..=step]).await.unwrap();
                } else {
                    exchange::keep(&swaps[step - 4]).unwrap();
                }
            }
            for round in 0..2 {
                let replayed = replay(&root.path().join("journals"), Services::None, &Ui::quiet())
                    .await
                    .unwrap();
                assert_eq!(replayed.finished, usize::from(round == 0), "{killed_after}");
                assert!(replayed.warnings.is_empty(), "{:?}", replayed.warnings);
                assert_eq!(
                    contents(&file),
                    vec![Some("new".to_owned()); 4],
                    "{killed_after}"
                );
                assert!(leftovers(root.path()).is_empty(), "{killed_after}");
            }
            for swap in &swaps[..3] {
                let kept = std::fs::read_to_string(swap.kept.join("file")).unwrap();
                assert_eq!(kept, "old", "{killed_after}");
            }
            assert!(!swaps[3].kept.exists());
        }
    }

    #[tokio::test]
    async fn what_cannot_be_finished_is_undone_whole() {
        let root = tempfile::tempdir().unwrap();
        let mut file = extracted(root.path());
        file.decide().unwrap();
        exchange::exchange_all(&file.journal.swaps[..2])
            .await
            .unwrap();
        std::fs::remove_dir_all(file.journal.swaps[2].content()).unwrap();
        let replayed = replay(&root.path().join("journals"), Services::None, &Ui::quiet())
            .await
            .unwrap();
        assert_eq!((replayed.finished, replayed.undone), (0, 1));
        assert_eq!(replayed.warnings.len(), 1);
        assert_eq!(contents(&file), old());
        assert!(leftovers(root.path()).is_empty());
    }

    #[tokio::test]
    async fn what_can_be_neither_finished_nor_undone_starts_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut file = extracted(root.path());
        file.decide().unwrap();
        let swaps = file.journal.swaps.clone();
        exchange::exchange_all(&swaps[..1]).await.unwrap();
        // Somebody took the old content away and put something else there.
        fill(&root.path().join("other"), "other");
        std::fs::remove_dir_all(swaps[0].content()).unwrap();
        std::fs::rename(root.path().join("other"), swaps[0].content()).unwrap();
        std::fs::remove_dir_all(swaps[1].content()).unwrap();
        let error = replay(&root.path().join("journals"), Services::None, &Ui::quiet())
            .await
            .unwrap_err();
        assert_eq!(crate::error::exit_of(&error), Exit::StillStopped);
        assert_eq!(
            JournalFile::pending(&root.path().join("journals"))
                .unwrap()
                .0
                .len(),
            1
        );
    }
}
