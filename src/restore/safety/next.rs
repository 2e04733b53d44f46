//! What is left to do after an undo that was killed: its data is back, and what ran on it before was removed by the restore that is undone.

use std::path::Path;

use super::record;
use crate::error::Result;
use crate::restore::journal::Journal;

/// A sentence with the commands, for an undo that is in place; `None` where nothing has to be made again. To be asked before the record of
/// the restore that was undone goes.
pub fn after_undo(journals: &Path, journal: &Journal) -> Result<Option<String>> {
    let Some(undone) = journal.undoes else {
        return Ok(None);
    };
    let (records, _) = record::read_all(journals)?;
    let Some(undone) = records.into_iter().find(|record| record.id == undone) else {
        return Ok(None);
    };
    // Those that are still there are started.
    let gone = undone.held.iter().filter(|held| {
        let mut wakes = journal.wakes.iter();
        !wakes.any(|wake| wake.entry.id == held.entry.id)
    });
    let gone: Vec<String> = gone.map(|held| format!("`{}`", held.entry.name)).collect();
    if gone.is_empty() {
        return Ok(None);
    }
    let before = undone.before.unwrap_or_default();
    let tags = before.tags.iter().map(|tag| {
        let (image, name) = (
            shell_words::quote(&tag.image),
            shell_words::quote(&tag.name),
        );
        format!("docker tag {image} {name}")
    });
    let up = before.up.iter().flat_map(|up| up.commands());
    let commands: Vec<String> = tags.chain(up).collect();
    let next = if commands.is_empty() {
        "make them again".to_owned()
    } else {
        format!("run `{}`", commands.join("`, then `"))
    };
    Ok(Some(format!(
        "the data is back, and what ran on it was removed since: {}. To have that back: {next}",
        gone.join(", ")
    )))
}
