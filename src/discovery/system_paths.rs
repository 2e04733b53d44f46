//! Which host paths are the operating system's and not an operator's data.
//!
//! The lists are narrow on purpose: what is left out wrongly is lost, what is saved wrongly costs a little space.
//! `/etc/letsencrypt`, `/var/log/app`, `/usr/local/share/x`, `/home`, `/srv` and the like are data.
//!
//! Below `/usr` and `/lib` it depends on what a container does there. Programs, libraries, kernel modules and the files that every
//! container borrows (`/usr/share/zoneinfo`) are the system's however they are mounted: many write `/lib/modules:/lib/modules` without
//! `:ro`, and to restore an old kernel's modules would be worse than not to save them. Anything else that a container may write to is its
//! data (`/usr/share/hassio`). What it only reads there is the system's, unless it is known to be the operator's
//! (`/usr/share/nginx/html`). Certificates and keys below `/etc/pki/tls` are data; what the packages put there is not. A run names all
//! that it leaves out.

use std::path::Path;

/// Virtual or refilled at every boot, with everything below.
const EPHEMERAL_TREES: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/run",
    "/tmp/.X11-unix",
];

/// Themselves; a directory below them may be data.
const EPHEMERAL: &[&str] = &["/tmp", "/var/tmp", "/var/lock"];

/// With everything below it.
const SYSTEM_TREES: &[&str] = &[
    "/bin",
    "/boot",
    "/gnu/store",
    "/lib/firmware",
    "/lib/modules",
    "/lib/systemd",
    "/lib/udev",
    "/nix/store",
    "/sbin",
    "/snap",
    "/usr/bin",
    "/usr/include",
    "/usr/lib/firmware",
    "/usr/lib/locale",
    "/usr/lib/modules",
    "/usr/lib/os-release",
    "/usr/lib/systemd",
    "/usr/lib/udev",
    "/usr/libexec",
    "/usr/sbin",
    "/usr/share/ca-certificates",
    "/usr/share/i18n",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/usr/src/kernels",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/var/cache/apt",
    "/var/cache/dnf",
    "/var/cache/man",
    "/var/lib/apt",
    "/var/lib/containerd",
    "/var/lib/dbus",
    "/var/lib/dpkg",
    "/var/lib/kubelet",
    "/var/lib/pacman",
    "/var/lib/rpm",
    "/var/lib/snapd",
    "/var/lib/systemd",
    "/var/log/audit",
    "/var/log/journal",
];

/// The system's as long as it is only read.
const READ_ONLY_TREES: &[&str] = &["/lib", "/lib32", "/lib64", "/libx32", "/usr"];

/// Below [`READ_ONLY_TREES`], and the operator's own all the same: what packages make there for others to fill.
const DATA_TREES: &[&str] = &[
    "/usr/local",
    "/usr/share/caddy",
    "/usr/share/hassio",
    "/usr/share/httpd",
    "/usr/share/nginx/html",
];

/// The system's as a whole while it is only read; the operator puts single files there.
const READ_ONLY: &[&str] = &["/etc/pki/tls", "/etc/pki/tls/certs"];

/// Themselves; a directory below them may be data.
const SYSTEM: &[&str] = &[
    "/",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/share",
    "/usr/src",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/etc/adjtime",
    "/etc/environment",
    "/etc/fstab",
    "/etc/group",
    "/etc/group-",
    "/etc/gshadow",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/locale.conf",
    "/etc/localtime",
    "/etc/lsb-release",
    "/etc/machine-id",
    "/etc/mtab",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/passwd-",
    "/etc/pki",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.trust.crt",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/shadow",
    "/etc/shells",
    "/etc/ssl",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/subgid",
    "/etc/subuid",
    "/etc/sudoers",
    "/etc/timezone",
    "/var/log/auth.log",
    "/var/log/btmp",
    "/var/log/daemon.log",
    "/var/log/dmesg",
    "/var/log/kern.log",
    "/var/log/lastlog",
    "/var/log/messages",
    "/var/log/secure",
    "/var/log/syslog",
    "/var/log/wtmp",
];

/// File systems that hold no data on a disk.
const PSEUDO_FILE_SYSTEMS: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Operator,
    System,
    /// The system's, and empty or different after a boot.
    Ephemeral,
}

