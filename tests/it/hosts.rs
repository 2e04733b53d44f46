//! A host is who it is: a renamed one, a clone, a second configuration, and a host that lost its state. Real host names and machine ids,
//! in namespaces of their own.

use std::fs;

use crate::common::{Run, Stack, World};
use serde_json::{Value, json};

/// A world that keeps the newest point alone, so that retention has something to do in every run.
fn world() -> World {
    let world = World::new();
    world.config(|config| config["retention"]["latest"] = json!(1));
    world
}

/// The program on a clone of this world's host: the state, the home and the configuration of the original, and the machine id of this
/// file.
struct Clone<'a>(&'a World, std::path::PathBuf);

impl<'a> Clone<'a> {
    fn of(world: &'a World) -> Self {
        let id = world.path("clone-id");
        fs::write(&id, "c10ec10ec10ec10ec10ec10ec10ec10e\n").unwrap();
        Self::with_id(world, id)
    }

    /// With the machine id of the original too.
    fn twin_of(world: &'a World) -> Self {
        Self::with_id(world, "/etc/machine-id".into())
    }

    fn with_id(world: &'a World, id: std::path::PathBuf) -> Self {
        for name in ["state", "home"] {
            let (from, to) = (world.path(name), world.path(format!("clone-{name}")));
            Run::new("cp")
                .arg("-a")
                .arg(from)
                .arg(to)
                .env("PATH", std::env::var_os("PATH").unwrap())
                .ok();
        }
        Self(world, id)
    }

    fn kd(&self, args: &[&str]) -> Run {
        let Self(world, id) = self;
        let script = "mount --bind \"$1\" /etc/machine-id && shift && exec \"$@\"";
        world
            .kd(args)
            .env("HOME", world.path("clone-home"))
            .env("KOPI_DOCKA_STATE_DIRECTORY", world.path("clone-state"))
            .env("KOPI_DOCKA_RUNTIME_DIRECTORY", world.path("clone-run"))
            .under([
                "unshare",
                "--mount",
                "sh",
                "-c",
                script,
                "sh",
                id.to_str().unwrap(),
            ])
    }
}

#[track_caller]
fn listed(world: &World) -> Vec<Value> {
    let points = world.kd(&["list", "--snapshots", "--all-hosts", "--json"]);
    points.json()["points"].as_array().unwrap().clone()
}

fn of<'a>(points: &'a [Value], name: &str) -> Vec<&'a str> {
    points
        .iter()
        .map(|point| point[name].as_str().unwrap())
        .collect()
}

fn own(points: &[Value]) -> Vec<bool> {
    points
        .iter()
        .map(|point| point["is_own"].as_bool().unwrap())
        .collect()
}

fn backup(run: impl Fn(&[&str]) -> Run, stack: &Stack) -> Run {
    run(&["--quiet", "backup", "--unit", stack.unit()]).stdout_any()
}

const CONFLICT: &str = "another machine saves as `kopi-docka@";

#[test]
fn a_clone_and_its_original_save_and_neither_removes_nor_maintains_until_one_has_another_name() {
    let world = world();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let clone = Clone::of(&world);
    let on_clone = |args: &[&str]| clone.kd(args);

    backup(on_clone, &stack).stderr(CONFLICT).ok();
    let points = listed(&world);
    assert_eq!(own(&points), [false, true], "{points:?}");
    assert_ne!(points[0]["machine"], points[1]["machine"]);
    assert_eq!(points[0]["identity"], points[1]["identity"]);
    let original = points[1]["backup_id"].as_str().unwrap();

    // The original notices too, wherever it is asked.
    let status = world.kd(&["repo-status", "--json"]).json();
    assert_eq!(status["conflict"]["machine"], points[0]["machine"]);
    assert_eq!(status["points"]["of_other_machines"], 1);
    world.kd(&["check"]).stdout(CONFLICT).stderr_any().run();
    world
        .kd(&["repo-maintenance"])
        .stderr(CONFLICT)
        .stderr("kopia.host")
        .code(16);
    backup(|args| world.kd(args), &stack).stderr(CONFLICT).ok();
    assert_eq!(own(&listed(&world)), [true, false, true]);
    assert!(world.report()["maintenance"].is_null());
    assert!(!world.path("clone-state/maintenance").exists());
    // What is restored is the machine's own.
    let restore = [
        "restore",
        "--unit",
        stack.unit(),
        "--backup-id",
        "latest",
        "--dry-run",
        "--json",
    ];
    let plan = clone.kd(&restore).stderr_any().json()["plan"].take();
    assert_eq!(plan["backup_id"], of(&points, "backup_id")[0]);
    assert_ne!(plan["backup_id"], original);

    // A name that is changed in the configuration alone begins nothing.
    let config = world.read_config();
    world.config(|config| config["kopia"]["host"] = json!("clone-of-it"));
    backup(on_clone, &stack)
        .stderr("`kopia.host`")
        .stderr("kopi-docka init")
        .code(16);
    assert_eq!(
        clone.kd(&["init", "--json"]).json()["identity"],
        "kopi-docka@clone-of-it"
    );
    backup(on_clone, &stack).ok();
    world.config(|now| *now = config.clone());

    // The original is told that the other one is settled.
    let adopted = world.kd(&["init", "--adopt-points", "--json"]).json();
    assert_eq!(adopted["adopted_points"], 1);
    backup(|args| world.kd(args), &stack).ok();
    let points = listed(&world);
    assert_eq!(own(&points), [true, false], "{points:?}");
    assert_eq!(points[1]["identity"], "kopi-docka@clone-of-it");
}

