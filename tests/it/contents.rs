//! What is in a restore point is told without anything being written.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::common::World;
use crate::common::schema::assert_schema;

#[test]
fn the_files_of_a_point_are_listed_and_found_by_name() {
    let world = World::new();
    world.init();
    let bind = world.dir("bind");
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data").bind(&bind, "/bind"))
        .up();
    let data = stack.volume_path("data");
    fs::create_dir_all(data.join("docs/old")).unwrap();
    fs::write(data.join("docs/Report 2026.odt"), vec![0; 1536]).unwrap();
    fs::write(data.join("docs/old/größe\n.txt"), "x").unwrap();
    fs::write(data.join("gone"), "x").unwrap();
    symlink("docs", data.join("link")).unwrap();
    fs::write(bind.join("report.log"), "12345").unwrap();
    world.backup(&stack);
    // Of several parts what a restore would bring is shown.
    fs::remove_file(data.join("gone")).unwrap();
    fs::write(data.join("docs/Report 2026.odt"), vec![1; 3072]).unwrap();
    fs::write(data.join("new"), "x").unwrap();
    world.backup(&stack);
    let before = world.points();
    // Nothing runs that it would need.
    world.config(|config| config["docker"]["socket"] = json!("/nonexistent/docker.sock"));

    let args = ["--unit", stack.unit(), "--backup-id", "latest", "--list"];
    let list = |more: &[&str]| world.kd(&[&["restore"], &args[..], more].concat());
    let whole = list(&[])
        .stdout(format!("volume `{}`:", stack.volume("data")))
        .stdout("compose.yaml")
        .stdout("docs/old/größe\\n.txt")
        .stdout("link -> docs")
        .ok();
    let text = whole.stdout();
    let line = text
        .lines()
        .find(|line| line.ends_with("docs/Report 2026.odt"));
    assert!(line.unwrap().trim_start().starts_with("3.0 KiB"), "{text}");
    assert!(!text.contains("gone") && text.contains("  new\n"), "{text}");

    let found = list(&["report"]).stdout_any().ok().stdout();
    assert!(
        found.contains("Report 2026.odt")
            && found.contains("report.log")
            && !found.contains("link"),
        "{found}"
    );
    let found = list(&["*.log", "--volume", &stack.volume("data")])
        .stderr("Nothing matches.")
        .ok();
    assert!(!found.stdout().contains("report.log"), "{found}");
    list(&["--volume", "nothing"]).stderr("it has `").code(4);

    let args = [&["--json", "restore"], &args[..], &["größe"]].concat();
    let lines = world.kd(&args).stdout_any().ok().json_lines();
    for line in &lines {
        assert_schema("restore-list", line);
    }
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(lines[1]["entry"]["path"], "docs/old/größe\n.txt");
    assert_eq!(lines[1]["source"]["name"], json!(stack.volume("data")));
    assert_eq!(lines[2]["entries"], 1);
    assert_eq!(world.points(), before);
}
