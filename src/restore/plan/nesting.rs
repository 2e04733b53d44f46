//! Sources that lie in one another. The stream of the outer one has an empty directory in the place of an inner one that is a file system of
//! its own; so only what the record says to be in it is left to it. All others get their data themselves: in the staging
//! directory of the outer one, or, where a file system is mounted (or a subvolume is) at their place, in that, and the outer one is replaced
//! around it.
//!
//! What was not asked for stays: a source of the point that lies in one that is restored is not replaced by an empty directory.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::decision::SourcePlan;
use super::locate::{Located, NamedBy};
use super::target::Target;
use crate::error::{Exit, Failure, Result};
use crate::model::SourceKey;
use crate::model::point::{PointRecord, SourceRecord};
use crate::points::recipe::NewVolume;
use crate::swap::attributes::{Attributes, keep_time};

/// A source of the point that is not restored, and where it is on this host.
#[derive(Clone, Debug)]
pub struct Bystander {
    pub source: SourceRecord,
    /// `None` when there is nothing of it here.
    pub path: Option<PathBuf>,
}

/// What of a point a plan does not restore by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    #[serde(flatten)]
    pub key: SourceKey,
    pub reason: String,
    /// The source whose stream has it.
    pub restored_with: Option<SourceKey>,
}

/// A source whose data goes to its place together with that of an outer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The outermost one that it goes with.
    pub root: SourceKey,
    /// Its place in that.
    pub path: PathBuf,
}

/// What is restored where, and what is not.
#[derive(Default)]
pub struct Arranged {
    pub targets: Vec<(Located, Target)>,
    pub left_out: Vec<LeftOut>,
    /// Missing volumes whose data comes with an outer source.
    pub volumes: Vec<NewVolume>,
    pub warnings: Vec<String>,
}

/// What becomes of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is swapped itself.
    Itself,
    /// The stream of this one has it.
    Covered(usize),
    /// It goes with this one, which is swapped itself.
    Inside(usize),
}

/// Decides for each target whose data brings what lies in it. Blocks.
pub fn arrange(targets: Vec<(Located, Target)>, bystanders: &[Bystander]) -> Result<Arranged> {
    let left_out = bystanders.iter().map(|bystander| LeftOut {
        key: bystander.source.key.clone(),
        reason: "it was not asked for".to_owned(),
        restored_with: None,
    });
    let mut arranging = Arranging {
        arranged: Arranged {
            left_out: left_out.collect(),
            ..Arranged::default()
        },
        fates: vec![Fate::Itself; targets.len()],
        holes: Vec::new(),
        targets,
    };
    arranging.decide(bystanders)?;
    arranging.pass_by(bystanders)?;
    arranging.settle()
}

struct Arranging {
    targets: Vec<(Located, Target)>,
    /// One for each target.
    fates: Vec<Fate>,
    /// What stays in a target, by its number: the place, and what it is.
    holes: Vec<(usize, PathBuf, String)>,
    arranged: Arranged,
}

impl Arranging {
    /// What becomes of each target, the outer ones first.
    fn decide(&mut self, bystanders: &[Bystander]) -> Result<()> {
        let mut order: Vec<usize> = (0..self.targets.len()).collect();
        order.sort_by_key(|index| depth(&self.targets, *index));
        for index in order {
            let Some((located, target)) = self.targets.get(index) else {
                continue;
            };
            if located.piece.take.is_some() {
                refuse_to_empty(located, target, bystanders)?;
                continue;
            }
            let Some(outer) = outer_of(&self.targets, &target.path, Some(index))? else {
                continue;
            };
            let Some((outer_located, outer_target)) = self.targets.get(outer) else {
                continue;
            };
            let is_same = target.path == outer_target.path;
            let is_covered = || {
                target.fixed.is_none()
                    && covers(outer_located, outer_target, &located.source, &target.path)
            };
            let fate = if is_same || is_covered() {
                Fate::Covered(outer)
            } else if target.fixed.is_some() {
                let root = root_of(&self.fates, outer);
                self.holes
                    .push((root, target.path.clone(), located.source.key.to_string()));
                Fate::Itself
            } else {
                if located.named_by != NamedBy::Operator {
                    self.arranged
                        .warnings
                        .extend(on_another_disk(&located.source, &outer_located.source));
                }
                Fate::Inside(root_of(&self.fates, outer))
            };
            if let Some(slot) = self.fates.get_mut(index) {
                *slot = fate;
            }
        }
        Ok(())
    }

