//! Targets that cannot be renamed: their content is replaced where it is, wholly or not at all.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::common::{Manifest, Run, Stack, World, mount, mount_ext4, oracle, torture, unmount};

const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn restore_latest(world: &World, stack: &Stack) -> Run {
    let args = ["--quiet", "restore", "--yes", "--backup-id", "latest"];
    world
        .kd(&args)
        .args(["--unit", stack.unit()])
        .stderr("cannot be renamed")
}

fn ours(target: &Path, mark: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(target)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(mark)
        })
        .collect();
    found.sort();
    found
}

fn staging(target: &Path) -> Vec<PathBuf> {
    ours(target, ".kopi-docka-new-")
}

fn copies(target: &Path) -> Vec<PathBuf> {
    ours(target, ".kopi-docka-before-")
}

/// The tree without the safety copies in it.
fn manifest(target: &Path) -> Manifest {
    let mut manifest = oracle::manifest(target);
    manifest
        .0
        .retain(|path, _| !path.starts_with(b".kopi-docka-before-"));
    manifest
}

fn remove_copies(target: &Path) {
    let before = fs::metadata(target).unwrap().modified().unwrap();
    for copy in copies(target) {
        fs::remove_dir_all(copy).unwrap();
    }
    fs::File::open(target)
        .unwrap()
        .set_modified(before)
        .unwrap();
}

fn empty(target: &Path) {
    for entry in fs::read_dir(target).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("lost+found") {
        } else if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}

fn write(path: &Path, name: &str, text: &str) {
    fs::write(path.join(name), text).unwrap();
}

#[track_caller]
fn assert_nothing_is_left(world: &World) {
    for folder in ["state/restoring", "state/stopped"] {
        let left = fs::read_dir(world.path(folder)).into_iter().flatten();
        assert_eq!(left.count(), 0, "{folder}");
    }
}

