//! Fetching an image from its registry, which may take hours: the only limit is how long nothing may arrive.
//!
//! Asked of the engine itself and not of `docker pull`: without a terminal that says nothing while a layer is on its way, so slow
//! cannot be told from stuck.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::engine::Engine;
use super::errors::EngineError;
use super::login::Login;
use crate::error::{Exit, Failure, Result};

/// The client's own limit ends with the first line of the answer; ours has to be the one that strikes.
const SLACK: Duration = Duration::from_secs(30);

/// How much of an image has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub bytes: u64,
    /// Of the layers that are known so far.
    pub of_bytes: u64,
}

impl Engine {
    /// Fetches `image`, a name with a tag or digest; for `platform`, such as `linux/arm64`, where that is not the engine's own. An
    /// error when nothing of it arrives for `patience`. Dropped, it ends the fetch.
    pub async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        login: Option<Login>,
        patience: Duration,
        mut say: impl FnMut(Arrived),
    ) -> Result<()> {
        let failed = |error: EngineError| error.doing(format!("image `{image}` cannot be pulled"));
        let options = CreateImageOptionsBuilder::new()
            .from_image(&with_tag(image))
            .platform(platform.unwrap_or_default())
            .build();
        let docker = self.docker.clone().with_timeout(patience + SLACK);
        let credentials = login.map(Login::into_credentials);
        let mut lines = std::pin::pin!(docker.create_image(Some(options), None, credentials));
        let mut layers = Layers::default();
        let mut deadline = Instant::now() + patience;
        loop {
            let line = match tokio::time::timeout_at(deadline, lines.next()).await {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(_) => return Err(silent(image, patience).into()),
            };
            let line = line.map_err(|error| match error {
                // What the registry said, in the middle of the answer.
                bollard::errors::Error::DockerStreamError { error } => {
                    anyhow::anyhow!("{error}").context(format!("image `{image}` cannot be pulled"))
                }
                error => failed(error.into()),
            })?;
            if layers.have_moved(line) {
                deadline = Instant::now() + patience;
                say(layers.arrived());
            }
        }
    }
}

fn silent(image: &str, patience: Duration) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!(
            "image `{image}` cannot be pulled: nothing of it has arrived for {} s (`backup.stall_timeout`)",
            patience.as_secs()
        ),
    )
    .hint("check the connection to its registry, then try `docker pull` by hand")
}

/// Without a tag the engine would fetch every tag that there is.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// What was said last of each layer.
#[derive(Default)]
struct Layers(HashMap<String, Layer>);

#[derive(Default)]
struct Layer {
    status: String,
    /// The most that was said with one status.
    current: i64,
    arrived: u64,
    total: u64,
}

impl Layers {
    /// Whether `line` says anything new: an engine with containerd's image store repeats the same figures ten times a second.
    fn have_moved(&mut self, line: CreateImageInfo) -> bool {
        let layer = self.0.entry(line.id.unwrap_or_default()).or_default();
        let status = line.status.unwrap_or_default();
        let (current, total) = line.progress_detail.map_or((0, 0), |detail| {
            (
                detail.current.unwrap_or_default(),
                detail.total.unwrap_or_default(),
            )
        });
        if status == "Downloading" {
            layer.arrived = layer.arrived.max(current.try_into().unwrap_or_default());
            layer.total = layer.total.max(total.try_into().unwrap_or_default());
        } else if !matches!(&*status, "Waiting" | "Pulling fs layer" | "Retrying") {
            layer.arrived = layer.total;
        }
        let has_moved = status != layer.status || current > layer.current;
        if has_moved {
            layer.status = status;
            layer.current = current;
        }
        has_moved
    }

    fn arrived(&self) -> Arrived {
        let sum = |of: fn(&Layer) -> u64| self.0.values().map(of).sum();
        Arrived {
            bytes: sum(|layer| layer.arrived),
            of_bytes: sum(|layer| layer.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;
    use crate::error::render;

    #[test]
    fn one_tag_is_fetched_and_never_all() {
        for (name, full) in [
            ("busybox", "busybox:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("a:1", "a:1"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(with_tag(name), full);
        }
    }

    /// An engine that answers a pull with `lines`, one every 300 ms, and then with silence or the end.
    fn engine_that_says(lines: Vec<String>, is_ended: bool) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                if request.contains("/version") {
                    let about = r#"{"Version": "28.0", "ApiVersion": "1.48"}"#;
                    let length = about.len();
                    write!(stream, "{head}Content-Length: {length}\r\n\r\n{about}").unwrap();
                } else if request.contains("/images/create") {
                    write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n").unwrap();
                    for line in &lines {
                        write!(stream, "{:x}\r\n{line}\r\n", line.len()).unwrap();
                        std::thread::park_timeout(Duration::from_millis(300));
                    }
                    if is_ended {
                        write!(stream, "0\r\n\r\n").unwrap();
                    }
                }
                kept.push(stream);
            }
        });
        (folder, path)
    }

    fn layer(status: &str, current: u64) -> String {
        format!(
            "{{\"id\":\"l\",\"status\":\"{status}\",\"progressDetail\":{{\"current\":{current},\"total\":1000}}}}\r\n"
        )
    }

    async fn pulled(lines: Vec<String>, is_ended: bool) -> (Result<()>, Arrived) {
        let (_folder, path) = engine_that_says(lines, is_ended);
        let engine = Engine::connect(&path).await.unwrap();
        let mut last = Arrived::default();
        let patience = Duration::from_secs(1);
        let pull = engine.pull("pg:16", None, None, patience, |arrived| last = arrived);
        (pull.await, last)
    }

    #[tokio::test]
    async fn slow_is_not_stuck_and_the_same_again_is_no_progress() {
        // Longer than the limit of silence, and each line is news.
        let slow = (1..8).map(|n| layer("Downloading", n * 100)).collect();
        let (result, arrived) = pulled(slow, true).await;
        result.unwrap();
        assert_eq!((arrived.bytes, arrived.of_bytes), (700, 1000));
        let stuck = vec![layer("Downloading", 100); 40];
        let (result, _) = pulled(stuck, false).await;
        let text = render(&result.unwrap_err());
        assert!(
            text.contains("nothing of it has arrived for 1 s (`backup.stall_timeout`)"),
            "{text}"
        );
        let (result, _) = pulled(Vec::new(), false).await;
        assert!(render(&result.unwrap_err()).contains("stall_timeout"));
    }

    #[tokio::test]
    async fn what_a_registry_refuses_is_quoted() {
        let refusal =
            r#"{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}"#;
        let (result, _) = pulled(vec![format!("{refusal}\r\n")], true).await;
        let text = render(&result.unwrap_err());
        assert!(
            text.contains("image `pg:16` cannot be pulled") && text.contains("manifest unknown"),
            "{text}"
        );
    }
}
