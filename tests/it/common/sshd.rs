//! A real OpenSSH server that knows SFTP only, with host keys of every type and a client that may log in by its key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::bed::path;
use super::run::Run;
use super::server::{Folder, Server};

const TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// Files of it: `id` (the client's key), `known_hosts` (every host key), `store` (a directory for repositories).
pub struct Sshd {
    pub server: Server,
    folder: Folder,
}

impl Sshd {
    #[track_caller]
    pub fn start() -> Self {
        let folder = Folder::new("sshd");
        for kind in TYPES {
            make_key(kind, &folder.path(format!("host_{kind}")));
        }
        make_key("ed25519", &folder.path("id"));
        fs::copy(folder.path("id.pub"), folder.path("authorized_keys")).unwrap();
        fs::create_dir(folder.path("store")).unwrap();
        // The directory that it gives up its rights in.
        fs::create_dir_all("/run/sshd").unwrap();
        let sshd = Self {
            server: serve(&folder, None),
            folder,
        };
        sshd.pin(&TYPES);
        sshd
    }

    /// At the same port, with the same keys and data.
    #[track_caller]
    pub fn restart(&mut self) {
        self.server.kill();
        self.server = serve(&self.folder, Some(self.server.port));
    }

    /// It comes up again with other host keys, as if somebody else had taken its address.
    #[track_caller]
    pub fn restart_with_other_keys(&mut self) {
        for kind in TYPES {
            let key = self.path(&format!("host_{kind}"));
            fs::remove_file(&key).unwrap();
            make_key(kind, &key);
        }
        self.restart();
    }

    /// Writes `known_hosts` with the host keys of `types`.
    pub fn pin(&self, types: &[&str]) {
        let line = |kind: &&str| {
            let key = fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
            format!("[127.0.0.1]:{} {key}", self.server.port)
        };
        let lines: String = types.iter().map(line).collect();
        fs::write(self.path("known_hosts"), lines).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// What it stores under `name` may have so many mebibytes and no more.
    pub fn mount_small(&self, name: &str, mebibytes: u32) -> PathBuf {
        self.folder.mount_small(&format!("store/{name}"), mebibytes)
    }

    /// `kopia_params` for the repository `name` in `store`.
    pub fn params(&self, name: &str) -> String {
        format!(
            "sftp --path sftp://root@127.0.0.1:{}{} {}",
            self.server.port,
            self.path("store").join(name).display(),
            self.files()
        )
    }

    /// The flags that name the client's files.
    pub fn files(&self) -> String {
        format!(
            "--keyfile {} --known-hosts {}",
            self.path("id").display(),
            self.path("known_hosts").display()
        )
    }
}

#[track_caller]
fn serve(folder: &Folder, port: Option<u16>) -> Server {
    Server::start("sshd", folder, port, |port| arguments(folder, port))
}

fn arguments(folder: &Folder, port: u16) -> Vec<String> {
    let mut text = String::new();
    for kind in TYPES {
        let key = folder.path(format!("host_{kind}"));
        text.push_str(&format!("HostKey {}\n", key.display()));
    }
    text.push_str(&format!(
        "ListenAddress 127.0.0.1\nPort {port}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         MaxStartups 100\nSubsystem sftp internal-sftp\nForceCommand internal-sftp\n",
        folder.path("authorized_keys").display()
    ));
    let config = folder.path("sshd_config");
    fs::write(&config, text).unwrap();
    ["-D", "-e", "-f"]
        .map(str::to_owned)
        .into_iter()
        .chain([config.display().to_string()])
        .collect()
}

/// A key pair without a passphrase, as `ssh-keygen` makes it.
#[track_caller]
pub fn make_key(kind: &str, file: &Path) {
    Run::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", "", "-f"])
        .arg(file)
        .env("PATH", path())
        .ok();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}
