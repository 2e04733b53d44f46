//! A point whose source is made of several parts, each a stream of tar that is extracted over those before it: made by hand, with the
//! real Kopia, since only the format is the matter here.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::{PASSWORD, Run, Stack, World, oracle, path, torture};

/// A service with one volume, of which a point is made.
struct Made {
    world: World,
    stack: Stack,
    volume: PathBuf,
    /// What the parts hold so far.
    held: oracle::Manifest,
    parts: Vec<Value>,
    /// Files of the recipe, by their names in it.
    lists: Vec<(String, Vec<u8>)>,
}

impl Made {
    /// The first part is what a backup stores of the volume as `fill` leaves it.
    fn begin(fill: impl FnOnce(&Path)) -> Self {
        let world = World::new();
        world.init();
        let stack = world
            .stack("web")
            .service("db", |s| s.volume("data", "/data"))
            .up();
        let volume = stack.volume_path("data");
        fill(&volume);
        world.backup(&stack);
        let mut made = Self {
            held: oracle::manifest(&volume),
            world,
            stack,
            volume,
            parts: Vec::new(),
            lists: Vec::new(),
        };
        let mut base = made.record().0["sources"][0]["parts"][0].take();
        base["kind"] = json!("base");
        made.parts.push(base);
        made
    }

    fn snapshots(&self, kind: &str) -> Value {
        let list = ["snapshot", "list", "--all", "--json"];
        let mut all = self.world.kopia(&list).stderr_any().json();
        let all = all.as_array_mut().unwrap();
        all.retain(|one| one["tags"]["tag:type"] == kind);
        all.last().unwrap().clone()
    }

    /// The record of the newest point, and the snapshot that it is in.
    fn record(&self) -> (Value, Value) {
        let snapshot = self.snapshots("recipe");
        let root = snapshot["rootEntry"]["obj"].as_str().unwrap();
        let file = format!("{root}/recipe.json");
        let text = self.world.kopia(&["show", &file]).stderr_any().text();
        (serde_json::from_str(&text).unwrap(), snapshot)
    }

    /// Saves what differs from the parts before, as the next one.
    fn store(&mut self, kind: &str) {
        let now = oracle::manifest(&self.volume);
        let mut listed: BTreeSet<Vec<u8>> = now
            .0
            .iter()
            .filter(|(path, entry)| self.held.0.get(*path) != Some(entry))
            .map(|(path, _)| path.clone())
            .collect();
        for path in listed.clone() {
            listed.extend(now.0[&path].links.clone());
        }
        let is_gone = |path: &Vec<u8>| {
            let there = now.0.get(path).map(|entry| entry.kind);
            there != self.held.0.get(path).map(|entry| entry.kind)
        };
        let gone: BTreeSet<&Vec<u8>> = self.held.0.keys().filter(|path| is_gone(path)).collect();
        let deleted: Vec<Vec<u8>> = gone
            .iter()
            .filter(|path| !above(path).iter().any(|above| gone.contains(above)))
            .map(|path| path.to_vec())
            .collect();
        for path in listed.clone().iter().chain(&deleted) {
            let above = above(path).into_iter();
            listed.extend(above.filter(|path| now.0.contains_key(path)));
        }
        listed.insert(b".".to_vec());
        let had_attributes = |path: &&Vec<u8>| {
            let had = self.held.0.get(*path);
            now.0[*path].kind == "directory" && had.is_some_and(|had| !had.xattrs.is_empty())
        };
        let stripped: Vec<Vec<u8>> = listed.iter().filter(had_attributes).cloned().collect();
        if kind == "final" {
            let stream = self.stream(&listed);
            self.add(kind, &stream, &deleted, &stripped);
        } else {
            self.add_side_by_side(kind, &listed, &now, (&deleted, &stripped));
        }
        self.held = now;
    }

    /// The directories, and two streams with what is in them; all names of a file in one.
    fn add_side_by_side(
        &mut self,
        kind: &str,
        listed: &BTreeSet<Vec<u8>>,
        now: &oracle::Manifest,
        (deleted, stripped): (&[Vec<u8>], &[Vec<u8>]),
    ) {
        let (folders, rest): (BTreeSet<_>, BTreeSet<_>) = listed
            .iter()
            .cloned()
            .partition(|path| now.0[path].kind == "directory");
        let (mut one, mut other) = (BTreeSet::new(), BTreeSet::new());
        for (number, path) in rest.into_iter().enumerate() {
            let is_linked = !now.0[&path].links.is_empty();
            let to = if is_linked || number % 2 == 0 {
                &mut one
            } else {
                &mut other
            };
            to.insert(path);
        }
        let number = self.parts.len();
        let stream = self.stream(&folders);
        self.add("folders", &stream, deleted, stripped);
        for names in [one, other] {
            let stream = self.stream(&names);
            self.add(kind, &stream, &[], &[]);
        }
        for part in self.parts.iter_mut().skip(number) {
            part["group"] = json!(number);
        }
    }

