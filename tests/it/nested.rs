//! Sources that lie in one another, on one file system or on several: all of them come back, whatever is mounted by then, and what was not
//! asked for stays.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{PASSWORD, Run, Stack, World, mount, unmount};

const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What is where in `app`, with the way that each comes into the unit.
const PLACES: [&str; 7] = [
    "own",
    "plain/bind",
    "plain/volume",
    "disk",
    "deep/er/disk",
    "btr/sub",
    "btr/own",
];

/// A stack whose data lies in one another.
struct Nest {
    world: World,
    stack: Stack,
    /// The outermost bind mount.
    app: PathBuf,
    volume: String,
}

/// Paths and contents, modes and owners of everything below `root`; without what file systems and restores have there.
fn tree(root: &Path) -> BTreeMap<PathBuf, (String, u32, u32)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == "lost+found" || name.contains(".kopi-docka-") {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).unwrap();
            let text = if metadata.is_dir() {
                open.push(path.clone());
                "/".to_owned()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            let below = path.strip_prefix(root).unwrap().to_owned();
            found.insert(below, (text, metadata.mode() & 0o7777, metadata.uid()));
        }
    }
    found
}

/// A disk whose image lies beside what is saved.
fn ext4(world: &World, name: &str, place: &str) {
    let image = world.path(format!("{name}.image"));
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let make = Run::new("mkfs.ext4").env("PATH", SYSTEM_PATH);
    make.args(["-q", "-m0", "-b4096"]).arg(&image).ok();
    mount(world, place, &["-o", "loop", image.to_str().unwrap()]);
}

