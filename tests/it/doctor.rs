//! `check`, `install-deps`, `show-deps`; and what the journal and monitors learn of a run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::common::schema::assert_schema;
use crate::common::{Run, World, mount, path};
use serde_json::{Value, json};

/// The findings of one area in a state, with their remedies.
fn findings(document: &Value, area: &str, state: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["area"] == area && finding["state"] == state)
        .map(|finding| (text(&finding["message"]), text(&finding["remedy"])))
        .collect()
}

/// What `check` says; it must end with `code`.
#[track_caller]
fn check(run: Run, code: i32) -> Value {
    let document = run.stdout_any().code(code).json();
    assert_schema("check", &document);
    assert_eq!(document["exit_code"], code);
    document
}

/// The failure of `area` has both texts.
#[track_caller]
fn assert_fails(document: &Value, area: &str, message: &str, remedy: &str) {
    let failures = findings(document, area, "failure");
    assert!(
        failures
            .iter()
            .any(|(said, what)| said.contains(message) && what.contains(remedy)),
        "{document:#}"
    );
}

/// Every file below `folder` with its length and time. Kopia's own cache and logs are not ours.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if path.ends_with("cache") || path.ends_with("kopia-logs") {
            continue;
        }
        if metadata.is_dir() {
            found.extend(files(&path));
        }
        found.insert(path, (metadata.len(), metadata.mtime_nsec()));
    }
    found
}

// ---- check ----

#[test]
fn a_good_host_passes_and_nothing_is_touched() {
    let world = World::new();
    world.init();
    let web = world.web();
    world.backup(&web);
    let before = files(&world.path("."));
    let watch = world.watch();
    let document = check(world.kd(&["check", "--json"]), 0);
    watch.events().assert_untouched();
    assert_eq!(files(&world.path(".")), before, "nothing was written");
    assert_eq!(document["failures"], 0, "{document:#}");
    let unit = |area: &str, state: &str| {
        let all = findings(&document, area, state).into_iter();
        all.filter(|(said, _)| said.contains(&format!("`{}`", web.unit())))
            .count()
    };
    assert_eq!(unit("backups", "ok"), 1);
    assert_eq!(unit("coverage", "warning"), 0);
    let ok = |area: &str, text: &str| {
        let all = findings(&document, area, "ok");
        assert!(
            all.iter().any(|(said, _)| said.contains(text)),
            "{area}: {all:?}"
        );
    };
    ok("programs", "GNU tar");
    ok("programs", "Kopia 0.23");
    ok("programs", "Compose");
    ok("docker", "1.41 or newer");
    ok("configuration", "is valid");
    ok("repository", "1 whole restore point");
    ok("interrupted", "no run was interrupted");
    ok("disk", "repository");
    // Both spellings, for people.
    world
        .kd(&["doctor", "--verbose"])
        .stdout("GNU tar")
        .stdout("Nothing is wrong")
        .ok();
}

