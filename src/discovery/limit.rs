//! Binds that are larger than the operator allows.

use std::collections::BTreeMap;

use super::policy::{Policy, Wish};
use super::rules::Rules;
use super::sources::cover_again;
use crate::model::Unit;
use crate::model::source::{Gap, GapReason, Source, SourceKey};
use crate::ui::text;

/// Turns the binds of `unit` that are larger than its limit into gaps. A bind that an `include` names is kept
/// whatever its size, and so is one that is not in `sizes`. What a bind that goes had covered becomes a source again.
pub fn leave_out_too_large(unit: &mut Unit, rules: &Rules, sizes: &BTreeMap<SourceKey, u64>) {
    let policy = Policy::new(rules, unit.name.as_str(), &unit.containers);
    let Some(limit) = policy.max_bind_bytes else {
        return;
    };
    let too_large = |source: &Source| match &source.key {
        SourceKey::Bind { path } => sizes
            .get(&source.key)
            .copied()
            .filter(|bytes| *bytes > limit && policy.wish(path) != Wish::Include),
        SourceKey::Volume { .. } => None,
    };
    let mut open = std::mem::take(&mut unit.sources);
    let mut kept = Vec::new();
    while let Some(source) = open.pop() {
        let Some(bytes) = too_large(&source) else {
            kept.push(source);
            continue;
        };
        unit.gaps.push(Gap {
            what: source.key.to_string(),
            reason: GapReason::TooLarge,
            detail: format!(
                "it holds {}, more than the {} of `backup.bind_mounts.max_size`",
                text::bytes(bytes),
                text::bytes(limit)
            ),
            is_loss: true,
        });
        open.extend(cover_again(source.covers));
    }
    kept.sort_by(|a, b| a.key.cmp(&b.key));
    unit.sources = kept;
}
