//! What `verify` calls good can be read back, what it calls damaged cannot: the real Kopia, and no Docker where none is needed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{Run, Signal, Stack, World, torture};
use serde_json::{Value, json};

const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn verify(world: &World, args: &[&str]) -> Run {
    world.kd(&[&["--json", "verify"], args].concat())
}

/// The report in the last event of a verify that ended with `code`.
#[track_caller]
fn report(run: Run, code: i32) -> Value {
    let mut events = run.stdout_any().code(code).json_lines();
    let mut last = events.pop().unwrap();
    assert_eq!(last["event"], "verify_finished");
    assert_eq!(last["report"]["exit_code"], code);
    last["report"].take()
}

#[track_caller]
fn assert_nothing_is_left(world: &World) {
    world.until_no_process_is_left();
    for path in [
        "cache/kopi-docka.fresh",
        "home/.config/kopia/repository-kopi-docka.config.fresh",
    ] {
        assert!(!world.path(path).exists(), "{path}");
    }
}

/// A unit with the volume `data`, which holds `mebibytes` that no compression makes smaller; backed up.
fn saved(world: &World, name: &str, mebibytes: usize) -> Stack {
    let stack = world
        .stack(name)
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let noise = torture::noise(mebibytes << 20);
    // No two units share their data.
    let noise = [name.as_bytes(), &noise].concat();
    fs::write(stack.volume_path("data").join("noise"), noise).unwrap();
    world.backup(&stack);
    stack
}

/// `kopia`, but what it shows of data goes through `filter`.
fn kopia_that(world: &World, filter: &str) -> OsString {
    world.stand_in(
        "kopia",
        &format!("case \" $* \" in *' show '*/data' ') \"$REAL\" \"$@\" {filter};; *) exec \"$REAL\" \"$@\";; esac"),
    )
}

fn without_docker(world: &World) {
    let socket = world.path("no-docker.sock");
    world.config(|config| config["docker"]["socket"] = json!(socket));
}

/// The listed point of `unit`; there must be one.
#[track_caller]
fn listed(world: &World, unit: &str) -> Value {
    let mut points = world.points();
    let points = points["points"].as_array_mut().unwrap();
    points.retain(|point| point["unit"] == unit);
    assert_eq!(points.len(), 1, "{points:?}");
    points[0].take()
}

#[test]
fn every_byte_of_the_newest_points_is_read_without_docker_and_the_listing_says_so() {
    let world = World::new();
    world.init();
    let bind = world.dir("binds/data");
    let web = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data").bind(&bind, "/bind"))
        .up();
    torture::plant(&web.volume_path("data"));
    world.backup(&web);
    let db = saved(&world, "db", 1);
    let newest = world.report()["backup_id"].as_str().unwrap().to_owned();
    assert!(listed(&world, web.unit())["verified_at"].is_null());
    without_docker(&world);
    let watch = world.watch();

    let run = verify(&world, &[]).stdout_any().ok();
    let events = run.json_lines();
    let names: Vec<&str> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "verify_started",
            "point_verified",
            "point_verified",
            "verify_finished"
        ]
    );
    assert_eq!(events[0]["points"].as_array().unwrap().len(), 2);
    let report = &events[3]["report"];
    let points = report["points"].as_array().unwrap();
    assert_eq!(points[0]["unit"], db.unit());
    assert_eq!(points[0]["backup_id"], newest);
    for point in points {
        assert_eq!(point["result"], "good");
        assert_eq!(point["percent"], 100);
        assert_eq!(point["bytes"], point["read_bytes"]);
        let sources = point["sources"].as_array().unwrap();
        assert!(sources.iter().all(|source| source["result"] == "good"));
    }
    assert_eq!(points[1]["sources"].as_array().unwrap().len(), 2);
    assert_eq!(report["bytes"], report["read_bytes"]);
    watch.events().assert_untouched();
    assert_nothing_is_left(&world);

    for unit in [web.unit(), db.unit()] {
        let point = listed(&world, unit);
        assert_eq!(point["verified_ok"], true);
        assert_eq!(point["verified_percent"], 100);
        point["verified_at"]
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap();
    }
    world
        .kd(&["list", "--snapshots"])
        .stdout("VERIFIED")
        .stdout(" s ago")
        .ok();
    world
        .kd(&["verify", "--unit", web.unit(), "--unit", web.unit()])
        .stdout("RESULT")
        .stdout("2 of 2")
        .stdout("100 %")
        .ok();
    // One of a run is all that it made; the other unit's is of another run.
    let report = self::report(verify(&world, &["--backup-id", &newest]), 0);
    assert_eq!(report["points"].as_array().unwrap().len(), 1);
}

