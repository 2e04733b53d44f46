//! `docker` as the operator would call it, run where the operator sees what it says.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use super::compose_up::ComposeUp;
use crate::base::shutdown::Shutdown;
use crate::base::text::printable;
use crate::drivers::tool::{self, Child, Finished, Output, Spec};
use crate::error::{Exit, Failure, Result};

/// How long `docker` may take to say its version.
const ASK_PATIENCE: Duration = Duration::from_secs(60);

/// Of what `docker` said, for an error.
const KEPT_LINES: usize = 20;
const MAX_LINE_BYTES: usize = 2000;

/// What of our environment `docker` gets: where its plugins, logins and proxies are, and how the registries are reached.
const PASSED_ON: &[&str] = &[
    "HOME",
    "USER",
    "XDG_RUNTIME_DIR",
    "DOCKER_CONFIG",
    "SSH_AUTH_SOCK",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

fn find() -> Result<PathBuf> {
    tool::find(
        "docker",
        "install Docker's command-line client: https://docs.docker.com/engine/install/",
    )
}

/// The version of the Compose plugin, such as `2.26.1`; `None` for a `docker` without it.
pub async fn compose_version() -> Result<Option<String>> {
    let finished = ask_version().await?;
    let text = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    Ok(finished.ended.status.success().then_some(text))
}

async fn ask_version() -> Result<Finished> {
    let spec = with_environment(Spec::new(&find()?)).args(["compose", "version", "--short"]);
    tool::run(spec, ASK_PATIENCE).await
}

/// Refuses a `docker` that does not know `compose`.
pub async fn check_compose() -> Result<()> {
    let finished = ask_version().await?;
    if finished.ended.status.success() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Program,
        "`docker compose` is missing, so the unit could not be started",
    )
    .hint("install the Compose plugin: https://docs.docker.com/compose/install/linux/")
    .hint("omit `--up` to restore the data only")
    .note("nothing was changed")
    .caused_by(anyhow::anyhow!(
        "{}",
        tool::messages(&finished.ended.stderr)
    ))
    .into())
}

/// The project as compose understands it, all variables filled in: secrets are in it.
pub async fn compose_config(up: &ComposeUp) -> Result<Value> {
    let spec = with_variables(with_environment(Spec::new(&find()?)), up.environment())
        .args(up.project_args())
        .args(["config", "--format", "json"]);
    let finished = tool::run(spec, ASK_PATIENCE).await?;
    if !finished.ended.status.success() {
        let said = tool::messages(&finished.ended.stderr);
        anyhow::bail!("{}: {said}", finished.ended.describe());
    }
    // Not the parser's words: they quote what they cannot read.
    serde_json::from_slice(&finished.stdout)
        .map_err(|_| anyhow::anyhow!("`docker compose config` answered no JSON"))
}

fn with_variables<'a>(mut spec: Spec, variables: impl Iterator<Item = (&'a str, &'a str)>) -> Spec {
    for (name, value) in variables {
        if name == "HOME" && std::env::var_os("DOCKER_CONFIG").is_none() {
            // The compose files mean the home of the user who started them; plugins and logins are ours.
            let own = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
            spec = spec.env("DOCKER_CONFIG", Path::new(&own).join(".docker"));
        }
        spec = spec.env(name, value);
    }
    spec
}

fn with_environment(mut spec: Spec) -> Spec {
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            spec = spec.env(name, value);
        }
    }
    spec
}

/// Runs `docker` with `variables` in its environment, and passes on every line that it says. It is ended with its group when it takes
/// longer than `limit` or a signal comes.
pub async fn run<'a>(
    socket: &Path,
    args: &[String],
    variables: impl Iterator<Item = (&'a str, &'a str)>,
    limit: Duration,
    shutdown: &Shutdown,
    say: impl Fn(&str),
) -> Result<()> {
    let spec = with_variables(with_environment(Spec::new(&find()?)), variables)
        .arg(format!("--host=unix://{}", socket.display()))
        .args(args);
    let pipe = tool::pipe()?;
    // One pipe for both: what it says stays in order.
    let spec = spec
        .errors(pipe.writer.try_clone()?)
        .output(Output::Pipe(pipe.writer));
    let mut child = Child::spawn(spec)?;
    let mut tail = Tail::default();
    let work = async {
        let (ended, read) = tokio::join!(child.wait(), tail.read(pipe.reader, say));
        read?;
        ended
    };
    let ended = tokio::select! {
        biased;
        () = shutdown.asked() => Err(Failure::new(shutdown.exit(), "a signal ended it").into()),
        ended = tokio::time::timeout(limit, work) => ended.unwrap_or_else(|_| {
            Err(Failure::new(
                Exit::Program,
                format!("it did not end within {} s (`docker.compose_timeout`) and was ended", limit.as_secs()),
            )
            .into())
        }),
    };
    let ended = ended?;
    if ended.status.success() {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "{}; it said:\n{}",
        ended.describe(),
        tail.text()
    ))
}

/// The last lines that were said.
#[derive(Default)]
struct Tail(VecDeque<String>);

impl Tail {
    async fn read(&mut self, pipe: OwnedFd, say: impl Fn(&str)) -> Result<()> {
        let mut pipe = Receiver::from_owned_fd(pipe)?;
        let mut buffer = [0; 4096];
        let mut line = Vec::new();
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            for &byte in buffer.iter().take(count) {
                match byte {
                    b'\n' | b'\r' => self.push(&mut line, &say),
                    _ if line.len() < MAX_LINE_BYTES => line.push(byte),
                    _ => {}
                }
            }
        }
        self.push(&mut line, &say);
        Ok(())
    }

    fn push(&mut self, line: &mut Vec<u8>, say: impl Fn(&str)) {
        let text = printable(&tool::message(String::from_utf8_lossy(line).trim_end()));
        line.clear();
        if text.is_empty() {
            return;
        }
        say(&text);
        if self.0.len() == KEPT_LINES {
            self.0.pop_front();
        }
        self.0.push_back(text);
    }

    fn text(&self) -> String {
        let lines: Vec<&str> = self.0.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
