//! Holds the floors: a file imports only from floors below its own. Tests may look anywhere.

use std::path::{Path, PathBuf};

/// From the top down; a new directory takes its place here, and in `src/README.md`.
const FLOORS: [&str; 31] = [
    "cli",
    "commands",
    "completion",
    "doctor",
    "setup",
    "service",
    "drill",
    "restore",
    "verify",
    "backup",
    "retention",
    "recovery",
    "bundle",
    "hooks",
    "notify",
    "repository",
    "reports",
    "context",
    "points",
    "swap",
    "quiesce",
    "changed",
    "discovery",
    "ui",
    "logging",
    "config",
    "drivers",
    "base",
    "model",
    "error",
    // What does not belong to the program.
    "layers",
];

/// A file of a floor, as far as it is no test.
struct Source {
    path: PathBuf,
    /// The names of the modules that it is in, its own last.
    module: Vec<String>,
    code: String,
}

#[test]
fn every_import_leads_down() {
    let floor = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = source.module.first().filter(|own| *own != "main") else {
            continue;
        };
        for (line, path) in imports(&source) {
            let other = path[0].as_str();
            // `None` is above all: what has no floor may not be imported.
            if other != own && floor(other) <= floor(own) {
                wrong.push(format!(
                    "{}:{line}: {own} imports {other}",
                    source.path.display()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these lead up, or to what has no floor:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_driver_knows_no_other_one_but_those_that_run_programs() {
    let mut wrong = Vec::new();
    for source in sources() {
        let [floor, own, ..] = source.module.as_slice() else {
            continue;
        };
        if floor != "drivers" {
            continue;
        }
        for (line, path) in imports(&source) {
            if let [floor, other, ..] = path.as_slice()
                && floor == "drivers"
                && other != own
                && other != "tool"
            {
                wrong.push(format!(
                    "{}:{line}: {own} imports {other}",
                    source.path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_has_its_floor_and_its_line() {
    let mut there: Vec<String> = std::fs::read_dir(src())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !matches!(name.as_str(), "README.md" | "main.rs"))
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect();
    there.sort();
    let mut floors = FLOORS.to_vec();
    floors.sort_unstable();
    assert_eq!(there, floors);

    let page = std::fs::read_to_string(src().join("README.md")).unwrap();
    let told: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| [`")?.split(['/', '.', '`']).next())
        .collect();
    let mut expected = vec!["main"];
    expected.extend(FLOORS.iter().filter(|floor| **floor != "layers"));
    assert_eq!(told, expected, "the table of src/README.md");
}

/// Every path that `source` names from the root of the crate, with its line.
fn imports(source: &Source) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for (index, line) in source.code.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for start in ["crate::", "super::"] {
            for (at, _) in line.match_indices(start) {
                // `super::super::` is looked at once, from its beginning.
                let is_inside = line[..at].ends_with("::") || line[..at].ends_with(is_of_name);
                if is_inside {
                    continue;
                }
                found.extend(absolute(&source.module, &line[at..]).map(|path| (index + 1, path)));
            }
        }
    }
    found
}

/// The path that `text` begins with; `None` where it leads out of the crate.
fn absolute(module: &[String], text: &str) -> Option<Vec<String>> {
    let end = text
        .find(|c| !is_of_name(c) && c != ':')
        .unwrap_or(text.len());
    let mut path: Vec<String> = Vec::new();
    let mut names = text[..end].split("::").filter(|name| !name.is_empty());
    if names.clone().next() != Some("crate") {
        let up = names.clone().take_while(|name| *name == "super").count();
        path.extend_from_slice(module.get(..module.len().checked_sub(up)?)?);
    }
    path.extend(
        names
            .by_ref()
            .skip_while(|name| matches!(*name, "crate" | "super"))
            .map(str::to_owned),
    );
    if path.is_empty() {
        // `use crate::{…}` hides what it imports: no floor has this name.
        path.push(String::new());
    }
    Some(path)
}

fn is_of_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if matches!(name, "tests" | "testing" | "layers") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(source(path));
            }
        }
    }
    assert!(sources.len() > 300, "{}", sources.len());
    sources
}

fn source(path: PathBuf) -> Source {
    let inside = path.strip_prefix(src()).unwrap().with_extension("");
    let mut module: Vec<String> = inside
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    if module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap()
        .to_owned();
    Source { path, module, code }
}

#[test]
fn the_architecture_page_leads_to_files_that_are_there_and_to_every_invariant() {
    let page = std::fs::read_to_string(src().join("README.md")).unwrap();
    let targets: Vec<&str> = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    for target in &targets {
        assert!(src().join(target).is_file(), "{target}");
    }
    for source in sources() {
        let path = source.path.strip_prefix(src()).unwrap().to_str().unwrap();
        if source.code.contains("Never here") {
            assert!(
                targets.contains(&path),
                "{path} has an invariant that the page does not tell"
            );
        }
    }
}

#[test]
fn the_page_of_a_folder_names_every_room() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.module.first().is_some_and(|own| own != "main"))
    {
        let page: Vec<&str> = source
            .code
            .lines()
            .filter(|line| line.starts_with("//!"))
            .collect();
        let page = page.join("\n");
        // A list, such as that of the commands.
        if page.to_lowercase().contains("one file a ") {
            continue;
        }
        let modules = source.code.lines().filter_map(|line| {
            let line = line.trim_start_matches("pub ");
            line.strip_prefix("mod ")?.strip_suffix(';')
        });
        for room in modules.filter(|room| !matches!(*room, "tests" | "testing")) {
            let is_told = [
                format!("[`{room}`]"),
                format!("[`mod@{room}`]"),
                format!("[`{room}::"),
            ];
            if !is_told.iter().any(|told| page.contains(told)) {
                wrong.push(format!("{}: [`{room}`]", source.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "rooms that no reading order leads to:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_path_is_read_from_where_it_stands() {
    let module = ["restore", "plan", "look"].map(str::to_owned);
    let absolute = |text: &str| absolute(&module, text).map(|path| path.join("::"));
    assert_eq!(
        absolute("crate::swap::marks;").as_deref(),
        Some("swap::marks")
    );
    assert_eq!(
        absolute("super::target::{self, Target}").as_deref(),
        Some("restore::plan::target")
    );
    assert_eq!(
        absolute("super::super::request::What").as_deref(),
        Some("restore::request::What")
    );
    assert_eq!(
        absolute("super::super::super::backup").as_deref(),
        Some("backup")
    );
    assert_eq!(absolute("super::*").as_deref(), Some("restore::plan"));
    assert_eq!(absolute("crate::{backup, verify}").as_deref(), Some(""));
}