#[test]
fn each_failure_is_found_with_its_remedy_and_its_exit_code() {
    let world = World::new();
    world.init();
    let json = ["check", "--json"];

    // A socket that nobody listens on any more; and a program that is missing beside it.
    let socket = world.path("gone.sock");
    drop(UnixListener::bind(&socket).unwrap());
    world.config(|c| c["docker"]["socket"] = json!(socket));
    let document = check(world.kd(&json), 14);
    assert_fails(
        &document,
        "docker",
        "nothing listens",
        "systemctl start docker",
    );
    let document = check(world.kd(&json).env("PATH", "/usr/bin:/bin"), 15);
    assert_fails(
        &document,
        "programs",
        "Kopia, 0.23 or newer is not installed",
        "install-deps",
    );
    assert_fails(&document, "docker", "nothing listens", "");
    world.config(|c| c["docker"]["socket"] = json!(world.bed.socket));

    let old = world.stand_in(
        "kopia",
        r#"[ "$1" = --version ] && echo "0.15.0 build: x" && exit; exec "$REAL" "$@""#,
    );
    let document = check(world.kd(&json).env("PATH", old), 15);
    assert_fails(&document, "programs", "Kopia 0.15", "install-deps");

    world.config(|c| c["kopia"]["password"] = json!("another password than that"));
    let document = check(world.kd(&json), 12);
    assert_fails(
        &document,
        "repository",
        "refused the password",
        "kopia.password",
    );
    world.config(|c| c["kopia"]["password"] = json!(crate::common::PASSWORD));

    fs::set_permissions(world.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let document = check(world.kd(&json), 16);
    assert_fails(&document, "configuration", "mode 0644", "chmod 600");
    // What does not depend on it is looked at all the same.
    assert!(!findings(&document, "programs", "ok").is_empty());
    fs::set_permissions(world.config_path(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(world.path("state"), fs::Permissions::from_mode(0o777)).unwrap();
    let document = check(world.kd(&json), 16);
    assert_fails(&document, "configuration", "mode 0777", "chmod 700");
    fs::set_permissions(world.path("state"), fs::Permissions::from_mode(0o700)).unwrap();

    let record = json!({
        "format": 1, "run": "2025-01-01T00-00-00Z", "unit": "web", "socket": "/s", "written_at": "2025-01-01T00:00:00Z",
        "start_timeout_seconds": 1, "entries": [],
    });
    fs::write(
        world.dir("state/stopped").join("r.json"),
        record.to_string(),
    )
    .unwrap();
    fs::write(world.dir("state/restoring").join("j.json"), "{}").unwrap();
    let document = check(world.kd(&json), 18);
    assert_fails(
        &document,
        "interrupted",
        "`web` was down",
        "kopi-docka recover",
    );
    assert_fails(
        &document,
        "interrupted",
        "a restore was interrupted",
        "kopi-docka recover",
    );
    fs::remove_dir_all(world.path("state/stopped")).unwrap();
    fs::remove_dir_all(world.path("state/restoring")).unwrap();

    mount(&world, "small", &["-t", "tmpfs", "-o", "size=1m", "none"]);
    world.config(|c| c["backup"]["base_path"] = json!(world.path("small")));
    let document = check(world.kd(&json), 17);
    assert_fails(&document, "disk", "only 1", "df -h");
    world.config(|c| c["backup"]["base_path"] = json!(world.path("backup")));

    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    let document = check(world.kd(&json), 17);
    assert_fails(&document, "repository", "cannot reach", "mounted");

    fs::remove_file(world.config_path()).unwrap();
    let document = check(world.kd(&json), 16);
    assert_fails(&document, "configuration", "does not exist", "");
}

#[test]
fn a_kopia_that_hangs_hangs_nobody() {
    let world = World::new();
    world.init();
    let hangs = world.stand_in("kopia", "exec sleep 1000");
    let run = world.kd(&["check", "--json"]).env("PATH", hangs);
    let document = check(run, 15);
    assert_fails(
        &document,
        "programs",
        "did not say its version",
        "install-deps",
    );
    assert_fails(&document, "repository", "did not open", "repo-status");
    assert!(!findings(&document, "docker", "ok").is_empty());
    assert!(world.processes().is_empty());
}

#[test]
fn a_backup_that_failed_and_one_at_work_are_told() {
    let world = World::new();
    world.init();
    let web = world.web();
    let name = format!("`{}`", web.unit());
    let of_unit = |document: &Value, state: &str| {
        let all = findings(document, "backups", state).into_iter();
        let mut of_unit = all.filter(|(said, _)| said.contains(&name));
        of_unit.next().unwrap_or_default()
    };
    let document = check(world.kd(&["check", "--json"]), 0);
    assert!(of_unit(&document, "warning").0.contains("never backed up"));
    let dies = r#"case "$*" in *--stdin-file=*) exit 1;; esac; exec "$REAL" "$@""#;
    world
        .kd(&["--quiet", "backup", "--unit", web.unit()])
        .env("PATH", world.stand_in("kopia", dies))
        .stderr_any()
        .code(3);
    let document = check(world.kd(&["check", "--json"]), 3);
    let (said, remedy) = of_unit(&document, "failure");
    assert!(said.contains("failed"), "{said}");
    assert!(remedy.contains("kopi-docka history --unit"), "{remedy}");

    // What a run that is at work has down is no leftover.
    let held = world.hold_backup(&[web.unit()], "read", |run| run);
    let document = check(world.kd(&["check", "--json"]), 3);
    let at_work = findings(&document, "interrupted", "ok");
    assert!(at_work[0].0.contains("a run is at work"), "{at_work:?}");
    held.release().ok();
}

#[test]
fn a_timer_that_runs_is_found() {
    let world = World::new();
    world.init();
    let script = r#"case "$*" in
is-system-running*) echo running;;
"is-enabled kopi-docka.timer") echo enabled;;
"is-active kopi-docka.timer") echo active;;
*) echo inactive; exit 1;; esac"#;
    program(&world, "systemctl", script);
    let mut systemd = OsString::from(world.path("bin:"));
    systemd.push(path());
    let document = check(world.kd(&["check", "--json"]).env("PATH", systemd), 0);
    let schedule = findings(&document, "schedule", "ok");
    assert!(schedule[0].0.contains("kopi-docka.timer"), "{schedule:?}");
}

