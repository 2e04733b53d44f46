//! How much is left out because it is in memory: a mount of a tmpfs does not outlive a boot, so it is no loss, but an operator who put
//! 60 MB there by mistake has to see it.

use std::path::Path;
use std::time::Duration;

use crate::base::text;
use crate::discovery::mount_table::MountTable;
use crate::discovery::{self, Size};
use crate::model::source::{Gap, GapReason};
use crate::model::unit::MountKind;
use crate::model::{SourceKey, Unit};

const PATIENCE: Duration = Duration::from_secs(2);

/// Adds what they hold to the gaps of binds that are on a tmpfs.
pub async fn name_sizes(unit: &mut Unit) {
    let mounts = MountTable::read();
    let binds: Vec<_> = unit
        .containers
        .iter()
        .flat_map(|container| &container.mounts)
        .filter(|mount| mount.kind == MountKind::Bind && is_in_memory(&mounts, &mount.source))
        .map(|mount| mount.source.clone())
        .collect();
    for path in binds {
        let what = SourceKey::Bind { path: path.clone() }.to_string();
        let is_its = |gap: &&mut Gap| gap.what == what && gap.reason == GapReason::Ephemeral;
        let Some(gap) = unit.gaps.iter_mut().find(is_its) else {
            continue;
        };
        let walk = discovery::measure(&path, &[]);
        if let Ok(Ok(size)) = tokio::time::timeout(PATIENCE, walk).await
            && size.bytes > 0
            && !gap.detail.ends_with(')')
        {
            gap.detail.push_str(&amount(&size));
        }
    }
}

fn is_in_memory(mounts: &MountTable, path: &Path) -> bool {
    mounts
        .of(path)
        .is_some_and(|mount| matches!(mount.fs_type.as_str(), "tmpfs" | "ramfs"))
}

fn amount(size: &Size) -> String {
    let files = usize::try_from(size.files).unwrap_or(usize::MAX);
    format!(
        " ({} in {})",
        text::bytes(size.bytes),
        text::count(files, "file")
    )
}
