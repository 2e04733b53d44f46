//! Brings the parts of a source into its staging folder. It went well only if the feed did, and tar had nothing to say.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;

use crate::base::activity::Activity;
use crate::base::blocking::aside;
use crate::drivers::losses::{self, Losses, Tolerance};
use crate::drivers::tar::Tar;
use crate::drivers::tool::{Ended, Spec};
use crate::error::{Exit, Failure, Result};
use crate::model::point::Part;
use crate::points::feed::{self, Feed, said};
use crate::restore::plan::decision::SourcePlan;
use crate::restore::plan::pieces;
use crate::swap::beneath;
use crate::swap::journal::Swap;

/// What every extraction gets.
#[derive(Clone)]
pub struct Extractor {
    pub feed: Feed,
    pub tar: Tar,
    /// What the file system cannot hold is left behind.
    pub accepts_losses: bool,
}

impl Extractor {
    /// Extracts `source` into its staging directory, which must exist. On an error what is there is worth nothing. Returns what was lost
    /// by the operator's leave.
    pub async fn extract(&self, source: &SourcePlan, moved: &Activity) -> Result<Losses> {
        let tolerance = Tolerance {
            attributes: self.accepts_losses,
            owners: self.accepts_losses && source.is_in_named_folder(),
        };
        let mut losses = Losses::default();
        let held = beneath::open_staging(&source.swap)?;
        let mut swap = source.swap.clone();
        if let Some((staging, _)) = &held {
            swap.staging.clone_from(staging);
        }
        let content = swap.content();
        // A file comes in an archive of one: it is taken out of a directory of its own.
        let piece = &source.piece;
        let folder = if source.is_file || piece.take.is_some() {
            swap.staging.join("unpacked")
        } else {
            content.clone()
        };
        std::fs::create_dir(&folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        for (index, part) in source.parts.iter().enumerate() {
            let root = folder.clone();
            aside(move || {
                if index > 0 {
                    refuse_links_that_lead_out(&root)?;
                }
                Ok::<_, anyhow::Error>(())
            })
            .await?;
            match part.kind {
                kind if kind.is_tar() => {
                    let place = (folder.as_path(), swap.staging.as_path());
                    let lost = self.extract_part(part, place, &piece.paths, moved, tolerance);
                    losses.extend(lost.await?);
                }
                _ => {
                    let feed = &self.feed;
                    let lost = feed.bring(part, &folder, &piece.paths, moved, tolerance);
                    losses.extend(lost.await?);
                }
            }
        }
        if source.is_file {
            take_out(&folder, &swap)?;
        }
        if let Some(take) = &piece.take {
            pieces::take_out(&folder, take, &content)?;
            return Ok(losses);
        }
        let metadata = std::fs::symlink_metadata(&content)
            .with_context(|| format!("the archive of {} is empty", source.key))?;
        let is_as_expected = if source.is_file {
            metadata.is_file()
        } else {
            metadata.is_dir()
        };
        if !is_as_expected {
            anyhow::bail!("the archive does not hold what the recipe says");
        }
        Ok(losses)
    }

    /// Takes `paths` out of the archive, or everything when there are none, into the directory; its words go to the other one.
    async fn extract_part(
        &self,
        part: &Part,
        (folder, aside): (&Path, &Path),
        paths: &[PathBuf],
        moved: &Activity,
        tolerance: Tolerance,
    ) -> Result<Losses> {
        let mut untar = untar(&self.tar, folder);
        if !paths.is_empty() {
            untar = untar.args(pieces::members(paths));
        }
        let explain = |error| {
            if paths.is_empty() {
                error
            } else {
                pieces::explain(error)
            }
        };
        if tolerance == Tolerance::NONE {
            let tar = self.feed.run(part, untar, moved).await;
            refuse_words(&tar.map_err(explain)?)?;
            return Ok(Losses::default());
        }
        let mut said = tempfile::tempfile_in(aside)
            .with_context(|| format!("cannot write to `{}`", aside.display()))?;
        let untar = untar.errors(said.try_clone()?.into());
        let tar = self.feed.run_to_the_end(part, untar, moved).await?;
        match Losses::read(&mut said, tolerance)? {
            // Without a word a bad end is no loss that was listed.
            Some(losses) if tar.status.success() || losses.count > 0 => Ok(losses),
            _ => {
                let stderr = losses::tail(&mut said);
                Err(explain(feed::said(&Ended { stderr, ..tar })))
            }
        }
    }
}

/// Reads an archive from stdin into `folder`. Never with `--absolute-names`: without it tar keeps `..`, absolute names
/// and what links lead to inside the directory.
fn untar(tar: &Tar, folder: &Path) -> Spec {
    let mut directory = OsString::from("--directory=");
    directory.push(folder);
    Spec::new(tar.program())
        .args(["--extract", "--file=-"])
        .args(["--preserve-permissions", "--same-owner", "--numeric-owner"])
        // ACLs come as the extended attributes that they are. With --acls GNU tar 1.34 would drop them all, silently.
        .args(["--xattrs", "--xattrs-include=*", "--no-acls"])
        // Times before 1970 are restored, with a line each that would look like a loss.
        .arg("--warning=no-timestamp")
        .arg(directory)
}

/// Attributes that cannot be set leave the status at 0 and a line behind.
fn refuse_words(tar: &Ended) -> Result<()> {
    if tar.stderr.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::UnitsFailed,
        "not everything could be restored as it was",
    )
    .hint("the file system must be able to hold what was saved (owners, ACLs, extended attributes)")
    .hint("`--accept-lost-attributes` restores anyway, lists each loss, and ends with exit code 3")
    .caused_by(said(tar))
    .into())
}