/// What `check` says of recovery bundles: what is good, and the warnings.
#[track_caller]
fn bundles(world: &World) -> (Vec<String>, Vec<String>) {
    let document = check(world.kd(&["check", "--json"]).stderr_any(), 0);
    let of_state = |state: &str| {
        let all = findings(&document, "recovery_bundle", state).into_iter();
        all.map(|(said, remedy)| format!("{said} -> {remedy}"))
            .collect()
    };
    (of_state("ok"), of_state("warning"))
}

#[track_caller]
fn assert_one(warnings: &[String], texts: &[&str]) {
    let [warning] = warnings else {
        panic!("{warnings:#?}")
    };
    for text in texts {
        assert!(warning.contains(text), "{text}: {warning}");
    }
}

#[test]
fn a_bundle_that_would_not_help_is_told() {
    let world = World::new();
    world.init();
    let make = || {
        let made = world.kd(&["--quiet", "disaster-recovery"]).stdout_any();
        made.stderr_any().ok();
    };
    let none: (Vec<String>, Vec<String>) = Default::default();
    assert_eq!(bundles(&world), none, "nothing is saved yet");
    let web = world.web();
    world.backup(&web);
    let (_, warnings) = bundles(&world);
    assert_one(
        &warnings,
        &[
            "no recovery bundle of this host in",
            "sudo kopi-docka disaster-recovery",
            "backup.update_recovery_bundle",
        ],
    );
    let python = "kopi-docka-recovery-20990131_235959.tar.gz.enc";
    fs::write(world.dir("recovery").join(python), "").unwrap();
    assert_one(&bundles(&world).1, &["only those of others"]);
    world.config(|c| c["backup"]["update_recovery_bundle"] = json!(true));
    assert_one(&bundles(&world).1, &["no recovery password", "exit code 3"]);

    world.config(|c| c["backup"]["update_recovery_bundle"] = json!(false));
    make();
    let (good, warnings) = bundles(&world);
    assert!(good[0].contains("/recovery/kopi-docka-recovery-20"));
    assert!(!good[0].contains(python), "{good:?}");
    assert_one(&warnings, &["the same disk as the repository"]);
    // What a run, `init` and maintenance write is no change.
    world.backup(&web);
    world.init_for_real();
    world
        .kd(&["--quiet", "repo-maintenance"])
        .stdout_any()
        .stderr_any()
        .ok();
    assert_one(&bundles(&world).1, &["the same disk as the repository"]);

    let stick = mount(&world, "stick", &["-t", "tmpfs", "none"]);
    world.config(|c| c["backup"]["recovery_bundle_copy"] = json!(stick));
    let (_, warnings) = bundles(&world);
    let [changed, no_copy] = &warnings[..] else {
        panic!("{warnings:#?}")
    };
    let config = format!("was made: `{}` ->", world.config_path().display());
    assert!(changed.contains(&config), "{changed}");
    assert!(no_copy.contains("is not in `"), "{no_copy}");
    make();
    assert_eq!(bundles(&world).1, none.1);
    crate::common::unmount(&stick);
    assert_one(&bundles(&world).1, &["is on the same file system", "mount"]);
    fs::remove_dir(&stick).unwrap();
    assert_one(&bundles(&world).1, &["is not there", "mount it"]);
}