    /// As a run reads a source by names.
    fn stream(&self, names: &BTreeSet<Vec<u8>>) -> Vec<u8> {
        let list = self.world.path("names");
        fs::write(&list, lines(names)).unwrap();
        let mut from = OsString::from("--files-from=");
        from.push(&list);
        let run = Run::new("tar")
            .args(["--create", "--file=-", "--format=posix", "--numeric-owner"])
            .args(["--xattrs", "--xattrs-include=*", "--no-acls"])
            .args(["--sparse", "--sparse-version=0.0"])
            .arg("--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f")
            .arg("--directory")
            .arg(&self.volume)
            .args(["--no-recursion", "--null", "--verbatim-files-from"])
            .arg(from)
            .env("PATH", path());
        run.stdout_any().ok().stdout_bytes().to_owned()
    }

    fn add(&mut self, kind: &str, stream: &[u8], deleted: &[Vec<u8>], stripped: &[Vec<u8>]) {
        let filed = self.snapshots("volume");
        let source = &filed["source"];
        let [user, host, place] =
            ["userName", "host", "path"].map(|name| source[name].as_str().unwrap().to_owned());
        let mut args = vec![
            "snapshot".to_owned(),
            "create".to_owned(),
            "--json".to_owned(),
            place.clone(),
            "--stdin-file=data".to_owned(),
            format!("--override-source={user}@{host}:{place}"),
        ];
        args.extend(tags(&filed, &[]));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let stored = self.world.kopia(&args).stdin(stream).stderr_any().json();
        let mut part = json!({
            "kind": kind, "snapshot": stored["id"], "root": stored["rootEntry"]["obj"], "file": "data",
            "bytes": stream.len(), "delete": [],
        });
        let number = self.parts.len();
        for (field, ending, paths) in [
            ("deleted", "delete", deleted),
            ("stripped", "strip", stripped),
        ] {
            if paths.is_empty() {
                continue;
            }
            let bytes = lines(paths);
            let sha256: String = Sha256::digest(&bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            part[field] = json!({"paths": paths.len(), "sha256": sha256});
            self.lists
                .push((format!("parts/0/{number}.{ending}"), bytes));
        }
        self.parts.push(part);
    }

    /// Saves the recipe anew, in the place of that of the newest point.
    fn finish(&self) {
        let (mut record, old) = self.record();
        record["format"] = json!(2);
        record["sources"][0]["parts"] = json!(self.parts);
        let folder = self.world.path("recipe");
        let _ = fs::remove_dir_all(&folder);
        let root = old["rootEntry"]["obj"].as_str().unwrap();
        let args = ["restore", root, folder.to_str().unwrap()];
        self.world.kopia(&args).stdout_any().stderr_any().ok();
        fs::write(folder.join("recipe.json"), record.to_string()).unwrap();
        let _ = fs::remove_dir_all(folder.join("parts"));
        for (name, bytes) in &self.lists {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), bytes).unwrap();
        }
        let roots: Vec<&str> = self
            .parts
            .iter()
            .map(|part| part["root"].as_str().unwrap())
            .collect();
        let source = &old["source"];
        let [user, host, place] =
            ["userName", "host", "path"].map(|name| source[name].as_str().unwrap());
        let as_whom = format!("--override-source={user}@{host}:{place}");
        let mut args = vec!["snapshot".to_owned(), "create".to_owned()];
        args.extend([folder.to_str().unwrap().to_owned(), as_whom]);
        args.extend(tags(&old, &[("roots", roots.join(","))]));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let delete = [
            "snapshot",
            "delete",
            "--delete",
            old["id"].as_str().unwrap(),
        ];
        for args in [&args[..], &delete] {
            self.world.kopia(args).stdout_any().stderr_any().ok();
        }
    }

    fn restore(&self, more: &[&str]) -> Run {
        self.world.restore_latest(self.stack.unit(), more)
    }

    fn data(&self) -> String {
        self.stack.volume("data")
    }

    /// `--scripts` into the directory that is given back.
    fn write_script(&self) -> (Run, PathBuf) {
        let folder = self.world.path("by hand");
        let unit = self.stack.unit();
        let args = [
            "--quiet",
            "restore",
            "--unit",
            unit,
            "--backup-id",
            "latest",
        ];
        let run = self.world.kd(&args).arg("--scripts").arg(&folder);
        (run, folder)
    }

    /// What an operator runs: a shell, docker, kopia and the password.
    fn run_script(&self, folder: &Path) -> Run {
        let mut entries = fs::read_dir(folder).unwrap();
        let script = entries
            .find_map(|entry| {
                let path = entry.unwrap().path();
                (path.extension() == Some(OsStr::new("sh"))).then_some(path)
            })
            .unwrap();
        if Path::new("/usr/bin/shellcheck").exists() {
            let check = Run::new("/usr/bin/shellcheck").args(["--shell=sh", "--severity=warning"]);
            check.arg(&script).ok();
        }
        Run::new("sh")
            .arg(&script)
            .arg("-y")
            .env("PATH", path())
            .env("HOME", self.world.path("home"))
            .env("DOCKER_HOST", self.world.bed.host())
            .env("KOPIA_PASSWORD", PASSWORD)
            .env("TMPDIR", self.world.dir("tmp"))
    }
}