/// Whose `path` is, by its name, and by whether some container may write to it.
pub fn ownership(path: &Path, is_written: bool) -> Ownership {
    let is = |list: &[&str]| list.iter().any(|known| path == Path::new(known));
    let is_in = |list: &[&str]| list.iter().any(|known| path.starts_with(known));
    // Disks that a desktop mounted.
    if path.starts_with("/run/media") {
        Ownership::Operator
    } else if is(EPHEMERAL) || is_in(EPHEMERAL_TREES) {
        Ownership::Ephemeral
    } else if is(SYSTEM) || is_in(SYSTEM_TREES) || is_library(path) {
        Ownership::System
    } else if is_written {
        Ownership::Operator
    } else if is(READ_ONLY) || (is_in(READ_ONLY_TREES) && !is_in(DATA_TREES)) {
        Ownership::System
    } else {
        Ownership::Operator
    }
}

/// A shared object, or a directory of those of one architecture (`/usr/lib/x86_64-linux-gnu`), in one of the places for them.
fn is_library(path: &Path) -> bool {
    let is_in_place = READ_ONLY_TREES.iter().any(|tree| path.starts_with(tree));
    let is_one =
        |name: &str| name.ends_with(".so") || name.contains(".so.") || name.contains("-linux-gnu");
    is_in_place
        && !DATA_TREES.iter().any(|tree| path.starts_with(tree))
        && path
            .components()
            .any(|part| part.as_os_str().to_str().is_some_and(is_one))
}

/// Whether a file system of this type keeps nothing over a boot.
pub fn is_pseudo(fs_type: &str) -> bool {
    PSEUDO_FILE_SYSTEMS.contains(&fs_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_data_is_never_taken_for_the_systems() {
        for path in [
            "/etc/letsencrypt",
            "/etc/traefik",
            "/etc/wireguard/wg0.conf",
            "/etc/nginx",
            "/var/log/app",
            "/var/log/nginx",
            "/var/lib/app",
            "/var/www",
            "/home",
            "/home/x",
            "/root",
            "/root/x",
            "/srv",
            "/opt",
            "/opt/app",
            "/mnt",
            "/mnt/media",
            "/media",
            "/data",
            "/usr/local/share/app",
            "/etc/ssl/private",
            "/etc/ssl/certs/mine.pem",
            "/tmp/x",
            "/run/media/me/disk",
            "/usrdata",
            "/volume1/docker",
            "/etc/ssl/mysite",
            "/etc/pki/tls/private",
            "/etc/pki/tls/private/home.key",
            "/etc/pki/tls/certs/home.example.org.crt",
            "/usr/share/hassio/homeassistant",
            "/usr/share/nginx/html",
        ] {
            assert_eq!(
                ownership(Path::new(path), false),
                Ownership::Operator,
                "{path}"
            );
            assert_eq!(
                ownership(Path::new(path), true),
                Ownership::Operator,
                "{path}"
            );
        }
    }

    #[test]
    fn the_systems_files_and_trees_are_known() {
        for path in [
            "/",
            "/etc",
            "/usr",
            "/usr/bin",
            "/usr/share/zoneinfo/UTC",
            "/usr/local",
            "/var",
            "/var/lib",
            "/var/log",
            "/etc/localtime",
            "/etc/timezone",
            "/etc/hosts",
            "/etc/resolv.conf",
            "/etc/passwd",
            "/etc/group",
            "/etc/machine-id",
            "/etc/ssl/certs",
            "/etc/ssl/certs/ca-certificates.crt",
            "/lib/modules",
            "/usr/lib/modules/6.1.0/kernel",
            "/usr/lib",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/x86_64-linux-gnu/libltdl.so.7",
            "/usr/lib64/libcuda.so",
            "/usr/src",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/usr/bin/docker",
            "/boot",
            "/var/log/journal/x",
        ] {
            assert_eq!(
                ownership(Path::new(path), false),
                Ownership::System,
                "{path}"
            );
            assert_eq!(
                ownership(Path::new(path), true),
                Ownership::System,
                "{path}"
            );
        }
        for path in [
            "/proc",
            "/proc/1/ns",
            "/sys/fs/cgroup",
            "/dev/dri",
            "/run/docker.sock",
            "/var/run/docker.sock",
            "/tmp",
        ] {
            assert_eq!(
                ownership(Path::new(path), false),
                Ownership::Ephemeral,
                "{path}"
            );
            assert_eq!(
                ownership(Path::new(path), true),
                Ownership::Ephemeral,
                "{path}"
            );
        }
    }

    #[test]
    fn what_a_container_writes_below_usr_is_its_data_and_what_it_only_reads_is_the_systems() {
        for path in [
            "/usr/share/app",
            "/usr/lib/unifi/data",
            "/usr/src/app",
            "/lib/app",
            "/etc/pki/tls",
            "/etc/pki/tls/certs",
        ] {
            assert_eq!(
                ownership(Path::new(path), true),
                Ownership::Operator,
                "{path}"
            );
            assert_eq!(
                ownership(Path::new(path), false),
                Ownership::System,
                "{path}"
            );
        }
    }
}
