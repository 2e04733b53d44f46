//! A source that is read in parts: where it is, and where its index.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::backup::plan::UnitPlan;
use crate::backup::run::Run;
use crate::backup::survey::Reading;
use crate::base::activity::{Activity, silent_for};
use crate::base::files::make_private_folder;
use crate::base::paths::Paths;
use crate::base::shutdown::Shutdown;
use crate::base::text;
use crate::changed::clean::Starts;
use crate::changed::ground::{self, Root};
use crate::changed::index::{Head, Index, RightFor};
use crate::changed::pass::Start;
use crate::changed::{Ground, clock};
use crate::discovery::mount_table::MountTable;
use crate::drivers::kopia::Kopia;
use crate::drivers::tar::Tar;
use crate::error::Result;
use crate::model::exclude::Excludes;
use crate::model::{Source, SourceKey, UnitName};
use crate::swap::beneath;

pub struct Site {
    pub root: Root,
    excludes: Excludes,
    pub right_for: RightFor,
    pub is_sparse: bool,
    /// Of the index, and of lists without a name.
    pub folder: PathBuf,
    state: PathBuf,
    shutdown: Shutdown,
    /// Grows with each path that is looked at.
    pub alive: Activity,
}

/// What a site is made of, copied out of the run: the disk is asked on another thread.
pub struct Wanted {
    path: PathBuf,
    exclude_patterns: Vec<String>,
    is_sparse: bool,
    tar: String,
    repository: String,
    file_system: Option<String>,
    folder: PathBuf,
    state: PathBuf,
    shutdown: Shutdown,
}

/// The name of the index in the directory of its source.
const INDEX: &str = "index";

/// What all sources of a host have in common.
pub struct Host<'a> {
    pub profile: &'a str,
    pub paths: &'a Paths,
    pub shutdown: &'a Shutdown,
    pub kopia: &'a Kopia,
    pub tar: &'a Tar,
}

impl<'a> Host<'a> {
    pub fn of(run: &'a Run<'_>) -> Self {
        Self {
            profile: run.config.profile(),
            paths: run.paths,
            shutdown: run.shutdown,
            kopia: &run.store.kopia,
            tar: &run.tar,
        }
    }
}

impl Wanted {
    pub fn of(host: &Host<'_>, plan: &UnitPlan, source: &Source, reading: &Reading) -> Self {
        let kopia = host.kopia;
        Self {
            path: source.path.clone(),
            exclude_patterns: source.exclude_patterns.clone(),
            is_sparse: reading.is_sparse,
            tar: host.tar.version().to_owned(),
            repository: format!("{} of {}", kopia.identity(), kopia.me().machine.as_str()),
            file_system: plan.past.file_system(&source.key).map(|place| place.id),
            state: host.paths.state.clone(),
            folder: index_folder(host, &plan.unit.name, &source.key),
            shutdown: host.shutdown.clone(),
        }
    }

    /// An error says why the source can only be read whole. Blocks.
    pub fn find(self) -> Result<Site> {
        make_private_folder(&self.folder)?;
        remove_unfinished(&self.folder);
        self.look()
    }

    /// As [`Self::find`], and leaves everything as it is. Blocks.
    pub fn look(self) -> Result<Site> {
        let mounts = MountTable::read();
        let mount = mounts.of(&self.path);
        let root = Root::open(&self.path, mount.context("it is on no known file system")?)?;
        let session = root
            .session
            .context("the kernel does not tell when its file system was mounted")?;
        let right_for = RightFor {
            boot: ground::boot_id()?,
            session,
            device: root.stat.device,
            file_system: self.file_system.filter(|id| id.starts_with("UUID=")),
            inode: root.stat.inode,
            path: self.path,
            tar: self.tar,
            repository: self.repository,
            excludes: self.exclude_patterns,
        };
        Ok(Site {
            root,
            excludes: Excludes::new(&right_for.excludes),
            is_sparse: self.is_sparse,
            right_for,
            folder: self.folder,
            state: self.state,
            shutdown: self.shutdown,
            alive: Activity::default(),
        })
    }
}

