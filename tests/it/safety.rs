//! What a restore keeps of the time before it: listed, discarded, put back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::common::{Manifest, Run, Stack, World, mount_ext4, oracle};
use serde_json::Value;

fn write(folder: &Path, text: &str) {
    fs::write(folder.join("generation"), text).unwrap();
}

/// A stack with a volume, a volume that was empty, a disk of its own and a compose file: saved, changed, and restored.
struct Restored {
    world: World,
    stack: Stack,
    targets: [PathBuf; 4],
    saved: [Manifest; 4],
    changed: [Manifest; 4],
}

/// Without what is ours in it.
fn manifest(target: &Path) -> Manifest {
    let mut manifest = oracle::manifest(target);
    manifest
        .0
        .retain(|path, _| !path.starts_with(b".kopi-docka-"));
    manifest
}

impl Restored {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let disk = mount_ext4(&world, "disk", 16);
        let stack = world
            .stack("web")
            .service("db", |s| s.volume("data", "/data").bind(&disk, "/disk"))
            .service("app", |s| s.volume("cache", "/cache"))
            .up();
        let targets = [
            stack.volume_path("data"),
            stack.volume_path("cache"),
            disk,
            stack.dir().join("compose.yaml"),
        ];
        let manifests = || [0, 1, 2, 3].map(|index| manifest(&targets[index]));
        for target in &targets[..3] {
            write(target, "saved");
        }
        let saved = manifests();
        world.backup(&stack);
        for target in [&targets[0], &targets[2]] {
            write(target, "changed");
            fs::set_permissions(target, fs::Permissions::from_mode(0o2710)).unwrap();
            std::os::unix::fs::chown(target, Some(12), Some(34)).unwrap();
        }
        fs::remove_file(targets[1].join("generation")).unwrap();
        fs::set_permissions(&targets[1], fs::Permissions::from_mode(0o1777)).unwrap();
        fs::write(&targets[3], "{}").unwrap();
        let changed = manifests();
        let restored = Self {
            saved,
            changed,
            world,
            stack,
            targets,
        };
        let done = restored
            .restore(&["--backup-id", "latest"])
            .stderr("cannot be renamed")
            .ok();
        assert_eq!(done.code, Some(0));
        restored.assert_is(&restored.saved);
        restored
    }

    fn restore(&self, args: &[&str]) -> Run {
        let args = [
            &["--quiet", "restore", "--yes", "--unit", self.stack.unit()],
            args,
        ];
        self.world.kd(&args.concat())
    }

    #[track_caller]
    fn assert_is(&self, expected: &[Manifest; 4]) {
        for (target, expected) in self.targets.iter().zip(expected) {
            expected.assert_same(&manifest(target));
        }
        self.stack.assert_running(&["app", "db"]);
        for folder in ["state/restoring", "state/stopped"] {
            let left = fs::read_dir(self.world.path(folder)).into_iter().flatten();
            assert_eq!(left.count(), 0, "{folder}");
        }
    }

    fn listed(&self) -> Vec<Value> {
        let args = ["--json", "restore", "--list-safety"];
        let mut all = self
            .world
            .kd(&args)
            .args(["--unit", self.stack.unit()])
            .json();
        serde_json::from_value(all["safety_copies"].take()).unwrap()
    }

    fn copies(&self) -> Vec<PathBuf> {
        let listed = self.listed();
        let paths = listed.iter().filter_map(|copy| copy["path"].as_str());
        paths.map(PathBuf::from).collect()
    }

    fn id(&self) -> String {
        self.listed()[0]["restore_id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_restore_is_taken_back_to_the_last_attribute_and_so_is_taking_it_back() {
    let restored = Restored::new();
    let world = &restored.world;
    let listed = restored.listed();
    assert_eq!(listed.len(), 4, "{listed:#?}");
    for copy in &listed {
        let state = if copy["path"].is_null() {
            "empty"
        } else {
            "kept"
        };
        assert_eq!(copy["state"], state, "{copy:#}");
    }
    assert_eq!(restored.copies().len(), 3);
    let first = restored.id();
    world
        .kd(&["restore", "--list-safety"])
        .stdout(&first)
        .stdout("was empty")
        .ok();

    // What services write meanwhile is the newer data: it is kept when it goes.
    write(&restored.targets[0], "written since");
    let since = restored.targets.each_ref().map(|target| manifest(target));
    let watch = world.watch();
    let before = restored.listed();
    let args = ["restore", "--undo", "latest", "--dry-run"];
    let plan = world
        .kd(&["--json"])
        .args(args)
        .args(["--unit", restored.stack.unit()])
        .json()["plan"]
        .take();
    assert_eq!(plan["undoes"], first.as_str());
    assert_eq!(plan["stops"].as_array().unwrap().len(), 2);
    watch.events().assert_untouched();
    restored.assert_is(&since);
    assert_eq!(restored.listed(), before);

    let args = ["restore", "--yes", "--undo", &first];
    world
        .kd(&args)
        .stderr_any()
        .stdout("Put back volume")
        .stdout("restore --undo 2")
        .stdout("restore --discard-safety 2")
        .ok();
    restored.assert_is(&restored.changed);
    let second = restored.id();
    assert!(second > first);
    assert!(
        restored
            .listed()
            .iter()
            .all(|copy| copy["restore_id"] == second.as_str())
    );
    restored
        .restore(&["--undo", &first])
        .stderr("nothing is kept of restore")
        .code(4);

    restored.restore(&["--undo", "latest"]).ok();
    restored.assert_is(&since);
    restored
        .restore(&["--discard-safety", "all"])
        .stdout_any()
        .ok();
    restored.assert_is(&since);
    assert!(restored.listed().is_empty());
    world
        .kd(&["restore", "--list-safety"])
        .args(["--unit", restored.stack.unit()])
        .stdout("Nothing is kept")
        .ok();
}

#[test]
fn killed_at_any_step_of_taking_it_back_all_is_wholly_one_or_wholly_the_other() {
    let restored = Restored::new();
    let world = &restored.world;
    let steps = [
        ("restore_journal", false),
        ("restore_create", false),
        ("restore_record", false),
        ("restore_prove_cold", false),
        ("restore_decide", false),
        ("restore_swap", true),
        ("restore_swap_2", true),
        ("restore_move_1", true),
        ("restore_move_2", true),
        ("restore_keep", true),
        ("restore_note", true),
        ("restore_forget", true),
        ("restore_start", true),
    ];
    let (mut now, mut other) = (&restored.saved, &restored.changed);
    for (step, is_decided) in steps {
        let (before, id) = (restored.listed(), restored.id());
        let done = restored
            .restore(&["--undo", "latest"])
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.signal, Some(9), "{step}\n{done}");
        world.kd(&["--quiet", "recover"]).stdout_any().ok();
        if is_decided {
            std::mem::swap(&mut now, &mut other);
            assert_ne!(restored.id(), id, "{step}");
            assert_eq!(restored.listed().len(), 4, "{step}");
        } else {
            assert_eq!(restored.listed(), before, "{step}");
        }
        restored.assert_is(now);
        world.kd(&["recover"]).stdout("Nothing to recover").ok();
    }
}

