//! Only what changed is read: in the window nearly nothing, and what is restored is exact all the same.

use std::fs::{self, File};
use std::io::{Read as _, copy};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Run, Stack, World, mount_ext4, oracle, torture, unmount};

#[allow(dead_code, reason = "the tests of the rules use more of it")]
#[path = "../../src/changed/tests/tree.rs"]
mod tree;

/// Everything that can be read in parts is, however small.
fn world() -> World {
    let world = World::new();
    world.config(|config| config["backup"]["read_pays"] = json!("0s"));
    world.init();
    world
}

fn fill(path: &Path, bytes: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut noise = File::open("/dev/urandom").unwrap().take(bytes);
    copy(&mut noise, &mut File::create(path).unwrap()).unwrap();
}

fn stack(world: &World) -> Stack {
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let data = stack.volume_path("data");
    for number in 0..20 {
        fill(&data.join(format!("d{}/{number}", number % 4)), 100_000);
    }
    stack
}

/// Saves the stack, and what the report says of its source.
fn saved(world: &World, stack: &Stack) -> Value {
    world.backup(stack)["units"][0]["sources"][0].clone()
}

/// What the report of the last run says of its source.
#[track_caller]
fn last_source(world: &World) -> Value {
    world.report()["units"][0]["sources"][0].clone()
}

fn kinds(source: &Value) -> Vec<&str> {
    let parts = source["parts"].as_array().unwrap();
    parts
        .iter()
        .map(|part| part["kind"].as_str().unwrap())
        .collect()
}

/// What a restore of the newest point gives of the volume, in a directory called `name`.
#[track_caller]
fn restored(world: &World, stack: &Stack, name: &str) -> oracle::Manifest {
    let volume = stack.volume("data");
    bring(world, stack, &volume, name);
    oracle::manifest(&world.path(name).join("volumes").join(volume))
}

/// Restores `source` of the newest point into a directory called `name`.
#[track_caller]
fn bring(world: &World, stack: &Stack, source: &str, name: &str) {
    let target = world.path(name).display().to_string();
    world
        .restore_latest(stack.unit(), &["--volume", source, "--target", &target])
        .stdout_any()
        .stderr_any()
        .ok();
}

/// What a restore of the newest point gives, against what is there now.
#[track_caller]
fn assert_restored(world: &World, stack: &Stack, name: &str) {
    let was = oracle::manifest(&stack.volume_path("data"));
    restored(world, stack, name).assert_same(&was);
}

