//! The snapshots of one old point, by what they are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::drivers::kopia::Manifest;
use crate::model::SourceKey;

/// What a tag `type` says, with the newest complete snapshot of it; `None` where none of them is complete.
#[derive(Debug, Default)]
pub struct Members<'a> {
    /// Compose files and `docker inspect` dumps.
    pub recipe: Option<Option<&'a Manifest>>,
    pub networks: Option<Option<&'a Manifest>>,
    /// The engine's own configuration.
    pub docker_config: Option<Option<&'a Manifest>>,
    pub sources: BTreeMap<SourceKey, Option<&'a Manifest>>,
    /// Data that does not say what it is.
    pub nameless: usize,
    /// The scope that the run was told, `minimal` for data alone.
    pub scope: Option<&'a str>,
}

impl<'a> Members<'a> {
    pub fn of(group: &[&'a Manifest]) -> Self {
        let mut group = group.to_vec();
        // Of several the newest counts: a run may have been repeated under one id.
        group.sort_by_key(|manifest| manifest.started_at());
        let mut members = Self::default();
        for manifest in group {
            members.scope = manifest.tag("backup_scope").or(members.scope);
            let found = is_good(manifest).then_some(manifest);
            let take = |place: &mut Option<Option<&'a Manifest>>| {
                *place = Some(found.or(place.flatten()));
            };
            match manifest.tag("type") {
                Some("recipe") => take(&mut members.recipe),
                Some("networks") => take(&mut members.networks),
                Some("docker_config") => take(&mut members.docker_config),
                Some(kind @ ("volume" | "bind")) => match key(kind, manifest) {
                    Some(key) => {
                        let place = members.sources.entry(key).or_default();
                        *place = found.or(*place);
                    }
                    None => members.nameless += 1,
                },
                _ => {}
            }
        }
        members
    }

    pub fn recipe(&self) -> Option<&'a Manifest> {
        self.recipe.flatten()
    }

    /// The run was told to save data and nothing else.
    pub fn is_minimal(&self) -> bool {
        self.scope == Some("minimal")
    }
}

fn is_good(manifest: &Manifest) -> bool {
    manifest.is_complete()
        && manifest
            .root_entry
            .as_ref()
            .is_some_and(|root| root.attributes().is_some())
}

fn key(kind: &str, manifest: &Manifest) -> Option<SourceKey> {
    match kind {
        "volume" => {
            let name = manifest.tag("volume").filter(|name| !name.is_empty())?;
            Some(SourceKey::Volume {
                name: name.to_owned(),
            })
        }
        _ => {
            let path = PathBuf::from(manifest.tag("bind_source")?);
            path.is_absolute().then_some(SourceKey::Bind { path })
        }
    }
}