impl Nest {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let app = world.dir("app");
        for folder in [
            "own",
            "plain/bind",
            "plain/volume",
            "disk",
            "deep/er/disk",
            "deep/beside",
        ] {
            fs::create_dir_all(app.join(folder)).unwrap();
        }
        ext4(&world, "one", "app/disk");
        ext4(&world, "two", "app/deep/er/disk");
        let image = world.path("btr.image");
        fs::File::create(&image)
            .unwrap()
            .set_len(128 << 20)
            .unwrap();
        let btrfs = |args: &[&str]| Run::new("btrfs").env("PATH", SYSTEM_PATH).args(args);
        Run::new("mkfs.btrfs")
            .env("PATH", SYSTEM_PATH)
            .arg("-q")
            .arg(&image)
            .stdout_any()
            .ok();
        fs::create_dir(app.join("btr")).unwrap();
        mount(&world, "app/btr", &["-o", "loop", image.to_str().unwrap()]);
        let sub = app.join("btr/sub");
        btrfs(&["subvolume", "create", sub.to_str().unwrap()])
            .stdout_any()
            .ok();
        fs::create_dir(app.join("btr/own")).unwrap();
        let device = app.join("plain/volume");
        let volume = world.volume("bound", |v| {
            v.option("type", "none")
                .option("o", "bind")
                .option("device", device.to_str().unwrap())
        });
        let stack = world
            .stack("web")
            .service("db", |s| {
                s.bind(&app, "/app")
                    .bind(app.join("plain/bind"), "/bind")
                    .bind(app.join("disk"), "/disk")
                    .bind(app.join("deep/er/disk"), "/deep")
                    .bind(app.join("btr"), "/btr")
                    .bind(&sub, "/sub")
                    .external(&volume, "/volume")
                    .volume("data", "/data")
            })
            .up();
        let nest = Self {
            world,
            stack,
            app,
            volume,
        };
        nest.set("saved");
        nest
    }

    /// Another content everywhere, with other modes and owners.
    fn set(&self, text: &str) {
        for place in PLACES {
            let folder = self.app.join(place);
            fs::write(folder.join("file"), text).unwrap();
            fs::write(folder.join(format!("only {text}")), text).unwrap();
            let other = if text == "saved" { "changed" } else { "saved" };
            let _ = fs::remove_file(folder.join(format!("only {other}")));
            fs::set_permissions(
                &folder,
                fs::Permissions::from_mode(0o700 + text.len() as u32),
            )
            .unwrap();
            std::os::unix::fs::chown(&folder, Some(text.len() as u32), Some(7)).unwrap();
        }
        fs::write(self.app.join("deep/beside/file"), text).unwrap();
        for way in ["deep", "deep/er"] {
            let mode = if text == "saved" { 0o751 } else { 0o700 };
            fs::set_permissions(self.app.join(way), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    fn tree(&self) -> BTreeMap<PathBuf, (String, u32, u32)> {
        tree(&self.app)
    }

    fn kd(&self, args: &[&str]) -> Run {
        let fixed = [
            "--quiet",
            "restore",
            "--yes",
            "--backup-id",
            "latest",
            "--unit",
        ];
        self.world.kd(&fixed).arg(self.stack.unit()).args(args)
    }

    fn plan(&self, args: &[&str]) -> Value {
        let fixed = [
            "--json",
            "restore",
            "--dry-run",
            "--backup-id",
            "latest",
            "--unit",
        ];
        let plan = self.world.kd(&fixed).arg(self.stack.unit()).args(args);
        plan.stderr_any().json()["plan"].take()
    }

    fn path(&self, below: &str) -> String {
        self.app.join(below).to_str().unwrap().to_owned()
    }

    fn unmount(&self) {
        self.world
            .docker(&["stop", &self.stack.container("db")])
            .text();
        for disk in ["btr", "deep/er/disk", "disk"] {
            unmount(&self.app.join(disk));
        }
    }

    /// As on a host that has nothing of it.
    fn remove_all(&self) {
        self.world
            .docker(&["rm", "--force", &self.stack.container("db")])
            .text();
        for disk in ["btr", "deep/er/disk", "disk"] {
            if self.app.join(disk).exists() {
                let _ = Run::new("umount")
                    .env("PATH", SYSTEM_PATH)
                    .arg(self.app.join(disk))
                    .stderr_any()
                    .run();
            }
        }
        fs::remove_dir_all(&self.app).unwrap();
        for volume in [self.volume.clone(), self.stack.volume("data")] {
            self.world.docker(&["volume", "rm", &volume]).text();
        }
    }
}

#[track_caller]
fn assert_same(
    saved: &BTreeMap<PathBuf, (String, u32, u32)>,
    now: &BTreeMap<PathBuf, (String, u32, u32)>,
) {
    let all: std::collections::BTreeSet<_> = saved.keys().chain(now.keys()).collect();
    let wrong: Vec<String> = all
        .into_iter()
        .filter(|path| saved.get(*path) != now.get(*path))
        .map(|path| {
            format!(
                "{}: {:?} instead of {:?}",
                path.display(),
                now.get(path),
                saved.get(path)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn everything_comes_back_around_what_is_mounted_and_can_be_taken_back() {
    let nest = Nest::new();
    let saved = nest.tree();
    let report = nest.world.backup(&nest.stack);
    assert_eq!(report["units"][0]["grade"], "ok", "{report:#}");
    nest.set("changed");
    let changed = nest.tree();
    let numbers = |nest: &Nest| {
        ["disk", "deep/er/disk", "btr", "btr/sub"].map(|place| {
            let found = fs::metadata(nest.app.join(place)).unwrap();
            (found.dev(), found.ino())
        })
    };
    let before = numbers(&nest);

    let plan = nest.plan(&[]);
    let left_out = plan["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 1, "{plan:#}");
    assert_eq!(left_out[0]["name"], nest.volume.as_str());
    assert_eq!(
        left_out[0]["restored_with"]["path"],
        nest.path("").trim_end_matches('/')
    );
    let done = nest.kd(&[]).stderr("is restored with it").ok();
    assert!(done.stderr().contains("stays where it is in it"), "{done}");
    assert_same(&saved, &nest.tree());
    assert_eq!(
        numbers(&nest),
        before,
        "disks and subvolumes stay what they are"
    );
    nest.stack.assert_running(&["db"]);
    for at in [
        "/app/own", "/bind", "/disk", "/deep", "/sub", "/btr/own", "/volume",
    ] {
        let seen = nest
            .stack
            .exec("db", &["cat", &format!("{at}/file")])
            .text();
        assert_eq!(seen, "saved", "{at}");
    }

    let undo = ["--quiet", "restore", "--undo", "latest", "--yes"];
    nest.world.kd(&undo).stderr_any().ok();
    assert_same(&changed, &nest.tree());
    assert_eq!(numbers(&nest), before);
    nest.world.kd(&undo).stderr_any().ok();
    assert_same(&saved, &nest.tree());
}

#[test]
fn a_kill_between_any_two_renames_leaves_no_mixture_around_a_disk() {
    let nest = Nest::new();
    let saved = nest.tree();
    nest.world.backup(&nest.stack);
    nest.set("changed");
    let changed = nest.tree();
    for step in [
        "restore_sync",
        "restore_decide",
        "restore_swap_1",
        "restore_move_1",
        "restore_move_4",
        "restore_move_6",
        "restore_move_root",
        "restore_keep",
    ] {
        nest.set("changed");
        let done = nest
            .kd(&[])
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .stderr_any()
            .run();
        assert_eq!(done.signal, Some(9), "{step}\n{done}");
        nest.world
            .kd(&["--quiet", "recover"])
            .stdout_any()
            .stderr_any()
            .ok();
        let is_decided = !matches!(step, "restore_sync" | "restore_decide");
        assert_same(if is_decided { &saved } else { &changed }, &nest.tree());
        nest.stack.assert_running(&["db"]);
    }
}

#[test]
fn disks_that_are_not_mounted_cost_no_data() {
    let nest = Nest::new();
    let saved = nest.tree();
    nest.world.backup(&nest.stack);
    nest.unmount();
    fs::write(nest.app.join("own/file"), "changed").unwrap();
    let done = nest.kd(&[]).stderr("was on a file system of its own").ok();
    assert!(
        done.stderr().contains("which is not mounted there"),
        "{done}"
    );
    assert_same(&saved, &nest.tree());
    let here = fs::metadata(&nest.app).unwrap().dev();
    assert_eq!(fs::metadata(nest.app.join("disk")).unwrap().dev(), here);

    // Again onto plain directories, and a part of it: the rest stays.
    nest.set("changed");
    let mut expected = nest.tree();
    for (path, was) in &saved {
        if path.starts_with("own") || path.starts_with("plain") || path.starts_with("deep/beside") {
            expected.insert(path.clone(), was.clone());
        }
    }
    expected.retain(|path, _| {
        path != Path::new("own/only changed") && !path.ends_with("plain/bind/only changed")
    });
    expected.retain(|path, _| !path.ends_with("plain/volume/only changed"));
    for way in ["deep", "deep/er"] {
        expected.insert(way.into(), saved[Path::new(way)].clone());
    }
    let app = nest.path("");
    let app = app.trim_end_matches('/');
    let plan = nest.plan(&["--volume", app]);
    let reasons: Vec<&str> = plan["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 6, "{plan:#}");
    assert_eq!(
        reasons
            .iter()
            .filter(|reason| **reason == "it was not asked for")
            .count(),
        5
    );
    nest.kd(&["--volume", app])
        .stderr("was not asked for: it stays as it is")
        .ok();
    assert_same(&expected, &nest.tree());
    nest.kd(&["--volume", app, "--volume", &nest.path("disk")])
        .stderr_any()
        .ok();
    let disk = tree(&nest.app.join("disk"));
    assert_eq!(disk[Path::new("file")].0, "saved");
}

#[test]
fn a_host_without_any_of_it_gets_it_all() {
    let nest = Nest::new();
    for path in [&nest.app, &nest.app.join("plain")] {
        std::os::unix::fs::chown(path, Some(1000), Some(1001)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o710)).unwrap();
    }
    let saved = nest.tree();
    nest.world.backup(&nest.stack);
    nest.remove_all();
    // From btrfs to ext4 among others: all is there, and where it was apart is told.
    nest.kd(&[])
        .stderr("was a subvolume of its own (btrfs), which is not there")
        .stderr_any()
        .ok();
    assert_same(&saved, &nest.tree());
    let device = nest
        .world
        .docker(&[
            "volume",
            "inspect",
            "--format",
            "{{.Options.device}}",
            &nest.volume,
        ])
        .text();
    assert_eq!(
        device,
        nest.path("plain/volume"),
        "it is made though its data came with another source"
    );
}

#[test]
fn named_sources_lie_in_one_another_in_a_folder_too() {
    let nest = Nest::new();
    let saved = nest.tree();
    nest.world.backup(&nest.stack);
    let target = nest.world.path("out");
    let app = nest.path("");
    let app = app.trim_end_matches('/');
    let paths = ["disk", "deep/er/disk", "btr", "btr/sub"].map(|place| nest.path(place));
    let mut args = vec!["--target", target.to_str().unwrap(), "--volume", app];
    for path in &paths {
        args.extend(["--volume", path]);
    }
    nest.kd(&args).ok();
    assert_same(
        &saved,
        &tree(&target.join("binds").join(app.trim_start_matches('/'))),
    );

    let inner = nest.world.path("inner");
    let inside = [
        "--target",
        inner.to_str().unwrap(),
        "--volume",
        app,
        "--path",
        "disk/file",
    ];
    nest.kd(&inside)
        .stderr("is not in bind mount")
        .stderr("--volume")
        .code(4);
}

#[test]
fn a_copy_of_the_project_has_all_of_it() {
    let nest = Nest::new();
    // A copy would share this one with the original.
    let stack = nest
        .world
        .stack("copied")
        .service("db", |s| {
            s.bind(&nest.app, "/app")
                .bind(nest.app.join("disk"), "/disk")
                .bind(nest.app.join("btr"), "/btr")
                .bind(nest.app.join("btr/sub"), "/sub")
                .bind(nest.app.join("deep/er/disk"), "/deep")
        })
        .up();
    let saved = nest.tree();
    let backup = nest
        .world
        .kd(&["--quiet", "backup", "--unit", stack.unit()]);
    backup.stdout_any().stderr_any().ok();
    let target = nest.world.path("copy");
    let name = nest.world.name("copy");
    let args = [
        "--quiet",
        "restore",
        "--yes",
        "--backup-id",
        "latest",
        "--unit",
    ];
    let run = nest
        .world
        .kd(&args)
        .arg(stack.unit())
        .arg("--target")
        .arg(&target);
    run.args(["--project", &name])
        .stderr_any()
        .stdout_any()
        .ok();
    let outside = target
        .join("outside")
        .join(nest.app.strip_prefix("/").unwrap());
    assert_same(&saved, &tree(&outside));
}

#[test]
fn scripts_bring_all_of_it_and_take_nothing_away_again() {
    let nest = Nest::new();
    let saved = nest.tree();
    nest.world.backup(&nest.stack);
    nest.remove_all();
    let folder = nest.world.path("by hand");
    let args = ["--quiet", "restore", "--backup-id", "latest", "--unit"];
    let run = nest.world.kd(&args).arg(nest.stack.unit());
    run.arg("--scripts").arg(&folder).stderr_any().ok();
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sh"))
        .collect();
    scripts.sort();
    assert_eq!(scripts.len(), 7);
    let sh = |script: &Path| {
        Run::new("sh")
            .arg(script)
            .arg("-y")
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", nest.world.path("home"))
            .env("DOCKER_HOST", nest.world.bed.host())
            .env("KOPIA_PASSWORD", PASSWORD)
            .env("TMPDIR", nest.world.dir("tmp"))
    };
    for script in &scripts {
        sh(script).stderr("restored: ").stderr_any().ok();
    }
    assert_same(&saved, &nest.tree());
    // The outermost one alone: what the others brought stays.
    fs::write(nest.app.join("disk/file"), "later").unwrap();
    fs::write(nest.app.join("own/file"), "later").unwrap();
    let outermost = scripts.iter().find(|script| {
        let text = fs::read_to_string(script).unwrap();
        text.contains(&format!("PLACE={}\n", nest.app.display()))
    });
    sh(outermost.unwrap()).stderr_any().ok();
    let now = nest.tree();
    assert_eq!(now[Path::new("disk/file")].0, "later");
    assert_eq!(now[Path::new("own/file")].0, "saved");
    assert_eq!(now[Path::new("btr/sub/file")].0, "saved");
    assert_eq!(now.len(), saved.len());
}

#[test]
fn an_old_point_that_does_not_tell_loses_nothing() {
    let nest = Nest::new();
    let saved = nest.tree();
    nest.world.backup(&nest.stack);
    // As it was written before the record told what lies in what.
    forget_what_is_covered(&nest);
    nest.set("changed");
    nest.kd(&[]).stderr_any().ok();
    assert_same(&saved, &nest.tree());
    nest.remove_all();
    nest.kd(&[]).stderr_any().ok();
    assert_same(&saved, &nest.tree());
}

/// Saves the recipe of the newest point again, without what old ones lack.
fn forget_what_is_covered(nest: &Nest) {
    let points = nest.world.points();
    let point = &points["points"][0];
    let recipe = point["recipe"].as_str().unwrap();
    let copy = nest.world.path("old-recipe");
    nest.world
        .kopia(&["restore", recipe, copy.to_str().unwrap()])
        .stdout_any()
        .stderr_any()
        .ok();
    let file = copy.join("recipe.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for source in record["sources"].as_array_mut().unwrap() {
        let source = source.as_object_mut().unwrap();
        for key in ["covers", "is_included", "directories"] {
            assert!(source.remove(key).is_some(), "{key}");
        }
    }
    fs::write(&file, record.to_string()).unwrap();
    let listed: Vec<Value> = serde_json::from_value(
        nest.world
            .kopia(&["snapshot", "list", "--all", "--json"])
            .stderr_any()
            .json(),
    )
    .unwrap();
    let old = listed
        .iter()
        .find(|one| one["rootEntry"]["obj"] == json!(recipe))
        .unwrap();
    let source = format!(
        "{}@{}:{}",
        old["source"]["userName"].as_str().unwrap(),
        old["source"]["host"].as_str().unwrap(),
        old["source"]["path"].as_str().unwrap()
    );
    let tags: Vec<String> = old["tags"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| {
            let key = key.trim_start_matches("tag:");
            format!("--tags={key}:{}", value.as_str().unwrap())
        })
        .collect();
    let run = nest
        .world
        .kopia(&["snapshot", "create", "--json"])
        .arg(format!("--override-source={source}"));
    run.args(&tags).arg(&copy).stdout_any().stderr_any().ok();
    let id = old["id"].as_str().unwrap();
    nest.world
        .kopia(&["snapshot", "delete", id, "--delete"])
        .stdout_any()
        .stderr_any()
        .ok();
}
