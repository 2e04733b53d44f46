//! Which units a run is about.

use serde::Serialize;

use crate::discovery;
use crate::error::Result;
use crate::model::{Unit, UnitName};

pub struct Chosen {
    pub units: Vec<Unit>,
    pub left_out: Vec<LeftOut>,
}

/// A unit of this host that a run does not save.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    pub unit: UnitName,
    pub reason: String,
    /// The operator wants it so.
    pub on_purpose: bool,
}

/// The units with these names; without a name all that are meant to be backed up.
pub fn choose(units: Vec<Unit>, names: &[UnitName]) -> Result<Chosen> {
    let mut chosen = Chosen {
        units: Vec::new(),
        left_out: Vec::new(),
    };
    for unit in discovery::select(units, names)? {
        // Who names a unit gets it, or an error.
        let reason = match &unit.not_coverable {
            _ if !names.is_empty() => None,
            Some(reason) => Some((reason.clone(), false)),
            None if !unit.enabled => {
                Some(("a label or the configuration says so".to_owned(), true))
            }
            None => None,
        };
        match reason {
            Some((reason, on_purpose)) => chosen.left_out.push(LeftOut {
                unit: unit.name,
                reason,
                on_purpose,
            }),
            None => chosen.units.push(unit),
        }
    }
    Ok(chosen)
}