#[test]
fn a_bundle_that_can_not_be_read_hangs_nobody() {
    let world = World::new();
    let bundle = "kopi-docka-recovery-2099-01-31T23-59-59Z.tar.gz.enc";
    fs::write(world.dir("recovery").join(bundle), "").unwrap();
    // Who opens it waits for ever.
    let command = format!("mkfifo recovery/{bundle}.README");
    world.shell(&command).directory(world.path("")).ok();
    let document = world.kd(&["check", "--json"]).stdout_any();
    let document = document.stderr_any().run().json();
    let warnings = findings(&document, "recovery_bundle", "warning");
    assert!(warnings[0].0.contains("does not answer"), "{warnings:?}");
}

// ---- install-deps ----

/// A script that is found before any program of this machine, which needs not be there.
fn program(world: &World, name: &str, script: &str) {
    Run::new("sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(world.dir("bin").join(name))
        .env("PATH", path())
        .stdin(format!("#!/bin/sh\n{script}\n"))
        .ok();
}

/// Where a program of the test bed is.
fn real(program: &str) -> PathBuf {
    let paths = path();
    let mut folders = std::env::split_paths(&paths);
    let found = folders.find(|folder| folder.join(program).is_file());
    found.unwrap().join(program)
}

/// A `PATH` with a package manager that notes what it is told and does as `apt_get` says, and with everything but kopia.
fn bare_host(world: &World, apt_get: &str) -> OsString {
    let log = world.path("apt.log");
    let log = log.display();
    program(
        world,
        "apt-get",
        &format!("echo \"apt-get $*\" >>{log}\n{apt_get}"),
    );
    program(
        world,
        "curl",
        "while [ \"$1\" != -o ]; do shift; done; echo key >\"$2\"",
    );
    let key = format!("cat {}", world.path("key").display());
    program(world, "gpg", &key);
    program(world, "openssl", "echo OpenSSL 3.0");
    program(
        world,
        "docker",
        &format!("exec {} \"$@\"", real("docker").display()),
    );
    let mut with = OsString::from(world.path("bin"));
    with.push(":/usr/bin:/bin:/usr/sbin:/sbin");
    with
}

/// Runs it where `/etc/apt` is the test's own.
fn install(world: &World, args: &[&str], path: &OsString) -> Run {
    let script =
        "mount -t tmpfs none /etc/apt && mkdir /etc/apt/sources.list.d && exec \"$0\" \"$@\"";
    Run::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_kopi-docka"))
        .arg("--config")
        .arg(world.config_path())
        .arg("install-deps")
        .args(args)
        .env("PATH", path)
        .env("HOME", world.path("home"))
        .env("KOPI_DOCKA_STATE_DIRECTORY", world.path("state"))
        .env("KOPI_DOCKA_RUNTIME_DIRECTORY", world.path("run"))
        .env(
            "DOCKER_CONFIG",
            std::env::var_os("DOCKER_CONFIG").unwrap_or_default(),
        )
}

const KOPIAS_KEY: &str = "pub:-:3072:1:2273699AFD56A556:1:::-:::scSC::::::23::0:\nfpr:::::::::7FB99DFD47809F0D5339D7D92273699AFD56A556:\n";

#[test]
fn what_is_missing_is_shown_asked_for_installed_and_verified() {
    let world = World::new();
    fs::write(world.path("key"), KOPIAS_KEY).unwrap();
    let brings = format!(
        "case \"$*\" in *kopia) grep -q 'signed-by=/etc/apt/keyrings/kopia.asc' /etc/apt/sources.list.d/kopia.list && test -s /etc/apt/keyrings/kopia.asc && ln -s {} {};; esac",
        real("kopia").display(),
        world.path("bin/kopia").display(),
    );
    let host = bare_host(&world, &brings);
    let log = || fs::read_to_string(world.path("apt.log")).unwrap_or_default();

    let plan = install(&world, &["--dry-run", "--json"], &host).json();
    assert_schema("install-deps", &plan);
    assert_eq!(plan["missing"][0]["dependency"], "kopia");
    install(&world, &["--dry-run"], &host)
        .stdout("apt-get install -y kopia")
        .stdout("7FB99DFD47809F0D5339D7D92273699AFD56A556")
        .ok();
    // Nobody can answer.
    install(&world, &[], &host)
        .stderr_any()
        .stderr("--yes")
        .code(2);
    let mut terminal = install(&world, &[], &host).terminal();
    terminal.see("apt-get install -y kopia");
    terminal.answer("Run these commands now?", "n");
    terminal.code(5);
    assert_eq!(log(), "", "nothing was run");

    install(&world, &["--yes"], &host)
        .stdout("Installed, and it works")
        .stderr("apt-get install -y kopia")
        .ok();
    assert!(
        log().ends_with("apt-get update\napt-get install -y kopia\n"),
        "{}",
        log()
    );
    let before = log();
    install(&world, &["--yes"], &host)
        .stdout_is("All required programs are installed.\n")
        .ok();
    assert_eq!(log(), before);
    // As version 1 called it.
    world.kd(&["install", "--dry-run"]).stdout_any().ok();
}

#[test]
fn a_package_manager_that_fails_lies_or_brings_another_key_is_told() {
    let world = World::new();
    fs::write(world.path("key"), KOPIAS_KEY).unwrap();
    let host = bare_host(&world, "exit 100");
    install(&world, &["--yes"], &host)
        .stderr("not everything could be installed")
        .stderr("exit status: 100")
        .stderr("install-deps` again")
        .code(15);
    // It says that all is well, and nothing is there.
    let host = bare_host(&world, "exit 0");
    install(&world, &["--yes"], &host)
        .stderr("Kopia is still not usable: not installed")
        .code(15);
    fs::write(world.path("key"), KOPIAS_KEY.replace("7FB99", "00000")).unwrap();
    fs::remove_file(world.path("apt.log")).unwrap();
    install(&world, &["--yes"], &host)
        .stderr("is not the key of Kopia's packages")
        .code(15);
    let log = fs::read_to_string(world.path("apt.log")).unwrap_or_default();
    assert!(!log.contains("kopia"), "{log}");
}

#[test]
fn the_guide_is_for_everybody() {
    let world = World::new();
    world
        .kd(&["show-deps"])
        .stdout("(this host), as root:")
        .stdout("dnf install -y kopia")
        .stdout("zypper")
        .stdout("pacman")
        .ok();
    assert_schema("show-deps", &world.kd(&["show-deps", "--json"]).json());
}

// ---- journal ----

/// Runs the program as systemd does: stderr is the journal's stream, and the journal's socket is `listener`'s.
fn under_a_journal(world: &World, args: &[&str]) -> Run {
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && ln -s \"$SOCKET\" /run/systemd/journal/socket && \
                  export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) && exec \"$0\" \"$@\"";
    Run::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_kopi-docka"))
        .arg("--config")
        .arg(world.config_path())
        .args(args)
        .env("PATH", path())
        .env("HOME", world.path("home"))
        .env("KOPI_DOCKA_STATE_DIRECTORY", world.path("state"))
        .env("KOPI_DOCKA_RUNTIME_DIRECTORY", world.path("run"))
        .env("SOCKET", world.path("journal.sock"))
}

type Record = BTreeMap<String, String>;

/// Reads all the time, as the journal does: its socket holds only a few records.
fn journal(world: &World) -> Receiver<Record> {
    let socket = UnixDatagram::bind(world.path("journal.sock")).unwrap();
    let (sender, records) = channel();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        while let Ok(length) = socket.recv(&mut bytes) {
            if sender.send(record(&bytes[..length])).is_err() {
                break;
            }
        }
    });
    records
}

