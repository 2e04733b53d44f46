//! Watches what is left on the disks while they are written to: the services of this host are at work on them too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::blocking::aside;
use crate::base::text;
use crate::error::{Exit, Failure};
use crate::restore::plan::decision::Space;
use crate::restore::plan::pool::{floor_bytes, free_bytes};

/// Between two looks. A fast disk takes some ten megabytes meanwhile.
const PAUSE: Duration = Duration::from_millis(10);

/// What others need on each of the file systems.
pub struct Floors(Arc<Vec<(PathBuf, u64)>>);

impl Floors {
    pub fn of(spaces: &[Space]) -> Self {
        let floors = spaces.iter().map(|space| {
            let floor = floor_bytes(space.needed_bytes, space.free_bytes, space.reserve_bytes);
            (space.path.clone(), floor)
        });
        Self(Arc::new(floors.collect()))
    }

    /// Resolves when one of them has less left.
    pub async fn run_out(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Some(error) = self.look().await {
                return error;
            }
        }
    }

    /// Why nothing more is to be written: one of them has less left.
    pub async fn look(&self) -> Option<anyhow::Error> {
        let floors = Arc::clone(&self.0);
        let low = aside(move || {
            Ok(floors.iter().find_map(|(path, floor)| {
                // One that is about to be made has nothing to say.
                let free = free_bytes(path).ok()?;
                (free < *floor).then(|| shortage(path, free))
            }))
        });
        low.await.ok().flatten()
    }
}

fn shortage(path: &Path, free: u64) -> anyhow::Error {
    Failure::new(
        Exit::UnitsFailed,
        format!(
            "the data could not be read back: the file system of `{}` has only {} left, which others need",
            path.display(),
            text::bytes(free)
        ),
    )
    .hint("free space there, or restore fewer volumes at once with `--volume`")
    .into()
}
