//! From what is asked for to one restore point. What is not whole is never taken for whole.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::point::{Point, PointState};
use super::whose::Whose;
use crate::drivers::kopia::Me;
use crate::error::{Exit, Failure, Result};
use crate::model::ids::InvalidId;
use crate::model::{PointId, UnitKind, UnitName};

/// How many points a hint names.
const SHOWN: usize = 5;

/// A point of `unit`.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub unit: UnitName,
    pub which: Which,
    /// The host that made it; `None` is this one.
    pub host: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest one that is whole.
    Latest,
    /// The newest whole one of before that time.
    Before(DateTime<Utc>),
    Id(PointId),
}

impl Which {
    /// Only what is older is meant.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Before(time) => Some(*time),
            Self::Latest | Self::Id(_) => None,
        }
    }
}

impl FromStr for Which {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "latest" => Ok(Self::Latest),
            id => PointId::parse(id).map(Self::Id),
        }
    }
}

/// The point that `wanted` means. `points` are those of all hosts, the newest first.
///
/// Those of this machine and profile come first; where it has none, another one's under our name is better than none, and
/// [`Whose::remark`] says whose it is. A named host means all that has its name.
pub fn choose<'a>(points: &'a [Point], wanted: &Wanted, me: &Me) -> Result<&'a Point> {
    let identity = me.identity();
    let named: Vec<&Point> = points
        .iter()
        .filter(|point| point.is_of_host(wanted.host.as_deref(), &identity))
        .collect();
    let of_unit: Vec<&Point> = named
        .iter()
        .copied()
        .filter(|point| point.unit == wanted.unit)
        .collect();
    if of_unit.is_empty() {
        return Err(unknown_unit(points, &named, wanted).into());
    }
    let whose = Whose::of(points, me, None);
    let until = wanted.which.until();
    let (own, others): (Vec<&Point>, Vec<&Point>) = of_unit
        .iter()
        .filter(|point| until.is_none_or(|until| point.time < until))
        .partition(|point| wanted.host.is_some() || whose.is_own(point));
    let point = match &wanted.which {
        Which::Latest | Which::Before(_) => newest_whole(&own)
            .or_else(|| newest_whole(&others))
            // A unit that never had a whole one, such as one with a volume on another server: the plan says what is not in it.
            .or_else(|| {
                let mut all = own.iter().chain(&others).copied();
                all.find(|point| point.is_all_there_was)
            })
            .ok_or_else(|| none_whole(&of_unit, wanted))?,
        Which::Id(id) => own
            .into_iter()
            .chain(others)
            .find(|point| point.backup_id == *id)
            .ok_or_else(|| unknown_id(&of_unit, wanted, id))?,
    };
    if point.state == PointState::Unfinished {
        return Err(Failure::new(
            Exit::NothingMatched,
            format!(
                "{} of unit `{}` is no restore point: {}",
                point.backup_id,
                point.unit,
                point.problems.join("; ")
            ),
        )
        .hint(what_there_is(&of_unit))
        .into());
    }
    Ok(point)
}

/// Said of a point of our name that is not provably ours, where the operator named no host.
pub fn unasked(points: &[Point], point: &Point, wanted: &Wanted, me: &Me) -> Option<String> {
    if wanted.host.is_some() {
        return None;
    }
    let remark = Whose::of(points, me, None).remark(point)?;
    Some(format!("{}: {remark}", point.backup_id))
}

/// Points of the same place that are newer than `point` and not whole: the operator may have meant one of them.
pub fn newer_but_not_whole<'a>(points: &'a [Point], point: &Point) -> Vec<&'a Point> {
    points
        .iter()
        .filter(|other| {
            host(other) == host(point)
                && other.unit == point.unit
                && may_be_same(&other.machine, &point.machine)
                && may_be_same(&other.profile, &point.profile)
                && may_be_same(&other.kind, &point.kind)
                && other.time > point.time
                && other.state != PointState::Whole
        })
        .collect()
}

/// Of the kind of the newest: a project may have taken the name of a container, and the data of the one is nothing to the other.
fn newest_whole<'a>(points: &[&'a Point]) -> Option<&'a Point> {
    let kind = points
        .iter()
        .filter(|point| point.state != PointState::Unfinished)
        .find_map(|point| point.kind);
    points
        .iter()
        .copied()
        .filter(|point| kind.is_none() || point.kind.is_none() || point.kind == kind)
        .find(|point| point.state == PointState::Whole)
}

fn host(point: &Point) -> &str {
    point.host()
}

/// What is not told may be anything.
fn may_be_same<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
    one.is_none() || other.is_none() || one == other
}

