//! A run that is at work: a file that it holds a lock on. The kernel frees the lock when the process ends, however it ends, so a file that
//! nobody holds is that of a run that was killed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::run::Kind;
use crate::base::files;
use crate::base::paths::Paths;
use crate::error::Result;
use crate::model::UnitName;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AtWork {
    /// As messages name it.
    pub id: String,
    pub kind: Kind,
    pub started_at: DateTime<Utc>,
    /// Those it is about; none is all.
    pub units: Vec<UnitName>,
}

/// That of a run of this process.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
    _file: File,
}

impl Mark {
    pub fn make(paths: &Paths, profile: &str, run: &AtWork) -> Result<Self> {
        let path = paths.notify().join(format!("{profile}.{}.run", run.id));
        // Held before it has its name: nobody sees it without an owner.
        let new = path.with_extension("new");
        files::make_private_folder(&paths.notify())?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        fs2::FileExt::try_lock_exclusive(&file)?;
        std::io::Write::write_all(&mut file, &serde_json::to_vec(run)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        files::sync_folder(&paths.notify())?;
        Ok(Self { path, _file: file })
    }

    pub fn remove(self) -> Result<()> {
        files::remove(&self.path)
    }
}

/// The runs of `profile` that were killed, each with its file, which is to be removed when that is taken down.
pub fn killed(paths: &Paths, profile: &str) -> Vec<(PathBuf, Option<AtWork>)> {
    let ended = marks(paths, profile).filter_map(|(path, lock)| {
        lock?;
        let run = std::fs::read(&path).ok();
        let run = run.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Some((path, run))
    });
    ended.collect()
}

/// Whether a run of `profile` is at work.
pub fn is_any_at_work(paths: &Paths, profile: &str) -> bool {
    marks(paths, profile).any(|(_, lock)| lock.is_none())
}

/// The marks of `profile`, each with its lock, which is ours where nobody else holds it.
fn marks(paths: &Paths, profile: &str) -> impl Iterator<Item = (PathBuf, Option<File>)> {
    let prefix = format!("{profile}.");
    let entries = std::fs::read_dir(paths.notify()).into_iter().flatten();
    entries.flatten().filter_map(move |entry| {
        let name = entry.file_name();
        let id = name.to_str()?.strip_prefix(&prefix)?.strip_suffix(".run")?;
        // A profile may have a dot in its name.
        if id.contains('.') {
            return None;
        }
        let file = File::open(entry.path()).ok()?;
        let is_ours = fs2::FileExt::try_lock_exclusive(&file).is_ok();
        Some((entry.path(), is_ours.then_some(file)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_killed_when_nobody_holds_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: folder.path().to_owned(),
            ..Paths::standard()
        };
        let run = |id: &str| AtWork {
            id: id.to_owned(),
            kind: Kind::Backup,
            started_at: Utc::now(),
            units: Vec::new(),
        };
        let ids = |profile: &str| -> Vec<String> {
            let killed = killed(&paths, profile).into_iter();
            killed.filter_map(|(_, run)| Some(run?.id)).collect()
        };
        assert!(!is_any_at_work(&paths, "nas"));
        let at_work = Mark::make(&paths, "nas", &run("a")).unwrap();
        assert!(is_any_at_work(&paths, "nas"));
        let ended = Mark::make(&paths, "nas", &run("b")).unwrap();
        drop(Mark::make(&paths, "nas", &run("c")).unwrap());
        ended.remove().unwrap();
        // A child that another test is just starting has it until its exec.
        let is_free = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            !ids("nas").is_empty()
        });
        assert!(is_free);
        assert_eq!(ids("nas"), ["c"]);
        assert_eq!(ids("other"), Vec::<String>::new());
        drop(at_work);
    }
}
