//! Where the real engine and the real Kopia are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::poll;
use super::run::Run;

/// A static busybox, so that `sh`, `stat`, `nc` and the like are there; its command waits and ends at once on SIGTERM.
pub const IMAGE: &str = "kopi-docka-test:1";

const SOCKET: &str = "KOPI_DOCKA_TEST_DOCKER";
const SCRIPTS: &str = "KOPI_DOCKA_TEST_BED";
const NEWER: &str = "KOPI_DOCKA_TEST_NEWER";
/// An engine that is being started beside a build on a small machine.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(90);

/// An engine that answers and has the test image.
#[derive(Clone, Debug)]
pub struct Bed {
    pub socket: PathBuf,
    /// Other tests have their containers on it.
    pub is_shared: bool,
    /// Where its programs are, if they are not this machine's.
    pub(super) newer: Option<PathBuf>,
}

impl Bed {
    /// The engine that all tests share: `$KOPI_DOCKA_TEST_DOCKER`, else the system's. Panics when there is none.
    pub fn shared() -> Self {
        static BED: OnceLock<Bed> = OnceLock::new();
        BED.get_or_init(|| {
            let socket = std::env::var_os(SOCKET)
                .map_or_else(|| PathBuf::from("/var/run/docker.sock"), PathBuf::from);
            Self::at(socket, true)
        })
        .clone()
    }

    /// Makes the image of a real PostgreSQL of that major version; its name.
    #[track_caller]
    pub fn postgres_image(&self, major: u8) -> String {
        script("postgres.sh")
            .arg(&self.socket)
            .arg(major.to_string())
            .timeout(Duration::from_secs(540))
            .stderr_any()
            .ok();
        format!("kopi-docka-test-postgres:{major}")
    }

    /// A Redis that has on the disk what `SAVE` puts there, and nothing else.
    #[track_caller]
    pub fn redis_image(&self) -> String {
        script("redis.sh")
            .arg(&self.socket)
            .timeout(Duration::from_secs(540))
            .stderr_any()
            .ok();
        "kopi-docka-test-redis:7".to_owned()
    }

    /// The folder of a Debian with OpenSSL and nothing else, which must stay as it is.
    #[track_caller]
    pub fn bare_root() -> PathBuf {
        let script = script("bare.sh").timeout(Duration::from_secs(540));
        script.stderr_any().text().trim_end().into()
    }

    /// An engine of the test's own, for tests that kill it, restart it, or back up everything that runs on it.
    pub fn own_engine() -> OwnEngine {
        Self::own_engine_with(&serde_json::json!({}))
    }

    /// As [`own_engine`](Self::own_engine), of the newest Docker and with the newest Compose that Debian has.
    #[track_caller]
    pub fn own_newer_engine() -> OwnEngine {
        let newer = std::env::var_os(NEWER).unwrap_or_else(|| {
            panic!("{NEWER} is not set: run tests/bed/setup.sh and source the file that it names")
        });
        Self::engine(&serde_json::json!({}), Some(newer.into()))
    }

    /// As [`own_engine`](Self::own_engine), with a `daemon.json`.
    pub fn own_engine_with(daemon: &Value) -> OwnEngine {
        Self::engine(daemon, None)
    }

