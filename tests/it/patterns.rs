//! What a pattern leaves out, from the label and the configuration to what comes back.

use std::fs;

use crate::common::World;
use serde_json::json;

#[test]
fn a_pattern_that_begins_with_a_dot_leaves_out_hidden_files_and_nothing_else() {
    let world = World::new();
    world.init();
    world.config(|c| c["backup"]["exclude_patterns"] = json!([".*", ".[!.]*", ".??*", ".*/cache"]));
    let single = world.dir("conf").join(".env");
    fs::write(&single, "kept").unwrap();
    let web = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .bind(&single, "/env")
                .label("kopi-docka.exclude", "*.bak,[wrong")
        })
        .up();
    let data = web.volume_path("data");
    for file in [".hidden", "seen", "cache/x", "sub/.git/config", "sub/seen"] {
        let path = data.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let plan = world
        .kd(&["dry-run", "--unit", web.unit(), "--json"])
        .stdout_any()
        .stderr_any()
        .ok()
        .json();
    let sources = plan["units"][0]["sources"].as_array().unwrap();
    let volume = sources
        .iter()
        .find(|one| one["key"]["type"] == "volume")
        .unwrap();
    // `seen`, `cache/x` and `sub/seen`.
    assert_eq!(volume["estimated_bytes"], 4 + 7 + 8, "{plan:#}");
    let warnings = plan["units"][0]["warnings"].to_string();
    assert!(
        warnings.contains("`[wrong` in its label `kopi-docka.exclude`"),
        "{warnings}"
    );

    world
        .kd(&["--quiet", "backup", "--unit", web.unit()])
        .stdout_any()
        .stderr_any()
        .ok();
    web.wipe();
    fs::write(&single, "spoilt").unwrap();
    world
        .kd(&[
            "restore",
            "--yes",
            "--unit",
            web.unit(),
            "--backup-id",
            "latest",
        ])
        .stdout_any()
        .stderr_any()
        .ok();
    let data = web.volume_path("data");
    for (file, is_kept) in [
        (".hidden", false),
        ("seen", true),
        ("cache/x", true),
        ("sub/.git/config", false),
        ("sub/seen", true),
    ] {
        assert_eq!(data.join(file).exists(), is_kept, "{file}");
    }
    assert_eq!(fs::read_to_string(&single).unwrap(), "kept");
}

#[test]
fn a_pattern_that_tar_cannot_understand_is_refused_with_the_reason() {
    let world = World::new();
    for (pattern, reason) in [
        ("{a,b", "braces"),
        ("[a", "no `]`"),
        ("../x", "match nothing"),
    ] {
        world.config(|c| c["backup"]["exclude_patterns"] = json!([pattern]));
        world
            .kd(&["dry-run"])
            .stderr("backup.exclude_patterns[0]")
            .stderr(reason)
            .code(16);
    }
}
