//! A restore that was killed while it swapped, and what services have done with it since. Finished if its targets were not used;
//! taken back if they were, and what was written meanwhile stays or is kept. Nothing is exchanged below a container that runs.

use super::crew::{Crew, Services};
use crate::base::blocking::aside;
use crate::base::text;
use crate::error::Result;
use crate::swap::changed;
use crate::swap::exchange::{self, Standing};
use crate::swap::held;
use crate::swap::journal::{Journal, JournalFile, Swap};
use crate::swap::kept;
use crate::swap::staging;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every target holds what was restored.
    InPlace,
    /// Every target holds what it held before, with what was written to it since.
    TakenBack,
}

/// An error means that the targets are as they were found, or half way.
pub async fn settle(
    file: &mut JournalFile,
    services: &Services<'_>,
    warnings: &mut Vec<String>,
) -> Result<Ended> {
    if file.journal.swapped_at.is_some() {
        return Ok(Ended::InPlace);
    }
    if sources(&file.journal).next().is_none() {
        // No service has files of a recipe in use.
        return finish(file, warnings).await;
    }
    let looked = Looked::at(&file.journal).await?;
    if looked.is_in_place {
        put_files_in_place(file, warnings).await?;
        return Ok(Ended::InPlace);
    }
    let mut crew = Crew::of(services, &file.journal).await?;
    let used = looked.used_by(&crew);
    if let (Some(used), true) = (&used, looked.is_untouched) {
        warnings.push(format!(
            "{used}, so it is undone: what was written since stays where it is. Restore it again if you want it"
        ));
        return retreat(file);
    }
    let result = match (crew.stop(warnings).await, &used) {
        (Err(error), _) => Err(error),
        (Ok(()), None) => finish(file, warnings).await,
        (Ok(()), Some(used)) => take_back(file, used, warnings).await,
    };
    if matches!(result, Ok(Ended::InPlace)) {
        // Before anything starts. It is asked for again by who forgets the journal.
        let settled = held::settle(&file.journal, file.folder(), crew.engine()).await;
        warnings.extend(settled.unwrap_or_else(|error| vec![format!("{error:#}")]));
    }
    crew.start(result, warnings).await
}

struct Looked {
    /// All data is.
    is_in_place: bool,
    /// No data is.
    is_untouched: bool,
    /// What was written to since: ``volume `db` ``.
    changed: Option<String>,
}

impl Looked {
    async fn at(journal: &Journal) -> Result<Self> {
        let journal = journal.clone();
        aside(move || {
            let (mut old, mut new, mut changed) = (0, 0, None);
            let sources: Vec<&Swap> = sources(&journal).collect();
            let mut is_begun = false;
            for swap in &sources {
                match exchange::standing(swap)? {
                    Standing::Old => old += 1,
                    Standing::New => new += 1,
                    Standing::Between => {}
                }
                // An earlier replay was killed while it took back.
                if swap.since().symlink_metadata().is_ok() {
                    is_begun = true;
                    changed = Some(swap.what.clone());
                }
            }
            let is_in_place = new == sources.len() && !is_begun;
            for swap in &sources {
                if !is_in_place && changed.is_none() && changed::target(swap, journal.decided_at())?
                {
                    changed = Some(swap.what.clone());
                }
            }
            Ok(Self {
                is_in_place,
                is_untouched: old == sources.len() && !is_begun,
                changed,
            })
        })
        .await
    }

    /// Who has used the targets since the swaps were decided, in a sentence; `None` if none has.
    fn used_by(&self, crew: &Crew<'_>) -> Option<String> {
        let started = crew.started_since();
        if !started.is_empty() {
            let what = match started.len() {
                1 => "container",
                _ => "containers",
            };
            let names = started.iter().map(|name| format!("`{name}`"));
            let names = names.collect::<Vec<_>>().join(", ");
            return Some(format!("{what} {names} started since the restore stopped"));
        }
        let what = self.changed.as_ref()?;
        Some(format!("{what} was written to since the restore stopped"))
    }
}

/// What services can have in use.
fn sources(journal: &Journal) -> impl Iterator<Item = &Swap> {
    journal.swaps.iter().filter(|swap| swap.key.is_some())
}

/// All data is in place and belongs to the services: the files follow, and one that cannot is left out.
async fn put_files_in_place(file: &mut JournalFile, warnings: &mut Vec<String>) -> Result<()> {
    let mut kept = Vec::new();
    for swap in std::mem::take(&mut file.journal.swaps) {
        if swap.key.is_none()
            && let Err(error) = exchange::exchange_all(std::slice::from_ref(&swap)).await
        {
            warnings.push(format!("{} is left as it is now: {error:#}", swap.what));
            let swap = swap.clone();
            aside(move || staging::remove(&swap)).await?;
            continue;
        }
        kept.push(swap);
    }
    file.journal.swaps = kept;
    Ok(())
}

/// Nothing works on the targets.
async fn finish(file: &mut JournalFile, warnings: &mut Vec<String>) -> Result<Ended> {
    match exchange::exchange_all(&file.journal.swaps).await {
        Ok(()) => Ok(Ended::InPlace),
        Err(error) if error.is::<exchange::NotTakenBack>() => Err(error),
        Err(error) => {
            warnings.push(format!("it could not be finished and is undone: {error:#}"));
            retreat(file)
        }
    }
}

/// Services were at work on half of it, and are stopped now.
async fn take_back(
    file: &mut JournalFile,
    used: &str,
    warnings: &mut Vec<String>,
) -> Result<Ended> {
    let (swaps, decided_at) = (file.journal.swaps.clone(), file.journal.decided_at());
    let kept = aside(move || {
        let mut kept = Vec::new();
        // The last first: files before the data that they belong to.
        for swap in swaps.iter().rev() {
            if exchange::take_back_used(swap, decided_at)? {
                kept.push(format!("`{}`", swap.since().display()));
            }
        }
        Ok(kept)
    })
    .await
    .map_err(|error| error.context(exchange::NotTakenBack::of(used)))?;
    let mut warning = format!("{used}, when it was half done, so it is taken back");
    if !kept.is_empty() {
        let places = text::count(kept.len(), "place");
        warning.push_str(&format!(
            ": what was written to the restored half is kept in {places}: {}",
            kept.join(", ")
        ));
    }
    warnings.push(warning);
    retreat(file)
}

fn retreat(file: &mut JournalFile) -> Result<Ended> {
    file.retreat()?;
    kept::write_taken_back(file.folder(), &file.journal)?;
    Ok(Ended::TakenBack)
}
