//! What `--json` prints is what `tests/schemas/` says: programs of others read it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::common::schema::assert_schema;
use crate::common::{Stack, World};
use serde_json::json;

#[test]
fn every_document_is_as_its_schema_says() {
    let world = World::new();
    let bind = world.dir("bind");
    let web = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .bind(&bind, "/bind")
                .bind("/proc", "/host/proc:ro")
        })
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    fs::write(web.volume_path("data").join("a"), "a").unwrap();
    let answer = |args: &[&str]| world.kd(&[&["--json"], args].concat()).json();
    let unit = ["--unit", web.unit()];
    let of_unit = |args: &[&'static str]| answer(&[args, &unit[..]].concat());

    assert_schema("version", &answer(&["version"]));
    assert_schema("show-config", &answer(&["show-config"]));
    assert_schema(
        "show-config-reference",
        &answer(&["show-config", "--reference"]),
    );
    assert_schema("init", &answer(&["init"]));
    assert_schema("repo-status", &answer(&["repo-status"]));
    assert_schema("list-units", &of_unit(&["list", "--units"]));
    assert_schema("list-units", &of_unit(&["list", "--units", "--sizes"]));
    assert_schema("estimate-size", &of_unit(&["estimate-size"]));
    assert_schema("dry-run", &of_unit(&["dry-run"]));
    assert_schema("recover", &answer(&["recover"]));

    let lines = |args: &[&'static str], code| {
        let args = [&["--json"], args, &unit[..]].concat();
        let done = world.kd(&args).stdout_any().stderr_any().code(code);
        done.json_lines()
    };
    let events = lines(&["backup"], 0);
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names[..2], ["run_started", "unit_started"]);
    for event in &events {
        assert_schema("backup-event", event);
    }
    let report = world.report();
    assert_eq!(events.last().unwrap()["report"], report);
    assert_schema("run-report", &report);
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    // The repository is asked while what changes nothing is done, so some of that may have been told.
    for event in lines(&["backup"], 17) {
        assert_schema("backup-event", &event);
        assert_ne!(event["in_window"], true, "{event}");
        assert!(
            event["report"].is_null(),
            "it ended before it began: {event}"
        );
    }
    fs::rename(world.path("elsewhere"), world.path("repo")).unwrap();
    let dies = r#"case "$*" in *--stdin-file=*) exit 1;; esac; exec "$REAL" "$@""#;
    let args = [&["--json", "backup"], &unit[..]].concat();
    let failed = world.kd(&args).env("PATH", world.stand_in("kopia", dies));
    for event in failed.stdout_any().stderr_any().code(3).json_lines() {
        assert_schema("backup-event", &event);
    }
    assert_schema("run-report", &world.report());
    assert_schema("history", &answer(&["history"]));
    assert_schema("status", &answer(&["status"]));
    assert_schema("dry-run", &of_unit(&["dry-run"]));

    for event in lines(&["verify"], 0) {
        assert_schema("verify-event", &event);
    }
    assert_schema("drill", &of_unit(&["drill"]));
    assert_schema("list-snapshots", &of_unit(&["list", "--snapshots"]));

    let restore = ["restore", "--backup-id", "latest"];
    let plan = of_unit(&[&restore[..], &["--dry-run"]].concat());
    assert_schema("restore-dry-run", &plan);
    for event in lines(&[&restore[..], &["--yes"]].concat(), 0) {
        assert_schema("restore-event", &event);
    }
    pieces_and_safety_copies(&world, &web);
    care(&world);
}

/// Each `(schema, arguments)` is one document.
#[track_caller]
fn documents(world: &World, all: &[(&str, &[&str])]) {
    for (schema, args) in all {
        let args = [&["--json"], *args].concat();
        assert_schema(schema, &world.kd(&args).stderr_any().json());
    }
}

fn pieces_and_safety_copies(world: &World, stack: &Stack) {
    let latest = ["restore", "--unit", stack.unit(), "--backup-id", "latest"];
    let recipe = [&latest[..], &["--recipe", "--target"]].concat();
    let (folder, scripts) = (world.path("recipe"), world.path("scripts"));
    documents(
        world,
        &[
            (
                "restore-recipe",
                &[&recipe[..], &[folder.to_str().unwrap()]].concat(),
            ),
            (
                "restore-scripts",
                &[&latest[..], &["--scripts", scripts.to_str().unwrap()]].concat(),
            ),
            ("restore-list-safety", &["restore", "--list-safety"]),
            (
                "restore-undo-dry-run",
                &["restore", "--undo", "latest", "--dry-run"],
            ),
        ],
    );
    let undone = world.kd(&["--json", "restore", "--undo", "latest", "--yes"]);
    let events = undone.stdout_any().ok().json_lines();
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        [names[0], names[names.len() - 1]],
        ["undo_planned", "undo_finished"]
    );
    for event in &events {
        assert_schema("restore-undo-event", event);
    }
    let discard = ["restore", "--discard-safety", "all"];
    for (flag, field) in [("--dry-run", "would_remove"), ("--yes", "removed")] {
        let document = world
            .kd(&[&["--json"], &discard[..], &[flag]].concat())
            .json();
        assert_schema("restore-discard-safety", &document);
        assert!(
            !document[field].as_array().unwrap().is_empty(),
            "{document}"
        );
    }
}

fn care(world: &World) {
    let new = world.path("new");
    fs::write(&new, "another good sentence").unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    documents(
        world,
        &[
            ("repo-which-config", &["repo-which-config"]),
            ("repo-maintenance", &["repo-maintenance", "--dry-run"]),
            ("repo-maintenance", &["repo-maintenance"]),
            (
                "change-password",
                &[
                    "change-password",
                    "--new-password-file",
                    new.to_str().unwrap(),
                ],
            ),
        ],
    );
}

#[test]
#[should_panic(expected = "version lacks \"target\"")]
fn a_document_that_lacks_a_field_is_found() {
    assert_schema("version", &json!({ "name": "kopi-docka", "version": "1" }));
}

#[test]
#[should_panic(expected = "history.runs[0].exit_code should be \"integer\"")]
fn a_field_of_another_type_is_found() {
    let run = json!({ "exit_code": "0" });
    assert_schema("history", &json!({ "runs": [run] }));
}
