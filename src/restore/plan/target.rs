//! A place on this host that something is restored to: whether it may be, and whether it can be swapped.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Access, StatVfsMountFlags};

use super::names::{Power, refused};
use super::pool::Pool;
use crate::base::fault;
use crate::discovery::mount_table::MountTable;
use crate::error::{Exit, Failure, Result};
use crate::model::{BackupId, SourceKey};
use crate::swap::holes::Holes;
use crate::swap::journal::Swap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Links resolved.
    pub path: PathBuf,
    /// Something is there.
    pub exists: bool,
    /// What has to be made for it to have a parent, the outermost first.
    pub missing_folders: Vec<PathBuf>,
    /// What the file system that it is on has left.
    pub pool: Pool,
    /// Set when it cannot be renamed: then what is in it is moved.
    pub fixed: Option<Fixed>,
    /// What in it stays where it is; only with `fixed`.
    pub holes: Holes,
    /// By whose leave it is restored to, where it has power over this host.
    pub powers: Vec<Power>,
}

/// A directory that stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    inode: u64,
    why: String,
}

impl Target {
    /// One that can be renamed.
    fn plain(path: PathBuf, exists: bool, missing_folders: Vec<PathBuf>, pool: Pool) -> Self {
        Self {
            path,
            exists,
            missing_folders,
            pool,
            fixed: None,
            holes: Holes::default(),
            powers: Vec::new(),
        }
    }

    /// How it is replaced.
    pub fn swap(&self, what: String, id: BackupId) -> Swap {
        match &self.fixed {
            Some(fixed) => {
                let mut swap = Swap::within(what, self.path.clone(), id, fixed.inode);
                if let Some(within) = &mut swap.within {
                    within.holes.clone_from(&self.holes);
                }
                swap
            }
            None => Swap::new(what, self.path.clone(), id),
        }
    }

    /// Leaves what is at `hole`, relative to it, where it is. `why` it cannot be renamed then. Blocks.
    pub fn leave(&mut self, hole: PathBuf, why: String) -> Result<()> {
        if self.fixed.is_none() {
            let found = std::fs::symlink_metadata(&self.path)
                .with_context(|| format!("cannot access `{}`", self.path.display()))?;
            let inode = found.ino();
            self.fixed = Some(Fixed { inode, why });
        }
        if !self.holes.is_one(&hole) && !self.holes.0.iter().any(|outer| hole.starts_with(outer)) {
            self.holes.0.retain(|inner| !inner.starts_with(&hole));
            self.holes.0.push(hole);
        }
        Ok(())
    }

    /// A directory on the file system that what is restored has to fit on.
    pub fn folder(&self) -> &Path {
        match &self.fixed {
            Some(_) => &self.path,
            None => self.path.parent().unwrap_or(&self.path),
        }
    }

    /// What the operator should know of how it is replaced.
    pub fn remark(&self, what: &SourceKey, id: BackupId) -> Option<String> {
        let (fixed, swap) = (self.fixed.as_ref()?, self.swap(String::new(), id));
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        Some(format!(
            "{what} cannot be renamed ({}): it is extracted inside itself, in `{}`, and what is there now is kept in `{}`, where containers see it until it is discarded",
            fixed.why,
            name(&swap.staging),
            name(&swap.kept)
        ))
    }
}

/// What must never be replaced: the repository, our own state, the engine's.
#[derive(Clone, Debug, Default)]
pub struct Forbidden(pub Vec<PathBuf>);

/// Looks at a place that a recipe names: `judge` must agree to the name and to where it leads. Blocks.
pub fn look_at_name(
    path: &Path,
    mounts: &MountTable,
    forbidden: &Forbidden,
    stays: &[PathBuf],
    judge: impl Fn(&Path) -> Result<Option<Power>>,
) -> Result<Target> {
    let mut powers: Vec<Power> = judge(path)?.into_iter().collect();
    let mut target = look(path, mounts, forbidden, stays)?;
    if target.path != path {
        powers.extend(judge(&target.path)?);
    }
    target.powers = powers;
    Ok(target)
}

