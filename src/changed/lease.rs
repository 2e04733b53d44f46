//! Asks the kernel whether somebody has a file open for writing, or mapped so.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Nobody has it open for writing: not this process nor another one nor the kernel.
    None,
    Some,
    /// It is gone, or the file system grants no leases.
    Unknown,
}

/// Of the file at `path` below `root`. It is not on overlayfs, which grants a lease on what is mapped. Who opens it for writing at the
/// same moment waits for microseconds. The caller takes care that SIGIO does not end the process.
pub fn writers(root: BorrowedFd<'_>, path: &Path) -> Writers {
    let Ok(file) = open_beneath(root, path) else {
        return Writers::Unknown;
    };
    match take(&file) {
        Ok(()) => Writers::None,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Writers::Some,
        Err(_) => Writers::Unknown,
    }
}

/// Through no link. `openat2` would do it at once, and a unit has none (`RestrictSUIDSGID=`).
pub fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let beneath = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let way = beneath | OFlags::PATH | OFlags::DIRECTORY;
    let mut directory = None;
    for name in path.parent().into_iter().flat_map(Path::components) {
        let above = directory.as_ref().map_or(root, OwnedFd::as_fd);
        directory = Some(openat(above, name.as_os_str(), way, Mode::empty())?);
    }
    let above = directory.as_ref().map_or(root, OwnedFd::as_fd);
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let file = beneath | OFlags::RDONLY | OFlags::NONBLOCK;
    // The time of the last access is left as it is, where that is allowed.
    openat(above, name, file | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(above, name, file, Mode::empty()))
}

/// Takes a lease for reading and gives it back.
#[expect(unsafe_code, reason = "no library has leases")]
fn take(file: &OwnedFd) -> std::io::Result<()> {
    // SAFETY: the descriptor is open, and the calls take numbers alone.
    let results = unsafe {
        let file = file.as_raw_fd();
        let taken = libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK);
        let error = std::io::Error::last_os_error();
        if taken == 0 {
            libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
        }
        (taken, error)
    };
    match results {
        (0, _) => Ok(()),
        (_, error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn who_has_a_file_open_for_writing_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        let asked = || writers(root.as_fd(), Path::new("file"));
        let file = File::create(folder.path().join("file")).unwrap();
        assert_eq!(asked(), Writers::Some);
        drop(file);
        assert_eq!(asked(), Writers::None);
        let reader = File::open(folder.path().join("file")).unwrap();
        assert_eq!(asked(), Writers::None);
        drop(reader);
        std::fs::remove_file(folder.path().join("file")).unwrap();
        assert_eq!(asked(), Writers::Unknown);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("file")).unwrap();
        assert_eq!(asked(), Writers::Unknown);
    }
}
