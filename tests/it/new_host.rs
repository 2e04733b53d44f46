//! A recovery bundle on a new host: by hand as its texts say, by its script, and by the program. The old host is gone.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::bundle::{PLANTED, beside, commands, make, password, plant, saved};
use crate::common::schema::assert_schema;
use crate::common::{Bed, Run, S3, Sshd, World, mount, path, s3};

const MEMORY: &str = "/dev/shm";

/// A bundle outside its world.
struct Bundle {
    path: PathBuf,
    password: String,
    /// Of its archive.
    name: String,
}

impl Bundle {
    fn of(world: &World) -> Self {
        let path = make(world);
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = name.strip_suffix(".tar.gz.enc").unwrap().to_owned();
        let password = password(world);
        world.secret_file("password", &password);
        Self {
            path,
            password,
            name,
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap()
    }

    fn readme(&self) -> String {
        fs::read_to_string(beside(&self.path, ".README")).unwrap()
    }

    /// Where its README says that it was decrypted to.
    fn folder_in(&self, text: &str) -> PathBuf {
        let lines = text.lines();
        let mut places =
            lines.filter(|line| line.starts_with(MEMORY) && line.ends_with(&self.name));
        places.next().unwrap().into()
    }

    /// What is in it, in memory.
    fn opened(&self, world: &World) -> Opened {
        let readme = self.readme();
        let [_, _, open] = commands(&readme)[..] else {
            panic!("{readme}")
        };
        let opened = world
            .shell(open)
            .directory(self.folder())
            .stdin(format!("{}\n", self.password))
            .stdout("How to bring the backups of")
            .stderr_any()
            .ok();
        let text = opened.stdout();
        Opened {
            folder: self.folder_in(&text),
            text,
        }
    }
}

struct Opened {
    text: String,
    folder: PathBuf,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.folder.parent().unwrap());
    }
}

/// Both do the same.
#[derive(Clone, Copy, Debug)]
enum Way {
    Script,
    Program,
}

const WAYS: [Way; 2] = [Way::Script, Way::Program];

impl Way {
    /// Without a terminal, on a host that is called `newhost`.
    fn run(self, world: &World, bundle: &Bundle, opened: &Opened, args: &str) -> Run {
        let run = match self {
            Self::Script => world
                .shell(&format!("sh recover.sh {args}"))
                .directory(&opened.folder),
            Self::Program => world.shell(&format!(
                "kopi-docka --config {} disaster-recovery --restore {} --password-file {} {args}",
                world.config_path().display(),
                bundle.path.display(),
                world.path("password").display(),
            )),
        };
        named(run, "newhost").stdout_any().stderr_any()
    }
}

fn named(run: Run, host: &str) -> Run {
    let script = "hostname \"$1\" && shift && exec \"$@\"";
    run.under(["unshare", "--uts", "sh", "-c", script, "sh", host])
}

/// Everything that a host has but for caches and logs, by path.
fn state_of(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let found = Run::new("find")
        .args(["home", "state", "kopi-docka.json", "kopi-docka.env"])
        .args(["-type", "f", "-not", "-name", "*.log"])
        .env("PATH", path())
        .directory(world.path(""))
        .stdout_any()
        .stderr_any()
        .run()
        .stdout();
    let mut files: Vec<PathBuf> = found.lines().map(PathBuf::from).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let content = fs::read(world.path(&file)).unwrap();
            (file, content)
        })
        .collect()
}