impl Site {
    /// Does `work` on it. Blocks.
    pub fn on<T>(&self, work: impl FnOnce(Ground<'_>) -> Result<T>) -> Result<T> {
        self.with_lists_in(&self.folder, work)
    }

    /// As [`Self::on`]; its lists are in `folder`.
    pub fn with_lists_in<T>(
        &self,
        folder: &Path,
        work: impl FnOnce(Ground<'_>) -> Result<T>,
    ) -> Result<T> {
        let is_cancelled = || {
            self.alive.add(1);
            self.shutdown.is_asked()
        };
        work(Ground {
            root: self.root.as_fd(),
            excludes: &self.excludes,
            folder,
            is_cancelled: &is_cancelled,
        })
    }

    /// The name of its root that holds for programs that we start.
    pub fn place(&self) -> PathBuf {
        beneath::place(&self.root)
    }

    pub fn index_file(&self) -> PathBuf {
        self.folder.join(INDEX)
    }

    /// What the last windows had to read.
    pub fn churn_file(&self) -> PathBuf {
        self.folder.join("churn")
    }

    /// The index, if there is one that is right for what is there now. Blocks.
    pub fn index(&self) -> Option<Index> {
        let starts = Starts::read(&self.state);
        let index = Index::open(&self.index_file());
        index.filter(|index| index.head.right_for.holds(&self.right_for, &starts))
    }

    /// Writes out the file system. What changes after the time that is returned moves the times of files. Blocks.
    pub fn sync(&self, before: Option<&Head>) -> Result<Start> {
        let at = clock::now();
        self.root.sync()?;
        let margin = clock::margin();
        let was_set = before.is_some_and(|head| clock::was_set(head.clock_offset, clock::offset()));
        let is_fresh = clock::uptime() < 2 * margin;
        Ok(Start {
            at,
            margin: (!was_set && !is_fresh).then_some(margin),
        })
    }
}

/// A source as its index has it.
pub struct KnownSource {
    pub site: Site,
    pub index: Index,
}

/// The one whose index is in `folder`. An error says why nothing is known of what is there now. Blocks.
pub fn known(folder: PathBuf, state: PathBuf, shutdown: Shutdown) -> Result<KnownSource, String> {
    let none = "nothing is known of its files: the last backup read it whole";
    let index = Index::open(&folder.join(INDEX)).ok_or_else(|| none.to_owned())?;
    let right_for = &index.head.right_for;
    let starts = Starts::read(&state);
    let wanted = Wanted {
        path: right_for.path.clone(),
        exclude_patterns: right_for.excludes.clone(),
        is_sparse: false,
        tar: right_for.tar.clone(),
        repository: right_for.repository.clone(),
        file_system: right_for.file_system.clone(),
        folder,
        state,
        shutdown,
    };
    let site = wanted.look().map_err(|error| format!("{error:#}"))?;
    if !right_for.holds(&site.right_for, &starts) {
        return Err(
            "it is on another file system, or the host was not shut down cleanly since".to_owned(),
        );
    }
    Ok(KnownSource { site, index })
}

/// Where what is known of a source is kept.
pub fn index_folder(host: &Host<'_>, unit: &UnitName, source: &SourceKey) -> PathBuf {
    let names = [unit.as_str(), &source.to_string()].map(name);
    let folder = host.paths.indexes().join(host.profile);
    names.iter().fold(folder, |folder, name| folder.join(name))
}

/// A directory of its own for each, whatever is in its name.
fn name(of: &str) -> String {
    let hash = Sha256::digest(of.as_bytes());
    text::hex(&hash).chars().take(32).collect()
}

/// What killed runs left.
fn remove_unfinished(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name
            .to_string_lossy()
            .ends_with(crate::changed::index::UNFINISHED)
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// What is looked at while services are down has to give signs of life.
pub async fn alive<T>(
    site: &Site,
    stall: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = silent_for(stall, site.alive.grows()) => {
            anyhow::bail!("its disk did not answer for {} s", stall.as_secs())
        }
        done = work => done,
    }
}
