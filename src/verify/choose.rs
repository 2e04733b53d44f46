//! From a request to the restore points that are read.

use std::collections::{BTreeMap, BTreeSet};

use crate::drivers::kopia::Me;
use crate::error::{Exit, Failure, Result};
use crate::model::UnitName;
use crate::points::choose::{self, Wanted, Which, newer_but_not_whole};
use crate::points::point::{Point, PointState};
use crate::points::whose::Whose;

#[derive(Clone, Debug)]
pub struct Request {
    /// Empty: all of them.
    pub units: Vec<UnitName>,
    pub which: Which,
    pub hosts: Hosts,
    /// How much of the data is read, 1 to 100.
    pub percent: u8,
}

/// Whose points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    Own,
    One(String),
    All,
}

#[derive(Debug)]
pub struct Chosen<'a> {
    pub points: Vec<&'a Point>,
    pub warnings: Vec<String>,
}

/// The points that `request` means, by unit; at most one of each unit and host. `points` are those of all hosts, the newest
/// first.
pub fn choose<'a>(points: &'a [Point], request: &Request, me: &Me) -> Result<Chosen<'a>> {
    let mut chosen = Chosen {
        points: Vec::new(),
        warnings: Vec::new(),
    };
    let mut units = request.units.clone();
    units.sort();
    units.dedup();
    if units.is_empty() || request.hosts == Hosts::All {
        chosen.take_all(points, request, &units, me)?;
    } else {
        for unit in units {
            let wanted = Wanted {
                unit,
                which: request.which.clone(),
                host: request.host().map(str::to_owned),
            };
            let point = choose::choose(points, &wanted, me)?;
            let remark = choose::unasked(points, point, &wanted, me);
            chosen.warnings.extend(remark);
            chosen.points.push(point);
        }
    }
    if request.which == Which::Latest {
        for point in &chosen.points {
            if let Some(newer) = newer_but_not_whole(points, point).first() {
                chosen.warnings.push(format!(
                    "`{}` has a newer point, {}, that is not whole: {}",
                    point.unit,
                    newer.backup_id,
                    newer.problems.join("; ")
                ));
            }
        }
    }
    Ok(chosen)
}

impl Request {
    fn host(&self) -> Option<&str> {
        match &self.hosts {
            Hosts::One(host) => Some(host),
            Hosts::Own | Hosts::All => None,
        }
    }
}

impl<'a> Chosen<'a> {
    /// What there is of every unit, or of the named ones.
    fn take_all(
        &mut self,
        points: &'a [Point],
        request: &Request,
        units: &[UnitName],
        me: &Me,
    ) -> Result<()> {
        let identity = me.identity();
        let whose = Whose::of(points, me, None);
        let has_own: BTreeSet<&UnitName> = points
            .iter()
            .filter(|point| whose.is_own(point))
            .map(|point| &point.unit)
            .collect();
        let mut groups: BTreeMap<_, Vec<&Point>> = BTreeMap::new();
        for point in points {
            let is_meant = match &request.hosts {
                Hosts::All => true,
                Hosts::One(host) => point.is_of_host(Some(host), &identity),
                // What is left of a machine before this one is still worth reading.
                Hosts::Own => {
                    whose.is_own(point)
                        || point.is_of_host(None, &identity) && !has_own.contains(&point.unit)
                }
            };
            if is_meant {
                let maker = (!whose.is_own(point)).then_some((&point.machine, &point.profile));
                let kind = whose.kind(point);
                let group = (&point.unit, &point.identity, maker, kind);
                groups.entry(group).or_default().push(point);
            }
        }
        let known: Vec<String> = groups
            .keys()
            .map(|(unit, ..)| format!("`{unit}`"))
            .collect();
        for unit in units {
            if !groups.keys().any(|(known, ..)| *known == unit) {
                return Err(
                    nothing(format!("there is no restore point of unit `{unit}`"))
                        .hint(format!("there are points of {}", known.join(", ")))
                        .into(),
                );
            }
        }
        groups.retain(|(unit, ..), _| units.is_empty() || units.contains(unit));
        for ((unit, made_by, ..), group) in groups {
            let found = group.iter().find(|point| match &request.which {
                Which::Latest => point.state == PointState::Whole,
                Which::Before(time) => point.state == PointState::Whole && point.time < *time,
                Which::Id(id) => point.backup_id == *id && point.state != PointState::Unfinished,
            });
            match (found, &request.which) {
                (Some(point), _) => self.points.push(point),
                (None, Which::Latest | Which::Before(_)) => self.warnings.push(format!(
                    "unit `{unit}` of {made_by} has no whole restore point: nothing of it is read"
                )),
                (None, Which::Id(_)) => {}
            }
        }
        if !self.points.is_empty() {
            return Ok(());
        }
        Err(match &request.which {
            Which::Latest | Which::Before(_) => {
                nothing("there is no whole restore point".to_owned())
            }
            Which::Id(id) => nothing(format!("there is no restore point {id}")),
        }
        .into())
    }
}

