//! Brings the parts of a source into its staging folder. It went well only if the feed did, and tar had nothing to say.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{Semaphore, watch};

use super::laying::{self, Laying};
use crate::base::activity::Activity;
use crate::drivers::losses::{Losses, Tolerance};
use crate::drivers::tar::Tar;
use crate::drivers::tool::{Ended, Spec};
use crate::error::{Exit, Failure, Result};
use crate::model::point::Part;
use crate::points::feed::{Feed, said};
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
    /// Taken by each source, and by each stream that is read beside another one of it.
    pub slots: Arc<Semaphore>,
    /// Ends the others when one has failed.
    pub cancel: watch::Sender<bool>,
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
        let laying = Laying {
            extractor: self,
            folder: &folder,
            aside: &swap.staging,
            paths: &piece.paths,
            wanted: laying::wanted(&source.parts, &piece.paths),
            moved,
            tolerance,
        };
        laying.lay(&source.parts, &mut losses).await?;
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
}

impl Extractor {
    /// Extracts all `parts` of a source into `folder`, which is there and empty. Nothing may be lost. `aside` is a directory for what tar
    /// says.
    pub async fn fill(
        &self,
        parts: &[Part],
        folder: &Path,
        aside: &Path,
        moved: &Activity,
    ) -> Result<()> {
        let laying = Laying {
            extractor: self,
            folder,
            aside,
            paths: &[],
            wanted: None,
            moved,
            tolerance: Tolerance::NONE,
        };
        laying.lay(parts, &mut Losses::default()).await
    }
}

/// Reads an archive from stdin into `folder`. Never with `--absolute-names`: without it tar keeps `..`, absolute names
/// and what links lead to inside the directory.
pub(super) fn untar(tar: &Tar, folder: &Path) -> Spec {
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
pub(super) fn refuse_words(tar: &Ended) -> Result<()> {
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
    move_only_file(folder, &swap.content())
}

/// Moves the one file of `folder` to `to`, and removes the folder.
pub fn move_only_file(folder: &Path, to: &Path) -> Result<()> {
    let entries: Vec<_> = std::fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    let [entry] = entries.as_slice() else {
        anyhow::bail!("the archive of a single file holds {} files", entries.len());
    };
    if !entry.file_type()?.is_file() {
        anyhow::bail!("the archive of a single file holds something else");
    }
    std::fs::rename(entry.path(), to)?;
    std::fs::remove_dir(folder)?;
    Ok(())
}

#[cfg(test)]
pub mod tests;
