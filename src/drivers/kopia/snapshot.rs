//! What a new snapshot is told, and when it is accepted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, Utc};

use super::client::Kopia;
use super::failure;
use super::manifest::Manifest;
use super::me::Me;
use super::watch::{self};
use crate::base::activity::Activity;
use crate::drivers::tool::{Child, Ended, Output, Spec};
use crate::error::{Exit, Failure, Result};
use crate::model::Identity;
use crate::model::{ObjectId, SnapshotId};

/// A snapshot to be made.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// The virtual path it is filed under, absolute.
    pub path: String,
    pub tags: Vec<(String, String)>,
    /// The same for all snapshots of a run, so that they sort together.
    pub start_time: DateTime<Utc>,
}

/// A snapshot that is complete, durable and has the size that it must have. Made only by acceptance.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub snapshot: SnapshotId,
    pub root: ObjectId,
}

impl NewSnapshot {
    pub fn flags(&self, spec: Spec, identity: &Identity) -> Spec {
        let mut spec = spec
            .arg(format!("--override-source={identity}:{}", self.path))
            // Before the JSON is printed; without it a failed flush comes after the good news.
            .arg("--flush-per-source")
            .arg("--no-send-snapshot-report")
            .arg("--json")
            // The sign of life of a kopia that has all its input; --json does not turn it off.
            .args(["--progress", "--progress-update-interval=1s"]);
        for (name, value) in &self.tags {
            spec = spec.arg(format!("--tags={name}:{value}"));
        }
        let start = self.start_time.format("%Y-%m-%d %H:%M:%S UTC");
        spec.arg(format!("--start-time={start}"))
    }
}

/// Takes the manifest that Kopia printed, or says why it is not good.
///
/// `size` is what the snapshot must hold, in bytes, for a stream.
pub fn accept(ended: &Ended, stdout: &[u8], size: Option<u64>) -> Result<Accepted> {
    if !ended.status.success() {
        return Err(failure::of(ended));
    }
    let manifest: Manifest = serde_json::from_slice(stdout)
        .context("kopia exited well but printed no snapshot that this version knows")?;
    if !manifest.incomplete.is_empty() {
        bail!(
            "kopia saved an incomplete snapshot ({})",
            manifest.incomplete
        );
    }
    let root = manifest
        .root_entry
        .ok_or_else(|| anyhow!("kopia saved a snapshot without content"))?;
    if root.summ.num_failed != 0 || root.summ.num_ignored_errors != 0 {
        bail!("kopia could not read everything that it was given");
    }
    if let Some(size) = size
        && (root.summ.files != 1 || root.summ.size != size)
    {
        bail!(
            "kopia saved {} bytes in {} files instead of {size} bytes in one",
            root.summ.size,
            root.summ.files
        );
    }
    Ok(Accepted {
        snapshot: SnapshotId::parse(&manifest.id)?,
        root: ObjectId::parse(&root.obj)?,
    })
}

impl Kopia {
    /// Saves `folder` as it is; a kopia without a sign of life for `stall_timeout` is killed.
    pub async fn snapshot_folder(
        &self,
        folder: &Path,
        new: &NewSnapshot,
        stall_timeout: Duration,
    ) -> Result<Accepted> {
        let spec = self.command().args(["snapshot", "create"]).arg(folder);
        let mut child = Child::spawn(new.flags(spec, &self.identity()).output(Output::Captured))?;
        let mut stdout = watch::collect(child.take_stdout());
        let ended = watch::until_end(&mut child, &Activity::default(), stall_timeout).await?;
        accept(&ended, &watch::collected(&mut stdout).await?, None)
    }

    /// Fails unless the storage has every blob of `root`. No file is read. What was stored for longer than a day may have lost its
    /// beginning: to the maintenance of another host it was garbage, until the snapshot named it.
    pub async fn verify_blobs(&self, root: &ObjectId, stall_timeout: Duration) -> Result<()> {
        let spec = self
            .command()
            .args(["snapshot", "verify", "--verify-files-percent=0"])
            .arg(format!("--directory-id={root}"))
            .args(["--progress", "--progress-update-interval=1s"]);
        let mut child = Child::spawn(spec)?;
        let ended = watch::until_end(&mut child, &Activity::default(), stall_timeout).await?;
        if ended.status.success() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Storage,
            "it took so long to store that its beginning was removed from the repository meanwhile",
        )
        .hint("check that no other host or user runs `kopia maintenance` on this repository while a backup runs, then run the backup again")
        .caused_by(failure::of(&ended))
        .into())
    }

    /// The bytes of `file` inside the directory object `root` go to stdout of the child.
    pub fn show(&self, root: &ObjectId, file: &str, output: Output) -> Result<Child> {
        let spec = self
            .command()
            .arg("--no-progress")
            .arg("show")
            .arg(format!("{root}/{file}"))
            .output(output);
        Child::spawn(spec)
    }

    /// Why a [`Kopia::show`] that did not exit with 0 failed.
    pub fn failure(ended: &Ended) -> anyhow::Error {
        failure::of(ended)
    }

    pub fn me(&self) -> &Me {
        &self.settings.me
    }

    pub fn identity(&self) -> Identity {
        self.settings.me.identity()
    }

    pub fn temporary_profile(&self) -> Result<TemporaryProfile> {
        TemporaryProfile::beside(&self.profile)
    }
}

/// A profile and a cache that a failing kopia may delete.
pub struct TemporaryProfile {
    folder: tempfile::TempDir,
}

impl TemporaryProfile {
    fn beside(profile: &Path) -> Result<Self> {
        let parent = profile.parent().unwrap_or(Path::new("/"));
        crate::base::files::make_private_folder(parent)?;
        let folder = tempfile::Builder::new()
            .prefix(".kopi-docka-connect-")
            .tempdir_in(parent)
            .with_context(|| {
                format!(
                    "cannot create a temporary directory in `{}`",
                    parent.display()
                )
            })?;
        Ok(Self { folder })
    }

    pub fn profile(&self) -> PathBuf {
        self.folder.path().join("repository.config")
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }
}
