//! What retention removes is gone, and nothing else is: the real Kopia, with points of long ago.

use std::sync::LazyLock;

use crate::common::{Run, Signal, Stack, World};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

const OWN_SOURCE: &str = "";

/// A world with a repository that keeps the latest `count` points, and a stack in it.
fn world_that_keeps(count: u32) -> (World, Stack) {
    let world = World::new();
    world.config(|config| {
        config["retention"] = json!({"latest": count, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    });
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    (world, stack)
}

/// A point of `days` ago as the program files it: its id and the root of its data.
struct Planted {
    id: String,
    root: String,
}

/// The same for all snapshots of a point, however long they take to make.
fn time(days: i64) -> DateTime<Utc> {
    static NOW: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    *NOW - TimeDelta::days(days)
}

/// One snapshot with the tags of a point; `identity` is `user@host`, or [`OWN_SOURCE`]. The id of its root object.
#[track_caller]
fn snapshot(
    world: &World,
    unit: &str,
    days: i64,
    identity: &str,
    place: &str,
    tags: &[&str],
) -> String {
    let time = time(days);
    let path = format!("/kopi-docka/{unit}/{place}");
    let mut run = world
        .kopia(&["snapshot", "create", &path, "--stdin-file=data", "--json"])
        .arg(format!("--tags=unit:{unit}"))
        .arg("--tags=kind:stack")
        .arg(format!(
            "--tags=backup_id:{}",
            time.format("%Y-%m-%dT%H-%M-%SZ")
        ))
        .arg(format!(
            "--start-time={}",
            time.format("%Y-%m-%d %H:%M:%S UTC")
        ))
        .args(tags.iter().map(|tag| format!("--tags={tag}")));
    if identity != OWN_SOURCE {
        run = run.arg(format!("--override-source={identity}:{path}"));
    }
    let made = run
        .stdin(format!("{unit} {days} {place}"))
        .stdout_any()
        .stderr_any()
        .ok()
        .json();
    made["rootEntry"]["obj"].as_str().unwrap().to_owned()
}

/// A whole point whose recipe also names `others`.
#[track_caller]
fn plant(world: &World, unit: &str, days: i64, identity: &str, others: &[&str]) -> Planted {
    let root = snapshot(
        world,
        unit,
        days,
        identity,
        "volumes/data",
        &["type:volume"],
    );
    let roots = [&[root.as_str()], others].concat().join(",");
    let roots = format!("roots:{roots}");
    let tags = ["type:recipe", "grade:ok", "size_bytes:1", &roots];
    snapshot(world, unit, days, identity, "recipe", &tags);
    Planted {
        id: time(days).format("%Y-%m-%dT%H-%M-%SZ").to_string(),
        root,
    }
}

/// The states of the points of `unit`, the newest first.
#[track_caller]
fn states(world: &World, unit: &str) -> Vec<String> {
    let points = world
        .kd(&["list", "--snapshots", "--all-hosts", "--json"])
        .json();
    let of = |point: &&Value| point["unit"] == unit;
    let states = points["points"].as_array().unwrap().iter().filter(of);
    states
        .map(|point| point["state"].as_str().unwrap().to_owned())
        .collect()
}

/// How many snapshots of `unit` the repository has.
#[track_caller]
fn snapshots(world: &World, unit: &str) -> usize {
    let list = world
        .kopia(&["snapshot", "list", "--all", "--json", "--no-retention"])
        .json();
    let of = |one: &&Value| one["tags"]["tag:unit"] == unit;
    list.as_array().unwrap().iter().filter(of).count()
}

fn quiet(world: &World, stack: &Stack) -> Run {
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
}

/// A host that remembers nothing of the unit reads what its newest point held; a planted one does not say.
fn first(world: &World, stack: &Stack) -> Run {
    quiet(world, stack).stderr("what the last restore point held could not be read")
}

#[test]
fn a_backup_removes_what_the_rules_no_longer_keep_and_nothing_else() {
    let (world, stack) = world_that_keeps(2);
    let unit = stack.unit();
    let gone = [30, 20].map(|days| plant(&world, unit, days, OWN_SOURCE, &[]));
    plant(&world, unit, 10, OWN_SOURCE, &[]);
    plant(&world, unit, 60, "kopi-docka@elsewhere", &[]);
    for days in [3, 40, 50] {
        plant(&world, "not-in-this-run", days, OWN_SOURCE, &[]);
    }

    let done = world
        .kd(&["backup", "--unit", unit])
        .stderr_any()
        .stdout("Removed: 2 old restore points");
    done.ok();
    assert_eq!(states(&world, unit), ["whole"; 3]);
    assert_eq!(snapshots(&world, unit), 6);
    assert_eq!(states(&world, "not-in-this-run"), ["whole"; 3]);
    let retention = &world.report()["retention"];
    assert_eq!(retention["snapshots"], 4);
    let units = retention["units"].as_array().unwrap();
    assert_eq!(units.len(), 1);
    assert_eq!(units[0]["unit"], unit);
    assert_eq!(units[0]["kept"], 2);
    let removed = units[0]["removed"].as_array().unwrap();
    for (removed, gone) in removed.iter().zip(gone.iter().rev()) {
        assert_eq!(removed["backup_id"], gone.id);
        assert_eq!(removed["state"], "whole");
    }
    assert_eq!(removed.len(), 2);
}

#[test]
fn a_unit_can_keep_more_than_the_rest_and_a_part_stays_while_a_kept_point_names_it() {
    let (world, stack) = world_that_keeps(1);
    let unit = stack.unit().to_owned();
    world.config(|config| {
        config["backup"]["units"] = json!({ &unit: {"retention": {"latest": 2}} });
    });
    let old = plant(&world, &unit, 30, OWN_SOURCE, &[]);
    plant(&world, &unit, 20, OWN_SOURCE, &[&old.root]);
    first(&world, &stack).ok();
    // Its recipe is gone, and what is left of it is somebody else's: no point of its own.
    assert_eq!(states(&world, &unit), ["whole", "whole"]);
    assert_eq!(snapshots(&world, &unit), 5);
    world.backup(&stack);
    assert_eq!(states(&world, &unit), ["whole", "whole"]);
    assert_eq!(snapshots(&world, &unit), 4);
}

#[test]
fn a_deletion_that_is_cut_short_leaves_no_point_that_looks_whole_and_is_finished_by_the_next_run() {
    let (world, stack) = world_that_keeps(1);
    let unit = stack.unit();
    let extra = snapshot(
        &world,
        unit,
        30,
        OWN_SOURCE,
        "volumes/more",
        &["type:volume"],
    );
    plant(&world, unit, 30, OWN_SOURCE, &[&extra]);
    // Each call deletes the first of what it was told to, and fails.
    let path = world.stand_in(
        "kopia",
        r#"case " $* " in *' snapshot delete '*) ;; *) exec "$REAL" "$@";; esac
for word in "$@"; do
    shift
    case $word in *[!0-9a-f]*) ;; *) ids=x$ids; [ "$ids" = x ] || continue;; esac
    set -- "$@" "$word"
done
"$REAL" "$@"
exit 1"#,
    );
    quiet(&world, &stack)
        .env("PATH", path)
        .stderr("warning: old restore points could not be removed, the next run tries again: kopia failed")
        .ok();
    assert_eq!(states(&world, unit), ["whole", "unfinished"]);
    assert_eq!(snapshots(&world, unit), 3);
    assert!(world.report()["retention"].is_null());
    world.backup(&stack);
    assert_eq!(states(&world, unit), ["whole"]);
    assert_eq!(snapshots(&world, unit), 2);
}

