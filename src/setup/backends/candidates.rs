//! How near each peer is and how much is free there, all at once; one that does not answer does not block.

use std::cmp::Reverse;
use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::drivers::ssh;
use crate::drivers::tailscale::{self, Peer, Pong};

#[derive(Clone, Debug)]
pub struct Candidate {
    pub peer: Peer,
    pub pong: Option<Pong>,
    /// Bytes at `/`, for a peer that lets this host in already; or why that is not known.
    pub free: Result<u64, &'static str>,
}

/// The best first: online, near, roomy. `told` hears of each as it answers. `home` has the operator's keys.
pub async fn survey(peers: Vec<Peer>, home: &Path, told: impl Fn(&Candidate)) -> Vec<Candidate> {
    let looks = peers.into_iter().map(async |peer| {
        let (pong, free) = if peer.is_online && !peer.is_expired {
            tokio::join!(
                tailscale::ping(peer.address),
                ssh::disk_free(peer.address, home)
            )
        } else {
            (None, Err("offline"))
        };
        Candidate { peer, pong, free }
    });
    let mut looks: FuturesUnordered<_> = looks.collect();
    let mut candidates = Vec::new();
    while let Some(candidate) = looks.next().await {
        told(&candidate);
        candidates.push(candidate);
    }
    rank(&mut candidates);
    candidates
}

fn rank(candidates: &mut [Candidate]) {
    candidates.sort_by_key(|candidate| {
        (
            !candidate.peer.is_online,
            candidate.pong.is_none(),
            candidate.pong.as_ref().map(|pong| pong.latency),
            Reverse(candidate.free.ok()),
            candidate.peer.address,
        )
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_best_comes_first() {
        let peer = |name: &str, is_online| {
            let mut peer = tailscale::testing::peer("1", name);
            peer.is_online = is_online;
            peer
        };
        let candidate =
            |name: &str, is_online, latency: Option<u64>, free: Option<u64>| Candidate {
                peer: peer(name, is_online),
                pong: latency.map(|latency| Pong {
                    latency: Duration::from_millis(latency),
                    relay: None,
                }),
                free: free.ok_or("no answer"),
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
