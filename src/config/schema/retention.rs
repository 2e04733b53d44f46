//! How many restore points are kept of each unit.

use serde::{Deserialize, Serialize};

use crate::config::value::whole;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub latest: u32,
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub hourly: u32,
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub daily: u32,
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub weekly: u32,
    #[serde(deserialize_with = "whole::<0, 100_000, _, _>")]
    pub monthly: u32,
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
