//! The exact commands that bring what is missing, on a given distribution.

use std::path::PathBuf;

use serde::Serialize;

use super::distribution::{Distribution, Family};
use super::kopia_key;
use super::look::Dependency;

/// What brings the missing programs, and what only the operator can install.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub by_hand: Vec<ByHand>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ByHand {
    pub dependency: Dependency,
    pub how: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Run(Vec<String>),
    /// The file holds Kopia's key and no other; else it is removed and nothing goes on.
    CheckKey(PathBuf),
    /// Readable by all.
    Write(PathBuf, String),
}

impl Step {
    fn run(line: &str) -> Self {
        Self::Run(line.split(' ').map(str::to_owned).collect())
    }

    /// As an operator would type it.
    pub fn display(&self) -> String {
        match self {
            Self::Run(words) => shell_words::join(words),
            Self::CheckKey(file) => format!(
                "gpg --show-keys --with-colons {}   # must be the key {}, and no other",
                file.display(),
                kopia_key::FINGERPRINT
            ),
            Self::Write(file, content) => {
                format!("cat >{} <<'END'\n{content}END", file.display())
            }
        }
    }
}

/// `has` tells whether a program is on this host.
pub fn plan(
    distribution: &Distribution,
    missing: &[Dependency],
    has: impl Fn(&str) -> bool,
) -> Plan {
    let mut plan = Plan::default();
    let Some(family) = distribution.family else {
        plan.by_hand = missing
            .iter()
            .map(|dependency| by_hand(*dependency))
            .collect();
        return plan;
    };
    let mut packages: Vec<&str> = Vec::new();
    let mut wants_kopia = false;
    for dependency in missing {
        match package(distribution, family, *dependency) {
            Package::Is(name) => packages.push(name),
            Package::OfKopia => wants_kopia = true,
            Package::None => plan.by_hand.push(by_hand(*dependency)),
        }
    }
    if wants_kopia {
        // To fetch its key and to look at it.
        let gpg = match family {
            Family::Apt => "gnupg",
            Family::Dnf => "gnupg2",
            Family::Pacman => "gnupg",
            Family::Zypper => "gpg2",
        };
        for (program, package) in [("curl", "curl"), ("gpg", gpg)] {
            if !has(program) {
                packages.push(package);
            }
        }
    }
    if !packages.is_empty() {
        if family == Family::Apt {
            plan.steps.push(Step::run("apt-get update"));
        }
        plan.steps.push(install(family, &packages));
    }
    // Elsewhere than on Debian a service is not started by its installation.
    if family != Family::Apt && missing.contains(&Dependency::Docker) && !packages.is_empty() {
        let is_here = plan
            .by_hand
            .iter()
            .all(|by| by.dependency != Dependency::Docker);
        if is_here && has("systemctl") {
            plan.steps.push(Step::run("systemctl enable --now docker"));
        }
    }
    if wants_kopia {
        plan.steps.extend(kopia(family));
    }
    plan
}

