//! Images are fetched before anything is started: some GB over a slow line take as long as they take, and the limit of `up`
//! ([`docker.compose_timeout`](crate::config)) is for what comes after.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Rebuilding;
use super::images::ImagePlan;
use crate::base::shutdown::Shutdown;
use crate::base::text;
use crate::base::text::printable;
use crate::drivers::docker::ComposeUp;
use crate::drivers::docker::json::Json as _;
use crate::drivers::docker::{Arrived, Engine, Login};
use crate::error::Result;
use crate::points::saved::{fields, text as string};

/// Between two lines about one image.
const PAUSE: Duration = Duration::from_secs(10);

/// Fetches `image`, a name with a tag or a digest, with what `docker login` has kept; for `platform` (`linux/arm64`) where that is
/// not the engine's own. It is given up when nothing of it arrives for `patience` (`backup.stall_timeout`), or a signal comes.
pub async fn pull(
    engine: &Engine,
    image: &str,
    platform: Option<&str>,
    patience: Duration,
    shutdown: &Shutdown,
    say: impl Fn(&str),
) -> Result<()> {
    let name = printable(image);
    say(&format!("Pulling image `{name}`"));
    let login = match Login::of(image).await {
        Ok(login) => login,
        Err(error) => {
            // Most images need none.
            say(&format!("No login for image `{name}`: {error:#}"));
            None
        }
    };
    let mut told = Instant::now();
    let work = engine.pull(image, platform, login, patience, |arrived| {
        if told.elapsed() >= PAUSE {
            told = Instant::now();
            say(&progress(&name, arrived));
        }
    });
    shutdown.cut(&format!("the pull of `{name}`"), work).await
}

impl Rebuilding<'_, '_> {
    /// Carries out what brings a saved image here: a pull, and the name that it had.
    pub(super) async fn fetch(&self, image: &ImagePlan) -> Result<()> {
        for args in &image.fetch {
            match args.as_slice() {
                [word, name] if word == "pull" => {
                    if self.ground.engine.image(name).await?.is_none() {
                        self.pull(name, None).await?;
                    }
                }
                [word, _, platform, name] if word == "pull" => {
                    self.pull(name, Some(platform)).await?;
                }
                _ => self.docker(args).await?,
            }
        }
        Ok(())
    }

    /// What `up` would still have to fetch: what else the compose files name. `config` is as `docker compose config` prints it.
    pub(super) async fn fetch_for(&self, up: &ComposeUp, config: &Value) -> Result<()> {
        for (image, platform) in pulled_by(up, config) {
            if self.ground.engine.image(image).await?.is_none() {
                self.pull(image, platform).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn pull(&self, image: &str, platform: Option<&str>) -> Result<()> {
        pull(
            &self.ground.engine,
            image,
            platform,
            self.ground.config.backup.stall_timeout,
            &self.ground.cx.shutdown,
            |line| self.window.reporter.say(line),
        )
        .await
    }
}

/// The images of what `up` starts that come from a registry, each with the platform that it is wanted for.
fn pulled_by<'a>(up: &ComposeUp, config: &'a Value) -> Vec<(&'a str, Option<&'a str>)> {
    let services = fields(config.at("services"))
        .filter(|(name, _)| up.services.is_empty() || up.services.contains(name))
        .map(|(_, service)| service);
    let pulled = services.filter(|service| {
        let policy = string(service.at("pull_policy"));
        service.at("build").is_null()
            && !matches!(policy, "never" | "build")
            && !string(service.at("image")).is_empty()
    });
    let mut images: Vec<(&str, Option<&str>)> = pulled
        .map(|service| (string(service.at("image")), service.at("platform").as_str()))
        .collect();
    images.sort_unstable();
    images.dedup();
    images
}

fn progress(name: &str, arrived: Arrived) -> String {
    format!(
        "Pulling image `{name}`: {} of {}",
        text::bytes(arrived.bytes),
        text::bytes(arrived.of_bytes)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_built_here_or_must_not_be_fetched_is_not_pulled() {
        let config = json!({"services": {
            "db": {"image": "pg:16"},
            "copy": {"image": "pg:16"},
            "arm": {"image": "pg:16", "platform": "linux/arm64"},
            "web": {"image": "web", "build": {"context": "."}},
            "own": {"image": "own:1", "pull_policy": "never"},
            "nothing": {"build": {"context": "."}},
        }});
        assert_eq!(
            pulled_by(&ComposeUp::default(), &config),
            [("pg:16", None), ("pg:16", Some("linux/arm64"))]
        );
    }
}