/// The same tags, but for those of `instead`.
fn tags(manifest: &Value, instead: &[(&str, String)]) -> Vec<String> {
    let old = manifest["tags"].as_object().unwrap().iter();
    let old = old.map(|(name, value)| {
        let name = name.trim_start_matches("tag:");
        let new = instead.iter().find(|(instead, _)| *instead == name);
        let value = new.map_or(value.as_str().unwrap(), |(_, value)| value);
        format!("--tags={name}:{value}")
    });
    old.collect()
}

/// The directories that `path` is in, below the root.
fn above(path: &[u8]) -> Vec<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| path[..at].to_vec()).collect()
}

/// As lists and names for tar have them.
fn lines<'a>(paths: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for path in paths {
        if path != b"." {
            bytes.extend(b"./");
        }
        bytes.extend(path);
        bytes.push(0);
    }
    bytes
}

fn odd() -> &'static OsStr {
    OsStr::from_bytes(b"odd \xff\n")
}

/// Three parts in which everything changes into something else.
fn changed() -> Made {
    let mut made = Made::begin(|root| {
        for folder in [
            "folder/sub",
            "becomes-file/deep",
            "becomes-link",
            "group",
            "with-acl",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in [
            "folder/a",
            "folder/sub/x",
            "becomes-file/deep/y",
            "becomes-folder",
            "becomes-link/z",
            "group/1",
            "same",
        ] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::write(root.join("folder").join(odd()), "x").unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../../..", root.join("folder/up")).unwrap();
        symlink("folder", root.join("link-becomes-folder")).unwrap();
        fs::hard_link(root.join("group/1"), root.join("group/2")).unwrap();
        let acl = root.join("with-acl");
        Run::new("setfacl")
            .args(["-m", "u:1234:rwx", "-d", "-m", "u:4321:r"])
            .arg(&acl)
            .env("PATH", path())
            .ok();
        let flags = rustix::fs::XattrFlags::empty();
        let odd: &[&[u8]] = &[b"user.a b", b"user.=\n\\x", b"user.\xff", b"trusted.t"];
        for name in odd {
            rustix::fs::setxattr(&acl, *name, b"1", flags).unwrap();
        }
        rustix::fs::setxattr(root.join("folder"), "user.kept", b"1", flags).unwrap();
    });
    let root = made.volume.clone();
    // The second has a tree with everything that a copy can lose.
    torture::plant(&root.join("torture"));
    fs::remove_file(root.join("folder").join(odd())).unwrap();
    fs::hard_link(root.join("group/1"), root.join("folder/3")).unwrap();
    fs::remove_dir_all(root.join("becomes-file")).unwrap();
    fs::write(root.join("becomes-file"), "now").unwrap();
    fs::remove_dir_all(root.join("becomes-link")).unwrap();
    symlink("/etc/passwd", root.join("becomes-link")).unwrap();
    for name in ["becomes-folder", "link-becomes-folder"] {
        fs::remove_file(root.join(name)).unwrap();
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("new"), name).unwrap();
    }
    let acl = root.join("with-acl");
    let attributes: &[&[u8]] = &[
        b"user.a b",
        b"user.=\n\\x",
        b"user.\xff",
        b"trusted.t",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    ];
    for name in attributes {
        rustix::fs::removexattr(&acl, *name).unwrap();
    }
    made.store("increment");
    // The group shrinks; what was a folder for a while is a link again.
    fs::remove_file(root.join("group/2")).unwrap();
    fs::remove_file(root.join("group/1")).unwrap();
    fs::write(root.join("group/1"), "its own").unwrap();
    fs::remove_dir_all(root.join("link-becomes-folder")).unwrap();
    symlink("folder", root.join("link-becomes-folder")).unwrap();
    fs::write(root.join("torture/late"), "x").unwrap();
    made.store("final");
    made.finish();
    made
}