#[test]
fn the_root_of_a_file_system_comes_back_to_the_last_attribute_and_keeps_what_was_there() {
    let world = World::new();
    world.init();
    let disk = mount_ext4(&world, "disk", 64);
    let other = mount_ext4(&world, "other", 64);
    let folder = world.dir("folder");
    let itself = mount(&world, "folder", &["--bind", folder.to_str().unwrap()]);
    let bound = world.volume("bound", |v| {
        v.option("type", "none")
            .option("o", "bind")
            .option("device", other.to_str().unwrap())
    });
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.bind(&disk, "/disk")
                .bind(&itself, "/itself")
                .external(&bound, "/bound")
        })
        .up();
    let targets = [&disk, &itself, &other];
    for target in targets {
        torture::plant(target);
        fs::set_permissions(target, fs::Permissions::from_mode(0o2751)).unwrap();
        std::os::unix::fs::chown(target, Some(1234), Some(4321)).unwrap();
        // Names that no text can hold.
        write(target, "two\nlines", "x");
        fs::write(target.join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    }
    let saved = targets.map(|target| manifest(target));
    let inodes = targets.map(|target| fs::metadata(target).unwrap().ino());
    world.backup(&stack);

    for target in targets {
        empty(target);
        write(target, "now", "changed");
        fs::set_permissions(target, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(target, Some(0), Some(0)).unwrap();
    }
    let lost_and_found = fs::metadata(disk.join("lost+found")).unwrap().ino();
    let watch = world.watch();
    let done = restore_latest(&world, &stack).ok();
    assert!(
        done.stderr()
            .contains("another file system is mounted there")
    );
    let events = watch.events();
    assert!(events.window().as_secs() < 5, "{events}");
    stack.assert_running(&["db"]);
    for ((target, saved), inode) in targets.iter().zip(&saved).zip(inodes) {
        saved.assert_same(&manifest(target));
        assert_eq!(fs::metadata(target).unwrap().ino(), inode);
        let copies = copies(target);
        assert_eq!(copies.len(), 1);
        let copy = fs::metadata(&copies[0]).unwrap();
        assert_eq!((copy.mode() & 0o7777, copy.uid()), (0o700, 0));
        let kept: Vec<_> = fs::read_dir(&copies[0]).unwrap().collect();
        assert_eq!(kept.len(), 1, "nothing of the file system's own: {kept:?}");
        assert_eq!(
            fs::read_to_string(copies[0].join("now")).unwrap(),
            "changed"
        );
        assert!(staging(target).is_empty());
    }
    let now = fs::metadata(disk.join("lost+found")).unwrap().ino();
    assert_eq!(now, lost_and_found, "it stays");
    let seen = stack.exec("db", &["cat", "/disk/two\nlines"]).text();
    assert_eq!(seen, "x");
    assert_nothing_is_left(&world);
}

#[test]
fn a_safety_copy_inside_a_target_is_not_saved_with_it_and_what_only_looks_like_one_is() {
    let world = World::new();
    world.init();
    let disk = mount_ext4(&world, "other", 64);
    let bound = world.volume("bound", |v| {
        v.option("type", "none")
            .option("o", "bind")
            .option("device", disk.to_str().unwrap())
    });
    let stack = world
        .stack("web")
        .service("db", |s| s.external(&bound, "/data"))
        .up();
    write(&disk, "file", "saved");
    world.backup(&stack);
    write(&disk, "file", "changed");
    restore_latest(&world, &stack).ok();
    let copy = copies(&disk).remove(0);
    let name = copy.file_name().unwrap().to_str().unwrap().to_owned();
    // Not to the letter, not a directory, not at the root of the source.
    let look_alikes = [
        ".kopi-docka-before-2026-1-2T03-04-05Z",
        ".kopi-docka-new-2026-01-02T03-04-05Z",
        "deeper",
    ];
    fs::create_dir(disk.join(look_alikes[0])).unwrap();
    fs::write(disk.join(look_alikes[1]), "mine").unwrap();
    fs::create_dir_all(disk.join(look_alikes[2]).join(&name)).unwrap();
    write(&disk.join("deeper").join(&name), "mine", "mine");
    let all = |target: &Path| {
        let mut all = oracle::manifest(target);
        // Safety copies of this very test.
        let is_copy = |path: &[u8]| {
            path.starts_with(b".kopi-docka-before-") && path != look_alikes[0].as_bytes()
        };
        all.0.retain(|path, _| !is_copy(path));
        all
    };
    let saved = all(&disk);
    let report = world.backup(&stack);
    let unit = &report["units"][0];
    assert_eq!(unit["grade"], "ok");
    let gap = &unit["gaps"][0];
    assert!(gap["what"].as_str().unwrap().contains(&name), "{unit:#}");
    assert_eq!(gap["is_loss"], false);

    let done = restore_latest(&world, &stack).ok();
    assert!(!done.stderr().contains("without what matches"), "{done}");
    saved.assert_same(&all(&disk));
    assert_eq!(
        fs::read(copy.join("file")).unwrap(),
        b"changed",
        "the first copy stays where it is"
    );
}

/// A stack with a volume that can be renamed and a disk that cannot.
struct Changed {
    world: World,
    stack: Stack,
    disk: PathBuf,
    volume: PathBuf,
    old: Manifest,
    new: Manifest,
}

impl Changed {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let disk = mount_ext4(&world, "disk", 32);
        let stack = world
            .stack("web")
            .service("db", |s| s.bind(&disk, "/disk").volume("data", "/data"))
            .up();
        let volume = stack.volume_path("data");
        write(&disk, "both", "saved");
        fs::create_dir(disk.join("folder")).unwrap();
        write(&disk.join("folder"), "file", "saved");
        write(&disk, "only saved", "saved");
        fs::set_permissions(&disk, fs::Permissions::from_mode(0o750)).unwrap();
        write(&volume, "both", "saved");
        let new = manifest(&disk);
        world.backup(&stack);
        let mut changed = Self {
            world,
            stack,
            disk,
            volume,
            old: new.clone(),
            new,
        };
        changed.change();
        changed.old = manifest(&changed.disk);
        changed
    }

    /// Makes it another one than was saved, always the same.
    fn change(&self) {
        empty(&self.disk);
        write(&self.disk, "both", "changed");
        fs::create_dir(self.disk.join("folder")).unwrap();
        write(&self.disk.join("folder"), "other", "changed");
        fs::set_permissions(&self.disk, fs::Permissions::from_mode(0o705)).unwrap();
        write(&self.volume, "both", "changed");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        for path in ["both", "folder/other", "folder", ""] {
            let file = fs::File::open(self.disk.join(path)).unwrap();
            file.set_modified(time).unwrap();
        }
    }

    #[track_caller]
    fn assert_wholly(&self, is_new: bool, step: &str) {
        let now = manifest(&self.disk);
        if is_new {
            self.new.assert_same(&now);
        } else {
            self.old.assert_same(&now);
        }
        let expected = if is_new { "saved" } else { "changed" };
        let volume = fs::read_to_string(self.volume.join("both")).unwrap();
        assert_eq!(volume, expected, "{step}");
        let seen = self.stack.exec("db", &["cat", "/disk/both"]).text();
        assert_eq!(seen, expected, "{step}: as the service sees it");
        assert_eq!(staging(&self.disk), [""; 0].map(PathBuf::from), "{step}");
        assert_nothing_is_left(&self.world);
    }
}

