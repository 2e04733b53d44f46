//! Whether the disk of the repository is nearly full.

use std::time::Duration;

use super::cause::{Cause, Problem, What};
use crate::base::blocking::aside;
use crate::base::space::Space;
use crate::base::text;
use crate::config::Config;

/// A disk that does not answer fails the run by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// `None` where that is not known: the repository is elsewhere, or its disk does not answer.
pub async fn look(config: &Config) -> Option<Option<Problem>> {
    let path = config.kopia.kopia_params.local_path()?;
    let asked = path.clone();
    let looking = aside(move || Space::at(&asked));
    let space = tokio::time::timeout(PATIENCE, looking).await.ok()?.ok()?;
    let why = if space.has_no_inodes {
        "no inode is left".to_owned()
    } else {
        let (free, total) = (text::bytes(space.free), text::bytes(space.total));
        format!("only {free} of {total} are free")
    };
    Some(space.is_nearly_full().then(|| {
        let text = format!(
            "the storage of the repository (`{}`) is nearly full: {why}",
            path.display()
        );
        Problem::new(Cause::of_host(What::StorageNearlyFull), text)
    }))
}