fn unknown_unit(all: &[Point], own: &[&Point], wanted: &Wanted) -> Failure {
    let by = match &wanted.host {
        Some(host) => format!("made by host `{host}`"),
        None => "made by this host".to_owned(),
    };
    let mut failure = Failure::new(
        Exit::NothingMatched,
        format!("there is no restore point of unit `{}` {by}", wanted.unit),
    );
    let units: BTreeSet<&str> = own.iter().map(|point| point.unit.as_str()).collect();
    if !units.is_empty() {
        failure = failure.hint(format!("there are points of {}", quoted(units)));
    }
    let elsewhere: BTreeSet<&str> = all
        .iter()
        .filter(|point| point.unit == wanted.unit)
        .map(host)
        .filter(|host| wanted.host.as_deref() != Some(*host))
        .collect();
    if !elsewhere.is_empty() {
        failure = failure.hint(format!(
            "`--host` takes those of another host; {} made some of this unit",
            quoted(elsewhere)
        ));
    }
    failure.hint("see all points with `kopi-docka list --snapshots --all-hosts`")
}

fn unknown_id(of_unit: &[&Point], wanted: &Wanted, id: &PointId) -> Failure {
    Failure::new(
        Exit::NothingMatched,
        format!("unit `{}` has no restore point {id}", wanted.unit),
    )
    .hint(what_there_is(of_unit))
}

fn none_whole(of_unit: &[&Point], wanted: &Wanted) -> Failure {
    let before = wanted.which.until();
    let mut failure = Failure::new(
        Exit::NothingMatched,
        format!(
            "unit `{}` has no whole restore point{}",
            wanted.unit,
            before.map_or_else(String::new, |time| format!(" of before {}", local(time)))
        ),
    );
    if before.is_some() {
        return failure.hint(what_there_is(of_unit));
    }
    if let Some(other) = of_unit
        .iter()
        .find(|point| point.state == PointState::Whole)
    {
        failure = failure.note(format!(
            "{} is whole, but of {} that had the name before",
            other.backup_id,
            kind_of(other)
        ));
    }
    match of_unit
        .iter()
        .find(|point| point.state == PointState::Partial)
    {
        Some(point) => failure
            .note(format!(
                "the newest with anything in it is {}: {}",
                point.backup_id,
                point.problems.join("; ")
            ))
            .hint(format!(
                "name it with `--backup-id {}` to see what it has",
                point.backup_id
            )),
        None => failure.hint("`kopi-docka backup` creates one"),
    }
}

/// As the operator's clock has it.
fn local(time: DateTime<Utc>) -> String {
    let time = time.with_timezone(&chrono::Local);
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn kind_of(point: &Point) -> &'static str {
    match point.kind {
        Some(UnitKind::Stack) => "a compose project",
        Some(UnitKind::Standalone) => "a single container",
        None => "an unknown kind",
    }
}

