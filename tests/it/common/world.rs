//! A host of a test's own, as far as one machine allows it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::bed::{Bed, path};
use super::causes;
use super::events::Watch;
use super::poll;
use super::run::Run;
use super::service::{Service, Volume};
use super::stack::{Stack, StackBuilder};
use super::template;

/// On everything that a test makes in Docker; its value is the world's id.
pub const LABEL: &str = "kopi-docka-test";

pub const PASSWORD: &str = "correct horse battery staple";
pub const PROFILE: &str = "kopi-docka";

/// Directories, a configuration and a name for one test. Dropped: its processes are killed, what it made in Docker is removed,
/// its directory is unmounted and deleted.
pub struct World {
    pub bed: Bed,
    id: String,
    root: PathBuf,
}

impl World {
    /// On the engine that all tests share.
    #[track_caller]
    pub fn new() -> Self {
        Self::on(&Bed::shared())
    }

    #[track_caller]
    pub fn on(bed: &Bed) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis()
            & 0xff_ffff;
        let id = format!(
            "kdt{:x}-{now:06x}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(&id);
        fs::create_dir(&root)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", root.display()));
        let world = Self {
            bed: bed.clone(),
            id,
            root,
        };
        // The rest does not exist on a new host either: the program makes it.
        fs::create_dir(world.path("home")).unwrap();
        world.write_config(&world.default_config());
        world
    }

    fn default_config(&self) -> Value {
        json!({
            "version": "3.0",
            "kopia": {
                "kopia_params": format!("filesystem --path {}", self.path("repo").display()),
                "password": PASSWORD,
                "profile": PROFILE,
                "cache_directory": self.path("cache"),
            },
            "backup": {
                "base_path": self.path("backup"),
                "stop_timeout": 10,
                "start_timeout": 30,
                "stall_timeout": 60,
                "recovery_bundle_path": self.path("recovery"),
                "spool": { "size": "auto", "directory": self.path("spool") },
            },
            "docker": { "socket": self.bed.socket },
            // Everything stays: a test makes more points of a day than anybody keeps.
            "retention": { "latest": 0, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0 },
            "logging": { "file": self.path("kopi-docka.log") },
        })
    }

    /// In the name of everything that belongs to this world. Lower case, digits and `-`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `name` as it is called in Docker, where it has to be unique among all worlds.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }

    /// Below this world's directory: `home`, `state`, `run`, `backup` (`base_path`), `repo`, `cache`, `spool`, `recovery`,
    /// `stacks`, `kopi-docka.json`, and whatever a test puts there.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// A directory below this world's, made when it is not there.
    pub fn dir(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        path
    }

    /// A file below this world's directory that its owner alone can read.
    pub fn secret_file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    pub fn config_path(&self) -> PathBuf {
        self.path("kopi-docka.json")
    }

    /// Changes the configuration: `world.config(|c| c["backup"]["stop_timeout"] = 1.into())`.
    pub fn config(&self, edit: impl FnOnce(&mut Value)) {
        let mut config = self.read_config();
        edit(&mut config);
        self.write_config(&config);
    }

