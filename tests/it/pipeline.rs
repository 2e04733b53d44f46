//! Many units in one run: what is after its window goes on beside the next one, and never two are down at once.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use crate::common::{Signal, Stack, World, until};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

const MOMENT: Duration = Duration::from_secs(60);

fn stack(world: &World, name: &str, bytes: usize) -> Stack {
    let stack = world.stack(name);
    let stack = stack.service("db", |s| s.volume("data", "/data")).up();
    fs::write(stack.volume_path("data").join("file"), vec![7; bytes]).unwrap();
    stack
}

/// A kopia that is ready, and takes the data of the stack `first` only after `seconds`.
fn slow_for_the_first(world: &World, first: &Stack, seconds: u32) -> OsString {
    let volume = first.volume("data");
    world.stand_in(
        "kopia",
        &format!(
            r#"case "$*" in *"{volume}"*--stdin-file*) echo "Snapshotting it ..." >&2; sleep {seconds};; esac
exec "$REAL" "$@""#
        ),
    )
}

fn backup(world: &World, path: OsString, units: &[&Stack]) -> crate::common::Run {
    let mut args = vec!["--quiet", "backup"];
    for unit in units {
        args.extend(["--unit", unit.unit()]);
    }
    world.kd(&args).env("PATH", path).stdout_any()
}

/// When the step of the unit began, and when it ended.
fn step(report: &Value, unit: &Stack, name: &str) -> (DateTime<Utc>, DateTime<Utc>) {
    let units = report["units"].as_array().unwrap();
    let of = units.iter().find(|it| it["unit"] == unit.unit()).unwrap();
    let steps = of["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == name).unwrap();
    let began: DateTime<Utc> = step["started_at"].as_str().unwrap().parse().unwrap();
    let lasted = step["seconds"].as_f64().unwrap();
    (
        began,
        began + TimeDelta::microseconds((lasted * 1e6) as i64),
    )
}

#[test]
fn while_one_unit_is_stored_the_next_one_is_read_and_no_two_are_down_at_once() {
    let world = World::new();
    let all = [
        stack(&world, "a", 3 << 20),
        stack(&world, "b", 3 << 20),
        stack(&world, "c", 3 << 20),
    ];
    world.init();
    let path = slow_for_the_first(&world, &all[0], 8);
    let watch = world.watch();
    backup(&world, path, &[&all[0], &all[1], &all[2]]).ok();
    let report = world.report();
    let (_, stored) = step(&report, &all[0], "store");
    assert!(step(&report, &all[1], "read").1 < stored, "{report:#}");
    let events = watch.events();
    for [one, next] in [[0, 1], [1, 2]] {
        let up = step(&report, &all[one], "start").1;
        let down = step(&report, &all[next], "stop").0;
        assert!(up <= down, "{up} {down}\n{events}");
    }
    // In the order in which they were named, whichever was done first.
    for (unit, stack) in report["units"].as_array().unwrap().iter().zip(&all) {
        assert_eq!(unit["unit"], stack.unit());
        assert_eq!(unit["grade"], "ok", "{report:#}");
        stack.assert_running(&["db"]);
    }
    assert_eq!(world.points()["points"].as_array().unwrap().len(), 3);
    // Each line of the log is of the unit whose work it tells of, and of no other.
    let log = fs::read_to_string(world.path("kopi-docka.log")).unwrap();
    for stack in &all {
        let of_unit = format!(" unit={}: ", stack.unit());
        for what in ["step store", "step commit", "saved, grade ok"] {
            let told = log.lines().filter(|line| {
                line.contains(&format!("{of_unit}{what}")) && line.matches("unit=").count() == 1
            });
            assert_eq!(told.count(), 1, "{what} of {of_unit}\n{log}");
        }
    }
}

#[test]
fn a_window_does_not_open_before_the_spool_has_room_for_it() {
    let world = World::new();
    let (first, second) = (stack(&world, "a", 3 << 20), stack(&world, "b", 3 << 20));
    world.config(|config| config["backup"]["spool"]["size"] = "5MiB".into());
    world.init();
    let path = slow_for_the_first(&world, &first, 5);
    backup(&world, path, &[&first, &second]).ok();
    let report = world.report();
    let taken = step(&report, &first, "start").1 + TimeDelta::seconds(3);
    assert!(step(&report, &second, "stop").0 > taken, "{report:#}");
    // The spool was enough, so nobody waited for the storage with services down.
    let downtime = report["units"][1]["downtime_seconds"].as_f64().unwrap();
    assert!(downtime < 5.0, "{report:#}");
}

#[test]
fn ended_or_killed_while_one_is_down_and_another_is_stored_both_are_up_again() {
    let world = World::new();
    let (first, second) = (stack(&world, "a", 1 << 20), stack(&world, "b", 1 << 20));
    world.init();
    for signal in [Signal::TERM, Signal::KILL] {
        let path = slow_for_the_first(&world, &first, 30);
        // While it is read nobody is ready to be read from: tar waits.
        let slow = format!(
            r#"case "$*" in *--create*"{}"*) sleep 30;; esac
exec "$REAL" "$@""#,
            second.volume_path("data").display()
        );
        world.stand_in("tar", &slow);
        let run = backup(&world, path, &[&first, &second]).stderr_any();
        let running = run.spawn();
        until("the second to be down and the first up", MOMENT, || {
            (second.running().is_empty() && !first.running().is_empty()).then_some(())
        });
        assert_eq!(world.stop_records().len(), 1, "{signal:?}");
        running.signal(signal);
        let done = running.wait();
        if signal == Signal::TERM {
            assert_eq!(done.code, Some(143), "{done}");
        } else {
            world.kd(&["--quiet", "recover"]).stdout_any().ok();
        }
        first.assert_running(&["db"]);
        second.assert_running(&["db"]);
        assert!(world.stop_records().is_empty());
        world.until_no_process_is_left();
        assert!(world.points()["points"].as_array().unwrap().is_empty());
        fs::remove_dir_all(world.path("bin")).unwrap();
    }
    backup(&world, crate::common::path(), &[&first, &second]).ok();
    assert_eq!(world.points()["points"].as_array().unwrap().len(), 2);
}
