//! Restore points of the Python tool: a repository that it wrote, and points like its own, made by plain Kopia.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::common::{Run, Signal, Stack, World, oracle};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

const RUNS: [&str; 5] = [
    "09b4417c-dac5-44a9-b5ef-b3981f2d6ba7",
    "af573bc0-7711-4c8a-8e1f-ef33908a8084",
    "ea491b5f-2c8c-4a16-82c8-83a8f9c6f029",
    "573f5c05-1d4c-4be0-b0b9-868c5ce18ccb",
    "4c36c9b9-4b9a-417e-8bb2-dc243829a0a5",
];

/// Connected to a copy of the repository that the Python tool wrote.
fn recorded() -> World {
    let world = World::new();
    Run::new("tar")
        .env("PATH", crate::common::path())
        .args(["--extract", "--gzip", "--file"])
        .arg(Path::new(DATA).join("python-7.9.0.tar.gz"))
        .arg("--directory")
        .arg(world.path(""))
        .ok();
    world.config(|config| {
        let place = world.path("compat-repo");
        config["kopia"]["kopia_params"] = format!("filesystem --path {}", place.display()).into();
        config["kopia"]["password"] = "compat-test-only".into();
    });
    world.init();
    world
}

fn restore_recorded(world: &World, id: &str, more: &[&str]) -> Run {
    let args = [
        &["--quiet", "restore", "--unit", "tiny", "--backup-id", id],
        &["--host", "compat-host"][..],
        more,
    ];
    world.kd(&args.concat())
}

/// The lines of `python-7.9.0.expected` for `name`; `keep` cuts each to what a format kept.
fn expected(name: &str, keep: impl Fn(&str) -> String) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(DATA).join("python-7.9.0.expected")).unwrap();
    let (_, rest) = text.split_once(&format!("== {name}\n")).unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with("== "));
    lines
        .map(|line| {
            keep(
                line.split("  xattr=")
                    .next()
                    .unwrap()
                    .split("  hardlinks=")
                    .next()
                    .unwrap(),
            )
        })
        .collect()
}

fn without_time(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let time = ["0.000000000"];
    [&words[..2], &time, &words[3..]].concat().join(" ")
}

/// The tree below `root`, in the form of `python-7.9.0.expected`.
fn lines(root: &Path) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let name = if name.is_empty() { "." } else { name };
        let what = if meta.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            "dir  -".to_owned()
        } else if meta.is_symlink() {
            format!("link -> {}", fs::read_link(&path).unwrap().display())
        } else {
            let mut sum = "file ".to_owned();
            for byte in Sha256::digest(fs::read(&path).unwrap()) {
                write!(sum, "{byte:02x}").unwrap();
            }
            sum
        };
        lines.insert(format!(
            "{:04o} {}:{} {}.{:09} {what} {name}",
            meta.mode() & 0o7777,
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        ));
    }
    lines
}

