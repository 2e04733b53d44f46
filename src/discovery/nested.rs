//! Other file systems inside a source: `tar` stays on one, so they have to be told.

use super::scene::Scene;
use super::sources::Located;
use super::system_paths::is_pseudo;
use crate::model::source::{Gap, GapReason};

/// A gap for each file system mounted below a source, unless another source of the unit reads it.
pub fn gaps(scene: &Scene, located: &[Located]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for outer in located.iter().filter(|outer| !outer.source.is_file) {
        for mount in scene.host.mounts.below(&outer.source.path) {
            let device = scene.host.facts(&mount.point).device;
            // A bind mount of the same file system: tar goes in.
            let is_read = device == outer.device
                || located.iter().any(|other| {
                    other.device == device && mount.point.starts_with(&other.source.path)
                });
            let what = format!("`{}` inside {}", mount.point.display(), outer.source.key);
            if is_read || gaps.iter().any(|gap| gap.what == what) {
                continue;
            }
            let is_empty = is_pseudo(&mount.fs_type);
            gaps.push(Gap {
                what,
                reason: if is_empty {
                    GapReason::Ephemeral
                } else {
                    GapReason::OtherFileSystem
                },
                detail: format!("another file system ({}) is mounted there", mount.fs_type),
                is_loss: !is_empty,
            });
        }
    }
    gaps
}
