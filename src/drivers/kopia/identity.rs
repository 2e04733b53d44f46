//! Which repository it must be. Kopia opens whatever it finds behind a path: an empty disk that was mounted late, or
//! another repository with the same password. The unique id is remembered at `init` and asked for ever after; so is the name that
//! this host has there, since host names change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::repository::Status;
use crate::error::{Exit, Failure, Result};
use crate::model::MachineId;

/// The file that remembers the repository of one profile.
#[derive(Clone, Debug)]
pub struct RepositoryIdentity {
    file: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    unique_id: String,
    /// The storage arguments, without secrets, at the last `init`.
    location: String,
    /// The compression of the policy that was last imported.
    #[serde(default)]
    compression: String,
    /// Whose policy that was.
    #[serde(default)]
    policy_of: String,
    /// And what else it said.
    #[serde(default)]
    policy_version: u32,
    /// This host in the identity of its snapshots. `None` where an earlier version was, which asked for the host name each time.
    #[serde(default)]
    host: Option<String>,
    /// Machines that this one has replaced, each with when that was said.
    #[serde(default)]
    adopted: BTreeMap<MachineId, DateTime<Utc>>,
    /// Profiles of this host that this one has replaced, as above.
    #[serde(default)]
    adopted_profiles: BTreeMap<String, DateTime<Utc>>,
    /// When any of this, other than the policy, became another; not for an `init` that finds all as it was. `None` where an earlier version
    /// was.
    #[serde(default)]
    changed_at: Option<DateTime<Utc>>,
}

/// What a policy depends on: when one of them changes, it is imported again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub identity: String,
    pub version: u32,
    pub compression: String,
}

/// What is remembered of this host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// There was no `init`.
    Not,
    /// An earlier version did not remember it.
    Unknown,
    As(String),
}

impl RepositoryIdentity {
    pub fn of_profile(repositories: &Path, profile_name: &str) -> Self {
        Self {
            file: repositories.join(format!("{profile_name}.json")),
        }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    fn load(&self) -> Result<Option<Remembered>> {
        match std::fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                format!(
                    "`{}` is damaged; run `kopi-docka init` after removing it",
                    self.file.display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("cannot read `{}`", self.file.display()))
            }
        }
    }

    /// Of the repository that `init` created or connected to.
    pub fn unique_id(&self) -> Result<Option<String>> {
        Ok(self.load()?.map(|known| known.unique_id))
    }

    /// For `init`: what was adopted stays so in the same repository.
    pub fn remember(
        &self,
        location: &str,
        policy: &Policy,
        host: &str,
        status: &Status,
    ) -> Result<()> {
        let known = self.load()?;
        let known = known.filter(|known| known.unique_id == status.unique_id);
        let is_same =
            |known: &&Remembered| known.location == location && known.host.as_deref() == Some(host);
        let same = known.as_ref().filter(is_same);
        let changed_at = same.map_or_else(|| Some(Utc::now()), |known| known.changed_at);
        let (adopted, adopted_profiles) = known
            .map(|known| (known.adopted, known.adopted_profiles))
            .unwrap_or_default();
        self.save(&Remembered {
            unique_id: status.unique_id.clone(),
            location: location.to_owned(),
            compression: policy.compression.clone(),
            policy_of: policy.identity.clone(),
            policy_version: policy.version,
            host: Some(host.to_owned()),
            adopted,
            adopted_profiles,
            changed_at,
        })
    }

    /// What a new host, which is not this one, is to remember of the repository. With `gone` it takes the place of this host, whose
    /// machine that is: what that made until `now` belongs to the new one. Each value may be a mark that is filled in later.
    pub fn for_new_host(
        &self,
        host: &str,
        location: &str,
        gone: Option<&MachineId>,
        now: &str,
    ) -> Result<Option<Value>> {
        let Some(known) = self.load()? else {
            return Ok(None);
        };
        let mut adopted = Map::new();
        let mut adopted_profiles = Map::new();
        if let Some(gone) = gone {
            for (machine, until) in &known.adopted {
                adopted.insert(machine.to_string(), json!(until));
            }
            for (profile, until) in &known.adopted_profiles {
                adopted_profiles.insert(profile.clone(), json!(until));
            }
            adopted.insert(gone.to_string(), json!(now));
        }
        Ok(Some(json!({
            "unique_id": known.unique_id,
            "location": location,
            "host": host,
            "adopted": adopted,
            "adopted_profiles": adopted_profiles,
        })))
    }

    fn save(&self, remembered: &Remembered) -> Result<()> {
        crate::base::files::write(&self.file, &serde_json::to_vec_pretty(remembered)?)
    }

    fn change(&self, change: impl FnOnce(&mut Remembered)) -> Result<()> {
        let Some(before) = self.load()? else {
            return Ok(());
        };
        let mut known = before.clone();
        change(&mut known);
        if known == before {
            return Ok(());
        }
        self.save(&known)
    }

    pub fn host(&self) -> Result<Named> {
        Ok(match self.load()? {
            None => Named::Not,
            Some(known) => known.host.map_or(Named::Unknown, Named::As),
        })
    }

    /// From now on this is the name of this host.
    pub fn set_host(&self, host: &str) -> Result<()> {
        self.change(|known| known.host = Some(host.to_owned()))
    }

    pub fn changed_at(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(self.load()?.and_then(|known| known.changed_at))
    }

    pub fn adopted(&self) -> Result<BTreeMap<MachineId, DateTime<Utc>>> {
        Ok(self.load()?.map(|known| known.adopted).unwrap_or_default())
    }

    pub fn adopted_profiles(&self) -> Result<BTreeMap<String, DateTime<Utc>>> {
        let known = self.load()?;
        Ok(known
            .map(|known| known.adopted_profiles)
            .unwrap_or_default())
    }

    /// What was made with `profile` until `now` belongs to this one.
    pub fn adopt_profile(&self, profile: &str, now: DateTime<Utc>) -> Result<()> {
        self.change(|known| {
            known.adopted_profiles.insert(profile.to_owned(), now);
            known.changed_at = Some(now);
        })
    }

    /// What `machines` made until `now` belongs to this one.
    pub fn adopt(&self, machines: &[MachineId], now: DateTime<Utc>) -> Result<()> {
        self.change(|known| {
            known
                .adopted
                .extend(machines.iter().map(|machine| (machine.clone(), now)));
            if !machines.is_empty() {
                known.changed_at = Some(now);
            }
        })
    }

    /// Whether the policy in the repository is the one that was last imported.
    pub fn has_policy(&self, policy: &Policy) -> Result<bool> {
        Ok(self.load()?.is_some_and(|known| {
            known.compression == policy.compression
                && known.policy_of == policy.identity
                && known.policy_version == policy.version
        }))
    }

    pub fn set_policy(&self, policy: Policy) -> Result<()> {
        self.change(|known| {
            known.compression = policy.compression;
            known.policy_of = policy.identity;
            known.policy_version = policy.version;
        })
    }

    /// For every use: it is the repository of the last `init`.
    pub fn check(&self, status: &Status) -> Result<()> {
        match self.load()? {
            None => Err(Failure::new(
                Exit::NoRepository,
                "this host is connected to a repository, but not by `kopi-docka init`",
            )
            .hint("run `kopi-docka init`")
            .into()),
            Some(known) if known.unique_id == status.unique_id => Ok(()),
            Some(known) => Err(swapped(&known, status)),
        }
    }

    /// For `init` on empty storage: nothing was there before.
    pub fn allow_creation(&self, location: &str) -> Result<()> {
        match self.load()? {
            Some(known) if known.location == location => Err(Failure::new(
                Exit::NoRepository,
                "the storage is empty, but this host had a repository there",
            )
            .hint("check that the disk is mounted and that the repository was not moved")
            .hint("to begin a new repository there, run `kopi-docka init --accept-new-repository`")
            .into()),
            _ => Ok(()),
        }
    }

    /// For `init` on storage that has a repository: it is the one that was there, or the place is another one.
    pub fn allow_connection(&self, location: &str, status: &Status) -> Result<()> {
        match self.load()? {
            Some(known) if known.location == location && known.unique_id != status.unique_id => {
                Err(swapped(&known, status))
            }
            _ => Ok(()),
        }
    }
}