#[test]
fn only_what_is_proven_to_be_kept_is_removed_and_nothing_behind_a_link() {
    let restored = Restored::new();
    let (world, id) = (&restored.world, restored.id());
    let copies = restored.copies();
    world
        .kd(&["--quiet", "restore", "--discard-safety", "all"])
        .stderr("--yes")
        .code(2);
    world
        .kd(&["--quiet", "restore", "--discard-safety", &id, "--dry-run"])
        .stdout("Would remove")
        .ok();
    restored
        .restore(&["--discard-safety", "2001-01-01T00-00-00Z"])
        .stderr("nothing is kept of")
        .code(4);
    world
        .kd(&[
            "--quiet",
            "restore",
            "--yes",
            "--discard-safety",
            "all",
            "--unit",
            "nobody",
        ])
        .stdout_any()
        .ok();
    assert!(copies.iter().all(|copy| copy.exists()));

    // Somebody puts a link in the place of a copy, and another one into a copy.
    let mine = world.dir("mine");
    write(&mine, "mine");
    let folder = copies
        .iter()
        .find(|copy| copy.parent() == restored.targets[0].parent())
        .unwrap();
    let moved = world.path("moved");
    let volume = folder.parent().unwrap().join("moved");
    fs::rename(folder, &volume).unwrap();
    std::os::unix::fs::symlink(&mine, folder).unwrap();
    std::os::unix::fs::symlink(&mine, volume.join("link")).unwrap();
    let states: Vec<Value> = restored
        .listed()
        .into_iter()
        .map(|mut copy| copy["state"].take())
        .collect();
    assert!(states.contains(&"changed".into()), "{states:?}");
    restored
        .restore(&["--discard-safety", &id])
        .stdout_any()
        .stderr("is not what the restore left there")
        .stderr("--list-safety")
        .code(3);
    restored
        .restore(&["--undo", &id])
        .stderr("was replaced by hand")
        .stderr("nothing was changed")
        .code(3);
    restored.assert_is(&restored.saved);
    fs::remove_file(folder).unwrap();
    fs::rename(&volume, folder).unwrap();
    assert!(!moved.exists());

    restored
        .restore(&["--discard-safety", &id])
        .stdout("Removed")
        .ok();
    assert!(copies.iter().all(|copy| !copy.exists()));
    assert_eq!(fs::read_to_string(mine.join("generation")).unwrap(), "mine");
    restored.assert_is(&restored.saved);
    restored
        .restore(&["--undo", "latest"])
        .stderr("nothing is kept of")
        .code(4);
}

