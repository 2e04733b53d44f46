//! A restore that was killed, and what other hands have done with its data since: it is wholly old or wholly new, and nothing that was
//! written meanwhile is lost.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Run, Stack, World, mount, mount_ext4, mount_xfs, oracle, torture};
use serde_json::Value;

/// What a service does when it comes up: a new file, and one that it replaces.
const AT_WORK: &str = r#"for place in /data /disk; do
    echo since >$place/since; echo since >$place/.new; mv $place/.new $place/both; done"#;

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A stack with a volume, which is renamed, and a disk, which is not: saved, then changed.
struct Changed {
    world: World,
    stack: Stack,
    targets: [PathBuf; 2],
    /// In the environment of all that is run.
    env: Vec<(&'static str, &'static str)>,
}

impl Changed {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let disk = mount_ext4(&world, "disk", 32);
        let stack = world
            .stack("web")
            .service("db", |s| s.volume("data", "/data").bind(&disk, "/disk"))
            .up();
        let targets = [stack.volume_path("data"), disk];
        for target in &targets {
            write(target, "both", "saved");
            write(target, "only saved", "saved");
        }
        world.backup(&stack);
        let changed = Self {
            world,
            stack,
            targets,
            env: Vec::new(),
        };
        changed.change();
        changed
    }

    fn change(&self) {
        for target in &self.targets {
            for entry in fs::read_dir(target).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    fs::remove_file(path).unwrap();
                }
            }
            write(target, "both", "changed");
            write(target, "only changed", "changed");
        }
    }

    fn kd(&self, args: &[&str]) -> Run {
        let run = self.world.kd(args);
        self.env
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value))
    }

    fn restore(&self) -> Run {
        let args = ["--quiet", "restore", "--yes", "--backup-id", "latest"];
        self.kd(&args)
            .args(["--unit", self.stack.unit()])
            .stderr_any()
    }

    #[track_caller]
    fn kill_at(&self, step: &str) {
        let fault = format!("kill@{step}");
        let done = self.restore().env("KOPI_DOCKA_FAULT", fault).run();
        assert_eq!(done.signal, Some(9), "{step}\n{done}");
    }

    fn recover(&self) -> Run {
        self.kd(&["--quiet", "recover"]).stdout_any().stderr_any()
    }

    fn listed(&self) -> Vec<Value> {
        let mut all = self
            .kd(&["--json", "restore", "--list-safety"])
            .args(["--unit", self.stack.unit()])
            .json();
        serde_json::from_value(all["safety_copies"].take()).unwrap()
    }

    fn copies(&self) -> Vec<PathBuf> {
        let listed = self.listed();
        let paths = listed.iter().filter_map(|copy| copy["path"].as_str());
        paths.map(PathBuf::from).collect()
    }

    #[track_caller]
    fn discard_all(&self) {
        self.kd(&["--quiet", "restore", "--yes", "--discard-safety", "all"])
            .args(["--unit", self.stack.unit()])
            .stdout_any()
            .ok();
        for target in &self.targets {
            let parent = target.parent().unwrap();
            let left = [target.as_path(), parent].map(ours).concat();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    #[track_caller]
    fn assert_settled(&self) {
        for folder in ["state/restoring", "state/stopped"] {
            let left = fs::read_dir(self.world.path(folder)).into_iter().flatten();
            assert_eq!(left.count(), 0, "{folder}");
        }
        self.stack.assert_running(&["db"]);
        // What the service sees is what is there.
        for (target, inside) in self.targets.iter().zip(["/data", "/disk"]) {
            let file = format!("{inside}/both");
            let seen = self.stack.exec("db", &["cat", &file]).stdout_any().run();
            assert_eq!(seen.stdout().trim(), read(&target.join("both")), "{inside}");
        }
    }

    /// Whether both targets are what was restored; neither may have anything of the other.
    #[track_caller]
    fn is_new(&self, step: &str) -> bool {
        let is_new = self.targets.each_ref().map(|target| {
            let (old, new) = (target.join("only changed"), target.join("only saved"));
            assert_ne!(old.exists(), new.exists(), "{step}: {}", target.display());
            new.exists()
        });
        assert_eq!(is_new[0], is_new[1], "{step}");
        is_new[0]
    }

    /// What the service wrote is in its place, or in a copy that is listed.
    #[track_caller]
    fn assert_nothing_is_lost(&self, step: &str) {
        let copies = self.copies();
        for target in &self.targets {
            let parent = target.parent().unwrap();
            let of_it = copies
                .iter()
                .filter(|copy| copy.starts_with(target) || copy.parent() == Some(parent));
            let places: Vec<&Path> = of_it
                .map(PathBuf::as_path)
                .chain([target.as_path()])
                .collect();
            for name in ["since", "both"] {
                let has = places
                    .iter()
                    .any(|place| read(&place.join(name)) == "since");
                assert!(has, "{step}: {name} of {} in {places:?}", target.display());
            }
        }
    }
}

/// Our own names in `folder`.
fn ours(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .contains(".kopi-docka-")
        })
        .collect()
}