/// Moves the one file of `folder` to where the swap takes it from.
fn take_out(folder: &Path, swap: &Swap) -> Result<()> {
    let entries: Vec<_> = std::fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    let [entry] = entries.as_slice() else {
        anyhow::bail!("the archive of a single file holds {} files", entries.len());
    };
    if !entry.file_type()?.is_file() {
        anyhow::bail!("the archive of a single file holds something else");
    }
    std::fs::rename(entry.path(), swap.content())?;
    std::fs::remove_dir(folder)?;
    Ok(())
}

/// Removes `path` below `root`, if it is there. Goes through no link, and never above.
fn delete_below(root: &Path, path: &str) -> Result<()> {
    let relative = Path::new(path);
    let is_plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !is_plain {
        anyhow::bail!(
            "the recipe wants `{path}` to be deleted, which is not a path inside the source"
        );
    }
    let mut whole = root.to_owned();
    let mut parts = relative.components().peekable();
    while let Some(part) = parts.next() {
        whole.push(part);
        let Ok(metadata) = std::fs::symlink_metadata(&whole) else {
            return Ok(());
        };
        if parts.peek().is_none() {
            let removed = if metadata.is_dir() {
                std::fs::remove_dir_all(&whole)
            } else {
                std::fs::remove_file(&whole)
            };
            return removed.with_context(|| format!("`{}` cannot be deleted", whole.display()));
        }
        if !metadata.is_dir() {
            anyhow::bail!("the recipe wants `{path}` to be deleted, which leads through a link");
        }
    }
    Ok(())
}

/// Within one archive tar makes such links last, so that nothing is written through them. Those that an earlier part
/// made it would follow.
fn refuse_links_that_lead_out(root: &Path) -> Result<()> {
    let mut folders = vec![(root.to_owned(), 0_usize)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_symlink() && leads_out(&std::fs::read_link(entry.path())?, depth) {
                anyhow::bail!(
                    "`{}` is a link that leads out of the source; a later part could be written through it",
                    entry.path().display()
                );
            }
        }
    }
    Ok(())
}

/// Whether a link to `target`, `depth` directories below the root, can leave the root.
fn leads_out(target: &Path, depth: usize) -> bool {
    let mut depth = depth;
    for part in target.components() {
        match part {
            Component::Normal(_) | Component::CurDir => {}
            // A name may be a link itself, so that going up from it leads anywhere: only the way up first is counted.
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return true,
        }
    }
    target
        .components()
        .skip_while(|part| matches!(part, Component::ParentDir))
        .any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests;
