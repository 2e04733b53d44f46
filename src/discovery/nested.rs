//! Other file systems inside a source: `tar` stays on one, so they have to be told.

use std::path::Path;

use super::policy::Policy;
use super::scene::Scene;
use super::sources::Located;
use super::system_paths::is_pseudo;
use crate::model::exclude::Excludes;
use crate::model::source::{Gap, GapReason, Source};

/// A gap for each file system mounted below a source, unless another source of the unit reads it.
pub fn gaps(scene: &Scene, policy: &Policy, located: &[Located]) -> Vec<Gap> {
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
            let is_excluded = is_excluded(policy, &outer.source, &mount.point);
            gaps.push(Gap {
                what,
                reason: match (is_empty, is_excluded) {
                    (true, _) => GapReason::Ephemeral,
                    (false, true) => GapReason::ExcludedByOperator,
                    (false, false) => GapReason::OtherFileSystem,
                },
                detail: format!("another file system ({}) is mounted there", mount.fs_type),
                is_loss: !is_empty && !is_excluded,
            });
        }
    }
    gaps
}

/// Whether the operator leaves out what is mounted at `path` in `source`: named as a bind mount would be, or by a pattern of what is not
/// read.
pub fn is_excluded(policy: &Policy, source: &Source, path: &Path) -> bool {
    if policy.is_named_out(path) {
        return true;
    }
    let Ok(below) = path.strip_prefix(&source.path) else {
        return false;
    };
    Excludes::new(&source.exclude_patterns).leave_out(below)
}