#[test]
fn killed_between_any_two_renames_it_is_wholly_old_or_wholly_new_after_recover() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let before = ["restore_extract", "restore_decide"];
    // Two old entries, three new ones.
    let moves = (1..=5).map(|number| format!("restore_move_{number}"));
    let after = [
        "restore_swap_2",
        "restore_move_root",
        "restore_keep",
        "restore_forget",
    ];
    let steps = before.into_iter().map(|step| (step.to_owned(), false));
    let steps = steps
        .chain(after.map(|step| (step.to_owned(), true)))
        .chain(moves.map(|step| (step, true)));
    for (step, is_new) in steps {
        let done = restore_latest(world, stack)
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.signal, Some(9), "{step}\n{done}");
        world.kd(&["--quiet", "recover"]).stdout_any().ok();
        stack.assert_running(&["db"]);
        changed.assert_wholly(is_new, &step);
        world.kd(&["recover"]).stdout("Nothing to recover").ok();
        assert_eq!(copies(&changed.disk).len(), usize::from(is_new), "{step}");
        for copy in copies(&changed.disk) {
            let kept = fs::read_to_string(copy.join("folder/other")).unwrap();
            assert_eq!(kept, "changed");
        }
        remove_copies(&changed.disk);
        changed.change();
    }
}

#[test]
fn what_cannot_be_finished_is_taken_back_with_the_folder_s_own_attributes() {
    let changed = Changed::new();
    let (world, stack) = (&changed.world, &changed.stack);
    let killed = |step: &str| {
        let done = restore_latest(world, stack)
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.signal, Some(9), "{done}");
    };
    // What was extracted gets lost.
    killed("restore_move_4");
    let rest = staging(&changed.disk).remove(0).join("data/only saved");
    fs::remove_file(rest).unwrap();
    let done = world
        .kd(&["--quiet", "recover"])
        .stdout_any()
        .stderr_any()
        .ok();
    assert!(done.stderr().contains("is undone"), "{done}");
    changed.assert_wholly(false, "taken back");
    assert!(copies(&changed.disk).is_empty());

    // The disk is not mounted when the host comes up: nothing is started, and nothing is forgotten.
    killed("restore_move_3");
    let image = world.path("disk.image");
    unmount(&changed.disk);
    let done = world
        .kd(&["--quiet", "recover"])
        .stderr("is its file system mounted?")
        .code(18);
    assert!(done.stderr().contains("hint:"), "{done}");
    stack.assert_running(&[]);
    mount(world, "disk", &["-o", "loop", image.to_str().unwrap()]);
    world.kd(&["--quiet", "recover"]).stdout_any().ok();
    changed.assert_wholly(true, "mounted again");

    // All was done but for the journal, and somebody started the services: what they wrote is theirs.
    remove_copies(&changed.disk);
    changed.change();
    killed("restore_note");
    stack.start("db");
    write(&changed.disk, "written since", "newer");
    fs::remove_file(changed.disk.join("both")).unwrap();
    write(&changed.disk, "both", "newer");
    world.kd(&["--quiet", "recover"]).stdout_any().ok();
    for (name, expected) in [
        ("written since", "newer"),
        ("both", "newer"),
        ("only saved", "saved"),
    ] {
        let now = fs::read_to_string(changed.disk.join(name)).unwrap();
        assert_eq!(now, expected, "{name}");
    }
    assert_nothing_is_left(world);
}

