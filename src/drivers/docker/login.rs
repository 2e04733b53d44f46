//! What `docker login` has kept for a registry: read as the `docker` program reads it, and handed to the engine with a pull.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;

use crate::drivers::tool::{self, Input, Spec};
use crate::error::Result;

/// A key ring may ask its server.
const PATIENCE: Duration = Duration::from_secs(30);

/// Under which the logins for Docker Hub are kept.
const HUB: &str = "https://index.docker.io/v1/";

/// What a helper answers instead of a name when it is a token that it has.
const TOKEN: &str = "<token>";

/// Not `Debug`: it holds a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    server: String,
    user: String,
    secret: String,
    is_token: bool,
}

/// `config.json` of the `docker` program.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientConfig {
    auths: BTreeMap<String, Kept>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kept {
    /// Base64 of `user:password`.
    auth: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
}

/// What `docker-credential-… get` prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Login {
    /// The one for the registry of `image`; `None` when there is none, as for what anybody may fetch.
    pub async fn of(image: &str) -> Result<Option<Self>> {
        let Some(path) = config_path() else {
            return Ok(None);
        };
        let file = path.clone();
        // A home directory may be on a server that does not answer.
        let read = tokio::task::spawn_blocking(move || std::fs::read(file));
        let text = match tokio::time::timeout(PATIENCE, read).await?? {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
            }
        };
        let config: ClientConfig = serde_json::from_slice(&text)
            // Not the parser's words: they quote what they cannot read.
            .map_err(|_| anyhow::anyhow!("`{}` is damaged", path.display()))?;
        let server = server(image);
        let helper = config.cred_helpers.get(&server);
        let store = Some(&config.creds_store).filter(|store| !store.is_empty());
        match helper.or(store) {
            Some(helper) => Self::ask(helper, server).await,
            None => Ok(config.kept(server)),
        }
    }

    /// What the helper of a key ring has; `None` when it has none.
    async fn ask(helper: &str, server: String) -> Result<Option<Self>> {
        let program = format!("docker-credential-{helper}");
        let remedy = "`~/.docker/config.json` names it: install it, or `docker logout`";
        let pipe = tool::pipe()?;
        std::fs::File::from(pipe.writer).write_all(server.as_bytes())?;
        let mut spec = Spec::new(&tool::find(&program, remedy)?)
            .arg("get")
            .input(Input::Pipe(pipe.reader));
        for name in [
            "HOME",
            "USER",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
        ] {
            if let Some(value) = std::env::var_os(name) {
                spec = spec.env(name, value);
            }
        }
        let finished = tool::run(spec, PATIENCE).await?;
        let said = String::from_utf8_lossy(&finished.stdout);
        if !finished.ended.status.success() {
            if said.contains("credentials not found") {
                return Ok(None);
            }
            anyhow::bail!("{}: {}", finished.ended.describe(), said.trim());
        }
        let answer: Answer = serde_json::from_slice(&finished.stdout)
            .map_err(|_| anyhow::anyhow!("`{program}` answered something else than a login"))?;
        Ok(Some(Self {
            server,
            is_token: answer.username == TOKEN,
            user: answer.username,
            secret: answer.secret,
        }))
    }

    /// As the API takes it.
    pub fn into_credentials(self) -> DockerCredentials {
        let (user, password, token) = if self.is_token {
            (None, None, Some(self.secret))
        } else {
            (Some(self.user), Some(self.secret), None)
        };
        DockerCredentials {
            username: user,
            password,
            identitytoken: token,
            serveraddress: Some(self.server),
            ..DockerCredentials::default()
        }
    }
}

impl ClientConfig {
    fn kept(&self, server: String) -> Option<Login> {
        // Old ones are kept under an address with a path.
        let kept = self.auths.get(&server).or_else(|| {
            let mut all = self.auths.iter();
            let (_, kept) = all.find(|(address, _)| host_of(address) == server)?;
            Some(kept)
        })?;
        if !kept.identity_token.is_empty() {
            return Some(Login {
                server,
                secret: kept.identity_token.clone(),
                is_token: true,
                ..Login::default()
            });
        }
        let auth = BASE64_STANDARD.decode(&kept.auth).ok()?;
        let auth = String::from_utf8(auth).ok()?;
        let (user, secret) = auth.split_once(':')?;
        Some(Login {
            server,
            user: user.to_owned(),
            secret: secret.trim_end_matches('\0').to_owned(),
            is_token: false,
        })
    }
}

fn config_path() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// Under which the login for the registry of `image` is kept.
fn server(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _))
            if (first.contains(['.', ':']) || first == "localhost") && first != "docker.io" =>
        {
            first.to_owned()
        }
        _ => HUB.to_owned(),
    }
}

/// `https://host/v1/` → `host`
fn host_of(address: &str) -> &str {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_known_by_the_first_part_of_a_name() {
        for (image, expected) in [
            ("postgres:16", HUB),
            ("me/app@sha256:00", HUB),
            ("docker.io/me/app", HUB),
            ("ghcr.io/me/app:1", "ghcr.io"),
            ("localhost/app", "localhost"),
            ("nas:5000/app:1", "nas:5000"),
        ] {
            assert_eq!(server(image), expected, "{image}");
        }
    }

    #[test]
    fn logins_are_found_as_docker_keeps_them() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "bWU6YTpi"},
            "https://old.example/v2/": {"auth": "dTpw"},
            "token.example": {"identitytoken": "t", "auth": "bWU6"},
            "empty.example": {}
        }}"#;
        let config: ClientConfig = serde_json::from_str(config).unwrap();
        let found = |image: &str| {
            let login = config.kept(server(image))?.into_credentials();
            Some((login.username, login.password, login.identitytoken))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found("pg"), Some((some("me"), some("a:b"), None)));
        assert_eq!(found("old.example/x"), Some((some("u"), some("p"), None)));
        assert_eq!(found("token.example/x"), Some((None, None, some("t"))));
        assert_eq!(found("empty.example/x"), None);
        assert_eq!(found("other.example/x"), None);
    }
}
