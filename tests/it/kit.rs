//! Tests of the kit that the other tests stand on: what it should notice, it notices.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{Bed, Manifest, Run, Signal, World, oracle, torture, until, writer};
use rustix::fs::XattrFlags;

/// What the kit says when `test` fails; panics when it does not.
fn complaint(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("this should have failed");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

fn sh(script: &str) -> Run {
    Run::new("sh")
        .args(["-c", script])
        .env("PATH", "/bin:/usr/bin")
}

// ---- the oracle ----

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// Writes without changing the time, so that the oracle cannot have noticed that instead.
fn poke(path: &Path, offset: u64, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.set_modified(time).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Replaces `path` by what `make` makes there.
fn replace(path: &Path, make: impl FnOnce(&Path)) {
    fs::remove_file(path).unwrap();
    make(path);
}

type Change = (&'static str, fn(&Path), &'static str);

/// A change to the torture tree, and what the oracle must say. One attribute each, so that all can be made at once.
const CHANGES: [Change; 30] = [
    (
        "a missing file",
        |t| fs::remove_file(t.join("names/*")).unwrap(),
        "names/*: file is missing",
    ),
    (
        "a new file",
        |t| fs::write(t.join("new"), "").unwrap(),
        "new: file is new",
    ),
    (
        "a missing directory",
        |t| fs::remove_dir(t.join("contents/empty-directory")).unwrap(),
        "empty-directory: directory is missing",
    ),
    (
        "the type",
        |t| replace(&t.join("special/fifo"), |p| fs::write(p, "").unwrap()),
        "special/fifo: type: fifo → file",
    ),
    (
        "the mode",
        |t| chmod(&t.join("modes/file-0600"), 0o640),
        "modes/file-0600: mode: 0600 → 0640",
    ),
    (
        "setuid",
        |t| chmod(&t.join("modes/file-4755"), 0o755),
        "modes/file-4755: mode: 4755 → 0755",
    ),
    (
        "setgid of a directory",
        |t| chmod(&t.join("modes/folder-2775"), 0o775),
        "modes/folder-2775: mode: 2775 → 0775",
    ),
    (
        "sticky",
        |t| chmod(&t.join("modes/folder-1777"), 0o777),
        "modes/folder-1777: mode: 1777 → 0777",
    ),
    (
        "the owner",
        |t| lchown(t.join("owners/high"), Some(0), None).unwrap(),
        "owners/high: uid: 2147483646 → 0",
    ),
    (
        "the group",
        |t| lchown(t.join("owners/high"), None, Some(0)).unwrap(),
        "owners/high: gid: 2147483646 → 0",
    ),
    (
        "the owner of a symlink",
        |t| lchown(t.join("links/owned"), Some(1), None).unwrap(),
        "links/owned: uid: 1234 → 1",
    ),
    (
        "the size",
        |t| poke(&t.join("contents/512-bytes"), 512, b"\0"),
        "contents/512-bytes: size: Some(512) → Some(513)",
    ),
    (
        "one byte",
        |t| poke(&t.join("contents/1048576-bytes"), 700_000, b"\xff"),
        "contents/1048576-bytes: content: ",
    ),
    (
        "the last byte",
        |t| poke(&t.join("contents/513-bytes"), 512, b"\xaa"),
        "contents/513-bytes: content: ",
    ),
    (
        "a byte in a hole",
        |t| poke(&t.join("sparse/islands"), 300_000_000, b"x"),
        "sparse/islands: content: ",
    ),
    (
        "an island that moved",
        |t| move_island(&t.join("sparse/data-at-both-ends")),
        "sparse/data-at-both-ends: content: ",
    ),
    (
        "a hole that was filled",
        |t| poke(&t.join("sparse/one-hole"), 0, &vec![0; 1 << 20]),
        "sparse/one-hole: holes: 0 bytes",
    ),
    (
        "a nanosecond",
        |t| torture::touch(&t.join("times/2200"), 7_258_118_400, 999_999_998),
        "times/2200: mtime: ",
    ),
    (
        "a second",
        |t| torture::touch(&t.join("times/1901"), -2_147_483_646, 123_456_789),
        "times/1901: mtime: ",
    ),
    (
        "the time of a directory",
        |t| torture::touch(&t.join("times/2038-folder"), 1, 1),
        "times/2038-folder: mtime: ",
    ),
    (
        "the time of a symlink",
        |t| torture::touch(&t.join("times/2038-link"), 1, 1),
        "times/2038-link: mtime: ",
    ),
    (
        "the target of a symlink",
        |t| {
            replace(&t.join("links/to-a-directory"), |p| {
                symlink("a", p).unwrap()
            })
        },
        "links/to-a-directory: target: \"z\" → \"a\"",
    ),
    (
        "a broken hard link",
        |t| unlink_copy(&t.join("links/second")),
        "links/second: hard links: ",
    ),
    (
        "a missing xattr",
        |t| rustix::fs::lremovexattr(t.join("xattrs/folder"), "trusted.kopi-docka").unwrap(),
        "xattrs/folder: xattr trusted.kopi-docka: ",
    ),
    (
        "a changed xattr",
        |t| set_xattr(&t.join("xattrs/file"), "user.large", &[1; 3000]),
        "xattrs/file: xattr user.large: ",
    ),
    (
        "an xattr that is empty now",
        |t| set_xattr(&t.join("xattrs/file"), "user.text", b""),
        "xattrs/file: xattr user.text: \"text\" → \"\"",
    ),
    (
        "a new security xattr",
        |t| set_xattr(&t.join("contents/0-bytes"), "security.new", b"x"),
        "contents/0-bytes: xattr security.new: none → \"x\"",
    ),
    (
        "an ACL",
        |t| {
            rustix::fs::lremovexattr(t.join("acls/only-default"), "system.posix_acl_default")
                .unwrap()
        },
        "acls/only-default: xattr system.posix_acl_default: ",
    ),
    (
        "a capability",
        |t| {
            rustix::fs::lremovexattr(t.join("capabilities/of-root"), "security.capability").unwrap()
        },
        "capabilities/of-root: xattr security.capability: ",
    ),
    (
        "the root's own mode",
        |t| chmod(t, 0o750),
        ".: mode: 2751 → 0750",
    ),
];

fn move_island(file: &Path) {
    poke(file, 4_194_304, b"\0\0\0");
    poke(file, 4_194_301, b"end");
    poke(file, 4_194_306, b"\0");
}

fn unlink_copy(path: &Path) {
    let bytes = fs::read(path).unwrap();
    replace(path, |path| fs::write(path, bytes).unwrap());
}

#[test]
fn the_oracle_notices_every_kind_of_change() {
    let dir = tempfile::tempdir().unwrap();
    torture::plant(dir.path());
    let before = oracle::manifest(dir.path());
    for (_, change, _) in CHANGES {
        change(dir.path());
    }
    let found = before.differences(&oracle::manifest(dir.path()));
    for (what, _, expected) in CHANGES {
        let noticed = found.iter().any(|line| line.contains(expected));
        assert!(noticed, "{what}: expected {expected:?}, found {found:#?}");
    }
}

#[test]
fn the_oracle_notices_another_device_behind_the_same_name() {
    let dir = tempfile::tempdir().unwrap();
    let node = |minor| {
        let path = dir.path().join("node");
        let _ = fs::remove_file(&path);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::CharacterDevice,
            mode,
            rustix::fs::makedev(1, minor),
        )
        .unwrap();
        oracle::manifest(dir.path())
    };
    let found = node(3).differences(&node(5)).join("\n");
    assert!(found.contains("node: device: 1:3 → 1:5"), "{found}");
}

#[test]
fn the_oracle_takes_a_hole_for_the_zeros_it_stands_for_and_lets_a_copy_be_smaller() {
    let dir = tempfile::tempdir().unwrap();
    torture::plant(dir.path());
    let before = oracle::manifest(dir.path());
    let zeros = dir.path().join("contents/zeros-on-disk");
    let meta = fs::metadata(&zeros).unwrap();
    let file = fs::File::create(&zeros).unwrap();
    file.set_len(meta.len()).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    let after = oracle::manifest(dir.path());
    assert!(
        after.entry("contents/zeros-on-disk").allocated
            < before.entry("contents/zeros-on-disk").allocated
    );
    before.assert_same(&after);
}

#[test]
fn planting_twice_gives_the_same_tree() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = |name| {
        let path: PathBuf = dir.path().join(name);
        torture::plant(&path);
        oracle::manifest(&path)
    };
    let (one, two): (Manifest, Manifest) = (manifest("one"), manifest("two"));
    assert!(one.0.len() > 350, "{}", one.0.len());
    one.assert_same(&two);
}

