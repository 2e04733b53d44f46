//! What goes on in a container: a command in it, its last words, the memory that it uses.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;
use super::json::Json as _;
use super::raw::encoded;
use crate::error::Result;

/// Of what is said, the end.
const KEPT_BYTES: usize = 16 << 10;

/// For a figure that a decision can do without.
const SOON: Duration = Duration::from_secs(10);

/// What is run in a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Command<'a> {
    pub words: &'a [String],
    /// `None` is the container's own.
    pub user: Option<&'a str>,
    /// `NAME=value`, beside those of the container.
    pub variables: &'a [String],
}

/// How a command in a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    pub exit_code: i64,
    /// The end of what it said.
    pub said: String,
}

impl Engine {
    /// Runs `command` in a running container. Without an answer within `limit` it is an error, and the command is left to itself.
    pub async fn execute(
        &self,
        id: &str,
        command: &Command<'_>,
        limit: Duration,
    ) -> Result<Executed> {
        let work = async {
            let config = ExecConfig {
                cmd: Some(command.words.to_vec()),
                user: command.user.map(str::to_owned),
                env: Some(command.variables.to_vec()),
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                ..Default::default()
            };
            let made = self.docker.create_exec(id, config).await?;
            let options = Some(StartExecOptions::default());
            let said = match self.docker.start_exec(&made.id, options).await? {
                StartExecResults::Attached { output, .. } => tail(output).await?,
                StartExecResults::Detached => String::new(),
            };
            let ended = self.docker.inspect_exec(&made.id).await?;
            Ok::<_, EngineError>(Executed {
                exit_code: ended.exit_code.unwrap_or(-1),
                said,
            })
        };
        bounded(limit, work)
            .await
            .map_err(|error| error.doing(format!("a command in container `{id}` cannot be run")))
    }

    /// The last `lines` lines that a container wrote.
    pub async fn last_words(&self, id: &str, lines: usize) -> Result<Vec<String>> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let words = bounded(PATIENCE, tail(self.docker.logs(id, Some(options))))
            .await
            .map_err(|error| error.doing(format!("the log of container `{id}` cannot be read")))?;
        let all: Vec<&str> = words.lines().collect();
        let from = all.len().saturating_sub(lines);
        Ok(all
            .iter()
            .skip(from)
            .map(|line| (*line).to_owned())
            .collect())
    }

    /// The memory that a container uses, without what is only cached; `None` for one that does not run, or where Docker cannot tell soon.
    pub async fn memory_of(&self, id: &str) -> Option<u64> {
        let asked = async {
            let state = self.inspect(id).await.ok()??.state?;
            if !state.running? || state.paused? {
                return None;
            }
            let path = format!(
                "/containers/{}/stats?stream=false&one-shot=true",
                encoded(id)
            );
            self.get_json(&path).await.ok()?
        };
        // One that is frozen may keep the engine waiting.
        let stats = tokio::time::timeout(SOON, asked).await.ok()??;
        let memory = stats.at("memory_stats");
        let used = memory.at("usage").as_u64()?;
        let of = |name: &str| memory.at("stats").at(name).as_u64();
        // The one of cgroup v1, the other of v2.
        let cached = of("total_inactive_file").or_else(|| of("inactive_file"));
        Some(used.saturating_sub(cached.unwrap_or_default()))
    }
}

async fn tail<E: Into<EngineError>>(
    output: impl Stream<Item = Result<LogOutput, E>>,
) -> Result<String, EngineError> {
    let mut output = std::pin::pin!(output);
    let mut kept: Vec<u8> = Vec::new();
    while let Some(part) = output.next().await {
        kept.extend_from_slice(part.map_err(Into::into)?.as_ref());
        if kept.len() > 2 * KEPT_BYTES {
            kept.drain(..kept.len() - KEPT_BYTES);
        }
    }
    let from = kept.len().saturating_sub(KEPT_BYTES);
    Ok(String::from_utf8_lossy(kept.get(from..).unwrap_or_default()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn a_command_tells_how_it_ended_and_what_it_said() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        let id = testing::run(&engine, "kdd-inside", &[]).await;
        let run = |command: &str| {
            let command = ["sh", "-c", command].map(str::to_owned);
            let (engine, id) = (engine.clone(), id.clone());
            async move {
                engine
                    .execute(
                        &id,
                        &Command {
                            words: &command,
                            ..Command::default()
                        },
                        Duration::from_secs(20),
                    )
                    .await
            }
        };
        let ended = run("echo out; echo err >&2; exit 7").await.unwrap();
        assert_eq!(ended.exit_code, 7);
        assert!(ended.said.contains("out") && ended.said.contains("err"));
        assert!(engine.memory_of(&id).await.is_some());
        engine.last_words(&id, 5).await.unwrap();
        testing::remove(&engine, &id).await;
        assert!(run("true").await.is_err());
        assert_eq!(engine.memory_of(&id).await, None);
    }
}
