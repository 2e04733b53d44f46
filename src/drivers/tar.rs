//! How a source is read: GNU tar, as a stream that is the same bit for bit while the source is. [`mod@members`] tells what is in one,
//! and [`written`] writes what tar cannot reach.

mod members;
mod written;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tool::{self, Ended, Spec};
use crate::error::{Exit, Failure, Result};
use crate::model::{Source, exclude};

pub use members::{Member, MemberKind, members, next_member};
pub use written::{NewMember, end, fill_up};

const REMEDY: &str = "install GNU tar (`apt-get install tar`, `apk add tar`)";

/// GNU tar, checked.
#[derive(Clone, Debug)]
pub struct Tar {
    program: PathBuf,
    /// `1.34`
    version: String,
}

/// What tar writes at once. The length of its stream is a multiple of it, filled up with zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Record {
    #[default]
    Small,
    Large,
}

impl Record {
    /// For a source of so many `bytes`; `None` where that is not known. A large one costs a large source a third less time, since a pipe
    /// takes whole pages faster and each is a call; it would make a small one longer than it is.
    pub fn of(bytes: Option<u64>) -> Self {
        match bytes {
            Some(..33_554_432) => Self::Small,
            _ => Self::Large,
        }
    }

    pub fn bytes(self) -> u64 {
        512 * u64::from(self.blocks())
    }

    /// Of 512 bytes.
    fn blocks(self) -> u16 {
        match self {
            Self::Small => 20,
            Self::Large => 512,
        }
    }
}

/// What a tar that ended says of its stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// Length of the stream as tar counted it.
    pub bytes: u64,
    /// What tar said of its data, such as a file that changed meanwhile; empty when the stream can be trusted.
    pub complaints: Vec<String>,
}

impl Tar {
    pub async fn find() -> Result<Self> {
        let program = tool::find("tar", REMEDY)?;
        let answer = tool::run(
            Spec::new(&program).arg("--version"),
            Duration::from_secs(60),
        )
        .await?;
        let text = String::from_utf8_lossy(&answer.stdout);
        if !text.contains("GNU tar") {
            return Err(Failure::new(
                Exit::Program,
                format!(
                    "`{}` is not GNU tar: another one would lose attributes",
                    program.display()
                ),
            )
            .hint(REMEDY)
            .into());
        }
        // `tar (GNU tar) 1.34`
        let first = text.lines().next().unwrap_or_default();
        let version = first.split_whitespace().last().unwrap_or_default();
        Ok(Self {
            program,
            version: version.to_owned(),
        })
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Writes `source` to stdout; with `is_sparse` its holes as such.
    pub fn create(&self, source: &Source, is_sparse: bool, record: Record) -> Spec {
        let (folder, member) = place(&source.path, source.is_file);
        self.writing(is_sparse, record)
            .arg("--sort=name")
            .arg("--one-file-system")
            .arg("--anchored")
            .args(excludes(source))
            // Else tar takes `\n` in the name of a single file for a line break, and does not find it.
            .arg("--no-unquote")
            .args(["--directory".as_ref(), folder.as_os_str()])
            .arg("--")
            .arg(member)
    }

    /// Writes what stdin names, each with a zero byte behind, and nothing else, to stdout: bit for bit as [`Self::create`] would write it,
    /// when the names are in the order of a walk. Without `has_links` no file has two names.
    pub fn create_named(
        &self,
        directory: &Path,
        has_links: bool,
        is_sparse: bool,
        record: Record,
    ) -> Spec {
        self.writing(is_sparse, record)
            // Else it remembers each name, and who has a hundred bytes for each of a million.
            .args((!has_links).then_some("--hard-dereference"))
            // Behind the list it would have no effect.
            .args(["--directory".as_ref(), directory.as_os_str()])
            .arg("--no-recursion")
            .args(["--null", "--verbatim-files-from", "--files-from=-"])
    }

    fn writing(&self, is_sparse: bool, record: Record) -> Spec {
        // Versions 0.1 and 1.0 put tar's process id into the names of sparse members.
        let sparse = is_sparse.then_some(["--sparse", "--sparse-version=0.0"]);
        Spec::new(&self.program)
            .args(["--create", "--file=-", "--totals"])
            .arg(format!("--blocking-factor={}", record.blocks()))
            // Long names, any uid, times to the nanosecond.
            .arg("--format=posix")
            // ACLs travel as the extended attributes that they are. With --acls GNU tar 1.34 writes their users by name in
            // spite of --numeric-owner, and another host gives them to the user of that name there.
            .args([
                "--numeric-owner",
                "--xattrs",
                "--xattrs-include=*",
                "--no-acls",
            ])
            .args(sparse.iter().flatten())
            // Sockets: the service makes them again.
            .arg("--warning=no-file-ignored")
            // atime and ctime change without the data; the default name of the extended header holds the process id.
            .arg("--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f")
    }
}

/// A single file is the source itself, which no pattern leaves out.
fn excludes(source: &Source) -> Vec<String> {
    let patterns = source.exclude_patterns.iter();
    patterns
        .filter(|_| !source.is_file)
        .flat_map(|pattern| exclude::tar_globs(pattern))
        .map(|glob| format!("--exclude={glob}"))
        .collect()
}

/// The directory that tar changes to and what it takes there.
fn place(path: &Path, is_file: bool) -> (&Path, OsString) {
    if is_file && let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
        // The prefix keeps a name that begins with a dash from being read as a flag.
        let mut member = OsString::from("./");
        member.push(name);
        return (folder, member);
    }
    (path, OsStr::new(".").to_owned())
}