#[test]
fn a_difference_is_shown_with_at_most_20_lines() {
    let dir = tempfile::tempdir().unwrap();
    torture::plant(dir.path());
    let manifest = oracle::manifest(dir.path());
    let nothing = manifest.clone().only(|path| path == b".");
    let text = complaint(|| manifest.assert_same(&nothing));
    assert_eq!(text.lines().count(), 22, "{text}");
    assert!(
        text.contains("acls: directory is missing") && text.contains("more"),
        "{text}"
    );
}

// ---- GNU tar ----

const CREATE: [&str; 10] = [
    "--format=posix",
    "--sort=name",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    // ACLs travel as the xattrs that they are, in numbers. `--acls` would write the names of this host's users.
    "--no-acls",
    "--sparse",
    "--sparse-version=0.0",
    "--one-file-system",
    "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f",
];
const EXTRACT: [&str; 6] = [
    "--numeric-owner",
    "--same-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--no-acls",
    "--warning=no-timestamp",
];

fn tar(dir: &Path) -> Run {
    Run::new("tar")
        .env("PATH", "/bin:/usr/bin")
        .env("LC_ALL", "C")
        .arg("-C")
        .arg(dir)
}

fn archive(dir: &Path) -> Vec<u8> {
    tar(dir)
        .args(["-c", "-f", "-"])
        .args(CREATE)
        .arg(".")
        .stdout_any()
        .ok()
        .stdout_bytes()
        .to_owned()
}

