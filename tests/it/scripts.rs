//! The scripts that `restore --scripts` writes, run by the shell alone: the real engine, the real Kopia, and not this program.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{PASSWORD, Run, Signal, Stack, World, oracle, torture};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

/// What a test writes scripts into; nothing is there yet.
fn folder(world: &World) -> PathBuf {
    world.path("by hand")
}

fn write(world: &World, unit: &str, more: &[&str]) -> Run {
    let folder = folder(world);
    let args = ["--quiet", "restore", "--unit", unit, "--scripts"];
    let run = world.kd(&args).arg(folder);
    let run = if more.contains(&"--backup-id") {
        run
    } else {
        run.args(["--backup-id", "latest"])
    };
    run.args(more)
}

/// The scripts in their order.
#[track_caller]
fn scripts(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(world)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut scripts: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "sh"))
        .collect();
    scripts.sort();
    for script in &scripts {
        let mode = fs::metadata(script).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        Run::new("sh")
            .arg("-n")
            .arg(script)
            .env("PATH", path())
            .ok();
    }
    scripts
}

/// `script` with what an operator has: a shell, docker, kopia and the password.
fn sh(world: &World, script: &Path) -> Run {
    // Whoever runs the tests in the background ignores SIGINT, and a shell cannot trap what was ignored before it began.
    Run::new("env")
        .args(["--default-signal=INT", "sh"])
        .arg(script)
        .arg("-y")
        .env("PATH", path())
        .env("HOME", world.path("home"))
        .env("DOCKER_HOST", world.bed.host())
        .env("KOPIA_PASSWORD", PASSWORD)
        .env("TMPDIR", world.dir("tmp"))
}

/// Names in `folder` that only a script at work has.
fn left_beside(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("kopi-docka")).collect()
}

fn saved(world: &World, stack: &Stack) {
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .ok();
}

