//! What is not saved any more is said, graded, and never the reason that the last point with it goes: the real engine, the real Kopia.

use std::fs;
use std::path::Path;

use crate::common::{Run, Stack, World, mount, mount_ext4, unmount};
use serde_json::{Value, json};

/// A world with a repository that keeps the latest `count` points.
fn world_that_keeps(count: u32) -> World {
    let world = World::new();
    world.config(|config| {
        config["retention"] = json!({"latest": count, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    });
    world.init();
    world
}

fn backup(world: &World, unit: &str) -> Run {
    world
        .kd(&["--quiet", "backup", "--unit", unit])
        .stdout_any()
}

fn accept(world: &World, unit: &str) -> Run {
    backup(world, unit).args(["--accept-loss", unit])
}

/// The states of all points, the newest first.
#[track_caller]
fn states(world: &World) -> Vec<String> {
    let points = world.points();
    let points = points["points"].as_array().unwrap();
    let state = |point: &Value| point["state"].as_str().unwrap().to_owned();
    points.iter().map(state).collect()
}

#[track_caller]
fn unit_report(world: &World) -> Value {
    world.report()["units"][0].clone()
}

#[track_caller]
fn assert_lost(world: &World, count: usize) {
    let report = unit_report(world);
    assert_eq!(report["outcome"], "saved_with_loss", "{report:#}");
    assert_eq!(report["grade"], "partial");
    assert_eq!(report["losses"].as_array().unwrap().len(), count);
    assert_eq!(report["errors"].as_array().unwrap().len(), count);
}

/// With `bytes` in a file of it.
fn fill(folder: &Path, bytes: usize) {
    fs::write(folder.join("photo"), vec![7; bytes]).unwrap();
}

fn stack_with(world: &World, folder: &Path) -> Stack {
    world
        .stack("gallery")
        .service("app", |s| s.volume("db", "/db").bind(folder, "/photos"))
        .up()
}

#[test]
fn a_disk_that_is_not_mounted_is_a_loss_and_the_point_with_its_data_stays() {
    let world = world_that_keeps(2);
    let disk = mount_ext4(&world, "disk", 32);
    fill(&disk, 3);
    let stack = stack_with(&world, &disk);
    backup(&world, stack.unit()).ok();

    stack.stop("app");
    unmount(&disk);
    stack.start("app");
    let doors = [
        "another file system is there than in the last whole point",
        "bind_mounts.exclude` or the label `kopi-docka.bind.exclude`",
        "backup --accept-loss ",
        "no restore point of ",
    ];
    for night in 0..3 {
        if night == 2 {
            // As after a new installation: the last whole point itself tells what it held.
            fs::remove_dir_all(world.path("state/remembered")).unwrap();
        }
        let run = doors
            .iter()
            .fold(backup(&world, stack.unit()), |run, text| run.stderr(*text));
        run.code(3);
        assert_lost(&world, 1);
        assert!(world.report()["retention"].is_null());
    }
    stack.assert_running(&["app"]);
    assert_eq!(states(&world), ["partial", "partial", "partial", "whole"]);
    let maintenance = world.kd(&["repo-maintenance", "--dry-run"]);
    maintenance
        .stdout("No restore point goes, 4 restore points stay")
        .stderr("--accept-loss")
        .ok();
    world
        .kd(&["check"])
        .stdout("lacks something: bind mount ")
        .stderr_any()
        .code(3);

    // It is back: the next point is whole, and retention goes on.
    stack.stop("app");
    let image = world.path("disk.image");
    mount(&world, "disk", &["-o", "loop", image.to_str().unwrap()]);
    stack.start("app");
    backup(&world, stack.unit()).ok();
    assert_eq!(states(&world), ["whole", "whole"]);

    // The operator agrees that the disk is gone for good: from then on it is as if it had never been.
    stack.stop("app");
    unmount(&disk);
    stack.start("app");
    accept(&world, stack.unit()).ok();
    assert_eq!(unit_report(&world)["gaps"][0]["is_loss"], false);
    backup(&world, stack.unit()).ok();
    assert_eq!(unit_report(&world)["gaps"], json!([]));
    assert_eq!(states(&world), ["whole", "whole"]);
}

#[test]
fn an_agreement_holds_until_the_thing_is_back_and_is_named_every_night() {
    let world = world_that_keeps(0);
    world.config(|config| {
        config["metrics"] = json!({"textfile": world.path("metrics.prom")});
    });
    let metrics = || fs::read_to_string(world.path("metrics.prom")).unwrap();
    let (folder, away) = (world.dir("photos"), world.path("away"));
    fill(&folder, 100_000);
    let stack = stack_with(&world, &folder);
    let unit = stack.unit();
    backup(&world, unit).ok();
    assert!(metrics().contains(&format!("kopi_docka_unit_losses{{unit=\"{unit}\"}} 0\n")));

    stack.stop("app");
    fs::rename(&folder, &away).unwrap();
    let run = backup(&world, unit).stderr("is not saved: nothing is there on this host");
    run.code(3);
    assert_lost(&world, 1);
    assert!(metrics().contains(&format!("kopi_docka_unit_losses{{unit=\"{unit}\"}} 1\n")));
    assert!(metrics().contains(&format!(
        "kopi_docka_unit_last_run_success{{unit=\"{unit}\"}} 0\n"
    )));
    accept(&world, unit).ok();
    // Named below the table, by whose word.
    let shown = world.kd(&["backup", "--unit", unit]).stderr_any();
    shown
        .stdout("Not saved:")
        .stdout("nothing is there on this host; by your agreement of ")
        .ok();
    let gap = unit_report(&world)["gaps"][0].clone();
    assert_eq!(
        (&gap["reason"], &gap["is_loss"]),
        (&json!("missing"), &json!(false))
    );
    let plan = world
        .kd(&["dry-run", "--json", "--unit", unit])
        .stderr_any()
        .json();
    assert_eq!(plan["units"][0]["gaps"][0]["is_loss"], false);

    fs::rename(&away, &folder).unwrap();
    backup(&world, unit).ok();
    assert_eq!(unit_report(&world)["gaps"], json!([]));
    fs::rename(&folder, &away).unwrap();
    backup(&world, unit).stderr("--accept-loss").code(3);
    // An exclude is the other way.
    world.config(|config| {
        config["backup"]["bind_mounts"]["exclude"] = json!([folder.to_str().unwrap()]);
    });
    backup(&world, unit).ok();
}

#[test]
fn an_agreement_about_a_unit_that_is_not_saved_is_refused_before_anything_stops() {
    let world = world_that_keeps(1);
    let stack = world.web();
    let watch = world.watch();
    let run = world.kd(&["backup", "--unit", stack.unit(), "--accept-loss", "other"]);
    run.stderr("this run does not save a unit of that name")
        .code(4);
    watch.events().assert_untouched();
}

#[test]
fn what_shrank_is_said_once_and_the_point_before_it_is_kept_until_the_operator_agrees() {
    let world = world_that_keeps(1);
    let stack = world.web();
    let data = stack.volume_path("data");
    fill(&data, 500_000);
    world.backup(&stack);
    let first = world.points()["points"][0]["backup_id"].clone();

    fs::remove_file(data.join("photo")).unwrap();
    backup(&world, stack.unit())
        .stderr("is much smaller than in")
        .stderr("kept for 30 days")
        .ok();
    assert_eq!(unit_report(&world)["outcome"], "saved");
    for _ in 0..2 {
        world.backup(&stack);
    }
    let points = world.points()["points"].clone();
    assert_eq!(points.as_array().unwrap().len(), 2);
    assert_eq!(points[1]["backup_id"], first);
    // A few bytes more or less are no doubt.
    fill(&data, 5000);
    world.backup(&stack);
    fs::remove_file(data.join("photo")).unwrap();
    world.backup(&stack);

    accept(&world, stack.unit()).ok();
    assert_eq!(states(&world), ["whole"]);
}

#[test]
fn what_no_container_mounts_any_more_is_said_as_long_as_a_point_holds_it() {
    let world = world_that_keeps(2);
    let volume = world.volume("old", |v| v);
    let name = world.container("app", |s| {
        s.volume("data", "/data").external(&volume, "/old")
    });
    backup(&world, &name).ok();
    world.docker(&["rm", "--force", &name]).stdout_any().ok();
    let again = world.container("app", |s| s.volume("data", "/data"));
    assert_eq!(again, name);
    for _ in 0..2 {
        backup(&world, &name)
            .stderr(format!(
                "volume `{volume}` is not saved any more: no container mounts it"
            ))
            .ok();
    }
    backup(&world, &name).ok();
}

#[test]
fn a_source_whose_disk_goes_away_after_it_was_measured_is_a_loss() {
    let world = world_that_keeps(1);
    let disk = mount_ext4(&world, "disk", 32);
    fill(&disk, 3);
    let stack = stack_with(&world, &disk);
    let run = backup(&world, stack.unit())
        .stderr("as good as nothing when it was read")
        .stderr("--accept-loss");
    let held = world.hold("prove_cold", run);
    unmount(&disk);
    held.release().code(3);
    stack.assert_running(&["app"]);
    assert_lost(&world, 1);
    assert_eq!(states(&world), ["partial"]);
}

#[test]
fn what_is_in_memory_is_no_loss_and_is_named_with_its_size() {
    let world = world_that_keeps(1);
    let memory = mount(&world, "memory", &["-t", "tmpfs", "tmpfs"]);
    fill(&memory, 3 << 20);
    let stack = stack_with(&world, &memory);
    world
        .kd(&["backup", "--unit", stack.unit()])
        .stderr_any()
        .stdout("Not saved:")
        .stdout("it is on a tmpfs file system, which keeps nothing (3.0 MiB in 1 file)")
        .ok();
    assert_eq!(unit_report(&world)["outcome"], "saved");
}

/// A program that does `instead` when it is to make something and `word` is in its arguments.
fn broken(world: &World, program: &str, word: &str, instead: &str) -> std::ffi::OsString {
    let script =
        format!("case \"$*\" in *create*{word}*) {instead}; exit 2;; esac\nexec \"$REAL\" \"$@\"");
    world.stand_in(program, &script)
}

/// What `list --units` says that the newest point of `unit` lacks.
#[track_caller]
fn listed_losses(world: &World, unit: &str) -> Value {
    let listed = world.kd(&["list", "--units", "--json"]).json();
    let units = listed["units"].as_array().unwrap();
    let listed = units.iter().find(|one| one["name"] == unit).unwrap();
    listed["last_losses"].clone()
}

#[test]
fn a_source_that_fails_every_night_can_be_agreed_to_and_comes_back_by_itself() {
    let world = world_that_keeps(1);
    let folder = world.dir("photos");
    fill(&folder, 100_000);
    let stack = stack_with(&world, &folder);
    let unit = stack.unit();
    backup(&world, unit).ok();
    let error = "echo 'tar: ./photo: Cannot read: Input/output error' >&2";
    let path = broken(&world, "tar", "photos", error);
    let broken = |run: Run| run.env("PATH", &path);

    // Nobody could mean an accident that comes in the very run.
    broken(accept(&world, unit))
        .stderr("Input/output error")
        .stderr("has not failed before")
        .code(3);
    assert_lost(&world, 1);
    broken(backup(&world, unit))
        .stderr("Fix the cause")
        .stderr("exclude_patterns` or the label `kopi-docka.exclude`")
        .stderr("--accept-loss")
        .stderr("no restore point of ")
        .code(3);
    assert_eq!(states(&world), ["partial", "partial", "whole"]);
    world
        .kd(&["list", "--units"])
        .stdout("not in the newest point: bind mount ")
        .ok();
    assert_eq!(listed_losses(&world, unit)[0]["reason"], "not_saved");

    broken(accept(&world, unit)).ok();
    for _ in 0..2 {
        broken(backup(&world, unit)).ok();
        let report = unit_report(&world);
        assert_eq!(
            (&report["outcome"], &report["grade"]),
            (&json!("saved"), &json!("ok"))
        );
        assert_eq!(report["errors"], json!([]));
        let gap = &report["gaps"][0];
        assert_eq!(
            (&gap["reason"], &gap["is_loss"]),
            (&json!("not_saved"), &json!(false))
        );
        let detail = gap["detail"].as_str().unwrap();
        assert!(
            detail.contains("Input/output error") && detail.contains("; by your agreement of "),
            "{detail}"
        );
    }
    assert_eq!(states(&world), ["whole"]);
    assert_eq!(listed_losses(&world, unit), json!([]));

    // It is tried all the same, and what is read ends the agreement.
    backup(&world, unit).ok();
    assert_eq!(unit_report(&world)["gaps"], json!([]));
    broken(backup(&world, unit)).stderr_any().code(3);
    assert_lost(&world, 1);
}

#[test]
fn a_unit_of_which_kopia_takes_nothing_can_be_agreed_to() {
    let world = world_that_keeps(1);
    let name = world.container("app", |s| s.volume("data", "/data"));
    let error =
        "echo 'Snapshotting it ...' >&2; head -c 512 >/dev/null; echo 'it cannot be stored' >&2";
    let path = broken(&world, "kopia", "/volumes/", error);
    let broken = |run: Run| run.env("PATH", &path);
    broken(backup(&world, &name)).stderr_any().code(3);
    assert_eq!(unit_report(&world)["outcome"], "failed");
    broken(accept(&world, &name)).stderr_any().ok();
    assert_eq!(states(&world), ["whole"]);
    backup(&world, &name).ok();
    assert_eq!(unit_report(&world)["gaps"], json!([]));
}

#[test]
fn a_file_system_inside_a_source_can_be_excluded_or_agreed_to() {
    let world = world_that_keeps(0);
    let folder = world.dir("photos");
    let inner = mount_ext4(&world, "photos/inner", 32);
    let stack = stack_with(&world, &folder);
    let unit = stack.unit();
    backup(&world, unit)
        .stderr("another file system (ext4) is mounted there")
        .stderr("bind_mounts.exclude` or the label `kopi-docka.bind.exclude`")
        .stderr("--accept-loss")
        .code(3);
    let config = world.read_config();
    let excludes = [
        json!({"bind_mounts": {"exclude": [inner]}}),
        json!({"units": {unit: {"bind_mounts": {"exclude": [inner]}}}}),
        json!({"exclude_patterns": ["inner"]}),
        json!({"units": {unit: {"exclude_patterns": ["/inner/"]}}}),
    ];
    for exclude in excludes {
        world.config(|config| {
            let backup = config["backup"].as_object_mut().unwrap();
            backup.extend(exclude.as_object().unwrap().clone());
        });
        backup(&world, unit).ok();
        let gap = unit_report(&world)["gaps"][0].clone();
        assert_eq!(
            (&gap["reason"], &gap["is_loss"]),
            (&json!("excluded_by_operator"), &json!(false)),
            "{exclude}"
        );
        world.config(|now| *now = config.clone());
    }
    backup(&world, unit).stderr_any().code(3);
    accept(&world, unit).ok();
    backup(&world, unit).ok();
    assert_eq!(unit_report(&world)["gaps"][0]["is_loss"], false);
}

#[test]
fn a_doubt_about_one_source_is_told_once_while_another_one_is_lost() {
    let world = world_that_keeps(1);
    let (folder, away) = (world.dir("photos"), world.path("away"));
    fill(&folder, 100_000);
    let stack = stack_with(&world, &folder);
    let unit = stack.unit();
    let data = stack.volume_path("db");
    fill(&data, 500_000);
    backup(&world, unit).ok();
    let first = world.points()["points"][0]["backup_id"].clone();

    stack.stop("app");
    fs::rename(&folder, &away).unwrap();
    let doubts = |run: Run| {
        run.stderr_any()
            .code(3)
            .stderr()
            .contains("is much smaller")
    };
    assert!(!doubts(backup(&world, unit)));
    fill(&data, 100);
    assert!(doubts(backup(&world, unit)));
    assert!(!doubts(backup(&world, unit)));
    // Nor when it grows again.
    fill(&data, 200_000);
    assert!(!doubts(backup(&world, unit)));

    // What was doubted is kept when the unit is whole again.
    fs::rename(&away, &folder).unwrap();
    stack.start("app");
    for _ in 0..2 {
        backup(&world, unit).ok();
    }
    let points = world.points()["points"].clone();
    assert_eq!(states(&world), ["whole", "whole"]);
    assert_eq!(points[1]["backup_id"], first);
}

#[test]
fn what_has_neither_points_nor_containers_is_not_remembered() {
    let world = world_that_keeps(1);
    let stack = world.web();
    let gone = world.container("gone", |s| s.volume("data", "/data"));
    backup(&world, &gone).ok();
    world.docker(&["rm", "--force", &gone]).stdout_any().ok();
    let folder = world.path("state/remembered/kopi-docka");
    fs::write(folder.join("00.json"), "{}").unwrap();
    let other = world.path("state/remembered/archive");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("00.json"), "{}").unwrap();
    world.backup(&stack);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(!folder.join("00.json").exists());
    assert!(other.join("00.json").exists());
}
