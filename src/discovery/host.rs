//! What paths on this host really are, looked up once and for all before anything is decided.
//!
//! Asking about a path on a network file system whose server is gone never returns, so the questions are asked on
//! a thread of their own. When one is not answered in time, the file system that it is on is given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::mount_table::{MountTable, Outline, is_around};

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    Directory,
    File,
    Socket,
    Fifo,
    Device,
    /// Nothing there, or a link to nothing.
    Missing,
    /// This process may not look.
    Denied,
    /// The file system does not answer.
    Silent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The path with every link resolved, as far as it exists.
    pub real: PathBuf,
    pub kind: PathKind,
    /// `st_dev`: two paths with the same are on one file system, as `tar --one-file-system` sees it.
    pub device: u64,
    /// Another directory of the same file system may have been mounted in its place.
    pub inode: u64,
}

impl Facts {
    fn of(real: PathBuf, metadata: &Metadata) -> Self {
        Self {
            real,
            kind: kind_of(metadata),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// What was found. A path that was never asked for is `Missing`.
#[derive(Clone, Debug, Default)]
pub struct Host {
    pub facts: BTreeMap<PathBuf, Facts>,
    pub mounts: Arc<MountTable>,
    /// What was mounted when that was last asked.
    pub outline: Outline,
    /// Where something else has been mounted since the look. Kept, since each unit is asked about once: compared with the look itself,
    /// each container that was stopped and started since would differ again each time.
    pub altered: BTreeSet<PathBuf>,
}

impl Host {
    /// Looks at `paths` and at what is mounted below them.
    pub async fn look(paths: BTreeSet<PathBuf>) -> Self {
        let mut host = Self {
            mounts: MountTable::read().into(),
            ..Self::default()
        };
        host.ask(paths.into_iter().collect()).await;
        // Looking at a path can have mounted it (autofs).
        host.outline = Outline::read();
        host.mounts = MountTable::read().into();
        let below: BTreeSet<PathBuf> = host
            .facts
            .values()
            .filter(|facts| facts.kind == PathKind::Directory && facts.real != Path::new("/"))
            .flat_map(|facts| host.mounts.below(&facts.real))
            .map(|entry| entry.point.clone())
            .filter(|point| !host.facts.contains_key(point))
            .collect();
        host.ask(below.into_iter().collect()).await;
        host
    }

    pub fn facts(&self, path: &Path) -> Facts {
        self.facts.get(path).cloned().unwrap_or_else(|| Facts {
            real: path.to_owned(),
            kind: PathKind::Missing,
            device: 0,
            inode: 0,
        })
    }

    pub fn real(&self, path: &Path) -> PathBuf {
        self.facts(path).real
    }

    pub fn is_file(&self, path: &Path) -> bool {
        self.facts(path).kind == PathKind::File
    }

    pub fn is_directory(&self, path: &Path) -> bool {
        self.facts(path).kind == PathKind::Directory
    }

    /// Whether `paths`, and what is mounted above, at and below them, are still what they were.
    pub async fn is_as_before(&mut self, paths: &BTreeSet<PathBuf>) -> bool {
        let outline = Outline::read();
        self.altered.extend(self.outline.changed(&outline));
        self.outline = outline;
        let reals: Vec<PathBuf> = paths.iter().map(|path| self.real(path)).collect();
        let below = reals.iter().flat_map(|real| {
            let from = self.facts.range(real.clone()..).map(|(path, _)| path);
            from.take_while(move |path| path.starts_with(real))
        });
        let asked: BTreeSet<&PathBuf> = below.chain(paths).collect();
        if self
            .altered
            .iter()
            .any(|point| reals.iter().any(|real| is_around(point, real)))
        {
            return false;
        }
        let mut now = Self {
            mounts: Arc::clone(&self.mounts),
            ..Self::default()
        };
        let mut open = VecDeque::new();
        for path in asked.iter().copied() {
            // Kopia has the processors: a thread waits longer for one than all that it finds out takes.
            let is_local = self.mounts.is_local(path);
            match is_local.then(|| look_without_waiting(path)).flatten() {
                Some(facts) => _ = now.facts.insert(path.clone(), facts),
                None => open.push_back(path.clone()),
            }
        }
        now.ask(open).await;
        asked.iter().all(|path| self.facts(path) == now.facts(path))
    }

    async fn ask(&mut self, mut pending: VecDeque<PathBuf>) {
        // A thread that hangs there already would be joined by another one with each look.
        pending.retain(|path| {
            let is_stuck = stuck().is_known(&self.place(path));
            if is_stuck {
                self.facts.insert(path.clone(), silent(path));
            }
            !is_stuck
        });
        while !pending.is_empty() {
            let (sender, mut answers) = mpsc::unbounded_channel();
            let questions: Vec<PathBuf> = pending.iter().cloned().collect();
            let thread = std::thread::Builder::new().name("look".to_owned());
            let begun = thread.spawn(move || {
                for path in questions {
                    if sender.send(look_at(&path)).is_err() {
                        break;
                    }
                }
            });
            let Ok(thread) = begun else {
                for path in pending.drain(..) {
                    self.facts.insert(path.clone(), silent(&path));
                }
                return;
            };
            loop {
                match tokio::time::timeout(PATIENCE, answers.recv()).await {
                    Ok(Some(facts)) => {
                        if let Some(path) = pending.pop_front() {
                            self.facts.insert(path, facts);
                        }
                    }
                    Ok(None) => return,
                    Err(_) => {
                        if let Some(path) = pending.front() {
                            stuck().add(self.place(path), thread);
                        }
                        self.give_up(&mut pending);
                        break;
                    }
                }
            }
        }
    }

    /// What is given up together with `path`: its mount, or on the root file system itself alone.
    fn place(&self, path: &Path) -> PathBuf {
        match self.mounts.of(path) {
            Some(entry) if entry.point != Path::new("/") => entry.point.clone(),
            _ => path.to_owned(),
        }
    }

    /// Marks the first of `pending`, and all others on the same file system.
    fn give_up(&mut self, pending: &mut VecDeque<PathBuf>) {
        let Some(stuck) = pending.pop_front() else {
            return;
        };
        let place = self.place(&stuck);
        let (also, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(pending)
            .into_iter()
            .partition(|path| self.place(path) == place);
        *pending = rest;
        for path in also.into_iter().chain([stuck]) {
            let facts = silent(&path);
            self.facts.insert(path, facts);
        }
    }
}

fn silent(path: &Path) -> Facts {
    Facts {
        real: path.to_owned(),
        kind: PathKind::Silent,
        device: 0,
        inode: 0,
    }
}

/// Places where a thread of ours hangs, each with it. While it does, nothing there answers.
#[derive(Default)]
struct Stuck(Vec<(PathBuf, JoinHandle<()>)>);

impl Stuck {
    fn add(&mut self, place: PathBuf, thread: JoinHandle<()>) {
        self.0.push((place, thread));
    }

    fn is_known(&mut self, place: &Path) -> bool {
        self.0.retain(|(_, thread)| !thread.is_finished());
        self.0.iter().any(|(stuck, _)| stuck == place)
    }
}

/// For the process: a daemon looks every night.
fn stuck() -> MutexGuard<'static, Stuck> {
    static STUCK: Mutex<Stuck> = Mutex::new(Stuck(Vec::new()));
    STUCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the kernel has in memory of a path without links: asks no disk and no server, so it never hangs.
fn look_without_waiting(path: &Path) -> Option<Facts> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::CACHED | ResolveFlags::NO_SYMLINKS;
    let opened = openat2(CWD, path, flags, Mode::empty(), resolve).ok()?;
    let metadata = File::from(opened).metadata().ok()?;
    Some(Facts::of(path.to_owned(), &metadata))
}

fn look_at(path: &Path) -> Facts {
    let found = std::fs::canonicalize(path)
        .and_then(|real| std::fs::metadata(&real).map(|metadata| (real, metadata)));
    match found {
        Ok((real, metadata)) => Facts::of(real, &metadata),
        Err(error) => Facts {
            real: resolve_existing(path),
            kind: kind_of_error(&error),
            device: 0,
            inode: 0,
        },
    }
}

fn kind_of_error(error: &std::io::Error) -> PathKind {
    // What is mounted there is dead: the process of a FUSE mount has ended, a server has lost what it served, a disk fails.
    let dead = [Errno::NOTCONN, Errno::STALE, Errno::IO, Errno::HOSTDOWN];
    let is_dead = error
        .raw_os_error()
        .is_some_and(|code| dead.iter().any(|dead| dead.raw_os_error() == code));
    if is_dead {
        PathKind::Silent
    } else if error.kind() == ErrorKind::PermissionDenied {
        PathKind::Denied
    } else {
        PathKind::Missing
    }
}

fn kind_of(metadata: &Metadata) -> PathKind {
    let kind = metadata.file_type();
    if kind.is_dir() {
        PathKind::Directory
    } else if kind.is_file() {
        PathKind::File
    } else if kind.is_socket() {
        PathKind::Socket
    } else if kind.is_fifo() {
        PathKind::Fifo
    } else {
        PathKind::Device
    }
}

/// Links resolved in the part of `path` that exists: a repository that is not made yet may still be behind one.
fn resolve_existing(path: &Path) -> PathBuf {
    path.ancestors()
        .skip(1)
        .find_map(|ancestor| {
            let real = std::fs::canonicalize(ancestor).ok()?;
            Some(real.join(path.strip_prefix(ancestor).ok()?))
        })
        .unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_mount_is_not_taken_for_an_empty_place() {
        let kind = |errno: Errno| kind_of_error(&errno.into());
        for dead in [Errno::NOTCONN, Errno::STALE, Errno::IO] {
            assert_eq!(kind(dead), PathKind::Silent, "{dead}");
        }
        assert_eq!(kind(Errno::NOENT), PathKind::Missing);
        assert_eq!(kind(Errno::NOTDIR), PathKind::Missing);
        assert_eq!(kind(Errno::ACCESS), PathKind::Denied);
    }

    #[tokio::test]
    async fn links_are_resolved_and_kinds_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/a file\n"), "x").unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let names = [
            "real",
            "link/a file\n",
            "dangling",
            "socket",
            "link/not/yet",
        ];
        let host = Host::look(names.iter().map(|name| root.join(name)).collect()).await;

        let facts = |name: &str| host.facts(&root.join(name));
        assert_eq!(facts("real").kind, PathKind::Directory);
        assert_eq!(facts("link/a file\n").real, root.join("real/a file\n"));
        assert_eq!(facts("link/a file\n").kind, PathKind::File);
        assert_eq!(facts("dangling").kind, PathKind::Missing);
        assert_eq!(facts("socket").kind, PathKind::Socket);
        assert_eq!(facts("link/not/yet").kind, PathKind::Missing);
        assert_eq!(facts("link/not/yet").real, root.join("real/not/yet"));
    }

    #[tokio::test]
    async fn a_look_without_waiting_finds_what_a_thread_finds_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/file"), "x").unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        for name in ["real", "real/file"] {
            let path = root.join(name);
            let thorough = look_at(&path);
            // A kernel or a filter without `openat2` leaves it to the thread.
            if let Some(quick) = look_without_waiting(&path) {
                assert_eq!(quick, thorough);
            }
        }
        assert_eq!(look_without_waiting(&root.join("link/file")), None);
        assert_eq!(look_without_waiting(&root.join("nothing")), None);