const STEPS: [(&str, bool); 11] = [
    ("restore_extract", false),
    ("restore_decide", false),
    ("restore_swap_1", false),
    ("restore_swap_2", false),
    ("restore_move_1", false),
    ("restore_move_2", false),
    ("restore_move_3", false),
    ("restore_move_4", false),
    ("restore_move_root", false),
    ("restore_keep", true),
    ("restore_note", true),
];

#[test]
fn what_another_hand_started_is_never_left_on_half_and_what_it_wrote_is_never_lost() {
    let changed = Changed::new();
    for (step, _) in STEPS {
        changed.kill_at(step);
        changed.stack.start("db");
        let work = ["sh", "-ec", AT_WORK];
        changed.stack.exec("db", &work).ok();
        let done = changed.recover().ok();
        let is_new = changed.is_new(step);
        if step == "restore_keep" || step == "restore_note" {
            assert!(is_new, "{step}: it was all in place");
        } else if step != "restore_move_root" {
            assert!(!is_new, "{step}");
            let is_told = done.stderr().contains("started since the restore stopped");
            assert_eq!(
                is_told,
                step != "restore_extract" && step != "restore_decide",
                "{done}"
            );
        }
        changed.assert_settled();
        changed.assert_nothing_is_lost(step);
        changed.kd(&["recover"]).stdout("Nothing to recover").ok();
        changed.discard_all();
        changed.change();
    }
}

#[test]
fn what_was_written_and_is_gone_again_counts_too_and_a_recovery_may_be_killed_as_well() {
    let changed = Changed::new();
    let both = changed.targets.each_ref().map(|target| target.join("both"));
    // The service runs for a moment, and its container is another one now: Docker knows nothing of it.
    for killed in ["restore_swap_1", "restore_swap_2", "restore_move_3"] {
        for again in ["", "replay_stop", "replay_prove_cold", "replay_start"] {
            changed.kill_at(killed);
            for path in &both {
                fs::write(path, "since").unwrap();
                write(path.parent().unwrap(), "since", "since");
            }
            if !again.is_empty() {
                let fault = format!("kill@{again}");
                let done = changed.recover().env("KOPI_DOCKA_FAULT", fault).run();
                let is_killed = done.signal == Some(9);
                assert!(
                    is_killed || (killed == "restore_swap_1"),
                    "{killed} {again}\n{done}"
                );
            }
            let step = format!("{killed} {again}");
            changed.recover().ok();
            assert!(!changed.is_new(&step), "{step}");
            changed.assert_nothing_is_lost(&step);
            changed.assert_settled();
            changed.discard_all();
            changed.change();
        }
    }
}

#[test]
fn what_runs_when_it_is_finished_is_stopped_for_it() {
    let changed = Changed::new();
    // Only looks: the container was made after the decision, but its data was not touched.
    changed.kill_at("restore_swap_2");
    let held = changed.world.hold("replay_stop", changed.recover());
    changed.stack.start("db");
    let done = held.release().wait();
    // It came up between the look and the exchange.
    assert_eq!(done.code, Some(18), "{done}");
    assert!(done.stderr().contains("runs and can write to"), "{done}");
    changed.recover().ok();
    assert!(!changed.is_new("the next time it is seen"));
    changed.assert_settled();
}

#[test]
fn what_starts_while_data_is_exchanged_sees_what_was_restored() {
    let changed = Changed::new();
    for step in ["restore_swap_1", "restore_swap_2"] {
        let held = changed.world.hold(step, changed.restore());
        changed.stack.start("db");
        let done = held.release().ok();
        assert!(
            done.stderr()
                .contains("started while the data was exchanged"),
            "{step}\n{done}"
        );
        assert!(changed.is_new(step));
        changed.assert_settled();
        changed.change();
        // In a recovery as well.
        changed.kill_at("restore_swap_2");
        let held = changed.world.hold("restore_swap_2", changed.recover());
        changed.stack.start("db");
        let done = held.release().ok();
        assert!(
            done.stderr()
                .contains("started while the data was exchanged"),
            "{step}\n{done}"
        );
        assert!(changed.is_new(step));
        changed.assert_settled();
        changed.discard_all();
        changed.change();
    }
}

