//! The connection to the Docker engine.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::net::UnixStream;

use super::errors::EngineError;
use crate::error::{Exit, Failure, Result};

/// How long the engine may take to answer an ordinary question. A start can copy an image's files into a fresh
/// volume first, so this is generous.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to say who it is.
const GREETING: Duration = Duration::from_secs(10);

/// Docker 20.10: the first with everything that is asked here.
const OLDEST_API: (u32, u32) = (1, 41);

/// A connected engine. Cheap to clone; every request opens a connection of its own, so a restart of dockerd
/// costs the requests under way and no later ones.
#[derive(Clone, Debug)]
pub struct Engine {
    pub docker: Docker,
    pub socket: Arc<Path>,
    pub api: Arc<str>,
    version: Arc<str>,
    platform: Arc<str>,
}

impl Engine {
    /// Connects and checks that the engine is recent enough. Every error ends with [`Exit::Docker`].
    pub async fn connect(socket: &Path) -> Result<Self> {
        tokio::time::timeout(GREETING, greet(socket))
            .await
            .unwrap_or_else(|_| {
                Err(unreachable(
                    socket,
                    &format!("it did not answer within {} s", GREETING.as_secs()),
                )
                .into())
            })
    }

    /// The process that serves the socket, where that can be told: one in another process namespace has none here.
    pub async fn pid(&self) -> Option<i32> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        stream.peer_cred().ok()?.pid().filter(|pid| *pid > 0)
    }

    /// Such as `27.3.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Such as `linux/amd64`: what it runs when nothing else is asked for.
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// The API version that both sides speak, such as `1.47`.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// The same as numbers.
    pub fn api_number(&self) -> (u32, u32) {
        parse_api(&self.api).unwrap_or(OLDEST_API)
    }

    /// The socket it was reached at.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

async fn greet(socket: &Path) -> Result<Engine> {
    // The client reports a socket that refuses as a generic error; the plain system call tells why.
    if let Err(error) = UnixStream::connect(socket).await {
        return Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                Failure::new(Exit::Docker, denied(socket)).hint("run the command with `sudo`")
            }
            std::io::ErrorKind::NotFound => unreachable(socket, "the socket does not exist"),
            std::io::ErrorKind::ConnectionRefused => {
                unreachable(socket, "nothing listens on the socket")
            }
            _ => unreachable(socket, &error.to_string()),
        }
        .into());
    }
    let address = socket.to_str().ok_or_else(|| {
        Failure::new(
            Exit::Docker,
            format!("the socket's path `{}` is not UTF-8", socket.display()),
        )
    })?;
    let lost =
        |error: bollard::errors::Error| unreachable(socket, &EngineError::from(error).to_string());
    let docker = Docker::connect_with_unix(address, PATIENCE.as_secs(), API_DEFAULT_VERSION)
        .map_err(lost)?
        .negotiate_version()
        .await
        .map_err(lost)?;
    let about = docker.version().await.map_err(lost)?;
    let engine_api = about.api_version.unwrap_or_default();
    let version = about.version.unwrap_or_default();
    let platform = [about.os, about.arch].map(Option::unwrap_or_default);
    if parse_api(&engine_api).is_none_or(|api| api < OLDEST_API) {
        return Err(Failure::new(
            Exit::Docker,
            format!("Docker {version} (API {engine_api}) is too old: 20.10 (API 1.41) is the oldest that works"),
        )
        .hint("update Docker Engine: https://docs.docker.com/engine/install/")
        .into());
    }
    Ok(Engine {
        api: docker.client_version().to_string().into(),
        docker,
        socket: socket.into(),
        version: version.into(),
        platform: platform.join("/").into(),
    })
}

fn unreachable(socket: &Path, why: &str) -> Failure {
    Failure::new(
        Exit::Docker,
        format!("Docker cannot be reached at `{}`: {why}", socket.display()),
    )
    .hint("is Docker running? `systemctl start docker`")
    .hint("if its socket is elsewhere, set `docker.socket` in the configuration")
}

fn denied(socket: &Path) -> String {
    format!(
        "no permission to open Docker's socket `{}`",
        socket.display()
    )
}

/// `1.41` → `(1, 41)`
fn parse_api(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Bounds a request as a whole: the client's own limit ends with the answer's headers.
pub async fn bounded<T, E: Into<EngineError>>(
    limit: Duration,
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(EngineError::Silent {
            seconds: limit.as_secs(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::error::{exit_of, render};

    #[test]
    fn api_versions_are_compared_as_numbers() {
        assert!(parse_api("1.9").unwrap() < OLDEST_API);
        assert!(parse_api("1.100").unwrap() > OLDEST_API);
        assert_eq!(parse_api("docker"), None);
    }

    #[tokio::test]
    async fn a_missing_socket_says_what_to_do() {
        let error = Engine::connect(Path::new("/nonexistent/docker.sock"))
            .await
            .unwrap_err();
        assert_eq!(exit_of(&error), Exit::Docker);
        let text = render(&error);
        assert!(text.contains("the socket does not exist"), "{text}");
        assert!(text.contains("systemctl start docker"), "{text}");
        assert!(text.contains("docker.socket"), "{text}");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_reported_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = Engine::connect(&path).await.unwrap_err();
        assert!(error.to_string().contains("nothing listens"), "{error}");
        assert_eq!(exit_of(&error), Exit::Docker);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_never_answers_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = Engine::connect(&path).await.unwrap_err();
        assert!(error.to_string().contains("within 10 s"), "{error}");
    }

    #[tokio::test]
    async fn connects_to_the_real_engine() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        assert!(parse_api(engine.api()).unwrap() >= OLDEST_API);
        assert!(!engine.version().is_empty());
    }

    /// Says who it is, and hangs up on every other question.
    fn hangs_up(listener: std::os::unix::net::UnixListener, about: &str) {
        use std::io::{Read as _, Write as _};
        let length = about.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n{about}"
        );
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            if String::from_utf8_lossy(&request[..length]).contains("/version") {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_told_from_a_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::spawn(|| hangs_up(listener, r#"{"Version": "27.0", "ApiVersion": "1.45"}"#));
        let engine = Engine::connect(&path).await.unwrap();
        assert_eq!(engine.api(), "1.45");
        let errors = [
            engine.stop("a", 1).await.unwrap_err(),
            engine.start("a").await.unwrap_err(),
            engine.inspect("a").await.unwrap_err(),
            engine.running().await.unwrap_err(),
            engine.inventory().await.unwrap_err(),
            engine.raw_volume("a").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(exit_of(&error), Exit::Docker, "{error:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = engine.inspect("a").await.unwrap_err();
        assert_eq!(exit_of(&error), Exit::Docker, "{error:?}");
        let Some(engine) = testing::engine().await else {
            return;
        };
        let refused = engine.volume("a name that cannot be!").await;
        assert!(refused.is_ok_and(|volume| volume.is_none()));
    }

    #[tokio::test]
    async fn an_engine_that_is_too_old_is_refused_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::spawn(|| {
            hangs_up(listener, r#"{"Version": "19.03.15", "ApiVersion": "1.40"}"#)
        });
        let error = Engine::connect(&path).await.unwrap_err();
        assert_eq!(exit_of(&error), Exit::Docker);
        assert!(
            error
                .to_string()
                .contains("Docker 19.03.15 (API 1.40) is too old"),
            "{error}"
        );
    }
}
