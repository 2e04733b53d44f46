//! Where a restore puts things before they have their place: directories beside the targets (inside those that cannot be
//! renamed), for root alone.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::io::Errno;

use super::attributes::keep_time;
use super::journal::Swap;
use crate::error::Result;

/// Makes the staging directory of `swap`, 0700 and without the ACLs that its parent hands down: with `--no-acls` tar
/// would let every extracted file inherit them. A safety copy that is put back needs none.
pub fn make(swap: &Swap) -> Result<()> {
    if swap.copy.is_some() {
        return Ok(());
    }
    make_for_probe(swap)
}

/// As [`make`], also for what needs none.
pub fn make_for_probe(swap: &Swap) -> Result<()> {
    in_place(swap, || make_private(&swap.staging))
}

pub fn make_private(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot create `{}`", folder.display()))?;
    for name in ["system.posix_acl_default", "system.posix_acl_access"] {
        match rustix::fs::lremovexattr(folder, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "the inherited ACLs of `{}` cannot be removed",
                        folder.display()
                    )
                });
            }
        }
    }
    // Inherited ACLs may have changed the mode.
    rustix::fs::chmod(folder, rustix::fs::Mode::RWXU)
        .with_context(|| format!("`{}` cannot be closed to others", folder.display()))
}

/// A staging directory inside the target comes and goes without a trace in the target's own time.
fn in_place(swap: &Swap, work: impl FnOnce() -> Result<()>) -> Result<()> {
    match &swap.within {
        Some(within) => {
            within.check_root(&swap.target)?;
            keep_time(&swap.target, work)
        }
        None => work(),
    }
}

/// Removes a staging directory and what is in it. No error when it is not there. Blocks.
pub fn remove(swap: &Swap) -> Result<()> {
    in_place(swap, || match std::fs::remove_dir_all(&swap.staging) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(error).with_context(|| format!("cannot remove `{}`", swap.staging.display()))
        }
    })
}

/// Removes those of `folders` that are empty, the innermost first.
pub fn remove_empty(folders: &[std::path::PathBuf]) {
    for folder in folders.iter().rev() {
        // One that is in use by now stays.
        let _ = std::fs::remove_dir(folder as &Path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::model::BackupId;

    #[test]
    fn a_staging_folder_is_roots_alone_and_inherits_no_acl() {
        let root = tempfile::tempdir().unwrap();
        // Version 2; user::rwx user:1:rwx group::r-x mask::rwx other::r-x
        let mut acl = 2_u32.to_le_bytes().to_vec();
        for (tag, mode, id) in [
            (1_u16, 7_u16, u32::MAX),
            (2, 7, 1),
            (4, 5, u32::MAX),
            (16, 7, u32::MAX),
            (32, 5, u32::MAX),
        ] {
            acl.extend(tag.to_le_bytes());
            acl.extend(mode.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        rustix::fs::setxattr(
            root.path(),
            "system.posix_acl_default",
            &acl,
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let swap = Swap::new("v".to_owned(), root.path().join("v"), id);
        make(&swap).unwrap();
        let mode = std::fs::metadata(&swap.staging)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o700);
        std::fs::write(swap.content(), "x").unwrap();
        for path in [&swap.staging, &swap.content()] {
            for name in ["system.posix_acl_default", "system.posix_acl_access"] {
                let found = rustix::fs::lgetxattr_query(path, name);
                assert_eq!(found, Err(Errno::NODATA), "{name} of {}", path.display());
            }
        }
        assert!(make(&swap).is_err(), "never into one that is there");
        remove(&swap).unwrap();
        remove(&swap).unwrap();
    }
}