#[test]
fn damage_is_found_in_spite_of_every_cache_and_is_not_forgotten() {
    let world = World::new();
    world.init();
    let damaged = saved(&world, "damaged", 24);
    let good = saved(&world, "good", 0);
    // What was read once is in the cache of whoever read it.
    report(verify(&world, &[]), 0);
    let mut folders = vec![world.path("repo")];
    let mut blobs = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.metadata().unwrap().len() > 1 << 20 {
                blobs.push(entry.path());
            }
        }
    }
    let blob: &PathBuf = blobs.first().unwrap();
    let whole = fs::read(blob).unwrap();
    fs::set_permissions(blob, fs::Permissions::from_mode(0o600)).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for broken in [flipped, whole[..middle].to_vec()] {
        fs::write(blob, broken).unwrap();
        let run = verify(&world, &[])
            .stderr(format!("of unit `{}` is damaged", damaged.unit()))
            .stderr(format!(
                "volume `{}` cannot be read back",
                damaged.volume("data")
            ))
            .stderr("take another restore point")
            .stderr(format!("`kopi-docka backup --unit {}` now", damaged.unit()));
        let report = report(run, 3);
        assert_eq!(report["points"][0]["result"], "damaged");
        assert_eq!(report["points"][0]["sources"][0]["result"], "damaged");
        assert_eq!(report["points"][0]["read_bytes"], 0);
        assert!(
            report["points"][0]["errors"][0]
                .as_str()
                .unwrap()
                .contains("kopia")
        );
        assert_eq!(report["points"][1]["result"], "good");
        assert_eq!(listed(&world, damaged.unit())["verified_ok"], false);
        assert_eq!(listed(&world, good.unit())["verified_ok"], true);
        world.kd(&["list", "--snapshots"]).stdout("damaged").ok();
        assert_nothing_is_left(&world);
    }
    // What was damaged once is good again only when all of it was read.
    fs::write(blob, whole).unwrap();
    report(verify(&world, &[]), 0);
    assert_eq!(listed(&world, damaged.unit())["verified_ok"], true);
}