fn what_there_is(of_unit: &[&Point]) -> String {
    let ids: Vec<String> = of_unit
        .iter()
        .filter(|point| point.state != PointState::Unfinished)
        .take(SHOWN)
        .map(|point| point.backup_id.to_string())
        .collect();
    if ids.is_empty() {
        "there is no other one: `kopi-docka backup` creates one".to_owned()
    } else {
        format!("the newest are {}", ids.join(", "))
    }
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::point::testing::point;
    use super::*;
    use crate::drivers::kopia::testing::me;
    use crate::error::{exit_of, render};
    use crate::model::{MachineId, UnitName};

    const OWN: &str = "kopi-docka@here";

    fn points() -> Vec<Point> {
        vec![
            point("web", 9, OWN, PointState::Unfinished),
            point("web", 8, OWN, PointState::Partial),
            point("web", 7, "kopi-docka@there", PointState::Whole),
            point("web", 6, OWN, PointState::Whole),
            point("web", 5, OWN, PointState::Whole),
            point("db", 4, "kopi-docka@there", PointState::Whole),
            point("half", 3, OWN, PointState::Partial),
        ]
    }

    fn chosen(unit: &str, which: &str, host: Option<&str>) -> Result<String> {
        let wanted = Wanted {
            unit: UnitName::parse(unit).unwrap(),
            which: which.parse()?,
            host: host.map(str::to_owned),
        };
        choose(&points(), &wanted, &me(OWN)).map(|point| point.backup_id.to_string())
    }

    #[test]
    fn latest_is_the_newest_whole_one_of_this_host() {
        assert_eq!(
            chosen("web", "latest", None).unwrap(),
            "2026-01-06T00-00-00Z"
        );
        assert_eq!(
            chosen("web", "latest", Some("THERE")).unwrap(),
            "2026-01-07T00-00-00Z"
        );
        assert_eq!(
            newer_but_not_whole(&points(), &points()[3]).len(),
            2,
            "the unfinished and the partial one"
        );
    }

    #[test]
    fn before_a_time_is_the_newest_whole_one_that_is_older() {
        let before = |unit: &str, time: &str| {
            let wanted = Wanted {
                unit: UnitName::parse(unit).unwrap(),
                which: Which::Before(time.parse().unwrap()),
                host: None,
            };
            choose(&points(), &wanted, &me(OWN)).map(|point| point.backup_id.to_string())
        };
        assert_eq!(
            before("web", "2026-01-09T12:00:00Z").unwrap(),
            "2026-01-06T00-00-00Z"
        );
        // Not the one of that very time.
        assert_eq!(
            before("web", "2026-01-06T00:00:00Z").unwrap(),
            "2026-01-05T00-00-00Z"
        );
        let error = before("web", "2026-01-05T00:00:00Z").unwrap_err();
        let text = render(&error);
        assert_eq!(exit_of(&error), Exit::NothingMatched, "{text}");
        assert!(
            text.contains("no whole restore point of before 2026-01-0")
                && text.contains("2026-01-06T00-00-00Z"),
            "{text}"
        );
    }

    fn latest(points: &[Point]) -> Result<&Point> {
        let wanted = Wanted {
            unit: UnitName::parse("web").unwrap(),
            which: Which::Latest,
            host: None,
        };
        choose(points, &wanted, &me(OWN))
    }

    #[test]
    fn latest_is_of_this_machine_and_profile_while_it_has_one() {
        let by = |day, machine: &str, profile: &str, state| Point {
            machine: MachineId::parse(&machine.repeat(32)).ok(),
            profile: Some(profile.to_owned()),
            ..point("web", day, OWN, state)
        };
        use PointState::{Partial, Whole};
        let points = [
            by(9, "b", "kopi-docka", Whole),
            by(8, "a", "archive", Whole),
            by(7, "a", "kopi-docka", Partial),
            by(6, "a", "kopi-docka", Whole),
        ];
        assert_eq!(latest(&points).unwrap(), &points[3]);
        // After a reinstallation there is nothing of this machine, or nothing whole.
        assert_eq!(latest(&points[..3]).unwrap(), &points[0]);
        assert_eq!(latest(&points[1..3]).unwrap(), &points[1]);
        let newer = newer_but_not_whole(&points, &points[3]);
        assert_eq!(newer, [&points[2]]);
    }

    #[test]
    fn latest_never_mixes_a_project_and_a_container_of_one_name() {
        let of = |day, kind, state| Point {
            kind,
            ..point("web", day, OWN, state)
        };
        use PointState::{Partial, Whole};
        let (stack, container) = (Some(UnitKind::Stack), Some(UnitKind::Standalone));
        let points = [
            of(9, stack, Partial),
            of(8, container, Whole),
            of(7, stack, Whole),
        ];
        assert_eq!(latest(&points).unwrap(), &points[2]);
        let error = render(&latest(&points[..2]).unwrap_err());
        let note =
            "2026-01-08T00-00-00Z is whole, but of a single container that had the name before";
        assert!(error.contains(note), "{error}");
    }

    #[test]
    fn where_none_was_ever_whole_latest_is_the_newest_with_all_that_there_was() {
        let mut points = points();
        for point in &mut points {
            point.is_all_there_was = point.state == PointState::Partial;
        }
        let latest = |unit: &str| {
            let wanted = Wanted {
                unit: UnitName::parse(unit).unwrap(),
                which: Which::Latest,
                host: None,
            };
            choose(&points, &wanted, &me(OWN)).map(|point| point.backup_id.to_string())
        };
        assert_eq!(latest("half").unwrap(), "2026-01-03T00-00-00Z");
        assert_eq!(latest("web").unwrap(), "2026-01-06T00-00-00Z");
    }

    #[test]
    fn what_does_not_exist_is_exit_4_and_names_what_does() {
        for (unit, which, host, expected) in [
            ("wbe", "latest", None, "there are points of `half`, `web`"),
            ("db", "latest", None, "`there` made some of this unit"),
            (
                "web",
                "2026-01-01T00-00-00Z",
                None,
                "2026-01-08T00-00-00Z, 2026-01-06T00-00-00Z",
            ),
            ("web", "2026-01-09T00-00-00Z", None, "is no restore point"),
            ("half", "latest", None, "--backup-id 2026-01-03T00-00-00Z"),
            ("web", "latest", Some("nobody"), "made by host `nobody`"),
        ] {
            let error = chosen(unit, which, host).unwrap_err();
            let text = render(&error);
            assert_eq!(exit_of(&error), Exit::NothingMatched, "{text}");
            assert!(text.contains(expected), "{expected:?} in {text}");
        }
    }
}