#[test]
fn a_renamed_host_stays_who_it_was_at_init() {
    let world = world();
    let connected = world.kd_on("alpha.one.example", &["init", "--json"]).json();
    assert_eq!(connected["identity"], "kopi-docka@alpha.one.example");
    let stack = world.web();
    backup(|args| world.kd_on("alpha.one.example", args), &stack).ok();
    backup(|args| world.kd_on("beta", args), &stack).ok();
    let points = world
        .kd_on("beta", &["list", "--snapshots", "--json"])
        .json();
    let points = points["points"].as_array().unwrap();
    assert_eq!(
        of(points, "identity"),
        ["kopi-docka@alpha.one.example"],
        "retention goes on"
    );
    let which = world.kd_on("beta", &["repo-which-config", "--json"]).json();
    assert_eq!(which["identity"], "kopi-docka@alpha.one.example");
    let status = world.kd_on("beta", &["repo-status", "--json"]).json();
    assert_eq!(status["maintenance"]["is_ours"], true);
}

#[test]
fn the_policy_that_keeps_everything_is_in_force_for_the_name_in_use() {
    let world = world();
    world.kd_on("alpha", &["--quiet", "init"]).stdout_any().ok();
    let stack = world.web();
    // As versions left it that asked for the host name each time.
    let file = world.path("state/repositories/kopi-docka.json");
    let mut known: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for name in ["host", "policy_of", "policy_version", "adopted"] {
        known.as_object_mut().unwrap().remove(name);
    }
    fs::write(&file, known.to_string()).unwrap();
    backup(|args| world.kd_on("gamma.example", args), &stack).ok();
    let policies = world.kopia(&["policy", "export"]).json();
    let policy = &policies["kopi-docka@gamma"];
    assert_eq!(policy["retention"]["keepLatest"], 0, "{policies}");
    assert_eq!(policy["compression"]["compressorName"], "zstd");
    let status = world.kopia(&["repository", "status", "--json"]).json();
    assert_eq!(status["clientOptions"]["hostname"], "gamma");
    // From now on it is remembered.
    let which = world
        .kd_on("delta", &["repo-which-config", "--json"])
        .json();
    assert_eq!(which["identity"], "kopi-docka@gamma");
}

#[test]
fn two_configurations_on_one_repository_keep_to_their_own_points() {
    let world = world();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let daily = world.read_config();
    world.config(|config| config["kopia"]["profile"] = json!("archive"));
    world
        .kd(&["init"])
        .stderr("made with profile `kopi-docka`")
        .stdout_any()
        .ok();
    world.backup(&stack);
    let points = listed(&world);
    assert_eq!(of(&points, "profile"), ["archive", "kopi-docka"]);
    assert_eq!(own(&points), [true, false]);
    world.config(|config| *config = daily);
    world.kd(&["repo-maintenance"]).stdout_any().ok();
    assert_eq!(own(&listed(&world)), [false, true]);
    world.backup(&stack);
    let points = listed(&world);
    assert_eq!(of(&points, "profile"), ["kopi-docka", "archive"]);
}