        let paths = BTreeSet::from(["real", "link/file", "nothing"].map(|name| root.join(name)));
        let mut host = Host::look(paths.clone()).await;
        assert!(host.is_as_before(&paths).await);
        std::fs::rename(root.join("real"), root.join("gone")).unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        let only = BTreeSet::from([root.join("real")]);
        assert!(!host.is_as_before(&only).await, "it is another directory");
    }

    #[test]
    fn a_place_is_stuck_for_as_long_as_its_thread_hangs() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut stuck = Stuck::default();
        let thread = std::thread::spawn(move || {
            let _ = held.recv();
        });
        stuck.add("/nas".into(), thread);
        assert!(stuck.is_known(Path::new("/nas")));
        assert!(!stuck.is_known(Path::new("/srv")));
        drop(release);
        let began = std::time::Instant::now();
        while stuck.is_known(Path::new("/nas")) {
            assert!(began.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_dead_file_system_is_given_up_as_a_whole_but_no_other_one() {
        let mut host = Host {
            mounts: Arc::new(MountTable::parse(
                b"1 0 8:1 / / rw - ext4 a rw\n2 1 0:9 / /nas rw - nfs4 b rw\n",
            )),
            ..Host::default()
        };
        let mut pending = VecDeque::from(["/nas/a", "/nas/b", "/srv"].map(PathBuf::from));
        host.give_up(&mut pending);
        assert_eq!(pending, [PathBuf::from("/srv")]);
        assert_eq!(host.facts(Path::new("/nas/a")).kind, PathKind::Silent);
        assert_eq!(host.facts(Path::new("/nas/b")).kind, PathKind::Silent);
    }
}
