use super::*;
use crate::model::UnitName;
use crate::model::unit::UnitKind;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn volume(name: &str) -> SourceKey {
    SourceKey::Volume {
        name: name.to_owned(),
    }
}

fn source(name: &str) -> Source {
    Source {
        key: volume(name),
        path: "/v".into(),
        is_file: false,
        destinations: Vec::new(),
        exclude_patterns: Vec::new(),
        is_anonymous: false,
        writers: Vec::new(),
        covers: Vec::new(),
        also_reads: Vec::new(),
        is_included: false,
    }
}

fn unit(sources: &[&str]) -> Unit {
    Unit {
        name: UnitName::parse("web").unwrap(),
        kind: UnitKind::Stack,
        containers: Vec::new(),
        levels: Vec::new(),
        sources: sources.iter().map(|name| source(name)).collect(),
        networks: Vec::new(),
        compose: None,
        gaps: Vec::new(),
        not_coverable: None,
        blocker: None,
        enabled: true,
        warnings: Vec::new(),
    }
}

fn disk(id: &str) -> FileSystem {
    FileSystem {
        kind: "ext4".to_owned(),
        id: id.to_owned(),
        path: "/".into(),
    }
}

fn point(day: u32) -> PointId {
    PointId::parse(&format!("2026-01-{day:02}T00-00-00Z")).unwrap()
}

fn before(name: &str, counted: Option<(u64, u64)>) -> Remembered {
    Remembered {
        point: point(1),
        sources: vec![Held {
            key: volume(name),
            point: point(1),
            exclude_patterns: Vec::new(),
            files: counted.map(|(_, files)| files),
            bytes: counted.map(|(bytes, _)| bytes),
            stream: 10 * MIB,
            file_system: Some(disk("UUID=a")),
        }],
        holds: Vec::new(),
        former: Vec::new(),
    }
}

/// What is found when `was` is `is` now, on the disk `id`: losses and doubts.
fn found(was: (u64, u64), is: (u64, u64), id: &str) -> (usize, usize) {
    let here = disk(id);
    let now = |_: &Source| Now {
        counted: Some(is),
        file_system: Some(&here),
    };
    let findings = compare(
        &unit(&["data"]),
        &[],
        &before("data", Some(was)),
        now,
        Percent::HALF,
    );
    (findings.losses.len(), findings.doubts.len())
}

#[test]
fn a_disk_that_is_not_mounted_is_a_loss_and_a_move_of_everything_is_none() {
    assert_eq!(found((60 * MIB, 9), (0, 0), "UUID=b"), (1, 0));
    assert_eq!(found((60 * MIB, 9), (MIB, 1), "UUID=b"), (1, 0));
    assert_eq!(found((60 * MIB, 9), (59 * MIB, 9), "UUID=b"), (0, 0));
    // However little was there.
    assert_eq!(found((2, 1), (0, 0), "UUID=b"), (1, 0));
    assert_eq!(found((0, 0), (0, 0), "UUID=b"), (0, 0));
    assert_eq!(found((9 * KIB, 2), (KIB, 1), "UUID=b"), (0, 0));
}

#[test]
fn what_shrinks_where_it_was_is_a_doubt_unless_it_is_tiny() {
    assert_eq!(found((60 * MIB, 9), (0, 0), "UUID=a"), (0, 1));
    assert_eq!(found((60 * MIB, 9), (29 * MIB, 9), "UUID=a"), (0, 1));
    assert_eq!(found((60 * MIB, 9), (30 * MIB, 9), "UUID=a"), (0, 0));
    assert_eq!(found((8 * KIB, 3), (0, 0), "UUID=a"), (0, 0));
    assert_eq!(found((MIB, 3), (60 * MIB, 9), "UUID=a"), (0, 0));
}

#[test]
fn an_exclude_that_was_added_explains_less_but_no_missing_disk() {
    let mut unit = unit(&["data"]);
    unit.sources[0].exclude_patterns = vec!["cache".to_owned()];
    let compare = |id: &str| {
        let here = disk(id);
        let now = |_: &Source| Now {
            counted: Some((MIB, 1)),
            file_system: Some(&here),
        };
        compare(
            &unit,
            &[],
            &before("data", Some((60 * MIB, 9))),
            now,
            Percent::HALF,
        )
    };
    assert_eq!(compare("UUID=a"), Findings::default());
    assert_eq!(compare("UUID=b").losses.len(), 1);
}

#[test]
fn what_was_not_counted_is_compared_by_its_stream() {
    let nothing = |_: &Source| Now::default();
    let before = before("data", None);
    let findings = compare(&unit(&["data"]), &[], &before, nothing, Percent::HALF);
    assert_eq!(findings.undecided, [volume("data")]);
    let doubt = |stream| by_stream(&source("data"), &before, stream, Percent::HALF);
    assert_eq!(doubt(9 * MIB), None);
    let doubt = doubt(10_240).unwrap();
    assert_eq!(doubt.point, point(1));
    assert!(
        doubt.sentence.contains("is much smaller"),
        "{}",
        doubt.sentence
    );
}

#[test]
fn what_is_no_longer_mounted_is_remembered_until_it_is_named_again() {
    let mut before = before("data", Some((MIB, 1)));
    before.former = vec![Former {
        key: volume("older"),
        last: point(3),
    }];
    let of = |unit: &Unit, gaps: &[Gap]| -> Vec<SourceKey> {
        let findings = compare(unit, gaps, &before, |_| Now::default(), Percent::HALF);
        findings
            .former
            .into_iter()
            .map(|former| former.key)
            .collect()
    };
    assert_eq!(of(&unit(&["data"]), &[]), [volume("older")]);
    assert_eq!(of(&unit(&[]), &[]), [volume("data"), volume("older")]);
    assert_eq!(of(&unit(&["older", "data"]), &[]), []);
    // Left out, and said so.
    let gap = Gap {
        what: volume("data").to_string(),
        reason: GapReason::ExcludedByOperator,
        detail: String::new(),
        is_loss: false,
    };
    assert_eq!(of(&unit(&["older"]), &[gap]), []);
    let mut covering = unit(&["older"]);
    covering.sources[0].covers = vec![source("data")];
    assert_eq!(of(&covering, &[]), []);
}
