//! The SSH server of a machine: OpenSSH as it comes, with commands, SFTP, passwords and keys, and users of its own.

use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;

use super::host::{Daemon, Host};
use super::node::private_dir;
use crate::common::poll;
use crate::common::run::Run;

const TIMEOUT: Duration = Duration::from_secs(60);
const PORT: u16 = 22;
const TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];
/// Who has no rights.
pub(super) const USER: &str = "keeper";
const USER_ID: u32 = 1500;
/// Of both.
pub(super) const PASSWORD: &str = "tailnet";

/// Its users get homes of this machine's, whatever there is; the rest of `/etc` stays.
const USERS: &str = r#"
sed -i "s|^root:.*|root:x:0:0:root:$1/root:/bin/bash|" /etc/passwd
echo "$2:x:$3:$3::$1/$2:/bin/sh" >>/etc/passwd
echo "$2:x:$3:" >>/etc/group
sed -i '/^root:/d' /etc/shadow
for user in root "$2"; do echo "$user:$4:20000:0:99999:7:::" >>/etc/shadow; done
"#;

/// Says something that is no SSH, and goes on listening.
const GARBAGE: &str = r#"
import socket
server = socket.create_server(("0.0.0.0", 22), backlog=100)
kept = []
while True:
    kept.append(server.accept()[0])
    kept[-1].sendall(b"HTTP/1.1 400 Bad Request\r\nServer: \x00\xff\x1b[31m\r\n\r\n" + bytes(range(256)) * 64 + b"\n")
"#;

pub struct Ssh {
    server: Option<Daemon>,
    host: Rc<Host>,
    sftp_only: bool,
}

impl Ssh {
    #[track_caller]
    pub(super) fn start(host: &Rc<Host>) -> Self {
        let folder = host.folder();
        for user in ["root", USER] {
            private_dir(&folder.join(user));
            private_dir(&folder.join(user).join(".ssh"));
        }
        fs::create_dir(folder.join("store")).unwrap();
        let hash = Run::new("openssl").args(["passwd", "-6", PASSWORD]);
        let hash = hash.env("PATH", crate::common::path()).text();
        let id = USER_ID.to_string();
        host.shell(USERS, &[folder.to_str().unwrap(), USER, &id, &hash]);
        // The directory that it gives up its rights in.
        fs::create_dir_all("/run/sshd").unwrap();
        let mut ssh = Self {
            server: None,
            host: Rc::clone(host),
            sftp_only: false,
        };
        ssh.make_host_keys();
        ssh.own(USER);
        ssh.serve();
        ssh
    }

    fn host_key(&self, kind: &str) -> PathBuf {
        self.host.folder().join(format!("host_{kind}"))
    }

    /// At the same time: that of RSA takes a second.
    #[track_caller]
    fn make_host_keys(&self) {
        let making = TYPES.map(|kind| {
            let key = self.host_key(kind);
            let _ = fs::remove_file(&key);
            let run = Run::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]);
            run.arg(key).env("PATH", crate::common::path()).spawn()
        });
        for key in making {
            key.ok();
        }
    }

    fn authorized_keys(&self, user: &str) -> PathBuf {
        self.host.folder().join(user).join(".ssh/authorized_keys")
    }

    /// What is below his home is his.
    fn own(&self, user: &str) {
        let home = self.host.folder().join(user);
        self.host
            .shell("chown -R \"$1:\" \"$2\"", &[user, home.to_str().unwrap()]);
    }

    #[track_caller]
    fn serve(&mut self) {
        self.stop();
        let mut text = format!(
            "Port {PORT}\nPidFile none\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication yes\n\
             KbdInteractiveAuthentication no\nPrintLastLog no\nPrintMotd no\nMaxStartups 100\nUseDNS no\nLogLevel VERBOSE\n\
             Subsystem sftp internal-sftp\n"
        );
        for kind in TYPES {
            text.push_str(&format!("HostKey {}\n", self.host_key(kind).display()));
        }
        if self.sftp_only {
            text.push_str("ForceCommand internal-sftp\n");
        }
        let config = self.host.folder().join("sshd_config");
        fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        // It wants to be called by its whole path, which the kit does.
        self.listen("sshd", &["-D", "-e", "-f", config]);
    }

    #[track_caller]
    fn listen(&mut self, program: &str, args: &[&str]) {
        let mut server = self.host.daemon(program, args, &[]);
        poll::within(TIMEOUT, || {
            (server.has_ended() || self.host.listens(PORT)).then_some(())
        });
        assert!(
            !server.has_ended() && self.host.listens(PORT),
            "{program} does not start:\n{}",
            server.log()
        );
        self.server = Some(server);
    }

    /// Lines of `known_hosts` with all of its host keys.
    pub fn known_as(&self, names: &str) -> String {
        let line = |kind: &&str| {
            let key = self.host_key(kind).with_extension("pub");
            format!("{names} {}", fs::read_to_string(key).unwrap())
        };
        TYPES.iter().map(line).collect()
    }

    /// `key`, as it is in a file `.pub`, lets one in as `user`.
    #[track_caller]
    pub fn authorize(&self, user: &str, key: &str) {
        let file = self.authorized_keys(user);
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, before + key).unwrap();
        self.own(user);
    }

    /// No key lets anyone in any more.
    pub fn refuse_keys(&self) {
        for user in ["root", USER] {
            let _ = fs::remove_file(self.authorized_keys(user));
        }
    }

    /// Nobody listens, and what was open is gone.
    pub fn stop(&mut self) {
        self.server = None;
        poll::until("the port to be free", TIMEOUT, || {
            (!self.host.listens(PORT)).then_some(())
        });
    }

    /// The server as it was, whatever was in its place.
    #[track_caller]
    pub fn restart(&mut self) {
        self.serve();
    }

    /// It takes connections, keeps those that it has, and says nothing.
    pub fn freeze(&self) {
        self.server.as_ref().unwrap().signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.server.as_ref().unwrap().signal(Signal::CONT);
    }

    /// Somebody else answers in its place.
    #[track_caller]
    pub fn answer_garbage(&mut self) {
        self.stop();
        self.listen("python3", &["-c", GARBAGE]);
    }

    /// As after a new installation.
    #[track_caller]
    pub fn change_host_keys(&mut self) {
        self.make_host_keys();
        self.serve();
    }

    /// As many a NAS: no command, no shell.
    #[track_caller]
    pub fn only_sftp(&mut self) {
        self.sftp_only = true;
        self.serve();
    }

    pub fn log(&self) -> String {
        self.server.as_ref().map(Daemon::log).unwrap_or_default()
    }
}
