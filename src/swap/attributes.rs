//! Owner, mode, time and extended attributes (ACLs among them) of a directory that stays itself while its content changes.

use std::ffi::{CStr, CString};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, fchmod,
    fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, futimens, utimensat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::point::FileAttributes;

/// The most that the kernel gives or takes, for a value and for the list of names.
const XATTR_MAX: usize = 64 * 1024;

/// A label that the kernel sets and that cannot be removed.
const SECURITY_LABEL: &CStr = c"security.selinux";

/// Seconds since 1970, and nanoseconds.
pub type Modified = (i64, i64);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// 12 bits.
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Modified,
    /// Names and values.
    extended: Vec<(CString, Vec<u8>)>,
}

impl Attributes {
    /// Those of `folder`, which must not be a link.
    pub fn of(folder: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let opened = open(folder)?;
            let metadata = std::fs::symlink_metadata(folder)?;
            let mut extended = Vec::new();
            for name in names(&opened)? {
                let mut value = vec![0; XATTR_MAX];
                let length = fgetxattr(&opened, &name, &mut value[..])?;
                value.truncate(length);
                extended.push((name, value));
            }
            Ok(Self {
                mode: metadata.mode() & 0o7777,
                uid: metadata.uid(),
                gid: metadata.gid(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                extended,
            })
        };
        read().with_context(|| format!("the attributes of `{}` cannot be read", folder.display()))
    }

    /// Gives them to `folder`, and takes away what it has besides.
    pub fn set(&self, folder: &Path) -> Result<()> {
        let set = || -> Result<()> {
            let opened = open(folder)?;
            fchown(
                &opened,
                Some(Uid::from_raw(self.uid)),
                Some(Gid::from_raw(self.gid)),
            )?;
            for name in names(&opened)? {
                let is_wanted = self.extended.iter().any(|(wanted, _)| *wanted == name);
                if !is_wanted && *name != *SECURITY_LABEL {
                    fremovexattr(&opened, &name)?;
                }
            }
            for (name, value) in &self.extended {
                fsetxattr(&opened, name, value, XattrFlags::empty())?;
            }
            // After the ACLs: setting or removing one changes the bits of the group.
            fchmod(&opened, Mode::from_raw_mode(self.mode))?;
            self.set_time(&opened)
        };
        set().with_context(|| format!("the attributes of `{}` cannot be set", folder.display()))
    }

    fn set_time(&self, opened: &OwnedFd) -> Result<()> {
        Ok(futimens(opened, &times(self.modified))?)
    }
}

fn times(modified: Modified) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified.0,
            tv_nsec: modified.1,
        },
    }
}

/// When the directory at `path` was changed; `None` for everything else, which keeps its time when it is moved.
pub fn modified(path: &Path) -> Result<Option<Modified>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some((metadata.mtime(), metadata.mtime_nsec()))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot access `{}`", path.display())),
    }
}

/// Gives the directory at `path` the time that it had before it was moved.
pub fn set_modified(path: &Path, modified: Option<Modified>) -> Result<()> {
    let Some(modified) = modified else {
        return Ok(());
    };
    utimensat(CWD, path, &times(modified), AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("the time of `{}` cannot be set", path.display()))
}

/// Does `work`, which makes or removes something in `folder`, and gives the directory the time back that it had.
pub fn keep_time(folder: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = Attributes::of(folder)?;
    work()?;
    before
        .set_time(&open(folder)?)
        .with_context(|| format!("the time of `{}` cannot be set", folder.display()))
}

fn open(folder: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

fn names(opened: &OwnedFd) -> Result<Vec<CString>> {
    let mut list = vec![0; XATTR_MAX];
    let length = match flistxattr(opened, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    list.truncate(length);
    let names = list.split_inclusive(|byte| *byte == 0);
    names
        .map(|name| Ok(CStr::from_bytes_with_nul(name)?.to_owned()))
        .collect()
}

/// Removes all extended attributes of what was opened, ACLs among them.
pub fn strip(opened: &OwnedFd) -> Result<()> {
    for name in names(opened)? {
        if *name == *SECURITY_LABEL {
            continue;
        }
        match fremovexattr(opened, &*name) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(error) => {
                let name = name.to_string_lossy();
                return Err(error).with_context(|| format!("attribute `{name}` cannot be removed"));
            }
        }
    }
    Ok(())
}

/// Gives the file at `path` the owner, mode and time of a saved one. Blocks.
pub fn give(path: &Path, attributes: &FileAttributes) -> std::io::Result<()> {
    std::os::unix::fs::chown(path, Some(attributes.uid), Some(attributes.gid))?;
    set_time(path, attributes)?;
    // After the owner: changing that takes setuid bits away.
    std::fs::set_permissions(path, Permissions::from_mode(attributes.mode & 0o7777))
}

/// Of a link its own.
pub fn set_time(path: &Path, attributes: &FileAttributes) -> std::io::Result<()> {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: attributes.modified_seconds,
            tv_nsec: attributes.modified_nanoseconds.into(),
        },
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gets_what_another_one_has_and_loses_what_it_has_not() {
        let root = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| {
            let path = root.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        });
        std::os::unix::fs::chown(&one, Some(1234), Some(4321)).unwrap();
        rustix::fs::chmod(&one, Mode::from_raw_mode(0o3751)).unwrap();
        let set = |path: &Path, name: &str, value: &[u8]| {
            rustix::fs::setxattr(path, name, value, XattrFlags::empty()).unwrap();
        };
        set(&one, "trusted.both", b"\0\xff");
        set(&one, "trusted.one", b"1");
        set(&other, "trusted.both", b"other");
        set(&other, "trusted.other", b"2");
        let wanted = Attributes::of(&one).unwrap();
        let text = serde_json::to_string(&wanted).unwrap();
        let read: Attributes = serde_json::from_str(&text).unwrap();
        assert_eq!(read, wanted);
        read.set(&other).unwrap();
        assert_eq!(Attributes::of(&other).unwrap(), wanted);
        keep_time(&other, || Ok(std::fs::create_dir(other.join("x"))?)).unwrap();
        assert_eq!(Attributes::of(&other).unwrap(), wanted);
    }
}
