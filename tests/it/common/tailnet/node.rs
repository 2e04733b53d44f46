//! A machine of the tailnet, with what can happen to it.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::process::Signal;

use super::Shared;
use super::host::{Daemon, Host};
use super::member::{Member, TIMEOUT};
use super::ssh::{PASSWORD, Ssh, USER};
use crate::common::bed::{find, path};
use crate::common::poll;
use crate::common::run::{Run, Running};
use crate::common::sshd::make_key;

pub struct Node {
    // What runs on it ends before it, and its files go last.
    daemon: Option<Daemon>,
    /// The SSH server that it has from the start.
    pub ssh: Ssh,
    host: Rc<Host>,
    name: String,
    cable: String,
    is_relayed: bool,
    address: OnceCell<String>,
    shared: Rc<Shared>,
}

impl Node {
    /// What its users log in with who have no key.
    pub const PASSWORD: &str = PASSWORD;

    /// On the network; its daemon starts.
    #[track_caller]
    pub(super) fn new(shared: &Rc<Shared>, name: &str) -> Self {
        assert!(name.len() > 1, "headscale takes no name of one letter");
        let folder = shared.folder.path(name);
        let host = Rc::new(Host::start(name, &folder));
        let cable = shared.control.borrow_mut().plug_in(host.pid());
        // The program answers to this name as the client, and to `tailscaled` as the daemon.
        fs::create_dir(folder.join("bin")).unwrap();
        let program = find("tailscaled").expect("there is no `tailscaled` on PATH: run tests/bed/setup.sh and source the file that it names");
        private_dir(&folder.join("state"));
        symlink(program, folder.join("bin/tailscale")).unwrap();
        // Nobody answers there, and says so at once; Tailscale puts its own address in.
        host.write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
        host.write("/etc/hosts", &format!("127.0.0.1 localhost {name}\n"));
        host.shell(
            "sed -i 's/^hosts:.*/hosts: files dns/' /etc/nsswitch.conf",
            &[],
        );
        let daemon = spawn(&host, shared.control.borrow().ca(), false);
        // While the daemon starts.
        let ssh = Ssh::start(&host);
        make_key("ed25519", &folder.join("root/.ssh/id_ed25519"));
        Self {
            daemon: Some(daemon),
            ssh,
            host,
            name: name.to_owned(),
            cable,
            is_relayed: false,
            address: OnceCell::new(),
            shared: Rc::clone(shared),
        }
    }

    /// Its address in the tailnet, of the form `100.64.0.1`.
    #[track_caller]
    pub fn address(&self) -> &str {
        self.address
            .get_or_init(|| self.tailscale(&["ip", "-4"]).text())
    }

    /// `root` and `keeper` (the homes of its users), `store` (for repositories), `tailscaled.log`, `sshd.log`; the same path there and here.
    pub fn path(&self, name: &str) -> PathBuf {
        self.host.folder().join(name)
    }

    // ---- programs ----

    /// `run` on this machine: `node.inside(world.kd(&["check"]))`. Its `tailscale` comes first on PATH; its directory is `/`.
    pub fn inside(&self, run: Run) -> Run {
        let bin = self.path("bin").display().to_string();
        let script = "PATH=$0:$PATH && exec \"$@\"";
        run.under(["sh", "-c", script, &bin])
            .under(self.host.words())
    }

    /// `program` with the environment of a login as root.
    pub fn run(&self, program: &str) -> Run {
        self.inside(Run::new(program))
            .env("PATH", path())
            .env("HOME", self.path("root"))
            .env("LC_ALL", "C")
    }

    // ---- its daemon ----

    #[track_caller]
    fn start(&mut self) {
        let control = self.shared.control.borrow();
        self.daemon = Some(spawn(&self.host, control.ca(), self.is_relayed));
        drop(control);
        self.until_started();
    }

    #[track_caller]
    pub(super) fn until_started(&mut self) {
        let mut has_ended = false;
        let answers = poll::within(TIMEOUT, || {
            has_ended = self.daemon.as_mut()?.has_ended();
            let status = self.tailscale(&["status", "--json"]).run();
            (status.code == Some(0) || has_ended).then_some(())
        });
        if answers.is_none() || has_ended {
            let log = self.daemon.as_ref().map(Daemon::log);
            panic!("tailscaled does not start on {}:\n{log:?}", self.name);
        }
    }

    /// The daemon is killed: it answers nobody, here or there.
    pub fn offline(&mut self) {
        self.daemon = None;
    }

    /// The daemon is started again; logged in it is online after a moment.
    #[track_caller]
    pub fn online(&mut self) {
        self.start();
        self.until_online();
    }

    /// The daemon does nothing any more, and the kernel goes on taking what is sent to it.
    pub fn freeze(&self) {
        self.daemon.as_ref().unwrap().signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.daemon.as_ref().unwrap().signal(Signal::CONT);
    }

