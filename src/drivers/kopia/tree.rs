//! What is in a snapshot: directories one by one, small files under names that we choose, and whole trees.
//!
//! As of 0.23.1 `kopia restore` joins the names in a directory's object to the target as they are, so that a forged directory with
//! a file `../../x` writes there, as root. A tree may only be restored after all of its names were checked.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{ASK_DEADLINE, Kopia, parse_json};
use super::failure;
use super::watch::{self};
use crate::base::activity::Activity;
use crate::drivers::tool::{self, Child, Finished, Output};
use crate::error::Result;
use crate::model::ObjectId;
use crate::model::point::Attributes;

/// How many kopia processes read files or directories: each costs the start of a process, and a processor.
pub const PROCESSES: usize = 4;

/// How many directories one kopia is asked for.
pub const FOLDERS_AT_ONCE: usize = 50;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// In octal, by Go's bits. Left out when it is 0, as all numbers are.
    #[serde(default)]
    mode: String,
    #[serde(default)]
    pub size: u64,
    pub mtime: DateTime<Utc>,
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub gid: u32,
    pub obj: ObjectId,
}

/// The object of a directory.
#[derive(Deserialize)]
struct Folder {
    /// `kopia:directory`
    stream: String,
    entries: Option<Vec<Entry>>,
}

impl Folder {
    fn into_entries(self) -> Result<Vec<Entry>> {
        anyhow::ensure!(
            self.stream == "kopia:directory",
            "it is not a directory but `{}`",
            self.stream
        );
        Ok(self.entries.unwrap_or_default())
    }
}

impl Entry {
    pub fn is_file(&self) -> bool {
        self.kind == "f"
    }

    pub fn is_folder(&self) -> bool {
        self.kind == "d"
    }

    pub fn is_link(&self) -> bool {
        self.kind == "s"
    }

    /// The 12 bits that `chmod` takes.
    pub fn mode(&self) -> u32 {
        posix_mode(&self.mode).unwrap_or(0o600)
    }

    pub fn attributes(&self) -> Attributes {
        Attributes {
            mode: self.mode(),
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
        }
    }
}

/// The 12 bits that `chmod` takes, of Go's bits in octal; empty for 0.
pub fn posix_mode(go: &str) -> Option<u32> {
    const SETUID: u32 = 1 << 23;
    const SETGID: u32 = 1 << 22;
    const STICKY: u32 = 1 << 20;
    let go = match go {
        "" => 0,
        octal => u32::from_str_radix(octal, 8).ok()?,
    };
    let bit = |flag: u32, bit: u32| if go & flag == 0 { 0 } else { bit };
    Some((go & 0o777) | bit(SETUID, 0o4000) | bit(SETGID, 0o2000) | bit(STICKY, 0o1000))
}

impl Kopia {
    /// What is in the directory at `path` below `root`; `None` when there is none.
    pub async fn read_folder(&self, root: &ObjectId, path: &str) -> Result<Option<Vec<Entry>>> {
        let Some(shown) = self.show_small(&format!("{root}/{path}")).await? else {
            return Ok(None);
        };
        Ok(Some(parse_json::<Folder>(&shown)?.into_entries()?))
    }

    /// What is in each of `folders`, in their order. One process for all of them: starting one costs more than reading.
    pub async fn read_folders(&self, folders: &[ObjectId]) -> Result<Vec<Vec<Entry>>> {
        let mut found = Vec::with_capacity(folders.len());
        let (plain, large): (Vec<_>, Vec<_>) =
            folders.iter().partition(|folder| is_one_content(folder));
        let mut plain = self.show_contents(&plain).await?.into_iter();
        let mut of_large = Vec::with_capacity(large.len());
        for folder in large {
            let shown = self.show_small(folder.as_str()).await?;
            let shown = shown.with_context(|| format!("the directory {folder} is gone"))?;
            of_large.push(parse_json::<Folder>(&shown)?);
        }
        let mut of_large = of_large.into_iter();
        for folder in folders {
            let next = if is_one_content(folder) {
                plain.next()
            } else {
                of_large.next()
            };
            let next =
                next.with_context(|| format!("kopia did not show the directory {folder}"))?;
            found.push(next.into_entries()?);
        }
        Ok(found)
    }

