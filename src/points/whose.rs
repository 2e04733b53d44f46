//! Whose a restore point is. A name is not enough: two machines may have one, a clone above all, and two configurations of one host
//! share it. Retention and maintenance act on what is proven to be ours, and refuse while another machine uses our name.
//!
//! Never here: which of our points go, or which one is restored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::point::{Point, Tool};
use crate::base::text;
use crate::drivers::kopia::Me;
use crate::model::Identity;
use crate::model::{MachineId, PointId, UnitKind, UnitName};

/// A machine that saved within this time may be at work.
const AT_WORK: TimeDelta = TimeDelta::days(14);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This machine, with this profile.
    Own,
    /// This machine, with another configuration.
    OtherProfile,
    /// Our name, another machine.
    OtherMachine,
    /// Our name, made before points told their machine, and another machine has the name too.
    Unproven,
    OtherHost,
}

/// What the points of a repository tell about who made them.
#[derive(Debug)]
pub struct Whose<'a> {
    me: &'a Me,
    under_way: Option<PointId>,
    /// Other machines of our name, with the time of the newest point of each. Our own id is among them when a copy of this machine has it.
    others: BTreeMap<MachineId, DateTime<Utc>>,
    /// Our own newest point, but for the one that is being made.
    own_newest: Option<DateTime<Utc>>,
    /// Of our units: the kinds that their points name.
    kinds: BTreeMap<UnitName, BTreeSet<UnitKind>>,
}

/// Another machine saves under our name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    pub identity: Identity,
    /// The other one.
    pub machine: MachineId,
    /// When it saved last.
    pub newest: DateTime<Utc>,
    /// It has the id of this machine.
    pub is_copy: bool,
}

/// Points of this machine that are under no retention of this configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherProfile {
    pub profile: String,
    pub points: usize,
    pub newest: DateTime<Utc>,
}

impl<'a> Whose<'a> {
    /// `points` are those of all hosts; `under_way` is the run that asks.
    pub fn of(points: &[Point], me: &'a Me, under_way: Option<&PointId>) -> Self {
        let identity = me.identity();
        let mut whose = Self {
            me,
            under_way: under_way.cloned(),
            others: BTreeMap::new(),
            own_newest: None,
            kinds: BTreeMap::new(),
        };
        let named = points
            .iter()
            .filter(|point| point.made_by == Tool::KopiDocka && point.identity == identity);
        for point in named.clone() {
            if let Some(machine) = &point.machine
                && !whose.is_this_machine(machine, point)
            {
                let newest = whose.others.entry(machine.clone()).or_insert(point.time);
                *newest = point.time.max(*newest);
            }
        }
        for point in named {
            if whose.owner(point) != Owner::Own {
                continue;
            }
            if under_way != Some(&point.backup_id) {
                whose.own_newest = whose.own_newest.max(Some(point.time));
            }
            if let Some(kind) = point.kind {
                let kinds = whose.kinds.entry(point.unit.clone()).or_default();
                kinds.insert(kind);
            }
        }
        whose
    }

    fn is_this_machine(&self, machine: &MachineId, point: &Point) -> bool {
        let id = &point.backup_id;
        let is_made_here = || self.under_way.as_ref() == Some(id) || self.me.made.has(id);
        (*machine == self.me.machine && is_made_here())
            || self
                .me
                .adopted
                .get(machine)
                .is_some_and(|until| point.time <= *until)
    }

    fn is_other_profile(&self, point: &Point) -> bool {
        let Some(profile) = &point.profile else {
            return false;
        };
        let adopted = self.me.adopted_profiles.get(profile);
        *profile != self.me.profile && adopted.is_none_or(|until| point.time > *until)
    }

    pub fn owner(&self, point: &Point) -> Owner {
        let identity = self.me.identity();
        if point.made_by == Tool::Python {
            // It had no machines, and the name of the user who ran it.
            return if point.is_of_host(None, &identity) {
                Owner::Own
            } else {
                Owner::OtherHost
            };
        }
        if point.identity != identity {
            return Owner::OtherHost;
        }
        match &point.machine {
            Some(machine) if !self.is_this_machine(machine, point) => Owner::OtherMachine,
            None if !self.others.is_empty() => Owner::Unproven,
            _ if self.is_other_profile(point) => Owner::OtherProfile,
            _ => Owner::Own,
        }
    }

    pub fn is_own(&self, point: &Point) -> bool {
        self.owner(point) == Owner::Own
    }

    /// Under our name, and not provably of this machine.
    pub fn is_in_doubt(&self, point: &Point) -> bool {
        matches!(self.owner(point), Owner::OtherMachine | Owner::Unproven)
    }