#[test]
fn what_the_texts_say_leads_a_new_host_to_the_data() {
    let world = World::new();
    let stack = saved(&world);
    plant(&world);
    let bundle = Bundle::of(&world);
    let readme = bundle.readme();
    let [check, sum, open] = commands(&readme)[..] else {
        panic!("{readme}")
    };
    let out = world.path("out");
    world
        .shell(check)
        .directory(&out)
        .stdout("The bundle is whole, and this password opens it.")
        .ok();
    world.shell(sum).directory(&out).stdout("OK").ok();
    world
        .shell(open)
        .directory(&out)
        .stdin("another password\n")
        .stdout_any()
        .stderr("bad decrypt")
        .code(1);
    let opened = bundle.opened(&world);
    world.lose_host(&stack);
    let commands = commands(&opened.text);
    let [recover, preview, restore, alone] = commands[..] else {
        panic!("{commands:?}")
    };
    let run = |command: &str| {
        let run = world.shell(command).directory(&opened.folder);
        run.stdout_any().stderr_any()
    };
    let reached = run(recover).ok().stdout();
    assert!(
        reached.contains(&format!("  {}  ", stack.unit())),
        "{reached}"
    );
    let credentials = fs::read_to_string(world.path("kopi-docka.env")).unwrap();
    assert!(credentials.contains(PLANTED));
    assert!(run(preview).ok().stdout().contains(stack.unit()));
    run(restore).ok();
    assert_eq!(
        fs::read_to_string(stack.volume_path("data").join("file")).unwrap(),
        "what was saved"
    );
    stack.assert_running(&["db"]);
    let snapshots = run(alone).ok().stdout();
    assert!(snapshots.contains("kopi-docka@"), "{snapshots}");
}

#[test]
fn either_way_connects_and_the_second_time_nothing_changes() {
    let world = World::new();
    // A name that is not the new host's.
    world.config(|config| config["kopia"]["host"] = json!("oldhost"));
    let stack = saved(&world);
    plant(&world);
    let bundle = Bundle::of(&world);
    let opened = bundle.opened(&world);
    world.lose_host(&stack);
    for way in WAYS {
        world.forget_host();
        let reached = way.run(&world, &bundle, &opened, "").ok();
        let said = reached.stdout();
        assert!(said.contains(stack.unit()), "{way:?}: {said}");
        assert!(said.contains("kopi-docka@newhost"), "{way:?}: {said}");
        let config = world.read_config();
        assert!(config["kopia"]["host"].is_null(), "{way:?}");
        let first = state_of(&world);
        way.run(&world, &bundle, &opened, "").ok();
        assert_eq!(names(&state_of(&world)), names(&first), "{way:?}");
        assert_eq!(state_of(&world), first, "{way:?}");
        // The other one finds nothing to do either.
        let other = WAYS[usize::from(matches!(way, Way::Script))];
        other.run(&world, &bundle, &opened, "").ok();
        let list = named(world.kd(&["list", "--snapshots", "--all-hosts"]), "newhost");
        let listed = list.stderr_any().stdout_any().ok().stdout();
        assert!(listed.contains(stack.unit()), "{way:?}: {listed}");
    }
    let report = Way::Program.run(&world, &bundle, &opened, "--json").json();
    assert_schema("disaster-recovery-restore", &report);
    assert_eq!(report["identity"], "kopi-docka@newhost");
    assert_eq!(report["host"], "oldhost");
}

fn names(files: &[(PathBuf, Vec<u8>)]) -> Vec<&Path> {
    files.iter().map(|(path, _)| path.as_path()).collect()
}

