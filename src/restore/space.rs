//! Watches what is left on the disks while they are written to: the services of this host are at work on them too.

use std::path::PathBuf;
use std::time::Duration;

use super::aside::aside;
use super::plan::Space;
use super::pool::{floor_bytes, free_bytes};
use crate::error::{Exit, Failure};
use crate::ui::text;

/// Between two looks. A fast disk takes some hundred megabytes meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Resolves when one of them has less left than others need.
pub async fn runs_out(spaces: &[Space]) -> anyhow::Error {
    let floors: Vec<(PathBuf, u64)> = spaces
        .iter()
        .map(|space| {
            let floor = floor_bytes(space.needed_bytes, space.free_bytes, space.reserve_bytes);
            (space.path.clone(), floor)
        })
        .collect();
    loop {
        tokio::time::sleep(PAUSE).await;
        let looked = floors.clone();
        let low = aside(move || {
            Ok(looked.into_iter().find_map(|(path, floor)| {
                // One that is about to be made has nothing to say.
                let free = free_bytes(&path).ok()?;
                (free < floor).then_some((path, free))
            }))
        });
        if let Ok(Some((path, free))) = low.await {
            return shortage(&path, free);
        }
    }
}

fn shortage(path: &std::path::Path, free: u64) -> anyhow::Error {
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