#[test]
fn scripts_bring_everything_back_without_this_program() {
    let world = World::new();
    world.init();
    // As hostile as Docker lets a path be; a volume's name cannot be.
    let bind = world.dir("binds/it's \"a\" $(touch pwned) `touch pwned` \\n & ;");
    let file = world.path("binds/one 'conf'");
    fs::write(&file, "saved").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data").bind(&file, "/one"))
        .service("app", |s| s.volume("data", "/data").bind(&bind, "/bind"))
        .service("job", |s| s.volume("data", "/data"))
        .up();
    let other = world.container("other", |s| s.external(&stack.volume("data"), "/x:ro"));
    let bystander = world.container("bystander", |s| s.volume("own", "/x"));
    let volume = stack.volume_path("data");
    torture::plant(&volume);
    torture::plant(&bind);
    let before = [&volume, &bind, &file].map(|path| oracle::manifest(path));
    saved(&world, &stack);
    fs::write(volume.join("changed"), "changed").unwrap();
    fs::write(bind.join("changed"), "changed").unwrap();
    fs::write(&file, "changed").unwrap();
    stack.stop("job");
    let changed = [&volume, &bind, &file].map(|path| oracle::manifest(path));
    let watch = world.watch();

    write(&world, stack.unit(), &[]).ok();
    let written = scripts(&world);
    watch.events().assert_untouched();
    for (changed, path) in changed.iter().zip([&volume, &bind, &file]) {
        changed.assert_same(&oracle::manifest(path));
    }
    assert_eq!(written.len(), 3, "{written:?}");
    if Path::new("/usr/bin/shellcheck").exists() {
        let check = Run::new("/usr/bin/shellcheck").args(["--shell=sh", "--severity=warning"]);
        check.args(&written).ok();
    }

    let watch = world.watch();
    for script in &written {
        sh(&world, script).stderr("restored: ").stderr_any().ok();
    }
    for (before, path) in before.iter().zip([&volume, &bind, &file]) {
        before.assert_same(&oracle::manifest(path));
    }
    stack.assert_running(&["app", "db"]);
    let events = watch.events();
    assert!(
        !events.order("die").contains(&bystander.as_str()),
        "{events}"
    );
    assert!(events.order("start").contains(&other.as_str()), "{events}");
    assert!(!events.order("start").contains(&"job"), "{events}");
    assert_eq!(stack.exec("app", &["cat", "/one"]).run().code, Some(1));
    assert_eq!(
        stack.exec("db", &["cat", "/one"]).text(),
        "saved",
        "as the service sees it"
    );
    for path in [&volume, &bind, &file] {
        let parent = path.parent().unwrap();
        let left = left_beside(parent);
        assert!(left.is_empty(), "{left:?}");
    }
    // What was there before is in archives.
    let archives: Vec<PathBuf> = fs::read_dir(folder(&world).join("safety"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(archives.len(), 3, "{archives:?}");
    let lists = archives.iter().map(|archive| {
        Run::new("tar")
            .arg("-tf")
            .arg(archive)
            .env("PATH", path())
            .text()
    });
    let lists: Vec<String> = lists.collect();
    assert_eq!(
        lists
            .iter()
            .filter(|list| list.contains("/changed"))
            .count(),
        2
    );
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0);
    let pwned = Run::new("find")
        .arg(world.path(""))
        .args(["-name", "pwned"])
        .env("PATH", path());
    assert_eq!(pwned.text(), "");
}

#[test]
fn the_recipe_and_the_readme_are_there_and_no_password() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .env("DB_PASSWORD", "planted secret")
        })
        .up();
    let compose = stack.dir().join("compose.yaml");
    let env = stack.dir().join(".env");
    fs::write(&env, "X=1\n").unwrap();
    fs::set_permissions(&env, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&env, Some(12), Some(34)).unwrap();
    world.backup(&stack);
    world.config(|config| config["docker"]["socket"] = json!(world.path("no-docker.sock")));
    let mut answer = world
        .kd(&[
            "--json",
            "restore",
            "--unit",
            stack.unit(),
            "--backup-id",
            "latest",
            "--scripts",
        ])
        .arg(folder(&world))
        .json();
    let answer = answer["scripts"].take();
    assert_eq!(answer["files"].as_array().unwrap().len(), 3);
    assert_eq!(scripts(&world).len(), 1);

    let top = fs::metadata(folder(&world)).unwrap().permissions().mode();
    assert_eq!(top & 0o777, 0o700);
    let recipe = folder(&world).join("recipes").join(stack.unit());
    let copy = |path: &Path| recipe.join("files").join(path.strip_prefix("/").unwrap());
    assert_eq!(
        fs::read(copy(&compose)).unwrap(),
        fs::read(&compose).unwrap()
    );
    oracle::manifest(&env).assert_same(&oracle::manifest(&copy(&env)));
    let record: Value =
        serde_json::from_slice(&fs::read(recipe.join("recipe.json")).unwrap()).unwrap();
    assert_eq!(record["unit"], stack.unit());
    assert!(
        recipe
            .join("docker/volumes")
            .join(format!("{}.json", stack.volume("data")))
            .exists()
    );
    let secrets = fs::metadata(recipe.join("secrets.json")).unwrap();
    assert_eq!(secrets.permissions().mode() & 0o777, 0o600);

    let readme = fs::read_to_string(folder(&world).join("README.md")).unwrap();
    for expected in [
        "kopia repository connect filesystem",
        "restore-",
        "docker compose --project-name",
        "KOPIA_PASSWORD",
        "cp -a ",
    ] {
        assert!(readme.contains(expected), "{expected:?} in {readme}");
    }
    let found = Run::new("grep")
        .args(["-rlF", PASSWORD])
        .arg(folder(&world))
        .env("PATH", path())
        .code(1);
    assert_eq!(found.stdout(), "");
}