fn nothing(what: String) -> Failure {
    Failure::new(Exit::NothingMatched, what)
        .hint("see all points with `kopi-docka list --snapshots --all-hosts`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::kopia::testing::me;
    use crate::error::{exit_of, render};
    use crate::points::point::testing;

    const OWN: &str = "kopi-docka@here";

    fn point(unit: &str, day: u32, host: &str, state: PointState) -> Point {
        testing::point(unit, day, &format!("kopi-docka@{host}"), state)
    }

    fn chosen(units: &[&str], which: &str, hosts: Hosts) -> Result<(Vec<String>, usize)> {
        use PointState::{Partial, Unfinished, Whole};
        let points = [
            point("web", 9, "here", Unfinished),
            point("web", 7, "here", Whole),
            point("db", 7, "here", Whole),
            point("web", 7, "there", Whole),
            point("half", 7, "here", Partial),
            point("web", 5, "here", Whole),
        ];
        let request = Request {
            units: units
                .iter()
                .map(|unit| UnitName::parse(unit).unwrap())
                .collect(),
            which: which.parse()?,
            hosts,
            percent: 100,
        };
        let chosen = choose(&points, &request, &me(OWN))?;
        let name = |point: &&Point| {
            let host = point.host();
            format!("{}@{host} {}", point.unit, point.time.format("%d"))
        };
        Ok((
            chosen.points.iter().map(name).collect(),
            chosen.warnings.len(),
        ))
    }

    #[test]
    fn the_newest_whole_point_of_every_unit_is_read_unless_told_otherwise() {
        let own = |units: &[&str], which: &str| chosen(units, which, Hosts::Own).unwrap();
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            own(&[], "latest"),
            (names(&["db@here 07", "web@here 07"]), 2),
            "a unit without a whole point, and a newer point that is not"
        );
        assert_eq!(own(&["web", "web"], "latest").0, names(&["web@here 07"]));
        assert_eq!(
            own(&[], "2026-01-07T00-00-00Z").0,
            names(&["db@here 07", "half@here 07", "web@here 07"])
        );
        assert_eq!(
            chosen(&["web"], "latest", Hosts::All).unwrap().0,
            names(&["web@here 07", "web@there 07"])
        );
        assert_eq!(
            chosen(&[], "latest", Hosts::One("there".to_owned()))
                .unwrap()
                .0,
            names(&["web@there 07"])
        );
    }

    #[test]
    fn what_does_not_exist_is_exit_4() {
        for (units, which, hosts, expected) in [
            (&["wbe"][..], "latest", Hosts::Own, "`web`"),
            (&["web", "wbe"], "latest", Hosts::All, "there are points of"),
            (&["half"], "latest", Hosts::Own, "has no whole"),
            (
                &[],
                "2026-01-01T00-00-00Z",
                Hosts::Own,
                "no restore point 2026",
            ),
            (
                &[],
                "2026-01-09T00-00-00Z",
                Hosts::Own,
                "no restore point 2026",
            ),
            (&[], "latest", Hosts::One("x".to_owned()), "no whole"),
        ] {
            let error = chosen(units, which, hosts).unwrap_err();
            let text = render(&error);
            assert_eq!(exit_of(&error), Exit::NothingMatched, "{text}");
            assert!(text.contains(expected), "{expected:?} in {text}");
        }
    }
}