    /// What becomes of what was not asked for and lies in a target.
    fn pass_by(&mut self, bystanders: &[Bystander]) -> Result<()> {
        for (bystander, path) in bystanders
            .iter()
            .filter_map(|one| Some((one, one.path.as_ref()?)))
        {
            let Some(outer) = outer_of(&self.targets, path, None)? else {
                continue;
            };
            let Some((located, target)) = self.targets.get(outer) else {
                continue;
            };
            let (key, outer_key) = (&bystander.source.key, &located.source.key);
            if located.piece.take.is_some() || target.path == *path {
                continue;
            }
            if covers(located, target, &bystander.source, path) {
                let known = self
                    .arranged
                    .left_out
                    .iter_mut()
                    .find(|one| one.key == *key);
                if let Some(left_out) = known {
                    left_out.reason = format!("it lies in {outer_key} and is restored with it");
                    left_out.restored_with = Some(outer_key.clone());
                }
                continue;
            }
            if has_something(path, &target.path) {
                self.arranged.warnings.push(format!(
                    "{key} lies in {outer_key} and was not asked for: it stays as it is"
                ));
                self.holes
                    .push((root_of(&self.fates, outer), path.clone(), key.to_string()));
            }
        }
        Ok(())
    }

    fn settle(mut self) -> Result<Arranged> {
        for (root, path, what) in std::mem::take(&mut self.holes) {
            if let Some((_, target)) = self.targets.get_mut(root) {
                let hole = path.strip_prefix(&target.path).unwrap_or(&path).to_owned();
                target.leave(hole, format!("{what} stays where it is in it"))?;
            }
        }
        let places: Vec<(SourceKey, PathBuf)> = self
            .targets
            .iter()
            .map(|(located, target)| (located.source.key.clone(), target.path.clone()))
            .collect();
        for ((mut located, mut target), fate) in self.targets.into_iter().zip(self.fates) {
            match fate {
                Fate::Itself => {}
                Fate::Covered(outer) => {
                    let outer = places.get(outer).map(|(key, _)| key.clone());
                    let outer = outer.unwrap_or_else(|| located.source.key.clone());
                    let reason = format!("it lies in {outer} and is restored with it");
                    self.arranged.warnings.push(format!(
                        "{} lies in {outer} and is restored with it",
                        located.source.key
                    ));
                    self.arranged.volumes.extend(located.new_volume);
                    self.arranged.left_out.push(LeftOut {
                        key: located.source.key,
                        reason,
                        restored_with: Some(outer),
                    });
                    continue;
                }
                Fate::Inside(root) => {
                    if let Some((key, path)) = places.get(root) {
                        let below = target.path.strip_prefix(path).unwrap_or(&target.path);
                        located.inside = Some(Inside {
                            root: key.clone(),
                            path: below.to_owned(),
                        });
                        target.missing_folders.clear();
                    }
                }
            }
            self.arranged.targets.push((located, target));
        }
        Ok(self.arranged)
    }
}

fn depth(targets: &[(Located, Target)], index: usize) -> usize {
    let target = targets.get(index);
    target.map_or(0, |(_, target)| target.path.components().count())
}

/// The innermost target that `path` is in; of two with one place the first. Two sources that were apart and have one place here are
/// refused: one of them would be left out.
fn outer_of(
    targets: &[(Located, Target)],
    path: &Path,
    own: Option<usize>,
) -> Result<Option<usize>> {
    let mut found: Option<(usize, usize)> = None;
    for (index, (located, target)) in targets.iter().enumerate() {
        if own == Some(index) || !path.starts_with(&target.path) {
            continue;
        }
        let own_source = own.and_then(|own| targets.get(own));
        match own_source {
            Some((own_located, _)) if target.path == path => {
                if own_located.source.read_from != located.source.read_from {
                    let failure = one_place_for_two(&own_located.source, &located.source, path);
                    return Err(failure.into());
                }
                if Some(index) > own {
                    continue;
                }
            }
            _ if located.source.is_file => continue,
            _ => {}
        }
        let depth = target.path.components().count();
        if found.is_none_or(|(_, deepest)| depth > deepest) {
            found = Some((index, depth));
        }
    }
    Ok(found.map(|(index, _)| index))
}

