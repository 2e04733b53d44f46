//! What was saved comes back, whole or not at all: the real engine, the real Kopia, the real tar.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{
    Run, Signal, Stack, World, mount, mount_ext4, oracle, torture, unmount, until, writer,
};
use serde_json::Value;

/// In the order of a restore.
const STEPS: [&str; 14] = [
    "restore_journal",
    "restore_create",
    "restore_extract",
    "restore_sync",
    "restore_record",
    "restore_stop",
    "restore_prove_cold",
    "restore_decide",
    "restore_swap",
    "restore_keep",
    "restore_note",
    "restore_forget",
    "restore_start",
    "restore_settle",
];

const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a restore has decided: from here on a kill ends with everything new.
const DECIDED: usize = 8;

/// The report of a restore under `--json`.
fn report(world: &World, stack: &Stack, more: &[&str]) -> Value {
    let args = [
        &["--json", "restore", "--yes", "--backup-id", "latest"],
        &["--unit", stack.unit()][..],
        more,
    ]
    .concat();
    let done = world.kd(&args).stdout_any().ok();
    let mut events = done.json_lines();
    let mut last = events.pop().unwrap();
    assert_eq!(last["event"], "restore_finished");
    last["report"].take()
}

/// Everything that a restore leaves beside the targets while it works.
fn staging(folders: &[&Path]) -> Vec<PathBuf> {
    beside(folders, ".kopi-docka-new-")
}

fn safety_copies(folders: &[&Path]) -> Vec<PathBuf> {
    beside(folders, ".kopi-docka-before-")
}

fn beside(folders: &[&Path], mark: &str) -> Vec<PathBuf> {
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(mark))
        .collect()
}

fn remove_safety_copies(folders: &[&Path]) {
    for copy in safety_copies(folders) {
        if copy.is_dir() {
            fs::remove_dir_all(copy).unwrap();
        } else {
            fs::remove_file(copy).unwrap();
        }
    }
}

fn empty(path: &Path) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}

fn write(folder: &Path, text: &str) {
    fs::write(folder.join("generation"), text).unwrap();
}

fn read(folder: &Path) -> String {
    fs::read_to_string(folder.join("generation")).unwrap_or_else(|_| "nothing".to_owned())
}

/// A stack of two services with a volume each and a bind of both, saved as `saved` and changed to `changed`.
struct Changed {
    world: World,
    stack: Stack,
    one: PathBuf,
    two: PathBuf,
    bind: PathBuf,
}

impl Changed {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let bind = world.dir("binds/shared");
        let stack = world
            .stack("web")
            .service("db", |s| s.volume("one", "/one").bind(&bind, "/bind"))
            .service("app", |s| {
                s.volume("two", "/two")
                    .bind(&bind, "/bind:ro")
                    .depends_on("db", "service_started")
            })
            .up();
        let changed = Self {
            one: stack.volume_path("one"),
            two: stack.volume_path("two"),
            bind,
            stack,
            world,
        };
        changed.set("saved");
        changed.world.backup(&changed.stack);
        changed.set("changed");
        changed
    }

    fn targets(&self) -> [&Path; 3] {
        [&self.one, &self.two, &self.bind]
    }

    fn folders(&self) -> [&Path; 3] {
        self.targets().map(|target| target.parent().unwrap())
    }

    fn set(&self, text: &str) {
        for target in self.targets() {
            write(target, text);
        }
    }

    fn generations(&self) -> [String; 3] {
        self.targets().map(read)
    }

    /// As the services see it.
    fn seen(&self) -> [String; 3] {
        let see = |service, path: &str| {
            let file = format!("{path}/generation");
            self.stack.exec(service, &["cat", &file]).text()
        };
        [see("db", "/one"), see("app", "/two"), see("app", "/bind")]
    }

    #[track_caller]
    fn assert_all(&self, text: &str) {
        assert_eq!(self.generations(), [text, text, text]);
        assert_eq!(self.seen(), [text, text, text], "as the services see it");
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        assert_eq!(staging(&self.folders()), Vec::<PathBuf>::new());
        for folder in ["state/restoring", "state/stopped"] {
            let left = fs::read_dir(self.world.path(folder))
                .into_iter()
                .flatten()
                .count();
            assert_eq!(left, 0, "{folder}");
        }
        let work = fs::read_dir(self.world.path("run")).unwrap();
        let work: Vec<_> = work
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "kopi-docka.lock")
            .collect();
        assert!(work.is_empty(), "{work:?}");
    }
}