#[test]
fn a_docker_that_does_not_answer_is_waited_for_and_a_paused_container_too() {
    let changed = Changed::new();
    changed.kill_at("restore_swap_2");
    let journals = changed.world.path("state/restoring");
    let path = fs::read_dir(&journals)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let journal = fs::read_to_string(&path).unwrap();
    let mut other: Value = serde_json::from_str(&journal).unwrap();
    other["socket"] = changed.world.path("nobody.sock").to_str().unwrap().into();
    fs::write(&path, other.to_string()).unwrap();
    let manifests = || {
        changed
            .targets
            .each_ref()
            .map(|target| oracle::manifest(target))
    };
    let before = manifests();
    changed
        .kd(&["--quiet", "recover"])
        .stderr("before Docker says who uses its data")
        .stderr("start Docker, then run `kopi-docka recover`")
        .code(14);
    fs::write(&path, journal).unwrap();

    changed.stack.start("db");
    let container = changed.stack.container("db");
    changed.world.docker(&["pause", &container]).text();
    changed
        .kd(&["--quiet", "recover"])
        .stderr("is paused and has")
        .stderr(format!("docker unpause {container}"))
        .code(18);
    for (before, now) in before.iter().zip(manifests()) {
        before.assert_same(&now);
    }
    // While Docker runs, the unit for the boot leaves it to who asks.
    changed
        .kd(&["recover", "--before-docker"])
        .stdout("containers may run already")
        .ok();
    for (before, now) in before.iter().zip(manifests()) {
        before.assert_same(&now);
    }
    changed.world.docker(&["unpause", &container]).text();
    changed.recover().ok();
    assert!(!changed.is_new("unpaused"));
    changed.assert_settled();
}

#[test]
fn where_inode_numbers_go_by_paths_all_is_whole_and_can_be_taken_back() {
    let mut changed = Changed::new();
    changed.env.push(("KOPI_DOCKA_FAULT_NUMBERS", "by-path"));
    let steps = [
        ("restore_decide", false),
        ("restore_swap_1", true),
        ("restore_swap_2", true),
        ("restore_move_1", true),
        ("restore_move_2", true),
        ("restore_move_3", true),
        ("restore_move_4", true),
        ("restore_move_root", true),
        ("restore_keep", true),
        ("restore_note", true),
        ("restore_forget", true),
    ];
    for (step, is_new) in steps {
        changed.kill_at(step);
        changed.recover().ok();
        assert_eq!(changed.is_new(step), is_new, "{step}");
        changed.assert_settled();
        if is_new {
            assert_eq!(changed.copies().len(), 2, "{step}");
            assert!(changed.listed().iter().all(|copy| copy["state"] == "kept"));
            let undo = ["--quiet", "restore", "--yes", "--undo", "latest"];
            let undo = changed.kd(&undo).args(["--unit", changed.stack.unit()]);
            undo.stderr_any().stdout_any().ok();
            assert!(!changed.is_new(step), "{step}");
            changed.assert_settled();
        }
        changed.discard_all();
        changed.change();
    }
    // And with another hand.
    changed.change();
    for (step, _) in STEPS {
        changed.recover().run();
        changed.discard_all();
        changed.change();
        changed.kill_at(step);
        changed.stack.start("db");
        changed.stack.exec("db", &["sh", "-ec", AT_WORK]).ok();
        changed.recover().ok();
        changed.is_new(step);
        changed.assert_settled();
        changed.assert_nothing_is_lost(step);
    }
}

#[test]
fn what_was_extracted_and_is_lost_is_not_taken_for_what_is_in_place() {
    let mut changed = Changed::new();
    for env in [None, Some(("KOPI_DOCKA_FAULT_NUMBERS", "by-path"))] {
        changed.env = env.into_iter().collect();
        changed.kill_at("restore_move_3");
        let staged = ours(&changed.targets[1]);
        let staged = staged.iter().find(|path| path.join("data").exists());
        let data = staged.unwrap().join("data");
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(&data).unwrap();
        let done = changed.recover().ok();
        assert!(done.stderr().contains("is undone"), "{done}");
        assert!(!changed.is_new("lost"));
        changed.assert_settled();
        changed.discard_all();
        changed.change();
    }
}

