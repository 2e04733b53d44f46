//! What a run tells while it works. One line of JSON each under `--json`; fields are only ever added.

use serde::Serialize;

use crate::discovery::OrphanVolume;
use crate::model::report::{RunReport, UnitReport};
use crate::model::{BackupId, UnitName};

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    RunStarted {
        backup_id: BackupId,
        units: &'a [UnitName],
        /// Volumes that no container uses: they are not saved.
        orphan_volumes: &'a [OrphanVolume],
    },
    UnitStarted {
        unit: &'a UnitName,
        /// From 1.
        number: usize,
        of: usize,
    },
    Step {
        unit: &'a UnitName,
        step: &'static str,
        /// Services are down during it.
        in_window: bool,
    },
    UnitFinished {
        report: &'a UnitReport,
    },
    RunFinished {
        report: &'a RunReport,
    },
}
