//! A run that cannot end well does not begin: the exit code says why, stderr says what to do, and no container is touched.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::common::{Done, Run, Stack, World, oracle};
use serde_json::{Value, json};

fn backup(world: &World, stack: &Stack) -> Run {
    world.kd(&["--quiet", "backup", "--unit", stack.unit()])
}

/// Runs it; it must exit with `code` and say all of `texts`, and no container may notice.
#[track_caller]
fn refused(world: &World, mut run: Run, code: i32, texts: &[&str]) -> Done {
    let watch = world.watch();
    for text in texts {
        run = run.stderr(*text);
    }
    let done = run.code(code);
    watch.events().assert_untouched();
    done
}

fn path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

fn command(program: &str, args: &[&str]) -> Run {
    Run::new(program).args(args).env("PATH", path())
}

/// Kopia's connection of this world.
fn profile(world: &World) -> PathBuf {
    world.path("home/.config/kopia/repository-kopi-docka.config")
}

#[track_caller]
fn init_says(world: &World) -> Value {
    world.kd(&["init", "--json"]).json()
}

// ---- what the operator asked for ----

#[test]
fn an_unknown_unit_is_refused_and_the_one_that_was_meant_is_named() {
    let world = World::new();
    world.init();
    let stack = world.web();
    let wrong = format!("{}x", stack.unit());
    let run = world.kd(&["backup", "--unit", stack.unit(), "--unit", &wrong]);
    // The names of other tests' units may be close too.
    let meant = format!("did you mean `{}`", stack.unit());
    refused(
        &world,
        run,
        4,
        &[
            &format!("no unit is called `{wrong}`"),
            &meant,
            "list --units",
        ],
    );
}

