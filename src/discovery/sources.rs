//! What is read for a unit, and what of its mounts is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::host::PathKind;
use super::judge::{self, Verdict};
use super::place::{self, Place};
use super::policy::{Policy, Wish};
use super::scene::Scene;
use super::tree::Tree;
use super::writers::Writes;
use super::{labels, nested};
use crate::model::source::{Gap, GapReason, Source, SourceKey};
use crate::model::unit::{Container, Mount, MountKind};

#[derive(Debug, Default)]
pub struct Found {
    /// Ordered by key.
    pub sources: Vec<Source>,
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
    /// Why nothing should be tried, if so.
    pub blocker: Option<String>,
}

impl Found {
    /// Takes the source with this key out; what it had covered is a source again. False when there is none.
    pub fn remove(&mut self, key: &SourceKey) -> bool {
        let Some(index) = self.sources.iter().position(|source| source.key == *key) else {
            return false;
        };
        let removed = self.sources.remove(index);
        self.sources.extend(cover_again(removed.covers));
        self.sources.sort_by(|a, b| a.key.cmp(&b.key));
        true
    }
}

/// A source and what is known about the place that it is read at.
#[derive(Clone, Debug)]
pub struct Located {
    pub source: Source,
    pub device: u64,
    /// Where the file system that it is on is mounted.
    pub mount_point: PathBuf,
}

impl Located {
    /// Whether reading this one as a whole, without leaving its file system, reads `inner` as well. One that
    /// is a mount of its own inside is not counted on: what lies between may be another file system.
    fn reads(&self, inner: &Self) -> bool {
        let is_mounted_inside = inner.mount_point != self.mount_point
            && inner.mount_point.starts_with(&self.source.path);
        inner.source.path.starts_with(&self.source.path)
            && inner.device == self.device
            && !is_mounted_inside
    }
}

/// What the containers of one unit (one-offs among them) have mounted at one place.
struct Mounted {
    path: PathBuf,
    destinations: BTreeSet<String>,
    /// Some container that has it wants it saved.
    is_wanted: bool,
    /// Some container may write to it.
    is_written: bool,
}

/// Sorts every mount of `containers` into what is saved and what is not: none is forgotten.
pub fn find(scene: &Scene, policy: &Policy, writes: &Writes, containers: &[Container]) -> Found {
    let mut found = Found::default();
    let mounted = gather(scene, containers, &mut found.gaps);
    let mut located = Vec::new();
    let mut excluded = Vec::new();
    for (key, mounted) in mounted {
        if !mounted.is_wanted {
            found.gaps.push(gap(
                &key,
                GapReason::ExcludedByOperator,
                false,
                "only containers with the label `kopi-docka.enable=false` use it",
            ));
            excluded.push(key);
            continue;
        }
        match judge(scene, policy, &key, &mounted, &mut found.blocker) {
            Verdict::Save => located.push(locate(scene, policy, writes, key, mounted)),
            Verdict::Leave {
                reason,
                detail,
                is_loss,
            } => {
                found.gaps.push(gap(&key, reason, is_loss, detail));
                if reason == GapReason::ExcludedByOperator {
                    excluded.push(key);
                }
            }
        }
    }
    let located = cover(located);
    found.warnings = read_all_the_same(scene, &located, &excluded);
    found.gaps.extend(nested::gaps(scene, policy, &located));
    found.sources = located.into_iter().map(|located| located.source).collect();
    found
}