#[test]
fn what_was_saved_comes_back_to_the_last_attribute_and_what_was_there_is_kept() {
    let world = World::new();
    world.init();
    let bind = world.dir("binds/data");
    let file = world.path("binds/one.conf");
    let stack = world.stack("web").service("db", |s| {
        s.volume("data", "/data")
            .bind(&bind, "/bind")
            .bind(&file, "/one.conf")
    });
    fs::write(&file, "saved").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    let stack = stack.up();
    let volume = stack.volume_path("data");
    torture::plant(&volume);
    torture::plant(&bind);
    let compose = stack.dir().join("compose.yaml");
    let original = fs::read(&compose).unwrap();
    let (before_volume, before_bind) = (oracle::manifest(&volume), oracle::manifest(&bind));
    let before_file = oracle::manifest(&file);
    world.backup(&stack);

    empty(&volume);
    write(&volume, "changed");
    empty(&bind);
    fs::write(&file, "changed").unwrap();
    fs::write(&compose, "changed").unwrap();
    let watch = world.watch();
    let report = report(&world, &stack, &[]);

    before_volume.assert_same(&oracle::manifest(&volume));
    before_bind.assert_same(&oracle::manifest(&bind));
    before_file.assert_same(&oracle::manifest(&file));
    assert_eq!(fs::read(&compose).unwrap(), original);
    let events = watch.events();
    assert!(events.window() < Duration::from_secs(5), "{events}");
    stack.assert_running(&["db"]);

    let sources = report["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3);
    assert!(report["downtime_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["exit_code"], 0);
    let copy_of = |key: &str| -> PathBuf {
        let source = sources
            .iter()
            .find(|source| source["target"].as_str().unwrap().ends_with(key));
        source.unwrap()["safety_copy"].as_str().unwrap().into()
    };
    assert_eq!(read(&copy_of("_data")), "changed");
    assert_eq!(fs::read_to_string(copy_of("one.conf")).unwrap(), "changed");
    assert_eq!(
        sources
            .iter()
            .filter(|s| s["safety_copy"].is_null())
            .count(),
        1,
        "the empty directory"
    );
    let files = report["files"].as_array().unwrap();
    assert_eq!(files[0]["action"], "replace");
    let kept = files[0]["safety_copy"].as_str().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "changed");
    assert_eq!(
        staging(&[
            volume.parent().unwrap(),
            bind.parent().unwrap(),
            stack.dir()
        ]),
        [""; 0].map(PathBuf::from)
    );
}

#[test]
fn a_writer_finds_the_data_of_its_point_and_goes_on() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data").writer("/data"))
        .up();
    let data = stack.volume_path("data");
    let records = || writer::check_log(&data.join("a.log")).unwrap_or(0);
    until("some records", Duration::from_secs(20), || {
        (records() > 20).then_some(())
    });
    world.backup(&stack);
    let saved = records();
    until("more records", Duration::from_secs(20), || {
        (records() > saved + 500).then_some(())
    });
    stack.stop("db");
    let reached = records();
    stack.start("db");
    world.restore_latest(stack.unit(), &[]).ok();
    stack.stop("db");
    let now = writer::check_cold(&data);
    assert!(now < reached, "{now} records, before the restore {reached}");
}

#[test]
fn killed_at_any_step_every_source_is_wholly_old_or_wholly_new_after_recover() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let swaps = ["restore_swap_1", "restore_swap_2", "restore_swap_3"];
    for step in STEPS.into_iter().chain(swaps) {
        changed.set("changed");
        let done = world
            .restore_latest(stack.unit(), &[])
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.signal, Some(9), "{step}\n{done}");
        world.kd(&["--quiet", "recover"]).stdout_any().ok();
        stack.assert_running(&["app", "db"]);
        let is_decided = STEPS
            .iter()
            .position(|other| *other == step)
            .is_none_or(|position| position >= DECIDED);
        changed.assert_all(if is_decided { "saved" } else { "changed" });
        changed.assert_nothing_is_left();
        if is_decided {
            let copies = safety_copies(&changed.folders());
            assert_eq!(copies.len(), 3, "{step}: {copies:?}");
            assert!(copies.iter().all(|copy| read(copy) == "changed"), "{step}");
        }
        remove_safety_copies(&changed.folders());
        world.kd(&["recover"]).stdout("Nothing to recover").ok();
    }
}

#[test]
fn a_backup_after_a_kill_finishes_the_restore_before_it_reads() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let done = world
        .restore_latest(stack.unit(), &[])
        .env("KOPI_DOCKA_FAULT", "kill@restore_swap_2")
        .run();
    assert_eq!(done.signal, Some(9), "{done}");
    stack.assert_running(&[]);
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .ok();
    changed.assert_all("saved");
    changed.set("changed");
    world.restore_latest(stack.unit(), &[]).ok();
    changed.assert_all("saved");
}