    /// What other configurations of this host have made.
    pub fn of_other_profiles(&self, points: &[Point]) -> Vec<OtherProfile> {
        let mut others: BTreeMap<&str, OtherProfile> = BTreeMap::new();
        for point in points {
            let Some(profile) = &point.profile else {
                continue;
            };
            if self.owner(point) != Owner::OtherProfile {
                continue;
            }
            let other = others.entry(profile).or_insert_with(|| OtherProfile {
                profile: profile.clone(),
                points: 0,
                newest: point.time,
            });
            other.points += 1;
            other.newest = point.time.max(other.newest);
        }
        others.into_values().collect()
    }

    /// Those of other configurations that are no longer at work: a profile that was renamed leaves its points behind.
    pub fn left_behind(&self, points: &[Point], now: DateTime<Utc>) -> Vec<OtherProfile> {
        let mut others = self.of_other_profiles(points);
        others.retain(|other| other.newest < now - AT_WORK);
        others
    }

    /// The other machines of our name.
    pub fn others(&self) -> Vec<MachineId> {
        self.others.keys().cloned().collect()
    }

    /// The kind of the unit that `point` is of. One that does not say it is of the only kind that the name ever had, as far as is known.
    pub fn kind(&self, point: &Point) -> Option<UnitKind> {
        point.kind.or_else(|| {
            let mut kinds = self.kinds.get(&point.unit)?.iter().copied();
            let only = kinds.next();
            only.filter(|_| kinds.next().is_none())
        })
    }

    /// Another machine that is at work under our name: it saved lately, or after we did.
    pub fn conflict(&self, now: DateTime<Utc>) -> Option<Conflict> {
        let (machine, newest) = self.others.iter().max_by_key(|(_, newest)| **newest)?;
        let is_at_work =
            *newest > now - AT_WORK || self.own_newest.is_some_and(|own| *newest > own);
        is_at_work.then(|| Conflict {
            identity: self.me.identity(),
            is_copy: *machine == self.me.machine,
            machine: machine.clone(),
            newest: *newest,
        })
    }

    /// Said while there are some: retention never removes them.
    pub fn doubt(&self, points: &[Point]) -> Option<String> {
        let count = points
            .iter()
            .filter(|point| self.is_in_doubt(point))
            .count();
        (count > 0).then(|| {
            format!(
                "{} of `{}` cannot be proven to be of this machine: retention keeps them",
                text::count(count, "restore point"),
                self.me.identity()
            )
        })
    }

    /// Beside the identity in a table; empty for what needs none.
    pub fn label(&self, point: &Point) -> &'static str {
        match self.owner(point) {
            Owner::Own | Owner::OtherHost => "",
            Owner::OtherProfile => " (another profile)",
            Owner::OtherMachine => " (another machine)",
            Owner::Unproven => " (unknown machine)",
        }
    }

    /// What the operator should know of a point that was taken without naming its host, or for the label beside it.
    pub fn remark(&self, point: &Point) -> Option<String> {
        let identity = &point.identity;
        match self.owner(point) {
            Owner::Own | Owner::OtherHost => None,
            Owner::OtherProfile => Some(format!(
                "it was made with another configuration of this host (profile `{}`)",
                point.profile.as_deref().unwrap_or_default()
            )),
            Owner::OtherMachine => Some(format!(
                "it was made by another machine under the name `{identity}`: this one before a reinstallation, or a second one"
            )),
            Owner::Unproven => Some(format!(
                "several machines save as `{identity}`, and it does not tell which of them made it"
            )),
        }
    }
}

/// How points of a machine that is no more become ours.
pub const ADOPT: &str = "if that machine is gone, or was this one (reinstalled, new hardware), run `kopi-docka init --adopt-points`";

impl OtherProfile {
    pub fn sentence(&self, profile: &str) -> String {
        format!(
            "{} of this host made with profile `{}`, the newest on {}: the `retention` of profile `{profile}` does not remove them",
            text::count(self.points, "restore point"),
            self.profile,
            self.newest.format("%Y-%m-%d")
        )
    }

    pub fn remedy(&self) -> String {
        format!(
            "if this configuration has replaced that one, run `kopi-docka init --adopt-profile {0}`; if its profile was renamed by mistake, set `kopia.profile` back to `{0}`",
            self.profile
        )
    }
}

impl Conflict {
    pub fn sentence(&self) -> String {
        let who = if self.is_copy {
            "a copy of this machine (a clone, or this one before it was set back to a snapshot)"
        } else {
            "another machine"
        };
        format!(
            "{who} saves as `{}` too, last on {}: retention and maintenance are refused on this one, backups go on",
            self.identity,
            text::minute(self.newest)
        )
    }

    /// The first for a machine that lives, the second for one that does not.
    pub fn remedies(&self) -> [String; 2] {
        [
            "if that machine still runs, set `kopia.host` to another name on one of the two and run `kopi-docka init` there; then run \
             `kopi-docka init --adopt-points` on the one that keeps the name"
                .to_owned(),
            ADOPT.to_owned(),
        ]
    }

    /// In one line.
    pub fn warning(&self) -> String {
        format!("{}; {}", self.sentence(), self.remedies().join("; "))
    }
}

#[cfg(test)]
mod tests;
