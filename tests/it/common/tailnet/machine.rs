//! A whole machine with systemd in the tailnet: `tailscaled.service` in it, as its package has it.

use std::fs;
use std::rc::Rc;

use super::Shared;
use super::member::Member;
use super::node::Node;
use crate::common::run::Run;
use crate::common::sshd::make_key;
use crate::common::systemd::Machine;

const UNIT: &str = "tailscaled.service";
/// That of Tailscale 1.96.5, which also says where its control server's certificate comes from, and that its logs go to nobody.
const SERVICE: &str = "[Unit]
Description=Tailscale node agent
Wants=network-pre.target
After=network-pre.target NetworkManager.service systemd-resolved.service

[Service]
Environment=SSL_CERT_FILE=/machine/tailnet.pem TS_LOGS_DIR=/var/lib/tailscale
ExecStart=/usr/sbin/tailscaled --state=/var/lib/tailscale/tailscaled.state --socket=/run/tailscale/tailscaled.sock --no-logs-no-support
ExecStopPost=/usr/sbin/tailscaled --cleanup
Restart=on-failure
RuntimeDirectory=tailscale
RuntimeDirectoryMode=0755
StateDirectory=tailscale
StateDirectoryMode=0700
CacheDirectory=tailscale
CacheDirectoryMode=0750
Type=notify

[Install]
WantedBy=multi-user.target
";

/// Where the wizard puts them.
const KEY: &str = "/root/.ssh/kopi-docka_ed25519";
const KNOWN_HOSTS: &str = "/root/.ssh/kopi-docka_known_hosts";

/// A [`Machine::with_tailscale`] that is logged in.
pub struct Joined<'a> {
    machine: &'a Machine,
    name: String,
    shared: Rc<Shared>,
}

impl<'a> Joined<'a> {
    #[track_caller]
    pub(super) fn new(shared: &Rc<Shared>, machine: &'a Machine, name: &str) -> Self {
        let joined = Self {
            machine,
            name: name.to_owned(),
            shared: Rc::clone(shared),
        };
        let ca = shared.control.borrow().ca().to_owned();
        fs::copy(ca, machine.shared("tailnet.pem")).unwrap();
        let unit = format!("/etc/systemd/system/{UNIT}");
        machine.write(&unit, "644", SERVICE);
        joined.plug_in();
        machine.systemctl(&["enable", UNIT]).stderr_any().ok();
        machine.systemctl(&["start", UNIT]).ok();
        joined.up_with(&shared.control.borrow()).ok();
        joined.until_online();
        joined
    }

    /// Its network has a cable, and its names are asked for where Tailscale says. Lost when the machine boots.
    #[track_caller]
    pub fn plug_in(&self) {
        let mut control = self.shared.control.borrow_mut();
        control.plug_in(self.machine.pid());
        // Docker has mounted its own over it. Nobody answers at this address, and says so at once.
        let names = "umount /etc/resolv.conf || :; echo nameserver 127.0.0.1 >/etc/resolv.conf";
        self.machine.sh(names).stderr_any().ok();
    }

    /// A key of its own lets it in at `other`, whose host keys it knows. `kopia_params` for a repository there.
    #[track_caller]
    pub fn repository_on(&self, other: &Node) -> String {
        self.until_sees(other, true);
        self.until_reaches(other);
        let key = self.machine.shared("key");
        make_key("ed25519", &key);
        other.let_in_key(&fs::read_to_string(key.with_extension("pub")).unwrap());
        let private = fs::read_to_string(key).unwrap();
        self.machine.write(KEY, "600", &private);
        self.machine.write(KNOWN_HOSTS, "600", &other.host_keys());
        format!(
            "sftp --path {} --host {} --username root --keyfile {KEY} --known-hosts {KNOWN_HOSTS}",
            other.path("store/repository").display(),
            other.dns_name(),
        )
    }
}

impl Member for Joined<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn tailscale(&self, args: &[&str]) -> Run {
        self.machine.exec(&["tailscale"]).args(args)
    }
}
