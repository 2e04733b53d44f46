//! A machine of the tailnet: chosen from a list with what speaks for each, then SFTP like any other server.

use std::net::ToSocketAddrs as _;
use std::time::Duration;

use super::candidates::{Candidate, survey};
use super::{Answers, sftp};
use crate::base::text::{self, printable};
use crate::config::Config;
use crate::context::Context;
use crate::drivers::tailscale::{self, Peer};
use crate::error::{Exit, Failure, Result};
use crate::repository::peer;
use crate::ui::{prompt, table};

/// How long a name server may take.
const DEADLINE: Duration = Duration::from_secs(5);

pub async fn ask(cx: &Context, config: &Config) -> Result<Answers> {
    let tailnet = tailscale::tailnet().await?;
    if tailnet.is_outdated {
        cx.ui.warn(
            "Tailscale's control server cannot be reached: who is online may have changed since it was",
        );
    }
    let peers: Vec<Peer> = tailnet
        .peers
        .into_iter()
        .filter(|peer| peer.can_be_target)
        .collect();
    if peers.is_empty() {
        let what = "no other machine of this tailnet could hold a repository";
        return Err(Failure::new(Exit::Program, what)
            .hint("run `sudo tailscale up` on the machine that shall hold it")
            .into());
    }
    let asked = text::count(peers.len(), "machine");
    cx.ui.say(format!("Asking {asked} of the tailnet …"));
    let told = |candidate: &Candidate| cx.ui.say(format!("  {}", row(candidate).join("  ")));
    let looking = async { Ok(survey(peers, &cx.paths.home, told).await) };
    let candidates = cx.shutdown.cut("the look at the tailnet", looking).await?;
    let rows = candidates.iter().map(row);
    let header = ["Status", "Hostname", "IP", "Disk Free", "Latency"];
    cx.ui.say(table::table(header, &[3, 4], rows));
    let items = candidates.iter().map(|candidate| {
        let peer = &candidate.peer;
        format!("{} ({})", printable(&peer.name), peer.address)
    });
    let question = "Machine that holds the repository";
    let chosen = prompt::select(question, items.collect(), &cx.shutdown).await?;
    let host = match candidates.get(chosen) {
        Some(candidate) => Some(host(candidate).await),
        None => None,
    };
    sftp::ask(cx, config, host).await
}

fn row(candidate: &Candidate) -> [String; 5] {
    let peer = &candidate.peer;
    let status = match (peer.is_online, peer.is_expired) {
        (_, true) => "expired",
        (true, _) => "online",
        (false, _) => "offline",
    };
    let latency = match &candidate.pong {
        None if peer.is_online => "– (no answer)".to_owned(),
        None => "–".to_owned(),
        Some(pong) => {
            let latency = match pong.latency.as_millis() {
                0 => "< 1 ms".to_owned(),
                milliseconds => format!("{milliseconds} ms"),
            };
            match &pong.relay {
                Some(relay) => format!("{latency} (relayed by {relay})"),
                None => latency,
            }
        }
    };
    let free = match candidate.free {
        Ok(free) => text::bytes(free),
        Err(_) if !peer.is_online => "–".to_owned(),
        Err(why) => format!("– ({why})"),
    };
    [
        status.to_owned(),
        printable(&peer.name),
        peer.address.to_string(),
        free,
        latency,
    ]
}

/// A repository on a machine of this tailnet: which one that is, so that another one in its place is noticed.
pub async fn remember(cx: &Context, host: &str) {
    let Ok(tailnet) = tailscale::tailnet().await else {
        return;
    };
    if let Some(peer) = tailnet.peer(host)
        && let Err(error) = peer::remember(&cx.paths, host, peer)
    {
        cx.ui.warn(format!("{error:#}"));
    }
}

/// Its name, which stays when its address changes; the address when this host does not ask MagicDNS.
async fn host(candidate: &Candidate) -> String {
    let address = candidate.peer.address.to_string();
    let Some(name) = candidate.peer.dns_name.clone() else {
        return address;
    };
    let asked = (name.clone(), 22);
    let resolved = tokio::task::spawn_blocking(move || asked.to_socket_addrs().is_ok());
    match tokio::time::timeout(DEADLINE, resolved).await {
        Ok(Ok(true)) => name.to_lowercase(),
        _ => address,
    }
}