/// A state directory of 1 MiB, and what fills it.
fn small_state(world: &World) -> PathBuf {
    mount(world, "state", &["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).join("filler")
}

#[test]
fn a_disk_that_gets_full_while_a_restore_is_taken_back_loses_no_record() {
    let world = World::new();
    let filler = small_state(&world);
    world.init();
    let stack = world.web();
    let volume = stack.volume_path("data");
    write(&volume, "file", "saved");
    world.backup(&stack);
    write(&volume, "file", "changed");
    let restore = |args: &[&str]| {
        let all = [
            &["--quiet", "restore", "--yes", "--unit", stack.unit()],
            args,
        ]
        .concat();
        world.kd(&all).stdout_any().stderr_any()
    };
    let fill = || {
        let mut size = 1 << 20;
        let mut file = fs::File::create(&filler).unwrap();
        while size > 0 {
            use std::io::Write as _;
            if file.write_all(&vec![b'x'; size]).is_err() {
                size /= 2;
            }
        }
    };
    let listed = || {
        let run = world.kd(&["--json", "restore", "--list-safety"]);
        run.args(["--unit", stack.unit()]).json()
    };
    let file = || read(&volume.join("file"));
    restore(&["--backup-id", "latest"]).ok();
    let before = listed();
    assert_eq!(before["safety_copies"].as_array().unwrap().len(), 1);

    // Before it is decided: nothing has happened.
    for (step, record) in [
        (
            "restore_journal",
            "journal of the restore cannot be written",
        ),
        (
            "restore_record",
            "the record of what is about to be stopped cannot be written",
        ),
        ("restore_decide", "journal of the restore cannot be written"),
    ] {
        let held = world.hold(step, restore(&["--undo", "latest"]));
        fill();
        let done = held.release().code(3);
        assert!(done.stderr().contains(record), "{step}\n{done}");
        assert!(done.stderr().contains("No space left"), "{step}\n{done}");
        fs::remove_file(&filler).unwrap();
        assert_eq!(listed(), before, "{step}: it can still be undone");
        assert_eq!(file(), "saved", "{step}");
        stack.assert_running(&["db"]);
        world.kd(&["recover"]).stdout("Nothing to recover").ok();
    }

    // After it is done: what is kept is written down as soon as there is space.
    let held = world.hold("restore_note", restore(&["--undo", "latest"]));
    fill();
    let done = held.release().ok();
    assert!(done.stderr().contains("kopi-docka recover"), "{done}");
    assert_eq!(file(), "changed");
    stack.assert_running(&["db"]);
    fs::remove_file(&filler).unwrap();
    write(&volume, "since", "since");
    let watch = world.watch();
    world.kd(&["--quiet", "recover"]).stdout_any().ok();
    watch.events().assert_untouched();
    let after = listed();
    assert_eq!(
        after["safety_copies"].as_array().unwrap().len(),
        1,
        "{after:#}"
    );
    assert_eq!(after["safety_copies"][0]["state"], "kept");
    assert_eq!(
        (file().as_str(), read(&volume.join("since")).as_str()),
        ("changed", "since")
    );
    restore(&["--undo", "latest"]).ok();
    assert_eq!(file(), "saved");
}

#[test]
fn a_discard_that_was_killed_half_way_is_never_put_back() {
    let changed = Changed::new();
    changed.restore().ok();
    let discard = |fault: &str| {
        let discard = ["--quiet", "restore", "--yes", "--discard-safety", "all"];
        changed
            .kd(&discard)
            .args(["--unit", changed.stack.unit()])
            .env("KOPI_DOCKA_FAULT", fault)
            .stdout_any()
    };
    assert!(
        changed
            .listed()
            .iter()
            .all(|copy| copy["can_be_undone"] == true)
    );
    let done = discard("kill@discard_remove").run();
    assert_eq!(done.signal, Some(9), "{done}");
    let half = changed
        .targets
        .iter()
        .flat_map(|target| [ours(target), ours(target.parent().unwrap())].concat())
        .find(|path| path.to_string_lossy().contains("-drop-"))
        .unwrap();
    fs::remove_file(half.join("both")).unwrap();
    let listed = changed.listed();
    let states: Vec<&str> = listed
        .iter()
        .map(|copy| copy["state"].as_str().unwrap())
        .collect();
    assert!(
        states.contains(&"incomplete") && states.contains(&"kept"),
        "{listed:#?}"
    );
    assert!(listed.iter().all(|copy| copy["can_be_undone"] == false));
    changed
        .kd(&["restore", "--list-safety"])
        .stdout("half removed: discard it again")
        .stdout("cannot be put back")
        .ok();
    let undo = ["--quiet", "restore", "--yes", "--undo", "latest"];
    let undo = changed.kd(&undo).args(["--unit", changed.stack.unit()]);
    undo.stderr("is half removed")
        .stderr("nothing was changed")
        .code(3);
    assert!(changed.is_new("not undone"));
    discard("").ok();
    assert!(changed.listed().is_empty());
    changed.discard_all();
    changed.assert_settled();
}

#[test]
fn directories_keep_their_times_where_a_move_changes_them() {
    let world = World::new();
    world.init();
    let disk = mount_xfs(&world, "disk");
    let inside = disk.join("inside");
    fs::create_dir(&inside).unwrap();
    let other = mount_xfs(&world, "other");
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&inside, "/inside").bind(&other, "/other"))
        .up();
    let targets = [&inside, &other];
    let manifest = |target: &Path| {
        let mut manifest = oracle::manifest(target);
        manifest
            .0
            .retain(|path, _| !path.starts_with(b".kopi-docka-"));
        manifest
    };
    let age = |folder: &Path, seconds: u64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for path in [
            folder.join("deep/deeper"),
            folder.join("deep"),
            folder.to_owned(),
        ] {
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        }
    };
    for target in targets {
        fs::create_dir_all(target.join("deep/deeper")).unwrap();
        write(&target.join("deep/deeper"), "file", "saved");
        age(target, 1_000_000_000);
    }
    let saved = targets.map(|target| manifest(target));
    world.backup(&stack);
    for target in targets {
        write(&target.join("deep"), "now", "changed");
        age(target, 1_100_000_000);
    }
    let changed = targets.map(|target| manifest(target));
    let restore = |args: &[&str]| {
        let all = [
            &["--quiet", "restore", "--yes", "--unit", stack.unit()],
            args,
        ]
        .concat();
        world.kd(&all).stdout_any().stderr_any()
    };
    let assert_is = |expected: &[oracle::Manifest; 2]| {
        for (target, expected) in targets.iter().zip(expected) {
            expected.assert_same(&manifest(target));
        }
    };
    restore(&["--backup-id", "latest"]).ok();
    assert_is(&saved);
    restore(&["--undo", "latest"]).ok();
    assert_is(&changed);
    for step in ["restore_swap_2", "restore_keep", "restore_note"] {
        let run = restore(&["--backup-id", "latest"]);
        let done = run.env("KOPI_DOCKA_FAULT", format!("kill@{step}")).run();
        assert_eq!(done.signal, Some(9), "{step}");
        world.kd(&["--quiet", "recover"]).stdout_any().ok();
        assert_is(&saved);
        restore(&["--undo", "latest"]).ok();
        assert_is(&changed);
    }
}

