//! A repository on a machine of the tailnet: that it is the machine that was chosen, how it is reached, that it lets this host in, and how
//! much is free there.

use super::finding::Finding;
use crate::base::text::{self, printable};
use crate::config::{Config, KopiaParams};
use crate::context::Context;
use crate::drivers::ssh::{self, HostKeys, Login, Refusal};
use crate::drivers::tailscale::{self, Pong};
use crate::error::Exit;
use crate::repository::login;
use crate::repository::peer::Sight;

pub const AREA: &str = "tailnet";

/// With less, the next backup may not fit.
const LITTLE: u64 = 1 << 30;

pub async fn check(cx: &Context, config: Option<&Config>) -> Vec<Finding> {
    let Some(config) = config else {
        return Vec::new();
    };
    let params = &config.kopia.kopia_params;
    let Some(sight) = Sight::of(&cx.paths, params).await else {
        return Vec::new();
    };
    if let Some((what, remedy)) = sight.obstacle() {
        return vec![Finding::failure(AREA, Exit::Storage, what).remedy(remedy)];
    }
    let Some(peer) = sight.peer() else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if let Some((known, peer)) = sight.replaced() {
        let message = format!(
            "`{}` is another machine than the one that was chosen (`{}`): it was replaced, or another one has its name",
            printable(&peer.name),
            printable(&known.name)
        );
        let remedy = "if that was meant, choose it again with `kopi-docka new-config --force`";
        findings.push(Finding::warning(AREA, message).remedy(remedy));
    }
    let (pong, login) = tokio::join!(tailscale::ping(peer.address), by_ssh(&sight.host, params));
    let is_outdated = sight
        .tailnet
        .as_ref()
        .is_ok_and(|tailnet| tailnet.is_outdated);
    findings.push(reached(&printable(&peer.name), pong, is_outdated));
    findings.extend(login);
    findings
}

/// A control server that is down keeps nobody from an answering machine.
fn reached(name: &str, pong: Option<Pong>, is_outdated: bool) -> Finding {
    let note = if is_outdated {
        "; the control server of the tailnet cannot be reached, so nothing new is known of its machines"
    } else {
        ""
    };
    let Some(pong) = pong else {
        let message = format!("`{name}` does not answer in the tailnet{note}");
        let remedy = "check that it runs and that no rule of the tailnet keeps this host from it: `tailscale ping`";
        return Finding::failure(AREA, Exit::Storage, message).remedy(remedy);
    };
    let latency = pong.latency.as_millis();
    match pong.relay {
        None => Finding::ok(
            AREA,
            format!("`{name}` answers directly in {latency} ms{note}"),
        ),
        Some(relay) => {
            let message = format!(
                "`{name}` answers in {latency} ms, but only through the relay `{relay}`: backups and restores are much slower{note}"
            );
            Finding::warning(AREA, message).remedy(
                "let UDP through between the two (port 41641, or UPnP on the router): `tailscale netcheck` shows what is in the way",
            )
        }
    }
}

/// As Kopia logs in. Nothing where Kopia leaves that to the host's `ssh`, or where files are not named.
async fn by_ssh(host: &str, params: &KopiaParams) -> Option<Finding> {
    let login = login(params)?;
    let failure = |what: String| Finding::failure(AREA, Exit::Storage, what);
    match ssh::prove(&login).await {
        Ok(()) => {}
        Err(Refusal::Key) => {
            let message = format!(
                "{host} does not take the key `{}` for `{}`",
                login.key.display(),
                login.server.user
            );
            let remedy = "install it again: `kopi-docka new-config --force`, or add its `.pub` to `authorized_keys` there";
            return Some(failure(message).remedy(remedy));
        }
        Err(Refusal::Other(error)) => {
            return Some(match changed_keys(&login).await {
                Some(message) => Finding::failure(AREA, Exit::WrongPassword, message).remedy(
                    "if you know why, run `kopi-docka init` at a terminal: it asks whether the new ones are right",
                ),
                None => Finding::of_error(AREA, &error),
            });
        }
    }
    let folder = params.flag("path")?;
    let free = ssh::free(&login, folder).await?;
    let message = format!(
        "{host} lets this host in; {} free in `{}`",
        text::bytes(free),
        printable(folder)
    );
    Some(if free < LITTLE {
        Finding::warning(AREA, message).remedy("free space there")
    } else {
        Finding::ok(AREA, message)
    })
}

/// That the server shows other keys than the known ones, with both.
async fn changed_keys(login: &Login) -> Option<String> {
    let shown = ssh::scan(&login.server).await.ok()?;
    let pinned = HostKeys::pinned(&login.known_hosts, &login.server).ok()??;
    if shown == pinned {
        return None;
    }
    let of = async |keys: &HostKeys| {
        let lines = keys.fingerprints(&login.server).await.unwrap_or_default();
        lines
            .iter()
            .map(|line| printable(line))
            .collect::<Vec<_>>()
            .join(", ")
    };
    Some(format!(
        "{} shows other host keys than the known ones: it was reinstalled, or another machine answers in its place. Known: {}. Now: {}",
        login.server.host,
        of(&pinned).await,
        of(&shown).await
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_relayed_machine_is_warned_of_and_a_lost_control_server_is_not() {
        let pong = |relay: Option<&str>| {
            Some(Pong {
                latency: Duration::from_millis(40),
                relay: relay.map(str::to_owned),
            })
        };
        let direct = reached("nas", pong(None), true);
        assert_eq!(direct.state, State::Ok);
        assert!(
            direct.message.contains("control server"),
            "{}",
            direct.message
        );
        let relayed = reached("nas", pong(Some("fra")), false);
        assert_eq!(relayed.state, State::Warning);
        assert!(relayed.message.contains("relay `fra`"));
        assert_eq!(reached("nas", None, false).state, State::Failure);
    }
}
