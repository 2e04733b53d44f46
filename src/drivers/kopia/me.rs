//! As whom this host writes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::made::Made;
use super::repository::USER;
use crate::model::Identity;
use crate::model::MachineId;

/// What is ours in a repository that others write into too, even under our name.
#[derive(Clone, Debug)]
pub struct Me {
    /// The host in the identity of our snapshots, fixed at `init`.
    pub host: String,
    pub machine: MachineId,
    /// Machines that this one has replaced, each with when that was said: what they made until then is ours.
    pub adopted: BTreeMap<MachineId, DateTime<Utc>>,
    /// A copy of this machine has its id too, but has made other runs.
    pub made: Made,
    pub profile: String,
    /// Profiles that this one has replaced, as above.
    pub adopted_profiles: BTreeMap<String, DateTime<Utc>>,
}

impl Me {
    pub fn identity(&self) -> Identity {
        Identity::new(USER, &self.host)
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// The machine that saves as `identity`, with the usual profile.
    pub fn me(identity: &str) -> Me {
        Me {
            host: identity.rsplit('@').next().unwrap().to_owned(),
            machine: MachineId::parse(&"a".repeat(32)).unwrap(),
            adopted: BTreeMap::new(),
            made: Made::default(),
            adopted_profiles: BTreeMap::new(),
            profile: "kopi-docka".to_owned(),
        }
    }
}