enum Package {
    Is(&'static str),
    /// In Kopia's own repository.
    OfKopia,
    None,
}

fn package(distribution: &Distribution, family: Family, dependency: Dependency) -> Package {
    let id = distribution.id.as_str();
    let is_fedora = id == "fedora";
    match (dependency, family) {
        (Dependency::Tar, _) => Package::Is("tar"),
        (Dependency::Openssl, _) => Package::Is("openssl"),
        (Dependency::Ssh, Family::Apt) => Package::Is("openssh-client"),
        (Dependency::Ssh, Family::Pacman) => Package::Is("openssh"),
        (Dependency::Ssh, _) => Package::Is("openssh-clients"),
        // Arch has it only from its users, unsigned.
        (Dependency::Kopia, Family::Pacman) => Package::None,
        (Dependency::Kopia, _) => Package::OfKopia,
        (Dependency::Docker, Family::Apt) => Package::Is("docker.io"),
        (Dependency::Docker, Family::Dnf) if is_fedora => Package::Is("moby-engine"),
        // Red Hat's distributions have Podman instead.
        (Dependency::Docker | Dependency::Compose, Family::Dnf) if !is_fedora => Package::None,
        (Dependency::Docker, _) => Package::Is("docker"),
        (Dependency::Compose, Family::Apt) => match id {
            "ubuntu" => Package::Is("docker-compose-v2"),
            // Before Debian 13 it is version 1, which is no plugin.
            "debian" if distribution.version.is_none_or(|version| version >= 13) => {
                Package::Is("docker-compose")
            }
            _ => Package::None,
        },
        (Dependency::Compose, _) => Package::Is("docker-compose"),
    }
}

fn install(family: Family, packages: &[&str]) -> Step {
    let words: &[&str] = match family {
        Family::Apt => &["apt-get", "install", "-y"],
        Family::Dnf => &["dnf", "install", "-y"],
        Family::Pacman => &["pacman", "-S", "--needed", "--noconfirm"],
        Family::Zypper => &["zypper", "--non-interactive", "install"],
    };
    let words = words.iter().chain(packages);
    Step::Run(words.map(|word| (*word).to_owned()).collect())
}

/// From Kopia's own repository, whose key is believed by its fingerprint and for this repository alone.
fn kopia(family: Family) -> Vec<Step> {
    let (folder, key) = match family {
        Family::Apt => ("/etc/apt/keyrings", "/etc/apt/keyrings/kopia.asc"),
        _ => ("/etc/pki/rpm-gpg", "/etc/pki/rpm-gpg/RPM-GPG-KEY-kopia"),
    };
    // Under another name until it is known to be the right one: a key that is in use stays.
    let fetched = format!("{key}.new");
    let url = kopia_key::URL;
    let mut steps = vec![
        Step::run(&format!("install -d -m 0755 {folder}")),
        Step::run(&format!("curl -fsSL --proto =https -o {fetched} {url}")),
        Step::CheckKey(fetched.clone().into()),
        Step::run(&format!("chmod 0644 {fetched}")),
        Step::run(&format!("mv -f {fetched} {key}")),
    ];
    let rpm = |path: &str| {
        let text = format!(
            "[kopia]\nname=Kopia\nbaseurl=https://packages.kopia.io/rpm/stable/$basearch/\nenabled=1\ngpgcheck=1\ngpgkey=file://{key}\n"
        );
        Step::Write(path.into(), text)
    };
    match family {
        Family::Apt => steps.extend([
            Step::Write(
                "/etc/apt/sources.list.d/kopia.list".into(),
                format!("deb [signed-by={key}] https://packages.kopia.io/apt/ stable main\n"),
            ),
            Step::run("apt-get update"),
        ]),
        Family::Dnf => steps.extend([
            Step::run(&format!("rpm --import {key}")),
            rpm("/etc/yum.repos.d/kopia.repo"),
        ]),
        Family::Zypper => steps.extend([
            Step::run(&format!("rpm --import {key}")),
            rpm("/etc/zypp/repos.d/kopia.repo"),
        ]),
        Family::Pacman => return Vec::new(),
    }
    steps.push(install(family, &["kopia"]));
    steps
}

fn by_hand(dependency: Dependency) -> ByHand {
    let how = match dependency {
        Dependency::Tar => "install GNU tar with the package manager (Alpine: `apk add tar`)",
        Dependency::Kopia => {
            "download the binary of a release, check it against the signed `checksums.txt` beside it, and put it on the PATH: https://kopia.io/docs/installation/"
        }
        Dependency::Docker => "https://docs.docker.com/engine/install/",
        Dependency::Compose => "https://docs.docker.com/compose/install/linux/",
        Dependency::Openssl => "install `openssl` with the package manager",
        Dependency::Ssh => "install the OpenSSH client with the package manager",
    };
    ByHand {
        dependency,
        how: how.to_owned(),
    }
}

#[cfg(test)]
mod tests;