fn gather(
    scene: &Scene,
    containers: &[Container],
    gaps: &mut Vec<Gap>,
) -> BTreeMap<SourceKey, Mounted> {
    // When all say no it is the unit that is switched off, and then its sources are listed as they are.
    let all_say_no = containers.iter().all(|c| labels::says_no(&c.labels));
    let mut mounted: BTreeMap<SourceKey, Mounted> = BTreeMap::new();
    for container in containers {
        let is_wanted = all_say_no || !labels::says_no(&container.labels);
        for mount in &container.mounts {
            let path = match place::of_mount(mount, &scene.volumes) {
                Place::Path(path) => path,
                Place::Nothing => continue,
                Place::Memory(why) => {
                    add(
                        gaps,
                        what(container, mount),
                        GapReason::Ephemeral,
                        false,
                        why,
                    );
                    continue;
                }
                Place::Elsewhere(why) => {
                    add(gaps, what(container, mount), GapReason::NotLocal, true, why);
                    continue;
                }
            };
            let entry = mounted.entry(key(mount, &path)).or_insert_with(|| Mounted {
                path,
                destinations: BTreeSet::new(),
                is_wanted: false,
                is_written: false,
            });
            entry.destinations.insert(mount.destination.clone());
            entry.is_wanted |= is_wanted;
            entry.is_written |= mount.read_write;
        }
    }
    mounted
}

fn key(mount: &Mount, path: &Path) -> SourceKey {
    match mount.kind {
        MountKind::Volume => SourceKey::Volume {
            name: mount.name.clone(),
        },
        _ => SourceKey::Bind {
            path: path.to_owned(),
        },
    }
}

fn judge(
    scene: &Scene,
    policy: &Policy,
    key: &SourceKey,
    mounted: &Mounted,
    blocker: &mut Option<String>,
) -> Verdict {
    let path = mounted.path.as_path();
    let is_written = mounted.is_written;
    let SourceKey::Volume { name } = key else {
        return judge::host_path(scene, policy.wish(path), path, is_written);
    };
    let own = scene
        .volumes
        .get(name.as_str())
        .is_none_or(|volume| place::clean(Path::new(&volume.mountpoint)) == path);
    if !own {
        return judge::host_path(scene, Wish::Default, path, is_written);
    }
    let facts = scene.host.facts(path);
    if let Some(verdict) = judge::own_state(scene, &facts.real) {
        return verdict;
    }
    if facts.kind == PathKind::Directory {
        return Verdict::Save;
    }
    // Docker made this directory, so it is there: just not for us.
    let detail = format!(
        "its data at `{}` cannot be seen from here: kopi-docka has to run as root on the host that Docker runs on",
        path.display()
    );
    blocker.get_or_insert_with(|| format!("{key}: {detail}"));
    Verdict::Leave {
        reason: GapReason::Missing,
        detail,
        is_loss: true,
    }
}

fn locate(
    scene: &Scene,
    policy: &Policy,
    writes: &Writes,
    key: SourceKey,
    mounted: Mounted,
) -> Located {
    let facts = scene.host.facts(&mounted.path);
    let is_included =
        matches!(&key, SourceKey::Bind { path } if policy.wish(path) == Wish::Include);
    Located {
        device: facts.device,
        mount_point: scene
            .host
            .mounts
            .of(&facts.real)
            .map(|mount| mount.point.clone())
            .unwrap_or_default(),
        source: Source {
            writers: writes.of(&key, &facts.real),
            is_anonymous: matches!(&key, SourceKey::Volume { name } if place::is_anonymous(name, &scene.volumes)),
            key,
            is_file: facts.kind == PathKind::File,
            path: facts.real,
            destinations: mounted.destinations.into_iter().collect(),
            exclude_patterns: policy.exclude_patterns.clone(),
            covers: Vec::new(),
            also_reads: Vec::new(),
            is_included,
        },
    }
}