#[test]
fn the_window_reads_what_changed_since_the_last_look() {
    let world = world();
    let stack = stack(&world);
    let data = stack.volume_path("data");
    let first = saved(&world, &stack);
    assert_eq!(first["read"], "changed", "{first:#}");
    assert_eq!(kinds(&first), ["full"], "a lone part is what it always was");
    assert_eq!(first["window_bytes"], 0);
    assert_restored(&world, &stack, "first");

    let same = saved(&world, &stack);
    assert_eq!(
        (&same["window_bytes"], &same["before_bytes"]),
        (&json!(0), &json!(0))
    );
    assert!(
        same["kept_bytes"].as_u64().unwrap() >= 2_000_000,
        "{same:#}"
    );

    fill(&data.join("d0/0"), 50_000);
    fs::remove_file(data.join("d1/1")).unwrap();
    symlink("/etc", data.join("d1/1")).unwrap();
    fs::remove_dir_all(data.join("d2")).unwrap();
    let third = saved(&world, &stack);
    assert_eq!(kinds(&third), ["base", "increment"], "{third:#}");
    assert_eq!(third["window_bytes"], 0);
    let before = third["before_bytes"].as_u64().unwrap();
    assert!((50_000..300_000).contains(&before), "{third:#}");
    assert_restored(&world, &stack, "third");
    world
        .kd(&["verify", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .ok();
}

/// As [`saved`], where everything is large.
fn saved_side_by_side(world: &World, stack: &Stack) -> Value {
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .env("KOPI_DOCKA_FAULT_CUT_ABOVE_BYTES", "50000")
        .stdout_any()
        .ok();
    last_source(world)
}

#[test]
fn a_large_part_is_read_side_by_side_and_comes_back_so() {
    let world = world();
    world.config(|config| config["backup"]["parallel_workers"] = json!(2));
    let stack = stack(&world);
    let data = stack.volume_path("data");
    for number in 0..12 {
        fill(
            &data.join(format!("d{}/{number}-more", number % 4)),
            500_000,
        );
    }
    fs::hard_link(data.join("d0/0"), data.join("d3/linked")).unwrap();
    let first = saved_side_by_side(&world, &stack);
    assert_eq!(kinds(&first), ["folders", "base", "base"], "{first:#}");
    let bytes = |part: usize| first["parts"][part]["bytes"].as_u64().unwrap();
    assert!(bytes(1).abs_diff(bytes(2)) < 1_000_000, "{first:#}");
    assert_restored(&world, &stack, "first");

    for number in 0..3 {
        fill(&data.join(format!("d1/{number}-new")), 40_000);
    }
    fs::remove_dir_all(data.join("d2")).unwrap();
    symlink("/etc", data.join("d2")).unwrap();
    torture::plant(&data.join("torture"));
    let second = saved_side_by_side(&world, &stack);
    let wanted = [
        "folders",
        "base",
        "base",
        "folders",
        "increment",
        "increment",
    ];
    assert_eq!(kinds(&second), wanted, "{second:#}");
    assert_eq!(second["window_bytes"], 0);
    assert_restored(&world, &stack, "second");
    world
        .kd(&["verify", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .ok();

    let spoilt = oracle::manifest(&data);
    fs::remove_dir_all(data.join("d3")).unwrap();
    world
        .restore_latest(stack.unit(), &[])
        .stderr_any()
        .stdout_any()
        .ok();
    oracle::manifest(&data).assert_same(&spoilt);
}

#[test]
fn of_streams_that_are_read_side_by_side_one_that_fails_ends_the_others() {
    let world = world();
    world.config(|config| config["backup"]["parallel_workers"] = json!(2));
    let stack = stack(&world);
    // Of three streams the first fails and the others would wait for ever; those after them are as always.
    let script = format!(
        r#"case " $* " in *' snapshot create '*' --stdin-file=data '*)
            for one in 1 2 3; do
                if mkdir '{}'/$one 2>/dev/null; then
                    echo 'Snapshotting x' >&2
                    [ $one = 1 ] && {{ sleep 1; exit 1; }}
                    exec sleep 1000
                fi
            done;;
        esac
        exec "$REAL" "$@""#,
        world.dir("streams").display()
    );
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .env("PATH", world.stand_in("kopia", &script))
        .env("KOPI_DOCKA_FAULT_CUT_ABOVE_BYTES", "50000")
        .stdout_any()
        .stderr("is read whole in the window")
        .stderr_any()
        .timeout(std::time::Duration::from_secs(60))
        .ok();
    let source = &last_source(&world);
    assert_eq!(kinds(source), ["full"], "{source:#}");
    assert_restored(&world, &stack, "whole");
    stack.assert_running(&["db"]);
}

/// The members of the last part of the only source.
fn names_in_window(world: &World) -> Vec<String> {
    let points = world.points();
    let recipe = points["points"][0]["recipe"].as_str().unwrap().to_owned();
    let record = world
        .kopia(&["show", &format!("{recipe}/recipe.json")])
        .json();
    let parts = record["sources"][0]["parts"].as_array().unwrap();
    let last = parts.last().unwrap();
    assert_eq!(last["kind"], "final");
    let root = last["root"].as_str().unwrap();
    let shown = world
        .kopia(&["show", &format!("{root}/data")])
        .stdout_any()
        .ok();
    let stream = shown.stdout_bytes().to_vec();
    let names = Run::new("tar").args(["-tf", "-"]).stdin(stream);
    names.text().lines().map(str::to_owned).collect()
}

#[test]
fn a_tree_with_everything_in_it_is_proven_and_restored() {
    let world = world();
    let stack = stack(&world);
    torture::plant(&stack.volume_path("data").join("torture"));
    let first = saved(&world, &stack);
    if kinds(&first) != ["full"] {
        panic!("these are not proven: {:#?}", names_in_window(&world));
    }
    assert_restored(&world, &stack, "first");
    fill(&stack.volume_path("data").join("d1/new"), 10);
    let second = saved(&world, &stack);
    assert_eq!(kinds(&second), ["base", "increment"], "{second:#}");
    assert_eq!(second["window_bytes"], 0);
    assert_restored(&world, &stack, "second");
}

#[test]
fn a_run_that_is_killed_anywhere_leaves_services_up_and_the_next_one_right() {
    let world = world();
    let stack = stack(&world);
    let data = stack.volume_path("data");
    saved(&world, &stack);
    let steps = [
        "read_hot",
        "before_part",
        "part_stored",
        "warm",
        "open",
        "stop",
        "read",
        "start",
        "store",
        "commit",
        "keep_index",
    ];
    for (number, step) in steps.into_iter().enumerate() {
        fill(&data.join(format!("d1/{step}")), 20_000);
        fs::remove_file(data.join(format!("d0/{}", number / 3 * 4))).ok();
        let run = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
        let done = run.env("KOPI_DOCKA_FAULT", format!("kill@{step}")).run();
        assert_eq!(done.code, None, "{step} is not reached:\n{done}");
        fill(&data.join("d3/late"), 5_000);
        let source = saved(&world, &stack);
        assert_eq!(source["read"], "changed", "{step}: {source:#}");
        stack.assert_running(&["db"]);
        assert_restored(&world, &stack, step);
    }
    world
        .kd(&["verify", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .ok();
}

#[test]
fn a_file_that_somebody_else_writes_to_makes_its_source_hot_and_he_is_named() {
    let world = world();
    let stack = stack(&world);
    saved(&world, &stack);
    let path = stack.volume_path("data").join("d0/0");
    let writer = File::options().append(true).open(&path).unwrap();
    fs::write(stack.volume_path("data").join("d0/new"), "new").unwrap();
    // Nothing is said of a file that nobody has written to: it is proven.
    let source = saved(&world, &stack);
    assert_eq!(source["grade"], "ok", "{source:#}");

    fill(&path, 10_000);
    let done = world
        .kd(&["--json", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .code(3);
    let said = done.stdout();
    assert!(said.contains("open for writing"), "{said}");
    assert!(
        said.contains(&format!("process {}", std::process::id())),
        "{said}"
    );
    assert_eq!(world.report()["units"][0]["sources"][0]["grade"], "hot");
    drop(writer);
    assert_eq!(saved(&world, &stack)["grade"], "ok");
    assert_restored(&world, &stack, "restored");
}

#[test]
fn everything_is_read_where_that_is_wanted_or_nothing_can_be_proven() {
    let world = world();
    let stack = stack(&world);
    let why = |source: &Value| source["read_why"].to_string();
    saved(&world, &stack);
    let run = world.kd(&["backup", "--read-everything", "--unit", stack.unit()]);
    run.stdout_any().stderr_any().ok();
    let source = last_source(&world);
    assert_eq!(
        (&source["read"], kinds(&source)),
        (&json!("plain"), vec!["full"])
    );
    assert!(source["window_bytes"].as_u64().unwrap() > 2_000_000);
    assert!(why(&source).contains("--read-everything"), "{source:#}");

    world.config(|config| config["backup"]["units"][stack.unit()] = json!({"read": "everything"}));
    assert_eq!(saved(&world, &stack)["read"], "plain");
    world.config(|config| {
        config["backup"]["units"] = json!({});
        config["backup"]["read_pays"] = json!("10s");
    });
    let source = saved(&world, &stack);
    assert!(why(&source).contains("backup.read_pays"), "{source:#}");

    // What is known of it is still there, and right.
    world.config(|config| config["backup"]["read_pays"] = json!("0s"));
    fill(&stack.volume_path("data").join("d0/0"), 1000);
    let source = saved(&world, &stack);
    assert_eq!(kinds(&source), ["base", "increment"], "{source:#}");
    assert_restored(&world, &stack, "restored");
}

#[test]
fn a_container_that_wants_everything_to_be_read_gets_it() {
    let world = world();
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .label("kopi-docka.read", "everything")
        })
        .service("app", |s| s.label("kopi-docka.read", "changed"))
        .up();
    fill(&stack.volume_path("data").join("file"), 1000);
    let source = saved(&world, &stack);
    assert_eq!(source["read"], "plain", "{source:#}");
    assert!(
        source["read_why"].to_string().contains("label"),
        "{source:#}"
    );
}

#[test]
fn an_index_that_is_damaged_or_of_another_tree_is_none() {
    let world = world();
    let stack = stack(&world);
    let data = stack.volume_path("data");
    saved(&world, &stack);
    let index = index_of(&world);
    let good = fs::read(&index).unwrap();
    for at in [0, 30, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&index, bad).unwrap();
        let source = saved(&world, &stack);
        assert_eq!(
            (kinds(&source), &source["read"]),
            (vec!["full"], &json!("changed")),
            "{at}: {source:#}"
        );
    }
    // Other patterns: what they leave out is not in the parts.
    world.config(|config| config["backup"]["exclude_patterns"] = json!(["d3"]));
    let source = saved(&world, &stack);
    assert_eq!(kinds(&source), ["full"], "{source:#}");
    world.config(|config| config["backup"]["exclude_patterns"] = json!([]));
    // Another directory in its place.
    fs::rename(&data, data.with_extension("old")).unwrap();
    fs::create_dir(&data).unwrap();
    fill(&data.join("other"), 1000);
    fs::remove_dir_all(data.with_extension("old")).unwrap();
    let run = world.kd(&["backup", "--unit", stack.unit()]);
    run.stdout_any().stderr_any().run();
    let source = last_source(&world);
    assert_eq!(kinds(&source), ["full"], "{source:#}");
}

fn index_of(world: &World) -> PathBuf {
    let mut pending = vec![world.path("state").join("index")];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.file_name().unwrap() == "index" {
                return path;
            }
        }
    }
    panic!("there is no index");
}

#[test]
fn a_point_outlives_those_that_its_parts_were_stored_for() {
    let world = world();
    world.config(|config| {
        config["retention"] = json!({"latest": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    });
    let stack = stack(&world);
    saved(&world, &stack);
    for night in 0..4 {
        fill(
            &stack.volume_path("data").join(format!("d1/{night}")),
            10_000,
        );
        saved(&world, &stack);
    }
    assert_eq!(world.points()["points"].as_array().unwrap().len(), 1);
    assert_restored(&world, &stack, "restored");
    // When the repository loses a part, it is no longer counted on.
    let points = world.points();
    let recipe = points["points"][0]["recipe"].as_str().unwrap().to_owned();
    let record = world
        .kopia(&["show", &format!("{recipe}/recipe.json")])
        .json();
    let base = record["sources"][0]["parts"][0]["snapshot"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .kopia(&["snapshot", "delete", "--delete", &base])
        .stdout_any()
        .stderr_any()
        .ok();
    let source = saved(&world, &stack);
    assert_eq!(kinds(&source), ["full"], "{source:#}");
    assert_restored(&world, &stack, "again");
}

#[test]
fn what_changes_while_much_is_read_is_read_once_more_before_the_stop() {
    let world = world();
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .sh("trap 'exit 0' TERM; while :; do head -c 1000000 /dev/urandom >/data/live; sleep 0.05; done")
        })
        .up();
    let data = stack.volume_path("data");
    (0..10).for_each(|number| fill(&data.join(format!("d/{number}")), 1_000_000));
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .env("KOPI_DOCKA_FAULT_LONG_PASS_SECONDS", "0")
        .env("KOPI_DOCKA_FAULT_WORTH_IT_BYTES", "100000")
        .stdout_any()
        .ok();
    let source = last_source(&world);
    assert_eq!(kinds(&source), ["base", "increment", "final"], "{source:#}");
    let found = restored(&world, &stack, "out");
    stack.stop("db");
    let is_still = |path: &[u8]| path != b"live" && path != b".";
    found
        .only(is_still)
        .assert_same(&oracle::manifest(&data).only(is_still));
}

/// As the adversary of the tests of the rules, against all of the program and the real Kopia. `KOPI_DOCKA_ADVERSARY=200` for as many
/// rounds of five points, `KOPI_DOCKA_TREES=/mnt/xfs` for another file system; `KOPI_DOCKA_ADVERSARY_SEED` does the same again.
#[test]
fn a_tree_that_is_attacked_until_the_stop_comes_back_exactly() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        text.parse::<u64>().ok()
    };
    let seed = number("KOPI_DOCKA_ADVERSARY_SEED");
    let seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let rounds = number("KOPI_DOCKA_ADVERSARY").unwrap_or(1);
    let (mut changed, mut cloned) = (0, 0);
    for seed in (seed..).take(usize::try_from(rounds).unwrap()) {
        println!("seed {seed}");
        let (read, clones) = attack(seed);
        changed += read;
        cloned += clones;
    }
    println!(
        "{} points, {changed} of them in parts, {cloned} with clones",
        5 * rounds
    );
    assert!(changed > 0, "a proof that nothing passes proves nothing");
}

/// Five points of a tree; how many were read in parts, and for how many files were cloned.
fn attack(seed: u64) -> (u64, u64) {
    let world = world();
    let place = std::env::var_os("KOPI_DOCKA_TREES");
    let place = place.map(|place| tempfile::tempdir_in(place).unwrap());
    let place = place
        .as_ref()
        .map_or_else(|| world.dir("tree"), |it| it.path().to_owned());
    let data = place.join("data");
    fs::create_dir(&data).unwrap();
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&data, "/data"))
        .up();
    let mut tree = tree::Tree::new(&data, seed);
    tree.fill(8, 60);
    tree.attack(80);
    let (mut changed, mut cloned) = (0, 0);
    for night in 0..5 {
        let run = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
        let run = ["WORTH_CLONING", "ROOM_TO_SPARE", "LARGE_FILE"]
            .iter()
            .fold(run, |run, of| {
                run.env(format!("KOPI_DOCKA_FAULT_{of}_BYTES"), "1")
            });
        let is_over = AtomicBool::new(false);
        let held = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    tree.attack(1);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let held = world.hold("warm", run.stderr_any());
            is_over.store(true, Ordering::Relaxed);
            held
        });
        tree.attack(night);
        held.release().ok();
        let source = last_source(&world);
        changed += u64::from(source["read"] == "changed");
        cloned += u64::from(source["after_bytes"] != 0);
        let name = format!("night {night}");
        bring(&world, &stack, data.to_str().unwrap(), &name);
        oracle::manifest(&bind_in(&world, &name, &data)).assert_same(&oracle::manifest(&data));
    }
    (changed, cloned)
}

