//! The control server and its relay: headscale 0.27.1.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::host::{Daemon, Host};
use crate::common::ca::Tls;
use crate::common::poll;
use crate::common::run::Run;

const TIMEOUT: Duration = Duration::from_secs(60);
const ADDRESS: &str = "10.98.0.1";
const PORT: u16 = 8443;
const BRIDGE: &str = "bridge";
const USER: &str = "owner";
/// Of the names in MagicDNS.
pub const DOMAIN: &str = "tail.test";

pub struct Control {
    // Before the host: it may take its time to end.
    server: Option<Daemon>,
    host: Host,
    config: PathBuf,
    tls: Tls,
    key: String,
    cables: u8,
}

impl Control {
    #[track_caller]
    pub fn start(folder: &Path) -> Self {
        let host = Host::start("control", folder);
        host.shell(
            "ip link add \"$1\" type bridge && ip address add \"$2/24\" dev \"$1\" && ip link set \"$1\" up",
            &[BRIDGE, ADDRESS],
        );
        let tls = Tls::new(&folder.join("tls"), &format!("IP:{ADDRESS}"));
        let config = folder.join("config.yaml");
        fs::write(&config, configuration(folder, &tls)).unwrap();
        let mut control = Self {
            server: None,
            host,
            config,
            tls,
            key: String::new(),
            cables: 0,
        };
        control.serve();
        control.headscale(&["users", "create", USER]).text();
        let key = ["preauthkeys", "create", "--user", "1", "--reusable"];
        control.key = control.headscale(&key).text();
        control
    }

    #[track_caller]
    pub fn serve(&mut self) {
        let config = self.config.to_str().unwrap();
        let mut server = self
            .host
            .daemon("headscale", &["--config", config, "serve"], &[]);
        let answers = poll::within(TIMEOUT, || {
            (server.has_ended() || self.host.listens(PORT)).then_some(())
        });
        assert!(
            answers.is_some() && !server.has_ended(),
            "headscale does not start:\n{}",
            server.log()
        );
        self.server = Some(server);
    }

    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Where one logs in.
    pub fn url(&self) -> String {
        format!("https://{ADDRESS}:{PORT}")
    }

    /// With it a machine logs in that nobody has to let in.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn ca(&self) -> &Path {
        &self.tls.ca
    }

    /// The network of the process `pid` is on this one from now on. The cable's end here.
    #[track_caller]
    pub fn plug_in(&mut self, pid: i32) -> String {
        self.cables += 1;
        let name = format!("cable{}", self.cables);
        let address = format!("10.98.0.{}", 10 + self.cables);
        self.host.connect(BRIDGE, &name, pid, &address, ADDRESS);
        name
    }

    /// Whether anything goes through a cable.
    #[track_caller]
    pub fn set_cable(&self, name: &str, is_up: bool) {
        let state = if is_up { "up" } else { "down" };
        self.host.shell("ip link set \"$1\" \"$2\"", &[name, state]);
    }

    #[track_caller]
    pub fn expire(&self, name: &str) {
        let nodes = self.headscale(&["nodes", "list", "--output", "json"]);
        let nodes = nodes.stderr_any().json();
        let nodes = nodes.as_array().unwrap();
        let node = nodes.iter().find(|node| node["given_name"] == name);
        let id = &node.unwrap_or_else(|| panic!("no {name} in {nodes:#?}"))["id"];
        self.headscale(&["nodes", "expire", "--identifier", &id.to_string()])
            .text();
    }

    fn headscale(&self, args: &[&str]) -> Run {
        let run = self.host.run("headscale").arg("--config");
        run.arg(&self.config).args(args)
    }
}

/// No address in it is outside of its own network.
fn configuration(folder: &Path, tls: &Tls) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    serde_json::to_string_pretty(&serde_json::json!({
        "server_url": format!("https://{ADDRESS}:{PORT}"),
        "listen_addr": format!("{ADDRESS}:{PORT}"),
        "metrics_listen_addr": "127.0.0.1:9090",
        "grpc_listen_addr": "127.0.0.1:50443",
        "grpc_allow_insecure": true,
        "noise": { "private_key_path": file("noise.key") },
        "prefixes": { "v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48", "allocation": "sequential" },
        "derp": {
            "server": {
                "enabled": true,
                "region_id": 999,
                "region_code": "test",
                "region_name": "Test",
                "verify_clients": false,
                "stun_listen_addr": format!("{ADDRESS}:3478"),
                "private_key_path": file("derp.key"),
                "automatically_add_embedded_derp_region": true,
                "ipv4": ADDRESS,
            },
            "urls": [],
            "paths": [],
            "auto_update_enabled": false,
        },
        "disable_check_updates": true,
        "ephemeral_node_inactivity_timeout": "30m",
        "database": {
            "type": "sqlite",
            "sqlite": { "path": file("db.sqlite"), "write_ahead_log": true },
        },
        "tls_cert_path": tls.certificate,
        "tls_key_path": tls.key,
        "log": { "level": "info" },
        "dns": {
            "magic_dns": true,
            "base_domain": DOMAIN,
            "override_local_dns": false,
            "nameservers": { "global": [] },
        },
        "unix_socket": file("socket"),
        "unix_socket_permission": "0700",
        "logtail": { "enabled": false },
        "randomize_client_port": false,
    }))
    .unwrap()
}
