//! A backup that is to be made when the repository answers: one file a profile.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::paths::Paths;
use crate::error::Result;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// When the backup failed that is made up for.
    pub since: DateTime<Utc>,
    /// When it is given up.
    pub until: DateTime<Utc>,
    /// The next run is started for it, and not because it is time for a regular one.
    pub is_claimed: bool,
}

impl Pending {
    pub fn new(since: DateTime<Utc>, time: Duration) -> Self {
        let time = TimeDelta::from_std(time).unwrap_or_default();
        Self {
            since,
            until: since + time,
            is_claimed: false,
        }
    }

    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now >= self.until
    }

    /// `None` without one; what cannot be read is none.
    pub fn read(paths: &Paths, profile: &str) -> Option<Self> {
        let bytes = std::fs::read(file(paths, profile)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub fn write(&self, paths: &Paths, profile: &str) -> Result<()> {
        files::write(&file(paths, profile), &serde_json::to_vec(self)?)
    }

    /// Before a run for it begins.
    pub fn claim(&self, paths: &Paths, profile: &str) -> Result<()> {
        let claimed = Self {
            is_claimed: true,
            ..self.clone()
        };
        claimed.write(paths, profile)
    }
}

pub fn remove(paths: &Paths, profile: &str) -> Result<()> {
    files::remove(&file(paths, profile))
}

/// Removes what can be of no use to anybody: of profiles that are no more, and what cannot be read. While there is a file, systemd starts
/// the retry.
pub fn sweep(paths: &Paths, now: DateTime<Utc>) -> Result<()> {
    let read = |bytes: &[u8]| serde_json::from_slice::<Pending>(bytes).ok();
    let found = files::read_all(&paths.retry(), read)?;
    let is_old = |pending: &Pending| pending.is_over(now - TimeDelta::days(1));
    let old = found.good.into_iter().filter(|(_, it)| is_old(it));
    let old = old.map(|(path, _)| path);
    for path in old.chain(found.damaged) {
        files::remove(&path)?;
    }
    Ok(())
}

fn file(paths: &Paths, profile: &str) -> PathBuf {
    paths.retry().join(format!("{profile}.json"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, paths};
    use super::*;

    #[test]
    fn it_is_on_the_disk_until_it_is_removed() {
        let (_folder, paths) = paths();
        let pending = Pending::new(at(0), Duration::from_secs(60));
        assert_eq!(Pending::read(&paths, "nas"), None);
        pending.write(&paths, "nas").unwrap();
        assert_eq!(Pending::read(&paths, "nas"), Some(pending.clone()));
        assert_eq!(Pending::read(&paths, "other"), None);
        pending.claim(&paths, "nas").unwrap();
        assert!(Pending::read(&paths, "nas").unwrap().is_claimed);
        remove(&paths, "nas").unwrap();
        remove(&paths, "nas").unwrap();
        assert_eq!(Pending::read(&paths, "nas"), None);
        assert!(!pending.is_over(at(59)) && pending.is_over(at(60)));
    }

    #[test]
    fn what_is_of_no_use_to_anybody_goes() {
        let (_folder, paths) = paths();
        sweep(&paths, at(0)).unwrap();
        let pending = Pending::new(at(0), Duration::from_secs(60));
        pending.write(&paths, "nas").unwrap();
        std::fs::write(paths.retry().join("torn.json"), "{").unwrap();
        sweep(&paths, at(3600)).unwrap();
        assert!(Pending::read(&paths, "nas").is_some());
        assert!(!paths.retry().join("torn.json").exists());
        sweep(&paths, at(100_000)).unwrap();
        assert_eq!(Pending::read(&paths, "nas"), None);
    }
}