fn record(mut rest: &[u8]) -> Record {
    let mut record = Record::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8(rest[..end].to_vec()).unwrap();
        rest = &rest[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => {
                let size = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                let value = String::from_utf8(rest[8..8 + size].to_vec()).unwrap();
                rest = &rest[8 + size + 1..];
                (line, value)
            }
        };
        assert!(
            name.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
            "{name}"
        );
        record.insert(name, value);
    }
    assert!(rest.is_empty());
    record
}

/// Those of one run: its last one says how it ended.
fn records(journal: &Receiver<Record>) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let record = journal.recv_timeout(Duration::from_secs(30)).unwrap();
        let is_last = record["MESSAGE"].starts_with("ends with exit code");
        records.push(record);
        if is_last {
            return records;
        }
    }
}

#[test]
fn under_systemd_a_run_is_told_in_records_and_nothing_is_printed() {
    let world = World::new();
    world.init();
    let web = world.web();
    let journal = journal(&world);
    // stdout is no stream of the journal here, so the answer is still for people.
    let unit = ["backup", "--unit", web.unit()];
    under_a_journal(&world, &unit).stdout("saved").ok();
    let records_of_run = records(&journal);
    let id = world.report()["backup_id"].as_str().unwrap().to_owned();
    let with = |name: &str, value: &str| {
        let of = |record: &&Record| record.get(name).is_some_and(|found| found == value);
        records_of_run
            .iter()
            .filter(of)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(with("OPERATION", "backup").len(), records_of_run.len());
    assert_eq!(with("PRIORITY", "6").len(), records_of_run.len());
    let of_run = with("BACKUP_ID", &id);
    let of_unit = with("UNIT", web.unit());
    assert!(of_unit.iter().all(|record| of_run.contains(record)));
    for step in ["prepare", "stop", "read", "start", "store", "commit"] {
        let is_step = |record: &&Record| record["MESSAGE"].contains(&format!("step {step}"));
        assert_eq!(of_unit.iter().filter(is_step).count(), 1, "{step}");
    }
    assert_eq!(with("VOLUME", &web.volume("data")).len(), 1);
    assert_eq!(with("RESULT", "saved").len(), 1);
    let last = records_of_run.last().unwrap();
    assert_eq!(last["RESULT"], "success");
    assert_eq!(last["EXIT_CODE"], "0");

    let dies = r#"case "$*" in *--stdin-file=*) exit 1;; esac; exec "$REAL" "$@""#;
    under_a_journal(&world, &unit)
        .env("PATH", world.stand_in("kopia", dies))
        .stdout("FAILED")
        .code(3);
    let failed = records(&journal);
    assert!(failed.iter().any(|record| record["PRIORITY"] == "3"
        && record["UNIT"] == web.unit()
        && record["MESSAGE"].contains("was not backed up")));
    let last = failed.last().unwrap();
    assert_eq!(last["RESULT"], "partial");
    assert_eq!(last["EXIT_CODE"], "3");
    assert!(last["MESSAGE"].contains("kopi-docka history --failed"));

    world.config(|c| c["docker"]["socket"] = json!(world.path("none.sock")));
    under_a_journal(&world, &unit).code(14);
    let last = records(&journal).pop().unwrap();
    assert_eq!(last["RESULT"], "failed");
    assert_eq!(last["PRIORITY"], "3");
    assert!(
        last["MESSAGE"].contains("systemctl start docker"),
        "{last:?}"
    );
}

#[test]
fn a_journal_that_takes_nothing_keeps_no_run_waiting() {
    let world = World::new();
    world.init();
    let web = world.web();
    // Nobody reads: the socket is full after a few records.
    let _journal = UnixDatagram::bind(world.path("journal.sock")).unwrap();
    for _ in 0..2 {
        under_a_journal(&world, &["backup", "--unit", web.unit()])
            .stdout("saved")
            .ok();
    }
}

// ---- metrics ----

/// A file for the textfile collector, read as strictly as Prometheus does: by name and labels.
fn metrics(file: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.ends_with('\n'));
    let mut found = BTreeMap::new();
    let mut families = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let name = line
            .strip_prefix("# HELP ")
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        assert!(!families.contains(&name), "{name} comes twice");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        families.push(name);
        assert_eq!(lines.next().unwrap(), format!("# TYPE {name} gauge"));
        let mut samples = 0;
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let (key, value) = sample.rsplit_once(' ').unwrap();
            let labels = key.strip_prefix(name).unwrap();
            assert!(
                labels.is_empty() || (labels.starts_with('{') && labels.ends_with("\"}")),
                "{sample}"
            );
            let value: f64 = value.parse().unwrap();
            assert!(
                found.insert(key.to_owned(), value).is_none(),
                "{key} comes twice"
            );
            samples += 1;
        }
        assert!(samples > 0, "{name} has no sample");
    }
    found
}