    pub fn read_config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.config_path()).unwrap()).unwrap()
    }

    fn write_config(&self, config: &Value) {
        fs::write(self.config_path(), format!("{config:#}\n")).unwrap();
        fs::set_permissions(self.config_path(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The program, with this world's configuration and directories and nothing else in its environment.
    #[track_caller]
    pub fn kd(&self, args: &[&str]) -> Run {
        self.refuse_what_would_touch_others(args);
        self.here(Run::new(env!("CARGO_BIN_EXE_kopi-docka")))
            .arg("--config")
            .arg(self.config_path())
            .args(args)
            .env("PATH", path())
    }

    /// `command` in a shell that has nothing of this world but its environment, with the program on its PATH.
    pub fn shell(&self, command: &str) -> Run {
        let programs = self.dir("programs");
        let program = programs.join("kopi-docka");
        if !program.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kopi-docka"), &program).unwrap();
        }
        let path = format!("{}:{}", programs.display(), path().display());
        // Without a terminal to ask at.
        self.here(Run::new("setsid"))
            .args(["--wait", "sh", "-c", command])
            .env("PATH", path)
    }

    /// With this world's directories, and nothing else in its environment.
    fn here(&self, run: Run) -> Run {
        // Where the Compose plugin is.
        let docker_config = self.bed.docker_config().unwrap_or_default();
        run.env("HOME", self.path("home"))
            .env("KOPI_DOCKA_STATE_DIRECTORY", self.path("state"))
            .env("KOPI_DOCKA_RUNTIME_DIRECTORY", self.path("run"))
            .env("KOPI_DOCKA_ENV_FILE", self.path("kopi-docka.env"))
            .env(
                "KOPI_DOCKA_RECOVERY_PASSWORD_FILE",
                self.path("recovery-password"),
            )
            .env("DOCKER_CONFIG", docker_config)
            .env("LC_ALL", "C")
    }

    #[track_caller]
    fn refuse_what_would_touch_others(&self, args: &[&str]) {
        let has = |words: &[&str]| args.iter().any(|arg| words.contains(arg));
        let every_unit = has(&["backup"])
            && !has(&["--dry-run", "--help"])
            && !args.iter().any(|arg| arg.starts_with("--unit"));
        assert!(
            !self.bed.is_shared || !(every_unit || has(&["--interval-minutes"])),
            "this would stop the containers of all tests: name a --unit, or use `World::on(&Bed::own_engine())`"
        );
    }

    /// As [`World::kd`], on a host that is called `name`.
    #[track_caller]
    pub fn kd_on(&self, name: &str, args: &[&str]) -> Run {
        let script = "hostname \"$1\" && shift && exec \"$@\"";
        self.kd(args)
            .under(["unshare", "--uts", "sh", "-c", script, "sh", name])
    }

    /// `kopia` with this world's connection, as the program uses it.
    pub fn kopia(&self, args: &[&str]) -> Run {
        let config = self.read_config();
        let text = |name: &str, default: &str| {
            config["kopia"][name].as_str().unwrap_or(default).to_owned()
        };
        let profile = text("profile", PROFILE);
        Run::new("kopia")
            .arg(format!(
                "--config-file={}/.config/kopia/repository-{profile}.config",
                self.path("home").display()
            ))
            .arg(format!("--log-dir={}", self.path("kopia-logs").display()))
            .args(["--no-auto-maintenance", "--no-progress"])
            .args(args)
            .env("PATH", path())
            .env("HOME", self.path("home"))
            .env("KOPIA_PASSWORD", text("password", PASSWORD))
            .env("KOPIA_CACHE_DIRECTORY", self.path("cache").join(profile))
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .env("LC_ALL", "C")
    }

    /// `docker` for this world's engine.
    pub fn docker(&self, args: &[&str]) -> Run {
        self.bed.docker(args)
    }

    /// There is a repository: a copy of the kit's where nothing special is asked for.
    #[track_caller]
    pub fn init(&self) {
        if !template::put_into(self) {
            self.init_for_real();
        }
    }

    #[track_caller]
    pub fn init_for_real(&self) {
        self.kd(&["--quiet", "init"]).stdout_any().ok();
    }

    /// Whether the repository is to be as the kit makes it.
    pub(super) fn is_plain(&self) -> bool {
        self.read_config()["kopia"] == self.default_config()["kopia"]
    }

    /// The host is gone, and with it all that it knew; the repository is elsewhere.
    #[track_caller]
    pub fn lose_host(&self, stack: &Stack) {
        stack.wipe();
        self.forget_host();
    }

    /// Leaves what is no part of the host.
    #[track_caller]
    pub fn forget_host(&self) {
        let kept = [
            "repo", "moved", "out", "stacks", "programs", "root", "password",
        ];
        for entry in fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            if kept.contains(&path.file_name().unwrap().to_str().unwrap()) {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        self.dir("home");
    }

    /// Backs `stack` up, which must succeed, and returns the run's report.
    #[track_caller]
    pub fn backup(&self, stack: &Stack) -> Value {
        self.kd(&["--quiet", "backup", "--unit", stack.unit()])
            .stdout_any()
            .ok();
        self.report()
    }

    /// `restore` of the newest point of `unit`, without a question.
    pub fn restore_latest(&self, unit: &str, more: &[&str]) -> Run {
        self.restore(unit, &["--backup-id", "latest"]).args(more)
    }

    /// `restore` of the point of `unit` that `which` names, without a question.
    pub fn restore(&self, unit: &str, which: &[&str]) -> Run {
        self.kd(&["--quiet", "restore", "--yes", "--unit", unit])
            .args(which)
    }

    /// The newest run report.
    #[track_caller]
    pub fn report(&self) -> Value {
        self.reports().pop().unwrap_or_else(|| {
            panic!(
                "there is no run report in {}",
                self.path("backup/metadata").display()
            )
        })
    }

    /// All run reports, the oldest first.
    pub fn reports(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.path("backup/metadata")) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .filter(|path| {
                !path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("drill-")
            })
            .collect();
        paths.sort();
        let read = |path: PathBuf| {
            serde_json::from_slice(&fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{} is not JSON: {error}", path.display()))
        };
        paths.into_iter().map(read).collect()
    }

    /// What `list --snapshots --json` says.
    #[track_caller]
    pub fn points(&self) -> Value {
        self.kd(&["list", "--snapshots", "--json"]).json()
    }

    /// Describes a compose project; it is there after `.up()`.
    pub fn stack(&self, name: &str) -> StackBuilder<'_> {
        StackBuilder::new(self, name)
    }

    /// The stack `web` of one service, `db`, with the volume `data`.
    #[track_caller]
    pub fn web(&self) -> Stack {
        let stack = self.stack("web");
        stack.service("db", |s| s.volume("data", "/data")).up()
    }

    /// Starts one container without compose labels and returns its name, which is that of its unit. Its own volumes are
    /// called `<world>_<volume>`.
    #[track_caller]
    pub fn container(&self, name: &str, with: impl FnOnce(Service) -> Service) -> String {
        let container = self.name(name);
        let label = format!("{LABEL}={}", self.id);
        let service = with(Service::new(name));
        for volume in service.own_volumes() {
            self.create_volume(&format!("{}_{volume}", self.id), &Volume::default());
        }
        let run = self.docker(&["run", "--detach", "--name", &container, "--label", &label]);
        run.args(service.docker_args(&format!("{}_", self.id), None))
            .text();
        container
    }

    /// Creates a volume that belongs to no project and returns its full name.
    #[track_caller]
    pub fn volume(&self, name: &str, with: impl FnOnce(Volume) -> Volume) -> String {
        let name = self.name(name);
        self.create_volume(&name, &with(Volume::default()));
        name
    }

    #[track_caller]
    fn create_volume(&self, name: &str, volume: &Volume) {
        let label = format!("{LABEL}={}", self.id);
        self.docker(&["volume", "create", "--label", &label])
            .args(volume.docker_args())
            .arg(name)
            .text();
    }

    /// Where Docker keeps a volume, by its full name.
    #[track_caller]
    pub fn volume_path(&self, name: &str) -> PathBuf {
        self.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", name])
            .text()
            .into()
    }

    /// `docker inspect` of a container, by its full name.
    #[track_caller]
    pub fn inspect(&self, container: &str) -> Value {
        self.docker(&["container", "inspect", container]).json()[0].take()
    }

    /// Listens to what Docker does to this world's containers from now on.
    #[track_caller]
    pub fn watch(&self) -> Watch {
        Watch::new(&self.bed, &self.id)
    }

    /// The processes that belong to this world, with their command lines: whoever has its id in an argument, in the environment,
    /// or as its directory. A run that is over must leave none.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let id = self.id.as_bytes();
        let holds = |bytes: &[u8]| bytes.windows(id.len()).any(|window| window == id);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let directory = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let line = read("cmdline");
            if holds(&line) || holds(&read("environ")) || holds(directory.as_os_str().as_bytes()) {
                found.push((
                    pid,
                    String::from_utf8_lossy(&line)
                        .replace('\0', " ")
                        .trim_end()
                        .to_owned(),
                ));
            }
        }
        // Those of the engine and those in its containers go with the containers; so do the kit's own listeners.
        found.retain(|(_, line)| {
            !line.starts_with("containerd-shim")
                && !line.contains("docker-proxy")
                && !line.starts_with("docker ")
        });
        found
    }

    fn kill_processes(&self) {
        let own = i32::try_from(std::process::id()).unwrap();
        let left = poll::within(Duration::from_secs(5), || {
            let mut left = self.processes();
            left.retain(|(pid, _)| *pid != own);
            for pid in left.iter().filter_map(|(pid, _)| Pid::from_raw(*pid)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            left.is_empty().then_some(())
        });
        if left.is_none() {
            eprintln!(
                "{}: processes that do not end: {:?}",
                self.id,
                self.processes()
            );
        }
    }

    /// By name or label: a restored or re-created one may have lost the one or the other.
    fn remove_from_docker(&self) {
        for (what, list, remove) in [
            (
                "container",
                &["ls", "--all", "--format", "{{.ID}} {{.Names}} {{.Labels}}"][..],
                &["rm", "--force", "--volumes"][..],
            ),
            (
                "network",
                &["ls", "--format", "{{.ID}} {{.Name}} {{.Labels}}"],
                &["rm"],
            ),
            (
                "volume",
                &["ls", "--format", "{{.Name}} {{.Name}} {{.Labels}}"],
                &["rm", "--force"],
            ),
        ] {
            let list = self.docker(&[what]).args(list).run();
            let text = list.stdout();
            let ids: Vec<&str> = text
                .lines()
                .filter(|line| line.contains(&self.id))
                .filter_map(|line| line.split(' ').next())
                .collect();
            if ids.is_empty() && list.code == Some(0) {
                continue;
            }
            let done = if ids.is_empty() {
                list
            } else {
                self.docker(&[what]).args(remove).args(&ids).run()
            };
            if done.code != Some(0) {
                eprintln!("{}: not all was removed from Docker:\n{done}", self.id);
            }
        }
    }

    fn remove_directory(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = format!("{}/", self.root.display());
        let mut points: Vec<&str> = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|point| point.starts_with(&below))
            .collect();
        // The last mounted one first.
        points.reverse();
        for point in points {
            let _ = Run::new("umount")
                .arg("--lazy")
                .arg(point.replace("\\040", " "))
                .env("PATH", path())
                .run();
        }
        if fs::remove_dir_all(&self.root).is_err() {
            let _ = Run::new("chattr")
                .args(["-R", "-f", "-i", "-a"])
                .arg(&self.root)
                .env("PATH", path())
                .run();
            if let Err(error) = fs::remove_dir_all(&self.root) {
                eprintln!("{} could not be removed: {error}", self.root.display());
            }
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if keep() {
            eprintln!(
                "kept {} and what has this name in Docker",
                self.root.display()
            );
            return;
        }
        let reports = catch_unwind(AssertUnwindSafe(|| self.reports())).unwrap_or_default();
        let bare: Vec<String> = reports.iter().flat_map(causes::bare_in_report).collect();
        // One step that fails mustn't keep the next from its work, nor end a test run that is already failing.
        for step in [
            Self::kill_processes,
            Self::remove_from_docker,
            Self::remove_directory,
        ] {
            let _ = catch_unwind(AssertUnwindSafe(|| step(self)));
        }
        assert!(
            bare.is_empty() || std::thread::panicking(),
            "the report of a run does not say what failed where: {bare:#?}"
        );
    }
}

/// `KOPI_DOCKA_TEST_KEEP=1`: leave everything to be looked at.
pub fn keep() -> bool {
    std::env::var_os("KOPI_DOCKA_TEST_KEEP").is_some_and(|value| !value.is_empty())
}
