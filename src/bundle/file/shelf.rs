//! The directory that bundles are kept in, which hosts may share: a bundle is there whole or not at all, and the oldest goes only when
//! the newest is on the disk.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::archive::sha256;
use super::name::{BundleName, PASSWORD, README, beside};
use crate::base::files;
use crate::base::secret::Secret;
use crate::bundle::content::texts::Label;
use crate::error::Result;
use crate::model::MachineId;

/// How long a file of an interrupted run stays: another one may be writing it.
const TEMPORARY: std::time::Duration = std::time::Duration::from_secs(3600);

/// What is put there.
pub struct Parcel {
    pub bundle: BundleName,
    pub sealed: Vec<u8>,
    /// Of what is sealed.
    pub sha256: String,
    pub readme: String,
}

pub struct Shelf<'a> {
    folder: &'a Path,
    host: &'a str,
    machine: &'a MachineId,
}

impl<'a> Shelf<'a> {
    pub fn open(folder: &'a Path, host: &'a str, machine: &'a MachineId) -> Result<Self> {
        files::make_private_folder(folder)?;
        Ok(Self {
            folder,
            host,
            machine,
        })
    }

    /// The side files first: a bundle is never without them. `password` is for those who want it there. Reads it back.
    pub fn put(&self, parcel: &Parcel, password: Option<&Secret>) -> Result<PathBuf> {
        let path = self.folder.join(parcel.bundle.file());
        self.write(&beside(&path, README), parcel.readme.as_bytes())?;
        if let Some(password) = password {
            let text = format!("{}\n", password.expose());
            self.write(&beside(&path, PASSWORD), text.as_bytes())?;
        }
        self.write(&path, &parcel.sealed)?;
        files::sync_folder(self.folder)?;
        let shown = path.display();
        let written = std::fs::read(&path).with_context(|| format!("cannot read `{shown}`"))?;
        anyhow::ensure!(
            sha256(&written) == parcel.sha256,
            "`{shown}` is not what was written: its disk is damaged"
        );
        Ok(path)
    }

    /// What is there under that name stays.
    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(&self.prefix())
            .tempfile_in(self.folder)
            .with_context(|| format!("cannot write to `{}`", self.folder.display()))?;
        file.write_all(content)
            .and_then(|()| file.as_file().sync_all())
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        file.persist_noclobber(path)
            .with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok(())
    }

    fn prefix(&self) -> String {
        format!(".kopi-docka-{}-", self.machine)
    }

    /// Whether nothing there has the name, not even a part of what an interrupted run wrote.
    pub fn is_free(&self, bundle: BundleName) -> bool {
        let path = self.folder.join(bundle.file());
        [path.clone(), beside(&path, README), beside(&path, PASSWORD)]
            .iter()
            .all(|path| path.symlink_metadata().is_err())
    }

    /// Removes all but the newest `keep` of this host, each with its side files; and what interrupted runs of it left.
    pub fn rotate(&self, keep: usize) -> Result<()> {
        let mut own = Vec::new();
        for entry in std::fs::read_dir(self.folder)?.flatten() {
            let path = entry.path();
            if let Some(bundle) = BundleName::of_file(&path).filter(|_| self.is_own(&path)) {
                own.push((bundle, path));
            } else if self.is_left_over(&path) {
                files::remove(&beside(&path.with_extension(""), PASSWORD))?;
                files::remove(&path)?;
            }
        }
        own.sort();
        let surplus = own.len().saturating_sub(keep.max(1));
        for (_, path) in own.iter().take(surplus) {
            // The bundle first: it is never without its side files.
            for path in [path.clone(), beside(path, PASSWORD), beside(path, README)] {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    fn is_own(&self, bundle: &Path) -> bool {
        is_of(bundle, self.host, self.machine)
    }

    /// A temporary name, or the text of a bundle that was never there.
    fn is_left_over(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return false;
        };
        let is_side_file = || {
            let bundle = path.with_extension("");
            name.ends_with(README)
                && BundleName::of_file(&bundle).is_some()
                && bundle.symlink_metadata().is_err()
                && self.is_own(&bundle)
        };
        let age = path
            .symlink_metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| modified.elapsed().ok());
        age.is_some_and(|age| age > TEMPORARY)
            && (name.starts_with(&self.prefix()) || is_side_file())
    }
}

