//! How near a peer is.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::text::printable;
use crate::drivers::tool::{self, Spec};

/// For all tries: each may take a second.
const DEADLINE: Duration = Duration::from_secs(5);

/// The first ones may go through a relay while the way to the peer is looked for.
const TRIES: &str = "--c=3";

/// An answer of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    pub latency: Duration,
    /// Of the relay that everything goes through; `None` for a direct way.
    pub relay: Option<String>,
}

/// `None` when it does not answer in time.
pub async fn ping(address: IpAddr) -> Option<Pong> {
    let spec = Spec::new(&super::find().ok()?)
        .args(["ping", TRIES, "--timeout=1s", "--until-direct=true"])
        .arg(address.to_string());
    let answer = tool::run(spec, DEADLINE).await.ok()?;
    parse(&String::from_utf8_lossy(&answer.stdout))
}

/// The last `pong from node2 (100.64.0.2) via 10.98.0.12:50323 in 1ms` or `… via DERP(test) in 1ms`, as Tailscale 1.96.5 prints it.
fn parse(text: &str) -> Option<Pong> {
    let mut lines = text.lines().rev();
    let last = lines.find(|line| line.starts_with("pong from "))?;
    let (way, time) = last.rsplit_once(" in ")?;
    let (_, way) = way.rsplit_once(" via ")?;
    // `peer-relay(…)` is a relay too, of the tailnet's own.
    let relay = ["DERP(", "peer-relay("]
        .iter()
        .find_map(|kind| way.strip_prefix(kind)?.strip_suffix(')'));
    Some(Pong {
        latency: latency(time.trim())?,
        relay: relay.map(printable),
    })
}

fn latency(time: &str) -> Option<Duration> {
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
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    #[test]
    fn latency_is_read_from_a_pong() {
        let pong =
            |way: &str, time: &str| format!("pong from node2 (100.64.0.2) via {way} in {time}\n");
        for (time, milliseconds) in [("1ms", 1), ("0s", 0), ("1.5s", 1500)] {
            let found = parse(&pong("DERP(test)", time)).unwrap();
            assert_eq!(found.latency, Duration::from_millis(milliseconds), "{time}");
            assert_eq!(found.relay.as_deref(), Some("test"));
        }
        let direct = pong("DERP(test)", "80ms") + &pong("10.98.0.12:50323", "1ms");
        assert_eq!(parse(&direct).unwrap().relay, None, "the last one counts");
        let relayed = pong("DERP(test)", "80ms") + "direct connection not established\n";
        assert!(parse(&relayed).unwrap().relay.is_some());
        for text in [
            "no reply\n",
            "pong from x in y",
            "ping \"100.64.0.3\" timed out",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it(text in damaged_text("pong from node2 (100.64.0.2) via 10.98.0.12:50323 in 1ms\n")) {
            let _ = parse(&text);
        }
    }
}
