//! Where the repository is: what is known of it when it fails, beside what Kopia says.

use std::time::Duration;

use super::login::login;
use super::peer::Sight;
use crate::base::paths::Paths;
use crate::base::text::{self, printable};
use crate::config::{Config, KopiaParams};
use crate::drivers::kopia::{Cause, cause_of};
use crate::drivers::{ssh, tailscale};
use crate::error::{Exit, Failure, Result, exit_of};

/// A storage that is there has answered by then.
const SLOW: Duration = Duration::from_secs(8);

/// For each question, when something is wrong already.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kopia writes some twenty mebibytes at once.
const FULL: u64 = 64 << 20;

#[derive(Clone)]
pub struct Site {
    paths: Paths,
    params: KopiaParams,
}

impl Site {
    pub fn of(paths: &Paths, config: &Config) -> Self {
        Self {
            paths: paths.clone(),
            params: config.kopia.kopia_params.clone(),
        }
    }

    /// What `opening` comes to, explained. A machine that is away, as the tailnet says, and that does not answer, is not waited for as long
    /// as Kopia would.
    pub async fn opened<T>(&self, opening: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            opened = opening => self.explained(opened).await,
            away = self.until_away() => Err(away.into()),
        }
    }

    /// An error with the reason for it, where it comes from the storage and the storage's machine tells more than Kopia.
    pub async fn explained<T>(&self, result: Result<T>) -> Result<T> {
        let error = match result {
            Err(error) if exit_of(&error) == Exit::Storage => error,
            result => return result,
        };
        let reason = match cause_of(&error) {
            Some(Cause::RefusedWrite) => self.full().await,
            Some(cause) if cause.is_refusal() => None,
            _ => self.silent().await,
        };
        match reason {
            Some(reason) => Err(reason.caused_by(error).into()),
            None => Err(error),
        }
    }

    async fn until_away(&self) -> Failure {
        loop {
            tokio::time::sleep(SLOW).await;
            if let Some(sight) = self.sight().await
                && let Some(failure) = obstacle(&sight)
                && !self.answers(&sight).await
            {
                return failure;
            }
        }
    }

    /// Why the machine of the tailnet that holds it cannot be reached.
    async fn silent(&self) -> Option<Failure> {
        let sight = self.sight().await?;
        if let Some(failure) = obstacle(&sight) {
            return Some(failure);
        }
        let peer = sight.peer()?;
        if self.answers(&sight).await {
            return None;
        }
        let name = printable(&peer.name);
        let what = format!("`{name}` is online in the tailnet, but does not answer");
        let remedy = format!(
            "see whether `{name}` hangs or has lost its network, and whether a rule of the tailnet keeps this host from it: `tailscale ping {name}`"
        );
        Some(Failure::new(Exit::Storage, what).hint(remedy))
    }

    /// Whatever the tailnet says: its control server may be behind, and there may be another way to the machine.
    async fn answers(&self, sight: &Sight) -> bool {
        let port = self.params.flag("port").and_then(|port| port.parse().ok());
        let listens = ssh::listens(&sight.host, port.unwrap_or(22), PATIENCE);
        let pong = async {
            match sight.peer() {
                Some(peer) => tailscale::ping(peer.address).await.is_some(),
                None => false,
            }
        };
        let (listens, pong) = tokio::join!(listens, pong);
        listens || pong
    }

    async fn sight(&self) -> Option<Sight> {
        let looking = Sight::of(&self.paths, &self.params);
        tokio::time::timeout(PATIENCE, looking).await.ok()?
    }

    /// A server that took a write badly says of its disk whether that is the reason.
    async fn full(&self) -> Option<Failure> {
        let login = login(&self.params)?;
        let folder = self.params.flag("path")?;
        let asking = ssh::free(&login, folder);
        let free = tokio::time::timeout(PATIENCE, asking).await.ok()??;
        if free >= FULL {
            return None;
        }
        let what = format!(
            "the disk of {} is full: {} free in `{}`",
            printable(&login.server.host),
            text::bytes(free),
            printable(folder)
        );
        let remedy = "free space there, then run it again";
        Some(Failure::new(Exit::Storage, what).hint(remedy))
    }
}

fn obstacle(sight: &Sight) -> Option<Failure> {
    let (what, remedy) = sight.obstacle()?;
    Some(Failure::new(Exit::Storage, what).hint(remedy))
}
