//! The recovery bundle: what is written, what opens it, and what it leads to.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::common::schema::assert_schema;
use crate::common::{Stack, World, mount};

/// A secret of the storage that is nowhere else.
pub const PLANTED: &str = "planted-in-the-credentials";

pub fn saved(world: &World) -> Stack {
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    fs::write(stack.volume_path("data").join("file"), "what was saved").unwrap();
    world.init();
    world.backup(&stack);
    stack
}

pub fn plant(world: &World) {
    let text = format!("AWS_SECRET_ACCESS_KEY={PLANTED}\n");
    world.secret_file("kopi-docka.env", &text);
}

/// The bundle that `disaster-recovery` writes to `out`.
#[track_caller]
pub fn make(world: &World) -> PathBuf {
    let out = world.path("out");
    let made = world
        .kd(&[
            "--json",
            "disaster-recovery",
            "--output",
            out.to_str().unwrap(),
        ])
        .stderr_any()
        .json();
    assert_schema("disaster-recovery", &made);
    made["path"].as_str().unwrap().into()
}

pub fn beside(bundle: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", bundle.display()))
}

/// The commands that a text tells a reader to type.
pub fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter_map(|line| line.strip_prefix("    $ "))
        .collect()
}

pub fn password(world: &World) -> String {
    let text = fs::read_to_string(world.path("recovery-password")).unwrap();
    text.trim_end().to_owned()
}

#[test]
fn a_secret_is_nowhere_outside_the_bundle() {
    let world = World::new();
    saved(&world);
    plant(&world);
    make(&world);
    let found = world
        .shell(&format!("grep -rlF {PLANTED} . || true"))
        .directory(world.path(""))
        .text();
    assert_eq!(found.trim(), "./kopi-docka.env");
}

#[test]
fn a_run_writes_one_bundle_and_the_oldest_goes() {
    let world = World::new();
    let stack = saved(&world);
    let recovery = world.path("recovery");
    let bundles = || {
        let entries = fs::read_dir(&recovery).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".enc")).collect();
        names.sort();
        names
    };
    let backup = |more: &[&str]| {
        let args = ["--quiet", "backup", "--unit", stack.unit()];
        world.kd(&[&args[..], more].concat()).stdout_any()
    };
    backup(&[]).ok();
    assert_eq!(bundles().len(), 0);
    assert!(world.report()["recovery_bundle"].is_null());

    world.config(|config| {
        config["backup"]["update_recovery_bundle"] = json!(true);
        config["backup"]["recovery_bundle_retention"] = json!(2);
    });
    // A password that nobody has seen opens nothing for anybody.
    backup(&[])
        .stderr("run `sudo kopi-docka disaster-recovery` once")
        .code(3);
    assert!(!world.path("recovery-password").exists());
    assert_eq!(bundles().len(), 0);
    let report = world.report();
    assert_eq!(report["units"][0]["outcome"], "saved");
    assert_schema("run-report", &report);

    make(&world);
    let mut seen = Vec::new();
    for _ in 0..3 {
        backup(&[]).ok();
        let report = world.report();
        let path = report["recovery_bundle"]["path"]
            .as_str()
            .unwrap()
            .to_owned();
        seen.push(
            Path::new(&path)
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(bundles(), seen[1..], "the oldest goes");
    assert_eq!(fs::read_dir(&recovery).unwrap().count(), 4, "with its text");

    world.config(|config| config["backup"]["update_recovery_bundle"] = json!(false));
    backup(&["--update-recovery"]).ok();
    assert_eq!(bundles().len(), 2);
    assert_ne!(bundles(), seen[1..]);
}

#[test]
fn a_bundle_that_is_not_what_it_was_is_refused() {
    let world = World::new();
    saved(&world);
    let bundle = make(&world);
    let path = bundle.to_str().unwrap();
    let check =
        |more: &[&str]| world.kd(&[&["disaster-recovery", "--check", path][..], more].concat());
    let checked = check(&["--json"]).json();
    assert_schema("disaster-recovery-check", &checked);
    assert_eq!(checked["ok"], true);
    let shown = checked.to_string();
    assert!(!shown.contains(&password(&world)));

    let wrong = world.secret_file("wrong", "wrong\n");
    let with_wrong = ["--password-file", wrong.to_str().unwrap()];
    check(&with_wrong)
        .stderr("this password does not open")
        .code(12);
    check(&[])
        .env("KOPI_DOCKA_RECOVERY_PASSWORD", "wrong")
        .stderr("this password does not open")
        .code(12);
    let known = world.path("recovery-password");
    let elsewhere = world.path("elsewhere");
    fs::rename(&known, &elsewhere).unwrap();
    check(&[])
        .stderr("cannot prompt for the recovery password")
        .code(2);
    check(&["--password-file", elsewhere.to_str().unwrap()])
        .stdout_any()
        .ok();
    fs::rename(&elsewhere, &known).unwrap();

    let text = beside(&bundle, ".README");
    let whole = fs::read(&bundle).unwrap();
    let aside = world.path("README");
    for (content, without_text) in [
        // The salt, the first block, the middle, the end.
        (flipped(&whole, 9), 12),
        (flipped(&whole, 20), 12),
        (flipped(&whole, whole.len() / 2), 16),
        (flipped(&whole, whole.len() - 1), 16),
        (whole[..whole.len() / 2].to_vec(), 16),
        (b"PK\x03\x04".to_vec(), 16),
    ] {
        fs::write(&bundle, content).unwrap();
        let refused = check(&["--json"]).stdout_any().stderr_any().code(16);
        assert_schema("disaster-recovery-check", &refused.json());
        assert_eq!(refused.json()["ok"], false);
        fs::rename(&text, &aside).unwrap();
        check(&[]).stderr("error: ").code(without_text);
        fs::rename(&aside, &text).unwrap();
    }
    fs::remove_file(&bundle).unwrap();
    check(&[]).stderr("cannot be read").code(16);
}

fn flipped(whole: &[u8], at: usize) -> Vec<u8> {
    let mut damaged = whole.to_vec();
    damaged[at] ^= 1;
    damaged
}

#[test]
fn the_password_is_shown_once_and_stays() {
    let world = World::new();
    saved(&world);
    let mut terminal = world.kd(&["disaster-recovery"]).terminal();
    let shown = terminal.see("Write it on paper");
    let first = password(&world);
    assert!(shown.contains(&first), "{shown}");
    terminal.code(0);
    let terminal = world.kd(&["disaster-recovery"]).terminal();
    let shown = terminal.code(0);
    assert!(!shown.contains(&first), "{shown}");
    assert_eq!(password(&world), first);
    world
        .kd(&[
            "disaster-recovery",
            "--new-password",
            "--write-password-file",
        ])
        .stdout_any()
        .stderr("a new recovery password was made")
        .ok();
    assert_ne!(password(&world), first);
    let beside = fs::read_dir(world.path("recovery")).unwrap();
    let beside: Vec<_> = beside
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "PASSWORD"))
        .collect();
    assert_eq!(beside.len(), 1);
    assert_eq!(
        fs::read_to_string(&beside[0]).unwrap().trim_end(),
        password(&world)
    );
    let log = fs::read_to_string(world.path("kopi-docka.log")).unwrap();
    assert!(!log.contains(&first) && !log.contains(&password(&world)));
}

