use super::*;
use crate::drivers::kopia::testing::me;
use crate::points::point::PointState;
use crate::points::point::testing::point;

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
    elsewhere.identity = "kopi-docka@db".into();
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

#[test]
fn a_copy_of_this_machine_is_another_one_although_it_has_its_id() {
    use Owner::{OtherMachine, Own};
    let [first, second, third, fourth] =
        [(1, 'a'), (2, 'a'), (3, 'a'), (4, 'a')].map(|(day, by)| made(day, by));
    let points = [first.clone(), second.clone(), third.clone()];
    // Copied after the second: each of the two has made a third.
    let mut me = me(NAME);
    me.made = crate::drivers::kopia::made::testing::made(&[&second.backup_id, &fourth.backup_id]);
    assert_eq!(owners(&points, &me), [Own, Own, OtherMachine]);
    let conflict = Whose::of(&points, &me, None).conflict(day(4)).unwrap();
    assert!(conflict.is_copy && conflict.sentence().contains("a clone"));
    // The run that asks is ours, though its start is not known to who was made before it.
    let whose = Whose::of(&points, &me, Some(&third.backup_id));
    assert_eq!(whose.owner(&third), Own);
    // Until the operator says that the copy is gone.
    me.adopted.insert(machine('a'), day(3));
    assert_eq!(owners(&points, &me), [Own; 3]);
    assert_eq!(Whose::of(&points, &me, None).conflict(day(4)), None);
}

#[test]
fn a_profile_that_saves_no_more_is_left_behind_until_it_is_adopted() {
    let with = |day, profile: &str| Point {
        profile: Some(profile.to_owned()),
        ..made(day, 'a')
    };
    let points = [with(1, "old"), with(2, "old"), with(3, "kopi-docka")];
    let mut me = me(NAME);
    let left = |me: &Me, now| -> Vec<(String, usize)> {
        let others = Whose::of(&points, me, None).left_behind(&points, now);
        let counts = others.into_iter();
        counts.map(|other| (other.profile, other.points)).collect()
    };
    assert_eq!(left(&me, day(4)), []);
    assert_eq!(left(&me, day(30)), [("old".to_owned(), 2)]);
    me.adopted_profiles.insert("old".to_owned(), day(1));
    assert_eq!(
        owners(&points, &me),
        [Owner::Own, Owner::OtherProfile, Owner::Own]
    );
    me.adopted_profiles.insert("old".to_owned(), day(2));
    assert_eq!(left(&me, day(30)), []);
}
