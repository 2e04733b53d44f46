//! What is remembered, for commands that only look at the host and neither measure nor ask the storage.

use chrono::Utc;

use super::agree;
use super::recall::Recalled;
use crate::base::paths::Paths;
use crate::model::Unit;
use crate::model::source::{Gap, GapReason};

/// Takes the gaps of `unit` that the operator agreed to for no losses; what the newest point lacks beside its gaps is returned. A backup
/// alone finds out whether that is so still.
pub fn recall_losses(paths: &Paths, profile: &str, unit: &mut Unit) -> Vec<Gap> {
    let recalled = Recalled::read(paths, profile, &unit.name);
    let Some(recalled) = recalled.filter(|recalled| recalled.is_of(unit.kind)) else {
        return Vec::new();
    };
    agree::settle(&mut unit.gaps, &recalled.agreed, false, Utc::now());
    let failing = recalled.failing.iter().map(|key| Gap {
        what: key.to_string(),
        reason: GapReason::NotSaved,
        detail: "it could not be read or stored in the last run".to_owned(),
        is_loss: true,
    });
    let is_new = |loss: &Gap| !unit.gaps.iter().any(|gap| gap.what == loss.what);
    let losses = recalled.losses.iter().cloned().chain(failing);
    losses.filter(is_new).collect()
}
