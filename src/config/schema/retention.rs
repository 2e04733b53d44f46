//! How many restore points are kept of each unit.

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::config::value::whole;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Retention {
    /// Number of newest restore points to keep of each unit.
    ///
    /// Example: `5`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub latest: u32,
    /// Number of hours to keep the newest restore point of.
    ///
    /// Example: `24`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub hourly: u32,
    /// Number of days to keep the newest restore point of.
    ///
    /// Example: `14`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub daily: u32,
    /// Number of weeks to keep the newest restore point of.
    ///
    /// Example: `8`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub weekly: u32,
    /// Number of months to keep the newest restore point of.
    ///
    /// Example: `24`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub monthly: u32,
    /// Number of years to keep the newest restore point of.
    ///
    /// Example: `10`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub yearly: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            latest: 3,
            hourly: 0,
            daily: 7,
            weekly: 4,
            monthly: 12,
            yearly: 5,
        }
    }
}

impl Retention {
    /// Every rule is 0: as in Kopia, that is no rule at all.
    pub fn keeps_everything(&self) -> bool {
        [
            self.latest,
            self.hourly,
            self.daily,
            self.weekly,
            self.monthly,
            self.yearly,
        ]
        .iter()
        .all(|count| *count == 0)
    }
}