#[test]
fn a_point_that_cannot_be_read_back_costs_no_downtime() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    // Incompressible, and more than the local cache would hide.
    fs::write(changed.one.join("noise"), torture::noise(30 << 20)).unwrap();
    world.backup(stack);
    changed.set("changed again");
    let before = oracle::manifest(&changed.one);
    let mut blobs = Vec::new();
    let mut folders = vec![world.path("repo")];
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
    assert!(!blobs.is_empty());
    for blob in blobs {
        let mut bytes = fs::read(&blob).unwrap();
        let middle = bytes.len() / 2;
        for byte in &mut bytes[middle..middle + 1000] {
            *byte ^= 0x55;
        }
        fs::set_permissions(&blob, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&blob, bytes).unwrap();
    }
    fs::remove_dir_all(world.path("cache")).unwrap();
    let watch = world.watch();
    let done = world.restore_latest(stack.unit(), &[]).stderr_any().run();
    assert!(matches!(done.code, Some(3 | 15 | 17)), "{done}");
    let said = done.stderr();
    for expected in [
        "could not be read back",
        "everything that was to be replaced is as it was",
        "no container was stopped",
    ] {
        assert!(said.contains(expected), "{expected:?}\n{done}");
    }
    watch.events().assert_untouched();
    before.assert_same(&oracle::manifest(&changed.one));
    changed.assert_all("changed again");
    changed.assert_nothing_is_left();
    assert!(safety_copies(&changed.folders()).is_empty());
}

/// `kopia`, but what it shows of data goes through `filter`.
fn kopia_that(world: &World, filter: &str) -> std::ffi::OsString {
    world.stand_in(
        "kopia",
        &format!("case \" $* \" in *' show '*/data' ') \"$REAL\" \"$@\" {filter};; *) exec \"$REAL\" \"$@\";; esac"),
    )
}

#[test]
fn a_stream_that_ends_early_or_stalls_changes_nothing() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    world.config(|config| config["backup"]["stall_timeout"] = 4.into());
    let watch = world.watch();
    for (filter, expected) in [
        // Cut where tar finds a proper end: kopia's exit status is 0, only the length tells.
        ("| head -c 5120; exit 0", "instead of"),
        ("| head -c 700; exit 0", ""),
        ("; kill -9 $$", "signal 9"),
        ("; exit 1", "status 1"),
        ("; head -c 10240 /dev/zero", ""),
        ("| (head -c 700; exec sleep 600)", "no byte came for 4 s"),
    ] {
        let done = world
            .restore_latest(stack.unit(), &[])
            .env("PATH", kopia_that(world, filter))
            .stderr_any()
            .run();
        assert!(matches!(done.code, Some(3 | 15 | 17)), "{filter}\n{done}");
        assert!(done.stderr().contains(expected), "{filter}\n{done}");
        changed.assert_all("changed");
        changed.assert_nothing_is_left();
    }
    watch.events().assert_untouched();
    let left = world.processes();
    assert!(
        left.iter()
            .all(|(_, line)| !line.contains("kopia") && !line.starts_with("tar")),
        "{left:?}"
    );
}

#[test]
fn a_signal_before_the_decision_changes_nothing_and_after_it_everything() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for (step, expected) in [
            ("restore_extract", "changed"),
            ("restore_stop", "changed"),
            ("restore_prove_cold", "changed"),
            ("restore_decide", "saved"),
            ("restore_swap", "saved"),
        ] {
            changed.set("changed");
            let held = world.hold(step, world.restore_latest(stack.unit(), &[]).stderr_any());
            held.running.signal(signal);
            let done = held.release().wait();
            assert_eq!(done.code, Some(code), "{step}\n{done}");
            stack.assert_running(&["app", "db"]);
            changed.assert_all(expected);
            changed.assert_nothing_is_left();
            remove_safety_copies(&changed.folders());
        }
    }
}