/// Looks at a place that Docker names. Blocks.
///
/// What is mounted in it is no obstacle where one of `stays` is: see [`Target::leave`].
pub fn look(
    path: &Path,
    mounts: &MountTable,
    forbidden: &Forbidden,
    stays: &[PathBuf],
) -> Result<Target> {
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
    let room = Room::of(anchor, mounts)?;
    let metadata = match std::fs::symlink_metadata(&real) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if room.is_read_only {
                let why = format!("`{}` is read-only", anchor.display());
                return Err(cannot_swap(&real, &why).into());
            }
            return Ok(Target::plain(real, false, missing_folders, room.pool));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot access `{}`", real.display()));
        }
    };
    let kind = metadata.file_type();
    if !kind.is_dir() && !kind.is_file() {
        return Err(cannot_swap(&real, "it is neither a directory nor a file").into());
    }
    let stays_there = |inner: &Path| {
        let mut stays = stays.iter();
        stays.any(|stays| *stays != real && stays.starts_with(&real) && inner.starts_with(stays))
    };
    let inner = mounts.below(&real).find(|inner| !stays_there(&inner.point));
    if let Some(inner) = inner {
        let why = format!(
            "another file system is mounted in it, at `{}`",
            inner.point.display()
        );
        return Err(cannot_swap(&real, &why).into());
    }
    let why = if is_mount_point(&real, mounts) {
        Some("another file system is mounted there".to_owned())
    } else if metadata.dev() != room.device {
        Some("it is a file system (or subvolume) of its own".to_owned())
    } else if room.is_read_only {
        Some(format!("`{}` is read-only", anchor.display()))
    } else {
        None
    };
    let Some(why) = why else {
        return Ok(Target::plain(real, true, missing_folders, room.pool));
    };
    // Of a file only the content could be replaced, and not in one step.
    if !kind.is_dir() {
        return Err(cannot_swap(&real, &why).into());
    }
    let room = Room::of(&real, mounts)?;
    if room.is_read_only {
        return Err(cannot_swap(&real, &format!("{why}, and it is read-only")).into());
    }
    let fixed = Fixed {
        inode: fault::number(&real, metadata.ino()),
        why,
    };
    Ok(Target {
        fixed: Some(fixed),
        ..Target::plain(real, true, missing_folders, room.pool)
    })
}

/// What the file system of a directory has.
struct Room {
    device: u64,
    pool: Pool,
    is_read_only: bool,
}

impl Room {
    fn of(folder: &Path, mounts: &MountTable) -> Result<Self> {
        let pool = Pool::of(folder, mounts)?;
        let look = || -> std::io::Result<Self> {
            let disk = rustix::fs::statvfs(folder)?;
            Ok(Self {
                device: std::fs::metadata(folder)?.dev(),
                pool,
                is_read_only: disk.f_flag.contains(StatVfsMountFlags::RDONLY)
                    || rustix::fs::access(folder, Access::WRITE_OK).is_err(),
            })
        };
        look().with_context(|| format!("cannot access `{}`", folder.display()))
    }
}

fn is_mount_point(path: &Path, mounts: &MountTable) -> bool {
    mounts.of(path).is_some_and(|entry| entry.point == path)
}

/// `path` with its links resolved as far as it exists, and the directories that are missing above it.
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
                    .with_context(|| format!("cannot access `{}`", existing.display()));
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
        format!("`{}` cannot be replaced: {why}", path.display()),
    )
    .hint("fix that (unmount it, remount it writable), or restore the others by naming them: `--volume` (can be repeated)")
    .note("nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::super::names::Trust;
    use super::*;
    use crate::error::render;

    fn look_at(path: &Path) -> Result<Target> {
        let trust = Trust::default();
        let judge = |path: &Path| trust.data(path, false);
        look_at_name(path, &MountTable::read(), &Forbidden::default(), &[], judge)
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
        assert!(target.pool.free_bytes > 0);

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
    fn a_mounted_folder_is_replaced_from_within_and_what_holds_one_or_is_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (point, file) = (root.join("data/mnt"), root.join("file"));
        std::fs::create_dir_all(&point).unwrap();
        std::fs::write(&file, "").unwrap();
        let line = format!(
            "1 0 8:1 / / rw - ext4 a rw\n2 1 8:1 /x {} rw - ext4 a rw\n3 1 8:1 /y {} rw - ext4 a rw\n",
            point.display(),
            file.display()
        );
        let mounts = MountTable::parse(line.as_bytes());
        for path in [&file, &root.join("data")] {
            let text = render(&look(path, &mounts, &Forbidden::default(), &[]).unwrap_err());
            assert!(text.contains("mounted") && text.contains("hint:"), "{text}");
        }
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let target = look(&point, &mounts, &Forbidden::default(), &[]).unwrap();
        let swap = target.swap(String::new(), id);
        assert!(swap.within.is_some() && swap.kept.starts_with(&point));
        assert_eq!(target.folder(), point);
        let shm = Path::new("/dev/shm");
        assert!(look_at(shm).is_err(), "by its name");
    }

    #[test]
    fn what_holds_our_own_state_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("repo/inner")).unwrap();
        let forbidden = Forbidden(vec![root.join("repo")]);
        for path in ["", "repo", "repo/inner"] {
            assert!(
                look(&root.join(path), &MountTable::read(), &forbidden, &[]).is_err(),
                "{path}"
            );
        }
        assert!(look(&root.join("other"), &MountTable::read(), &forbidden, &[]).is_ok());
    }
}