#[test]
fn a_host_that_lost_its_state_finds_its_points_and_keeps_them_until_it_adopts_them() {
    let world = world();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let old = listed(&world)[0]["backup_id"].clone();
    for name in ["state", "home"] {
        fs::remove_dir_all(world.path(name)).unwrap();
        fs::create_dir(world.path(name)).unwrap();
    }
    world
        .kd(&["init"])
        .stderr("1 restore point of another machine in the repository under the name of this one")
        .stderr("init --adopt-points")
        .stdout_any()
        .ok();
    let restore = [
        "restore",
        "--unit",
        stack.unit(),
        "--backup-id",
        "latest",
        "--dry-run",
        "--json",
    ];
    let plan = world.kd(&restore).stderr_any().json()["plan"].take();
    assert_eq!(plan["backup_id"], old);
    assert!(
        plan["warnings"]
            .to_string()
            .contains("made by another machine"),
        "{plan}"
    );
    let points = world.points();
    assert_eq!(
        points["points"][0]["backup_id"], old,
        "own name, listed without --all-hosts"
    );
    world
        .kd(&["--quiet", "verify", "--unit", stack.unit()])
        .stderr("made by another machine")
        .stdout_any()
        .ok();
    backup(|args| world.kd(args), &stack).stderr(CONFLICT).ok();
    assert_eq!(own(&listed(&world)), [true, false]);
    world
        .kd(&["init", "--adopt-points"])
        .stdout("1 restore point of other machines")
        .ok();
    backup(|args| world.kd(args), &stack).ok();
    assert_eq!(own(&listed(&world)), [true]);
}

#[test]
fn a_project_that_takes_the_name_of_a_container_leaves_its_points_alone() {
    let world = world();
    world.init();
    let container = world.container("web", |s| s.volume("files", "/files"));
    let save = || {
        world
            .kd(&["--quiet", "backup", "--unit", &container])
            .stdout_any()
            .ok()
    };
    save();
    world.docker(&["rm", "--force", &container]).text();
    let stack = world.web();
    assert_eq!(stack.unit(), container);
    save();
    save();
    let points = listed(&world);
    assert_eq!(of(&points, "kind"), ["stack", "standalone"], "{points:?}");
}

#[test]
fn a_clone_with_every_mark_of_its_original_is_told_apart_by_what_each_has_saved() {
    let world = world();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let clone = Clone::twin_of(&world);
    let on_clone = |args: &[&str]| clone.kd(args);
    let on_original = |args: &[&str]| world.kd(args);
    let copy = "a copy of this machine";

    // The first to save cannot know.
    backup(on_original, &stack).ok();
    backup(on_clone, &stack).stderr(copy).ok();
    let points = listed(&world);
    assert_eq!(points[0]["machine"], points[1]["machine"]);
    assert_eq!(own(&points), [false, true], "{points:?}");
    for _ in 0..2 {
        backup(on_original, &stack).stderr(copy).ok();
        backup(on_clone, &stack).stderr(copy).ok();
    }
    assert_eq!(listed(&world).len(), 6, "nothing is removed");
    let status = world.kd(&["repo-status", "--json"]).json();
    assert_eq!(status["conflict"]["is_copy"], true);
    assert_eq!(status["points"]["of_other_machines"], 3);
    world
        .kd(&["repo-maintenance"])
        .stderr(copy)
        .stderr("kopia.host")
        .code(16);

    // Each gets a name of its own.
    let config = world.read_config();
    world.config(|config| config["kopia"]["host"] = json!("clone-of-it"));
    clone.kd(&["init"]).stdout_any().stderr_any().ok();
    backup(on_clone, &stack).ok();
    world.config(|now| *now = config.clone());
    world
        .kd(&["init"])
        .stderr("3 restore points of another machine in the repository")
        .stdout_any()
        .ok();
    let adopted = world.kd(&["init", "--adopt-points", "--json"]).json();
    assert_eq!(adopted["adopted_points"], 3);
    backup(on_original, &stack).ok();
    assert_eq!(own(&listed(&world)), [true, false]);
}

#[test]
fn the_points_of_a_renamed_profile_are_named_and_can_be_adopted() {
    let world = world();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    world.config(|config| config["kopia"]["profile"] = json!("renamed"));
    world
        .kd(&["init"])
        .stderr("1 restore point of this host made with profile `kopi-docka`")
        .stderr("init --adopt-profile kopi-docka")
        .stdout_any()
        .ok();
    world.backup(&stack);
    let points = listed(&world);
    assert_eq!(of(&points, "profile"), ["renamed", "kopi-docka"]);
    let adopted = world
        .kd(&["init", "--adopt-profile", "kopi-docka", "--json"])
        .json();
    assert_eq!(adopted["adopted_points_of_profiles"], 1);
    world.backup(&stack);
    let points = listed(&world);
    assert_eq!(
        (of(&points, "profile"), own(&points)),
        (vec!["renamed"], vec![true])
    );
}