#[test]
fn what_a_bundle_meets_on_a_new_host_is_told_and_nothing_is_changed() {
    let world = World::new();
    let stack = saved(&world);
    let bundle = Bundle::of(&world);
    let opened = bundle.opened(&world);
    world.lose_host(&stack);
    let (repo, moved) = (world.path("repo"), world.path("moved"));
    let nothing = state_of(&world);
    for way in WAYS {
        let refused = |args: &str, says: &str, code: i32| {
            let run = way.run(&world, &bundle, &opened, args);
            let said = run.code(code).stderr();
            assert!(said.contains(says), "{way:?}: {said}");
            assert_eq!(names(&state_of(&world)), names(&nothing), "{way:?}");
        };
        fs::rename(&repo, &moved).unwrap();
        refused("", "mount", 17);
        fs::create_dir(&repo).unwrap();
        refused("", "no", 10);
        Run::new("kopia")
            .args(["repository", "create", "filesystem", "--path"])
            .arg(&repo)
            .arg("--no-persist-credentials")
            .arg(format!(
                "--config-file={}",
                world.path("out/other").display()
            ))
            // Kopia would believe what another one had there.
            .arg(format!(
                "--cache-directory={}",
                world.path(format!("out/{way:?}")).display()
            ))
            .env("PATH", path())
            .env("HOME", world.path("out"))
            .env("KOPIA_PASSWORD", crate::common::PASSWORD)
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .stdout_any()
            .stderr_any()
            .ok();
        refused("", "another repository is there", 1);
        fs::remove_dir_all(&repo).unwrap();
        refused(
            "--at 'gopher --path /x'",
            "",
            if matches!(way, Way::Script) { 17 } else { 2 },
        );
        // It is elsewhere now.
        let at = format!("--at 'filesystem --path {}'", moved.display());
        way.run(&world, &bundle, &opened, &at).ok();
        let params = &world.read_config()["kopia"]["kopia_params"];
        assert_eq!(
            params,
            &json!(format!("filesystem --path {}", moved.display()))
        );
        let listed = world.kd(&["list", "--snapshots", "--all-hosts"]);
        let listed = listed.stderr_any().stdout_any().ok().stdout();
        assert!(listed.contains(stack.unit()), "{way:?}: {listed}");
        fs::rename(&moved, &repo).unwrap();
        world.forget_host();
    }
    // Another configuration is there.
    for way in WAYS {
        fs::write(world.config_path(), "{\"version\": \"3.0\"}\n").unwrap();
        let before = state_of(&world);
        let run = way.run(&world, &bundle, &opened, "");
        let said = run.code(5);
        let said = said.stdout() + &said.stderr();
        assert!(said.contains("kopi-docka.json"), "{way:?}: {said}");
        assert_eq!(state_of(&world), before, "{way:?}");
        way.run(&world, &bundle, &opened, "--force").ok();
        let copies: Vec<PathBuf> = fs::read_dir(world.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().contains("kopi-docka.json."))
            .collect();
        let [copy] = copies.as_slice() else {
            panic!("{way:?}: {copies:?}")
        };
        assert_eq!(
            fs::read_to_string(copy).unwrap(),
            "{\"version\": \"3.0\"}\n"
        );
        world.forget_host();
    }
    // The programs, and the user.
    let stub = world.dir("programs").join("kopia");
    for way in WAYS {
        fs::write(&stub, "#!/bin/sh\necho 0.21.1 build: x\n").unwrap();
        Run::new("chmod")
            .args(["+x"])
            .arg(&stub)
            .env("PATH", path())
            .ok();
        let said = way.run(&world, &bundle, &opened, "").code(15).stderr();
        assert!(said.contains("too old"), "{way:?}: {said}");
        fs::remove_file(&stub).unwrap();
        let said = way.run(&world, &bundle, &opened, "");
        let said = said.env(
            "PATH",
            format!("{}:/usr/bin:/bin", world.path("programs").display()),
        );
        let said = said.code(15).stderr();
        assert!(said.contains("kopia"), "{way:?}: {said}");
        assert_eq!(names(&state_of(&world)), names(&nothing), "{way:?}");
    }
    let script = world.path("out/recover.sh");
    fs::copy(opened.folder.join("recover.sh"), &script).unwrap();
    Run::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "sh", "-s"])
        .stdin(fs::read(&script).unwrap())
        .env("PATH", path())
        .stderr("needs root")
        .code(13);
    fs::write(opened.folder.join("kopi-docka.json"), "{}").unwrap();
    let said = Way::Script.run(&world, &bundle, &opened, "").code(16);
    assert!(said.stderr().contains("is damaged"), "{}", said.stderr());
    Way::Script.run(&world, &bundle, &opened, "--frce").code(2);
}