#[test]
fn what_was_touched_by_hand_is_not_put_back_and_what_was_new_stays() {
    let restored = Restored::new();
    let (world, stack, id) = (&restored.world, &restored.stack, restored.id());
    // An editor replaces the file.
    let compose = &restored.targets[3];
    let restored_file = fs::read(compose).unwrap();
    fs::rename(compose, world.path("aside")).unwrap();
    fs::write(compose, "mine").unwrap();
    restored
        .restore(&["--undo", &id])
        .stderr("is not what that restore put there")
        .stderr("nothing was changed")
        .code(3);
    assert_eq!(fs::read(compose).unwrap(), b"mine");
    fs::rename(world.path("aside"), compose).unwrap();
    assert_eq!(fs::read(compose).unwrap(), restored_file);
    // A copy is removed by hand.
    let copy = restored
        .copies()
        .into_iter()
        .find(|copy| copy.is_file())
        .unwrap();
    fs::remove_file(&copy).unwrap();
    assert!(restored.listed().iter().any(|copy| copy["state"] == "gone"));
    restored
        .restore(&["--undo", &id])
        .stderr("is gone")
        .stderr("nothing was changed")
        .code(3);
    restored.assert_is(&restored.saved);

    // One that no record tells of is listed, and not touched.
    let record = world.path("state/restored").join(format!("{id}.json"));
    let hidden = world.path("hidden.json");
    fs::rename(&record, &hidden).unwrap();
    let listed = restored.listed();
    assert_eq!(listed.len(), 2, "{listed:#?}");
    assert!(
        listed
            .iter()
            .all(|copy| copy["state"] == "unrecorded" && copy["restore_id"] == id.as_str())
    );
    restored
        .restore(&["--discard-safety", "all"])
        .stdout_any()
        .ok();
    assert_eq!(restored.listed(), listed);

    // All is missing: nothing is kept, and nothing is there to be put back.
    let disk = &restored.targets[2];
    stack.wipe();
    let args = ["--backup-id", "latest", "--volume", &stack.volume("data")];
    restored.restore(&args).stdout_any().ok();
    assert!(restored.listed().is_empty(), "{:#?}", restored.listed());
    restored
        .restore(&["--undo", "latest"])
        .stderr("nothing was there before it")
        .code(3);
    write(disk, "changed again");
    restored
        .restore(&["--backup-id", "latest"])
        .stdout_any()
        .stderr_any()
        .ok();
    let done = restored
        .restore(&["--undo", "latest"])
        .stderr_any()
        .stdout_any()
        .ok();
    assert!(
        done.stderr().contains(&format!(
            "volume `{}` was not there before: it stays",
            stack.volume("cache")
        )),
        "{done}"
    );
    let read = |path: &Path| fs::read_to_string(path.join("generation")).unwrap();
    assert_eq!(read(disk), "changed again");
    assert_eq!(read(&stack.volume_path("cache")), "saved");
}
