//! How near a peer is.

use std::net::IpAddr;
use std::time::Duration;

use crate::drivers::tool::{self, Spec};

const DEADLINE: Duration = Duration::from_secs(10);

/// `None` when it does not answer in time.
pub async fn ping(address: IpAddr) -> Option<Duration> {
    let spec = Spec::new(&super::find().ok()?)
        .args(["ping", "--c=1", "--timeout=5s", "--until-direct=false"])
        .arg(address.to_string());
    let answer = tool::run(spec, DEADLINE).await.ok()?;
    parse(&String::from_utf8_lossy(&answer.stdout))
}

/// `pong from node2 (100.64.0.2) via 10.98.0.12:50323 in 1ms`, as Tailscale 1.96.5 prints it.
fn parse(text: &str) -> Option<Duration> {
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
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    #[test]
    fn latency_is_read_from_a_pong() {
        let pong = |time| format!("pong from node2 (100.64.0.2) via DERP(test) in {time}\n");
        for (time, milliseconds) in [("1ms", 1), ("0s", 0), ("1.5s", 1500)] {
            let expected = Some(Duration::from_millis(milliseconds));
            assert_eq!(parse(&pong(time)), expected, "{time}");
        }
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