/// Whether the text beside a bundle says so.
pub fn is_of(bundle: &Path, host: &str, machine: &MachineId) -> bool {
    let text = std::fs::read_to_string(beside(bundle, README));
    let label = text.ok().and_then(|text| Label::parse(&text));
    label.is_some_and(|label| label.host == host && label.machine == *machine)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::SystemTime;

    use super::*;
    use crate::model::BackupId;

    fn bundle(second: u32) -> BundleName {
        BundleName {
            id: BackupId::parse(&format!("2025-01-31T23-59-{second:02}Z")).unwrap(),
        }
    }

    fn machine(digit: &str) -> MachineId {
        MachineId::parse(&digit.repeat(32)).unwrap()
    }

    fn put(shelf: &Shelf<'_>, second: u32) -> PathBuf {
        let readme = format!(
            "Host:     {}\nMachine:  {}\nSHA-256:  ab\n",
            shelf.host, shelf.machine
        );
        let parcel = Parcel {
            bundle: bundle(second),
            sealed: b"sealed".to_vec(),
            sha256: sha256(b"sealed"),
            readme,
        };
        shelf.put(&parcel, Some(&Secret::new("hunter2"))).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_of_this_host_go_with_their_side_files_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (machine("1"), machine("2"));
        let here = Shelf::open(folder.path(), "web1", &one).unwrap();
        let clone = Shelf::open(folder.path(), "web1", &other).unwrap();
        for second in 1..=4 {
            let path = put(&here, second);
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        put(&clone, 5);
        let foreign = [
            "kopi-docka-recovery-20250131_235959.tar.gz.enc",
            "kopi-docka-recovery-2020-01-31T23-59-59Z.tar.gz.enc",
            "notes.txt",
        ];
        for name in foreign {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        here.rotate(2).unwrap();
        let left = names(folder.path());
        let has = |second: u32| {
            let file = bundle(second).file();
            let of_it = left.iter().filter(|name| name.starts_with(&file));
            of_it.count()
        };
        assert_eq!([5, 1, 2, 3, 4].map(has), [3, 0, 0, 3, 3], "{left:?}");
        assert!(
            foreign
                .iter()
                .all(|name| left.contains(&(*name).to_owned()))
        );
        here.rotate(0).unwrap();
        let left = names(folder.path());
        assert!(left.contains(&bundle(4).file()), "one stays: {left:?}");
    }

    #[test]
    fn a_name_is_never_taken_twice() {
        let folder = tempfile::tempdir().unwrap();
        let one = machine("1");
        let shelf = Shelf::open(folder.path(), "web1", &one).unwrap();
        assert!(shelf.is_free(bundle(1)));
        let path = put(&shelf, 1);
        assert!(!shelf.is_free(bundle(1)));
        std::fs::remove_file(path).unwrap();
        assert!(!shelf.is_free(bundle(1)), "its text is there");
    }

    #[test]
    fn what_an_interrupted_run_left_goes_an_hour_later() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (machine("1"), machine("2"));
        let shelf = Shelf::open(folder.path(), "web1", &one).unwrap();
        let clone = Shelf::open(folder.path(), "web1", &other).unwrap();
        let bundle = put(&shelf, 1);
        std::fs::remove_file(&bundle).unwrap();
        std::fs::remove_file(beside(&bundle, PASSWORD)).unwrap();
        let text = beside(&bundle, README);
        let own = folder.path().join(format!("{}x", shelf.prefix()));
        let theirs = folder.path().join(format!("{}x", clone.prefix()));
        for path in [&own, &theirs] {
            std::fs::write(path, "half").unwrap();
        }
        shelf.rotate(3).unwrap();
        assert_eq!(names(folder.path()).len(), 3, "they may be being written");
        let past = SystemTime::now() - 2 * TEMPORARY;
        for path in [&own, &theirs, &text] {
            let file = std::fs::File::options().append(true).open(path).unwrap();
            file.set_modified(past).unwrap();
        }
        shelf.rotate(3).unwrap();
        assert!(!own.exists() && !text.exists() && theirs.exists());
    }
}
