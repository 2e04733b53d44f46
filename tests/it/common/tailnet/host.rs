//! A machine as far as its network goes: namespaces for the network, the mounts and the name, and one for what is started to stay.
//!
//! All of them end with one process, which ends with the pipe that this process holds: nothing outlives a test, even one that was killed,
//! and no name of it is anywhere.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::bed::{find, path};
use crate::common::poll;
use crate::common::run::Run;
use crate::common::server::with_descendants;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Its `/etc` is this machine's with changes of its own: a file that two have mounted over one cannot be replaced, and `tailscaled` does
/// that with `/etc/resolv.conf`. What listens in `/run` here is covered: the D-Bus of this machine leads to its name server.
const SET_UP: &str = r#"
set -eu
mount -t tmpfs tmpfs "$1"
mkdir "$1/changed" "$1/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$1/changed,workdir=$1/work" overlay /etc
mount -t tmpfs tmpfs /run/tailscale
if [ -d /run/dbus ]; then mount -t tmpfs tmpfs /run/dbus; fi
hostname "$2"
ip link set lo up
echo ready
exec cat >/dev/null
"#;

/// Without a way to everywhere tailscaled takes the network to be down. The programs of the other end need not have `ip`.
const CONNECT: &str = r#"
ip link add "$2" type veth peer name eth0 netns "$3"
ip link set "$2" master "$1" up
there() { nsenter --target="$pid" --net ip "$@"; }
pid=$3
there address add "$4/24" dev eth0
there link set eth0 up
there route add default via "$5"
"#;

pub struct Host {
    /// What ends the first process when it is closed.
    pipe: Option<ChildStdin>,
    child: Child,
    /// The first process in the namespaces, as it is numbered here.
    pid: i32,
    folder: PathBuf,
}

impl Host {
    /// What it writes comes into `folder`.
    #[track_caller]
    pub fn start(name: &str, folder: &Path) -> Self {
        let etc = folder.join("etc");
        fs::create_dir_all(&etc).unwrap();
        // Where it has a file system of its own.
        fs::create_dir_all("/run/tailscale").unwrap();
        let mut child = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--pid", "--fork"])
            .args(["--kill-child", "--propagation", "slave"])
            .args(["sh", "-c", SET_UP, "sh"])
            .arg(&etc)
            .arg(name)
            .env_clear()
            .env("PATH", path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("host.log")).unwrap())
            .spawn()
            .unwrap();
        let pipe = child.stdin.take();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let said = fs::read_to_string(folder.join("host.log")).unwrap();
        assert_eq!(line, "ready\n", "no namespaces for {name}: {said}");
        let parent = i32::try_from(child.id()).unwrap();
        let pid = with_descendants(parent)[1];
        Self {
            pipe,
            child,
            pid,
            folder: folder.to_owned(),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Of its first process, as it is numbered here.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What a program is run by to be in there. It keeps seeing the processes of this machine.
    pub fn words(&self) -> [String; 6] {
        [
            "nsenter".to_owned(),
            format!("--target={}", self.pid),
            "--net".to_owned(),
            "--mount".to_owned(),
            "--uts".to_owned(),
            "--".to_owned(),
        ]
    }

    pub fn run(&self, program: &str) -> Run {
        Run::new(program)
            .under(self.words())
            .env("PATH", path())
            .env("LC_ALL", "C")
    }

    /// One line of a shell's.
    #[track_caller]
    pub fn shell(&self, script: &str, args: &[&str]) {
        let run = self.run("sh").args(["-euc", script, "sh"]).args(args);
        run.stdout_any().stderr_any().ok();
    }

    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        let run = self.run("sh").args(["-c", "cat >\"$1\"", "sh", file]);
        run.stdin(text).ok();
    }

    /// Whether anybody listens there.
    pub fn listens(&self, port: u16) -> bool {
        let port = format!(":{port:04X}");
        let table = |name: &str| fs::read_to_string(format!("/proc/{}/net/{name}", self.pid));
        ["tcp", "tcp6"].iter().any(|name| {
            table(name).unwrap_or_default().lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                // The local address, and the state of a listener.
                matches!(words[..], [_, local, _, "0A", ..] if local.ends_with(&port))
            })
        })
    }

    /// A cable to the network of the process `pid`, numbered as it is here, with `address` at the end there, whose way to everywhere it
    /// is; `name` is that of the end here, which becomes a port of `bridge`.
    #[track_caller]
    pub fn connect(&self, bridge: &str, name: &str, pid: i32, address: &str, router: &str) {
        let pid = pid.to_string();
        self.shell(CONNECT, &[bridge, name, &pid, address, router]);
    }

    /// Starts a program to stay. What it says comes into `NAME.log`.
    #[track_caller]
    pub fn daemon(&self, name: &str, args: &[&str], envs: &[(&str, &str)]) -> Daemon {
        let log = self.folder.join(format!("{name}.log"));
        let out = fs::File::options().create(true).append(true).open(&log);
        let out = out.unwrap();
        let program = find(name).unwrap_or_else(|| {
            panic!("there is no `{name}` on PATH: run tests/bed/setup.sh and source the file that it names")
        });
        let [nsenter, target, rest @ ..] = self.words();
        let mut command = Command::new(nsenter);
        command.arg(target).arg("--pid").args(rest).arg(program);
        let child = command
            .args(args)
            .env_clear()
            .env("PATH", path())
            .env("HOME", &self.folder)
            .envs(envs.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Daemon { child, log }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let ended = poll::within(TIMEOUT, || self.child.try_wait().unwrap());
        if ended.is_none() {
            eprintln!("the namespaces of {} do not end", self.pid);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A program that stays until it is killed, or its host is gone.
pub struct Daemon {
    /// The one that entered the namespaces; the program is its child.
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// To it and all that it started.
    pub fn signal(&self, signal: Signal) {
        let first = i32::try_from(self.child.id()).unwrap();
        for pid in with_descendants(first).into_iter().skip(1) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    /// It is gone at once.
    pub fn kill(&mut self) {
        if self.has_ended() {
            return;
        }
        // Frozen first: it cannot begin another child while they are counted.
        self.signal(Signal::STOP);
        self.signal(Signal::KILL);
        // What entered the namespaces has to see the end of the program: left alone with it, this machine's first process takes seconds, and
        // the namespaces wait for that. It stops when the program does.
        let parent = Pid::from_child(&self.child);
        let ended = poll::within(TIMEOUT, || {
            let _ = kill_process(parent, Signal::CONT);
            self.child.try_wait().unwrap()
        });
        if ended.is_none() {
            eprintln!("{} does not end", self.log.display());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