/// What was brought of the bind mount `data` into the directory `name`.
fn bind_in(world: &World, name: &str, data: &Path) -> PathBuf {
    world
        .path(name)
        .join("binds")
        .join(data.strip_prefix("/").unwrap())
}

/// When the containers of `stack` were started.
fn started(world: &World, stack: &Stack) -> String {
    let name = stack.container("db");
    world
        .docker(&["inspect", "--format", "{{.State.StartedAt}}", &name])
        .text()
}

#[test]
fn a_unit_that_would_be_down_for_too_long_is_left_up() {
    let world = world();
    let stack = stack(&world);
    let unit = stack.unit().to_owned();
    let limits = |general: &str, own: Option<&str>| {
        world.config(|config| {
            config["backup"]["max_downtime"] = json!(general);
            config["backup"]["units"][&unit] =
                own.map_or(json!({}), |own| json!({"max_downtime": own}));
        });
    };
    let run = || world.kd(&["--quiet", "backup", "--unit", &unit]);
    let planned = || {
        let plan = world
            .kd(&["--json", "dry-run", "--unit", &unit])
            .stderr_any()
            .json();
        let unit = plan["units"][0].clone();
        (
            unit["is_left_up"].clone(),
            unit["max_downtime_seconds"].clone(),
        )
    };
    let before = started(&world, &stack);
    for (general, own) in [("3s", None), ("1h", Some("3s"))] {
        limits(general, own);
        assert_eq!(planned(), (json!(true), json!(3)));
        run()
            .stdout_any()
            .stderr(
                "it would be down for about 10 s, and `backup.max_downtime` is 3 s: it was left up",
            )
            .stderr_any()
            .code(3);
        let report = world.report()["units"][0].clone();
        assert_eq!(report["outcome"], "skipped", "{report:#}");
        assert!(report["expected_downtime_seconds"].as_f64().unwrap() >= 10.0);
        assert_eq!(report["downtime_seconds"], 0.0);
        assert_eq!(started(&world, &stack), before, "it was stopped");
    }
    assert_eq!(world.points()["points"], json!([]));
    world
        .kd(&["check"])
        .stdout("was left up")
        .stdout_any()
        .stderr_any()
        .code(3);

    limits("3s", Some("1h"));
    assert_eq!(planned(), (json!(false), json!(3600)));
    run().stdout_any().ok();
    let report = world.report()["units"][0].clone();
    assert_eq!(report["outcome"], "saved", "{report:#}");
    assert_ne!(started(&world, &stack), before);
    // The next one goes by what this one took.
    let took = report["downtime_seconds"].as_f64().unwrap();
    run().stdout_any().ok();
    let expected = &world.report()["units"][0]["expected_downtime_seconds"];
    assert!(
        expected.as_f64().unwrap() <= took + 1.0,
        "{expected} {took}"
    );
}