#[test]
fn the_page_for_the_drawer_has_the_password_and_what_opens_a_bundle() {
    let world = World::new();
    saved(&world);
    let print = || world.kd(&["disaster-recovery", "--print"]);
    print()
        .stderr("there is no recovery password yet")
        .stderr("run `sudo kopi-docka disaster-recovery` first")
        .code(16);
    let make = world.kd(&["disaster-recovery"]).stdout_any();
    make.stderr("disaster-recovery --print").ok();
    let password = password(&world);
    // Nothing else answers, and a run that takes hours holds the lock.
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    let lock = world.path("run/kopi-docka.lock");
    let page = print()
        .env("PATH", "/nowhere")
        .under(["/usr/bin/flock", lock.to_str().unwrap()])
        .stdout(&password)
        .ok()
        .stdout();
    assert!(page.lines().count() <= 60, "{page}");
    assert!(
        page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
    // What is too long for a line goes on in the next one.
    let unbroken = page.replace(&format!("\n{}", " ".repeat(15)), "");
    let repository = format!("filesystem --path {}", world.path("repo").display());
    for place in [world.path("recovery").to_str().unwrap(), &repository] {
        assert!(unbroken.contains(place), "{place}: {page}");
    }

    fs::rename(world.path("elsewhere"), world.path("repo")).unwrap();
    let memory = Path::new("/dev/shm/kd");
    let _ = fs::remove_dir_all(memory);
    world
        .shell(&format!("set -e\n{}", commands(&page).join("\n")))
        .directory(world.path("recovery"))
        .stdin(format!("{password}\n"))
        .stdout("Connected to the repository")
        .stdout("restore --all")
        .stderr_any()
        .ok();
    assert!(!memory.exists());

    world
        .kd(&["--json", "disaster-recovery", "--print"])
        .stdout_any()
        .stderr("which is no JSON")
        .code(2);
    for other in ["--new-password", "--write-password-file", "--check=x"] {
        print().arg(other).stderr("cannot be used with").code(2);
    }
    let config = world.config_path();
    world
        .shell(&format!(
            "exec 3>&1; JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/3) exec kopi-docka --config {} disaster-recovery --print",
            config.display()
        ))
        .stderr("stdout ends in the journal")
        .code(2);
    let log = fs::read_to_string(world.path("kopi-docka.log")).unwrap();
    assert!(!log.contains(&password) && !log.contains('▀'));
}

#[test]
fn a_copy_goes_to_another_disk_and_nowhere_else() {
    let world = World::new();
    let stack = saved(&world);
    make(&world);
    let stick = world.path("stick");
    world.config(|config| config["backup"]["recovery_bundle_copy"] = json!(stick));
    let backup = || {
        world
            .kd(&[
                "--quiet",
                "backup",
                "--update-recovery",
                "--unit",
                stack.unit(),
            ])
            .stdout_any()
    };
    // A copy that fails is no failure of the run.
    backup()
        .stderr("stick` (`backup.recovery_bundle_copy`) is not there")
        .ok();
    assert!(!stick.exists());
    world.dir("stick");
    backup().stderr("is on the same file system as").ok();
    assert_eq!(fs::read_dir(&stick).unwrap().count(), 0);
    mount(&world, "stick", &["-t", "tmpfs", "none"]);
    world.config(|config| config["backup"]["recovery_bundle_retention"] = json!(1));
    for _ in 0..2 {
        backup().ok();
    }
    let report = world.report();
    let copy = Path::new(report["recovery_bundle"]["copy"].as_str().unwrap());
    let path = Path::new(report["recovery_bundle"]["path"].as_str().unwrap());
    assert_eq!(copy.parent().unwrap(), stick);
    assert_eq!(fs::read(copy).unwrap(), fs::read(path).unwrap());
    assert_eq!(fs::read_dir(&stick).unwrap().count(), 2, "rotated as well");
    world
        .kd(&["disaster-recovery", "--write-password-file"])
        .stdout_any()
        .stderr_any()
        .ok();
    let files = fs::read_dir(&stick).unwrap();
    assert!(
        files
            .flatten()
            .all(|file| file.path().extension().unwrap() != "PASSWORD")
    );
}