fn spoil(volume: &Path) {
    fs::remove_dir_all(volume.join("torture")).unwrap();
    fs::write(volume.join("later"), "x").unwrap();
}

#[test]
fn three_parts_come_back_as_one_tree_by_the_program_and_by_the_script() {
    let made = changed();
    spoil(&made.volume);
    made.restore(&[]).stderr_any().ok();
    made.held.assert_same(&oracle::manifest(&made.volume));
    made.stack.assert_running(&["db"]);

    spoil(&made.volume);
    let (written, folder) = made.write_script();
    written.ok();
    let script = made.run_script(&folder);
    script.stderr("restored: ").stderr_any().ok();
    made.held.assert_same(&oracle::manifest(&made.volume));
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains("kopia show R/parts/S/N.delete"), "{readme}");
}

#[test]
fn what_a_person_types_brings_the_parts_back() {
    let made = changed();
    let recipe = made.snapshots("recipe")["rootEntry"]["obj"]
        .as_str()
        .unwrap()
        .to_owned();
    let out = made.world.dir("typed");
    let (written, folder) = made.write_script();
    written.ok();
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let lines = readme
        .lines()
        .skip_while(|line| !line.starts_with("kopia show R/"));
    let lines: Vec<&str> = lines.take(3).collect();
    let profile = made
        .world
        .path("home/.config/kopia/repository-kopi-docka.config");
    let kopia = format!("kopia --config-file={} show", profile.display());
    let mut order = Vec::new();
    for (number, part) in made.parts.iter().enumerate() {
        order.push((number, "first"));
        let group = &part["group"];
        let is_last = made
            .parts
            .get(number + 1)
            .is_none_or(|next| next["group"] != *group);
        if !group.is_null() && is_last {
            let folders = made.parts.iter().position(|part| part["group"] == *group);
            order.push((folders.unwrap(), "last"));
        }
    }
    for (number, time) in order {
        let part = &made.parts[number];
        let is_first = time == "first";
        let is_bare = is_first && part["kind"] == "folders";
        let is_needed = [
            is_first && !part["deleted"].is_null(),
            is_first && !part["stripped"].is_null(),
            true,
        ];
        for (line, is_needed) in lines.iter().zip(is_needed) {
            let line = line
                .replace(
                    "kopia show R/parts/S/N",
                    &format!("{kopia} {recipe}/parts/0/{number}"),
                )
                .replace(
                    "kopia show K/",
                    &format!("{kopia} {}/", part["root"].as_str().unwrap()),
                );
            let line = if is_bare && line.contains("tar --extract") {
                line + " --no-xattrs"
            } else {
                line
            };
            if is_needed {
                Run::new("sh")
                    .args(["-c", &line])
                    .directory(&out)
                    .env("PATH", path())
                    .env("HOME", made.world.path("home"))
                    .env("KOPIA_PASSWORD", PASSWORD)
                    .env("KOPIA_CHECK_FOR_UPDATES", "false")
                    .env("LC_ALL", "C")
                    .stderr_any()
                    .ok();
            }
        }
    }
    made.held.assert_same(&oracle::manifest(&out));
}

#[test]
fn paths_are_taken_from_the_part_that_has_them_last() {
    let made = changed();
    let data = made.data();
    for (number, paths) in [
        &["becomes-file", "same"][..],
        &["becomes-folder", "becomes-link", "link-becomes-folder"],
        &["folder", "group", "with-acl"],
        &["torture"],
    ]
    .iter()
    .enumerate()
    {
        let target = made.world.path(format!("out-{number}"));
        let mut args = vec!["--volume", &data, "--target", target.to_str().unwrap()];
        paths.iter().for_each(|path| args.extend(["--path", path]));
        made.restore(&args).stderr_any().ok();
        let wanted = made.held.clone().only(|path| {
            paths.iter().any(|wanted| {
                path == wanted.as_bytes() || path.starts_with(format!("{wanted}/").as_bytes())
            })
        });
        let found = oracle::manifest(&target.join("volumes").join(&data)).only(|path| path != b".");
        wanted.assert_same(&found);
    }
    for (path, text) in [
        ("group/2", "not all of these paths are in the restore point"),
        (
            "becomes-file/deep/y",
            "not all of these paths are in the restore point",
        ),
    ] {
        let target = made.world.path("out-none");
        let args = [
            "--volume",
            &data,
            "--target",
            target.to_str().unwrap(),
            "--path",
            path,
        ];
        made.restore(&args).stderr(text).stderr_any().code(4);
        assert!(!target.exists());
    }
}