#[test]
fn where_no_new_point_is_no_old_one_goes() {
    let (world, stack) = world_that_keeps(1);
    let unit = stack.unit();
    for days in [10, 20] {
        plant(&world, unit, days, OWN_SOURCE, &[]);
    }
    let path = world.stand_in(
        "kopia",
        r#"case " $* " in *' snapshot create '*) exit 1;; esac; exec "$REAL" "$@""#,
    );
    quiet(&world, &stack).env("PATH", path).stderr_any().code(3);
    assert_eq!(states(&world, unit), ["whole"; 2]);
    let retention = |world: &World| world.report()["retention"].clone();
    assert!(retention(&world).is_null());

    // A signal, and a kill, before the first is deleted.
    let held = world.hold("retention", first(&world, &stack));
    held.running.signal(Signal::TERM);
    held.release().code(143);
    assert!(retention(&world).is_null());
    assert_eq!(states(&world, unit), ["whole"; 3]);
    let killed = world
        .backup_with_fault(&[unit], "kill@retention")
        .stdout_any()
        .run();
    assert_eq!(killed.signal, Some(9));
    assert_eq!(states(&world, unit), ["whole"; 4]);
    world.backup(&stack);
    assert_eq!(states(&world, unit), ["whole"]);
}

#[test]
fn a_listing_with_gaps_removes_nothing() {
    let (world, stack) = world_that_keeps(1);
    let unit = stack.unit();
    plant(&world, unit, 10, OWN_SOURCE, &[]);
    // What Kopia cannot read it leaves out, and exits with 0: a point without it looks partial, or unfinished.
    let path = world.stand_in(
        "kopia",
        r#""$REAL" "$@"; code=$?
case " $* " in *' snapshot list '*) echo 'unable to parse snapshot manifest ab: not found' >&2;; esac
exit $code"#,
    );
    quiet(&world, &stack)
        .env("PATH", path)
        .stderr("warning: old restore points could not be removed")
        .stderr("could not read the manifest of every snapshot")
        .ok();
    assert_eq!(states(&world, unit), ["whole"; 2]);
}

