//! A place on this host that something is restored to: whether it may be, and whether it can be swapped.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Access, StatVfsMountFlags};

use super::names::{check_name, refused};
use crate::discovery::mount_table::MountTable;
use crate::error::{Exit, Failure, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Links resolved.
    pub path: PathBuf,
    /// Something is there.
    pub exists: bool,
    /// What has to be made for it to have a parent, the outermost first.
    pub missing_folders: Vec<PathBuf>,
    /// The file system it is on: its device and what it has free.
    pub device: u64,
    pub free_bytes: u64,
}

/// What must never be replaced: the repository, our own state, the engine's.
#[derive(Clone, Debug, Default)]
pub struct Forbidden(pub Vec<PathBuf>);

/// Looks at a place that a recipe names: neither the name nor where it leads may be one that [`check_name`] refuses. Blocks.
pub fn look_at_name(
    path: &Path,
    mounts: &MountTable,
    forbidden: &Forbidden,
    mounted: &[PathBuf],
) -> Result<Target> {
    check_name(path, mounted)?;
    let target = look(path, mounts, forbidden)?;
    if target.path != path {
        check_name(&target.path, mounted)?;
    }
    Ok(target)
}

/// Looks at a place that Docker names. Blocks.
pub fn look(path: &Path, mounts: &MountTable, forbidden: &Forbidden) -> Result<Target> {
    let (real, missing_folders) = resolve(path)?;
    let overlaps = |own: &PathBuf| own.starts_with(&real) || real.starts_with(own);
    if let Some(own) = forbidden.0.iter().find(|own| overlaps(own)) {
        return Err(refused(
            path,
            &format!(
                "`{}` is needed by Docker or by kopi-docka itself",
                own.display()
            ),
        )
        .into());
    }
    let anchor = missing_folders
        .first()
        .and_then(|folder| folder.parent())
        .or_else(|| real.parent())
        .with_context(|| format!("`{}` has no parent", real.display()))?;
    let parent = std::fs::metadata(anchor)
        .with_context(|| format!("`{}` can't be looked at", anchor.display()))?;
    let disk = rustix::fs::statvfs(anchor)
        .with_context(|| format!("`{}` can't be looked at", anchor.display()))?;
    let is_read_only = disk.f_flag.contains(StatVfsMountFlags::RDONLY)
        || rustix::fs::access(anchor, Access::WRITE_OK).is_err();
    if is_read_only {
        return Err(cannot_swap(&real, &format!("`{}` is read-only", anchor.display())).into());
    }
    let exists = match std::fs::symlink_metadata(&real) {
        Ok(metadata) => {
            let kind = metadata.file_type();
            if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device()
            {
                return Err(cannot_swap(&real, "it is neither a folder nor a file").into());
            }
            if is_mount_point(&real, mounts) {
                return Err(cannot_swap(&real, "another file system is mounted there").into());
            }
            if metadata.dev() != parent.dev() {
                return Err(
                    cannot_swap(&real, "it is a file system (or subvolume) of its own").into(),
                );
            }
            if let Some(inner) = mounts.below(&real).next() {
                let why = format!(
                    "another file system is mounted in it, at `{}`",
                    inner.point.display()
                );
                return Err(cannot_swap(&real, &why).into());
            }
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(error).with_context(|| format!("`{}` can't be looked at", real.display()));
        }
    };
    Ok(Target {
        path: real,
        exists,
        missing_folders,
        device: parent.dev(),
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
    })
}

fn is_mount_point(path: &Path, mounts: &MountTable) -> bool {
    mounts.of(path).is_some_and(|entry| entry.point == path)
}

/// `path` with its links resolved as far as it exists, and the folders that are missing above it.
fn resolve(path: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    for existing in path.ancestors() {
        let real = match std::fs::canonicalize(existing) {
            Ok(real) => real,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if std::fs::symlink_metadata(existing).is_ok() {
                    return Err(cannot_swap(existing, "it is a link that leads nowhere").into());
                }
                continue;
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("`{}` can't be looked at", existing.display()));
            }
        };
        let mut whole = real;
        let mut missing = Vec::new();
        for part in path
            .strip_prefix(existing)
            .unwrap_or(Path::new(""))
            .components()
        {
            whole.push(part);
            missing.push(whole.clone());
        }
        // The last one is the target itself.
        missing.pop();
        return Ok((whole, missing));
    }
    anyhow::bail!("`{}` is not an absolute path", path.display())
}

fn cannot_swap(path: &Path, why: &str) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("`{}` can't be replaced: {why}", path.display()),
    )
    .hint("mend that (unmount it, remount it writable), or restore the others by naming them: `--volume`, several times")
    .note("nothing was touched")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;

    fn look_at(path: &Path) -> Result<Target> {
        look_at_name(path, &MountTable::read(), &Forbidden::default(), &[])
    }

    #[test]
    fn a_link_is_followed_to_where_it_may_lead_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/data")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("evil")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();

        let target = look_at(&root.join("link/data")).unwrap();
        assert_eq!(target.path, root.join("real/data"));
        assert!(target.exists && target.missing_folders.is_empty());
        assert!(target.free_bytes > 0);

        let target = look_at(&root.join("link/a/b/c")).unwrap();
        assert_eq!(target.path, root.join("real/a/b/c"));
        assert_eq!(
            target.missing_folders,
            [root.join("real/a"), root.join("real/a/b")]
        );
        assert!(!target.exists);

        for refused in ["evil", "evil/passwd", "dangling", "dangling/x"] {
            let error = look_at(&root.join(refused)).unwrap_err();
            assert!(!render(&error).is_empty(), "{refused}");
        }
    }

    #[test]
    fn mount_points_are_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let point = root.join("data/mnt");
        std::fs::create_dir_all(&point).unwrap();
        let line = format!(
            "1 0 8:1 / / rw - ext4 a rw\n2 1 8:1 /x {} rw - ext4 a rw\n",
            point.display()
        );
        let mounts = MountTable::parse(line.as_bytes());
        for path in [&point, &root.join("data")] {
            let text = render(&look(path, &mounts, &Forbidden::default()).unwrap_err());
            assert!(text.contains("mounted") && text.contains("hint:"), "{text}");
        }
        let shm = Path::new("/dev/shm");
        assert!(look_at(shm).is_err());
    }

    #[test]
    fn what_holds_our_own_state_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("repo/inner")).unwrap();
        let forbidden = Forbidden(vec![root.join("repo")]);
        for path in ["", "repo", "repo/inner"] {
            assert!(
                look(&root.join(path), &MountTable::read(), &forbidden).is_err(),
                "{path}"
            );
        }
        assert!(look(&root.join("other"), &MountTable::read(), &forbidden).is_ok());
    }
}