#[test]
fn the_parts_are_listed_as_one_tree_and_all_of_them_are_verified() {
    let made = changed();
    let args = [
        "--json",
        "restore",
        "--unit",
        made.stack.unit(),
        "--backup-id",
        "latest",
        "--list",
    ];
    let lines = made
        .world
        .kd(&[&args[..], &["--volume", &made.data()]].concat())
        .stdout_any()
        .ok()
        .json_lines();
    let found: BTreeSet<String> = lines
        .iter()
        .filter_map(|line| Some(line["entry"]["path"].as_str()?.to_owned()))
        .collect();
    let names = made.held.0.keys().filter(|path| *path != b".");
    let wanted: BTreeSet<String> = names
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    assert_eq!(found, wanted);

    let verify = ["--json", "verify", "--unit", made.stack.unit()];
    let report = made.world.kd(&verify).stdout_any().ok().json_lines();
    let report = &report.last().unwrap()["report"]["points"][0];
    assert_eq!(report["result"], "good", "{report:#}");
    let bytes: u64 = made
        .parts
        .iter()
        .map(|part| part["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(report["read_bytes"], bytes, "{report:#}");
}

/// A later part as it should not be.
struct Hostile {
    members: &'static [&'static str],
    deleted: &'static [&'static [u8]],
    /// In the errors of the program, and of the script.
    said: &'static str,
    /// A list leads through what only the parts before it make.
    is_good_by_itself: bool,
}

#[test]
fn a_part_that_would_be_written_elsewhere_is_refused_by_all_of_them() {
    let outside = World::new();
    let elsewhere = outside.dir("outside");
    fs::write(elsewhere.join("victim"), "untouched").unwrap();
    let cases = [
        Hostile {
            members: &[".", "./link/evil"],
            deleted: &[],
            said: "does not come before it",
            is_good_by_itself: false,
        },
        Hostile {
            members: &[".", "./link/evil", "./link"],
            deleted: &[],
            said: "does not come before it",
            is_good_by_itself: false,
        },
        Hostile {
            members: &["."],
            deleted: &[b"link/victim"],
            said: "to be deleted or stripped",
            is_good_by_itself: true,
        },
        Hostile {
            members: &["."],
            deleted: &[b"x/../link/victim"],
            said: "not a path inside the source",
            is_good_by_itself: false,
        },
    ];
    for case in cases {
        let mut made = Made::begin(|root| symlink(&elsewhere, root.join("link")).unwrap());
        let tree = made.world.dir("tree");
        fs::create_dir_all(tree.join("link")).unwrap();
        fs::write(tree.join("link/evil"), "x").unwrap();
        let run = Run::new("tar")
            .args(["--create", "--file=-", "--format=posix", "--no-recursion"])
            .args(case.members)
            .directory(&tree)
            .env("PATH", path());
        let stream = run.stdout_any().ok().stdout_bytes().to_owned();
        let deleted: Vec<Vec<u8>> = case.deleted.iter().map(|path| path.to_vec()).collect();
        made.add("final", &stream, &deleted, &[]);
        made.finish();

        let before = oracle::manifest(&made.volume);
        made.restore(&[]).stderr(case.said).stderr_any().code(3);
        let verify = ["--quiet", "verify", "--unit", made.stack.unit()];
        let verify = made.world.kd(&verify).stdout_any().stderr_any();
        verify.code(if case.is_good_by_itself { 0 } else { 3 });
        let (written, folder) = made.write_script();
        let written = written.stdout_any().stderr_any().run();
        if written.code == Some(0) {
            let script = made.run_script(&folder);
            script.stderr(case.said).stderr_any().code(1);
        } else {
            assert!(written.stderr().contains(case.said), "{written}");
        }
        before.assert_same(&oracle::manifest(&made.volume));
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
        let victim = fs::read_to_string(elsewhere.join("victim")).unwrap();
        assert_eq!(victim, "untouched");
    }
}
