//! Snapshots that go. Their data stays until maintenance finds that it is unused.

use std::time::Duration;

use super::client::{ASK_DEADLINE, Kopia};
use super::failure;
use crate::drivers::tool;
use crate::error::Result;
use crate::model::SnapshotId;

/// The kernel takes megabytes of arguments; Kopia works through them one by one, and a call should end.
const AT_ONCE: usize = 500;

impl Kopia {
    /// Deletes `snapshots` in this order. Each call of Kopia takes effect at its end, for all that it was given or for none.
    pub async fn delete_snapshots(
        &self,
        snapshots: &[SnapshotId],
        deadline: Duration,
    ) -> Result<()> {
        for some in snapshots.chunks(AT_ONCE) {
            // Without --delete it only says what it would do, and exits with 0.
            let spec = self
                .command()
                .args(["snapshot", "delete", "--delete"])
                .args(some.iter().map(SnapshotId::as_str));
            let finished = tool::run(spec, deadline.max(ASK_DEADLINE)).await?;
            if !finished.ended.status.success() {
                return Err(failure::of(&finished.ended));
            }
        }
        Ok(())
    }
}