#[test]
fn points_of_the_python_tool_are_listed_with_the_rest() {
    let world = recorded();
    let points = world
        .kd(&["list", "--snapshots", "--all-hosts", "--json"])
        .json();
    let points = points["points"].as_array().unwrap();
    let ids: Vec<&str> = points
        .iter()
        .map(|p| p["backup_id"].as_str().unwrap())
        .collect();
    let newest_first: Vec<&str> = RUNS.into_iter().rev().collect();
    assert_eq!(ids, newest_first);
    for point in points {
        let is_minimal = point["backup_id"] == RUNS[2];
        assert_eq!(point["state"], if is_minimal { "partial" } else { "whole" });
        assert_eq!(point["grade"], "unproven");
        assert_eq!(point["made_by"], "kopi-docka (Python)");
        assert_eq!(point["identity"], "root@compat-host");
    }
    assert_eq!(points[4]["time"], "2026-11-22T04:01:03.565543610Z");
    assert!(
        points[2]["problems"][0]
            .as_str()
            .unwrap()
            .contains("minimal")
    );
    world
        .kd(&["list", "--snapshots", "--all-hosts"])
        .stdout(RUNS[0])
        .stdout("unproven")
        .stdout("PARTIAL")
        .stdout("root@compat-host (Python)")
        .ok();
    world
        .kd(&["list", "--snapshots"])
        .stdout("No restore points of this host")
        .ok();

    let latest = restore_recorded(&world, "latest", &["--dry-run", "--json"]);
    let plan = latest.json()["plan"].take();
    assert_eq!(plan["backup_id"], RUNS[4]);
    assert_eq!(plan["made_by"], "kopi-docka (Python)");
    assert_eq!(plan["grade"], "unproven");
    let warnings = plan["warnings"].to_string();
    for told in ["times of files", "hard links", "nothing proves"] {
        assert!(warnings.contains(told), "{told}: {warnings}");
    }
    // Compose has these values from its own files.
    assert!(!warnings.contains("API_TOKEN"), "{warnings}");
    let files: Vec<&str> = plan["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["path"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["/opt/tiny/compose.yaml", "/opt/tiny/.env"]);
    restore_recorded(&world, RUNS[3], &["--dry-run"])
        .stderr("daemon.json")
        .stdout("made by root@compat-host (Python)")
        .stderr_any()
        .ok();
}

#[test]
fn a_recorded_unit_is_restored_whole_and_to_the_byte() {
    let world = recorded();
    for (number, contents) in [(0, "v1"), (1, "v2"), (4, "v2")] {
        let project = world.name(&format!("p{number}"));
        let home = world.path(format!("home-{number}"));
        let to = [
            "--target",
            home.to_str().unwrap(),
            "--project",
            &project,
            "--yes",
        ];
        restore_recorded(&world, RUNS[number], &to)
            .stderr_any()
            .ok();
        let is_tar = number == 4;
        let keep = |line: &str| {
            if is_tar {
                without_time(line)
            } else {
                line.to_owned()
            }
        };
        for volume in ["data", "conf"] {
            let name = format!("{project}_{volume}");
            let inspect = world.docker(&["volume", "inspect", &name]).json()[0].take();
            assert_eq!(inspect["Labels"]["com.docker.compose.project"], project);
            assert_eq!(inspect["Labels"]["com.docker.compose.volume"], volume);
            let root = PathBuf::from(inspect["Mountpoint"].as_str().unwrap());
            let expected = expected(&format!("{contents} tiny_{volume}"), keep);
            assert_eq!(lines(&root), expected, "run {number}");
            if volume == "data" && is_tar {
                let tree = oracle::manifest(&root);
                assert_eq!(tree.entry("x").xattrs[&b"user.k"[..]], b"v");
                assert!(
                    tree.entry("acl")
                        .xattrs
                        .contains_key(&b"system.posix_acl_access"[..])
                );
                assert_eq!(tree.entry("hard1").links.len(), 2);
            }
        }
        let bind = format!("{contents} /opt/tiny/bind");
        assert_eq!(lines(&home.join("bind")), expected(&bind, str::to_owned));
        assert!(home.join("compose.yaml").is_file());
        assert_eq!(
            fs::read_to_string(home.join(".env")).unwrap(),
            "GREETING=hello\n"
        );
    }
}

#[test]
fn old_points_are_read_back_by_verify_whatever_form_they_have() {
    let world = recorded();
    for id in [RUNS[0], RUNS[4]] {
        let args = ["verify", "--json", "--unit", "tiny", "--backup-id", id];
        let done = world
            .kd(&[&args[..], &["--host", "compat-host"]].concat())
            .stdout_any()
            .ok();
        let report = done.json_lines().pop().unwrap()["report"].take();
        let point = &report["points"][0];
        assert_eq!(point["result"], "good", "{report}");
        assert_eq!(point["percent"], 100);
        assert_eq!(point["sources"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn data_without_a_recipe_is_restored_by_naming_it() {
    let world = recorded();
    restore_recorded(&world, RUNS[2], &["--yes"])
        .stderr("is not whole")
        .stderr("scope `minimal`")
        .stderr("--volume tiny_conf --volume tiny_data --volume /opt/tiny/bind")
        .code(3);
    restore_recorded(&world, RUNS[2], &["--recipe", "--dry-run"])
        .stderr("no recipe")
        .code(3);
    let folder = world.path("out");
    let to = ["--target", folder.to_str().unwrap(), "--yes"];
    let only = ["--volume", "tiny_data", "--volume", "/opt/tiny/bind"];
    restore_recorded(&world, RUNS[2], &[&to[..], &only].concat())
        .stderr_any()
        .ok();
    let of = |name: &str| expected(&format!("v2 {name}"), str::to_owned);
    assert_eq!(lines(&folder.join("volumes/tiny_data")), of("tiny_data"));
    assert_eq!(
        lines(&folder.join("binds/opt/tiny/bind")),
        of("/opt/tiny/bind")
    );

    let pieces = world.path("pieces");
    let to = [
        "--target",
        pieces.to_str().unwrap(),
        "--yes",
        "--volume",
        "tiny_data",
    ];
    let paths = [
        "--path",
        "sub",
        "--path",
        "sub/b.bin",
        "--path",
        "link",
        "--path",
        "suid",
    ];
    restore_recorded(&world, RUNS[2], &[&to[..], &paths].concat())
        .stderr_any()
        .ok();
    let wanted: BTreeSet<String> = of("tiny_data")
        .into_iter()
        .filter(|line| {
            [" .", " sub", " sub/b.bin", " link", " suid"]
                .iter()
                .any(|end| line.ends_with(end))
        })
        .collect();
    assert_eq!(lines(&pieces.join("volumes/tiny_data")), wanted);
    let to = [
        "--target",
        pieces.to_str().unwrap(),
        "--yes",
        "--volume",
        "tiny_conf",
    ];
    restore_recorded(&world, RUNS[2], &[&to[..], &["--path", "nothing"]].concat())
        .stderr("not all of these paths are in the restore point")
        .stderr_any()
        .code(4);
}

/// A unit of this host with points like those of the Python tool: `one` is saved file by file, `two` as a tar stream.
struct Old {
    world: World,
    stack: Stack,
    host: String,
    one: PathBuf,
    two: PathBuf,
    bind: PathBuf,
    file: PathBuf,
}

impl Old {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let bind = world.dir("binds/folder");
        let file = world.dir("binds/single").join("app.conf");
        fs::write(&file, "saved").unwrap();
        let stack = world
            .stack("web")
            .service("db", |s| {
                s.volume("one", "/one")
                    .volume("two", "/two")
                    .bind(&bind, "/bind")
                    .bind(&file, "/etc/app.conf")
            })
            .up();
        let identity = world.kd(&["repo-status", "--json"]).json();
        let identity = identity["identity"].as_str().unwrap();
        Self {
            host: identity.split_once('@').unwrap().1.to_owned(),
            one: stack.volume_path("one"),
            two: stack.volume_path("two"),
            bind,
            file,
            stack,
            world,
        }
    }

    /// What a copy can lose, where the format keeps it.
    fn fill(&self, text: &str) {
        for folder in [&self.one, &self.two, &self.bind] {
            fs::write(folder.join("generation"), text).unwrap();
        }
        fs::write(&self.file, text).unwrap();
    }

    fn generations(&self) -> [String; 4] {
        let files = [&self.one, &self.two, &self.bind].map(|folder| folder.join("generation"));
        let [one, two, bind] = files.map(|file| fs::read_to_string(file).unwrap());
        [one, two, bind, fs::read_to_string(&self.file).unwrap()]
    }

    /// As `root` of this host; returns the root object.
    fn snapshot(&self, place: &str, args: &[&str], tags: &[&str], stdin: &[u8]) -> String {
        let source = format!("--override-source=root@{}:{place}", self.host);
        let unit = format!("--tags=unit:{}", self.stack.unit());
        let tags: Vec<String> = tags.iter().map(|tag| format!("--tags={tag}")).collect();
        let mut all = vec!["snapshot", "create", "--json", &source, &unit];
        all.extend(args);
        all.extend(tags.iter().map(String::as_str));
        let manifest = self.world.kopia(&all).stdin(stdin).stderr_any().json();
        manifest["rootEntry"]["obj"].as_str().unwrap().to_owned()
    }

    fn save_direct(&self, id: &str) {
        let (volume, path) = (self.stack.volume("one"), self.one.to_str().unwrap());
        let tags = [
            format!("backup_id:{id}"),
            format!("volume:{volume}"),
            "type:volume".to_owned(),
            "backup_format:direct".to_owned(),
        ];
        self.snapshot(path, &[path], &tags.each_ref().map(String::as_str), b"");
    }

    /// As before version 5: no format, no scope.
    fn save_tar(&self, id: &str) {
        let volume = self.stack.volume("two");
        let tags = [
            format!("backup_id:{id}"),
            format!("volume:{volume}"),
            "type:volume".to_owned(),
            "timestamp:2025-01-31T23:59:59".to_owned(),
        ];
        let tar = Run::new("tar")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args([
                "--create",
                "--file=-",
                "--numeric-owner",
                "--xattrs",
                "--acls",
            ])
            .args([
                "--one-file-system",
                "--mtime=@0",
                "--clamp-mtime",
                "--sort=name",
                "-C",
            ])
            .arg(&self.two)
            .arg(".")
            .stdout_any()
            .ok();
        let name = format!("--stdin-file=volumes/{}/{volume}", self.stack.unit());
        let tags = tags.each_ref().map(String::as_str);
        self.snapshot("/root/-", &["/root/-", &name], &tags, tar.stdout_bytes());
    }

    fn save_binds(&self, id: &str) {
        for path in [&self.bind, &self.file] {
            let path = path.to_str().unwrap();
            let tags = [
                format!("backup_id:{id}"),
                format!("bind_source:{path}"),
                "type:bind".to_owned(),
                "bind_destination:/x".to_owned(),
            ];
            self.snapshot(path, &[path], &tags.each_ref().map(String::as_str), b"");
        }
    }

    fn save_recipe(&self, id: &str, edit: impl FnOnce(&mut Value)) {
        let folder = self.world.dir(format!("staging-{id}"));
        let mut inspect = self.stack.inspect("db");
        let compose = self.stack.dir().join("docker-compose.yml");
        inspect["Config"]["Labels"]["com.docker.compose.project.working_dir"] =
            self.stack.dir().to_str().unwrap().into();
        inspect["Config"]["Labels"]["com.docker.compose.project.config_files"] =
            compose.to_str().unwrap().into();
        edit(&mut inspect);
        fs::write(
            folder.join("web-db-1_inspect.json"),
            json!([inspect]).to_string(),
        )
        .unwrap();
        fs::write(folder.join("docker-compose.yml"), "saved: compose\n").unwrap();
        let tags = [format!("backup_id:{id}"), "type:recipe".to_owned()];
        let tags = tags.each_ref().map(String::as_str);
        self.snapshot("/tmp/tmpabcd", &[folder.to_str().unwrap()], &tags, b"");
    }

    fn save(&self, id: &str) {
        self.save_recipe(id, |_| {});
        self.save_direct(id);
        self.save_tar(id);
        self.save_binds(id);
    }

    fn restore(&self, id: &str, more: &[&str]) -> Run {
        let unit = self.stack.unit();
        let args = ["--quiet", "restore", "--unit", unit, "--backup-id", id];
        self.world.kd(&[&args[..], more].concat())
    }

    /// Nothing of a restore is left beside the targets.
    fn assert_clean(&self) {
        for target in [&self.one, &self.two, &self.bind, &self.file] {
            for entry in fs::read_dir(target.parent().unwrap()).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(!name.contains(".kopi-docka-"), "{name}");
            }
        }
    }
}

#[test]
fn an_old_point_takes_the_place_of_what_is_there_whole() {
    let old = Old::new();
    old.fill("saved");
    let odd = old.one.join("a\nb 'ü\" *");
    fs::create_dir(&odd).unwrap();
    symlink("/etc/passwd", odd.join("link")).unwrap();
    fs::write(odd.join("secret"), "x").unwrap();
    std::os::unix::fs::chown(odd.join("secret"), Some(70), Some(71)).unwrap();
    fs::set_permissions(odd.join("secret"), fs::Permissions::from_mode(0o4000)).unwrap();
    fs::write(odd.join("closed"), "x").unwrap();
    fs::set_permissions(odd.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o2711)).unwrap();
    fs::hard_link(old.two.join("generation"), old.two.join("again")).unwrap();
    let before = [&old.one, &old.bind, &old.file].map(|path| oracle::manifest(path));
    // Before 5.0 ids were times, as ours are.
    let ids = [
        "2025-01-31T23-59-59Z",
        "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    ];
    for id in ids {
        old.save(id);
    }
    let listed = old.restore(ids[0], &["--list", "--json"]).stdout_any().ok();
    let listed = listed.json_lines();
    let paths: Vec<&str> = listed
        .iter()
        .filter_map(|line| line["entry"]["path"].as_str())
        .collect();
    let file = old.file.file_name().unwrap().to_str().unwrap();
    for path in ["generation", "again", "a\nb 'ü\" */secret", file] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    assert_eq!(listed.last().unwrap()["exit_code"], 0);
    for id in ids {
        old.fill("changed");
        fs::remove_dir_all(&odd).unwrap();
        fs::remove_file(old.two.join("again")).unwrap();
        old.restore(id, &["--yes"]).stderr_any().ok();
        assert_eq!(old.generations(), ["saved"; 4].map(str::to_owned), "{id}");
        let after = [&old.one, &old.bind, &old.file].map(|path| oracle::manifest(path));
        for (before, after) in before.iter().zip(&after) {
            before.assert_same(after);
        }
        assert_eq!(fs::metadata(old.two.join("again")).unwrap().nlink(), 2);
        assert_eq!(fs::metadata(old.two.join("again")).unwrap().mtime(), 0);
        let compose = fs::read_to_string(old.stack.dir().join("docker-compose.yml")).unwrap();
        assert_eq!(compose, "saved: compose\n");
        assert_eq!(
            old.stack.exec("db", &["cat", "/one/generation"]).text(),
            "saved"
        );
    }
    // Whichever tool made it, the newest is the newest.
    let latest = |old: &Old| {
        let args = ["--dry-run", "--json"];
        old.restore("latest", &args).json()["plan"]["made_by"].take()
    };
    assert_eq!(latest(&old), "kopi-docka (Python)");
    old.world.backup(&old.stack);
    assert_eq!(latest(&old), "kopi-docka");
}

#[test]
fn what_an_old_point_lacks_is_said_and_the_newest_of_doubles_counts() {
    let old = Old::new();
    old.fill("older");
    old.save_recipe("a", |inspect| {
        let more = json!({"Type": "volume", "Name": "web_gone", "Driver": "local", "Destination": "/gone"});
        inspect["Mounts"].as_array_mut().unwrap().push(more);
    });
    old.save("b");
    old.fill("saved");
    old.save("b");
    let points = old.world.points();
    let state = |id: &str| {
        let all = points["points"].as_array().unwrap();
        all.iter().find(|point| point["backup_id"] == id).unwrap()["state"].clone()
    };
    assert_eq!(state("b"), "whole");
    let (one, two) = (old.stack.volume("one"), old.stack.volume("two"));
    old.restore("a", &["--dry-run"])
        .stderr("it lacks volume `web_gone`")
        .stderr(format!("it lacks volume `{one}`"))
        .stderr(format!("it lacks volume `{two}`"))
        .stderr("take another point")
        .code(3);
    old.fill("changed");
    old.restore("b", &["--yes"]).stderr_any().ok();
    assert_eq!(old.generations(), ["saved"; 4].map(str::to_owned));
}

#[test]
fn a_folder_with_a_name_that_leads_out_of_it_is_refused() {
    let old = Old::new();
    old.fill("here");
    let volume = old.stack.volume("one");
    for (number, hostile) in [
        "../escaped",
        "../../escaped",
        "/escaped",
        "sub/escaped",
        "..",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("hostile-{number}");
        let tags = [
            format!("backup_id:{id}"),
            format!("volume:{volume}"),
            "type:volume".to_owned(),
            "backup_format:direct".to_owned(),
        ];
        let name = format!("--stdin-file={hostile}");
        let tags = tags.each_ref().map(String::as_str);
        old.snapshot("/hostile", &["/hostile", &name], &tags, b"evil");
        old.restore(&id, &["--yes", "--volume", &volume])
            .stderr("cannot be a name")
            .stderr("is as it was")
            .stderr_any()
            .code(3);
        assert_eq!(old.generations(), ["here"; 4].map(str::to_owned));
        old.assert_clean();
        assert!(!Path::new("/escaped").exists());
    }
}

/// `kopia`, but what it restores of plain files goes another way.
fn kopia_that(world: &World, script: &str) -> std::ffi::OsString {
    let script =
        format!("case \" $* \" in *' restore '*) {script};; *) exec \"$REAL\" \"$@\";; esac");
    world.stand_in("kopia", &script)
}

#[test]
fn a_restore_of_plain_files_that_fails_or_is_ended_changes_nothing() {
    let old = Old::new();
    old.fill("saved");
    old.save("b");
    old.fill("changed");
    let watch = old.world.watch();
    let target = "for target; do :; done";
    for (script, expected) in [
        ("exit 1".to_owned(), "status 1"),
        ("exit 0".to_owned(), "did not restore"),
        ("kill -9 $$".to_owned(), "signal 9"),
        ("exec sleep 600".to_owned(), "no byte came for 6 s"),
        (
            format!("{target}; \"$REAL\" \"$@\"; echo more >\"$target/more\""),
            "is not in the snapshot",
        ),
        (
            format!("{target}; \"$REAL\" \"$@\"; echo longer >>\"$target/generation\""),
            "not what the snapshot says",
        ),
    ] {
        let stall = if expected.contains("6 s") { 6 } else { 60 };
        old.world
            .config(|config| config["backup"]["stall_timeout"] = stall.into());
        let done = old
            .restore("b", &["--yes"])
            .env("PATH", kopia_that(&old.world, &script))
            .stderr_any()
            .run();
        assert!(matches!(done.code, Some(3 | 15 | 17)), "{script}\n{done}");
        assert!(done.stderr().contains(expected), "{script}\n{done}");
        assert_eq!(
            old.generations(),
            ["changed"; 4].map(str::to_owned),
            "{script}"
        );
        old.assert_clean();
    }
    old.world
        .config(|config| config["backup"]["stall_timeout"] = 60.into());
    for signal in [Signal::TERM, Signal::KILL] {
        let running = old
            .restore("b", &["--yes"])
            .env("PATH", kopia_that(&old.world, "exec sleep 600"))
            .stderr_any()
            .spawn();
        old.world.process(&["sleep", "600"]);
        running.signal(signal);
        let done = running.wait();
        assert_ne!(done.code, Some(0), "{done}");
        old.world.until_no_process_is_left();
        assert_eq!(old.generations(), ["changed"; 4].map(str::to_owned));
        old.world
            .kd(&["--quiet", "recover"])
            .stdout_any()
            .stderr_any()
            .ok();
        old.assert_clean();
    }
    watch.events().assert_untouched();
    old.restore("b", &["--yes"]).stderr_any().ok();
    assert_eq!(old.generations(), ["saved"; 4].map(str::to_owned));
}
