//! Files of the operator that hold secrets: the configuration, the password file, the credentials. Replaced in one step; a link
//! stays a link, the owner stays, and only the owner can read what is new.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::Utc;
use tempfile::NamedTempFile;

use super::files;
use crate::error::Result;

/// The file itself, links followed. It need not exist; its directory must, and something can be put there.
pub fn place(named: &Path) -> std::io::Result<PathBuf> {
    let place = match named.canonicalize() {
        Ok(place) if !place.metadata()?.is_file() => {
            return Err(std::io::Error::other("it is not a file"));
        }
        // A link to nowhere is there: what it leads to is its owner's affair.
        Err(error) if error.kind() != ErrorKind::NotFound || named.symlink_metadata().is_ok() => {
            return Err(error);
        }
        Ok(place) => place,
        Err(_) => {
            let absolute = std::path::absolute(named)?;
            let name = absolute.file_name().ok_or(ErrorKind::InvalidFilename)?;
            folder(&absolute).canonicalize()?.join(name)
        }
    };
    drop(beside(&place)?);
    Ok(place)
}

/// Puts `content` where `place` is, or is not yet; what [`place`] found. On the disk after this returns.
pub fn replace(place: &Path, content: &[u8]) -> Result<()> {
    let put = || -> Result<()> {
        let mut file = beside(place)?;
        file.write_all(content)?;
        if let Ok(owner) = place.metadata() {
            fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))?;
        }
        file.as_file().sync_all()?;
        file.persist(place)?;
        files::sync_folder(folder(place))
    };
    put().with_context(|| format!("`{}` cannot be replaced", place.display()))
}

/// As [`replace`], for a file that is not there; one that appeared meanwhile is an error, and stays.
pub fn create(place: &Path, content: &[u8]) -> Result<()> {
    let put = || -> Result<()> {
        let mut file = beside(place)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(place)?;
        files::sync_folder(folder(place))
    };
    put().with_context(|| format!("cannot create `{}`", place.display()))
}

/// Keeps what `place` holds beside it, under a name with the time.
pub fn keep_copy(place: &Path) -> Result<PathBuf> {
    keep_beside(place, "", &std::fs::read(place)?)
}

/// Keeps `content` beside `place`, as `<place>.<what><time>`; its owner alone can read it.
pub fn keep_beside(place: &Path, what: &str, content: &[u8]) -> Result<PathBuf> {
    let time = Utc::now().format("%Y-%m-%dT%H-%M-%SZ");
    let name = |number: u32| {
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".{what}{time}"));
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let free = (1..)
        .map(name)
        .find(|name| name.symlink_metadata().is_err());
    let copy = free.with_context(|| format!("cannot copy `{}`", place.display()))?;
    create(&copy, content)?;
    Ok(copy)
}

/// A file of ours in the directory of `place`, gone when it is dropped, readable for us alone.
pub fn beside(place: &Path) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".kopi-docka-new-")
        .tempfile_in(folder(place))
}

fn folder(place: &Path) -> &Path {
    place.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_link_stays_a_link_and_what_is_new_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "old").unwrap();
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let found = place(&link).unwrap();
        let copy = keep_copy(&found).unwrap();
        let other = keep_copy(&found).unwrap();
        replace(&found, b"new").unwrap();
        assert_eq!(std::fs::read(&link).unwrap(), b"new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        for file in [&target, &copy, &other] {
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read(&copy).unwrap(), b"old");
        assert_ne!(copy, other);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn what_is_there_is_never_overwritten_by_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let found = place(&file).unwrap();
        create(&found, b"first").unwrap();
        assert!(create(&found, b"second").is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"first");
        assert!(place(&folder.path().join("missing/file")).is_err());
        assert!(place(folder.path()).is_err());
    }
}