    /// Everything that it sends to others, and they to it, goes over the relay.
    #[track_caller]
    pub fn only_relayed(&mut self) {
        self.is_relayed = true;
        self.offline();
        self.online();
    }

    // ---- its network ----

    /// Its cable is pulled out: nobody is told.
    #[track_caller]
    pub fn unplug(&self) {
        self.shared.control.borrow().set_cable(&self.cable, false);
    }

    #[track_caller]
    pub fn plug(&self) {
        self.shared.control.borrow().set_cable(&self.cable, true);
    }

    // ---- its place in the tailnet ----

    /// Logs in, with a key that needs nobody to agree.
    #[track_caller]
    pub fn login(&self) {
        self.login_with(&[]).ok();
        self.until_online();
    }

    fn login_with(&self, more: &[&str]) -> Run {
        let control = self.shared.control.borrow();
        self.up_with(&control).args(more)
    }

    /// Logs in again while it is logged in: it has another key, and is the same machine.
    #[track_caller]
    pub fn renew_key(&self) {
        self.login_with(&["--force-reauth"]).ok();
        self.until_online();
    }

    #[track_caller]
    pub fn logout(&self) {
        self.tailscale(&["logout"]).stdout_any().stderr_any().ok();
    }

    /// Stopped, as by the operator.
    #[track_caller]
    pub fn down(&self) {
        self.tailscale(&["down"]).stdout_any().stderr_any().ok();
    }

    /// Takes it back.
    #[track_caller]
    pub fn up(&self) {
        // It wants to be told again what is not as it comes.
        self.login();
    }

    /// Asks until an answer comes the straight way.
    pub(super) fn spawn_ping(&self, other: &Self) -> Running {
        let ping = ["ping", "--c=30", "--timeout=1s", "--until-direct=true"];
        let run = self.tailscale(&ping).arg(other.address());
        run.stdout("pong from").stderr_any().spawn()
    }

    // ---- SSH and space ----

    /// `other` may log in here by its key, as root and as `keeper`.
    #[track_caller]
    pub fn let_in(&self, other: &Self) {
        let key = fs::read_to_string(other.path("root/.ssh/id_ed25519.pub")).unwrap();
        self.let_in_key(&key);
    }

    /// Who has `key`, as it is in a file `.pub`, may.
    #[track_caller]
    pub(super) fn let_in_key(&self, key: &str) {
        self.ssh.authorize("root", key);
        self.ssh.authorize(USER, key);
    }

    /// The host keys of `other` are those that it has now, by its name and its address.
    #[track_caller]
    pub fn pin(&self, other: &Self) {
        fs::write(self.path("root/.ssh/known_hosts"), other.host_keys()).unwrap();
    }

    /// The lines of `known_hosts` for it.
    #[track_caller]
    pub(super) fn host_keys(&self) -> String {
        let names = format!("{},{},{}", self.dns_name(), self.name, self.address());
        self.ssh.known_as(&names)
    }

    /// Whoever writes below the directory `name` has so many mebibytes. It can be seen on this machine alone.
    #[track_caller]
    pub fn mount_small(&self, name: &str, mebibytes: u32) -> PathBuf {
        let point = self.path(name);
        fs::create_dir_all(&point).unwrap();
        let size = format!("size={mebibytes}m");
        let args = [size.as_str(), point.to_str().unwrap()];
        self.host
            .shell("mount -t tmpfs -o \"$1\" tmpfs \"$2\"", &args);
        point
    }

    /// Takes all the space that is left where `point` is.
    #[track_caller]
    pub fn fill(&self, point: &Path) {
        let args = [point.to_str().unwrap()];
        self.host.shell("! cat /dev/zero >\"$1/filled\"", &args);
    }

    /// Gives back what [`fill`](Self::fill) took.
    #[track_caller]
    pub fn make_space(&self, point: &Path) {
        self.host
            .shell("rm \"$1/filled\"", &[point.to_str().unwrap()]);
    }
}

impl Member for Node {
    fn name(&self) -> &str {
        &self.name
    }

    fn tailscale(&self, args: &[&str]) -> Run {
        self.run("tailscale").args(args)
    }
}

#[track_caller]
fn spawn(host: &Host, ca: &Path, is_relayed: bool) -> Daemon {
    let state = host.folder().join("state").display().to_string();
    let ca = ca.display().to_string();
    // Without a directory for them, what its logs are called comes into `/var/lib/tailscale`.
    let mut envs = vec![("SSL_CERT_FILE", ca.as_str()), ("TS_LOGS_DIR", &state)];
    if is_relayed {
        envs.push(("TS_DEBUG_NEVER_DIRECT_UDP", "1"));
    }
    let statedir = format!("--statedir={state}");
    let args = ["--no-logs-no-support", "--tun=tailscale0", &statedir];
    host.daemon("tailscaled", &args, &envs)
}

/// A directory that is its owner's alone.
pub(super) fn private_dir(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}
