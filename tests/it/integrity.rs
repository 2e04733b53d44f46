//! What is in the repository is what was in the volumes, or nobody is told that it is there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, copy};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::common::{Run, Service, Signal, Stack, World, mount, oracle, torture, until};
use serde_json::{Value, json};

const MB: u64 = 1_000_000;

// ---- what a test says ----

/// Writes `bytes` that are nowhere else.
fn fill(dir: &Path, bytes: u64) {
    let mut noise = File::open("/dev/urandom").unwrap().take(bytes);
    copy(&mut noise, &mut File::create(dir.join("noise")).unwrap()).unwrap();
}

/// `db` with the volumes that something will happen to, and `app` with the volume `files`, to which nothing will.
fn stack_with(world: &World, volumes: &[&str], bytes: u64) -> Stack {
    let with_all = |service| {
        volumes.iter().fold(service, |s: Service, name| {
            s.volume(name, &format!("/{name}"))
        })
    };
    let stack = world
        .stack("web")
        .service("db", with_all)
        .service("app", |s| {
            s.volume("files", "/files")
                .depends_on("db", "service_started")
        })
        .up();
    for name in volumes {
        fill(&stack.volume_path(name), bytes);
    }
    fill(&stack.volume_path("files"), MB / 5);
    stack
}

/// `db` with the volume `data`, which is large, and `app` with the volume `files`, which is small.
fn two_volumes(world: &World) -> Stack {
    stack_with(world, &["data"], 30 * MB)
}

/// `db` with the volume `data`.
fn one_volume(world: &World, bytes: u64) -> Stack {
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    fill(&stack.volume_path("data"), bytes);
    stack
}

/// A run that may say what it likes.
fn backup(world: &World, stack: &Stack) -> Run {
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
}

fn configure_spool(world: &World, size: impl Into<Value>) {
    world.config(|c| c["backup"]["spool"]["size"] = size.into());
}

/// The newest restore point.
#[track_caller]
fn newest(world: &World) -> Value {
    world.points()["points"][0].take()
}

/// Returns the points, the newest first.
#[track_caller]
fn assert_nothing_is_whole(world: &World) -> Vec<Value> {
    let points = world.points()["points"].as_array().unwrap().clone();
    assert!(
        points.iter().all(|point| point["state"] != "whole"),
        "{points:#?}"
    );
    points
}

/// What Kopia itself lists.
#[track_caller]
fn snapshots(world: &World) -> Vec<Value> {
    let list = world
        .kopia(&["snapshot", "list", "--json", "--all"])
        .stderr_any()
        .json();
    list.as_array().unwrap().clone()
}

#[track_caller]
fn show(world: &World, object: &str) -> Vec<u8> {
    let shown = world.kopia(&["show", object]).stdout_any().stderr_any();
    shown.ok().stdout_bytes().to_vec()
}

#[track_caller]
fn recipe(world: &World, point: &Value) -> Value {
    let root = point["recipe"]
        .as_str()
        .unwrap_or_else(|| panic!("it has no recipe: {point:#}"));
    serde_json::from_slice(&show(world, &format!("{root}/recipe.json"))).unwrap()
}

/// The only part of the volume `name` in a recipe.
#[track_caller]
fn part<'a>(recipe: &'a Value, name: &str) -> &'a Value {
    let sources = recipe["sources"].as_array().unwrap();
    let source = sources.iter().find(|source| source["name"] == name);
    let source = source.unwrap_or_else(|| panic!("`{name}` is not in {recipe:#}"));
    assert_eq!(source["parts"].as_array().unwrap().len(), 1);
    &source["parts"][0]
}

/// The id that Kopia gave the stream in the directory object `root`: the same for the same bytes.
#[track_caller]
fn stream_id(world: &World, root: &Value) -> String {
    let root: Value = serde_json::from_slice(&show(world, root.as_str().unwrap())).unwrap();
    root["entries"][0]["obj"].as_str().unwrap().to_owned()
}

