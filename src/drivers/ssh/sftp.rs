//! What is done on a server without anybody typing, over SFTP: the one thing that Kopia needs there.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rand::RngExt as _;

use super::server::{Login, options};
use crate::base::text::printable;
use crate::drivers::tool::{self, Finished, Input, Spec};
use crate::error::{Exit, Failure, Result};

const DEADLINE: Duration = Duration::from_secs(40);

/// Why a server did not let us in.
#[derive(Debug)]
pub enum Refusal {
    /// It does not know our key.
    Key,
    Other(anyhow::Error),
}

/// That our key opens the server.
pub async fn prove(login: &Login) -> Result<(), Refusal> {
    let finished = run(login, "pwd\n").await.map_err(Refusal::Other)?;
    if finished.ended.status.success() {
        return Ok(());
    }
    if finished.ended.stderr.contains("Permission denied (") {
        return Err(Refusal::Key);
    }
    let what = format!("logging in to {} failed", login.server.host);
    Err(Refusal::Other(failure(&finished, what)))
}

/// Makes `folder` there, writes a file in it, reads it back and removes it.
pub async fn try_folder(login: &Login, folder: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let (here, back) = (work.path().join("probe"), work.path().join("back"));
    let content = format!(
        "kopi-docka wrote this to see whether it can: {:016x}\n",
        rand::rng().random::<u64>()
    );
    std::fs::write(&here, &content)?;
    let name = format!(
        "{}/.kopi-docka-probe-{:016x}",
        folder.trim_end_matches('/'),
        rand::rng().random::<u64>()
    );
    let mut batch = String::new();
    let mut path = String::new();
    for part in folder.split('/').filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(part);
        // Those that are there refuse to be made again.
        batch.push_str(&format!("-mkdir {}\n", quoted(&path)));
    }
    let there = quoted(&name);
    let here = quoted(&here.to_string_lossy());
    let read = quoted(&back.to_string_lossy());
    batch.push_str(&format!(
        "put {here} {there}\nget {there} {read}\nrm {there}\n"
    ));
    let finished = run(login, &batch).await?;
    let is_same = || std::fs::read_to_string(&back).is_ok_and(|read| read == content);
    if finished.ended.status.success() && is_same() {
        return Ok(());
    }
    // What cannot be removed is named so that its owner knows what it is.
    let _ = run(login, &format!("-rm {there}\n")).await;
    let what = format!(
        "no file can be written, read and removed in `{}` of {}",
        printable(folder),
        login.server.host
    );
    Err(failure(&finished, what))
}

/// Bytes free at `folder`, where the server tells: over SFTP, else by its `df`.
pub async fn free(login: &Login, folder: &str) -> Option<u64> {
    let finished = run(login, &format!("df {}\n", quoted(folder))).await.ok()?;
    let told = parse_df(&String::from_utf8_lossy(&finished.stdout));
    if told.is_some() {
        return told;
    }
    let command = format!("df -Pk -- {}", shell_words::quote(folder));
    let spec = Spec::new(&super::find("ssh").ok()?)
        .args(login.alone())
        .args(["-T", "--"])
        .arg(&login.server.host)
        .arg(command);
    let finished = tool::run(spec, DEADLINE).await.ok()?;
    parse_posix_df(&String::from_utf8_lossy(&finished.stdout))
}

/// The number before the percentage, in KiB: names of devices and mount points may have spaces.
fn parse_posix_df(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.lines().last()?.split_whitespace().collect();
    let percent = words.iter().position(|word| word.ends_with('%'))?;
    let available = words.get(percent.checked_sub(1)?)?;
    available.parse::<u64>().ok()?.checked_mul(1024)
}

/// The third number below `Size Used Avail (root) %Capacity`, in KiB.
pub fn parse_df(text: &str) -> Option<u64> {
    let mut lines = text.lines().skip_while(|line| {
        !line
            .split_whitespace()
            .eq(["Size", "Used", "Avail", "(root)", "%Capacity"])
    });
    let available = lines.nth(1)?.split_whitespace().nth(2)?;
    available.parse::<u64>().ok()?.checked_mul(1024)
}

async fn run(login: &Login, batch: &str) -> Result<Finished> {
    let spec = Spec::new(&super::find("sftp")?)
        .args(["-b", "-"])
        .args(login.alone())
        .args(options(["ServerAliveInterval=5".into()]))
        .arg("--")
        .arg(login.server.bracketed());
    feed(spec, batch, DEADLINE).await
}

/// Runs `spec` with `batch` as its stdin.
pub async fn feed(spec: Spec, batch: &str, deadline: Duration) -> Result<Finished> {
    let pipe = tool::pipe()?;
    let mut writer = std::fs::File::from(pipe.writer);
    // The pipe is larger than any batch: this never waits.
    writer
        .write_all(batch.as_bytes())
        .context("cannot send commands to sftp")?;
    drop(writer);
    tool::run(spec.input(Input::Pipe(pipe.reader)), deadline).await
}

fn failure(finished: &Finished, what: String) -> anyhow::Error {
    let said = finished.ended.stderr.lines().map(printable);
    let said: Vec<_> = said.filter(|line| !line.contains("mkdir")).collect();
    let failure = Failure::new(Exit::Storage, what);
    match said.last() {
        Some(last) => failure.note(format!("sftp said: {last}")).into(),
        None => failure.into(),
    }
}

/// As sftp's batch files quote: a quoted word is no pattern.
fn quoted(path: &str) -> String {
    let escaped = path.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// Where an absolute path can be typed: sftp reads its batch by lines.
pub fn check_folder(path: &str) -> Result<(), String> {
    if Path::new(path)
        .components()
        .any(|part| part.as_os_str() == "..")
    {
        return Err("`..` is not allowed in it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    #[test]
    fn what_is_free_is_read_from_df() {
        let text = "sftp> df \"/srv\"\n        Size         Used        Avail       (root)    %Capacity\n    \
                    81106868     54345092     22596076     26761776          67%\n";
        assert_eq!(parse_df(text), Some(22_596_076 * 1024));
        assert_eq!(parse_df("Server does not support statvfs"), None);
        assert_eq!(parse_df(""), None);
    }

    #[test]
    fn what_is_free_is_read_from_df_of_a_shell() {
        let text = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/my disk      81106868 54345092  22596076      71% /srv/a b\n";
        assert_eq!(parse_posix_df(text), Some(22_596_076 * 1024));
        for text in ["", "df: /srv: No such file or directory", "%", "x 5%"] {
            assert_eq!(parse_posix_df(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_one_word_of_a_batch() {
        assert_eq!(quoted("/a b/c\"d\\e*"), "\"/a b/c\\\"d\\\\e*\"");
    }

    proptest! {
        #[test]
        fn no_answer_of_a_server_breaks_it(
            text in damaged_text("sftp> df \"/srv\"\n        Size         Used        Avail       (root)    %Capacity\n    81106868     54345092     22596076     26761776          67%\n"),
        ) {
            let _ = parse_df(&text);
        }
    }
}