    async fn show_contents(&self, ids: &[&ObjectId]) -> Result<Vec<Folder>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let spec = self
            .command()
            .args(["--no-progress", "content", "show"])
            .args(ids.iter().map(|id| id.as_str()));
        let folders: Vec<Folder> = parse_stream(&self.ask(spec).await?.stdout)
            .context("the answer of `kopia content show` is not what this version knows")?;
        anyhow::ensure!(
            folders.len() == ids.len(),
            "kopia showed {} directories instead of {}",
            folders.len(),
            ids.len()
        );
        Ok(folders)
    }

    /// The bytes of the small file at `path` below `root`; `None` when there is none.
    pub async fn read_file(&self, root: &ObjectId, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self
            .show_small(&format!("{root}/{path}"))
            .await?
            .map(|shown| shown.stdout))
    }

    /// Reads the file `root`, or every file below that directory, and writes none of them. Returns how many it read.
    pub async fn read_tree(
        &self,
        root: &ObjectId,
        is_folder: bool,
        stall_timeout: Duration,
    ) -> Result<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            stats: Stats,
            error_count: u64,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            read_file_count: u64,
        }
        let spec = self
            .command()
            .args(["snapshot", "verify", "--json"])
            .arg(if is_folder {
                format!("--directory-id={root}")
            } else {
                format!("--file-id={root}")
            })
            .args(["--verify-files-percent=100", "--max-errors=100"])
            .output(Output::Captured);
        let mut child = Child::spawn(spec)?;
        let mut stdout = watch::collect(child.take_stdout());
        let ended = watch::until_end(&mut child, &Activity::default(), stall_timeout).await?;
        if !ended.status.success() {
            return Err(failure::of(&ended));
        }
        let stdout = watch::collected(&mut stdout).await?;
        let answer: Answer = parse_json(&Finished { ended, stdout })?;
        if answer.error_count > 0 {
            anyhow::bail!("kopia found {} errors in {root}", answer.error_count);
        }
        Ok(answer.stats.read_file_count)
    }

    /// The bytes of the small file `object`.
    pub async fn read_object(&self, object: &ObjectId) -> Result<Vec<u8>> {
        let shown = self.show_small(object.as_str()).await?;
        Ok(shown
            .with_context(|| format!("the object {object} is gone"))?
            .stdout)
    }

    /// The bytes of the file `object` go to stdout of the child.
    pub fn show_object(&self, object: &ObjectId, output: Output) -> Result<Child> {
        let spec = self
            .command()
            .arg("--no-progress")
            .arg("show")
            .arg(object.as_str())
            .output(output);
        Child::spawn(spec)
    }

    /// Brings the directory `object` to `target`, which may be there: contents and names alone, no owners, modes and times. Only
    /// for a tree in which every name was checked.
    pub fn restore_tree(&self, object: &ObjectId, target: &Path) -> Result<Child> {
        let spec = self
            .command()
            .args(["restore", "--mode=local", "--no-ignore-permission-errors"])
            // Kopia cuts the times of links and takes those of directories from what is in them: we set them, exactly.
            .args(["--skip-owners", "--skip-permissions", "--skip-times"])
            .args(["--progress", "--progress-update-interval=1s"])
            .arg(object.as_str())
            .arg(target)
            .output(Output::Null);
        Child::spawn(spec)
    }

    async fn show_small(&self, what: &str) -> Result<Option<Finished>> {
        let spec = self.command().arg("--no-progress").arg("show").arg(what);
        let finished = tool::run(spec, ASK_DEADLINE).await?;
        if finished.ended.status.success() {
            Ok(Some(finished))
        } else if finished.ended.stderr.contains("entry not found") {
            Ok(None)
        } else {
            Err(failure::of(&finished.ended))
        }
    }
}