#[test]
fn what_the_operator_had_stopped_stays_stopped_and_who_shares_a_volume_is_stopped_too() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .service("job", |s| s.volume("data", "/data"))
        .up();
    let other = world.container("other", |s| s.external(&stack.volume("data"), "/x:ro"));
    let bystander = world.container("bystander", |s| s.volume("own", "/x"));
    write(&stack.volume_path("data"), "saved");
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .ok();
    write(&stack.volume_path("data"), "changed");
    stack.stop("job");
    let watch = world.watch();
    world
        .restore_latest(stack.unit(), &[])
        .stderr("which is not of this unit")
        .ok();
    let events = watch.events();
    assert_eq!(events.order("start"), ["db", &*other], "{events}");
    assert_eq!(events.order("die"), [&*other, "db"], "{events}");
    assert!(!events.order("die").contains(&bystander.as_str()));
    stack.assert_running(&["db"]);
    let seen = world
        .docker(&["exec", &other, "cat", "/x/generation"])
        .text();
    assert_eq!(seen, "saved", "not the old content under the same name");
}

#[test]
fn a_volume_that_is_gone_is_made_as_it_was_and_compose_takes_it_for_its_own() {
    let world = World::new();
    world.init();
    let device = world.dir("device");
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data").volume("bound", "/bound")
        })
        .volume("data", |v| v.label("my.label", "yes"))
        .volume("bound", |v| {
            v.option("type", "none")
                .option("o", "bind")
                .option("device", device.to_str().unwrap())
        })
        .up_with_compose();
    write(&stack.volume_path("data"), "saved");
    write(&device, "saved");
    let inspect = |name: &str| {
        let mut volume = world
            .docker(&["volume", "inspect", &stack.volume(name)])
            .json()[0]
            .take();
        volume["CreatedAt"].take();
        // Compose's own version is not made again.
        let labels = volume["Labels"].as_object_mut().unwrap();
        labels.remove("com.docker.compose.version");
        volume
    };
    let before = [inspect("data"), inspect("bound")];
    world.backup(&stack);

    stack.wipe();
    fs::remove_dir_all(stack.dir()).unwrap();
    fs::remove_dir_all(&device).unwrap();
    let report = report(&world, &stack, &[]);
    assert_eq!([inspect("data"), inspect("bound")], before);
    assert_eq!(read(&device), "saved");
    let next = report["next_steps"][0].as_str().unwrap();
    assert!(next.starts_with("docker compose "), "{next}");
    let done = Run::new("sh")
        .args(["-c", next])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/root")
        .env("DOCKER_HOST", world.bed.host())
        .env(
            "DOCKER_CONFIG",
            std::env::var_os("DOCKER_CONFIG").unwrap_or_default(),
        )
        .stderr_any()
        .stdout_any()
        .ok();
    assert!(!done.stderr().contains("already exists"), "{done}");
    assert_eq!(
        stack.exec("db", &["cat", "/data/generation"]).text(),
        "saved"
    );
    assert_eq!(
        stack.exec("db", &["cat", "/bound/generation"]).text(),
        "saved"
    );
    // Nothing was there, so nothing is kept.
    assert!(
        report["sources"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["safety_copy"].is_null())
    );
}

#[test]
fn a_kill_while_volumes_are_made_leaves_none_behind() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    write(&stack.volume_path("data"), "saved");
    world.backup(&stack);
    stack.wipe();
    let folder = stack.dir().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    for step in [
        "restore_create",
        "restore_extract",
        "restore_sync",
        "restore_decide",
    ] {
        let done = world
            .restore_latest(stack.unit(), &[])
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.signal, Some(9), "{done}");
        world.kd(&["--quiet", "recover"]).stdout_any().ok();
        let volumes = world.docker(&["volume", "ls", "--quiet"]).text();
        assert!(!volumes.contains(&stack.volume("data")), "{step}");
        assert!(!folder.exists(), "{step}");
    }
}

#[test]
fn only_the_named_sources_are_restored() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let compose = stack.dir().join("compose.yaml");
    fs::write(&compose, "changed").unwrap();
    world
        .restore_latest(stack.unit(), &["--volume", &stack.volume("one")])
        .ok();
    assert_eq!(changed.generations(), ["saved", "changed", "changed"]);
    let bind = changed.bind.to_str().unwrap();
    world.restore_latest(stack.unit(), &["--volume", bind]).ok();
    assert_eq!(changed.generations(), ["saved", "changed", "saved"]);
    assert_eq!(fs::read_to_string(compose).unwrap(), "changed");
    world
        .restore_latest(stack.unit(), &["--volume", "nonsense"])
        .stderr("has no volume or bind mount `nonsense`")
        .stderr(stack.volume("one"))
        .code(4);
}