#[test]
fn a_volume_that_is_gone_is_made_as_it_was() {
    let world = World::new();
    world.init();
    let device = world.dir("a device");
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data").volume("bound", "/bound")
        })
        .volume("data", |v| v.label("my.label", "it's \"$(id)\""))
        .volume("bound", |v| {
            v.option("type", "none")
                .option("o", "bind")
                .option("device", device.to_str().unwrap())
        })
        .up();
    fs::write(stack.volume_path("data").join("x"), "saved").unwrap();
    fs::write(device.join("x"), "saved").unwrap();
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
    let before = ["data", "bound"].map(inspect);
    world.backup(&stack);
    write(&world, stack.unit(), &[]).ok();
    stack.wipe();
    fs::remove_dir_all(&device).unwrap();

    // A stream that ends early leaves no volume behind.
    let cut = kopia_that(&world, "| head -c 700; exit 0");
    for script in scripts(&world) {
        sh(&world, &script)
            .env("PATH", &cut)
            .stderr("error: ")
            .code(1);
    }
    let volumes = world.docker(&["volume", "ls", "--quiet"]).text();
    assert!(!volumes.contains(stack.unit()), "{volumes}");
    assert!(!device.exists());

    for script in scripts(&world) {
        sh(&world, &script).stderr("is made").ok();
    }
    assert_eq!(["data", "bound"].map(inspect), before);
    assert_eq!(
        fs::read_to_string(stack.volume_path("data").join("x")).unwrap(),
        "saved"
    );
    assert_eq!(fs::read_to_string(device.join("x")).unwrap(), "saved");
}

/// `kopia`, but what it shows of data goes through `filter`.
fn kopia_that(world: &World, filter: &str) -> OsString {
    world.stand_in(
        "kopia",
        &format!("case \" $* \" in *' show '*/data' ') \"$REAL\" \"$@\" {filter};; *) exec \"$REAL\" \"$@\";; esac"),
    )
}

/// A stack of one service with a changed volume, and the script for it.
struct Changed {
    world: World,
    stack: Stack,
    volume: PathBuf,
    before: oracle::Manifest,
    script: PathBuf,
}