#[test]
fn gnu_tar_brings_the_torture_tree_back_whole_and_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    torture::plant(&from);
    fs::create_dir(&to).unwrap();
    let stream = archive(&from);
    tar(&to)
        .args(["-x", "-p", "-f", "-"])
        .args(EXTRACT)
        .stdin(&stream)
        .ok();
    oracle::manifest(&from).assert_same(&oracle::manifest(&to));
    assert!(
        archive(&to) == stream,
        "the copy should give the same stream as the original"
    );
}

#[test]
fn gnu_tar_with_acls_writes_names_that_mean_somebody_else_on_another_host() {
    let dir = tempfile::tempdir().unwrap();
    torture::plant(dir.path());
    let with = tar(dir.path())
        .args(["-c", "-f", "-"])
        .args(CREATE)
        .args(["--acls", "."])
        .stdout_any()
        .ok();
    let holds = |stream: &[u8], text: &str| {
        stream
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    let with = with.stdout_bytes();
    // User 1 has a name everywhere, though not the same one.
    assert!(holds(with, "user:54321:") && !holds(with, "user:1:"));
    assert!(!holds(&archive(dir.path()), "SCHILY.acl"));
}

// ---- running programs ----

#[test]
fn a_stream_that_is_not_mentioned_must_be_empty() {
    sh("true").ok();
    sh("echo a; echo b >&2; exit 3")
        .stdout("a")
        .stderr_is("b\n")
        .code(3);
    for (what, run, expected) in [
        ("stdout", sh("echo hello"), "stdout should have been empty"),
        (
            "stderr",
            sh("echo hello >&2"),
            "stderr should have been empty",
        ),
        (
            "another text",
            sh("echo hello").stdout("help"),
            "stdout should have contained \"help\"",
        ),
        (
            "one of two texts",
            sh("echo hello").stdout("hell").stdout("help"),
            "stdout should have contained \"help\"",
        ),
        (
            "more than the text",
            sh("echo hello").stdout_is("hello"),
            "stdout should have been \"hello\"",
        ),
        (
            "another exit code",
            sh("echo hello >&2; exit 4").stderr_any(),
            "it should have exited with 0",
        ),
        ("a signal", sh("kill -9 $$"), "was killed by signal 9"),
    ] {
        let text = complaint(|| drop(run.ok()));
        assert!(text.contains(expected), "{what}: {text}");
        assert!(
            text.contains("command: sh -c '")
                && text.contains("---- stdout ----")
                && text.contains("---- stderr ----"),
            "{text}"
        );
    }
}

#[test]
fn a_program_that_hangs_is_killed_with_its_group_and_what_it_said_is_shown() {
    let text = complaint(|| {
        drop(
            sh("echo before; sleep 1000 & wait")
                .timeout(Duration::from_millis(300))
                .run(),
        )
    });
    assert!(
        text.contains("still ran after 300ms") && text.contains("before"),
        "{text}"
    );
    let mut running = sh("sleep 1001 & echo $!; wait").spawn();
    running.until_stdout("\n");
    let child = running.stdout_so_far().trim().to_owned();
    assert!(Path::new("/proc").join(&child).exists());
    drop(running);
    until("the child to end", Duration::from_secs(5), || {
        fs::read(format!("/proc/{child}/cmdline"))
            .map_or(true, |line| line.is_empty())
            .then_some(())
    });
}

#[test]
fn a_running_program_can_be_fed_watched_and_signalled() {
    assert_eq!(sh("cat").stdin("fed").text(), "fed");
    let mut running =
        sh("trap 'echo got it >&2; exit 143' TERM; echo ready >&2; while :; do sleep 0.01; done")
            .stderr("got it")
            .spawn();
    running.until_stderr("ready");
    running.signal(Signal::TERM);
    running.code(143);
    let mut ends = sh("echo so far >&2; exit 7").spawn();
    let text = complaint(|| ends.until_stderr("never said"));
    assert!(
        text.contains("\"never said\" on stderr, but the program ended")
            && text.contains("exited with 7")
            && text.contains("so far"),
        "{text}"
    );
}

#[test]
fn json_is_read_whole_or_by_the_line() {
    assert_eq!(sh("echo '{\"a\": 1}'").json()["a"], 1);
    assert_eq!(sh("echo 1; echo 2").stdout_any().ok().json_lines(), [1, 2]);
    assert!(complaint(|| drop(sh("echo no").json())).contains("stdout is not JSON"));
}

// ---- the world ----

#[test]
fn a_world_runs_the_program_with_its_own_configuration_and_a_bare_environment() {
    let world = World::new();
    world.kd(&["--help"]).stdout("Usage: kopi-docka").ok();
    world
        .kd(&["no-such-command"])
        .stderr("no-such-command")
        .code(2);
    let mode = fs::metadata(world.config_path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    world.config(|config| config["backup"]["stop_timeout"] = 3.into());
    let config = world.read_config();
    assert_eq!(
        (
            &config["backup"]["stop_timeout"],
            &config["kopia"]["profile"]
        ),
        (&3.into(), &"kopi-docka".into())
    );
}

#[test]
fn a_run_that_would_stop_the_containers_of_other_tests_is_refused() {
    let world = World::new();
    for args in [
        &["backup"][..],
        &["--json", "backup", "--update-recovery"],
        &["daemon", "--interval-minutes", "1"],
    ] {
        assert!(
            complaint(|| drop(world.kd(args))).contains("would stop the containers of all tests"),
            "{args:?}"
        );
    }
    let _ = (
        world.kd(&["backup", "--unit=x"]),
        world.kd(&["backup", "--dry-run"]),
    );
}

#[test]
fn a_world_has_a_kopia_of_its_own() {
    let world = World::new();
    world
        .kopia(&["repository", "status"])
        .stderr("repository is not connected")
        .code(1);
    world
        .kopia(&["repository", "create", "filesystem", "--path"])
        .arg(world.path("repo"))
        .stdout_any()
        .stderr_any()
        .ok();
    let status = world.kopia(&["repository", "status", "--json"]).json();
    assert_eq!(
        status["storage"]["config"]["path"],
        world.path("repo").to_str().unwrap()
    );
    assert!(
        world.path("cache/kopi-docka").is_dir()
            && world
                .path("home/.config/kopia/repository-kopi-docka.config")
                .is_file()
    );
}

#[test]
fn a_world_leaves_nothing_behind() {
    let world = World::new();
    let (id, root) = (world.id().to_owned(), world.path(""));
    let stack = world
        .stack("web")
        .service("app", |s| s.volume("data", "/data").anonymous("/anonymous"))
        .network()
        .up();
    let volume = stack.volume_path("data");
    world.container("alone", |s| s.volume("own", "/own"));
    let mount = world.dir("mounted");
    sh(&format!("mount -t tmpfs none {}", mount.display())).ok();
    sh(&format!(
        "touch {0}/fixed && chattr +i {0}/fixed",
        root.display()
    ))
    .ok();
    torture::plant(&world.path("torture"));
    // In a session of its own, as a child that a killed program left behind.
    let orphan = sh(&format!("cd {} && setsid sleep 1002 & ", root.display())).spawn();
    until("the orphan", Duration::from_secs(5), || {
        world
            .processes()
            .iter()
            .any(|(_, line)| line == "sleep 1002")
            .then_some(())
    });
    let bed = world.bed.clone();
    drop(world);
    drop(orphan);
    assert!(!root.exists() && !volume.exists());
    for list in [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]] {
        let text = bed.docker(list).text();
        assert!(!text.contains(&id), "{text}");
    }
}

// ---- stacks ----

#[test]
fn a_stack_looks_like_one_of_compose() {
    let world = World::new();
    let bound = world.dir("bound");
    let describe = |name| {
        world
            .stack(name)
            .service("app", |s| {
                s.bind(&bound, "/bound:ro")
                    .depends_on("db", "service_healthy")
                    .sh("exec idle")
            })
            .service("db", |s| {
                s.volume("data", "/data")
                    .health("test -d /data")
                    .stop_timeout(3)
                    .restart("unless-stopped")
                    .env("A", "$b")
            })
    };
    let (fast, real) = (
        describe("fast").network().up(),
        describe("real").network().up_with_compose(),
    );
    for stack in [&fast, &real] {
        stack.assert_running(&["app", "db"]);
        assert_eq!(stack.exec("db", &["sh", "-c", "echo $A"]).text(), "$b");
        fs::write(stack.volume_path("data").join("seen"), "x").unwrap();
        stack.exec("db", &["cat", "/data/seen"]).stdout_is("x").ok();
    }
    // What compose says of a container that it made itself, the fast way says too.
    let labels = |stack: &crate::common::Stack, service: &str| {
        let inspect = stack.inspect(service);
        let mut labels: Vec<(String, String)> = Vec::new();
        for (name, value) in inspect["Config"]["Labels"].as_object().unwrap() {
            let value = value.as_str().unwrap().replace("real", "fast");
            let differs = ["config-hash", "image", "version"]
                .iter()
                .any(|end| name == &format!("com.docker.compose.{end}"));
            if !differs && name != "com.docker.compose.project.environment_file" {
                labels.push((name.clone(), value));
            }
        }
        labels.sort();
        labels
    };
    for service in ["app", "db"] {
        assert_eq!(labels(&fast, service), labels(&real, service));
    }
    let again = fast.compose(&["ps", "--services"]).text();
    assert_eq!(again.lines().count(), 2, "{again}");
    real.wipe();
    assert!(real.running().is_empty());
    real.compose(&["up", "--detach"]).text();
    real.until_up();
}

#[test]
fn a_watch_hears_every_stop_and_start_to_the_nanosecond() {
    let world = World::new();
    let stack = world
        .stack("web")
        .service("db", |s| s)
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    let watch = world.watch();
    watch.events().assert_untouched();
    let before = stack.started_at("db");
    stack.stop("app");
    stack.stop("db");
    stack.assert_running(&[]);
    assert_eq!(stack.status("db"), "exited");
    stack.start("db");
    stack.start("app");
    assert!(stack.started_at("db") > before);
    let events = watch.events();
    assert_eq!(events.order("die"), ["app", "db"]);
    assert_eq!(events.order("start"), ["db", "app"]);
    assert!(events.downtime("db") < events.downtime("app"));
    assert!(events.downtime("app") < events.window());
    assert_eq!(
        events
            .0
            .iter()
            .find(|event| event.action == "die")
            .unwrap()
            .exit_code,
        Some(0),
        "{events}"
    );
    assert!(complaint(|| events.assert_untouched()).contains("app die 0"));
}

// ---- the writer ----

#[test]
fn a_writer_shows_a_cold_copy_from_a_hot_one_and_goes_on_where_it_was() {
    let world = World::new();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data").writer("/data"))
        .up();
    let data = stack.volume_path("data");
    let records = |at_least: u64| {
        until("the writer to write", Duration::from_secs(20), || {
            let lines = fs::read(data.join("b.log"))
                .unwrap_or_default()
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count();
            (lines as u64 > at_least).then_some(lines as u64)
        })
    };
    let written = records(1000);

    // As a backup would that has not stopped it: one file after the other.
    let copy = world.dir("hot");
    fs::copy(data.join("b.log"), copy.join("b.log")).unwrap();
    records(written + 100);
    fs::copy(data.join("a.log"), copy.join("a.log")).unwrap();
    assert!(complaint(|| _ = writer::check(&copy)).contains("was copied while it was written"));

    stack.stop("db");
    let cold = writer::check_cold(&data);
    assert!(cold > written);
    assert_eq!(stack.inspect("db")["State"]["ExitCode"], 0);
    stack.start("db");
    records(cold);
    stack.exec("db", &["test", "-e", "/data/clean"]).code(1);
    world.docker(&["kill", &stack.container("db")]).text();
    let killed = writer::check(&data);
    assert!(!killed.clean && killed.records > cold);
    assert!(complaint(|| _ = writer::check_cold(&data)).contains("before its writer had ended"));
    stack.start("db");
    records(killed.records + 1);
    stack.stop("db");
    writer::check_cold(&data);
}

#[test]
fn a_writer_s_log_with_a_gap_or_half_a_record_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.log");
    let line = |n: u64| {
        format!(
            "{n} {}\n",
            (u128::from(n) * 2_654_435_761 + 12_345) % 4_294_967_291
        )
    };
    for (text, expected) in [
        (String::new(), Ok(0)),
        (line(1) + &line(2), Ok(2)),
        (line(1) + &line(3), Err("record 2")),
        (line(1) + "2 55\n", Err("record 2")),
        (line(1) + line(2).trim_end(), Err("middle of a record")),
        (line(1) + "\0\0\0\0\n", Err("record 2")),
    ] {
        fs::write(&log, &text).unwrap();
        match (writer::check_log(&log), expected) {
            (Ok(last), Ok(expected)) => assert_eq!(last, expected),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            (got, expected) => panic!("{text:?}: expected {expected:?}, got {got:?}"),
        }
    }
}

// ---- engines of one's own ----

#[test]
fn an_engine_of_one_s_own_survives_a_kill_and_leaves_nothing_behind() {
    let mut engine = Bed::own_engine_with(&serde_json::json!({ "live-restore": true }));
    let socket = engine.socket.clone();
    let world = World::on(&engine);
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let started = stack.started_at("db");
    engine.kill9();
    world
        .docker(&["ps"])
        .stderr("Cannot connect to the Docker daemon")
        .code(1);
    engine.start();
    stack.until_up();
    assert_eq!(
        stack.started_at("db"),
        started,
        "the container should have gone on running"
    );
    engine.restart();
    stack.until_up();
    // Nobody else's containers are there.
    let _ = world.kd(&["backup"]);
    drop(world);
    drop(engine);
    assert!(!socket.parent().unwrap().exists());
}
