//! Whether the storage of the repository is nearly full: its disk here, or what Kopia is told where it is.

use std::time::Duration;

use super::cause::{Cause, Problem, What};
use crate::base::blocking::aside;
use crate::base::space::Space;
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::repository::Repository;

/// Storage that does not answer fails the run by itself. It counts as a part of the time that messages may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// `None` where that is not known: the storage does not tell (S3, say), or does not answer.
pub async fn look(cx: &Context, config: &Config) -> Option<Option<Problem>> {
    let params = &config.kopia.kopia_params;
    let looking = async {
        match params.local_path() {
            Some(path) => aside(move || Space::at(&path)).await.ok(),
            None => of_kopia(cx, config).await,
        }
    };
    let space = tokio::select! {
        biased;
        () = cx.shutdown.asked() => None,
        space = tokio::time::timeout(PATIENCE, looking) => space.ok()?,
    }?;
    let why = if space.has_no_inodes {
        "no inode is left".to_owned()
    } else {
        let (free, total) = (text::bytes(space.free), text::bytes(space.total));
        format!("only {free} of {total} are free")
    };
    Some(space.is_nearly_full().then(|| {
        let place = params.local_path();
        let place = place.map_or_else(String::new, |path| format!(" (`{}`)", path.display()));
        let text = format!("the storage of the repository{place} is nearly full: {why}");
        Problem::new(Cause::of_host(What::StorageNearlyFull), text)
    }))
}

async fn of_kopia(cx: &Context, config: &Config) -> Option<Space> {
    let status = Repository::of(cx, config).ok()?.kopia.status().await.ok()?;
    let volume = status.volume?;
    Some(Space {
        device: 0,
        total: volume.capacity,
        free: volume.available,
        has_no_inodes: false,
    })
}