impl Changed {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let stack = world
            .stack("web")
            .service("db", |s| s.volume("data", "/data"))
            .up();
        let volume = stack.volume_path("data");
        fs::write(volume.join("x"), "saved").unwrap();
        world.backup(&stack);
        fs::write(volume.join("x"), "changed").unwrap();
        write(&world, stack.unit(), &[]).ok();
        let script = scripts(&world).remove(0);
        Self {
            before: oracle::manifest(&volume),
            world,
            stack,
            volume,
            script,
        }
    }

    #[track_caller]
    fn assert_unchanged(&self) {
        self.before.assert_same(&oracle::manifest(&self.volume));
        self.stack.assert_running(&["db"]);
        let left = left_beside(self.volume.parent().unwrap());
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(fs::read_dir(self.world.path("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn a_script_that_fails_leaves_the_old_data_and_the_services_running() {
    let changed = Changed::new();
    let (world, script) = (&changed.world, &changed.script);
    let watch = world.watch();
    for (filter, expected) in [
        ("| head -c 5120; exit 0", "instead of"),
        ("| head -c 700; exit 0", "instead of"),
        ("; exit 3", "kopia failed"),
        ("; kill -9 $$", "kopia failed"),
        ("; head -c 10240 /dev/zero", "instead of"),
    ] {
        sh(world, script)
            .env("PATH", kopia_that(world, filter))
            .stderr("error: ")
            .stderr(expected)
            .stderr("Nothing was replaced")
            .code(1);
        changed.assert_unchanged();
    }
    sh(world, script)
        .env("KOPIA_PASSWORD", "wrong")
        .stderr("invalid repository password")
        .stderr("cannot open the repository")
        .code(1);
    sh(world, script)
        .without_env("KOPIA_PASSWORD")
        .stderr("KOPIA_PASSWORD is the password")
        .code(1);
    sh(world, script)
        .env("DOCKER_HOST", "unix:///nowhere.sock")
        .stderr("Docker does not answer")
        .stderr_any()
        .code(1);
    Run::new("sh")
        .arg(script)
        .env("PATH", path())
        .env("HOME", world.path("home"))
        .env("DOCKER_HOST", world.bed.host())
        .env("KOPIA_PASSWORD", PASSWORD)
        .env("TMPDIR", world.dir("tmp"))
        .stderr("not running on a terminal; use -y")
        .code(1);
    watch.events().assert_untouched();
    changed.assert_unchanged();

    // In the window: what was stopped comes up again.
    fs::remove_file(world.path("bin/kopia")).unwrap();
    let mv = world.stand_in(
        "mv",
        "case \" $* \" in *'/data '*_data*) exit 1;; *) exec \"$REAL\" \"$@\";; esac",
    );
    sh(world, script)
        .env("PATH", mv)
        .stderr("Nothing was replaced")
        .stderr("started ")
        .code(1);
    changed.assert_unchanged();
    let started = changed.stack.started_at("db");
    fs::remove_file(world.path("bin/mv")).unwrap();
    // A container that goes away while the others are looked at is nobody's concern.
    let docker = world.stand_in(
        "docker",
        r#"case " $* " in *" ps --no-trunc --format "*) "$REAL" "$@"; printf '%064d gone\n' 0;; *) exec "$REAL" "$@";; esac"#,
    );
    let run = sh(world, script).env("PATH", docker);
    run.stderr("restored: ").ok();
    assert_eq!(
        fs::read_to_string(changed.volume.join("x")).unwrap(),
        "saved"
    );
    assert!(changed.stack.started_at("db") > started);
    let help = Run::new("sh").arg(script).arg("--help").env("PATH", path());
    let help = help.stdout("Usage: sh THIS_SCRIPT").ok().stdout();
    assert!(!help.contains("set -eu"), "{help}");
}

#[test]
fn a_signal_at_any_time_leaves_what_ran_running() {
    let changed = Changed::new();
    let (world, script) = (&changed.world, &changed.script);
    let hang = world.stand_in(
        "kopia",
        "case \" $* \" in *' show '*/data' ') exec sleep 600;; *) exec \"$REAL\" \"$@\";; esac",
    );
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut running = sh(world, script).env("PATH", &hang).stderr_any().spawn();
        running.until_stderr("reading from the repository");
        world.process(&["sleep", "600"]);
        running.signal(signal);
        let done = running.wait();
        assert_eq!(done.code, Some(code), "{done}");
        assert!(done.took < Duration::from_secs(60), "{done}");
        changed.assert_unchanged();
    }
    // While a container is being stopped, and when the old data was just moved aside.
    let mark = world.path("mark");
    let slow_stop = world.stand_in(
        "docker",
        &format!(
            "case $1 in stop) touch '{}'; sleep 1;; esac; exec \"$REAL\" \"$@\"",
            mark.display()
        ),
    );
    fs::remove_file(world.path("bin/kopia")).unwrap();
    let mut running = sh(world, script)
        .env("PATH", &slow_stop)
        .stderr_any()
        .spawn();
    running.until("the stop", |_| mark.exists().then_some(()));
    running.signal_group(Signal::INT);
    let done = running.wait();
    assert_eq!(done.code, Some(130), "{done}");
    changed.assert_unchanged();

    fs::remove_file(&mark).unwrap();
    fs::remove_file(world.path("bin/docker")).unwrap();
    let slow_move = world.stand_in(
        "mv",
        &format!(
            "\"$REAL\" \"$@\"; case \" $* \" in *before*) touch '{}'; sleep 1;; esac",
            mark.display()
        ),
    );
    let mut running = sh(world, script)
        .env("PATH", &slow_move)
        .stderr_any()
        .spawn();
    running.until("the move", |_| mark.exists().then_some(()));
    running.signal(Signal::TERM);
    let done = running.wait();
    assert_eq!(done.code, Some(143), "{done}");
    changed.assert_unchanged();

    // After the swap everything is new, and the old data is named.
    fs::remove_file(&mark).unwrap();
    fs::remove_file(world.path("bin/mv")).unwrap();
    let slow_start = world.stand_in(
        "docker",
        &format!(
            "case $1 in start) if ! [ -e '{0}' ]; then touch '{0}'; exec sleep 600; fi;; esac; exec \"$REAL\" \"$@\"",
            mark.display()
        ),
    );
    let mut running = sh(world, script)
        .env("PATH", &slow_start)
        .stderr_any()
        .spawn();
    running.until("the start", |_| mark.exists().then_some(()));
    running.signal(Signal::TERM);
    world.process(&["sleep", "600"]).signal(Signal::KILL);
    let done = running.wait();
    assert_eq!(done.code, Some(143), "{done}");
    assert!(
        done.stderr().contains("What was there before is in "),
        "{done}"
    );
    changed.stack.assert_running(&["db"]);
    let now = fs::read_to_string(changed.volume.join("x")).unwrap();
    assert_eq!(now, "saved");
    let left = left_beside(changed.volume.parent().unwrap());
    assert!(left.len() == 1 && left[0].contains("before"), "{left:?}");
}

#[test]
fn nothing_half_written_is_left_and_a_full_folder_is_refused() {
    let changed = Changed::new();
    let (world, unit) = (&changed.world, changed.stack.unit());
    write(world, unit, &[]).stderr("is not empty").code(2);
    fs::remove_dir_all(folder(world)).unwrap();
    fs::create_dir(folder(world)).unwrap();
    write(world, unit, &["--volume", "nonsense"])
        .stderr("has no volume")
        .code(4);
    write(world, "nobody", &[])
        .stderr("no restore point of unit")
        .code(4);
    write(world, unit, &["--dry-run"])
        .stderr("--dry-run")
        .code(2);
    let path = world.stand_in(
        "kopia",
        "case \" $* \" in *' show '*/docker/volumes/*) exit 1;; *) exec \"$REAL\" \"$@\";; esac",
    );
    write(world, unit, &[])
        .env("PATH", path)
        .stderr("kopia failed")
        .code(15);
    assert_eq!(fs::read_dir(folder(world)).unwrap().count(), 0);
    let left: Vec<_> = left_beside(&world.path(""))
        .into_iter()
        .filter(|name| name.contains("scripts"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    write(world, unit, &["--volume", &changed.stack.volume("data")]).ok();
    assert_eq!(scripts(world).len(), 1);
}

/// A point of unit `forged` with one bind mount at `target` made of `parts`: each a tar, and what is deleted before it.
fn forge(world: &World, id: &str, target: &Path, parts: &[(&[u8], &[&str])]) {
    let identity = world.kd(&["repo-status", "--json"]).json()["identity"].take();
    let identity = identity.as_str().unwrap().to_owned();
    let snapshot = |args: &[&str], place: &str, stdin: &[u8]| {
        let source = format!("--override-source={identity}:/forged/{place}");
        let args = [&["snapshot", "create", "--json", &source], args].concat();
        let manifest = world.kopia(&args).stdin(stdin).stderr_any().json();
        manifest["rootEntry"]["obj"].as_str().unwrap().to_owned()
    };
    let recipe = world.dir(format!("forged-{id}"));
    let parts: Vec<Value> = parts
        .iter()
        .enumerate()
        .map(|(number, (stream, delete))| {
            let root = snapshot(&["/forged", "--stdin-file=data"], "data", stream);
            let kind = if number == 0 { "base" } else { "final" };
            let mut part = json!({
                "kind": kind, "snapshot": "ab", "root": root, "file": "data", "bytes": stream.len(), "delete": [],
            });
            if !delete.is_empty() {
                let list: String = delete.iter().map(|path| format!("./{path}\0")).collect();
                let sha256: String = Sha256::digest(&list)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                part["deleted"] = json!({"paths": delete.len(), "sha256": sha256});
                fs::create_dir_all(recipe.join("parts/0")).unwrap();
                fs::write(recipe.join(format!("parts/0/{number}.delete")), list).unwrap();
            }
            part
        })
        .collect();
    let roots: Vec<&str> = parts
        .iter()
        .map(|part| part["root"].as_str().unwrap())
        .collect();
    let roots = format!("--tags=roots:{}", roots.join(","));
    let record = json!({
        "format": 2, "kopi_docka_version": "0.1.0", "backup_id": id, "unit": "forged", "kind": "standalone",
        "identity": identity, "started_at": "2026-01-02T03:04:05Z", "grade": "ok",
        "sources": [{
            "type": "bind", "path": target, "read_from": "/x", "is_file": false, "destinations": [], "exclude_patterns": [],
            "grade": "ok", "reasons": ["odd\n$(touch pwned)"], "parts": parts
        }],
        "missing": [], "gaps": [], "downtime_seconds": 0.0, "project": null, "files": []
    });
    fs::write(recipe.join("recipe.json"), record.to_string()).unwrap();
    let id = format!("--tags=backup_id:{id}");
    let tags = [
        "--tags=type:recipe",
        "--tags=unit:forged",
        "--tags=grade:ok",
        &id,
        &roots,
    ];
    snapshot(
        &[&[recipe.to_str().unwrap()], &tags[..]].concat(),
        "recipe",
        b"",
    );
}

/// The files of a tar: names with their content, or links with their target.
fn tar(world: &World, files: &[(&str, &str)], links: &[(&str, &str)]) -> Vec<u8> {
    let tree = world.dir("tree");
    for (name, content) in files {
        fs::create_dir_all(tree.join(name).parent().unwrap()).unwrap();
        fs::write(tree.join(name), content).unwrap();
    }
    for (name, target) in links {
        std::os::unix::fs::symlink(target, tree.join(name)).unwrap();
    }
    let run = Run::new("tar")
        .args(["-cf", "-", "."])
        .directory(&tree)
        .env("PATH", path());
    let stream = run.stdout_any().ok().stdout_bytes().to_owned();
    fs::remove_dir_all(tree).unwrap();
    stream
}

#[test]
fn parts_are_laid_one_over_the_other_and_none_is_written_through_a_link() {
    let world = World::new();
    world.init();
    let target = world.path("binds/it's here");
    let first = tar(
        &world,
        &[("a", "1"), ("b", "1"), ("folder/c", "1"), ("it's", "1")],
        &[("near", "folder/c")],
    );
    let second = tar(&world, &[("b", "2"), ("new", "2")], &[]);
    let leads_out = tar(&world, &[("a", "1")], &[("out", "/etc")]);
    let climbs = tar(&world, &[("folder/x", "1")], &[("folder/up", "../../x")]);
    let through = {
        let tree = world.dir("through");
        fs::create_dir_all(tree.join("out")).unwrap();
        fs::write(tree.join("out/evil"), "x").unwrap();
        let run = Run::new("tar")
            .args(["--create", "--file=-", "--format=posix", "./out/evil"])
            .directory(&tree)
            .env("PATH", path());
        run.stdout_any().ok().stdout_bytes().to_owned()
    };
    let id = |number: usize| format!("2026-01-02T03-04-0{number}Z");
    forge(
        &world,
        &id(1),
        &target,
        &[
            (&first, &[]),
            (&second, &["a", "folder", "it's", "never/was"]),
        ],
    );
    forge(
        &world,
        &id(2),
        &target,
        &[(&leads_out, &[]), (&second, &[])],
    );
    forge(&world, &id(3), &target, &[(&climbs, &[]), (&second, &[])]);
    forge(
        &world,
        &id(4),
        &target,
        &[(&leads_out, &[]), (&second, &["out/x"])],
    );
    forge(
        &world,
        &id(5),
        &target,
        &[(&first, &[]), (&second, &["../x"])],
    );
    forge(
        &world,
        &id(7),
        &target,
        &[(&leads_out, &[]), (&through, &[])],
    );
    forge(&world, &id(6), Path::new("/etc/cron.d"), &[(&first, &[])]);
    let written = |number: usize| {
        let _ = fs::remove_dir_all(folder(&world));
        write(&world, "forged", &["--backup-id", &id(number)])
            .stderr("odd")
            .ok();
        scripts(&world).remove(0)
    };

    sh(&world, &written(1)).stderr("restored: ").ok();
    let mut names: Vec<String> = fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["b", "near", "new"]);
    assert_eq!(fs::read_to_string(target.join("b")).unwrap(), "2");
    for (number, text) in [
        (4, "is reached through a link"),
        (7, "its directory does not come before it"),
    ] {
        let run = sh(&world, &written(number));
        run.stderr(text).stderr("Nothing was replaced").code(1);
        assert_eq!(fs::read_to_string(target.join("b")).unwrap(), "2");
        assert!(left_beside(target.parent().unwrap()).is_empty());
        assert!(!Path::new("/etc/evil").exists());
    }
    // Links that lead out are data like any other.
    for (number, link) in [(2, "out"), (3, "folder/up")] {
        sh(&world, &written(number)).stderr("restored: ").ok();
        assert!(target.join(link).is_symlink() && target.join("new").exists());
    }
    fs::remove_dir_all(folder(&world)).unwrap();
    for (number, text) in [
        (5, "not a path inside the source"),
        (6, "power over this host"),
    ] {
        let done = write(&world, "forged", &["--backup-id", &id(number)])
            .stderr_any()
            .run();
        assert!(
            done.code == Some(3) && done.stderr().contains(text),
            "{done}"
        );
        assert!(!folder(&world).exists());
    }
}
