//! Saves a tree night by night as a backup does, with streams in files, and brings a point back as a restore does.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::churn::Churn;
use super::super::clones::{self, Clones, Cloning};
use super::super::ground::Root;
use super::super::index::{Finished, Head, IndexedPart, IndexedStream, Lists, RightFor};
use super::super::names::{Cut, Names};
use super::super::pass::{Begun, FinalNames, How, Pass, Start, cold};
use super::super::{Contents, Ground, Torn, clock};
use super::oracle;
use crate::base::activity::Activity;
use crate::discovery::mount_table::MountTable;
use crate::drivers::tar::{self, Record, Tar};
use crate::drivers::tool::{Ended, Spec};
use crate::error::Result;
use crate::model::exclude::Excludes;
use crate::model::{BackupId, ObjectId, SnapshotId};

/// A source, what was saved of it, and the rules.
pub struct Nights {
    pub source: PathBuf,
    folder: tempfile::TempDir,
    tar: Tar,
    index: Option<Finished>,
    churn: Churn,
    streams: Vec<PartMade>,
    pub rules: Rules,
    /// Of all points: paths, and those that were not read in the window.
    pub paths: u64,
    pub proven: u64,
    pub torn: u64,
    pub cloned: usize,
    /// Read while services run.
    pub hot_bytes: u64,
}

/// One stream, or that of the directories and those of what is in them; with what is done before.
type PartMade = (Vec<Vec<u8>>, Lists);

/// What a test takes out.
#[derive(Clone, Copy)]
pub struct Rules {
    pub cut: Cut,
    pub syncs: bool,
    pub margin: Duration,
    pub is_strict: Option<bool>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            cut: Cut::NONE,
            syncs: true,
            margin: Duration::from_millis(150),
            is_strict: None,
        }
    }
}

impl Nights {
    pub fn new() -> Self {
        let place = std::env::var_os("KOPI_DOCKA_TREES");
        let place = place.unwrap_or_else(|| "/var/tmp".into());
        let folder = tempfile::tempdir_in(place).unwrap();
        let source = folder.path().join("source");
        std::fs::create_dir(&source).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let tar = runtime.block_on(Tar::find()).unwrap();
        Self {
            source,
            folder,
            tar,
            index: None,
            churn: Churn::default(),
            streams: Vec::new(),
            rules: Rules::default(),
            paths: 0,
            proven: 0,
            torn: 0,
            cloned: 0,
            hot_bytes: 0,
        }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn root(&self) -> Root {
        let table = MountTable::read();
        let mut root = Root::open(&self.source, table.of(&self.source).unwrap()).unwrap();
        if let Some(is_strict) = self.rules.is_strict {
            root.is_strict = is_strict;
        }
        root
    }

    /// Reads hot; `during` is called between the walk and tar, `after` between tar and the second walk. Until names stand still.
    pub fn hot(&mut self, mut during: impl FnMut(), mut after: impl FnMut()) {
        for _ in 0..30 {
            match self.try_hot(&mut during, &mut after) {
                Ok(()) => return,
                // A real run reads it whole after the second time.
                Err(error) if error.is::<Torn>() => self.torn += 1,
                Err(error) => panic!("{error:#}"),
            }
        }
        panic!("names never stand still");
    }

    fn try_hot(&mut self, during: &mut impl FnMut(), after: &mut impl FnMut()) -> Result<()> {
        let (root, work, excludes) = (self.root(), self.work(), Excludes::default());
        let ground = ground(&root, &work, &excludes);
        let start = Start {
            at: clock::now(),
            margin: Some(self.rules.margin),
        };
        if self.rules.syncs {
            root.sync().unwrap();
        }
        let before = self.index.as_ref().map(|finished| &*finished.index);
        let how = How {
            cut: self.rules.cut,
            churn: &self.churn,
            again: None,
        };
        let begun = Pass::begin(&root, ground, before, start, how)?;
        during();
        let Begun::Pass(pass) = begun else {
            after();
            return Ok(());
        };
        let mut streams = Vec::new();
        let mut contents = Vec::new();
        for (number, names) in pass.streams.iter().enumerate() {
            let (stream, said) = self.read(&root, names);
            let ended = Ended {
                display: "tar".to_owned(),
                status: said.0,
                stderr: String::new(),
            };
            let bytes = tar::judge_running(&ended, &said.1)?;
            assert_eq!(bytes, stream.len() as u64);
            self.hot_bytes += bytes;
            let mut seen: Contents = pass.contents(&work, number)?;
            tar::members(&mut stream.as_slice(), |member| seen.add(member))?;
            contents.push(seen.finish()?);
            streams.push(stream);
        }
        after();
        let part = usize::from(pass.part());
        let merged = pass.end(ground, before, contents)?;
        let mut parts = before
            .map(|index| index.head.parts.clone())
            .unwrap_or_default();
        let mut lists: Vec<Lists> = self
            .streams
            .iter()
            .map(|(_, lists)| lists.clone())
            .collect();
        parts.truncate(part);
        lists.truncate(part);
        self.streams.truncate(part);
        let indexed = streams.iter().map(|stream| IndexedStream {
            snapshot: SnapshotId::parse("ab").unwrap(),
            root: ObjectId::parse("k1").unwrap(),
            bytes: stream.len() as u64,
        });
        let of = BackupId::at(chrono::Utc::now()).into();
        parts.push(IndexedPart::new(of, indexed.collect(), &merged.lists));
        lists.push(merged.lists.clone());
        self.streams.push((streams, merged.lists));
        let head = Head {
            right_for: right_for(),
            taken_at: start.at,
            clock_offset: 0,
            base_at: chrono::Utc::now(),
            parts,
        };
        self.index = Some(merged.index.finish(&head, &lists)?);
        Ok(())
    }

    /// Saves a point while nothing changes, brings it back, and says what is not as it was.
    pub fn point(&mut self) -> Vec<String> {
        let parts = self.parts();
        let target = self.folder.path().join("target");
        restore(&self.tar, &parts, &target);
        let differences =
            oracle::differences(&oracle::capture(&self.source), &oracle::capture(&target));
        std::fs::remove_dir_all(target).unwrap();
        differences
    }

    /// Streams with what is done before each.
    fn parts(&mut self) -> Vec<PartMade> {
        let (root, work, excludes) = (self.root(), self.work(), Excludes::default());
        let ground = ground(&root, &work, &excludes);
        let index = &self.index.as_ref().unwrap().index;
        let cloning = match clones::are_possible(&root) {
            true => Cloning::From(1),
            false => Cloning::Never,
        };
        let found = cold(&root, ground, index, (&self.churn, cloning)).unwrap();
        let mut parts = self.streams.clone();
        let paths = count(&self.source);
        self.paths += paths;
        self.proven += paths;
        if let Some(rest) = found.rest {
            let mut streams = Vec::new();
            for FinalNames { names, .. } in &rest.streams {
                self.proven -= names.count;
                let (stream, said) = self.read(&root, names);
                assert!(said.0.success(), "{}", said.1);
                streams.push(stream);
            }
            self.proven -= rest.clones.len() as u64;
            self.cloned += rest.clones.len();
            if !rest.clones.is_empty() {
                streams.push(written(rest.clones));
            }
            parts.push((streams, rest.lists));
            self.churn = rest.churn;
        } else {
            self.churn = Churn::default();
        }
        assert!(parts.len() <= 7);
        parts
    }

    /// How many paths a window reads; what comes of it is not brought back.
    pub fn window(&mut self) -> u64 {
        let before = self.paths - self.proven;
        self.parts();
        self.paths - self.proven - before
    }

    pub fn read_in_window(&mut self) -> u64 {
        let before = self.paths - self.proven;
        assert_eq!(self.point(), [""; 0]);
        self.paths - self.proven - before
    }

    pub fn parts_so_far(&self) -> usize {
        self.streams.len()
    }

    fn read(&self, root: &Root, names: &Names) -> (Vec<u8>, (std::process::ExitStatus, String)) {
        use std::os::fd::AsRawFd as _;
        let place = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            root.as_fd().as_raw_fd()
        );
        let spec = self
            .tar
            .create_named(Path::new(&place), names.has_links, true, Record::Small);
        let done = command(&spec)
            .stdin(names.file.try_clone().unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.stdout, (done.status, said))
    }
}