#[test]
fn whoever_is_not_root_is_refused() {
    let world = World::new();
    let stack = world.web();
    // Where a user without rights can execute it.
    let program = world.path("kopi-docka");
    fs::copy(env!("CARGO_BIN_EXE_kopi-docka"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for args in [
        &["backup", "--unit", stack.unit()][..],
        &["init"],
        &["recover"],
        &["list", "--snapshots"],
    ] {
        let run = command(
            "setpriv",
            &["--reuid=65534", "--regid=65534", "--clear-groups"],
        )
        .arg(&program)
        .arg("--config")
        .arg(world.config_path())
        .args(args)
        .env("HOME", world.path("home"));
        refused(&world, run, 13, &["needs root", "sudo kopi-docka"]);
    }
}

#[test]
fn a_second_run_is_refused_while_the_first_is_at_work() {
    let world = World::new();
    world.init();
    let stack = world.web();
    // Before it stops anything, so that only the second one could.
    let held = world.hold("open", backup(&world, &stack));
    for args in [
        &["backup", "--unit", stack.unit()][..],
        &["recover"],
        &["init"],
    ] {
        refused(
            &world,
            world.kd(args),
            11,
            &["another run is at work: `kopi-docka backup`", "process "],
        );
    }
    held.release().ok();
    world.backup(&stack);
}

// ---- the repository ----

#[test]
fn a_host_without_a_repository_is_told_to_init() {
    let world = World::new();
    let stack = world.web();
    refused(&world, backup(&world, &stack), 10, &["kopi-docka init"]);
    assert!(!world.path("repo").exists());
}

#[test]
fn a_wrong_password_is_refused_and_breaks_nothing() {
    let world = World::new();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let config = fs::read(world.config_path()).unwrap();
    let profile_before = fs::read(profile(&world)).unwrap();
    let cache = oracle::manifest(&world.path("cache/kopi-docka"));

    world.config(|c| c["kopia"]["password"] = "another one".into());
    let remedy = ["refused the password", "kopia.password"];
    refused(&world, backup(&world, &stack), 12, &remedy);
    refused(&world, world.kd(&["list", "--snapshots"]), 12, &remedy);
    refused(&world, world.kd(&["init"]), 12, &remedy);
    // Not even when a new repository would be welcome.
    let run = world.kd(&["init", "--accept-new-repository"]);
    refused(&world, run, 12, &remedy);

    assert_eq!(fs::read(profile(&world)).unwrap(), profile_before);
    let now = oracle::manifest(&world.path("cache/kopi-docka"));
    let is_blob = |path: &&Vec<u8>| path.ends_with(b".f");
    assert_ne!(cache.0.keys().filter(is_blob).count(), 0);
    for path in cache.0.keys().filter(is_blob) {
        assert!(now.0.contains_key(path), "{} is gone", path.escape_ascii());
    }
    let connections = fs::read_dir(profile(&world).parent().unwrap()).unwrap();
    assert_eq!(connections.count(), 1, "something was left behind");
    fs::write(world.config_path(), config).unwrap();
    world.backup(&stack);
}

#[test]
fn a_repository_that_has_vanished_is_noticed_in_spite_of_kopia_s_caches() {
    let world = World::new();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let (repository, kept) = (world.path("repo"), world.path("kept"));
    fs::rename(&repository, &kept).unwrap();
    refused(
        &world,
        backup(&world, &stack),
        17,
        &["cannot reach", "check that it is mounted"],
    );
    // As a mount point without its disk.
    fs::create_dir(&repository).unwrap();
    refused(
        &world,
        backup(&world, &stack),
        10,
        &["there is no repository", "is mounted"],
    );
    // Kopia's own note on how it names its files is all that may be there.
    let mut made = fs::read_dir(&repository).unwrap();
    assert!(made.all(|entry| entry.unwrap().file_name() == ".shards"));

    // Nor does `init` begin a new one there, unless told.
    let remedy = [
        "this host had a repository there",
        "--accept-new-repository",
    ];
    refused(&world, world.kd(&["init"]), 10, &remedy);
    fs::remove_dir_all(&repository).unwrap();
    refused(&world, world.kd(&["init"]), 10, &remedy);
    assert!(!repository.exists(), "kopia made it");

    fs::rename(&kept, &repository).unwrap();
    world.backup(&stack);
    fs::rename(&repository, &kept).unwrap();
    let new = world.kd(&["init", "--json", "--accept-new-repository"]);
    assert_eq!(new.json()["result"], "created");
    world.backup(&stack);
    assert_eq!(world.points()["points"].as_array().unwrap().len(), 1);
}

fn other_snapshots(world: &World) -> Value {
    world.kopia(&["snapshot", "list", "--all", "--json"]).json()
}

#[test]
fn another_repository_in_the_place_of_ours_is_refused() {
    let world = World::new();
    let id = init_says(&world)["unique_id"].clone();
    let stack = world.web();
    world.backup(&stack);
    fs::rename(world.path("repo"), world.path("kept")).unwrap();
    // With the same password, made by another host.
    let other = World::new();
    other.init();
    fs::rename(other.path("repo"), world.path("repo")).unwrap();
    let remedy = [
        "another repository is in the place of ours",
        "the right disk is mounted",
        "--accept-new-repository",
    ];
    refused(&world, backup(&world, &stack), 10, &remedy);
    // Nor when everything else of the first unit is ready long before the answer.
    let late = world.stand_in(
        "kopia",
        r#"case "$*" in *"repository status"*) sleep 5;; esac; exec "$REAL" "$@""#,
    );
    let run = backup(&world, &stack).env("PATH", late);
    refused(&world, run, 10, &remedy);
    let stored = other_snapshots(&world);
    assert_eq!(stored, json!([]), "into the repository of another host");
    refused(&world, world.kd(&["list", "--snapshots"]), 10, &remedy);
    refused(&world, world.kd(&["init"]), 10, &remedy);
    assert_eq!(
        fs::read_dir(world.path("state/repositories"))
            .unwrap()
            .count(),
        1
    );

    let new = world.kd(&["init", "--json", "--accept-new-repository"]);
    let new = new.json();
    assert_eq!(new["result"], "connected");
    assert_ne!(new["unique_id"], id);
    world.backup(&stack);
}

#[test]
fn a_configuration_that_points_elsewhere_is_no_silent_write_to_the_old_place() {
    let world = World::new();
    world.init();
    let stack = world.web();
    let elsewhere = world.path("elsewhere");
    let params = format!("filesystem --path {}", elsewhere.display());
    world.config(|c| c["kopia"]["kopia_params"] = params.into());
    refused(
        &world,
        backup(&world, &stack),
        16,
        &[
            &elsewhere.display().to_string(),
            &world.path("repo").display().to_string(),
            "kopi-docka init",
        ],
    );
    assert!(!elsewhere.exists());
    assert_eq!(init_says(&world)["result"], "created");
    world.backup(&stack);
}

#[test]
fn init_says_what_it_did_and_may_be_repeated() {
    let world = World::new();
    let first = init_says(&world);
    assert_eq!(first["result"], "created");
    let profile_first = fs::read(profile(&world)).unwrap();
    let again = init_says(&world);
    assert_eq!(again["result"], "already_connected");
    assert_eq!(again["unique_id"], first["unique_id"]);
    assert_eq!(again["location"], first["location"]);
    assert_eq!(fs::read(profile(&world)).unwrap(), profile_first);
    // The connection of a host that was set up anew.
    fs::remove_dir_all(world.path("home/.config")).unwrap();
    fs::remove_dir_all(world.path("state")).unwrap();
    let new = init_says(&world);
    assert_eq!(new["result"], "connected");
    assert_eq!(new["unique_id"], first["unique_id"]);
}

// ---- the host ----

#[test]
fn a_missing_docker_socket_is_named() {
    let world = World::new();
    let stack = world.web();
    let socket = world.path("no.sock").display().to_string();
    world.config(|c| c["docker"]["socket"] = socket.as_str().into());
    refused(
        &world,
        backup(&world, &stack),
        14,
        &[&socket, "systemctl start docker", "docker.socket"],
    );
}

#[test]
fn a_missing_kopia_is_named() {
    let world = World::new();
    let stack = world.web();
    let system = "/usr/sbin:/usr/bin:/sbin:/bin";
    assert!(
        system
            .split(':')
            .all(|dir| !PathBuf::from(dir).join("kopia").exists()),
        "this test needs a kopia that is outside of {system}"
    );
    refused(
        &world,
        backup(&world, &stack).env("PATH", system),
        15,
        &["`kopia` was not found", "install Kopia 0.23 or newer"],
    );
}

#[test]
fn a_kopia_that_is_too_old_is_refused() {
    let world = World::new();
    let stack = world.web();
    let old = world.stand_in("kopia", "echo '0.16.0 build: 1a2b3c from: kopia/kopia'");
    refused(
        &world,
        backup(&world, &stack).env("PATH", old),
        15,
        &["Kopia 0.16", "too old", "install Kopia 0.23 or newer"],
    );
}

#[test]
fn a_tar_that_is_not_gnu_s_is_refused() {
    let world = World::new();
    let stack = world.web();
    let bsd = world.stand_in(
        "tar",
        "echo 'bsdtar 3.7.2 - libarchive 3.7.2 zlib/1.2.13 liblzma/5.4.5'",
    );
    refused(
        &world,
        backup(&world, &stack).env("PATH", bsd),
        15,
        &["is not GNU tar", "install GNU tar"],
    );
}

#[test]
fn nothing_is_stopped_when_the_stop_can_t_be_recorded() {
    let world = World::new();
    command("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(world.dir("state"))
        .ok();
    world.init();
    let stack = world.web();
    let said = "the record of this run cannot be written, so nothing is stopped";

    let ballast = world.path("state/ballast");
    command("dd", &["if=/dev/zero", "bs=1k"])
        .arg(format!("of={}", ballast.display()))
        .stderr_any()
        .code(1);
    let full = ["No space left on device", said];
    refused(&world, backup(&world, &stack), 3, &full);
    fs::remove_file(&ballast).unwrap();

    command("mount", &["-o", "remount,ro"])
        .arg(world.path("state"))
        .ok();
    refused(&world, backup(&world, &stack), 3, &["Read-only", said]);
    command("mount", &["-o", "remount,rw"])
        .arg(world.path("state"))
        .ok();
    assert!(world.points()["points"].as_array().unwrap().is_empty());
    world.backup(&stack);
}
