//! Which host paths are the operating system's and not an operator's data.
//!
//! The lists are narrow on purpose: what is left out wrongly is lost, what is saved wrongly costs a little space.
//! `/etc/letsencrypt`, `/var/log/app`, `/usr/local/share/x`, `/home`, `/srv` and the like are data.

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

/// Themselves; a folder below them may be data.
const EPHEMERAL: &[&str] = &["/tmp", "/var/tmp", "/var/lock"];

/// With everything below.
const SYSTEM_TREES: &[&str] = &[
    "/bin",
    "/boot",
    "/gnu/store",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/sbin",
    "/snap",
    "/usr",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls",
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

/// Below [`SYSTEM_TREES`], but for the operator's own things.
const DATA_TREES: &[&str] = &["/usr/local"];

/// Themselves; a folder below them may be data.
const SYSTEM: &[&str] = &[
    "/",
    "/etc",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
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

/// Whose `path` is, by its name.
pub fn ownership(path: &Path) -> Ownership {
    let is = |list: &[&str]| list.iter().any(|known| path == Path::new(known));
    let is_in = |list: &[&str]| list.iter().any(|known| path.starts_with(known));
    // Disks that a desktop mounted.
    if path.starts_with("/run/media") {
        Ownership::Operator
    } else if is(EPHEMERAL) || is_in(EPHEMERAL_TREES) {
        Ownership::Ephemeral
    } else if is(SYSTEM) || (is_in(SYSTEM_TREES) && !is_in(DATA_TREES)) {
        Ownership::System
    } else {
        Ownership::Operator
    }
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
        ] {
            assert_eq!(ownership(Path::new(path)), Ownership::Operator, "{path}");
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
            "/boot",
            "/var/log/journal/x",
        ] {
            assert_eq!(ownership(Path::new(path)), Ownership::System, "{path}");
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
            assert_eq!(ownership(Path::new(path)), Ownership::Ephemeral, "{path}");
        }
    }
}