#[test]
fn space_stays_free_for_others_unless_it_is_asked_for() {
    let world = World::new();
    world.init();
    let disk = mount_ext4(&world, "disk", 64);
    let data = disk.join("data");
    fs::create_dir(&data).unwrap();
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&data, "/data"))
        .up();
    fs::write(data.join("noise"), torture::noise(12 << 20)).unwrap();
    world.backup(&stack);
    let free = || {
        let disk = rustix::fs::statvfs(&disk).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    let filler = disk.join("filler");
    let fill_to = |left: u64| {
        let bytes = free().saturating_sub(left);
        fs::write(&filler, torture::noise(usize::try_from(bytes).unwrap())).unwrap();
    };
    let args = ["--quiet", "restore", "--yes", "--backup-id", "latest"];
    let restore = || world.kd(&args).args(["--unit", stack.unit()]);
    fill_to(15 << 20);
    let watch = world.watch();
    restore()
        .stderr("are to stay free for others")
        .stderr("--ignore-space")
        .stderr("nothing was changed")
        .code(3);
    watch.events().assert_untouched();
    restore().arg("--ignore-space").ok();
    assert!(free() < 4 << 20);
    world
        .kd(&["--quiet", "restore", "--yes", "--discard-safety", "all"])
        .args(["--unit", stack.unit()])
        .stdout_any()
        .ok();

    // Others fill it while it is extracted: it stops before nothing is left.
    fs::remove_file(&filler).unwrap();
    let held = world.hold("restore_extract", restore().stderr_any());
    fill_to(5 << 20);
    let done = held.release().code(3);
    assert!(done.stderr().contains("which others need"), "{done}");
    assert!(free() >= 4 << 20, "what was extracted is gone again");
    stack.assert_running(&["db"]);
}