fn root_of(fates: &[Fate], index: usize) -> usize {
    match fates.get(index) {
        Some(Fate::Covered(outer) | Fate::Inside(outer)) if *outer != index => {
            root_of(fates, *outer)
        }
        _ => index,
    }
}

/// Whether the stream of `outer` has `inner`, at the place where `inner` belongs here.
fn covers(outer: &Located, target: &Target, inner: &SourceRecord, path: &Path) -> bool {
    let Some(covered) = &outer.source.covers else {
        // An old point does not tell. Both are restored: it costs time, and loses nothing.
        return false;
    };
    let below = inner.read_from.strip_prefix(&outer.source.read_from);
    covered.contains(&inner.key) && below.is_ok_and(|below| target.path.join(below) == *path)
}

/// Whether it would be missed in `outer`: an empty directory is in the stream of that as well.
fn has_something(path: &Path, outer: &Path) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return false;
    };
    let is_elsewhere =
        std::fs::symlink_metadata(outer).is_ok_and(|outer| outer.dev() != found.dev());
    let is_empty = || std::fs::read_dir(path).is_ok_and(|mut all| all.next().is_none());
    is_elsewhere || !is_empty()
}

fn on_another_disk(inner: &SourceRecord, outer: &SourceRecord) -> Option<String> {
    let (own, other) = (inner.file_system.as_ref()?, outer.file_system.as_ref()?);
    if own.id != other.id {
        return Some(format!(
            "{} was on a file system of its own ({}, `{}`), which is not mounted there: its data goes to that of {}. To have it apart again, \
             mount that first",
            inner.key, own.kind, own.id, outer.key
        ));
    }
    // Of the same file system, and not in its stream.
    (own.kind == "btrfs").then(|| {
        format!(
            "{} was a subvolume of its own ({}), which is not there: its data goes to a plain directory in {}. To have it apart again, \
             create that first",
            inner.key, own.kind, outer.key
        )
    })
}

fn one_place_for_two(one: &SourceRecord, other: &SourceRecord, path: &Path) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!(
            "{} and {} were apart, and both lead to `{}` on this host",
            one.key,
            other.key,
            path.display()
        ),
    )
    .hint("is one of them a symbolic link here? Remove it, or restore one at a time with `--volume` and `--target DIR`")
    .note("nothing was changed")
}

/// A directory that is put back must not take the place of another source that is in it.
fn refuse_to_empty(located: &Located, target: &Target, bystanders: &[Bystander]) -> Result<()> {
    for bystander in bystanders {
        let is_read = located.source.covers.as_ref();
        if is_read.is_some_and(|covered| covered.contains(&bystander.source.key)) {
            continue;
        }
        let Some(path) = &bystander.path else {
            continue;
        };
        if path.starts_with(&target.path) && has_something(path, &target.path) {
            return Err(Failure::new(
                Exit::UnitsFailed,
                format!(
                    "`{}` cannot be put back as a whole: {} lies in it, and is not in {}",
                    target.path.display(),
                    bystander.source.key,
                    located.source.key
                ),
            )
            .hint("name what is beside it: `--path` (can be repeated)")
            .note("nothing was changed")
            .into());
        }
    }
    Ok(())
}

/// Refuses `paths` of `source` whose data is in the stream of another source of the point.
pub fn refuse_paths_of_others(
    record: &PointRecord,
    source: &SourceRecord,
    paths: &[PathBuf],
) -> Result<()> {
    for path in paths {
        let other = record.sources.iter().find(|other| {
            let below = other.read_from.strip_prefix(&source.read_from);
            other.key != source.key
                && below.is_ok_and(|below| !below.as_os_str().is_empty() && path.starts_with(below))
                && !source
                    .covers
                    .as_ref()
                    .is_none_or(|covered| covered.contains(&other.key))
        });
        if let Some(other) = other {
            return Err(Failure::new(
                Exit::NothingMatched,
                format!(
                    "`{}` is not in {}: it is in {}",
                    path.display(),
                    source.key,
                    other.key
                ),
            )
            .hint(format!(
                "name that: `--volume {}`",
                crate::restore::request::handle(&other.key)
            ))
            .into());
        }
    }
    Ok(())
}