#[test]
fn less_than_all_names_what_was_not_read() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("one", "/1")
                .volume("two", "/2")
                .volume("three", "/3")
        })
        .up();
    for volume in ["one", "two", "three"] {
        fs::write(
            stack.volume_path(volume).join("noise"),
            torture::noise(1 << 20),
        )
        .unwrap();
    }
    world.backup(&stack);
    let report = report(verify(&world, &["--files-percent", "40"]), 0);
    let point = &report["points"][0];
    let sources = point["sources"].as_array().unwrap();
    let of = |result: &str| {
        let sources = sources.iter().filter(|source| source["result"] == result);
        sources
            .map(|source| source["bytes"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!((of("good").len(), of("not_chosen").len()), (2, 1));
    assert_eq!(point["read_bytes"], of("good").iter().sum::<u64>());
    assert_eq!(point["percent"], 66);
    assert_eq!(listed(&world, stack.unit())["verified_percent"], 66);
    world.kd(&["list", "--snapshots"]).stdout("ago, 66 %").ok();
    let done = world
        .kd(&["verify", "--files-percent", "1"])
        .stdout("1 of 3")
        .stdout("33 %")
        .ok();
    let left = done.stdout();
    let left: Vec<&str> = left
        .lines()
        .filter(|line| line.starts_with("Not verified: volume"))
        .collect();
    assert_eq!(left.len(), 2, "{done}");
    for wrong in ["0", "101", "-1", "x"] {
        let flag = format!("--files-percent={wrong}");
        world
            .kd(&["verify", &flag])
            .stderr("--files-percent")
            .code(2);
    }
}

#[test]
fn what_does_not_exist_is_refused_before_anything_is_read() {
    let world = World::new();
    world.kd(&["verify"]).stderr("kopi-docka init").code(10);
    world.init();
    world
        .kd(&["verify"])
        .stderr("no whole restore point")
        .code(4);
    let stack = saved(&world, "web", 0);
    let path = kopia_that(&world, "; exit 1");
    for (args, code, text) in [
        (
            &["--unit", stack.unit(), "--unit", "nobody"][..],
            4,
            "`nobody`",
        ),
        (&["--unit", "nobody"], 4, stack.unit()),
        (&["--unit", "nobody", "--all-hosts"], 4, stack.unit()),
        (
            &["--backup-id", "2001-01-01T00-00-00Z"],
            4,
            "2001-01-01T00-00-00Z",
        ),
        (&["--host", "elsewhere"], 4, "no whole restore point"),
        (&["--host", "x", "--all-hosts"], 2, "--all-hosts"),
        (
            &["--backup-id", "yesterday"],
            4,
            "no restore point yesterday",
        ),
    ] {
        let run = world.kd(&[&["verify"], args].concat()).env("PATH", &path);
        run.stderr(text).code(code);
    }
    world.config(|config| config["kopia"]["password"] = "wrong".into());
    world
        .kd(&["verify"])
        .stderr("refused the password")
        .code(12);
    world.config(|config| config["kopia"]["password"] = crate::common::PASSWORD.into());
    fs::rename(world.path("repo"), world.path("away")).unwrap();
    world.kd(&["verify"]).stderr("cannot reach").code(17);
    assert!(!world.path("state/verified").exists());
}

#[test]
fn what_says_nothing_about_the_point_is_not_called_damage() {
    let world = World::new();
    world.init();
    let stack = saved(&world, "web", 1);
    world.config(|config| config["backup"]["stall_timeout"] = 5.into());
    for (filter, text) in [
        ("| (head -c 700; exec sleep 600)", "no byte came for 5 s"),
        ("| head -c 700; kill -9 $$", "signal 9"),
    ] {
        let run = verify(&world, &[])
            .env("PATH", kopia_that(&world, filter))
            .stderr(text)
            .stderr("is not verified")
            .stderr("no sign of damage");
        let report = report(run, 3);
        assert_eq!(report["points"][0]["result"], "unread", "{filter}");
        assert!(listed(&world, stack.unit())["verified_ok"].is_null());
    }
    // While what shows it is.
    for (filter, text) in [
        ("| head -c 10240; exit 0", "instead of"),
        ("; exit 1", "status 1"),
        ("; head -c 10240 /dev/zero", ""),
    ] {
        let run = verify(&world, &[])
            .env("PATH", kopia_that(&world, filter))
            .stderr(text)
            .stderr("is damaged");
        let report = report(run, 3);
        assert_eq!(report["points"][0]["result"], "damaged", "{filter}");
        assert_eq!(listed(&world, stack.unit())["verified_ok"], false);
    }
    // A storage that goes away in the middle ends it.
    let (repo, away) = (world.path("repo"), world.path("away"));
    let filter = format!(
        "| head -c 700; mv '{}' '{}'; exit 1",
        repo.display(),
        away.display()
    );
    let run = verify(&world, &[])
        .env("PATH", kopia_that(&world, &filter))
        .stderr("cannot reach");
    let report = report(run, 17);
    assert_eq!(report["points"][0]["result"], "unfinished");
}

#[test]
fn a_point_that_is_deleted_while_it_is_read_is_not_called_damaged() {
    let world = World::new();
    world.init();
    let stack = saved(&world, "web", 1);
    let list = world.kopia(&["snapshot", "list", "--all", "--json"]).json();
    let ids: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|snapshot| snapshot["id"].as_str().unwrap().to_owned())
        .collect();
    let (mark, go) = (world.path("mark"), world.path("go"));
    let filter = format!(
        "| head -c 700; touch '{}'; while ! [ -e '{}' ]; do :; done; exit 1",
        mark.display(),
        go.display()
    );
    let run = verify(&world, &[])
        .env("PATH", kopia_that(&world, &filter))
        .stderr("was deleted while it was read")
        .stdout_any();
    let mut running = run.spawn();
    running.until("it to read", |_| mark.exists().then_some(()));
    world
        .kopia(&["snapshot", "delete", "--delete"])
        .args(&ids)
        .stdout_any()
        .stderr_any()
        .ok();
    fs::write(go, "").unwrap();
    let events = running.code(4).json_lines();
    assert_eq!(
        events.last().unwrap()["report"]["points"][0]["result"],
        "deleted"
    );
    let _ = stack;
}

#[test]
fn a_signal_ends_it_at_once_and_what_was_proven_stays_proven() {
    let world = World::new();
    world.init();
    let done = saved(&world, "a", 0);
    let left = saved(&world, "b", 1);
    let volume = left.volume("data");
    world.config(|config| config["backup"]["parallel_workers"] = 1.into());
    let list = world.kopia(&["snapshot", "list", "--all", "--json"]).json();
    let of = |snapshot: &&Value| snapshot["tags"]["tag:volume"] == volume.as_str();
    let root = list.as_array().unwrap().iter().find(of).unwrap()["rootEntry"]["obj"].take_str();
    let path = world.stand_in(
        "kopia",
        &format!("case \" $* \" in *' show {root}/data ') exec sleep 600;; *) exec \"$REAL\" \"$@\";; esac"),
    );
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let run = verify(&world, &[]).env("PATH", &path).stdout_any();
        let mut running = run.stderr("a signal ended the verify").spawn();
        running.until_stdout("point_verified");
        world.process(&["sleep", "600"]);
        running.signal(signal);
        let done = running.code(code);
        assert!(done.took < Duration::from_secs(30), "{done}");
        let report = done.json_lines().pop().unwrap()["report"].take();
        assert_eq!(report["points"][0]["result"], "good");
        assert_eq!(report["points"][1]["result"], "unfinished");
        assert_nothing_is_left(&world);
    }
    assert_eq!(listed(&world, done.unit())["verified_ok"], true);
    assert!(listed(&world, left.unit())["verified_ok"].is_null());
}

