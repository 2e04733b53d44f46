//! What the operator should know of an old point: what the Python tool never saved.

use super::dumps::Dumps;
use super::members::Members;
use crate::base::text::printable;
use crate::model::SourceKey;
use crate::model::point::SourceRecord;

/// One sentence each, of `sources` alone.
pub fn of_sources(sources: &[SourceRecord]) -> Vec<String> {
    let mut notes = Vec::new();
    if sources.is_empty() {
        return notes;
    }
    notes.push(
        "it was made by the Python kopi-docka: nothing proves that its data did not change while it was read"
            .to_owned(),
    );
    let is_tar = |source: &&SourceRecord| {
        let mut kinds = source.parts.iter().map(|part| part.kind);
        kinds.all(|kind| kind.is_tar())
    };
    let (tar, plain): (Vec<_>, Vec<_>) = sources.iter().partition(is_tar);
    if !plain.is_empty() {
        notes.push(format!(
            "never saved of {}: hard links (they are files of their own), extended attributes, ACLs, sockets and devices, and what a `.kopiaignore` named",
            names(&plain)
        ));
    }
    if !tar.is_empty() {
        notes.push(format!(
            "never saved of {}: the times of files (all are of 1970)",
            names(&tar)
        ));
    }
    notes
}

/// What is in the point and is not restored.
pub fn of_rest(members: &Members, dumps: &Dumps, needs_dumps: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(Some(manifest)) = members.docker_config {
        notes.push(format!(
            "the engine's own configuration ({}) is in snapshot {} and is not restored: compare it by hand with `/etc/docker`",
            printable(manifest.tag("files").unwrap_or("daemon.json")),
            manifest.id
        ));
    }
    if needs_dumps {
        for (container, variables) in dumps.redacted() {
            notes.push(format!(
                "the Python tool did not keep the values of these variables of container `{container}`, they have to be given again: {}",
                printable(&variables.join(", "))
            ));
        }
    }
    notes
}

fn names(sources: &[&SourceRecord]) -> String {
    let names: Vec<String> = sources
        .iter()
        .map(|source| match &source.key {
            SourceKey::Volume { name } => format!("`{name}`"),
            SourceKey::Bind { path } => format!("`{}`", path.display()),
        })
        .collect();
    names.join(", ")
}
