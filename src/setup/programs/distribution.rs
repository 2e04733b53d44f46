//! Which distribution this is, by `os-release`.

use serde::Serialize;

/// The package manager decides how things are installed; `None` for one that we do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Apt,
    Dnf,
    Pacman,
    Zypper,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// `debian`, `ubuntu`, `fedora`; empty when there is no `os-release`.
    pub id: String,
    /// `Debian GNU/Linux 12 (bookworm)`
    pub name: String,
    /// Major version, where it has one.
    pub version: Option<u32>,
    /// The package manager.
    pub family: Option<Family>,
}

impl Family {
    pub const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Zypper];

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Apt => "Debian, Ubuntu",
            Self::Dnf => "Fedora, RHEL and derivatives",
            Self::Pacman => "Arch Linux",
            Self::Zypper => "openSUSE, SLES",
        }
    }

    /// A distribution of this family for the guide of others.
    pub fn example(self) -> Distribution {
        let id = match self {
            Self::Apt => "ubuntu",
            Self::Dnf => "fedora",
            Self::Pacman => "arch",
            Self::Zypper => "opensuse-leap",
        };
        Distribution {
            id: id.to_owned(),
            name: self.title().to_owned(),
            version: None,
            family: Some(self),
        }
    }
}

impl Distribution {
    /// Of this host.
    pub fn detect() -> Self {
        let text = std::fs::read_to_string("/etc/os-release")
            .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"));
        Self::parse(&text.unwrap_or_default())
    }

    pub fn parse(os_release: &str) -> Self {
        let value = |key: &str| {
            os_release
                .lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| unquote(value))
                .unwrap_or_default()
        };
        let (id, like) = (value("ID").to_lowercase(), value("ID_LIKE").to_lowercase());
        let family = std::iter::once(id.as_str())
            .chain(like.split_whitespace())
            .find_map(family_of);
        let name = [value("PRETTY_NAME"), value("NAME"), id.clone()];
        let version = value("VERSION_ID");
        Self {
            name: name
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or_else(|| "a distribution without `os-release`".to_owned()),
            version: version
                .split('.')
                .next()
                .and_then(|major| major.parse().ok()),
            id,
            family,
        }
    }
}

fn family_of(id: &str) -> Option<Family> {
    match id {
        "debian" | "ubuntu" | "raspbian" => Some(Family::Apt),
        "fedora" | "rhel" | "centos" | "rocky" | "almalinux" => Some(Family::Dnf),
        "arch" | "archlinux" => Some(Family::Pacman),
        "suse" | "sles" | "opensuse" => Some(Family::Zypper),
        _ if id.starts_with("opensuse-") => Some(Family::Zypper),
        _ => None,
    }
}

/// The values are written as a shell would read them.
fn unquote(value: &str) -> String {
    shell_words::split(value)
        .map(|words| words.join(" "))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_and_their_kin_are_known() {
        for (text, id, version, family) in [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n",
                "debian",
                Some(12),
                Some(Family::Apt),
            ),
            (
                "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22.1\"\n",
                "linuxmint",
                Some(22),
                Some(Family::Apt),
            ),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n",
                "rocky",
                Some(9),
                Some(Family::Dnf),
            ),
            (
                "ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n",
                "amzn",
                Some(2023),
                Some(Family::Dnf),
            ),
            (
                "ID=manjaro\nID_LIKE=arch\n",
                "manjaro",
                None,
                Some(Family::Pacman),
            ),
            (
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\nVERSION_ID=\"20250101\"\n",
                "opensuse-tumbleweed",
                Some(20_250_101),
                Some(Family::Zypper),
            ),
            ("ID=alpine\nVERSION_ID=3.20.1\n", "alpine", Some(3), None),
            ("", "", None, None),
        ] {
            let found = Distribution::parse(text);
            let found = (found.id.as_str(), found.version, found.family);
            assert_eq!(found, (id, version, family), "{text}");
        }
    }
}