trait TakeStr {
    fn take_str(&self) -> String;
}

impl TakeStr for Value {
    fn take_str(&self) -> String {
        self.as_str().unwrap().to_owned()
    }
}

#[test]
fn it_runs_beside_a_backup_but_not_beside_another_one() {
    let world = World::new();
    world.init();
    let stack = saved(&world, "web", 1);
    let backup = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    let held = world.hold("open", backup.stdout_any());
    report(verify(&world, &[]), 0);
    held.release().ok();
    let path = world.stand_in(
        "kopia",
        "case \" $* \" in *' show '*/data' ') exec sleep 600;; *) exec \"$REAL\" \"$@\";; esac",
    );
    let running = verify(&world, &[])
        .env("PATH", path)
        .stdout_any()
        .stderr_any()
        .spawn();
    world.process(&["sleep", "600"]);
    world
        .kd(&["verify"])
        .stderr("another run is at work: `kopi-docka verify`")
        .code(11);
    // Nor does a kill leave anything that the next one minds.
    running.signal(Signal::KILL);
    running.wait();
    report(verify(&world, &[]), 0);
    assert_nothing_is_left(&world);
}

#[test]
fn what_it_remembers_may_be_lost_and_what_is_gone_is_forgotten() {
    let world = World::new();
    world.init();
    let stack = saved(&world, "web", 0);
    let second = saved(&world, "db", 0);
    report(verify(&world, &[]), 0);
    let files = || -> Vec<PathBuf> {
        let entries = fs::read_dir(world.path("state/verified")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(files().len(), 2);
    for file in files() {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(file, "{").unwrap();
    }
    world
        .kd(&["list", "--snapshots"])
        .stdout(stack.unit())
        .stderr("is damaged")
        .ok();
    let run = verify(&world, &["--unit", stack.unit()]).stderr("is damaged");
    report(run, 0);
    assert_eq!(files().len(), 1);
    assert_eq!(listed(&world, stack.unit())["verified_ok"], true);
    assert!(listed(&world, second.unit())["verified_ok"].is_null());

    let list = world.kopia(&["snapshot", "list", "--all", "--json"]).json();
    let of = |snapshot: &&Value| snapshot["tags"]["tag:unit"] == stack.unit();
    let ids = list.as_array().unwrap().iter().filter(of);
    let ids: Vec<String> = ids.map(|snapshot| snapshot["id"].take_str()).collect();
    world
        .kopia(&["snapshot", "delete", "--delete"])
        .args(&ids)
        .stdout_any()
        .stderr_any()
        .ok();
    report(verify(&world, &[]), 0);
    assert_eq!(files().len(), 1);
    assert_eq!(listed(&world, second.unit())["verified_ok"], true);
    world.kd(&["list", "--snapshots"]).stdout("ago").ok();
}

/// A point of unit `forged` with one volume, written with Kopia's own means; `edit` changes the text of its record.
fn forge(world: &World, id: &str, stream: &[u8], edit: impl FnOnce(String) -> String) {
    let identity = world.kd(&["repo-status", "--json"]).json()["identity"].take_str();
    let snapshot = |args: &[&str], place: &str, stdin: &[u8]| {
        let source = format!("--override-source={identity}:/forged/{place}");
        let args = [&["snapshot", "create", "--json", &source], args].concat();
        let manifest = world.kopia(&args).stdin(stdin).stderr_any().json();
        manifest["rootEntry"]["obj"].take_str()
    };
    let root = snapshot(&["/forged", "--stdin-file=data"], "data", stream);
    let record = json!({
        "format": 1, "kopi_docka_version": "0.1.0", "backup_id": id, "unit": "forged", "kind": "standalone",
        "identity": identity, "started_at": "2026-01-02T03:04:05Z", "grade": "ok",
        "sources": [{
            "type": "volume", "name": "v", "read_from": "/x", "is_file": false, "destinations": [], "exclude_patterns": [],
            "grade": "ok", "reasons": [],
            "parts": [{"kind": "full", "snapshot": "ab", "root": root, "file": "data", "bytes": stream.len(), "delete": []}]
        }],
        "missing": [], "gaps": [], "downtime_seconds": 0.0, "project": null, "files": []
    });
    let folder = world.dir(format!("forged-{id}"));
    fs::write(folder.join("recipe.json"), edit(record.to_string())).unwrap();
    let tags = ["type:recipe", "unit:forged", "grade:ok"].map(|tag| format!("--tags={tag}"));
    let more = [
        format!("--tags=backup_id:{id}"),
        format!("--tags=roots:{root}"),
    ];
    let mut args = vec![folder.to_str().unwrap()];
    args.extend(tags.iter().chain(&more).map(String::as_str));
    snapshot(&args, "recipe", b"");
}

#[test]
fn a_stream_that_is_no_whole_archive_is_damage_even_where_the_recipe_agrees() {
    let world = World::new();
    world.init();
    let tree = world.dir("tree");
    fs::write(tree.join("noise"), torture::noise(100_000)).unwrap();
    let tar = Run::new("tar").env("PATH", SYSTEM_PATH).directory(&tree);
    let tar = tar.args(["--create", "--file=-", "."]).stdout_any().ok();
    let tree = tar.stdout_bytes().to_owned();
    let half = tree.len() / 2;
    let mut twisted = tree.clone();
    twisted[512] ^= 1;
    type Edit = fn(String) -> String;
    let same: Edit = |record| record;
    let newer: Edit = |record| record.replace("\"format\":1", "\"format\":3");
    let cut: Edit = |record| record[..100].to_owned();
    let cases = [
        (&tree[..], same, None),
        (&tree[..half], same, Some("Unexpected EOF")),
        (&twisted, same, Some("tar")),
        (&[], same, Some("tar")),
        (&tree, newer, Some("format 3")),
        (&tree, cut, Some("the recipe is damaged")),
    ];
    for (number, (stream, edit, text)) in cases.into_iter().enumerate() {
        let id = format!("2026-01-02T03-04-0{number}Z");
        forge(&world, &id, stream, edit);
        let run = verify(&world, &["--backup-id", &id]);
        match text {
            None => drop(report(run, 0)),
            Some(text) => {
                let run = run.stderr("is damaged").stderr(text);
                let report = report(run, 3);
                assert_eq!(report["points"][0]["result"], "damaged");
            }
        }
    }
}