/// A bind inside another source on the same file system is read with that one. A volume never is: it has to be
/// found by its name again.
fn cover(located: Vec<Located>) -> Vec<Located> {
    let mut kept: Vec<Located> = Vec::new();
    let (mut volumes, mut binds): (Vec<_>, Vec<_>) = located
        .into_iter()
        .partition(|located| matches!(located.source.key, SourceKey::Volume { .. }));
    // The outermost first; of two names for one place the first by name.
    binds.sort_by_key(|bind| bind.source.path.components().count());
    kept.append(&mut volumes);
    let mut places = places(&kept);
    for bind in binds {
        let mut around: Vec<usize> = places.around(&bind.source.path).copied().collect();
        around.sort_unstable();
        let outer = around.into_iter().find(|&index| {
            let outer = kept.get(index);
            outer.is_some_and(|outer| outer.reads(&bind))
        });
        match outer.and_then(|index| kept.get_mut(index)) {
            Some(outer) => outer.source.covers.push(bind.source),
            None => {
                places.add(&bind.source.path, kept.len());
                kept.push(bind);
            }
        }
    }
    kept.sort_by(|a, b| a.source.key.cmp(&b.source.key));
    note_what_is_read_twice(&mut kept);
    kept
}

/// Where each of `kept` is, by its index.
fn places(kept: &[Located]) -> Tree<usize> {
    let path = |(index, located): (usize, &Located)| (located.source.path.clone(), index);
    kept.iter().enumerate().map(path).collect()
}

/// A restore of the outer one needs to know which volumes are in its stream.
fn note_what_is_read_twice(kept: &mut [Located]) {
    let places = places(kept);
    let also_reads = |outer: &Located| {
        let mut within: Vec<usize> = places.within(&outer.source.path).copied().collect();
        within.sort_unstable();
        let inner = within.into_iter().filter_map(|index| kept.get(index));
        inner
            .filter(|inner| {
                inner.source.path != outer.source.path
                    && outer.reads(inner)
                    && !inner.source.is_file
            })
            .map(|inner| (inner.source.key.clone(), inner.source.path.clone()))
            .collect()
    };
    let all: Vec<Vec<_>> = kept.iter().map(also_reads).collect();
    for (outer, also_reads) in kept.iter_mut().zip(all) {
        outer.source.also_reads = also_reads;
    }
}

/// The same for binds that a source had covered: they are all on one file system.
pub fn cover_again(sources: Vec<Source>) -> Vec<Source> {
    let located = sources.into_iter().map(|source| Located {
        source,
        device: 0,
        mount_point: PathBuf::new(),
    });
    cover(located.collect())
        .into_iter()
        .map(|located| located.source)
        .collect()
}

/// Binds that the operator left out, but that lie in what is saved: a pattern is needed to keep them out.
fn read_all_the_same(scene: &Scene, located: &[Located], excluded: &[SourceKey]) -> Vec<String> {
    excluded
        .iter()
        .filter_map(|key| {
            let SourceKey::Bind { path } = key else {
                return None;
            };
            let facts = scene.host.facts(path);
            let outer = located.iter().find(|outer| {
                facts.real.starts_with(&outer.source.path) && facts.device == outer.device
            })?;
            Some(format!(
                "{key} is left out, but lies in {} and is read with it: use `exclude_patterns` or the label `kopi-docka.exclude`",
                outer.source.key
            ))
        })
        .collect()
}

/// A mount that is no source, as the operator knows it.
fn what(container: &Container, mount: &Mount) -> String {
    match mount.kind {
        MountKind::Volume => format!("volume `{}`", mount.name),
        MountKind::Tmpfs => format!(
            "tmpfs `{}` of container `{}`",
            mount.destination, container.name
        ),
        _ => format!(
            "mount `{}` of container `{}`",
            mount.destination, container.name
        ),
    }
}

fn gap(key: &SourceKey, reason: GapReason, is_loss: bool, detail: impl Into<String>) -> Gap {
    Gap {
        what: key.to_string(),
        reason,
        detail: detail.into(),
        is_loss,
    }
}

/// Once, however many containers have it.
fn add(gaps: &mut Vec<Gap>, what: String, reason: GapReason, is_loss: bool, detail: String) {
    let gap = Gap {
        what,
        reason,
        detail,
        is_loss,
    };
    if !gaps.contains(&gap) {
        gaps.push(gap);
    }
}
