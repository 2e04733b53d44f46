//! A machine of the tailnet: chosen from a list with what speaks for each, then SFTP like any other server.

use std::net::ToSocketAddrs as _;
use std::time::Duration;

use super::candidates::{Candidate, survey};
use super::{Answers, sftp};
use crate::base::text::{self, printable};
use crate::config::Config;
use crate::context::Context;
use crate::drivers::tailscale;
use crate::error::Result;
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
    cx.ui.say("Asking the peers …");
    let candidates = survey(tailnet.peers, "root").await;
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
    let unknown = || "–".to_owned();
    [
        if peer.is_online { "online" } else { "offline" }.to_owned(),
        peer.name.clone(),
        peer.address.to_string(),
        candidate.free.map_or_else(unknown, text::bytes),
        candidate
            .latency
            .map_or_else(unknown, |latency| format!("{} ms", latency.as_millis())),
    ]
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
