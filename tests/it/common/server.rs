//! A real server of a test's own: on a free port of this machine, gone when it drops.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::bed::path;
use super::poll;
use super::run::Run;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A directory that is no world's: a world counts every process with its name as one of the program.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kds-{what}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// A file system of its own that is soon full, mounted at `name`.
    pub fn mount_small(&self, name: &str, mebibytes: u32) -> PathBuf {
        let point = self.path(name);
        fs::create_dir_all(&point).unwrap();
        let size = format!("size={mebibytes}m");
        let mount = Run::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
        mount.arg(&point).env("PATH", path()).ok();
        point
    }

    fn unmount_all(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(&self.0)) {
            let umount = Run::new("umount").arg("--lazy").arg(point);
            let _ = umount.env("PATH", path()).run();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.unmount_all();
        if super::world::keep() {
            eprintln!("kept {}", self.0.display());
        } else if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}

/// Gives a file system of [`Folder::mount_small`] more room.
pub fn enlarge(point: &Path, mebibytes: u32) {
    let size = format!("remount,size={mebibytes}m");
    let mount = Run::new("mount").args(["-o", &size]).arg(point);
    mount.env("PATH", path()).ok();
}

/// A process with its children. It ends with the thread that started it, should that be killed.
pub struct Server {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts `name` with what `arguments` says for a port, and waits until it takes connections there. Without `port` it gets
    /// a free one, and another one when somebody was faster to take it.
    #[track_caller]
    pub fn start(
        name: &str,
        folder: &Folder,
        port: Option<u16>,
        arguments: impl Fn(u16) -> Vec<String>,
    ) -> Self {
        let (program, log) = (program(name), folder.path("log"));
        for _ in 0..3 {
            let port = port.unwrap_or_else(free_port);
            let mut server = Self::spawn(&program, &log, port, &arguments(port));
            if server.answers() {
                return server;
            }
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        panic!("{} does not start:\n{said}", program.display());
    }

    fn spawn(program: &Path, log: &Path, port: u16, arguments: &[String]) -> Self {
        let out = fs::File::create(log).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", path())
            .env("HOME", log.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let log = log.to_owned();
        Self { child, port, log }
    }

    /// False when it ended instead.
    fn answers(&mut self) -> bool {
        let answer = poll::within(TIMEOUT, || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            connected.then_some(true)
        });
        answer.unwrap_or(false)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// It keeps its connections and says nothing any more.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    /// It is gone at once, with every connection that it had.
    pub fn kill(&mut self) {
        // Frozen first: it cannot begin another child while they are counted.
        self.freeze();
        self.signal_all(Signal::KILL);
        let _ = self.child.wait();
    }

    fn signal_all(&self, signal: Signal) {
        let first = i32::try_from(self.child.id()).unwrap();
        for pid in with_descendants(first) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Nobody listens there. It may be taken by somebody else at any moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[track_caller]
fn program(name: &str) -> PathBuf {
    let found = std::env::split_paths(&path())
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "there is no `{name}` on PATH: run tests/bed/setup.sh and source the file that it names"
        )
    })
}

/// A parent comes before its children.
pub(super) fn with_descendants(first: i32) -> Vec<i32> {
    let mut family = vec![first];
    let parents = parents();
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        let children = parents.iter().filter(|(_, of)| *of == parent);
        family.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// Every process with its parent.
fn parents() -> Vec<(i32, i32)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        // The name before it may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        Some((pid, rest.split_whitespace().nth(1)?.parse().ok()?))
    });
    stats.collect()
}