/// As many runs of a unit with one volume have stored the very same stream each.
#[track_caller]
fn assert_every_run_stored_the_same(world: &World, runs: usize) {
    let points = world.points();
    let points = points["points"].as_array().unwrap();
    assert_eq!(points.len(), runs);
    assert!(points.iter().all(|p| p["state"] == "whole"), "{points:#?}");
    let list = snapshots(world);
    let volumes = list.iter().filter(|s| s["tags"]["tag:type"] == "volume");
    let ids: Vec<String> = volumes
        .map(|volume| stream_id(world, &volume["rootEntry"]["obj"]))
        .collect();
    assert_eq!(ids.len(), runs);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

fn tar(args: &[&str], directory: &Path) -> Run {
    Run::new("tar")
        .args(args)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .directory(directory)
}

/// Judges every recipe in the repository by what is really there, without asking the program: whatever it names is complete,
/// as long as it says, and a tar from its first to its last byte; it is called partial if and only if something is missing.
#[track_caller]
fn assert_recipes_tell_the_truth(world: &World) {
    let list = snapshots(world);
    let is_complete = |snapshot: &&Value| {
        snapshot["incomplete"].as_str().is_none_or(str::is_empty)
            && snapshot["rootEntry"]["summ"]["numFailed"] == 0
    };
    let recipes = list
        .iter()
        .filter(is_complete)
        .filter(|snapshot| snapshot["tags"]["tag:type"] == "recipe");
    for found in recipes {
        let root = found["rootEntry"]["obj"].as_str().unwrap();
        let record: Value =
            serde_json::from_slice(&show(world, &format!("{root}/recipe.json"))).unwrap();
        let missing = record["missing"].as_array().unwrap();
        assert_eq!(
            found["tags"]["tag:grade"] == "partial",
            !missing.is_empty(),
            "{record:#}"
        );
        for source in record["sources"].as_array().unwrap() {
            let part = &source["parts"][0];
            let root = &part["root"];
            let named = list
                .iter()
                .filter(is_complete)
                .find(|snapshot| snapshot["rootEntry"]["obj"] == *root);
            let named = named.unwrap_or_else(|| panic!("{root} is not there: {record:#}"));
            assert_eq!(
                named["rootEntry"]["summ"]["size"], part["bytes"],
                "{record:#}"
            );
            let stream = show(world, &format!("{}/data", root.as_str().unwrap()));
            assert_eq!(stream.len() as u64, part["bytes"].as_u64().unwrap());
            tar(&["-t"], &world.path("."))
                .stdin(stream)
                .stdout_any()
                .ok();
        }
    }
}

/// After a run in which the volumes of `lost` could not be saved for their reasons, and `files` could.
#[track_caller]
fn assert_lost(world: &World, stack: &Stack, lost: &[(&str, &str)]) {
    let points = assert_nothing_is_whole(world);
    let point = &points[0];
    assert_eq!(point["state"], "partial", "{point:#}");
    let recipe = recipe(world, point);
    let missing = recipe["missing"].as_array().unwrap();
    assert_eq!(missing.len(), lost.len(), "{recipe:#}");
    for (name, reason) in lost {
        let found = missing.iter().find(|m| m["name"] == stack.volume(name));
        let found = found.unwrap_or_else(|| panic!("`{name}` is not missing: {recipe:#}"));
        let is = found["reason"].as_str().unwrap();
        assert!(is.contains(reason), "`{name}`: {is}");
    }
    part(&recipe, &stack.volume("files"));
    assert_eq!(recipe["sources"].as_array().unwrap().len(), 1);
    stack.assert_running(&["app", "db"]);
}

/// What was wrong is over, and nothing of it is left in the way.
#[track_caller]
fn assert_the_next_run_is_good(world: &World, stack: &Stack) {
    world.backup(stack);
    assert_eq!(newest(world)["state"], "whole");
    assert_recipes_tell_the_truth(world);
}

// ---- what is saved is what was there ----

#[test]
fn what_is_saved_is_what_was_there() {
    let world = World::new();
    world.init();
    let stack = one_volume(&world, 0);
    let data = stack.volume_path("data");
    torture::plant(&data);
    let original = oracle::manifest(&data);

    let report = world.backup(&stack);
    assert_eq!(report["units"][0]["grade"], "ok", "{report:#}");
    oracle::manifest(&data).assert_same(&original);

    let point = newest(&world);
    let root = part(&recipe(&world, &point), &stack.volume("data"))["root"].clone();
    let stream = show(&world, &format!("{}/data", root.as_str().unwrap()));
    let copy = world.dir("copy");
    let options = [
        "-xp",
        "--numeric-owner",
        "--same-owner",
        "--xattrs",
        "--xattrs-include=*",
        "--no-acls",
        "--warning=no-timestamp",
    ];
    tar(&options, &copy).stdin(stream).ok();
    original.assert_same(&oracle::manifest(&copy));
}

/// What the files below `dir` hold together.
fn bytes_below(dir: &Path) -> u64 {
    let mut total = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        total += if meta.is_dir() {
            bytes_below(&entry.path())
        } else {
            meta.len()
        };
    }
    total
}

