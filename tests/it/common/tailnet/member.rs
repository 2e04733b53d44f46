//! What every machine of the tailnet knows of itself and of the others.

use std::time::Duration;

use serde_json::Value;

use super::control::{Control, DOMAIN};
use super::node::Node;
use crate::common::poll;
use crate::common::run::Run;

/// A peer is offline some ten seconds after it has gone.
pub const TIMEOUT: Duration = Duration::from_secs(60);

pub trait Member {
    fn name(&self) -> &str;

    /// Its own `tailscale`.
    fn tailscale(&self, args: &[&str]) -> Run;

    /// Its name in MagicDNS.
    fn dns_name(&self) -> String {
        format!("{}.{DOMAIN}", self.name())
    }

    #[track_caller]
    fn status(&self) -> Value {
        self.tailscale(&["status", "--json"]).json()
    }

    /// What it knows of another one.
    #[track_caller]
    fn peer(&self, other: &impl Member) -> Option<Value> {
        let status = self.status();
        let mut peers = status["Peer"].as_object()?.values();
        peers.find(|peer| peer["HostName"] == other.name()).cloned()
    }

    #[track_caller]
    fn until_sees(&self, other: &impl Member, online: bool) {
        let what = format!("{} to see {} online: {online}", self.name(), other.name());
        poll::until(&what, TIMEOUT, || {
            let peer = self.peer(other)?;
            (peer["Online"] == online).then_some(())
        });
    }

    /// Waits until it is logged in and has its control server.
    #[track_caller]
    fn until_online(&self) {
        self.until("its own Online", |status| status["Self"]["Online"] == true);
    }

    /// Waits until its status is as `is` wants it.
    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let mut last = None;
        let done = poll::within(TIMEOUT, || {
            let answer = self.tailscale(&["status", "--json"]).run();
            let status = serde_json::from_slice(answer.stdout_bytes()).unwrap_or_default();
            last = Some(answer);
            is(&status).then_some(())
        });
        if done.is_none() {
            panic!("{} has never {what}:\n{}", self.name(), last.unwrap());
        }
    }

    /// Waits until something goes there and back as all traffic does. After a restart that takes some seconds longer than being online.
    #[track_caller]
    fn until_reaches(&self, other: &Node) {
        let ping = ["ping", "--tsmp", "--c=60", "--timeout=1s"];
        let run = self.tailscale(&ping).arg(other.address());
        run.stdout("pong from").stderr_any().ok();
    }

    /// `tailscale up` with a key that needs nobody to agree.
    fn up_with(&self, control: &Control) -> Run {
        let run = self.tailscale(&["up", "--timeout=60s"]);
        run.arg(format!("--hostname={}", self.name()))
            .arg(format!("--login-server={}", control.url()))
            .arg(format!("--auth-key={}", control.key()))
            // Rules for packets are none of this.
            .arg("--netfilter-mode=off")
            .stdout_any()
            .stderr_any()
    }
}
