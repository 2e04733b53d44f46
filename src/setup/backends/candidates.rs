//! How near each peer is and how much is free there, all at once; one that does not answer does not block.

use std::cmp::Reverse;
use std::time::Duration;

use futures_util::future::join_all;

use crate::drivers::ssh;
use crate::drivers::tailscale::{self, Peer};

#[derive(Clone, Debug)]
pub struct Candidate {
    pub peer: Peer,
    pub latency: Option<Duration>,
    /// Bytes at `/`, for a peer that lets this host in already.
    pub free: Option<u64>,
}

/// The best first: online, near, roomy. `user` is who logs in to look.
pub async fn survey(peers: Vec<Peer>, user: &str) -> Vec<Candidate> {
    let candidates = peers.into_iter().map(async |peer| {
        let (latency, free) = if peer.is_online {
            tokio::join!(
                tailscale::ping(peer.address),
                ssh::disk_free(peer.address, user)
            )
        } else {
            (None, None)
        };
        Candidate {
            peer,
            latency,
            free,
        }
    });
    let mut candidates = join_all(candidates).await;
    rank(&mut candidates);
    candidates
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

#[cfg(test)]
mod tests {
    use super::*;

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
