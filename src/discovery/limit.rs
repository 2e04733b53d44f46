//! Binds that are larger than the operator allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::nested;
use super::policy::{Policy, Wish};
use super::rules::Rules;
use super::sources::cover_again;
use crate::base::text;
use crate::model::Unit;
use crate::model::source::{Gap, GapReason, Source, SourceKey};

/// How much the binds of a unit may hold.
pub struct BindLimit(Policy);

impl BindLimit {
    /// Whether the operator leaves out a file system that begins at `path` in `source`.
    pub fn leaves_out(&self, source: &Source, path: &Path) -> bool {
        nested::is_excluded(&self.0, source, path)
    }

    pub fn new(unit: &Unit, rules: &Rules) -> Self {
        Self(Policy::new(rules, unit.name.as_str(), &unit.containers))
    }

    /// `None` without a limit, for a volume, and for what an `include` names.
    pub fn of(&self, source: &Source) -> Option<u64> {
        let SourceKey::Bind { path } = &source.key else {
            return None;
        };
        let limit = self.0.max_bind_bytes.filter(|limit| *limit < u64::MAX)?;
        (self.0.wish(path) != Wish::Include).then_some(limit)
    }
}

/// Turns the binds of `unit` that are larger than `limit` into gaps. One in `unmeasured`, which `patience` was not enough for, goes too. What a bind that goes had covered becomes a source again.
pub fn leave_out_too_large(
    unit: &mut Unit,
    limit: &BindLimit,
    sizes: &BTreeMap<SourceKey, u64>,
    unmeasured: &BTreeSet<SourceKey>,
    patience: Duration,
) {
    let too_large = |source: &Source| {
        let limit = limit.of(source)?;
        let most = text::bytes(limit);
        if unmeasured.contains(&source.key) {
            return Some(format!(
                "it could not be measured within {} s, so it may hold more than the {most} of `backup.bind_mounts.max_size`: \
                 name it in `backup.bind_mounts.include` to save it whatever it holds",
                patience.as_secs()
            ));
        }
        // The walk ended there.
        let is_larger = sizes.get(&source.key).is_some_and(|bytes| *bytes > limit);
        is_larger.then(|| format!("it holds more than the {most} of `backup.bind_mounts.max_size`"))
    };
    let mut open = std::mem::take(&mut unit.sources);
    let mut kept = Vec::new();
    while let Some(source) = open.pop() {
        let Some(detail) = too_large(&source) else {
            kept.push(source);
            continue;
        };
        unit.gaps.push(Gap {
            what: source.key.to_string(),
            reason: GapReason::TooLarge,
            detail,
            is_loss: true,
        });
        open.extend(cover_again(source.covers));
    }
    kept.sort_by(|a, b| a.key.cmp(&b.key));
    unit.sources = kept;
}
