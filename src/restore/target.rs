//! A place on this host that something is restored to: whether it may be, and whether it can be swapped.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Access, StatVfsMountFlags};

use crate::discovery::mount_table::MountTable;
use crate::discovery::system_paths::{Ownership, ownership};
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

/// With everything below: what is in there is run by the system, or decides who may do what. Many hosts can share a
/// repository, and one that was taken over must not get at the others by a recipe with such a path.
const POWERFUL_TREES: &[&str] = &[
    "/etc/apparmor.d",
    "/etc/apt",
    "/etc/bash.bashrc",
    "/etc/containerd",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/etc/cron.yearly",
    "/etc/crontab",
    "/etc/dbus-1",
    "/etc/default",
    "/etc/docker",
    "/etc/init.d",
    "/etc/initramfs-tools",
    "/etc/kernel",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/logrotate.d",
    "/etc/modprobe.d",
    "/etc/network",
    "/etc/NetworkManager",
    "/etc/pam.d",
    "/etc/polkit-1",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/rc.local",
    "/etc/security",
    "/etc/skel",
    "/etc/ssh",
    "/etc/sudoers.d",
    "/etc/sysctl.d",
    "/etc/systemd",
    "/etc/tmpfiles.d",
    "/etc/udev",
    "/etc/update-motd.d",
    "/etc/xdg",
    "/var/lib/docker",
    "/var/spool",
];

/// Hidden files of a home that a login or a program of its owner runs or trusts.
const POWERFUL_NAMES: &[&str] = &[
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".config",
    ".cshrc",
    ".gnupg",
    ".kde",
    ".local",
    ".pam_environment",
    ".profile",
    ".rhosts",
    ".ssh",
    ".zlogin",
    ".zprofile",
    ".zshenv",
    ".zshrc",
];

/// Refuses names that no unit's data can have: a recipe may be odd, or made by somebody who means harm. `mounted` are the
/// paths that containers have mounted here: what they say of themselves is the operator's own word.
pub fn check_name(path: &Path, mounted: &[PathBuf]) -> Result<()> {
    let is_plain = path.is_absolute()
        && !path.as_os_str().as_encoded_bytes().contains(&0)
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !is_plain || ownership(path) != Ownership::Operator {
        return Err(refused(path, "it is no place for a unit's data").into());
    }
    if is_powerful(path) && !mounted.iter().any(|known| known == path) {
        return Err(refused(
            path,
            "what is in there has power over this host, and no container here has it mounted",
        )
        .hint("if that is wanted all the same: make the containers first, `docker compose up --no-start`")
        .into());
    }
    Ok(())
}

/// Whether `path` is in such a place, or holds one.
fn is_powerful(path: &Path) -> bool {
    POWERFUL_TREES
        .iter()
        .any(|tree| path.starts_with(tree) || Path::new(tree).starts_with(path))
        || is_home(path)
        || path
            .components()
            .any(|part| POWERFUL_NAMES.iter().any(|name| part.as_os_str() == *name))
}

/// `/root`, `/home`, `/home/x`: with all its hidden files.
fn is_home(path: &Path) -> bool {
    path == Path::new("/root")
        || path == Path::new("/home")
        || path.parent() == Some(Path::new("/home"))
}

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

fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("nothing is restored to `{}`: {why}", path.display()),
    )
    .hint("name what is to be restored without it: `--volume`, several times")
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
    fn names_that_no_data_has_are_refused() {
        for hostile in [
            "/",
            "",
            "srv/data",
            "../x",
            "/srv/../etc/passwd",
            "/srv/..",
            "/etc",
            "/etc/passwd",
            "/usr/bin",
            "/boot",
            "/proc/self",
            "/run/x",
            "/var/lib",
            "/lib/x",
            "/dev/sda",
        ] {
            let known = [PathBuf::from(hostile)];
            let error = check_name(Path::new(hostile), &known).unwrap_err();
            assert!(
                error.to_string().contains("nothing is restored to"),
                "{hostile}: {error}"
            );
        }
        for fine in [
            "/srv/data",
            "/opt/app/x.conf",
            "/home/me/app",
            "/root/x",
            "/etc/traefik",
            "/etc/letsencrypt",
        ] {
            check_name(Path::new(fine), &[]).unwrap();
        }
    }

    #[test]
    fn what_has_power_over_the_host_is_restored_only_where_a_container_has_it() {
        for powerful in [
            "/etc/cron.d",
            "/etc/cron.d/job",
            "/etc/systemd/system/x.service",
            "/etc/ssh",
            "/root/.ssh",
            "/root/.ssh/authorized_keys",
            "/home/me/.bashrc",
            "/home/me/.config/autostart",
            "/root",
            "/home",
            "/home/me",
            "/var/spool/cron/crontabs",
            "/etc/sudoers.d/x",
            "/etc/ld.so.preload",
            "/etc/docker/daemon.json",
            "/var/lib/docker/volumes/x",
        ] {
            let path = Path::new(powerful);
            let text = render(&check_name(path, &["/srv".into()]).unwrap_err());
            assert!(text.contains("power over this host"), "{text}");
            check_name(path, &[path.to_owned()]).unwrap();
        }
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