/// Whether the object is one content, which has the same id: `k` and hex digits. Long ones are an index of several (`Ik…`).
fn is_one_content(object: &ObjectId) -> bool {
    object
        .as_str()
        .strip_prefix('k')
        .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// JSON documents, one after the other.
fn parse_stream<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>> {
    let documents = serde_json::Deserializer::from_slice(bytes).into_iter();
    Ok(documents.collect::<serde_json::Result<Vec<T>>>()?)
}

/// Files and bytes that a progress line of `kopia restore` says are there: `Processed 2 (1.5 MB) of 7 (3 GB) …`.
pub fn restored(progress: &str) -> Option<(u64, u64)> {
    let (count, rest) = progress.strip_prefix("Processed ")?.split_once(" (")?;
    let (number, unit) = rest.split_once(')')?.0.split_once(' ')?;
    let factor = match unit {
        "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        _ => return None,
    };
    Some((
        count.parse().ok()?,
        (number.parse::<f64>().ok()? * factor) as u64,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::{damaged, damaged_text};
    use proptest::prelude::*;

    /// As `kopia show` of 0.23.1 prints a directory.
    const RECORDED: &str = r#"{"name":"c.yml","type":"f","mode":"040000751","size":3,"mtime":"2026-11-22T08:15:20.051685074Z","uid":12,"gid":34,"obj":"e5b77252a03bccfd7278f6dbaaacc8c2"}"#;

    #[test]
    fn a_recorded_entry_is_read_with_gos_bits() {
        let entry: Entry = serde_json::from_str(RECORDED).unwrap();
        assert_eq!((entry.uid, entry.gid, entry.mode()), (12, 34, 0o4751));
        assert_eq!(entry.size, 3);
        assert!(entry.is_file());
        let roots = RECORDED.replace(r#""uid":12,"gid":34,"#, "");
        assert_eq!(serde_json::from_str::<Entry>(&roots).unwrap().uid, 0);
        let closed = RECORDED.replace(r#""mode":"040000751","#, "");
        assert_eq!(serde_json::from_str::<Entry>(&closed).unwrap().mode(), 0);
    }

    #[test]
    fn folders_that_are_shown_one_after_the_other_are_told_apart() {
        let folder = format!(r#"{{"stream":"kopia:directory","entries":[{RECORDED}]}}"#);
        let empty = r#"{"stream":"kopia:directory","entries":null}"#;
        let two: Vec<Folder> = parse_stream(format!("{folder}{empty}\n").as_bytes()).unwrap();
        let counts: Vec<usize> = two
            .into_iter()
            .map(|folder| folder.into_entries().unwrap().len())
            .collect();
        assert_eq!(counts, [1, 0]);
        assert!(parse_stream::<Folder>(folder.get(..50).unwrap().as_bytes()).is_err());
        let other = r#"{"stream":"kopia:indirect","entries":[]}"#;
        let other: Folder = serde_json::from_str(other).unwrap();
        assert!(other.into_entries().is_err());
        let is = |id: &str| is_one_content(&ObjectId::parse(id).unwrap());
        assert!(is("k1f") && !is("Ik1f") && !is("1f") && !is("kx1"));
    }

    #[test]
    fn recorded_progress_of_a_restore_is_read() {
        for (line, expected) in [
            ("Processed 1 (18.6 MB) of 1 (838.9 MB).", (1, 18_600_000)),
            (
                "Processed 14 (41 KB) of 13 (41 KB) 1 MB/s (100.0%) remaining 0s.",
                (14, 41_000),
            ),
            ("Processed 2 (0 B) of 2 (0 B).", (2, 0)),
        ] {
            assert_eq!(restored(line), Some(expected), "{line}");
        }
        assert_eq!(restored("Restored 10 files, 3 directories"), None);
    }

    proptest! {
        #[test]
        fn no_answer_of_kopia_breaks_it(
            bytes in damaged(RECORDED.as_bytes()), line in damaged_text("Processed 2 (1.5 MB) of 7 (3 GB) …"),
        ) {
            let _ = parse_stream::<Entry>(&bytes);
            let _ = restored(&line);
        }
    }
}
