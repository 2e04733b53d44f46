//! Only what changed is read: in the window nearly nothing, and what is restored is exact all the same.

use std::fs::{self, File};
use std::io::{Read as _, copy};
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Run, Stack, World, oracle, torture};

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

fn kinds(source: &Value) -> Vec<&str> {
    let parts = source["parts"].as_array().unwrap();
    parts
        .iter()
        .map(|part| part["kind"].as_str().unwrap())
        .collect()
}

/// What a restore of the newest point gives, against what is there now.
#[track_caller]
fn assert_restored(world: &World, stack: &Stack, name: &str) {
    let was = oracle::manifest(&stack.volume_path("data"));
    let target = world.path(name);
    let volume = stack.volume("data");
    let target_text = target.display().to_string();
    world
        .restore_latest(
            stack.unit(),
            &["--volume", &volume, "--target", &target_text],
        )
        .stdout_any()
        .stderr_any()
        .ok();
    let found = oracle::manifest(&target.join("volumes").join(volume));
    found.assert_same(&was);
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
