//! Free space of the disks that a run writes to.

use std::path::PathBuf;
use std::time::Duration;

use super::finding::Finding;
use crate::base::blocking::aside;
use crate::base::space::Space;
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::error::Exit;

pub const AREA: &str = "disk";

/// A disk that hangs blocks its caller.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn check(cx: &Context, config: Option<&Config>) -> Vec<Finding> {
    let mut places = vec![("state", cx.paths.state.clone())];
    if let Some(config) = config {
        places.extend([
            ("spool", config.backup.spool.directory.clone()),
            ("cache", config.kopia_cache()),
            ("reports", config.backup.base_path.clone()),
        ]);
        let repository = config.kopia.kopia_params.local_path();
        places.extend(repository.map(|path| ("repository", path)));
    }
    // Those on one disk are told together.
    let mut disks: Vec<(Space, Vec<(&str, PathBuf)>)> = Vec::new();
    let mut findings = Vec::new();
    for (what, path) in places {
        let asked = path.clone();
        let look = aside(move || Space::at(&asked));
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(Ok(space)) => match disks
                .iter_mut()
                .find(|(disk, _)| disk.device == space.device)
            {
                Some((_, places)) => places.push((what, path)),
                None => disks.push((space, vec![(what, path)])),
            },
            Ok(Err(error)) => findings.push(Finding::of_error(
                AREA,
                &error.context(format!("cannot access {what} `{}`", path.display())),
            )),
            Err(_) => {
                let message = format!("the disk of {what} `{}` does not answer", path.display());
                findings.push(
                    Finding::failure(AREA, Exit::Storage, message)
                        .remedy("see `dmesg` and `mount`; a server that is gone may be behind it"),
                );
            }
        }
    }
    findings.extend(disks.iter().map(|(space, places)| judge(space, places)));
    findings
}

fn judge(space: &Space, places: &[(&str, PathBuf)]) -> Finding {
    let names: Vec<String> = places
        .iter()
        .map(|(what, path)| format!("{what} `{}`", path.display()))
        .collect();
    let message = format!(
        "{} of {} free for {}",
        text::bytes(space.free),
        text::bytes(space.total),
        names.join(", ")
    );
    let path = places.first().map(|(_, path)| path.display().to_string());
    let remedy = format!(
        "free space there (`df -h {}` shows the disk)",
        path.unwrap_or_default()
    );
    if space.has_no_inodes {
        let message = format!("{message}, but no inode is left: no file can be created");
        Finding::failure(AREA, Exit::Storage, message).remedy(remedy)
    } else if space.is_full() {
        Finding::failure(AREA, Exit::Storage, format!("only {message}")).remedy(remedy)
    } else if space.is_nearly_full() {
        Finding::warning(AREA, format!("only {message}")).remedy(remedy)
    } else {
        Finding::ok(AREA, message)
    }
}
