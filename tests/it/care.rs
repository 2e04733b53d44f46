//! The repository is looked after: maintenance when it is due and never while a unit is down; its state can be seen.

use crate::common::{PASSWORD, Run, Signal, Stack, World, path};
use serde_json::{Value, json};

fn quiet(world: &World, stack: &Stack) -> Run {
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
}

/// A snapshot of two days ago makes the first maintenance due.
fn make_due(world: &World) {
    let made = world.kopia(&[
        "snapshot",
        "create",
        "/old",
        "--stdin-file=data",
        "--start-time=2020-01-01 00:00:00 UTC",
    ]);
    made.stdin("x").stdout_any().stderr_any().ok();
}

fn maintenance(world: &World) -> Value {
    world.kopia(&["maintenance", "info", "--json"]).json()
}

/// `kopia`, but `maintenance run` is `script`.
fn kopia_that(world: &World, script: &str) -> std::ffi::OsString {
    let script =
        format!(r#"case " $* " in *' maintenance run '*) {script};; *) exec "$REAL" "$@";; esac"#);
    world.stand_in("kopia", &script)
}

#[test]
fn a_backup_runs_the_maintenance_that_is_due_when_everything_is_up_again() {
    let world = World::new();
    world.init();
    let stack = world.web();
    // The repository is new: there is nothing to maintain.
    world.backup(&stack);
    assert!(world.report()["maintenance"].is_null());
    make_due(&world);
    let held = world.hold("maintenance", quiet(&world, &stack));
    stack.assert_running(&["db"]);
    assert!(world.stop_records().is_empty());
    held.release().ok();
    assert_eq!(world.report()["maintenance"]["mode"], "full");
    assert!(!maintenance(&world)["schedule"]["runs"].is_null());
    world.backup(&stack);
    assert!(world.report()["maintenance"].is_null());
}

#[test]
fn a_maintenance_that_fails_or_hangs_is_a_warning_and_the_backup_is_good() {
    let world = World::new();
    world.init();
    let stack = world.web();
    make_due(&world);
    let path = kopia_that(
        &world,
        "echo 'clock skew detected: local clock is out of sync' >&2; exit 1",
    );
    let failed = "warning: the maintenance of the repository failed, the next run tries again: ";
    let run = quiet(&world, &stack).env("PATH", path).stderr(failed);
    run.stderr("timedatectl").ok();
    world.config(|config| config["backup"]["stall_timeout"] = json!(6));
    let path = kopia_that(&world, "exec sleep 600");
    let run = quiet(&world, &stack).env("PATH", path).stderr(failed);
    run.stderr("kopia gave no sign of life for 6 s and was killed")
        .ok();
    world.until_no_process_is_left();
    assert!(
        world.report()["warnings"][0]
            .as_str()
            .unwrap()
            .contains("no sign of life")
    );
}

#[test]
fn a_signal_ends_a_maintenance_and_every_process_of_it() {
    let world = World::new();
    world.init();
    let path = kopia_that(&world, "exec sleep 600");
    let run = world.kd(&["--quiet", "repo-maintenance"]).env("PATH", path);
    let run = run.stderr("a signal ended the maintenance").spawn();
    world.process(&["sleep 600"]);
    run.signal(Signal::TERM);
    run.code(143);
    world.until_no_process_is_left();
    world.kd(&["--quiet", "repo-maintenance"]).ok();
}

#[test]
fn maintenance_of_another_owner_is_left_to_it_and_can_be_taken_over() {
    let world = World::new();
    world.init();
    world
        .kopia(&["maintenance", "set", "--owner=kopi-docka@gone"])
        .stderr_any()
        .ok();
    let done = world
        .kd(&["--quiet", "repo-maintenance"])
        .stderr("is done by `kopi-docka@gone`")
        .ok();
    assert!(maintenance(&world)["schedule"]["runs"].is_null());
    let warning = done.stderr();
    let command = warning
        .split('`')
        .find(|text| text.contains("--owner=me"))
        .unwrap();
    // As an operator would type it.
    Run::new("sh")
        .args(["-c", command])
        .env("PATH", path())
        .env("HOME", world.path("home"))
        .env("KOPIA_PASSWORD", PASSWORD)
        .stderr_any()
        .ok();
    world.kd(&["--quiet", "repo-maintenance", "--quick"]).ok();
    assert!(!maintenance(&world)["schedule"]["runs"].is_null());
}

#[test]
fn repo_status_tells_what_is_in_the_repository_and_who_looks_after_it() {
    let world = World::new();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let status = world.kd(&["repo-status", "--json"]).json();
    let identity = status["identity"].as_str().unwrap();
    assert_eq!(
        status["points"],
        json!({"whole": 1, "partial": 0, "unfinished": 0, "of_other_hosts": 0, "of_other_machines": 0, "of_other_profiles": 0})
    );
    assert_eq!(status["maintenance"]["owner"], identity);
    assert_eq!(status["maintenance"]["is_ours"], true);
    assert!(status["maintenance"]["last"].is_null());
    assert!(status["size"].is_null());

    world.kd(&["--quiet", "repo-maintenance"]).ok();
    let status = world.kd(&["repo-status", "--json", "--verbose"]).json();
    assert_eq!(status["maintenance"]["last"]["success"], true);
    assert_eq!(status["maintenance"]["last_here"]["mode"], "full");
    assert!(status["size"]["bytes"].as_u64().unwrap() > 1000);
    let shown = world
        .kd(&["repo-status"])
        .stdout("1 whole")
        .stdout(format!("ago, by {identity}"));
    shown.ok();
    world
        .kopia(&["maintenance", "set", "--owner=kopi-docka@gone"])
        .stderr_any()
        .ok();
    world
        .kd(&["repo-status"])
        .stdout_any()
        .stderr("maintenance set --owner=me")
        .ok();
}

#[test]
fn a_clock_that_is_wrong_is_told_by_what_lies_in_the_future() {
    let world = World::new();
    world.init();
    let skew = || world.kd(&["repo-status", "--json"]).json()["clock_skew_seconds"].take();
    assert!(skew().is_null());
    let ahead = chrono::Utc::now() + chrono::TimeDelta::minutes(90);
    let start = format!("--start-time={}", ahead.format("%Y-%m-%d %H:%M:%S UTC"));
    let made = world.kopia(&["snapshot", "create", "/x", "--stdin-file=data", &start]);
    made.stdin("x").stdout_any().stderr_any().ok();
    assert!(skew().as_i64().unwrap() > 80 * 60);
    world
        .kd(&["repo-status"])
        .stdout_any()
        .stderr("min in the future")
        .stderr("timedatectl")
        .ok();
}

#[test]
fn repo_which_config_tells_what_is_in_force_without_kopia_password_or_secret() {
    let world = World::new();
    world.config(|config| {
        config["kopia"]["kopia_params"] = json!("s3 --bucket b --secret-access-key=hunter2");
        config["kopia"]["password_file"] = json!("/nowhere/password");
        config["kopia"].as_object_mut().unwrap().remove("password");
    });
    let which = || world.kd(&["repo-which-config"]).env("PATH", "/nowhere");
    let shown = which()
        .stdout(world.config_path().to_string_lossy())
        .stdout("/nowhere/password")
        .stdout("s3 --bucket b");
    let shown = shown.stdout("not there: `kopi-docka init`").ok().stdout();
    assert!(!shown.contains("hunter2"), "{shown}");
    let known = world
        .kd(&["repo-which-config", "--json"])
        .env("PATH", "/nowhere")
        .json();
    assert_eq!(known["config"], json!(world.config_path()));
    assert_eq!(known["cache"], json!(world.path("cache/kopi-docka")));
    assert_eq!(known["is_connected"], false);
    assert!(!known.to_string().contains("hunter2"));
}