#[test]
fn monitors_learn_of_every_run_and_a_unit_that_fails_keeps_its_last_success() {
    let world = World::new();
    world.init();
    let web = world.web();
    fs::write(web.volume_path("data").join("a"), vec![7; 100_000]).unwrap();
    let file = world.dir("textfile").join("kopi-docka.prom");
    world.config(|c| c["metrics"] = json!({ "textfile": file }));
    let of = |found: &BTreeMap<String, f64>, name: &str| {
        let key = format!("kopi_docka_unit_{name}{{unit=\"{}\"}}", web.unit());
        found.get(&key).copied()
    };
    world.backup(&web);
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o644);
    let first = metrics(&file);
    let success = of(&first, "last_success_timestamp_seconds");
    assert!(success.is_some());
    assert_eq!(of(&first, "last_run_success"), Some(1.0));
    assert_eq!(of(&first, "restore_points"), Some(1.0));
    assert!(of(&first, "bytes") > Some(100_000.0));
    let report = &world.report()["units"][0];
    assert_eq!(
        of(&first, "downtime_seconds"),
        report["downtime_seconds"].as_f64()
    );
    let state = |grade: &str, outcome: &str| {
        format!(
            "kopi_docka_unit_last_run_state{{unit=\"{}\",outcome=\"{outcome}\",grade=\"{grade}\"}}",
            web.unit()
        )
    };
    assert_eq!(first[&state("ok", "saved")], 1.0);
    assert_eq!(first["kopi_docka_last_run_exit_code"], 0.0);

    let dies = r#"case "$*" in *--stdin-file=*) exit 1;; esac; exec "$REAL" "$@""#;
    let quiet = ["--quiet", "backup", "--unit", web.unit()];
    let failing = world.kd(&quiet).env("PATH", world.stand_in("kopia", dies));
    failing.stderr_any().code(3);
    let failed = metrics(&file);
    assert_eq!(of(&failed, "last_success_timestamp_seconds"), success);
    assert_eq!(of(&failed, "last_run_success"), Some(0.0));
    assert_eq!(failed["kopi_docka_last_run_exit_code"], 3.0);
    assert_eq!(failed[&state("none", "failed")], 1.0);

    // A run that comes to no unit.
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    world.kd(&quiet).stderr_any().code(17);
    fs::rename(world.path("elsewhere"), world.path("repo")).unwrap();
    let none = metrics(&file);
    assert_eq!(none["kopi_docka_last_run_exit_code"], 17.0);
    assert_eq!(of(&none, "last_success_timestamp_seconds"), success);

    world.backup(&web);
    let again = metrics(&file);
    assert_eq!(of(&again, "last_run_success"), Some(1.0));
    assert!(of(&again, "last_success_timestamp_seconds") > success);

    // A unit that is gone is forgotten; a directory that is gone is no failed run.
    let other = world.stack("other").service("a", |s| s).up();
    let unit = web.unit().to_owned();
    let gone = web.container("db");
    world
        .docker(&["rm", "--force", "--volumes", &gone])
        .stdout_any()
        .ok();
    world.backup(&other);
    let without = metrics(&file);
    assert!(
        !without.keys().any(|key| key.contains(&unit)),
        "{without:#?}"
    );
    fs::remove_dir_all(world.path("textfile")).unwrap();
    world
        .kd(&["--quiet", "backup", "--unit", other.unit()])
        .stderr("`metrics.textfile` could not be written")
        .ok();
}