#[test]
fn a_point_that_lacks_something_is_restored_only_by_naming_what_it_has() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let list = world.kopia(&["snapshot", "list", "--all", "--json"]).json();
    let lost = list.as_array().unwrap().iter().find(|snapshot| {
        snapshot["tags"]["tag:volume"].as_str() == Some(stack.volume("two").as_str())
    });
    let id = lost.unwrap()["id"].as_str().unwrap();
    world
        .kopia(&["snapshot", "delete", "--delete", id])
        .stdout_any()
        .stderr_any()
        .ok();
    let backup_id = world.report()["backup_id"].as_str().unwrap().to_owned();
    world
        .restore_latest(stack.unit(), &[])
        .stderr("has no whole restore point")
        .stderr(&backup_id)
        .code(4);
    let done = world
        .restore(stack.unit(), &["--backup-id", &backup_id])
        .stderr("is not whole")
        .stderr(format!(
            "it lacks volume `{}`: its snapshot is gone",
            stack.volume("two")
        ))
        .code(3);
    changed.assert_all("changed");
    // The hint is a command that works.
    let said = done.stderr();
    let command = said
        .split("what it has is restored by `kopi-docka ")
        .nth(1)
        .unwrap();
    let command = command.split('`').next().unwrap();
    let args: Vec<&str> = ["--quiet"]
        .into_iter()
        .chain(command.split(' '))
        .chain(["--yes"])
        .collect();
    world.kd(&args).ok();
    assert_eq!(changed.generations(), ["saved", "changed", "saved"]);
    world
        .restore(
            stack.unit(),
            &["--backup-id", &backup_id, "--volume", &stack.volume("two")],
        )
        .stderr("its snapshot is gone")
        .code(3);
}

#[test]
fn a_dry_run_shows_the_plan_and_touches_nothing() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let watch = world.watch();
    let before = changed.targets().map(oracle::manifest);
    let args = [
        "restore",
        "--unit",
        stack.unit(),
        "--backup-id",
        "latest",
        "--dry-run",
    ];
    let plan = world.kd(&[&["--json"], &args[..]].concat()).json()["plan"].take();
    assert_eq!(plan["sources"].as_array().unwrap().len(), 3);
    assert_eq!(plan["stops"].as_array().unwrap().len(), 2);
    assert_eq!(plan["files"][0]["action"], "leave");
    world
        .kd(&args)
        .stdout(stack.volume("one"))
        .stdout(stack.container("db"))
        .stdout("Free space in")
        .ok();
    watch.events().assert_untouched();
    for (before, target) in before.iter().zip(changed.targets()) {
        before.assert_same(&oracle::manifest(target));
    }
    changed.assert_nothing_is_left();
}

#[test]
fn what_is_wrong_with_the_request_is_said_before_anything_is_touched() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let watch = world.watch();
    world
        .kd(&["restore"])
        .stderr("--unit UNIT --backup-id latest")
        .code(2);
    world
        .kd(&[
            "--quiet",
            "restore",
            "--unit",
            stack.unit(),
            "--backup-id",
            "latest",
        ])
        .stderr("not running on a terminal")
        .stderr("--yes")
        .code(2);
    world
        .kd(&["restore", "--unit", "nobody", "--backup-id", "latest"])
        .stderr("no restore point of unit `nobody`")
        .stderr(stack.unit())
        .code(4);
    world
        .restore(stack.unit(), &["--backup-id", "2001-01-01T00-00-00Z"])
        .stderr("has no restore point 2001")
        .code(4);
    world
        .restore(stack.unit(), &["--backup-id", "yesterday"])
        .stderr("has no restore point yesterday")
        .code(4);
    world
        .restore_latest(stack.unit(), &["--host", "elsewhere"])
        .stderr("made by host `elsewhere`")
        .code(4);
    watch.events().assert_untouched();
    changed.assert_all("changed");
}

#[test]
fn what_does_not_fit_or_has_a_mount_inside_is_refused_while_services_run() {
    let world = World::new();
    world.init();
    mount_ext4(&world, "disk", 16);
    let bind = world.dir("disk/data");
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&bind, "/data"))
        .up();
    write(&bind, "saved");
    fs::write(bind.join("noise"), torture::noise(9 << 20)).unwrap();
    world.backup(&stack);
    let watch = world.watch();
    world
        .restore_latest(stack.unit(), &[])
        .stderr("free, the restore needs")
        .stderr("nothing was changed")
        .code(3);
    fs::remove_file(bind.join("noise")).unwrap();
    let inner = mount(&world, "disk/data/inner", &["-t", "tmpfs", "tmpfs"]);
    world
        .restore_latest(stack.unit(), &[])
        .stderr("another file system is mounted in it")
        .code(3);
    unmount(&inner);
    fs::remove_dir(bind.join("inner")).unwrap();
    watch.events().assert_untouched();
    write(&bind, "changed");
    world.restore_latest(stack.unit(), &[]).ok();
    assert_eq!(read(&bind), "saved");
    let inode = fs::metadata(&bind).unwrap().ino();
    assert_eq!(
        stack.exec("db", &["stat", "-c", "%i", "/data"]).text(),
        inode.to_string()
    );
}

