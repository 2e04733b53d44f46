//! How a source is read: GNU tar, as a stream that is the same bit for bit while the source is.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Exit, Failure, Result};
use crate::model::Source;
use crate::tool::{self, Ended, Spec};

const REMEDY: &str = "install GNU tar (`apt-get install tar`, `apk add tar`)";

/// GNU tar, checked.
#[derive(Clone, Debug)]
pub struct Tar {
    program: PathBuf,
    /// `1.34`
    version: String,
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

    /// Writes `source` to stdout.
    pub fn create(&self, source: &Source) -> Spec {
        let (folder, member) = place(&source.path, source.is_file);
        Spec::new(&self.program)
            .args(["--create", "--file=-", "--totals"])
            // Long names, any uid, times to the nanosecond.
            .arg("--format=posix")
            .arg("--sort=name")
            // ACLs travel as the extended attributes that they are. With --acls GNU tar 1.34 writes their users by name in
            // spite of --numeric-owner, and another host gives them to whoever has that name there.
            .args([
                "--numeric-owner",
                "--xattrs",
                "--xattrs-include=*",
                "--no-acls",
            ])
            // Versions 0.1 and 1.0 put tar's process id into the names of sparse members.
            .args(["--sparse", "--sparse-version=0.0"])
            .arg("--one-file-system")
            // Sockets: the service makes them again.
            .arg("--warning=no-file-ignored")
            // atime and ctime change without the data; the default name of the extended header holds the process id.
            .arg("--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f")
            .args(
                source
                    .exclude_patterns
                    .iter()
                    .map(|pattern| format!("--exclude={pattern}")),
            )
            // Else tar takes `\n` in the name of a single file for a line break, and does not find it.
            .arg("--no-unquote")
            .args(["--directory".as_ref(), folder.as_os_str()])
            .arg("--")
            .arg(member)
    }
}

/// The folder that tar changes to and what it takes there.
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
        // Attributes that can't be read leave the status at 0 and a line behind.
        (Some(0 | 1), Some(bytes)) => Ok(Read {
            bytes,
            complaints: complaints(&ended.stderr),
        }),
        _ => Err(anyhow::anyhow!("tar said: {}", ended.stderr).context(ended.describe())),
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
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn ended(status: i32, stderr: &str) -> Ended {
        Ended {
            display: "tar …".to_owned(),
            status: ExitStatus::from_raw(status),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn the_exit_status_decides_what_a_stream_is_worth() {
        let totals = "Total bytes written: 10240 (10KiB, 29MiB/s)";
        assert_eq!(
            judge(&ended(0, totals)).unwrap(),
            Read {
                bytes: 10240,
                complaints: Vec::new()
            }
        );
        let changed = format!("/usr/bin/tar: ./log: file changed as we read it\n{totals}");
        assert_eq!(
            judge(&ended(1 << 8, &changed)).unwrap().complaints,
            ["./log: file changed as we read it"]
        );
        assert!(judge(&ended(2 << 8, totals)).is_err());
        assert!(judge(&ended(9, totals)).is_err(), "killed");
        assert!(judge(&ended(0, "")).is_err(), "no totals");
    }

    #[tokio::test]
    async fn a_single_file_is_found_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in [r"a\nb", r"\\x\101", "*[a]?", "-f", "a\nb", "@x"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "x").unwrap();
            let source = Source {
                key: crate::model::SourceKey::Bind { path: path.clone() },
                path,
                is_file: true,
                destinations: Vec::new(),
                exclude_patterns: Vec::new(),
                is_anonymous: false,
                writers: Vec::new(),
                covers: Vec::new(),
            };
            let spec = Tar::find().await.unwrap().create(&source);
            let finished = tool::run(spec, Duration::from_secs(60)).await.unwrap();
            assert_eq!(
                judge(&finished.ended).unwrap().complaints,
                [""; 0],
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_is_read_from_its_folder_under_a_name_that_is_no_flag() {
        let (folder, member) = place(Path::new("/srv/-conf"), true);
        assert_eq!(
            (folder, member.as_os_str()),
            (Path::new("/srv"), OsStr::new("./-conf"))
        );
        let (folder, member) = place(Path::new("/srv/data"), false);
        assert_eq!(
            (folder, member.as_os_str()),
            (Path::new("/srv/data"), OsStr::new("."))
        );
    }
}