#[test]
fn a_second_backup_of_an_unchanged_volume_stores_nothing_new() {
    const VOLUME: u64 = 60 * MB;
    let world = World::new();
    world.init();
    let stack = one_volume(&world, VOLUME);
    // Sparse members and extended headers are where a tar could put something of its own.
    let data = stack.volume_path("data");
    torture::plant(&data.join("torture"));
    world.backup(&stack);
    let repository = world.path("repo");
    let before = bytes_below(&repository);

    world.backup(&stack);

    // Read by somebody, and its containers made anew.
    Run::new("find")
        .arg(&data)
        .args(["-type", "f", "-exec", "touch", "-a", "{}", "+"])
        .env("PATH", "/usr/bin:/bin")
        .ok();
    world
        .docker(&["rm", "--force", &stack.container("db")])
        .text();
    let again = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    world.backup(&again);
    let grown = bytes_below(&repository) - before;
    println!("{grown} bytes more after two backups of {VOLUME} bytes");
    assert!(grown < VOLUME / 100, "two backups added {grown} bytes");
    assert_every_run_stored_the_same(&world, 3);
}

// ---- truncation ----

/// A volume, what happens in the place of its `"$REAL" "$@"`, and the reason that the recipe must give.
type Accident = (&'static str, &'static str, &'static str);

/// Backs up a stack with a volume for each accident; `pattern` is what the command line for the volume `NAME` is known by.
fn with_accidents(program: &str, pattern: &str, accidents: &[Accident]) {
    let world = World::new();
    world.init();
    let names: Vec<&str> = accidents.iter().map(|(name, ..)| *name).collect();
    let stack = stack_with(&world, &names, 5 * MB);
    let mut script = "case \"$*\" in\n".to_owned();
    for (name, accident, _) in accidents {
        let pattern = pattern.replace("NAME", name);
        script.push_str(&format!("{pattern}) {accident};;\n"));
    }
    script.push_str("*) exec \"$REAL\" \"$@\";;\nesac");
    backup(&world, &stack)
        .env("PATH", world.stand_in(program, &script))
        .code(3);
    let lost: Vec<(&str, &str)> = accidents.iter().map(|(name, _, r)| (*name, *r)).collect();
    assert_lost(&world, &stack, &lost);
    assert_the_next_run_is_good(&world, &stack);
}

#[test]
fn a_volume_that_tar_does_not_read_to_its_end_is_missing_from_the_point() {
    with_accidents(
        "tar",
        "*--create*_NAME/_data*",
        &[
            ("exit2", r#""$REAL" "$@"; exit 2"#, "exited with status 2"),
            // Which tar itself cannot know.
            (
                "short",
                r#""$REAL" "$@" | { head -c 1000000; cat >/dev/null; }"#,
                "but 1000000 arrived",
            ),
            (
                "cut",
                r#""$REAL" "$@" | head -c 1000000"#,
                "ended without an error before it had done its work",
            ),
            (
                "killed",
                r#""$REAL" "$@" | head -c 2000000; kill -9 $$"#,
                "was ended by signal 9",
            ),
            (
                "long",
                r#""$REAL" "$@"; head -c 10240 /dev/zero"#,
                "arrived",
            ),
            (
                "nothing",
                "exit 0",
                "ended without an error before it had done its work",
            ),
        ],
    );
}

#[test]
fn a_tar_that_is_killed_in_the_middle_of_its_stream_is_noticed() {
    let world = World::new();
    world.init();
    // Through two full pipes: tar cannot come to its end while kopia stands still.
    configure_spool(&world, 0);
    let stack = two_volumes(&world);
    let held = world.hold("read", backup(&world, &stack));
    let kopia = world.process(&["snapshot create", "_data "]);
    kopia.signal(Signal::STOP);
    let running = held.release();
    world
        .process(&["tar --create", "_data/_data"])
        .signal(Signal::KILL);
    kopia.signal(Signal::CONT);
    let done = running.code(3);
    assert!(done.stderr().contains("could not be saved"), "{done}");
    assert_lost(&world, &stack, &[("data", "was ended by signal 9")]);
    assert_recipes_tell_the_truth(&world);
}

#[test]
fn a_file_that_changed_while_it_was_read_makes_the_point_hot() {
    let world = World::new();
    world.init();
    let stack = two_volumes(&world);
    let path = world.stand_in(
        "tar",
        r#"case "$*" in *--create*_data/_data*)
            "$REAL" "$@"; echo "tar: ./noise: file changed as we read it" >&2; exit 1;; esac
        exec "$REAL" "$@""#,
    );
    let done = backup(&world, &stack).env("PATH", path).code(3);
    assert!(
        done.stderr()
            .contains("./noise: file changed as we read it"),
        "{done}"
    );
    let point = newest(&world);
    assert_eq!(point["grade"], "hot", "{point:#}");
    let recipe = recipe(&world, &point);
    assert_eq!(recipe["missing"], json!([]));
    for source in recipe["sources"].as_array().unwrap() {
        let is_data = source["name"] == stack.volume("data");
        assert_eq!(source["grade"], if is_data { "hot" } else { "ok" });
    }
    assert_recipes_tell_the_truth(&world);
    stack.assert_running(&["app", "db"]);
}

#[test]
fn a_volume_that_kopia_does_not_store_well_is_missing_from_the_point() {
    with_accidents(
        "kopia",
        "*'snapshot create '*'_NAME '*",
        &[
            // After it has committed.
            ("late", r#""$REAL" "$@"; exit 1"#, "exited with status 1"),
            (
                "garbage",
                r#""$REAL" "$@" >/dev/null; echo '{"id": "0123'"#,
                "printed no snapshot",
            ),
            (
                "short",
                r#"head -c 1000000 | "$REAL" "$@"; cat >/dev/null"#,
                "kopia saved 1000000 bytes",
            ),
            // Before the reading is over, or after it.
            ("leaves", r#"echo "Snapshotting x ..." >&2"#, "kopia"),
            (
                "incomplete",
                r#""$REAL" "$@" | sed 's/"rootEntry"/"incomplete":"canceled",&/'"#,
                "incomplete snapshot (canceled)",
            ),
            (
                "errors",
                r#""$REAL" "$@" | sed 's/"numFailed":0/"numFailed":0,"numIgnoredErrors":1/'"#,
                "could not read everything",
            ),
        ],
    );
}

#[test]
fn a_kopia_that_is_killed_or_cancelled_in_the_middle_of_its_stream_is_noticed() {
    let world = World::new();
    world.init();
    let stack = two_volumes(&world);
    for (signal, reason) in [
        (Signal::KILL, "was ended by signal 9"),
        (Signal::TERM, "incomplete snapshot (canceled)"),
    ] {
        let held = world.hold("read", backup(&world, &stack));
        // On SIGTERM it waits for the next bytes, saves what it has as incomplete, and ends with 0.
        world.process(&["snapshot create", "_data "]).signal(signal);
        held.release().code(3);
        assert_lost(&world, &stack, &[("data", reason)]);
    }
    let incomplete = snapshots(&world);
    let mut incomplete = incomplete.iter().filter(|s| s["incomplete"] == "canceled");
    assert!(incomplete.next().is_some(), "this was not put to the test");
    assert_recipes_tell_the_truth(&world);
}

#[test]
fn without_a_source_or_without_its_recipe_there_is_no_point() {
    let world = World::new();
    world.init();
    let stack = two_volumes(&world);
    let every_stream =
        r#"case "$*" in *--stdin-file=*) "$REAL" "$@"; exit 1;; esac; exec "$REAL" "$@""#;
    let recipe =
        r#"case "$*" in *--stdin-file=*) ;; *"snapshot create"*) exit 1;; esac; exec "$REAL" "$@""#;
    for script in [every_stream, recipe] {
        backup(&world, &stack)
            .env("PATH", world.stand_in("kopia", script))
            .code(3);
        assert_eq!(world.report()["units"][0]["outcome"], "failed");
        // The snapshots look good to Kopia; nothing says that they belong together.
        assert_eq!(assert_nothing_is_whole(&world)[0]["state"], "unfinished");
        stack.assert_running(&["app", "db"]);
    }
    assert_eq!(snapshots(&world).len(), 4, "this was not put to the test");
}

#[test]
fn our_own_death_leaves_nothing_that_looks_whole() {
    let world = World::new();
    world.init();
    let stack = two_volumes(&world);
    for fault in ["kill@read+30", "kill@store", "kill@commit"] {
        let done = backup(&world, &stack).env("KOPI_DOCKA_FAULT", fault).run();
        assert_eq!(done.signal, Some(9), "{fault}\n{done}");
        until("its children to end", Duration::from_secs(10), || {
            world.processes().is_empty().then_some(())
        });
        world.kd(&["--quiet", "recover"]).stdout_any().ok();
        stack.assert_running(&["app", "db"]);
        assert_eq!(fs::read_dir(world.path("spool")).unwrap().count(), 0);
    }
    assert_nothing_is_whole(&world);
    assert_the_next_run_is_good(&world, &stack);
    let left = fs::read_dir(world.path("run")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["kopi-docka.lock"]);
}

fn mount_tmpfs(world: &World, name: &str, options: &str) {
    let path = std::env::var_os("PATH").unwrap();
    Run::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(world.dir(name))
        .env("PATH", path)
        .ok();
}

#[test]
fn a_repository_that_is_full_costs_the_point_and_nothing_else() {
    let world = World::new();
    mount_tmpfs(&world, "repo", "size=20m");
    world.init();
    let stack = one_volume(&world, 40 * MB);
    let done = backup(&world, &stack).code(3);
    assert!(done.stderr().contains("no space left on device"), "{done}");
    stack.assert_running(&["db"]);
    assert_nothing_is_whole(&world);
    Run::new("mount")
        .args(["-o", "remount,size=200m"])
        .arg(world.path("repo"))
        .env("PATH", std::env::var_os("PATH").unwrap())
        .ok();
    assert_the_next_run_is_good(&world, &stack);
}

// ---- the spool ----

#[test]
fn a_spool_of_any_size_gives_the_same_stream_and_keeps_to_its_budget() {
    const MIB: u64 = 1 << 20;
    let world = World::new();
    world.init();
    let stack = one_volume(&world, 40 * MB);
    let with = |size: Value, limit: u64| {
        configure_spool(&world, size.clone());
        let report = world.backup(&stack);
        let peak = report["spool_peak_bytes"].as_u64().unwrap();
        assert!(peak <= limit, "a spool of {size} held {peak} bytes");
        peak
    };
    with("auto".into(), u64::MAX);
    with(0.into(), 0);
    with(1.into(), 0);
    assert_ne!(with("1MiB".into(), MIB), 0);
    assert_ne!(with("16MiB".into(), 16 * MIB), 0);
    // A disk that is full long before the budget is used up, and one that the budget knows: a quarter of it stays free.
    mount_tmpfs(&world, "spool", "size=8m");
    with("100MiB".into(), 6 * MIB);
    with("auto".into(), 6 * MIB);
    assert_every_run_stored_the_same(&world, 7);
}

/// Kopia lets the first six seconds' worth pass at once.
fn throttle(world: &World, bytes_per_second: u64) {
    let limit = format!("--upload-bytes-per-second={bytes_per_second}");
    world
        .kopia(&["repository", "throttle", "set", &limit])
        .text();
    let get = world.kopia(&["repository", "throttle", "get"]).text();
    let speed = format!("{} MB/s", bytes_per_second / MB);
    assert!(get.contains(&speed), "{get}");
}

fn downtime(report: &Value) -> f64 {
    report["units"][0]["downtime_seconds"].as_f64().unwrap()
}

/// Of a run that is ended as soon as its containers are up again.
fn downtime_of_a_run_given_up(world: &World, stack: &Stack) -> f64 {
    let held = world.hold("store", backup(world, stack));
    stack.assert_running(&["db"]);
    held.signal(Signal::TERM);
    held.release().code(143);
    downtime(&world.report())
}

#[test]
fn the_window_does_not_wait_for_the_repository() {
    let world = World::new();
    world.init();
    let stack = one_volume(&world, 200 * MB);
    // The best of some: others work on this machine too.
    let best = |first: f64| first.min(downtime_of_a_run_given_up(&world, &stack));
    let mut unthrottled = best(best(downtime(&world.backup(&stack))));

    fill(&stack.volume_path("data"), 200 * MB);
    throttle(&world, 5 * MB);
    let done = backup(&world, &stack).ok();
    let took = done.took;
    assert!(took > Duration::from_secs(25), "no throttle: {took:?}");
    assert_eq!(newest(&world)["state"], "whole");
    // What is stored already would not be sent again.
    let first = downtime(&world.report());
    fill(&stack.volume_path("data"), 200 * MB);
    let mut throttled = best(best(first));
    // What waits for the repository does so each time; what waits for this machine does not.
    for _ in 0..5 {
        if throttled <= unthrottled * 1.3 + 0.2 {
            break;
        }
        throttle(&world, 500 * MB);
        unthrottled = best(unthrottled);
        throttle(&world, 5 * MB);
        throttled = best(throttled);
    }
    println!("down {throttled:.3} s throttled, {unthrottled:.3} s not; the run took {took:?}");
    assert!(
        throttled <= unthrottled * 1.3 + 0.2,
        "down for {throttled} s instead of {unthrottled} s"
    );
}

#[test]
fn without_a_spool_the_window_takes_as_long_as_the_repository() {
    let world = World::new();
    world.init();
    let stack = one_volume(&world, 60 * MB);
    throttle(&world, 5 * MB);
    configure_spool(&world, 0);
    let report = world.backup(&stack);
    println!("down for {:.1} s", downtime(&report));
    assert!(downtime(&report) > 2.0, "{report:#}");
    assert_eq!(newest(&world)["state"], "whole");
    assert_recipes_tell_the_truth(&world);
}

// ---- who stands still ----

/// Seconds. A machine that builds something else meanwhile needs some of them to get a kopia started.
const STALL: u32 = 8;

fn with_little_patience() -> (World, Stack) {
    let world = World::new();
    world.init();
    world.config(|c| c["backup"]["stall_timeout"] = STALL.into());
    let stack = two_volumes(&world);
    (world, stack)
}

/// Backs up with a kopia for `data` that stands still from the first byte on, and returns the downtime.
fn with_a_stalled_kopia(world: &World, stack: &Stack, spool: impl Into<Value>) -> f64 {
    configure_spool(world, spool);
    let held = world.hold("read", backup(world, stack));
    world
        .process(&["snapshot create", "_data "])
        .signal(Signal::STOP);
    let done = held.release().code(3);
    assert!(done.took > Duration::from_secs(STALL.into()), "{done}");
    assert!(done.stderr().contains("could not be saved"), "{done}");
    assert!(done.stderr().contains("kopia"), "{done}");
    assert_lost(world, stack, &[("data", "for 8 s and was killed")]);
    assert!(world.processes().is_empty(), "{:?}", world.processes());
    downtime(&world.report())
}

#[test]
fn a_kopia_that_stands_still_is_killed_long_after_the_window() {
    let (world, stack) = with_little_patience();
    let down = with_a_stalled_kopia(&world, &stack, "auto");
    // The step was held for a while too.
    assert!(down < STALL.into(), "down for {down} s");
}

#[test]
fn a_kopia_that_stands_still_ends_the_window_when_the_spool_is_too_small() {
    let (world, stack) = with_little_patience();
    for spool in [json!(0), json!("1MiB")] {
        let down = with_a_stalled_kopia(&world, &stack, spool);
        assert!(
            (STALL.into()..f64::from(STALL) * 3.0).contains(&down),
            "down for {down} s"
        );
    }
}

#[test]
fn a_tar_that_stands_still_ends_the_window() {
    let (world, stack) = with_little_patience();
    let script = r#"case "$*" in *--create*_data/_data*)
            head -c 3000000 /dev/zero; kill -STOP $$;; esac
        exec "$REAL" "$@""#;
    let path = world.stand_in("tar", script);
    // Writing into a file of an overlay locks it for as long as tar is silent, also against the holes of what kopia has taken.
    let options = ["lower", "upper", "work"].map(|name| {
        let dir = world.dir(format!("layers/{name}"));
        format!("{name}dir={}", dir.display())
    });
    let options = options.join(",");
    let overlay = mount(
        &world,
        "overlay",
        &["-t", "overlay", "-o", &options, "overlay"],
    );
    for (spool, folder) in [
        (json!("auto"), overlay.clone()),
        (json!("1MiB"), overlay),
        (json!(0), world.path("spool")),
    ] {
        configure_spool(&world, spool);
        world.config(|config| config["backup"]["spool"]["directory"] = json!(folder));
        backup(&world, &stack)
            .env("PATH", &path)
            .timeout(Duration::from_secs(90))
            .code(3);
        assert_lost(&world, &stack, &[("data", "tar moved nothing for 8 s")]);
        assert!(downtime(&world.report()) < f64::from(STALL) * 3.0);
    }
}

// ---- secrets ----

/// Every file below `dir` that holds `secret`.
fn files_with(dir: &Path, secret: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files_with(&entry.path(), secret, found);
        } else if holds(&fs::read(entry.path()).unwrap_or_default(), secret)
            || holds(entry.file_name().as_bytes(), secret)
        {
            found.push(entry.path().display().to_string());
        }
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes
        .windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

/// The command lines of this machine that hold one of `secrets`.
fn command_lines_with(secrets: &[&str]) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
    lines
        .filter(|line| secrets.iter().any(|secret| holds(line, secret)))
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

#[test]
fn a_secret_is_in_the_configuration_and_nowhere_else() {
    let world = World::new();
    let of_repository = format!("pl4nted-repository-{}", world.id());
    let of_container = format!("pl4nted-container-{}", world.id());
    let secrets = [of_repository.as_str(), of_container.as_str()];
    world.config(|c| c["kopia"]["password"] = of_repository.as_str().into());
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data").env("PASSWORD", &of_container)
        })
        .up();
    fill(&stack.volume_path("data"), 5 * MB);

    let mut said = Vec::new();
    let mut keep = |done: crate::common::Done| {
        said.extend_from_slice(done.stdout_bytes());
        said.extend_from_slice(done.stderr().as_bytes());
        done
    };
    let talkative = |args: &[&str]| {
        world
            .kd(&[&["--log-level", "trace"], args].concat())
            .stdout_any()
            .stderr_any()
    };
    keep(talkative(&["init"]).ok());

    let run = talkative(&["--json", "backup", "--unit", stack.unit()]);
    let held = world.hold("read", run);
    assert_eq!(command_lines_with(&secrets), Vec::<String>::new());
    let mut running = held.release();
    let seen = until("its end", Duration::from_secs(60), || {
        let seen = command_lines_with(&secrets);
        (!running.is_running() || !seen.is_empty()).then_some(seen)
    });
    assert_eq!(seen, Vec::<String>::new());
    keep(running.ok());

    // What fails says more than what does not.
    let late = r#"case "$*" in *--stdin-file=*) "$REAL" "$@"; exit 1;; esac; exec "$REAL" "$@""#;
    let path = world.stand_in("kopia", late);
    keep(
        talkative(&["backup", "--unit", stack.unit()])
            .env("PATH", path)
            .code(3),
    );
    for args in [
        &["list", "--units", "--json"][..],
        &["list", "--snapshots", "--json"],
        &["repo-status", "--json"],
        &["repo-status"],
        &["show-config"],
        &["show-config", "--json"],
    ] {
        keep(talkative(args).ok());
    }
    let wrong = format!("{of_repository}-wrong");
    let config = fs::read(world.config_path()).unwrap();
    world.config(|c| c["kopia"]["password"] = wrong.into());
    keep(talkative(&["list", "--snapshots"]).code(12));
    keep(talkative(&["init"]).code(12));
    fs::write(world.config_path(), config).unwrap();

    assert!(!said.contains(&b'\x1b'), "colours went into a pipe");
    for secret in secrets {
        assert!(
            !holds(&said, secret),
            "{secret} was printed:\n{}",
            String::from_utf8_lossy(&said)
        );
    }
    // The compose file is the operator's, the stand-in's directory the test's.
    let mut found = Vec::new();
    for entry in fs::read_dir(world.path(".")).unwrap() {
        let path = entry.unwrap().path();
        let is_ours = path.file_name() != Some(OsStr::new("stacks")) && path.is_dir();
        if path.file_name() == Some(OsStr::new("kopi-docka.log")) {
            let log = fs::read(&path).unwrap();
            assert!(holds(&log, "step read"), "it was written into");
            let secret = secrets.iter().find(|secret| holds(&log, secret));
            assert_eq!(secret, None, "{}", String::from_utf8_lossy(&log));
        }
        if is_ours {
            for secret in secrets {
                files_with(&path, secret, &mut found);
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