    fn engine(daemon: &Value, newer: Option<PathBuf>) -> OwnEngine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not below the test's own directory: the paths of an engine's sockets have to be short.
        let dir = PathBuf::from(format!("/tmp/kdt-engine-{}-{number}", std::process::id()));
        fs::create_dir(&dir)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
        fs::write(dir.join("daemon.json"), daemon.to_string()).unwrap();
        // Made first, so that a start that fails is cleaned up too.
        let mut engine = OwnEngine {
            bed: Self {
                socket: dir.join("docker.sock"),
                is_shared: false,
                newer: newer.clone(),
            },
            dir,
        };
        engine.start();
        engine.bed = Self {
            newer,
            ..Self::at(engine.bed.socket.clone(), false)
        };
        engine
    }

    fn at(socket: PathBuf, is_shared: bool) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "the integration tests need root: they read the files of Docker's volumes"
        );
        for program in ["kopia", "docker", "tar"] {
            assert!(
                is_on_path(program),
                "there is no `{program}` on PATH: run tests/bed/setup.sh and source the file that it names"
            );
        }
        let bed = Self {
            socket,
            is_shared,
            newer: None,
        };
        assert!(
            bed.docker(&["version"]).run().code == Some(0),
            "no Docker engine answers at {}: start one with `tests/bed/engine.sh start DIR` and set {SOCKET}=DIR/docker.sock",
            bed.socket.display()
        );
        bed.require_image();
        bed
    }

    /// Makes [`IMAGE`] unless it is there.
    #[track_caller]
    pub(super) fn require_image(&self) {
        if self.docker(&["image", "inspect", IMAGE]).run().code != Some(0) {
            script("image.sh")
                .arg(&self.socket)
                .stdout_any()
                .stderr_any()
                .ok();
        }
    }

    /// `docker` for this engine.
    pub fn docker(&self, args: &[&str]) -> Run {
        let mut run = Run::new("docker")
            .arg("-H")
            .arg(self.host())
            .args(args)
            .env("PATH", path())
            .env("LC_ALL", "C")
            .env("HOME", "/root");
        if let Some(config) = self.docker_config() {
            run = run.env("DOCKER_CONFIG", config);
        }
        run
    }

    /// Where the Compose plugin is.
    pub fn docker_config(&self) -> Option<PathBuf> {
        match &self.newer {
            Some(newer) => Some(newer.join("docker")),
            None => std::env::var_os("DOCKER_CONFIG").map(PathBuf::from),
        }
    }

    /// What `DOCKER_HOST` would be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// Stopped and wiped when dropped.
pub struct OwnEngine {
    bed: Bed,
    dir: PathBuf,
}

impl OwnEngine {
    /// Starts it, or starts it again with the same data after it was killed or stopped.
    pub fn start(&mut self) {
        let mut script = script("engine.sh");
        if let Some(newer) = &self.bed.newer {
            script = script.env("KOPI_DOCKA_ENGINE", newer.join("bin"));
        }
        script
            .arg("start")
            .arg(&self.dir)
            .timeout(ENGINE_TIMEOUT)
            .stdout_any()
            .stderr_any()
            .ok();
    }

    /// SIGKILL to dockerd: the containers go on running.
    pub fn kill9(&self) {
        self.end(Signal::KILL);
    }

    /// SIGTERM to dockerd, which stops its containers unless `live-restore` is set; returns when it has ended.
    pub fn shut_down(&self) {
        self.end(Signal::TERM);
    }

    pub fn restart(&mut self) {
        self.shut_down();
        self.start();
    }

    /// What a container publishes is reached in here: `nsenter --net=…`.
    pub fn network_namespace(&self) -> PathBuf {
        self.dir.join("netns")
    }

    /// To dockerd alone: with STOP it hangs until CONT.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid();
        kill_process(Pid::from_raw(pid).unwrap(), signal)
            .unwrap_or_else(|error| panic!("cannot signal the engine {pid}: {error}"));
    }

    fn pid(&self) -> i32 {
        let file = self.dir.join("docker.pid");
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        text.trim().parse().unwrap()
    }

    fn end(&self, signal: Signal) {
        let pid = self.pid();
        self.signal(signal);
        // Nobody may have collected it yet; a zombie has no command line.
        let gone = || {
            fs::read(format!("/proc/{pid}/cmdline"))
                .map_or(true, |line| line.is_empty())
                .then_some(())
        };
        poll::until("the engine to end", ENGINE_TIMEOUT, gone);
    }
}

impl std::ops::Deref for OwnEngine {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.bed
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if super::world::keep() {
            eprintln!("kept the engine in {}", self.dir.display());
            return;
        }
        let done = script("engine.sh")
            .arg("stop")
            .arg(&self.dir)
            .timeout(ENGINE_TIMEOUT)
            .run();
        if done.code != Some(0) {
            eprintln!(
                "the engine in {} could not be removed:\n{done}",
                self.dir.display()
            );
        }
    }
}

pub(super) fn script(name: &str) -> Run {
    let dir = std::env::var_os(SCRIPTS).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bed"),
        PathBuf::from,
    );
    let script = dir.join(name);
    assert!(
        script.exists(),
        "there is no {} (set {SCRIPTS} to the directory of the test bed)",
        script.display()
    );
    Run::new(script)
        .env("PATH", path())
        .env("HOME", std::env::var_os("HOME").unwrap_or("/root".into()))
}

pub fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn is_on_path(program: &str) -> bool {
    find(program).is_some()
}

pub(super) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&path())
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}
