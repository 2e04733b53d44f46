//! Places of a host that decide what runs on it, or who may do what: by their classes, since a list of names always lacks one.

use std::ffi::OsStr;
use std::path::{Component, Path};

use crate::discovery::system_paths::{Ownership, ownership};

/// With everything below, beside what is the operating system's by [`ownership`].
const TREES: &[&str] = &[
    "/boot",
    "/efi",
    "/etc",
    "/gnu",
    "/nix",
    "/opt/cni",
    "/opt/containerd",
    "/snap",
    "/var/lib/AccountsService",
    "/var/lib/NetworkManager",
    "/var/lib/alternatives",
    "/var/lib/cloud",
    "/var/lib/cni",
    "/var/lib/confexts",
    "/var/lib/containers",
    "/var/lib/dkms",
    "/var/lib/docker",
    "/var/lib/extensions",
    "/var/lib/flatpak",
    "/var/lib/initramfs-tools",
    "/var/lib/libvirt",
    "/var/lib/lxc",
    "/var/lib/machines",
    "/var/lib/polkit-1",
    "/var/lib/portables",
    "/var/lib/rancher",
    "/var/lib/sudo",
    "/var/spool",
];

/// In `/usr/local`: what is in the search paths of root's programs. `lib` and its like besides.
const LOCAL: &[&str] = &["bin", "etc", "games", "include", "libexec", "sbin"];

/// In `/usr/local/share`: read by programs of the system, as they are below `/usr/share`.
const LOCAL_SHARE: &[&str] = &[
    "applications",
    "bash-completion",
    "ca-certificates",
    "dbus-1",
    "fish",
    "pki",
    "polkit-1",
    "systemd",
    "zsh",
];

/// Hidden places of a home, wherever the home is.
const HIDDEN: &[&str] = &[
    ".aws",
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".config",
    ".cshrc",
    ".docker",
    ".gnupg",
    ".kde",
    ".kube",
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

/// Why `path` has power over the host, if it has: it is in such a place, or holds one.
pub fn power(path: &Path) -> Option<&'static str> {
    let overlaps = |tree: &&str| path.starts_with(tree) || Path::new(tree).starts_with(path);
    if is_home(path) {
        return Some("it is a home, with all its hidden files");
    }
    if hides(path) {
        return Some("the programs of a user run or trust what is in there");
    }
    if is_local(path) {
        return Some("programs that root runs are there");
    }
    // Below `/usr` it is data only where a container writes to it.
    let is_systems = |is_written| ownership(path, is_written) != Ownership::Operator;
    let is_linked = ["/bin", "/sbin"].iter().any(|tree| path.starts_with(tree))
        || path.starts_with("/usr") && !is_data_below_usr(path);
    if TREES.iter().any(overlaps) || is_systems(true) || is_systems(false) || is_linked {
        return Some("what is in there has power over this host");
    }
    None
}

/// `/root`, `/home`, `/home/x`.
fn is_home(path: &Path) -> bool {
    path == Path::new("/root")
        || path == Path::new("/home")
        || path.parent() == Some(Path::new("/home"))
}

/// A hidden name directly in a home, or one that homes are known for, wherever it is.
fn hides(path: &Path) -> bool {
    let mut names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let is_known = |name: &OsStr| HIDDEN.iter().any(|hidden| name == *hidden);
    if names.clone().any(is_known) {
        return true;
    }
    let first = match names.next() {
        Some(name) if name == "root" => names.next(),
        Some(name) if name == "home" => names.nth(1),
        _ => None,
    };
    first.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_local(path: &Path) -> bool {
    let Ok(below) = path.strip_prefix("/usr/local") else {
        return false;
    };
    let mut names = below.iter().filter_map(OsStr::to_str);
    match (names.next(), names.next()) {
        (None, _) | (Some("share"), None) => true,
        (Some("share"), Some(name)) => LOCAL_SHARE.contains(&name),
        (Some(name), _) => LOCAL.contains(&name) || name.starts_with("lib"),
    }
}

/// What [`ownership`] has as the operator's there even when it is only read.
fn is_data_below_usr(path: &Path) -> bool {
    ownership(path, false) == Ownership::Operator
}

/// Every class, each with a place in it: the trees and what is below them, the search paths, hidden places of every kind of home, homes.
#[cfg(test)]
pub fn one_of_each() -> Vec<std::path::PathBuf> {
    let systems = [
        "/bin",
        "/lib",
        "/lib64",
        "/run",
        "/sbin",
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/sbin",
        "/usr/share",
        "/usr/src",
        "/var",
        "/var/lib",
        "/root",
        "/home",
        "/home/me",
        "/usr/local",
        "/usr/local/share",
    ];
    let mut places: Vec<String> = systems.map(str::to_owned).into();
    places.extend(TREES.iter().map(|tree| (*tree).to_owned()));
    places.extend(LOCAL.iter().map(|name| format!("/usr/local/{name}")));
    places.extend(["lib", "lib64"].map(|name| format!("/usr/local/{name}")));
    places.extend(
        LOCAL_SHARE
            .iter()
            .map(|name| format!("/usr/local/share/{name}")),
    );
    for home in ["/root", "/home/me", "/srv/homes/me"] {
        places.extend(HIDDEN.iter().map(|name| format!("{home}/{name}")));
    }
    places.extend(["/root", "/home/me"].map(|home| format!("{home}/.not-known")));
    places.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_classes_are_powerful_and_data_is_not() {
        for powerful in [
            "/etc",
            "/etc/anacrontab",
            "/etc/cron.d/job",
            "/etc/dhcp/dhclient-exit-hooks.d/x",
            "/etc/dpkg/dpkg.cfg.d/x",
            "/etc/kopi-docka.env",
            "/etc/kopi-docka.json",
            "/etc/letsencrypt",
            "/etc/rc3.d/S01x",
            "/etc/something-new",
            "/etc/sudo.conf",
            "/etc/systemd/system/x.service",
            "/boot/grub",
            "/usr",
            "/usr/bin/x",
            "/usr/local",
            "/usr/local/bin/docker",
            "/usr/local/lib/python3/x",
            "/usr/local/lib64",
            "/usr/local/libexec/docker/cli-plugins",
            "/usr/local/sbin/x",
            "/usr/local/share/ca-certificates/x.crt",
            "/usr/share/polkit-1",
            "/lib/x",
            "/sbin/x",
            "/root",
            "/home",
            "/home/me",
            "/root/.bash_aliases",
            "/root/.docker/cli-plugins/docker-compose",
            "/root/.docker/config.json",
            "/root/.unknown",
            "/home/me/.anything/x",
            "/home/me/.config/syncthing",
            "/srv/home/me/.ssh/authorized_keys",
            "/var",
            "/var/lib",
            "/var/lib/cloud/scripts/per-boot/x",
            "/var/lib/docker/volumes/x",
            "/var/spool/cron/crontabs",
            "/run/x",
            "/opt/containerd/bin",
        ] {
            assert!(power(Path::new(powerful)).is_some(), "{powerful}");
        }
        for fine in [
            "/srv/data",
            "/opt/app/x.conf",
            "/opt/app/.env",
            "/home/me/app",
            "/home/me/app/.env",
            "/root/x/.env",
            "/docker/web",
            "/usr/local/share/app",
            "/usr/share/nginx/html",
            "/var/lib/grafana",
            "/var/www",
            "/mnt/disk/home",
        ] {
            assert_eq!(power(Path::new(fine)), None, "{fine}");
        }
    }
}
