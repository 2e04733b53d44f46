//! What changed on this host since a bundle was made, of what it holds. What a run, a check or a repeated `init` writes by itself is
//! no change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::systemd::drop_in_files;
use crate::base::paths::Paths;
use crate::config::Loaded;
use crate::drivers::kopia::profile_file;
use crate::drivers::systemd::SYSTEM_FOLDER;
use crate::repository;

/// Files that `ssh` adds to whatever host it is used for. That the key of the storage is another one is said at the first connection, and
/// needs no secret.
const KNOWN_HOSTS: [&str; 2] = ["known_hosts", "ssh_known_hosts"];

/// What a bundle that was made at `made_at` does not have as it is now: for people. The disks that it is on may not answer.
pub fn changed_since(made_at: DateTime<Utc>, paths: &Paths, loaded: &Loaded) -> Vec<String> {
    let times = files(paths, loaded).into_iter().filter_map(|file| {
        // What is missing is told by what needs it.
        let at = changed_at(&file.metadata().ok()?)?;
        Some((format!("`{}`", file.display()), at))
    });
    let identity = repository::changed_at(paths, &loaded.config);
    let identity = identity.map(|at| ("the repository or its points (`init`)".to_owned(), at));
    newer(made_at, times.chain(identity))
}

/// Left out is the configuration of Rclone, which writes a new token into it whenever it likes.
fn files(paths: &Paths, loaded: &Loaded) -> Vec<PathBuf> {
    let kopia = &loaded.config.kopia;
    let named = kopia.kopia_params.files().into_iter();
    let named = named.filter(|file| !is_known_hosts(file));
    let drop_ins = drop_in_files(Path::new(SYSTEM_FOLDER)).into_iter();
    let mut files = vec![loaded.path.clone()];
    files.extend(kopia.password_file.clone());
    files.push(paths.credentials.clone());
    files.extend(named);
    files.push(profile_file(&paths.home, loaded.config.profile()));
    files.extend(drop_ins.map(|(_, path)| path));
    files
}

fn is_known_hosts(file: &Path) -> bool {
    KNOWN_HOSTS.iter().any(|name| file.ends_with(name))
}

/// `ctime`: every write sets it, and nobody can set it back. What is put in the place of a file with `cp -p`, `mv` or `rsync` keeps an old
/// `mtime`. A new mode or owner counts as well: a bundle has those too.
fn changed_at(metadata: &Metadata) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(metadata.ctime(), 0)
}

/// Names have no fractions of a second: what changed in the second of the bundle is in it.
fn newer(
    made_at: DateTime<Utc>,
    times: impl Iterator<Item = (String, DateTime<Utc>)>,
) -> Vec<String> {
    times
        .filter(|(_, at)| at.timestamp() > made_at.timestamp())
        .map(|(what, _)| what)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn what_changed_in_a_later_second_is_not_in_a_bundle() {
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let times = [("a", at(99)), ("b", at(100)), ("c", at(101))];
        let times = times.map(|(what, at)| (what.to_owned(), at));
        assert_eq!(newer(at(100), times.clone().into_iter()), ["c"]);
        assert!(newer(at(101), times.into_iter()).is_empty());
        let late = DateTime::from_timestamp(100, 900_000_000).unwrap();
        assert!(newer(at(100), [("d".to_owned(), late)].into_iter()).is_empty());
    }

    #[test]
    fn a_file_with_an_old_time_is_as_new_as_it_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "another key").unwrap();
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        let past = SystemTime::now() - Duration::from_secs(1_000_000);
        file.set_modified(past).unwrap();
        let changed = changed_at(&path.metadata().unwrap()).unwrap();
        assert!((Utc::now() - changed).num_seconds() < 60);
    }

    #[test]
    fn a_file_that_every_ssh_adds_to_is_no_change() {
        assert!(is_known_hosts(Path::new("/root/.ssh/known_hosts")));
        let own = "/root/.ssh/kopi-docka_known_hosts";
        assert!(!is_known_hosts(Path::new(own)));
    }
}