#[test]
fn a_disk_that_gets_full_while_it_is_extracted_holds_what_it_held() {
    let world = World::new();
    world.init();
    let disk = mount_ext4(&world, "other", 28);
    let bound = world.volume("bound", |v| {
        v.option("type", "none")
            .option("o", "bind")
            .option("device", disk.to_str().unwrap())
    });
    let stack = world
        .stack("web")
        .service("db", |s| s.external(&bound, "/data"))
        .up();
    fs::write(disk.join("noise"), torture::noise(9 << 20)).unwrap();
    world.backup(&stack);
    write(&disk, "now", "changed");
    let before = oracle::manifest(&disk);
    let watch = world.watch();
    let held = world.hold(
        "restore_extract",
        restore_latest(&world, &stack).stderr_any(),
    );
    let filler = disk.join(".filler");
    fs::write(&filler, torture::noise(10 << 20)).unwrap();
    let done = held.release().wait();
    assert_eq!(done.code, Some(3), "{done}");
    assert!(done.stderr().contains("could not be read back"), "{done}");
    fs::remove_file(filler).unwrap();
    fs::File::open(&disk)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let mut after = oracle::manifest(&disk);
    let mut before = before;
    for manifest in [&mut before, &mut after] {
        manifest.0.get_mut(&b"."[..]).unwrap().mtime = (0, 0);
    }
    before.assert_same(&after);
    watch.events().assert_untouched();
    assert_nothing_is_left(&world);
    // And what does not fit at all is refused before.
    fs::write(disk.join("more"), torture::noise(9 << 20)).unwrap();
    let args = ["--quiet", "restore", "--yes", "--backup-id", "latest"];
    world
        .kd(&args)
        .args(["--unit", stack.unit()])
        .stderr("free, the restore needs")
        .code(3);
}

#[test]
fn a_read_only_parent_is_no_obstacle_and_a_mounted_file_is_refused() {
    let world = World::new();
    world.init();
    let stack = world.stack("web").service("db", |s| {
        s.bind(world.dir("binds/data"), "/data")
            .bind(world.path("binds/one.conf"), "/one.conf")
    });
    fs::write(world.path("binds/one.conf"), "saved").unwrap();
    let stack = stack.up();
    write(&world.path("binds/data"), "file", "saved");
    world.backup(&stack);
    write(&world.path("binds/data"), "file", "changed");
    fs::write(world.path("binds/one.conf"), "changed").unwrap();

    let conf = world.path("binds/one.conf");
    Run::new("mount")
        .env("PATH", SYSTEM_PATH)
        .arg("--bind")
        .arg(world.config_path())
        .arg(&conf)
        .ok();
    let args = ["--quiet", "restore", "--yes", "--backup-id", "latest"];
    let restore = |more: &[&str]| world.kd(&[&args[..], &["--unit", stack.unit()], more].concat());
    restore(&["--volume", conf.to_str().unwrap()])
        .stderr("another file system is mounted there")
        .stderr("nothing was changed")
        .code(3);
    unmount(&conf);

    let data = world.path("binds/data");
    Run::new("chattr")
        .env("PATH", SYSTEM_PATH)
        .arg("+i")
        .arg(world.path("binds"))
        .ok();
    let done = restore(&["--volume", data.to_str().unwrap()])
        .stderr_any()
        .run();
    Run::new("chattr")
        .env("PATH", SYSTEM_PATH)
        .arg("-i")
        .arg(world.path("binds"))
        .ok();
    assert_eq!(done.code, Some(0), "{done}");
    assert!(done.stderr().contains("is read-only"), "{done}");
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "saved");
    let copy = copies(&data).remove(0);
    assert_eq!(fs::read_to_string(copy.join("file")).unwrap(), "changed");
}
