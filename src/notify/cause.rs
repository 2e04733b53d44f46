//! What can be wrong.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::UnitName;

/// Something that is wrong until it is gone. It is told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub what: What,
    /// `None`: it is about the host, or a run as a whole.
    pub unit: Option<UnitName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A backup did not come to its units, or was ended.
    Backup,
    /// A backup was killed, or the power went.
    Killed,
    /// None was begun for two intervals.
    NoRun,
    /// One that could not reach its storage was not made up for.
    GivenUp,
    /// The unit was not saved well.
    Unit,
    /// It lacks something.
    Loss,
    /// None of its old points goes.
    RetentionSuspended,
    /// It was graded `hot` in three runs.
    Hot,
    /// It was not saved in three runs, since it would have been down for too long.
    LeftUp,
    /// There is no new recovery bundle, or it lacks something.
    Bundle,
    StorageNearlyFull,
    /// A restored copy of the unit was not good.
    Drill,
    /// A drill was killed.
    DrillKilled,
}

impl Cause {
    pub fn of_host(what: What) -> Self {
        Self { what, unit: None }
    }

    pub fn of_unit(what: What, unit: &UnitName) -> Self {
        Self {
            what,
            unit: Some(unit.clone()),
        }
    }

    /// Whether it keeps every unit from being saved.
    pub fn is_of_all_units(&self) -> bool {
        matches!(
            self.what,
            What::Backup | What::Killed | What::NoRun | What::GivenUp
        )
    }
}

/// A cause that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub cause: Cause,
    /// In a line or a few, for people.
    pub text: String,
    /// The id of the run that it is about, where that run can say nothing itself.
    pub run: Option<String>,
}

impl Problem {
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self {
            cause,
            text: text.into(),
            run: None,
        }
    }
}

/// A problem as it is told: when it was found first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Known {
    #[serde(flatten)]
    pub cause: Cause,
    pub text: String,
    pub since: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}
