//! Folders and small files inside a snapshot, one by one and under names that we choose.
//!
//! Not by `kopia restore`: as of 0.23.1 it joins the names in a folder's object to the target as they are, so that a forged
//! folder with a file `../../x` writes there, as root.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::client::{ASK_DEADLINE, Kopia, parse_json};
use super::failure;
use super::watch::{self, Activity};
use crate::error::Result;
use crate::model::ObjectId;
use crate::tool::{self, Child, Finished, Output};

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// In octal, by Go's bits.
    mode: String,
    #[serde(default)]
    pub size: u64,
    pub mtime: DateTime<Utc>,
    /// Left out when it is 0.
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub gid: u32,
}

impl Entry {
    pub fn is_file(&self) -> bool {
        self.kind == "f"
    }

    /// The 12 bits that `chmod` takes.
    pub fn mode(&self) -> u32 {
        const SETUID: u32 = 1 << 23;
        const SETGID: u32 = 1 << 22;
        const STICKY: u32 = 1 << 20;
        let go = u32::from_str_radix(&self.mode, 8).unwrap_or(0o600);
        let bit = |flag: u32, bit: u32| if go & flag == 0 { 0 } else { bit };
        (go & 0o777) | bit(SETUID, 0o4000) | bit(SETGID, 0o2000) | bit(STICKY, 0o1000)
    }
}

impl Kopia {
    /// What is in the folder at `path` below `root`; `None` when there is none.
    pub async fn read_folder(&self, root: &ObjectId, path: &str) -> Result<Option<Vec<Entry>>> {
        #[derive(Deserialize)]
        struct Folder {
            entries: Option<Vec<Entry>>,
        }
        let Some(shown) = self.show_small(root, path).await? else {
            return Ok(None);
        };
        Ok(Some(
            parse_json::<Folder>(&shown)?.entries.unwrap_or_default(),
        ))
    }

    /// The bytes of the small file at `path` below `root`; `None` when there is none.
    pub async fn read_file(&self, root: &ObjectId, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.show_small(root, path).await?.map(|shown| shown.stdout))
    }

    /// Reads every file below the folder `root`, and writes none of them.
    pub async fn read_tree(&self, root: &ObjectId, stall_timeout: Duration) -> Result<()> {
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
            .arg(format!("--directory-id={root}"))
            .args(["--verify-files-percent=100", "--max-errors=100"])
            .output(Output::Captured);
        let mut child = Child::spawn(spec)?;
        let stdout = watch::collect(child.take_stdout());
        let ended = watch::until_end(&mut child, &Activity::default(), stall_timeout).await?;
        if !ended.status.success() {
            return Err(failure::of(&ended));
        }
        let stdout = stdout.await?;
        let answer: Answer = parse_json(&Finished { ended, stdout })?;
        if answer.error_count > 0 || answer.stats.read_file_count == 0 {
            anyhow::bail!(
                "kopia read {} files of {root} and found {} errors",
                answer.stats.read_file_count,
                answer.error_count
            );
        }
        Ok(())
    }

    async fn show_small(&self, root: &ObjectId, path: &str) -> Result<Option<Finished>> {
        let spec = self
            .command()
            .arg("--no-progress")
            .arg("show")
            .arg(format!("{root}/{path}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As `kopia show` of 0.23.1 prints a folder.
    const RECORDED: &str = r#"{"name":"c.yml","type":"f","mode":"040000751","size":3,"mtime":"2026-11-22T08:15:20.051685074Z","uid":12,"gid":34,"obj":"e5b77252a03bccfd7278f6dbaaacc8c2"}"#;

    #[test]
    fn a_recorded_entry_is_read_with_gos_bits() {
        let entry: Entry = serde_json::from_str(RECORDED).unwrap();
        assert_eq!((entry.uid, entry.gid, entry.mode()), (12, 34, 0o4751));
        assert_eq!(entry.size, 3);
        assert!(entry.is_file());
        let roots = RECORDED.replace(r#""uid":12,"gid":34,"#, "");
        assert_eq!(serde_json::from_str::<Entry>(&roots).unwrap().uid, 0);
    }
}