#[test]
fn a_point_from_the_future_keeps_all_and_is_warned_about() {
    let (world, stack) = world_that_keeps(1);
    let unit = stack.unit();
    plant(&world, unit, 10, OWN_SOURCE, &[]);
    plant(&world, unit, -1, OWN_SOURCE, &[]);
    let warning = format!("warning: no restore point of unit `{unit}` is removed: point ");
    quiet(&world, &stack).stderr(warning).ok();
    assert_eq!(states(&world, unit), ["whole"; 3]);
}

#[test]
fn without_a_rule_everything_is_kept() {
    let (world, stack) = world_that_keeps(0);
    let unit = stack.unit();
    plant(&world, unit, 4000, OWN_SOURCE, &[]);
    first(&world, &stack).ok();
    assert_eq!(states(&world, unit), ["whole"; 2]);
    assert_eq!(
        world.report()["retention"]["units"][0]["keeps_everything"],
        true
    );
}

#[test]
fn repo_maintenance_shows_what_would_go_and_removes_it_for_every_unit_of_this_host() {
    let world = World::new();
    world.config(|config| {
        config["retention"] =
            json!({"latest": 1, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
        // Neither is needed.
        config["docker"]["socket"] = json!("/nowhere.sock");
    });
    world.init();
    for unit in ["web", "db"] {
        for days in [10, 20] {
            plant(&world, unit, days, OWN_SOURCE, &[]);
        }
    }
    snapshot(
        &world,
        "db",
        30,
        OWN_SOURCE,
        "volumes/data",
        &["type:volume"],
    );
    plant(&world, "web", 30, "kopi-docka@elsewhere", &[]);
    let unchanged = |world: &World| {
        assert_eq!(states(world, "web"), ["whole"; 3]);
        assert_eq!(states(world, "db"), ["whole", "whole", "unfinished"]);
    };

    let shown = world
        .kd(&["repo-maintenance", "--dry-run"])
        .stdout("3 restore points would go, 2 restore points stay");
    let shown = shown.stdout("Maintenance would be full").ok().stdout();
    assert_eq!(shown.matches("whole").count(), 2, "{shown}");
    assert_eq!(shown.matches("unfinished").count(), 1, "{shown}");
    unchanged(&world);
    assert!(!world.path("state/maintenance").exists());

    let done = world.kd(&["repo-maintenance", "--json"]).json();
    assert_eq!(done["retention"]["snapshots"], 5);
    assert_eq!(done["maintenance"]["ran"]["mode"], "full");
    assert_eq!(states(&world, "web"), ["whole"; 2]);
    assert_eq!(states(&world, "db"), ["whole"]);
    let again = world.kd(&["repo-maintenance", "--quick"]);
    again
        .stdout("No restore point goes, 2 restore points stay")
        .stdout("Maintenance (quick) took ")
        .ok();
}