#[test]
fn two_restores_in_a_row_keep_both_safety_copies() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let only = ["--volume", &stack.volume("one")];
    world.restore_latest(stack.unit(), &only).ok();
    world.restore_latest(stack.unit(), &only).ok();
    let mut copies: Vec<String> = safety_copies(&[changed.one.parent().unwrap()])
        .iter()
        .map(|copy| read(copy))
        .collect();
    copies.sort();
    assert_eq!(copies, ["changed", "saved"]);
}

/// Points as somebody who means harm would write them, with Kopia's own means.
struct Forger {
    world: World,
    identity: String,
    count: std::cell::Cell<u32>,
    /// What was stored last, for the points that differ in their record alone.
    stored: std::cell::RefCell<(Vec<u8>, String)>,
}

impl Forger {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let status = world.kd(&["repo-status", "--json"]).json();
        Self {
            identity: status["identity"].as_str().unwrap().to_owned(),
            world,
            count: std::cell::Cell::new(0),
            stored: Default::default(),
        }
    }

    fn next_id(&self) -> String {
        format!("2026-01-02T03-04-{:02}Z", self.count.get())
    }

    fn snapshot(&self, args: &[&str], place: &str, stdin: &[u8]) -> String {
        let source = format!(
            "--override-source={}:/kopi-docka/forged/{place}",
            self.identity
        );
        let args = [&["snapshot", "create", "--json", &source], args].concat();
        let manifest = self.world.kopia(&args).stdin(stdin).stderr_any().json();
        manifest["rootEntry"]["obj"].as_str().unwrap().to_owned()
    }

    fn root(&self, stream: &[u8]) -> String {
        let mut stored = self.stored.borrow_mut();
        if stored.1.is_empty() || stored.0 != stream {
            let args = ["/kopi-docka/forged", "--stdin-file=data"];
            *stored = (stream.to_owned(), self.snapshot(&args, "data", stream));
        }
        stored.1.clone()
    }

    /// A point of unit `forged` with one source; returns its id.
    fn point(&self, source: Value, stream: &[u8], edit: impl FnOnce(&mut Value)) -> String {
        let id = self.next_id();
        self.count.set(self.count.get() + 1);
        let root = self.root(stream);
        let mut source = source;
        source["read_from"] = "/nowhere".into();
        source["destinations"] = Value::Array(Vec::new());
        source["exclude_patterns"] = Value::Array(Vec::new());
        source["reasons"] = Value::Array(Vec::new());
        source["grade"] = "ok".into();
        source["is_file"] = false.into();
        source["parts"] = serde_json::json!([{
            "kind": "full", "snapshot": "ab", "root": root, "file": "data", "bytes": stream.len(), "delete": []
        }]);
        let mut record = serde_json::json!({
            "format": 1, "kopi_docka_version": "0.1.0", "backup_id": id, "unit": "forged", "kind": "standalone",
            "identity": self.identity, "started_at": "2026-01-02T03:04:05Z", "grade": "ok", "sources": [source],
            "missing": [], "gaps": [], "downtime_seconds": 0.0, "project": null, "files": []
        });
        edit(&mut record);
        let folder = self.world.dir(format!("recipe-{id}"));
        fs::write(folder.join("recipe.json"), record.to_string()).unwrap();
        let tags = [
            "type:recipe".to_owned(),
            "unit:forged".to_owned(),
            "grade:ok".to_owned(),
            format!("backup_id:{id}"),
            format!("roots:{root}"),
        ]
        .map(|tag| format!("--tags={tag}"));
        let mut args = vec![folder.to_str().unwrap()];
        args.extend(tags.iter().map(String::as_str));
        self.snapshot(&args, "recipe", b"");
        id
    }

    fn plan(&self, id: &str) -> Run {
        let args = ["--quiet", "restore", "--dry-run", "--unit", "forged"];
        self.world.kd(&[&args[..], &["--backup-id", id]].concat())
    }

    fn restore(&self, id: &str) -> Run {
        self.world.restore("forged", &["--backup-id", id])
    }
}

fn tar(folder: &Path, args: &[&str]) -> Vec<u8> {
    Run::new("tar")
        .env("PATH", SYSTEM_PATH)
        .directory(folder)
        .args(["--create", "--file=-", "--absolute-names"])
        .args(args)
        .stdout_any()
        .ok()
        .stdout_bytes()
        .to_owned()
}

