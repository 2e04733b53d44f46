//! A whole Debian machine of a test's own: systemd as process 1, an engine of its own, an SSH server when it is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::bed::{Bed, find, script};
use super::poll;
use super::run::Run;
use super::world::PASSWORD;

/// Of a machine that boots beside a build, and of whatever happens on it.
const PATIENCE: Duration = Duration::from_secs(120);
const KOPIA: &str = "KOPI_DOCKA_TEST_KOPIA";
const IMAGE_TIMEOUT: Duration = Duration::from_secs(540);

/// A container that is a machine. It has no network. `share`, a directory here, is `/machine` there; Docker's directory is on a volume, so
/// that what is in it is as it would be on a disk. Gone when dropped.
pub struct Machine {
    name: String,
    share: PathBuf,
    /// The engine in it, for [`World::on`](super::World::on) and the like.
    pub engine: Bed,
}

impl Machine {
    /// With the program in `/usr/bin`, as a package would install it.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(&find("kopia").unwrap(), &[Self::program()])
    }

    /// The same with the directory `here` as `there`.
    #[track_caller]
    pub fn with_volume(here: &Path, there: &str) -> Self {
        let volume = format!("--volume={}:{there}", here.display());
        Self::with(&find("kopia").unwrap(), &[Self::program(), volume])
    }

    /// The same with Tailscale, for [`Tailnet::machine`](super::Tailnet::machine).
    #[track_caller]
    pub fn with_tailscale() -> Self {
        let program = find("tailscaled").expect("there is no `tailscaled` on PATH: run tests/bed/setup.sh and source the file that it names");
        // One program, which goes by its name.
        let both = ["/usr/sbin/tailscaled", "/usr/bin/tailscale"]
            .map(|place| format!("--volume={}:{place}:ro", program.display()));
        let [daemon, client] = both;
        let tunnel = "--device=/dev/net/tun".to_owned();
        let options = [Self::program(), daemon, client, tunnel];
        Self::with(&find("kopia").unwrap(), &options)
    }

    /// The same with Compose.
    #[track_caller]
    pub fn with_compose() -> Self {
        Self::with(&find("kopia").unwrap(), &[Self::program(), compose()])
    }

    /// The same, and with Kopia as everybody has it, whatever the other tests use.
    #[track_caller]
    pub fn of_users() -> Self {
        Self::with(&kopia_of_users(), &[Self::program(), compose()])
    }

    /// Without the program, and with Kopia as everybody has it.
    #[track_caller]
    pub fn bare() -> Self {
        Self::with(&kopia_of_users(), &[])
    }

    fn program() -> String {
        let program = env!("CARGO_BIN_EXE_kopi-docka");
        format!("--volume={program}:/usr/bin/kopi-docka:ro")
    }

    #[track_caller]
    fn with(kopia: &Path, options: &[String]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kdt-machine-{}-{number}", std::process::id());
        // Not below TMPDIR: the path of the engine's socket has to be short.
        let share = Path::new("/tmp").join(&name);
        fs::create_dir(&share)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", share.display()));
        let socket = share.join("docker.sock");
        // Made first, so that a start that fails is cleaned up too.
        let machine = Self {
            name,
            share,
            engine: Bed {
                socket,
                is_shared: false,
                newer: None,
            },
        };
        machine.run(kopia, options);
        machine.until_up();
        machine.engine.require_image();
        machine
    }

    /// The container that it is.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Of its first process, as it is numbered here.
    #[track_caller]
    pub(super) fn pid(&self) -> i32 {
        let inspect = ["container", "inspect", "--format", "{{.State.Pid}}"];
        let pid = Bed::shared().docker(&inspect).arg(&self.name).text();
        pid.parse().unwrap()
    }

    #[track_caller]
    fn run(&self, kopia: &Path, options: &[String]) {
        let outer = Bed::shared();
        let image = script("systemd.sh")
            .arg(&outer.socket)
            .timeout(IMAGE_TIMEOUT)
            .text();
        // As `--privileged`, which fails where the tests have all rights but this one, and with control groups that are its own.
        let mut run = outer.docker(&[
            "run",
            "--detach",
            "--cap-add=ALL",
            "--cap-drop=SYS_RESOURCE",
        ]);
        run = run.args(
            ["seccomp", "apparmor", "systempaths"]
                .map(|of| format!("--security-opt={of}=unconfined")),
        );
        run = run.args(["--cgroupns", "private", "--network", "none"]);
        run = run.args(["--stop-signal", "SIGRTMIN+3", "--hostname", "machine"]);
        run = run.args(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"]);
        run = run.args(["--volume", "/var/lib/docker"]);
        let servers = find("versitygw").unwrap();
        let installed = [("kopia", kopia), ("versitygw", &servers)]
            .map(|(name, path)| format!("--volume={}:/usr/local/bin/{name}:ro", path.display()));
        let share = format!("--volume={}:/machine", self.share.display());
        run = run.args(options).args(installed).arg(share);
        run.args(["--name", &self.name, &image]).text();
    }

    /// Runs a program there, with the environment of a root shell. Nothing is expected of stderr's emptiness that is not said.
    pub fn exec(&self, args: &[&str]) -> Run {
        let run = Bed::shared().docker(&["exec", "--env", "HOME=/root", &self.name]);
        run.args(args)
    }

    /// A shell script there.
    pub fn sh(&self, script: &str) -> Run {
        self.exec(&["sh", "-euc", script])
    }

    /// Writes a file there; its directory is made. `mode` is octal.
    #[track_caller]
    pub fn write(&self, path: &str, mode: &str, content: &str) {
        let script = r#"mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1""#;
        let run = Bed::shared().docker(&["exec", "--interactive", &self.name]);
        run.args(["sh", "-euc", script, "sh", path, mode])
            .stdin(content)
            .ok();
    }

    /// What an administrator would write into `/etc/kopi-docka.json`, changed by `edit`; then makes the repository.
    #[track_caller]
    pub fn configure(&self, edit: impl FnOnce(&mut Value)) {
        let mut config = json!({
            "version": "3.0",
            "kopia": { "kopia_params": "filesystem --path /backup/repository", "password": PASSWORD },
            "backup": { "base_path": "/backup/kopi-docka", "stop_timeout": 10, "start_timeout": 30, "stall_timeout": 60 },
        });
        edit(&mut config);
        self.write("/etc/kopi-docka.json", "600", &format!("{config:#}\n"));
        self.exec(&["kopi-docka", "--quiet", "init"])
            .stdout_any()
            .ok();
    }

    /// Waits until a container of the engine there runs.
    #[track_caller]
    pub fn until_running(&self, container: &str) {
        poll::until(&format!("{container} to run"), PATIENCE, || {
            self.is_running(container).then_some(())
        });
    }

    /// Whether it runs; no answer from the engine is a no.
    pub fn is_running(&self, container: &str) -> bool {
        let format = "{{.State.Running}}";
        let run = self
            .engine
            .docker(&["container", "inspect", "--format", format, container]);
        run.run().stdout().trim() == "true"
    }

    /// A file there that can be seen here.
    pub fn shared(&self, name: &str) -> PathBuf {
        self.share.join(name)
    }

    pub fn systemctl(&self, args: &[&str]) -> Run {
        self.exec(&["systemctl"]).args(args)
    }

    /// A property of a unit, as `systemctl show` tells it.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&["show", "--value", "--property", name, unit])
            .text()
    }

    /// Waits until a property of a unit is `value`.
    #[track_caller]
    pub fn until_property(&self, unit: &str, name: &str, value: &str) {
        let mut last = String::new();
        let done = poll::within(PATIENCE, || {
            last = self.property(unit, name);
            (last == value).then_some(())
        });
        if done.is_none() {
            let log = self.exec(&["journalctl", "--no-pager", "--lines", "40", "--unit", unit]);
            panic!(
                "{name} of {unit} is {last:?} and not {value:?}\n{}",
                log.run()
            );
        }
    }

    /// What the journal has, the oldest first: `journal(&["UNIT=web"])`.
    #[track_caller]
    pub fn journal(&self, matches: &[&str]) -> Vec<Value> {
        let run = self.exec(&["journalctl", "--output", "json", "--all", "--no-pager"]);
        run.args(matches).stdout_any().ok().json_lines()
    }

    /// The messages of what the journal has.
    #[track_caller]
    pub fn messages(&self, matches: &[&str]) -> Vec<String> {
        let entries = self.journal(matches);
        let text = |entry: &Value| entry["MESSAGE"].as_str().unwrap_or_default().to_owned();
        entries.iter().map(text).collect()
    }

    /// Waits until the journal has a message that contains `text`.
    #[track_caller]
    pub fn until_journal(&self, matches: &[&str], text: &str) {
        let mut lines = Vec::new();
        let has = poll::within(PATIENCE, || {
            lines = self.messages(matches);
            lines.iter().any(|line| line.contains(text)).then_some(())
        });
        if has.is_none() {
            panic!(
                "no {text:?} in the journal of {matches:?}:\n{}",
                lines.join("\n")
            );
        }
    }

    /// As a power button: systemd ends everything and comes up again. What was below /run is gone.
    #[track_caller]
    pub fn reboot(&self) {
        Bed::shared()
            .docker(&["restart", "--time", "90", &self.name])
            .text();
        self.until_up();
    }

    /// As a power cut: nobody is asked.
    #[track_caller]
    pub fn cut_power(&self) {
        Bed::shared().docker(&["kill", &self.name]).text();
        Bed::shared().docker(&["start", &self.name]).text();
        self.until_up();
    }

    /// Waits until all units have started, and none of them failed.
    #[track_caller]
    pub fn until_up(&self) {
        let mut last = None;
        let up = poll::within(PATIENCE, || {
            let done = self.systemctl(&["is-system-running"]).run();
            let is = done.stdout().trim().to_owned();
            last = Some(done);
            matches!(is.as_str(), "running" | "degraded").then_some(is)
        });
        match up.as_deref() {
            Some("running") => {}
            Some(_) => panic!(
                "units failed:\n{}\n{}",
                self.systemctl(&["--failed"]).run(),
                self.sh("journalctl --boot --no-pager --priority warning")
                    .run()
            ),
            None => panic!("the machine does not come up:\n{}", last.unwrap()),
        }
    }
}

/// The Compose plugin of the test bed, mounted where Docker looks for it.
#[track_caller]
fn compose() -> String {
    let config = Bed::shared()
        .docker_config()
        .expect("the test bed has a Compose");
    let plugin = fs::canonicalize(config.join("cli-plugins/docker-compose")).unwrap();
    let there = "/usr/libexec/docker/cli-plugins/docker-compose";
    format!("--volume={}:{there}:ro", plugin.display())
}

fn kopia_of_users() -> PathBuf {
    std::env::var_os(KOPIA).map_or_else(|| find("kopia").unwrap(), PathBuf::from)
}

impl Drop for Machine {
    fn drop(&mut self) {
        if super::world::keep() {
            eprintln!(
                "kept the machine {} and {}",
                self.name,
                self.share.display()
            );
            return;
        }
        let run = Bed::shared().docker(&["rm", "--force", "--volumes", &self.name]);
        let done = run.run();
        if done.code != Some(0) || fs::remove_dir_all(&self.share).is_err() {
            eprintln!("the machine {} could not be removed:\n{done}", self.name);
        }
    }
}