fn swapped(known: &Remembered, status: &Status) -> anyhow::Error {
    Failure::new(
        Exit::NoRepository,
        format!(
            "another repository is in the place of ours: expected {}, found {}",
            short(&known.unique_id),
            short(&status.unique_id)
        ),
    )
    .hint(
        "check that the right disk is mounted and that `kopia.kopia_params` names the right place",
    )
    .hint("to use the repository that is there now, run `kopi-docka init --accept-new-repository`")
    .into()
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_that_finds_all_as_it_was_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let identity = RepositoryIdentity::of_profile(folder.path(), "p");
        let policy = Policy {
            identity: "kopi-docka@web".to_owned(),
            version: 1,
            compression: "none".to_owned(),
        };
        let status = |unique_id: &str| -> Status {
            serde_json::from_value(serde_json::json!({
                "uniqueIDHex": unique_id, "clientOptions": {"hostname": "web", "username": "kopi-docka"},
                "storage": {"type": "filesystem", "config": {}}, "volume": null,
                "contentFormat": {"hash": "", "encryption": ""},
            }))
            .unwrap()
        };
        let init = |location: &str, host: &str, unique_id: &str| {
            let status = status(unique_id);
            identity.remember(location, &policy, host, &status).unwrap();
            identity.changed_at().unwrap()
        };
        let first = init("/a", "web", "1");
        assert!(first.is_some());
        assert_eq!(init("/a", "web", "1"), first);
        let other = Policy {
            version: 2,
            ..policy.clone()
        };
        identity.set_policy(other).unwrap();
        identity.adopt(&[], Utc::now()).unwrap();
        assert_eq!(identity.changed_at().unwrap(), first);
        let mut before = first;
        for (location, host, unique_id) in
            [("/b", "web", "1"), ("/b", "db", "1"), ("/b", "db", "2")]
        {
            let now = init(location, host, unique_id);
            assert_ne!(now, before);
            before = now;
        }
        let later = Utc::now() + chrono::TimeDelta::hours(1);
        identity.adopt_profile("old", later).unwrap();
        assert_eq!(identity.changed_at().unwrap(), Some(later));
    }
}