#[test]
fn a_point_that_means_harm_reaches_nothing_outside() {
    let forger = Forger::new();
    let world = &forger.world;
    let tree = world.dir("tree");
    fs::write(tree.join("evil"), "evil").unwrap();
    let harmless = tar(&tree, &["."]);
    let bind = |path: &str| serde_json::json!({ "type": "bind", "path": path });
    // Only planned: were one of them not refused, it would be this host's own that is replaced.
    // Which places they are, and which names, the tests of the rules say.
    for path in ["/etc/cron.d", "/srv/../etc/cron.d", "relative"] {
        let id = forger.point(bind(path), &harmless, |_| {});
        forger.plan(&id).stderr("nothing is restored to").code(3);
    }
    for own in ["repo", "state", "cache"] {
        let path = world.path(own);
        let id = forger.point(bind(path.to_str().unwrap()), &harmless, |_| {});
        forger.plan(&id).stderr("nothing is restored to").code(3);
    }
    let docker = world
        .docker(&["info", "--format", "{{.DockerRootDir}}"])
        .text();
    for inside in ["containers", "volumes", "volumes/x/_data"] {
        let id = forger.point(bind(&format!("{docker}/{inside}")), &harmless, |_| {});
        forger.plan(&id).stderr("nothing is restored to").code(3);
    }
    let volume = serde_json::json!({ "type": "volume", "name": "../../../../tmp/evil" });
    let id = forger.point(volume, &harmless, |_| {});
    forger.plan(&id).stderr("which Docker cannot have").code(3);

    // Links in the recipe, and files with a place of their own choice.
    let aside = world.path("aside.txt");
    let planted = world.dir(format!(
        "recipe-{}/files{}",
        forger.next_id(),
        world.path("").display()
    ));
    std::os::unix::fs::symlink("/etc/passwd", planted.join("aside.txt")).unwrap();
    let spot = world.path("binds/spot");
    let id = forger.point(bind(spot.to_str().unwrap()), &harmless, |record| {
        record["files"] = serde_json::json!([
            { "path": aside, "role": "compose" },
            { "path": "/etc/cron.d/kopi-docka-test", "role": "compose" },
            { "path": "/usr/local/bin/kopi-docka-test", "role": "compose" },
            { "path": "/srv/../etc/cron.d/kopi-docka-test", "role": "compose" }
        ]);
    });
    forger
        .plan(&id)
        .arg("--allow-path")
        .arg(&aside)
        .stdout_any()
        .stderr("nothing is restored to `/usr/local/bin/kopi-docka-test`")
        .stderr("in the point it is not a regular file")
        .stderr("nothing is restored to `/etc/cron.d/kopi-docka-test`")
        .stderr("nothing is restored to `/srv/../etc/cron.d/kopi-docka-test`")
        .ok();

    let target = world.dir("binds/target");
    let data = bind(target.to_str().unwrap());
    let outside = world.dir("outside");
    std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
    let absolute = format!("--transform=s,^./evil,{}/evil,", outside.display());
    let climbs = tar(
        &tree,
        &["--transform=s,^./evil,../../outside/evil,", "./evil"],
    );
    let leaps = tar(&tree, &[&absolute, "./evil"]);
    let follows = tar(
        &tree,
        &["--transform=s,^./evil,./link/evil,", "./link", "./evil"],
    );
    for (what, stream) in [("climbs", climbs), ("leaps", leaps), ("follows", follows)] {
        let id = forger.point(data.clone(), &stream, |_| {});
        // Whether it is refused or taken for a tree without it: nothing of it is outside.
        forger.restore(&id).stderr_any().run();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{what}");
        let binds: Vec<_> = beside(&[&world.path("binds")], "evil");
        assert!(binds.is_empty(), "{what}: {binds:?}");
        assert_eq!(
            staging(&[&world.path("binds")]),
            Vec::<PathBuf>::new(),
            "{what}"
        );
        remove_safety_copies(&[&world.path("binds")]);
    }

    fs::create_dir_all(&target).unwrap();
    write(&target, "mine");
    let id = forger.point(data.clone(), &harmless, |record| {
        record["sources"][0]["parts"][0]["bytes"] = (harmless.len() + 1).into();
    });
    forger.restore(&id).stderr("instead of").code(3);
    let id = forger.point(data.clone(), &harmless, |record| {
        record["format"] = 3.into()
    });
    forger.restore(&id).stderr("has format 3").code(3);
    let id = forger.point(data.clone(), &harmless, |record| {
        record["unit"] = "other".into()
    });
    forger.restore(&id).stderr("is that of").code(3);
    assert_eq!(read(&target), "mine");
    let id = forger.point(data, &harmless, |_| {});
    forger.restore(&id).ok();
    assert_eq!(fs::read_to_string(target.join("evil")).unwrap(), "evil");
}