#[test]
fn a_repository_with_a_new_password_needs_a_newer_bundle() {
    let world = World::new();
    let stack = saved(&world);
    let bundle = Bundle::of(&world);
    let opened = bundle.opened(&world);
    let new = world.secret_file("new-password", "a-new-and-long-password\n");
    world
        .kd(&[
            "change-password",
            "--new-password-file",
            new.to_str().unwrap(),
        ])
        .stdout_any()
        .stderr_any()
        .ok();
    world.lose_host(&stack);
    for way in WAYS {
        let said = way.run(&world, &bundle, &opened, "").code(12).stderr();
        assert!(said.contains("newer bundle"), "{way:?}: {said}");
        assert!(!world.config_path().exists(), "{way:?}");
    }
}

#[test]
fn a_host_that_takes_over_has_the_points_as_its_own() {
    let world = World::new();
    world.config(|config| config["kopia"]["host"] = json!("oldhost"));
    let stack = saved(&world);
    let bundle = Bundle::of(&world);
    let opened = bundle.opened(&world);
    world.lose_host(&stack);
    for way in WAYS {
        world.forget_host();
        let refused = way.run(&world, &bundle, &opened, "--take-over").code(5);
        assert!(
            refused.stderr().contains("--yes"),
            "{way:?}: {}",
            refused.stderr()
        );
        assert!(!world.config_path().exists(), "{way:?}");
        let taken = way.run(&world, &bundle, &opened, "--take-over --yes").ok();
        let said = taken.stdout();
        assert!(said.contains("kopi-docka@oldhost"), "{way:?}: {said}");
        let owner = world.kopia(&["maintenance", "info", "--json"]).json();
        assert_eq!(owner["owner"], "kopi-docka@oldhost", "{way:?}");
        // Nothing is said of another machine of that name.
        let init = named(world.kd(&["init", "--json"]), "newhost").json();
        assert_eq!(init["identity"], "kopi-docka@oldhost", "{way:?}");
        let listed = named(world.kd(&["list", "--snapshots", "--json"]), "newhost").json();
        assert_eq!(listed["points"][0]["unit"], stack.unit(), "{way:?}");
    }
}

#[test]
fn on_a_terminal_it_goes_on_into_the_restore() {
    let world = World::new();
    let stack = saved(&world);
    let bundle = Bundle::of(&world);
    world.lose_host(&stack);
    fs::write(world.config_path(), "{\"version\": \"3.0\"}\n").unwrap();
    let bundle_path = bundle.path.to_str().unwrap();
    let mut terminal = world
        .kd(&["disaster-recovery", "--restore", bundle_path])
        .terminal();
    terminal.answer("Recovery password", &bundle.password);
    let before = terminal.see("Replace them? A copy of each is kept beside it.");
    assert!(!before.contains(&bundle.password), "{before}");
    terminal.press("y");
    terminal.see("Restore all units of");
    terminal.press("y");
    terminal.see("Restore");
    terminal.see("?");
    terminal.press("y");
    terminal.code(0);
    let file = stack.volume_path("data").join("file");
    assert_eq!(fs::read_to_string(file).unwrap(), "what was saved");
    stack.assert_running(&["db"]);
}

#[test]
fn the_script_is_plain_shell() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/recover.sh");
    for words in [
        &["shellcheck", "-s", "sh"][..],
        &["dash", "-n"],
        &["busybox", "sh", "-n"],
    ] {
        let run = Run::new(words[0]).args(&words[1..]).arg(script);
        run.env("PATH", path()).ok();
    }
    // A system that has nothing but busybox.
    let world = World::new();
    let stack = saved(&world);
    let bundle = Bundle::of(&world);
    let opened = bundle.opened(&world);
    world.lose_host(&stack);
    let programs = world.dir("programs");
    let kopia = world.shell("command -v kopia").text();
    fs::remove_file(programs.join("kopi-docka")).unwrap();
    let busybox = world.shell("command -v busybox").text();
    let busybox = busybox.trim_end();
    let install = Run::new(busybox).args(["--install", "-s"]).arg(&programs);
    install.env("PATH", path()).ok();
    std::os::unix::fs::symlink(kopia.trim_end(), programs.join("kopia")).unwrap();
    for _ in 0..2 {
        let run = Run::new(busybox).args(["sh", "recover.sh"]);
        run.env("PATH", &programs)
            .env("HOME", world.path("home"))
            .directory(&opened.folder)
            .stdout(format!("  {}  ", stack.unit()))
            .stderr_any()
            .ok();
    }
    assert!(world.config_path().exists());
}

