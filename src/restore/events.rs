//! What a restore tells while it works. One line of JSON each under `--json`; fields are only ever added.

use serde::Serialize;

use super::all::UnitOutcome;
use super::apply::report::RestoreReport;
use super::plan::Plan;
use super::undo::{UndoPlan, UndoReport};
use crate::model::UnitName;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    RestorePlanned {
        plan: &'a Plan,
    },
    UndoPlanned {
        plan: &'a UndoPlan,
    },
    Step {
        unit: &'a UnitName,
        step: &'static str,
        /// Services are down during it.
        in_window: bool,
    },
    RestoreFinished {
        report: &'a RestoreReport,
    },
    UndoFinished {
        report: &'a UndoReport,
    },
    RestoreAllFinished {
        units: &'a [UnitOutcome],
        exit_code: u8,
    },
}
