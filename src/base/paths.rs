//! Where our own things are on this host.

use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Paths {
    /// Stop records, restore journals, repository identities: survives a reboot.
    pub state: PathBuf,
    /// The lock and work directories with secrets: gone after a reboot.
    pub runtime: PathBuf,
    /// Kopia's connection profiles are below it.
    pub home: PathBuf,
    /// The credentials of the storage.
    pub credentials: PathBuf,
    /// The password of the recovery bundles.
    pub recovery_password: PathBuf,
    /// What tells this machine from its clones, each of which may be missing.
    pub marks_of_machine: Vec<PathBuf>,
}

impl Paths {
    /// Where they are on a host that says nothing else.
    pub fn standard() -> Self {
        Self {
            state: "/var/lib/kopi-docka".into(),
            runtime: "/run/kopi-docka".into(),
            home: "/root".into(),
            credentials: "/etc/kopi-docka.env".into(),
            recovery_password: "/etc/kopi-docka.recovery-password".into(),
            marks_of_machine: vec![
                "/etc/machine-id".into(),
                "/sys/class/dmi/id/product_uuid".into(),
            ],
        }
    }

    pub fn from_env() -> Self {
        let standard = Self::standard();
        let path = |variable: &str, default: PathBuf| {
            std::env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map_or(default, PathBuf::from)
        };
        Self {
            state: path("KOPI_DOCKA_STATE_DIRECTORY", standard.state),
            runtime: path("KOPI_DOCKA_RUNTIME_DIRECTORY", standard.runtime),
            home: std::env::home_dir().unwrap_or(standard.home),
            credentials: path("KOPI_DOCKA_ENV_FILE", standard.credentials),
            recovery_password: path(
                "KOPI_DOCKA_RECOVERY_PASSWORD_FILE",
                standard.recovery_password,
            ),
            marks_of_machine: standard.marks_of_machine,
        }
    }

    /// What the parts of each source's last point hold.
    pub fn indexes(&self) -> PathBuf {
        self.state.join("index")
    }

    /// What hooks have to follow.
    pub fn owed_hooks(&self) -> PathBuf {
        self.state.join("hooks")
    }

    pub fn stop_records(&self) -> PathBuf {
        self.state.join("stopped")
    }

    pub fn restore_journals(&self) -> PathBuf {
        self.state.join("restoring")
    }

    /// What `verify` found, one file a restore point.
    pub fn verified(&self) -> PathBuf {
        self.state.join("verified")
    }

    /// Drills at work, and those that a kill has cut off: one file each.
    pub fn drilling(&self) -> PathBuf {
        self.state.join("drilling")
    }

    /// Copies that drills have left on purpose, one file each.
    pub fn kept_drills(&self) -> PathBuf {
        self.state.join("drills-kept")
    }

    /// What drills came to.
    pub fn drills(&self) -> PathBuf {
        self.state.join("drills.json")
    }

    /// The last maintenance that this host did, one file a profile.
    pub fn maintenance(&self) -> PathBuf {
        self.state.join("maintenance")
    }

    /// Backups that are to be made when the repository answers, one file a profile.
    pub fn retry(&self) -> PathBuf {
        self.state.join("retry")
    }

    /// What was told to whom, and the runs that are at work: one profile's beside another's.
    pub fn notify(&self) -> PathBuf {
        self.state.join("notify")
    }

    /// Changes of the password that are not finished, one file a profile.
    pub fn password_changes(&self) -> PathBuf {
        self.state.join("password-change")
    }

    /// What the last whole point of each unit held, one directory a profile.
    pub fn remembered(&self) -> PathBuf {
        self.state.join("remembered")
    }

    /// The machines of a tailnet that hold a repository.
    pub fn peer(&self) -> PathBuf {
        self.state.join("peer.json")
    }

    /// The id of this machine.
    pub fn machine(&self) -> PathBuf {
        self.state.join("machine.json")
    }

    /// The runs that were made here.
    pub fn runs_made(&self) -> PathBuf {
        self.state.join("runs.json")
    }

    pub fn repositories(&self) -> PathBuf {
        self.state.join("repositories")
    }
}