/// Exit 0 is good, exit 1 is a source that changed while it was read; anything else has failed.
pub fn judge(ended: &Ended) -> Result<Read> {
    let totals = ended
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("Total bytes written: "))
        .find_map(|rest| rest.split_whitespace().next()?.parse().ok());
    match (ended.status.code(), totals) {
        // Attributes that cannot be read leave the status at 0 and a line behind.
        (Some(0 | 1), Some(bytes)) => Ok(Read {
            bytes,
            complaints: complaints(&ended.stderr),
        }),
        _ if ended.stderr.is_empty() => {
            Err(anyhow::anyhow!("tar said nothing").context(ended.describe()))
        }
        _ => Err(anyhow::anyhow!("tar said: {}", ended.stderr).context(ended.describe())),
    }
}

/// How tar ends what it says of a file that went away or changed: of what services write to, that is no fault.
const WHILE_RUNNING: [&str; 9] = [
    ": No such file or directory",
    ": Not a directory",
    ": file changed as we read it",
    ": File removed before we read it",
    ": Invalid argument",
    ": No data available",
    ": Is a directory",
    ": No such device or address",
    ": socket ignored",
];

/// As [`judge`], of a tar that read what services write to; `said` is all that it said. Returns the length of its stream.
pub fn judge_running(ended: &Ended, said: &str) -> Result<u64> {
    let mut bytes = None;
    for line in said.lines() {
        if let Some(rest) = line.strip_prefix("Total bytes written: ") {
            bytes = rest
                .split_whitespace()
                .next()
                .and_then(|it| it.parse().ok());
            continue;
        }
        let is_end = line.contains(": Exiting with failure status");
        let is_known = WHILE_RUNNING.iter().any(|known| line.ends_with(known));
        if !is_known && !is_end && !line.contains(": File shrank by ") {
            return Err(anyhow::anyhow!("tar said: {line}").context(ended.describe()));
        }
    }
    match (ended.status.code(), bytes) {
        (Some(0..=2), Some(bytes)) => Ok(bytes),
        _ => Err(anyhow::anyhow!(ended.describe())),
    }
}

fn complaints(stderr: &str) -> Vec<String> {
    stderr
        .lines()
        .filter(|line| !line.starts_with("Total bytes written"))
        .map(|line| {
            line.split_once("tar: ")
                .map_or(line, |(_, text)| text)
                .to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests;