/// Gives the swaps of what goes with another one their place in its staging directory.
pub fn settle(sources: &mut [SourcePlan]) {
    let roots: Vec<SourcePlan> = sources.to_vec();
    for (number, source) in sources.iter_mut().enumerate() {
        let Some(inside) = &source.inside else {
            continue;
        };
        let root = roots.iter().find(|root| root.key == inside.root);
        if let Some(root) = root {
            source.swap.staging = root.swap.staging.join(format!("inside-{number}"));
            source.swap.kept = root.swap.kept.join(&inside.path);
            source.kept = source.kept.as_ref().map(|_| source.swap.kept.clone());
        }
    }
}

/// Brings what was extracted apart to its place in what it goes with, the outermost first; what stays in a target must have no data of its own
/// in what is to come. Returns what the operator should know. Blocks.
pub fn join(sources: &[SourcePlan]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for outer in sources.iter().filter(|outer| outer.inside.is_none()) {
        let Some(within) = &outer.swap.within else {
            continue;
        };
        for hole in &within.holes.0 {
            let place = outer.target.join(hole);
            let is_filled = sources
                .iter()
                .any(|inner| inner.inside.is_none() && inner.target == place);
            if is_filled {
                empty(&outer.swap.content(), hole)?;
            }
        }
        within
            .holes
            .check(&outer.swap.content())
            .with_context(|| format!("{} cannot be restored around what is in it", outer.key))?;
    }
    let mut inner: Vec<(&SourcePlan, &Inside)> = sources
        .iter()
        .filter_map(|source| Some((source, source.inside.as_ref()?)))
        .collect();
    inner.sort_by_key(|(_, inside)| inside.path.components().count());
    for (source, inside) in inner {
        let root = sources.iter().find(|root| root.key == inside.root);
        let root = root.with_context(|| format!("{} is not restored", inside.root))?;
        let was_link = put(&source.swap.content(), &root.swap.content(), &inside.path)
            .with_context(|| format!("{} cannot be put into {}", source.key, root.key))?;
        if was_link {
            warnings.push(format!(
                "{} was behind a link in {}: it comes back as what it led to",
                source.key, root.key
            ));
        }
        std::fs::remove_dir(&source.swap.staging)
            .with_context(|| format!("cannot remove `{}`", source.swap.staging.display()))?;
    }
    Ok(warnings)
}

/// Moves `content` to `path` in `root`, which only root can enter, and where what an archive made may lead out. Returns whether a
/// link was in its way.
fn put(content: &Path, root: &Path, path: &Path) -> Result<bool> {
    let mut was_link = false;
    let mut at = root.to_owned();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let parent = at.clone();
        at.push(part);
        let mut found = std::fs::symlink_metadata(&at).ok();
        if found.as_ref().is_some_and(std::fs::Metadata::is_symlink) {
            was_link = true;
            keep_time(&parent, || Ok(std::fs::remove_file(&at)?))?;
            found = None;
        }
        if parts.peek().is_some() {
            match found {
                Some(found) if found.is_dir() => {}
                Some(_) => anyhow::bail!("`{}` is not a directory in the point", at.display()),
                None => keep_time(&parent, || Ok(std::fs::create_dir(&at)?))?,
            }
            continue;
        }
        let is_file = std::fs::symlink_metadata(content)?.is_file();
        let attributes = (!is_file).then(|| Attributes::of(content)).transpose()?;
        keep_time(&parent, || {
            match found {
                Some(found) if found.is_dir() && !is_file => std::fs::remove_dir_all(&at)?,
                Some(found) if found.is_file() && is_file => std::fs::remove_file(&at)?,
                Some(_) => anyhow::bail!("in the point `{}` is something else", at.display()),
                None => {}
            }
            Ok(std::fs::rename(content, &at)?)
        })?;
        // Some file systems give a directory that gets another parent a new time.
        if let Some(attributes) = attributes {
            attributes.set(&at)?;
        }
    }
    Ok(was_link)
}

/// Removes what is at `hole` in `root`: it has a stream of its own.
fn empty(root: &Path, hole: &Path) -> Result<()> {
    let mut at = root.to_owned();
    for part in hole.components() {
        at.push(part);
        // Never through a link that an archive made.
        match std::fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            _ => return Ok(()),
        }
    }
    let parent = at.parent().unwrap_or(root).to_owned();
    keep_time(&parent, || {
        std::fs::remove_dir_all(&at)?;
        Ok(std::fs::create_dir(&at)?)
    })
}