/// What every process on this machine was started with, until it is asked for.
struct Listing {
    is_over: Arc<AtomicBool>,
    seen: thread::JoinHandle<HashSet<Vec<u8>>>,
}

impl Listing {
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let seen = thread::spawn(move || {
            let mut seen = HashSet::new();
            while !until.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    if let Ok(line) = fs::read(entry.path().join("cmdline")) {
                        seen.insert(line);
                    }
                }
            }
            seen
        });
        Self { is_over, seen }
    }

    fn end(self) -> HashSet<Vec<u8>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

#[test]
fn no_secret_is_in_the_arguments_of_a_program() {
    let world = World::new();
    let stack = saved(&world);
    plant(&world);
    let listing = Listing::start();
    let bundle = Bundle::of(&world);
    let opened = bundle.opened(&world);
    world.lose_host(&stack);
    for way in WAYS {
        world.forget_host();
        way.run(&world, &bundle, &opened, "").ok();
    }
    let seen = listing.end();
    let holds = |what: &str| {
        let what = what.as_bytes();
        seen.iter()
            .any(|line| line.windows(what.len()).any(|window| window == what))
    };
    // It does see what is started.
    assert!(holds("recover.sh") && holds("openssl") && holds("snapshot"));
    for secret in [PLANTED, crate::common::PASSWORD, &bundle.password] {
        assert!(!holds(secret), "{secret}");
    }
}

// ---- a machine with nothing but a shell, OpenSSL, tar and Kopia ----

/// Such a machine, at `root` below the world's directory.
struct Bare<'a> {
    world: &'a World,
    root: PathBuf,
}

impl<'a> Bare<'a> {
    fn new(world: &'a World) -> Self {
        let lower = Bed::bare_root();
        let over = mount(world, "over", &["-t", "tmpfs", "none"]);
        for name in ["upper", "work"] {
            fs::create_dir(over.join(name)).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={over}/upper,workdir={over}/work",
            lower.display(),
            over = over.display()
        );
        let root = mount(world, "root", &["-t", "overlay", "none", "-o", &options]);
        let bare = Self { world, root };
        let memory = mount(world, "root/dev/shm", &["-t", "tmpfs", "none"]);
        assert!(memory.is_dir());
        // The one that made the repository.
        let kopia = world.shell("command -v kopia").text();
        fs::write(bare.root.join("usr/bin/kopia"), "").unwrap();
        bare.bind(kopia.trim_end(), "usr/bin/kopia");
        for missing in ["docker", "kopi-docka"] {
            bare.shell(&format!("command -v {missing}")).code(127);
        }
        bare
    }

    /// `from` of this machine is at `to` of the bare one.
    fn bind(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let to = to.as_ref();
        let to = self.root.join(to.strip_prefix("/").unwrap_or(to));
        if from.as_ref().is_dir() {
            fs::create_dir_all(&to).unwrap();
        }
        let run = Run::new("mount").args(["--bind"]).arg(from.as_ref());
        run.arg(to).env("PATH", path()).ok();
    }

    fn shell(&self, command: &str) -> Run {
        let root = self.root.to_str().unwrap();
        Run::new("setsid")
            .args(["--wait", "chroot", root, "sh", "-c", command])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .stdout_any()
            .stderr_any()
    }

