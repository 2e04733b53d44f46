//! A shell completes what there is: the real bash, with the script as it is installed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::common::{Run, World, path};

/// What bash offers for the last of `words`.
fn offered(world: &World, words: &[&str]) -> Vec<String> {
    let script = world.path("completion.bash");
    let text = world.kd(&["completions", "bash"]).stdout_any().ok();
    fs::write(&script, text.stdout_bytes()).unwrap();
    let run = Run::new("bash")
        .args([
            "--norc",
            "-c",
            "source \"$1\"; shift; COMP_WORDS=(kopi-docka \"$@\"); COMP_CWORD=$#; COMP_TYPE=9; \
             _clap_complete_kopi_docka kopi-docka \"${@: -1}\" x; printf '%s\\n' \"${COMPREPLY[@]}\"",
            "bash",
        ])
        .arg(&script)
        .arg("--config")
        .arg(world.config_path())
        .args(words)
        // The machine of a test may be busy.
        .env("KOPI_DOCKA_COMPLETE_SECONDS", "100")
        .timeout(Duration::from_secs(120));
    let binary = Path::new(env!("CARGO_BIN_EXE_kopi-docka"))
        .parent()
        .unwrap();
    let mut paths = vec![binary.to_owned()];
    paths.extend(std::env::split_paths(&path()));
    let run = run
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("HOME", world.path("home"))
        .env("KOPI_DOCKA_STATE_DIRECTORY", world.path("state"))
        .env("KOPI_DOCKA_RUNTIME_DIRECTORY", world.path("run"))
        .env("LC_ALL", "C");
    let offered = run.stdout_any().ok();
    offered
        .stdout()
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn units_points_and_volumes_are_completed() {
    let world = World::new();
    // Before there is a repository: nothing, and no word about it.
    assert_eq!(
        offered(&world, &["restore", "--unit", ""]),
        Vec::<String>::new()
    );
    world.init();
    let web = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let one = world.container("one", |s| s.volume("more", "/data"));
    world.backup(&web);
    world.kd(&["--quiet", "backup", "--unit", &one]).ok();
    let units = offered(&world, &["restore", "--unit", ""]);
    assert_eq!(units, [one.clone(), web.unit().to_owned()]);
    assert_eq!(
        offered(&world, &["restore", "--unit", web.unit()]),
        [web.unit()]
    );
    let id = |unit: &str| {
        let points = world.points();
        let mut points = points["points"].as_array().unwrap().iter();
        let point = points.find(|point| point["unit"] == json!(unit)).unwrap();
        point["backup_id"].as_str().unwrap().to_owned()
    };
    let ids = offered(
        &world,
        &["restore", "--unit", web.unit(), "--backup-id", ""],
    );
    assert_eq!(ids, ["latest".to_owned(), id(web.unit())]);
    let volumes = offered(&world, &["restore", "--unit", web.unit(), "--volume", ""]);
    assert_eq!(volumes, [web.volume("data")]);
    assert!(offered(&world, &["backup", "--unit", &one]).contains(&one));
    assert!(offered(&world, &["resto"]).contains(&"restore".to_owned()));
    let flags = offered(&world, &["restore", "--bef"]);
    assert_eq!(flags, ["--before"]);
    assert_eq!(
        offered(&world, &["conf"]),
        Vec::<String>::new(),
        "hidden stays hidden"
    );
}
