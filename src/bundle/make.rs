//! One bundle of this host, as it is now.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use serde::Serialize;
use tracing::info;

use super::content::contents::{Contents, gather};
use super::content::texts;
use super::file::archive::{pack, sha256};
use super::file::name::BundleName;
use super::file::seal::seal;
use super::file::shelf::{Parcel, Shelf};
use crate::base::blocking::aside;
use crate::base::paths::Paths;
use crate::base::secret::Secret;
use crate::config::Loaded;
use crate::error::Result;
use crate::logging;
use crate::model::{BackupId, MachineId};
use crate::repository::Repository;

pub struct Wanted {
    pub folder: PathBuf,
    pub password: Secret,
    /// Beside the bundle too.
    pub write_password: bool,
    /// How many of this host stay in the directory.
    pub keep: usize,
    /// Where another one goes, without its password.
    pub copy: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub struct Made {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
    /// `None` where none is wanted, or `copy_problem` tells why there is none.
    pub copy: Option<PathBuf>,
    pub copy_problem: Option<String>,
    /// What a new host needs and the bundle lacks: sentences.
    pub missing: Vec<String>,
}

/// The older ones go when this one is on the disk.
pub async fn make(
    paths: &Paths,
    loaded: &Loaded,
    repository: &Repository,
    wanted: Wanted,
) -> Result<Made> {
    let me = repository.kopia.me();
    let place = Place {
        folder: wanted.folder.clone(),
        host: me.host.clone(),
        machine: me.machine.clone(),
    };
    let patience = loaded.config.backup.stall_timeout;
    let first = place.clone();
    let named = aside(move || first.free_name());
    let bundle = in_time(patience, &wanted.folder, named).await?;
    let Contents {
        origin,
        members,
        missing,
    } = gather(paths, loaded, repository, bundle).await?;
    let sealed = seal(&pack(&bundle, &members)?, &wanted.password);
    let sum = sha256(&sealed);
    let parcel = Arc::new(Parcel {
        bundle,
        readme: texts::outside(bundle, &origin, &sum),
        sha256: sum.clone(),
        sealed,
    });
    let password = wanted.write_password.then_some(wanted.password);
    let (here, keep) = (Arc::clone(&parcel), wanted.keep);
    let first = place.clone();
    let put = aside(move || first.put(&here, password.as_ref(), keep));
    let path = in_time(patience, &wanted.folder, put).await?;
    info!(target: logging::FILE, "wrote the recovery bundle `{}`", path.display());
    let (copy, copy_problem) = match &wanted.copy {
        None => (None, None),
        Some(folder) => {
            let repository = loaded.config.kopia.kopia_params.local_path();
            let (there, bytes) = (folder.clone(), Arc::clone(&parcel));
            let put = aside(move || {
                refuse_same_disk(&there, &[Some(&place.folder), repository.as_ref()])?;
                let copies = Place {
                    folder: there,
                    ..place
                };
                copies.put(&bytes, None, keep)
            });
            match in_time(patience, folder, put).await {
                Ok(copy) => (Some(copy), None),
                Err(error) => (
                    None,
                    Some(format!(
                        "no copy of the recovery bundle was written: {error:#}"
                    )),
                ),
            }
        }
    };
    Ok(Made {
        path,
        bytes: parcel.sealed.len() as u64,
        sha256: sum,
        copy,
        copy_problem,
        missing,
    })
}

/// A copy beside the original helps nobody; and where a disk is not mounted there is a directory all the same.
pub fn refuse_same_disk(copy: &Path, others: &[Option<&PathBuf>]) -> Result<()> {
    let shown = copy.display();
    let device = std::fs::metadata(copy)
        .with_context(|| format!("`{shown}` (`backup.recovery_bundle_copy`) is not there"))?
        .dev();
    for other in others.iter().flatten() {
        let is_same = std::fs::metadata(other).is_ok_and(|other| other.dev() == device);
        anyhow::ensure!(
            !is_same,
            "`{shown}` (`backup.recovery_bundle_copy`) is on the same file system as `{}`: its disk is not mounted, or is no other one",
            other.display()
        );
    }
    Ok(())
}

/// Where it goes, for a thread of its own: a share that does not answer must not hold the run.
#[derive(Clone)]
struct Place {
    folder: PathBuf,
    host: String,
    machine: MachineId,
}

impl Place {
    fn shelf(&self) -> Result<Shelf<'_>> {
        Shelf::open(&self.folder, &self.host, &self.machine)
    }

    fn free_name(&self) -> Result<BundleName> {
        let shelf = self.shelf()?;
        let mut bundle = BundleName {
            id: BackupId::at(Utc::now()),
        };
        while !shelf.is_free(bundle) {
            bundle.id = bundle.id.next();
        }
        Ok(bundle)
    }

    /// The older ones go when it is there.
    fn put(&self, parcel: &Parcel, password: Option<&Secret>, keep: usize) -> Result<PathBuf> {
        let shelf = self.shelf()?;
        let path = shelf.put(parcel, password)?;
        shelf.rotate(keep)?;
        Ok(path)
    }
}

async fn in_time<T>(
    patience: Duration,
    folder: &Path,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(patience, work)
        .await
        .with_context(|| {
            format!(
                "`{}` did not answer within {} s",
                folder.display(),
                patience.as_secs()
            )
        })?
}
