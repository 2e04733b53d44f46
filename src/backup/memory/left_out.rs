//! How a loss is told: the cause, and the ways out.

use crate::model::UnitName;
use crate::model::source::{Gap, GapReason};

/// One line: what is lost, why, and what the operator can do about it.
pub fn loss(unit: &UnitName, gap: &Gap) -> String {
    let what = match gap.reason {
        GapReason::NotMounted => "is not what it was",
        _ => "is not saved",
    };
    format!(
        "{} {what}: {}. {}",
        gap.what,
        gap.detail,
        ways_out(unit, &gap.what, gap.reason)
    )
}

/// An exclude, where there is one for it, and the agreement.
pub fn ways_out(unit: &UnitName, what: &str, reason: GapReason) -> String {
    let agree = format!("agree to the loss: `kopi-docka backup --accept-loss {unit}`");
    let of_unit = format!("`backup.units.{unit}");
    if reason == GapReason::OtherFileSystem {
        return format!(
            "Mount it into a container by itself, which makes it a source; or exclude it: {of_unit}.bind_mounts.exclude` or the label `kopi-docka.bind.exclude`; or {agree}"
        );
    }
    if reason == GapReason::NotSaved {
        return format!(
            "Fix the cause; or, if it is a path in it that cannot be read, exclude that path: {of_unit}.exclude_patterns` or the label `kopi-docka.exclude`; or {agree}"
        );
    }
    if what.starts_with("bind mount ") {
        format!(
            "Bring it back; or exclude it: {of_unit}.bind_mounts.exclude` or the label `kopi-docka.bind.exclude`; or {agree}"
        )
    } else if what.starts_with("volume ") {
        format!(
            "Bring it back; or leave out what uses it: the label `kopi-docka.enable=false`; or {agree}"
        )
    } else {
        format!("Bring it back; or {agree}")
    }
}
