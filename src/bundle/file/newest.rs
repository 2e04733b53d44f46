//! The newest bundle of this host in a directory. Only looks; the directory may be on a share that does not answer.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::name::{BundleName, is_like_a_bundle};
use super::shelf::is_of;
use crate::base::blocking::{aside, looked_up};
use crate::base::paths::Paths;
use crate::config::Config;
use crate::error::Result;
use crate::model::MachineId;
use crate::repository::identity;
use crate::repository::machine::Machine;

/// What a directory has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// Bundles of other hosts or of the Python tool, or those whose `.README` is gone.
    OnlyOthers,
    Newest(Newest),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// By its name: what a copy or a move does to the times of a file does not matter.
    pub made_at: DateTime<Utc>,
    pub path: PathBuf,
}

/// A directory that is not there has nothing.
pub fn newest(folder: &Path, host: &str, machine: &MachineId) -> Result<Kept> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kept::Nothing),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", folder.display()));
        }
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut bundles: Vec<PathBuf> = paths.filter(|path| is_like_a_bundle(path)).collect();
    // Each look at a text may ask a server: from the newest on.
    bundles.sort_unstable_by_key(|path| std::cmp::Reverse(BundleName::of_file(path)));
    let own = bundles.iter().find_map(|path| {
        let bundle = BundleName::of_file(path)?;
        is_of(path, host, machine).then(|| Newest {
            made_at: bundle.id.time(),
            path: path.clone(),
        })
    });
    Ok(match own {
        Some(newest) => Kept::Newest(newest),
        None if bundles.is_empty() => Kept::Nothing,
        None => Kept::OnlyOthers,
    })
}

/// That of this host, as this host is named now. `None` where none is, and where nobody can tell.
pub async fn newest_here(paths: &Paths, config: &Config, folder: &Path) -> Option<Newest> {
    let host = identity(paths, config).host;
    let machine = Machine::of(paths).ok()?.id;
    let folder = folder.to_owned();
    let looking = aside(move || newest(&folder, &host, &machine));
    match looked_up(looking).await {
        Ok(Kept::Newest(newest)) => Some(newest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_of_this_host_and_machine_count() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["1", "2"].map(|digit| MachineId::parse(&digit.repeat(32)).unwrap());
        let look = || newest(folder.path(), "web1", &one).unwrap();
        let put = |time: &str, label: Option<(&str, &MachineId)>| {
            let name = format!("kopi-docka-recovery-{time}.tar.gz.enc");
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            if let Some((host, machine)) = label {
                let text = format!("Host:     {host}\nMachine:  {machine}\nSHA-256:  ab\n");
                std::fs::write(format!("{}.README", path.display()), text).unwrap();
            }
            path
        };
        assert_eq!(look(), Kept::Nothing);
        let gone = newest(&folder.path().join("gone"), "web1", &one).unwrap();
        assert_eq!(gone, Kept::Nothing);
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(look(), Kept::Nothing);
        put("20990131_235959", None);
        assert_eq!(look(), Kept::OnlyOthers, "of the Python tool");
        put("2099-01-01T00-00-00Z", Some(("web2", &one)));
        put("2099-01-01T00-00-01Z", Some(("web1", &other)));
        put("2099-01-01T00-00-02Z", None);
        assert_eq!(look(), Kept::OnlyOthers);
        put("2025-01-31T23-59-58Z", Some(("web1", &one)));
        let path = put("2025-01-31T23-59-59Z", Some(("web1", &one)));
        let Kept::Newest(found) = look() else {
            panic!("{:?}", look())
        };
        assert_eq!(found.path, path);
        assert_eq!(found.made_at.to_rfc3339(), "2025-01-31T23:59:59+00:00");
    }
}
