//! How near each peer is and how much is free there, all at once; one that does not answer keeps nobody waiting.

use std::cmp::Reverse;
use std::time::Duration;

use futures_util::future::join_all;

use super::status::Peer;
use crate::drivers::ssh;
use crate::drivers::tool::{self, Spec};
use crate::error::Result;

const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Candidate {
    pub peer: Peer,
    pub latency: Option<Duration>,
    /// Bytes at `/`, for a peer that lets this host in already.
    pub free: Option<u64>,
}

/// The best first: online, near, roomy. `user` is who logs in to look.
pub async fn survey(peers: Vec<Peer>, user: &str) -> Result<Vec<Candidate>> {
    let program = super::find()?;
    let candidates = peers.into_iter().map(async |peer| {
        let (mut latency, mut free) = (None, None);
        if peer.is_online {
            let ping = Spec::new(&program)
                .args(["ping", "--c=1", "--timeout=5s", "--until-direct=false"])
                .arg(peer.address.to_string());
            let ping = tool::run(ping, DEADLINE);
            let (pinged, told) = tokio::join!(ping, disk_free(&peer, user));
            latency = pinged
                .ok()
                .and_then(|answer| parse_ping(&String::from_utf8_lossy(&answer.stdout)));
            free = told;
        }
        Candidate {
            peer,
            latency,
            free,
        }
    });
    let mut candidates = join_all(candidates).await;
    rank(&mut candidates);
    Ok(candidates)
}

fn rank(candidates: &mut [Candidate]) {
    candidates.sort_by_key(|candidate| {
        (
            !candidate.peer.is_online,
            candidate.latency.is_none(),
            candidate.latency,
            Reverse(candidate.free),
            candidate.peer.address,
        )
    });
}

/// With whatever key or rule lets the operator in already. Nothing is sent there but the question, so who answers need not be
/// known yet: its keys are pinned once it is chosen.
async fn disk_free(peer: &Peer, user: &str) -> Option<u64> {
    let program = tool::find("sftp", "").ok()?;
    let host = match peer.address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    };
    let options = [
        "BatchMode=yes",
        "ConnectTimeout=5",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "ForwardAgent=no",
        "LogLevel=ERROR",
    ];
    let mut spec = Spec::new(&program).args(["-b", "-"]);
    for option in options {
        spec = spec.args(["-o", option]);
    }
    spec = spec.arg("-o").arg(format!("User={user}"));
    if let Some(agent) = std::env::var_os("SSH_AUTH_SOCK") {
        spec = spec.env("SSH_AUTH_SOCK", agent);
    }
    let finished = ssh::feed(spec.arg("--").arg(host), "df /\n", DEADLINE).await;
    ssh::parse_df(&String::from_utf8_lossy(&finished.ok()?.stdout))
}

/// `pong from node2 (100.64.0.2) via 10.98.0.12:50323 in 1ms`, as Tailscale 1.96.5 prints it.
fn parse_ping(text: &str) -> Option<Duration> {
    let line = text.lines().find(|line| line.starts_with("pong from "))?;
    let (_, time) = line.rsplit_once(" in ")?;
    let time = time.trim();
    let unit_at = time.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = time.split_at(unit_at);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_read_from_a_pong() {
        let pong = |time| format!("pong from node2 (100.64.0.2) via DERP(test) in {time}\n");
        for (time, milliseconds) in [("1ms", 1), ("0s", 0), ("1.5s", 1500)] {
            let expected = Some(Duration::from_millis(milliseconds));
            assert_eq!(parse_ping(&pong(time)), expected, "{time}");
        }
        for text in [
            "no reply\n",
            "pong from x in y",
            "ping \"100.64.0.3\" timed out",
        ] {
            assert_eq!(parse_ping(text), None, "{text}");
        }
    }

    #[test]
    fn the_best_comes_first() {
        let candidate = |name: &str, is_online, latency: Option<u64>, free| Candidate {
            peer: Peer {
                name: name.to_owned(),
                dns_name: None,
                address: "100.64.0.1".parse().unwrap(),
                is_online,
            },
            latency: latency.map(Duration::from_millis),
            free,
        };
        let mut candidates = [
            candidate("offline", false, None, None),
            candidate("silent", true, None, None),
            candidate("far", true, Some(80), Some(1 << 40)),
            candidate("near-small", true, Some(2), Some(1)),
            candidate("near-large", true, Some(2), Some(1 << 30)),
        ];
        rank(&mut candidates);
        let names = candidates.map(|candidate| candidate.peer.name);
        assert_eq!(
            names,
            ["near-large", "near-small", "far", "silent", "offline"]
        );
    }
}