/// A member of a tar archive, as `tar` itself would never write it.
fn member(name: &str, kind: u8, link: &str, mode: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, mode.as_bytes());
    put(108, b"0000000\x000000000\0");
    put(124, format!("{:011o}", content.len()).as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    // Of a device: 1, 3, which is /dev/null.
    put(329, b"0000001\x000000003\0");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header.extend(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

#[test]
fn an_archive_reaches_nothing_outside_and_what_is_no_plain_file_comes_back_as_it_was() {
    let forger = Forger::new();
    let world = &forger.world;
    let outside = world.dir("outside");
    let secret = outside.join("secret");
    fs::write(&secret, "secret").unwrap();
    let before = oracle::manifest(&outside);
    let target = world.dir("binds/target");
    let data = serde_json::json!({ "type": "bind", "path": target });
    let root = || member("./", b'5', "", "0000755", b"");
    let (file, hard, symbolic) = (b'0', b'1', b'2');
    let absolute = secret.to_str().unwrap();
    let outside_path = outside.to_str().unwrap();
    // Two directories up from the staging directory is where `binds` is.
    let climbing = "../../../outside/secret";
    let evil = |name: &str| member(name, file, "", "0000644", b"evil");
    let archives = [
        ("climbs", vec![evil(climbing)]),
        ("climbs later", vec![evil("./a/../../../../outside/secret")]),
        ("leaps", vec![evil(absolute)]),
        (
            "a link that leaps",
            vec![
                member("./hard", hard, absolute, "0000644", b""),
                evil("./hard"),
            ],
        ),
        (
            "a link that climbs",
            vec![
                member("./hard", hard, climbing, "0000644", b""),
                evil("./hard"),
            ],
        ),
        (
            "a link through a link",
            vec![
                member("./link", symbolic, outside_path, "0000777", b""),
                member("./hard", hard, "./link/secret", "0000644", b""),
                evil("./hard"),
            ],
        ),
        (
            "a link to a link",
            vec![
                member("./link", symbolic, absolute, "0000777", b""),
                member("./hard", hard, "./link", "0000644", b""),
                evil("./hard"),
                evil("./link"),
            ],
        ),
        (
            "a file through a link",
            vec![
                member("./link", symbolic, outside_path, "0000777", b""),
                evil("./link/secret"),
                evil("./link/new"),
            ],
        ),
        (
            "a directory that was a link",
            vec![
                member("./link", symbolic, outside_path, "0000777", b""),
                member("./link", b'5', "", "0000755", b""),
                evil("./link/secret"),
            ],
        ),
        (
            "the root is a link",
            vec![
                member("./", symbolic, outside_path, "0000777", b""),
                evil("./secret"),
            ],
        ),
    ];
    for (what, members) in archives {
        let mut stream = root();
        stream.extend(members.concat());
        stream.resize(stream.len() + 1024, 0);
        let id = forger.point(data.clone(), &stream, |_| {});
        // Whether it is refused or taken for a tree without it.
        let done = forger.restore(&id).stderr_any().run();
        assert!(matches!(done.code, Some(0 | 3)), "{what}\n{done}");
        before.assert_same(&oracle::manifest(&outside));
        let links = fs::metadata(&secret).unwrap().nlink();
        assert_eq!(links, 1, "{what}: no second name");
        assert_eq!(staging(&[&world.path("binds")]), [""; 0].map(PathBuf::from));
    }

    // What tar makes of these is what was saved: nobody opens them, and nobody waits for them.
    let stream = [
        root(),
        member("./fifo", b'6', "", "0000600", b""),
        member("./null", b'3', "", "0000666", b""),
        member("./setuid", file, "", "0004755", b"#!/bin/sh"),
        vec![0; 1024],
    ];
    let id = forger.point(data, &stream.concat(), |_| {});
    forger.restore(&id).ok();
    let tree = oracle::manifest(&target);
    let kind = |name: &str| tree.0[name.as_bytes()].kind;
    assert_eq!(kind("fifo"), "fifo");
    assert_eq!(kind("null"), "character device");
    assert_eq!(tree.0[&b"setuid"[..]].mode, 0o4755);
}
