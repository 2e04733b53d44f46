use super::*;
use crate::kopia::testing::me;
use crate::restore::points::PointState;
use crate::restore::points::testing::point;

const NAME: &str = "kopi-docka@web";

fn machine(letter: char) -> MachineId {
    MachineId::parse(&letter.to_string().repeat(32)).unwrap()
}

/// A whole point of `web` of a day of January, by the machine of that letter; by none for ` `.
fn made(day: u32, by: char) -> Point {
    let mut point = point("web", day, NAME, PointState::Whole);
    point.machine = (by != ' ').then(|| machine(by));
    point
}

fn day(day: u32) -> DateTime<Utc> {
    made(day, ' ').time
}

fn owners(points: &[Point], me: &Me) -> Vec<Owner> {
    let whose = Whose::of(points, me, None);
    points.iter().map(|point| whose.owner(point)).collect()
}

#[test]
fn points_without_a_machine_are_ours_until_another_machine_has_the_name() {
    use Owner::{OtherMachine, Own, Unproven};
    let me = me(NAME);
    assert_eq!(owners(&[made(1, ' '), made(2, 'a')], &me), [Own, Own]);
    assert_eq!(
        owners(&[made(1, ' '), made(2, 'a'), made(3, 'b')], &me),
        [Unproven, Own, OtherMachine]
    );
    let mut elsewhere = made(3, 'b');
    elsewhere.identity = "kopi-docka@db".to_owned();
    assert_eq!(
        owners(&[made(1, ' '), elsewhere], &me),
        [Own, Owner::OtherHost]
    );
}

#[test]
fn another_profile_of_this_machine_is_not_ours() {
    let mut other = made(1, 'a');
    other.profile = Some("archive".to_owned());
    let mut old = made(2, ' ');
    old.profile = Some("archive".to_owned());
    assert_eq!(owners(&[other, old], &me(NAME)), [Owner::OtherProfile; 2]);
}

#[test]
fn what_an_adopted_machine_made_is_ours_but_not_what_it_makes_afterwards() {
    use Owner::{OtherMachine, Own};
    let mut me = me(NAME);
    me.adopted.insert(machine('b'), day(5));
    let points = [made(1, ' '), made(4, 'b'), made(5, 'b')];
    assert_eq!(owners(&points, &me), [Own; 3]);
    assert_eq!(Whose::of(&points, &me, None).conflict(day(6)), None);
    let alive = [made(4, 'b'), made(6, 'b')];
    assert_eq!(owners(&alive, &me), [Own, OtherMachine]);
    assert!(Whose::of(&alive, &me, None).conflict(day(6)).is_some());
}

#[test]
fn a_machine_is_at_work_when_it_saved_lately_or_after_us() {
    let me = me(NAME);
    let conflict = |points: &[Point], now| Whose::of(points, &me, None).conflict(now);
    assert_eq!(conflict(&[made(1, 'a'), made(2, 'a')], day(3)), None);
    let found = conflict(&[made(1, 'a'), made(2, 'b')], day(3)).unwrap();
    assert_eq!((found.machine, found.newest), (machine('b'), day(2)));
    // Lately, though we saved after it.
    assert!(conflict(&[made(1, 'b'), made(2, 'a')], day(3)).is_some());
    assert_eq!(conflict(&[made(1, 'b'), made(2, 'a')], day(20)), None);
    // Long ago, but after us.
    assert!(conflict(&[made(1, 'a'), made(2, 'b')], day(30)).is_some());
    // The run that asks does not count: both may save once a month.
    let points = [made(1, 'a'), made(2, 'b'), made(30, 'a')];
    let under_way = points[2].backup_id.clone();
    let whose = Whose::of(&points, &me, Some(&under_way));
    assert!(whose.conflict(day(30)).is_some());
    assert_eq!(conflict(&points, day(30)), None);
}

#[test]
fn a_point_that_does_not_tell_its_kind_is_of_the_only_one_that_is_known() {
    use UnitKind::{Stack, Standalone};
    let me = me(NAME);
    let with = |kinds: &[Option<UnitKind>]| -> Vec<Option<UnitKind>> {
        let points: Vec<Point> = (1_u32..)
            .zip(kinds)
            .map(|(day, kind)| Point {
                kind: *kind,
                ..made(day, 'a')
            })
            .collect();
        let whose = Whose::of(&points, &me, None);
        points.iter().map(|point| whose.kind(point)).collect()
    };
    assert_eq!(with(&[None]), [None]);
    assert_eq!(with(&[None, Some(Stack)]), [Some(Stack); 2]);
    assert_eq!(
        with(&[None, Some(Standalone), Some(Stack)]),
        [None, Some(Standalone), Some(Stack)]
    );
}