/// What is written when services run again.
fn written(clones: Clones) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    let sink = file.try_clone().unwrap().into();
    let bytes = clones::write(clones, &sink, &Activity::default()).unwrap();
    file.rewind().unwrap();
    let mut stream = Vec::new();
    file.read_to_end(&mut stream).unwrap();
    assert_eq!(stream.len() as u64, bytes);
    stream
}

#[expect(clippy::disallowed_methods, reason = "a test reads all that tar says")]
fn command(spec: &Spec) -> Command {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env("LC_ALL", "C");
    command
}

fn ground<'a>(root: &'a Root, work: &'a Path, excludes: &'a Excludes) -> Ground<'a> {
    Ground {
        root: root.as_fd(),
        excludes,
        folder: work,
        is_cancelled: &|| false,
    }
}

fn right_for() -> RightFor {
    RightFor {
        boot: String::new(),
        session: 0,
        device: 0,
        file_system: None,
        inode: 0,
        path: PathBuf::new(),
        excludes: Vec::new(),
        tar: String::new(),
        repository: String::new(),
    }
}

fn restore(tar: &Tar, parts: &[PartMade], target: &Path) {
    std::fs::create_dir(target).unwrap();
    let at = |path: &[u8]| {
        target.join(std::ffi::OsStr::from_bytes(
            path.strip_prefix(b"./").unwrap_or(b""),
        ))
    };
    for (streams, lists) in parts {
        for path in lists.deleted.iter() {
            let path = at(path);
            match path.symlink_metadata() {
                Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path).unwrap(),
                Ok(_) => std::fs::remove_file(&path).unwrap(),
                Err(_) => {}
            }
        }
        for path in lists.stripped.iter().map(at).filter(|path| path.is_dir()) {
            for name in oracle::names(&path) {
                rustix::fs::lremovexattr(&path, &*name).unwrap();
            }
        }
        let again = streams.first().filter(|_| streams.len() > 1);
        for stream in streams.iter().chain(again) {
            extract(tar, stream, target);
        }
    }
}

fn extract(tar: &Tar, stream: &[u8], target: &Path) {
    let archive = target.with_extension("tar");
    std::fs::write(&archive, stream).unwrap();
    let spec = Spec::new(tar.program())
        .args(["--extract", "--file=-"])
        .args(["--preserve-permissions", "--same-owner", "--numeric-owner"])
        .args(["--xattrs", "--xattrs-include=*", "--no-acls"])
        .arg("--warning=no-timestamp")
        .args(["--directory".as_ref(), target.as_os_str()]);
    let done = command(&spec)
        .stdin(File::open(&archive).unwrap())
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
    std::fs::remove_file(archive).unwrap();
}

/// What is in `folder`, and itself.
fn count(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    let of = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => count(&entry.path()),
        false => 1,
    };
    1 + entries.map(|entry| of(entry.unwrap())).sum::<u64>()
}
