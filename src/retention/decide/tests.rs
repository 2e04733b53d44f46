use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::point::Hold;
use crate::model::{BackupId, Grade};

const OWN: &str = "kopi-docka@h";

fn now() -> DateTime<Utc> {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

fn point(unit: &str, time: DateTime<Utc>, state: PointState) -> Point {
    Point {
        unit: UnitName::parse(unit).unwrap(),
        backup_id: BackupId::at(time).into(),
        identity: OWN.into(),
        machine: None,
        profile: None,
        kind: None,
        made_by: Tool::KopiDocka,
        time,
        state,
        grade: (state != PointState::Unfinished).then_some(Grade::Ok),
        bytes: 0,
        problems: Vec::new(),
        recipe: None,
        is_all_there_was: false,
        holds: Vec::new(),
        snapshots: Vec::new(),
    }
}

fn hours_ago(hours: i64) -> DateTime<Utc> {
    now() - TimeDelta::hours(hours)
}

fn rules(latest: u32) -> Retention {
    let nothing = [0; 5];
    let [hourly, daily, weekly, monthly, yearly] = nothing;
    Retention {
        latest,
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
    }
}

/// The ages in hours of what goes.
fn going(points: &[Point], retention: Retention) -> Vec<i64> {
    decide(points, &OWN.into(), |_| retention, None, now())
        .iter()
        .flat_map(|decision| decision.going.clone())
        .map(|point| (now() - point.time).num_hours())
        .collect()
}

#[test]
fn partial_points_stay_only_while_they_are_newer_than_the_newest_whole_one() {
    use PointState::{Partial, Whole};
    let points = [(1, Whole), (2, Partial), (50, Whole), (75, Partial)]
        .map(|(hours, state)| point("web", hours_ago(hours), state));
    assert_eq!(going(&points, rules(1)), [2, 50, 75]);
    assert_eq!(going(&points, rules(2)), [2, 75]);
    assert_eq!(going(&points[1..2], rules(1)), [0; 0]);
}

#[test]
fn nothing_goes_while_the_newest_point_lacks_something() {
    use PointState::{Partial, Unfinished, Whole};
    let points = [
        (1, Unfinished),
        (2, Partial),
        (50, Whole),
        (75, Partial),
        (100, Whole),
        (120, Unfinished),
    ]
    .map(|(hours, state)| point("web", hours_ago(hours), state));
    // What never was a restore point goes all the same.
    assert_eq!(going(&points, rules(1)), [120]);
    let decisions = decide(&points, &OWN.into(), |_| rules(1), None, now());
    let warning = decisions[0].warning.as_deref().unwrap();
    assert!(warning.contains("--accept-loss web"), "{warning}");
    assert_eq!(going(&points[2..], rules(1)), [75, 100, 120]);
}

#[test]
fn the_newest_ok_point_stays_while_newer_ones_are_worse() {
    let mut points = [1, 50, 75, 100].map(|h| point("web", hours_ago(h), PointState::Whole));
    points[0].grade = Some(Grade::Hot);
    points[1].grade = Some(Grade::Crash);
    assert_eq!(going(&points, rules(1)), [50, 100]);
    points[0].grade = Some(Grade::Ok);
    assert_eq!(going(&points, rules(1)), [50, 75, 100]);
}

#[test]
fn a_point_that_the_newest_holds_stays_until_its_time_is_over() {
    let mut points = [1, 50, 75, 100].map(|h| point("web", hours_ago(h), PointState::Whole));
    let hold = |until| Hold {
        point: BackupId::at(hours_ago(75)).into(),
        until,
    };
    points[0].holds = vec![hold(now() + TimeDelta::hours(1))];
    assert_eq!(going(&points, rules(1)), [50, 100]);
    // The operator agreed: the newest says so by holding nothing.
    points[1].holds = std::mem::take(&mut points[0].holds);
    assert_eq!(going(&points, rules(1)), [50, 75, 100]);
    points[0].holds = vec![hold(now() - TimeDelta::hours(1))];
    assert_eq!(going(&points, rules(1)), [50, 75, 100]);
}

#[test]
fn holds_survive_their_tag() {
    let holds: Vec<Hold> = [75, 100]
        .map(|hours| Hold {
            point: BackupId::at(hours_ago(hours)).into(),
            until: now() + TimeDelta::hours(hours),
        })
        .into();
    assert_eq!(Hold::parse(&Hold::tag(&holds)), holds);
    assert_eq!(Hold::parse("x=y,=,2026"), []);
}

#[test]
fn a_partial_point_whose_grade_is_unknown_stays() {
    let mut old = point("web", hours_ago(75), PointState::Partial);
    old.grade = None;
    let points = [point("web", hours_ago(1), PointState::Whole), old];
    assert_eq!(going(&points, rules(1)), [0; 0]);
}

#[test]
fn unfinished_points_go_after_a_day_unless_they_are_of_the_run_under_way() {
    let points = [1, 23, 25, 80].map(|h| point("web", hours_ago(h), PointState::Unfinished));
    assert_eq!(going(&points, rules(1)), [25, 80]);
    // There is no rule that would keep them.
    assert_eq!(going(&points, rules(0)), [25, 80]);
    let under_way = &points[3].backup_id;
    let decisions = decide(&points, &OWN.into(), |_| rules(1), Some(under_way), now());
    assert_eq!(decisions[0].going, [&points[2]]);
}

#[test]
fn a_clock_that_jumped_back_removes_nothing_of_that_unit() {
    let ages = [
        (-2, "web"),
        (50, "web"),
        (75, "web"),
        (50, "db"),
        (75, "db"),
    ];
    let points = ages.map(|(h, unit)| point(unit, hours_ago(h), PointState::Whole));
    let decisions = decide(&points, &OWN.into(), |_| rules(1), None, now());
    assert_eq!(decisions[0].unit.as_str(), "db");
    assert_eq!(decisions[0].going, [&points[4]]);
    assert!(decisions[1].going.is_empty());
    assert_eq!(decisions[1].kept, 3);
    let warning = decisions[1].warning.as_deref().unwrap();
    assert!(warning.contains("from the future"), "{warning}");
}

#[test]
fn points_of_other_hosts_and_of_the_python_tool_are_never_counted_nor_removed() {
    let mut points = [1, 50, 75, 100].map(|h| point("web", hours_ago(h), PointState::Whole));
    points[0].identity = "kopi-docka@other".into();
    points[1].made_by = Tool::Python;
    assert_eq!(going(&points, rules(1)), [100]);
}

#[test]
fn a_project_does_not_push_out_the_points_of_a_container_that_had_its_name() {
    use crate::model::UnitKind::{Stack, Standalone};
    let ages = [(1, Stack), (50, Stack), (75, Standalone), (100, Standalone)];
    let points = ages.map(|(hours, kind)| Point {
        kind: Some(kind),
        ..point("web", hours_ago(hours), PointState::Whole)
    });
    assert_eq!(going(&points, rules(1)), [50, 100]);
}

fn any_retention() -> impl Strategy<Value = Retention> {
    [0_u32..4, 0..4, 0..4, 0..4, 0..4, 0..4].prop_map(
        |[latest, hourly, daily, weekly, monthly, yearly]| Retention {
            latest,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        },
    )
}

fn any_points() -> impl Strategy<Value = Vec<Point>> {
    use PointState::{Partial, Unfinished, Whole};
    let state = prop_oneof![4 => Just(Whole), 1 => Just(Partial), 1 => Just(Unfinished)];
    // Close together, and over years.
    let seconds = prop_oneof![0_i64..200_000, 0_i64..150_000_000];
    let one = (seconds, state, 0..5_u8);
    proptest::collection::vec(one, 0..40).prop_map(|all| {
        let mut seen = BTreeSet::new();
        all.into_iter()
            .filter(|(seconds, ..)| seen.insert(*seconds))
            .map(|(seconds, state, whose)| {
                let mut point = point("web", now() - TimeDelta::seconds(seconds), state);
                match whose {
                    0 => point.identity = "kopi-docka@other".into(),
                    1 => point.made_by = Tool::Python,
                    _ => {}
                }
                point
            })
            .collect()
    })
}

/// Whether a rule that keeps `count` periods keeps `point`, said as in a manual: it is the newest of its period, and its period is
/// among the newest `count` that have a point.
fn is_kept_by(point: &Point, whole: &[&Point], count: u32, period: &str) -> bool {
    let of = |point: &Point| point.time.format(period).to_string();
    let newest = whole
        .iter()
        .filter(|other| of(other) == of(point))
        .all(|other| other.time <= point.time);
    let newer: BTreeSet<String> = whole
        .iter()
        .map(|other| of(other))
        .filter(|other| *other > of(point))
        .collect();
    newest && newer.len() < count as usize
}

proptest! {
    #[test]
    fn what_goes_is_what_a_plain_reading_of_the_rules_says(points in any_points(), retention in any_retention()) {
        let own: Vec<&Point> = points
            .iter()
            .filter(|point| point.identity == OWN && point.made_by == Tool::KopiDocka)
            .collect();
        let whole: Vec<&Point> = own.iter().filter(|point| point.state == PointState::Whole).copied().collect();
        let newest = whole.iter().map(|point| point.time).max();
        let finished = own.iter().filter(|point| point.state != PointState::Unfinished);
        let is_suspended = finished.max_by_key(|point| point.time).is_some_and(|point| point.state == PointState::Partial);
        let expected = own.iter().filter(|point| !match point.state {
            PointState::Unfinished => now() - point.time < TimeDelta::days(1),
            PointState::Partial => is_suspended || retention.keeps_everything() || newest.is_none_or(|newest| point.time > newest),
            PointState::Whole => is_suspended || retention.keeps_everything() || [
                (retention.latest, "%s"),
                (retention.hourly, "%Y-%m-%dT%H"),
                (retention.daily, "%F"),
                (retention.weekly, "%G-W%V"),
                (retention.monthly, "%Y-%m"),
                (retention.yearly, "%Y"),
            ].iter().any(|(count, period)| is_kept_by(point, &whole, *count, period)),
        });
        let expected: BTreeSet<String> = expected.map(|point| point.backup_id.to_string()).collect();
        let decisions = decide(&points, &OWN.into(), |_| retention, None, now());
        let going: Vec<&Point> = decisions.iter().flat_map(|decision| decision.going.clone()).collect();
        let ids: BTreeSet<String> = going.iter().map(|point| point.backup_id.to_string()).collect();
        prop_assert_eq!(&ids, &expected);
        prop_assert!(going.iter().all(|point| point.identity == OWN && point.made_by == Tool::KopiDocka));
        // The newest whole one stays, whatever the rules say.
        let has_newest = going.iter().any(|point| point.state == PointState::Whole && Some(point.time) == newest);
        prop_assert!(!has_newest);
        // Doing it twice removes nothing more.
        let rest: Vec<Point> = points.iter().filter(|point| !going.contains(point)).cloned().collect();
        let again = decide(&rest, &OWN.into(), |_| retention, None, now());
        prop_assert!(again.iter().all(|decision| decision.going.is_empty()));
    }
}