    /// Follows the texts of `bundle`, up to the list of the restore points.
    fn follow(&self, bundle: &Bundle) -> String {
        let stick = self.root.join("mnt/stick");
        fs::create_dir_all(&stick).unwrap();
        for file in [bundle.path.clone(), beside(&bundle.path, ".README")] {
            fs::copy(&file, stick.join(file.file_name().unwrap())).unwrap();
        }
        let at = |folder: &str, command: &str| self.shell(&format!("cd {folder} && {command}"));
        let readme = bundle.readme();
        let [_, sum, open] = commands(&readme)[..] else {
            panic!("{readme}")
        };
        at("/mnt/stick", sum).ok();
        let opened = at("/mnt/stick", open);
        let opened = opened.stdin(format!("{}\n", bundle.password)).ok().stdout();
        let inside = commands(&opened);
        let [recover, .., alone] = inside[..] else {
            panic!("{inside:?}")
        };
        let folder = bundle.folder_in(&opened);
        let folder = folder.to_str().unwrap();
        let reached = at(folder, recover).ok().stdout();
        let alone = at(folder, alone).ok().stdout();
        assert!(alone.contains("kopi-docka@"), "{alone}");
        // As it was, and nobody else's.
        let config = self.world.config_path();
        let config = self.root.join(config.strip_prefix("/").unwrap());
        let placed: Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
        assert_eq!(placed, self.world.read_config());
        reached
    }
}

/// A stack on `params` is saved; the host is lost; a bare machine sees its points; then a new host has the stack again.
fn from_bare_host_to_stack(params: Option<&str>, with: &dyn Fn(Run) -> Run) {
    let world = World::new();
    if let Some(params) = params {
        world.config(|config| config["kopia"]["kopia_params"] = json!(params));
    }
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let file = stack.volume_path("data").join("file");
    fs::write(&file, "what was saved").unwrap();
    let quiet = |args: &[&str]| with(world.kd(args)).stdout_any().stderr_any();
    quiet(&["init"]).ok();
    quiet(&["--quiet", "backup", "--unit", stack.unit()]).ok();
    let out = world.path("out");
    let made = with(world.kd(&[
        "--json",
        "disaster-recovery",
        "--output",
        out.to_str().unwrap(),
    ]));
    let made = made.stderr_any().json();
    let path = PathBuf::from(made["path"].as_str().unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    let bundle = Bundle {
        name: name.strip_suffix(".tar.gz.enc").unwrap().to_owned(),
        password: password(&world),
        path,
    };
    world.secret_file("password", &bundle.password);
    let bare = Bare::new(&world);
    if params.is_none() {
        bare.bind(world.path("repo"), world.path("repo"));
    }
    let points = bare.follow(&bundle);
    assert!(
        points.contains(&format!("  {}  ", stack.unit())),
        "{points}"
    );
    let root = bare.root.clone();
    drop(bare);
    Run::new("umount")
        .args(["--recursive"])
        .arg(&root)
        .env("PATH", crate::common::path())
        .ok();
    crate::common::unmount(&world.path("over"));

    world.lose_host(&stack);
    let restore = format!(
        "kopi-docka disaster-recovery --restore {} --password-file {} && kopi-docka --config {} restore --all --up --yes",
        bundle.path.display(),
        world.path("password").display(),
        world.config_path().display(),
    );
    // The environment of the old host is gone too.
    world.shell(&restore).stdout_any().stderr_any().ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "what was saved");
    stack.assert_running(&["db"]);
}

#[test]
fn a_bare_host_reaches_a_repository_on_a_disk() {
    from_bare_host_to_stack(None, &|run| run);
}

#[test]
fn a_bare_host_reaches_a_repository_over_sftp() {
    let sshd = Sshd::start();
    // The client's files go with the host.
    let world = crate::common::Folder::new("client");
    for name in ["id", "known_hosts"] {
        fs::rename(sshd.path(name), world.path(name)).unwrap();
    }
    let params = sshd.params("repo").replace(
        sshd.path("").to_str().unwrap(),
        world.path("").to_str().unwrap(),
    );
    // But not the server's.
    let params = params.replacen(
        world.path("store").to_str().unwrap(),
        sshd.path("store").to_str().unwrap(),
        1,
    );
    from_bare_host_to_stack(Some(&params), &|run| run);
}

#[test]
fn a_bare_host_reaches_a_repository_on_s3() {
    let server = S3::start();
    from_bare_host_to_stack(Some(&server.params(s3::BUCKET, "hosts/")), &s3::with_keys);
}