#[test]
fn the_label_of_a_container_says_how_long_its_unit_may_be_down() {
    let world = world();
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .label("kopi-docka.max-downtime", "2s")
        })
        .service("app", |s| s.label("kopi-docka.max-downtime", "soon"))
        .up();
    fill(&stack.volume_path("data").join("file"), 100_000);
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr("`kopi-docka.max-downtime=soon`, which is no duration")
        .stderr("`backup.max_downtime` is 2 s")
        .stderr_any()
        .code(3);
    stack.assert_running(&["db", "app"]);
}

#[test]
fn a_dry_run_says_what_would_be_read_when_and_writes_nothing() {
    let world = world();
    let stack = stack(&world);
    let plan = || {
        let args = ["--json", "dry-run", "--unit", stack.unit()];
        let plan = world.kd(&args).stderr_any().json();
        plan["units"][0]["sources"][0].clone()
    };
    let first = plan();
    assert_eq!(
        (&first["read"], &first["window_bytes"]),
        (&json!("changed"), &json!(0))
    );
    assert!(
        first["before_bytes"].as_u64().unwrap() >= 2_000_000,
        "{first:#}"
    );
    assert!(!world.path("state/index").exists());
    saved(&world, &stack);
    fill(&stack.volume_path("data").join("d0/0"), 300_000);
    let second = plan();
    assert_eq!(second["before_bytes"], 300_000, "{second:#}");
    assert_eq!(second["kept_bytes"], 1_900_000, "{second:#}");
    world
        .kd(&["dry-run", "--unit", stack.unit()])
        .stdout("READ BEFORE")
        .stdout_any()
        .ok();
    world.config(|config| config["backup"]["read"] = json!("everything"));
    let whole = plan();
    assert_eq!(whole["read"], "plain");
    assert!(
        whole["read_why"][0]
            .as_str()
            .unwrap()
            .contains("configuration")
    );
    assert!(
        whole["window_bytes"].as_u64().unwrap() >= 2_200_000,
        "{whole:#}"
    );
}

