//! What is extracted goes to the disk while more of it comes: little is left to wait for at the end.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::syncfs;
use rustix::io::Errno;

use super::journal::Swap;
use crate::base::blocking::aside;
use crate::error::Result;

/// Between two times.
const PAUSE: Duration = Duration::from_secs(1);

/// The file systems that a restore writes to, each once. They stay open from the first byte on: the kernel tells an error of the disk
/// only to who has the file system open, and only once.
#[derive(Clone)]
pub struct Flush(Arc<Shared>);

struct Shared {
    disks: Vec<Disk>,
    failure: Mutex<Option<Failed>>,
}

struct Disk {
    path: PathBuf,
    folder: File,
}

struct Failed {
    path: PathBuf,
    errno: Errno,
}

impl Flush {
    /// For the staging directories of `swaps`, which exist.
    pub fn of(swaps: &[Swap]) -> Result<Self> {
        let mut known = BTreeSet::new();
        let mut disks = Vec::new();
        for swap in swaps {
            let path = swap.staging.clone();
            let open = || -> std::io::Result<(File, u64)> {
                let folder = File::open(&path)?;
                let device = folder.metadata()?.dev();
                Ok((folder, device))
            };
            let (folder, device) =
                open().with_context(|| format!("cannot open `{}`", path.display()))?;
            if known.insert(device) {
                disks.push(Disk { path, folder });
            }
        }
        Ok(Self(Arc::new(Shared {
            disks,
            failure: Mutex::new(None),
        })))
    }

    /// Everything that was written until now is on the disk when this returns: a power cut after the swap must not find it empty.
    pub async fn now(&self) -> Result<()> {
        let shared = Arc::clone(&self.0);
        aside(move || shared.sync()).await
    }

    /// Again and again, until it fails.
    pub async fn meanwhile(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.now().await {
                return error;
            }
        }
    }
}

impl Shared {
    fn sync(&self) -> Result<()> {
        // One at a time: an error that another one was told of must not be missed.
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        for disk in &self.disks {
            if failure.is_none()
                && let Err(errno) = syncfs(&disk.folder)
            {
                *failure = Some(Failed {
                    path: disk.path.clone(),
                    errno,
                });
            }
        }
        let Some(failed) = &*failure else {
            return Ok(());
        };
        Err(failed.errno).with_context(|| {
            format!(
                "the file system of `{}` cannot be synced",
                failed.path.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BackupId;

    #[tokio::test]
    async fn each_file_system_is_synced_once_and_its_error_is_never_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let swaps: Vec<Swap> = ["a", "b"]
            .iter()
            .map(|name| Swap::new((*name).to_owned(), root.path().join(name), id))
            .collect();
        assert!(Flush::of(&swaps).is_err(), "it does not exist yet");
        for swap in &swaps {
            std::fs::create_dir(&swap.staging).unwrap();
        }
        let flush = Flush::of(&swaps).unwrap();
        assert_eq!(flush.0.disks.len(), 1);
        flush.now().await.unwrap();
        *flush.0.failure.lock().unwrap() = Some(Failed {
            path: root.path().to_owned(),
            errno: Errno::IO,
        });
        for _ in 0..2 {
            let error = flush.now().await.unwrap_err();
            assert!(error.is::<Errno>(), "{error:#}");
        }
        let error = flush.meanwhile().await;
        assert!(error.is::<Errno>(), "{error:#}");
    }
}
