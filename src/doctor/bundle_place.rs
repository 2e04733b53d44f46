//! Whether the newest recovery bundle is lost with what it is for: on the disk of the repository or of the data, or on this host alone.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::bundle::{AREA, Here, MAKE, PATIENCE, silent, within};
use super::finding::Finding;
use crate::base::blocking::aside;
use crate::base::text;
use crate::bundle::{self, Kept, Newest};
use crate::config::Config;
use crate::discovery::mount_table::MountTable;
use crate::drivers::docker::Engine;
use crate::error::Result;

/// Whether the newest bundle is somewhere else too.
pub async fn check(config: &Config, here: &Here, newest: &Newest) -> Option<Finding> {
    match &config.backup.recovery_bundle_copy {
        Some(copy) => copied(config, here, newest, copy).await,
        None => alone(config, newest).await,
    }
}

async fn copied(config: &Config, here: &Here, newest: &Newest, copy: &Path) -> Option<Finding> {
    let asked = copy.to_owned();
    let others = [
        Some(config.backup.recovery_bundle_path.clone()),
        config.kopia.kopia_params.local_path(),
    ];
    let silent = silent(copy);
    let looking = within(&silent, move || {
        let others = others.each_ref().map(Option::as_ref);
        bundle::refuse_same_disk(&asked, &others)
    });
    let (is_there, kept) = tokio::join!(looking, here.newest_in(copy));
    let remedy = format!("mount it, then {MAKE}, which writes a bundle there too");
    match (is_there, kept) {
        (Err(finding), _) => Some(finding.remedy(remedy)),
        (Ok(()), Err(finding)) => Some(finding),
        (Ok(()), Ok(kept)) => {
            late(copy, newest, &kept).map(|message| Finding::warning(AREA, message).remedy(remedy))
        }
    }
}

fn late(copy: &Path, newest: &Newest, kept: &Kept) -> Option<String> {
    let copy = copy.display();
    match kept {
        Kept::Newest(copied) if copied.made_at >= newest.made_at => None,
        Kept::Newest(copied) => Some(format!(
            "the newest bundle is not in `{copy}`, where one from {} is the last",
            text::minute(copied.made_at)
        )),
        Kept::Nothing | Kept::OnlyOthers => Some(format!(
            "the newest bundle is not in `{copy}`, nor is any other of this host"
        )),
    }
}

async fn alone(config: &Config, newest: &Newest) -> Option<Finding> {
    let disk = async |path: Option<PathBuf>| {
        let path = path?;
        let look = aside(move || Disk::of(&path));
        tokio::time::timeout(PATIENCE, look).await.ok()?.ok()
    };
    let data = async { disk(data_root(config).await).await };
    let (bundle, repository, data) = tokio::join!(
        disk(Some(newest.path.clone())),
        disk(config.kopia.kopia_params.local_path()),
        data
    );
    let message = lost_with(bundle?, repository, data)?;
    Some(Finding::warning(AREA, message).remedy(
        "copy it to another host, or name a directory on another disk in `backup.recovery_bundle_copy`",
    ))
}

/// What the newest bundle would be lost with. A share of another host is good even for a bundle beside its repository: it is for the loss of
/// this host.
fn lost_with(bundle: Disk, repository: Option<Disk>, data: Option<Disk>) -> Option<&'static str> {
    let is_beside = |other: Option<Disk>| other.is_some_and(|other| other.device == bundle.device);
    if bundle.is_remote {
        None
    } else if is_beside(repository) {
        Some("the newest is on the same disk as the repository, and no copy of it is known")
    } else if is_beside(data) {
        Some("the newest is on the same disk as Docker's data, and no copy of it is known")
    } else {
        Some("the newest is on a disk of this host, and no copy of it is known")
    }
}

/// Where volumes are.
async fn data_root(config: &Config) -> Option<PathBuf> {
    let asking = async {
        let engine = Engine::connect(&config.docker.socket).await.ok()?;
        engine.root_folder().await.ok()
    };
    tokio::time::timeout(PATIENCE, asking).await.ok().flatten()
}

/// Which disk a path is on, as far as it matters for what is lost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Disk {
    /// `st_dev`.
    device: u64,
    /// A share of another host.
    is_remote: bool,
}

impl Disk {
    /// Of the nearest directory that is there. The disk may not answer.
    fn of(path: &Path) -> Result<Self> {
        let there = path
            .ancestors()
            .find(|ancestor| ancestor.exists())
            .unwrap_or(Path::new("/"));
        let real = there.canonicalize()?;
        let device = real.metadata()?.dev();
        // After the look, which may have mounted it.
        let table = MountTable::read();
        let is_remote = table.of(&real).is_some_and(|entry| entry.is_remote());
        Ok(Self { device, is_remote })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(device: u64) -> Disk {
        Disk {
            device,
            is_remote: false,
        }
    }

    #[test]
    fn a_bundle_that_is_lost_with_the_host_is_told_and_one_on_a_share_is_not() {
        let said = |bundle: Disk, repository: u64, data: u64| {
            lost_with(bundle, Some(disk(repository)), Some(disk(data))).unwrap_or_default()
        };
        assert!(said(disk(1), 1, 1).contains("the repository"));
        assert!(said(disk(1), 2, 1).contains("Docker's data"));
        assert!(said(disk(1), 2, 3).contains("a disk of this host"));
        let share = Disk {
            device: 1,
            is_remote: true,
        };
        assert_eq!(said(share, 1, 2), "");
        let unknown = lost_with(disk(1), None, None);
        assert!(unknown.unwrap().contains("a disk of this host"));
    }

    #[test]
    fn a_copy_is_as_new_as_the_bundle_or_late() {
        let made = |second: u32| {
            let id = format!("2025-01-31T23-59-{second:02}Z");
            Newest {
                made_at: crate::model::BackupId::parse(&id).unwrap().time(),
                path: PathBuf::from(id),
            }
        };
        let late = |kept: Kept| late(Path::new("/mnt"), &made(2), &kept);
        assert_eq!(late(Kept::Newest(made(2))), None);
        assert_eq!(late(Kept::Newest(made(3))), None);
        assert!(
            late(Kept::Newest(made(1)))
                .unwrap()
                .contains("2025-01-31 23:59")
        );
        assert!(late(Kept::Nothing).is_some() && late(Kept::OnlyOthers).is_some());
    }
}