/// The report of a `verify --against-source` that ended with `code`.
#[track_caller]
fn against(world: &World, stack: &Stack, code: i32) -> Value {
    let args = [
        "--json",
        "verify",
        "--against-source",
        "--unit",
        stack.unit(),
    ];
    let run = world.kd(&args).stdout_any().stderr_any().code(code);
    let last = run.json_lines().pop().unwrap();
    assert_eq!(last["event"], "against_source_finished", "{last:#}");
    last["report"]["points"][0]["sources"][0].clone()
}

#[test]
fn what_a_disk_lost_without_a_word_is_found_and_named() {
    let world = world();
    let data = mount_ext4(&world, "disk", 100).join("data");
    fs::create_dir(&data).unwrap();
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&data, "/data"))
        .up();
    let marker = torture::noise(64);
    for number in 0..20 {
        fill(&data.join(format!("d/{number}")), 100_000);
    }
    let mut content = torture::noise(200_000);
    content[150_000..150_064].copy_from_slice(&marker);
    fs::write(data.join("d/rots"), &content).unwrap();
    let holes = File::create(data.join("d/holes")).unwrap();
    holes.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"here", 500 << 20).unwrap();
    drop(holes);
    fs::hard_link(data.join("d/1"), data.join("d/one more")).unwrap();

    world
        .kd(&["verify", "--against-source"])
        .stderr("there is no whole restore point")
        .stderr_any()
        .code(4);
    saved(&world, &stack);
    let same = against(&world, &stack, 0);
    assert_eq!(
        (&same["result"], &same["files"]),
        (&json!("same"), &json!(22)),
        "{same:#}"
    );

    // What changed is not compared, whatever it is.
    fs::write(data.join("d/3"), "new").unwrap();
    let same = against(&world, &stack, 0);
    assert_eq!(
        (&same["result"], &same["files"]),
        (&json!("same"), &json!(21))
    );

    rustix::fs::syncfs(File::open(&data).unwrap()).unwrap();
    let path = world.path("disk.image");
    let image = fs::read(&path).unwrap();
    let mut places = (150_000 % 4096..image.len()).step_by(4096);
    let at = places.find(|at| image[*at..].starts_with(&marker)).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[!marker[0]], at as u64).unwrap();
    file.sync_all().unwrap();
    let rotten = against(&world, &stack, 3);
    assert_eq!(
        (&rotten["result"], &rotten["different_files"]),
        (&json!("different"), &json!(1))
    );
    assert_eq!(rotten["differences"][0]["path"], "d/rots", "{rotten:#}");
    world
        .kd(&["verify", "--against-source", "--unit", stack.unit()])
        .stdout("1 file DIFFERENT")
        .stdout_any()
        .stderr("`d/rots` has other bytes than were saved")
        .stderr_any()
        .code(3);
    // The restore point is good.
    world
        .kd(&["verify", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .ok();
}

#[test]
fn a_disk_that_was_not_unmounted_cleanly_is_read_anew() {
    let world = world();
    let disk = mount_ext4(&world, "disk", 100);
    let data = disk.join("data");
    fs::create_dir(&data).unwrap();
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&data, "/data"))
        .up();
    for number in 0..20 {
        fill(&data.join(format!("d/{number}")), 100_000);
    }
    saved(&world, &stack);
    assert_eq!(saved(&world, &stack)["before_bytes"], 0);

    // What was written is on the disk, and its times are not.
    let tool = |program: &str| Run::new(program).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let file = data.join("d/7");
    tool("sync").arg("-f").arg(&disk).ok();
    let before = fs::metadata(&file).unwrap();
    tool("dd")
        .args([
            "if=/dev/urandom",
            "bs=4096",
            "count=1",
            "conv=notrunc",
            "oflag=direct",
            "status=none",
        ])
        .arg(format!("of={}", file.display()))
        .ok();
    let written = fs::read(&file).unwrap();
    stack.stop("db");
    tool("xfs_io")
        .args(["-x", "-c", "shutdown"])
        .arg(&disk)
        .stdout_any()
        .ok();
    unmount(&disk);
    let image = world.path("disk.image");
    tool("mount")
        .args(["-o", "loop"])
        .arg(&image)
        .arg(&disk)
        .ok();
    assert_eq!(fs::read(&file).unwrap(), written);
    let after = fs::metadata(&file).unwrap();
    let times = |metadata: &fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
    assert_eq!(times(&after), times(&before), "else it shows nothing");

    stack.start("db");
    let source = saved(&world, &stack);
    assert!(
        source["before_bytes"].as_u64().unwrap() > 2_000_000,
        "{source:#}"
    );
    bring(&world, &stack, data.to_str().unwrap(), "out");
    oracle::manifest(&bind_in(&world, "out", &data)).assert_same(&oracle::manifest(&data));
}

#[test]
fn names_that_change_in_the_window_make_it_read_everything_then() {
    let world = world();
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .sh("trap 'exit 0' TERM; while :; do date +%N >/data/live 2>/dev/null; sleep 0.02; done")
        })
        .up();
    let data = stack.volume_path("data");
    (0..10).for_each(|number| fill(&data.join(format!("d/{number}")), 100_000));
    saved(&world, &stack);
    let run = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    let held = world.hold("found", run);
    fs::remove_file(data.join("live")).unwrap();
    fs::create_dir(data.join("live")).unwrap();
    held.release().ok();
    let source = last_source(&world);
    assert_eq!(kinds(&source), ["full"], "{source:#}");
    let why = source["read_why"].to_string();
    assert!(why.contains("became something else"), "{why}");
    assert_restored(&world, &stack, "out");
}
