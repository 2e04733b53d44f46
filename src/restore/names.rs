//! Which places of this host a recipe may name.

use std::path::{Component, Path, PathBuf};

use crate::discovery::system_paths::{Ownership, ownership};
use crate::error::{Exit, Failure, Result};

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
    if !is_plain || ownership(path, true) != Ownership::Operator {
        return Err(refused(path, "it is no place for a unit's data").into());
    }
    // Below `/usr` it is data only where a container writes to it.
    let is_powerful = is_powerful(path) || ownership(path, false) != Ownership::Operator;
    if is_powerful && !mounted.iter().any(|known| known == path) {
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

pub(super) fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("nothing is restored to `{}`: {why}", path.display()),
    )
    .hint("name what is to be restored without it: `--volume`, several times")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;

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
            "/lib/modules/x",
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
            "/lib/x",
            "/usr/share/polkit-1",
        ] {
            let path = Path::new(powerful);
            let text = render(&check_name(path, &["/srv".into()]).unwrap_err());
            assert!(text.contains("power over this host"), "{text}");
            check_name(path, &[path.to_owned()]).unwrap();
        }
    }
}
