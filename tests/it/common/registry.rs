//! A registry for the images of an engine of a test's own: Debian's `docker-registry`, in the engine's network namespace.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::bed::{OwnEngine, path};
use super::poll;
use super::run::{Run, Running};
use super::world::World;

/// The namespace is the engine's own, so the port is always free.
const PORT: u16 = 5000;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Engines trust what is on their own loopback without TLS. It ends when it is dropped.
pub struct Registry {
    folder: PathBuf,
    _server: Running,
}

impl Registry {
    #[track_caller]
    pub fn start(world: &World, engine: &OwnEngine) -> Self {
        let folder = world.dir("registry");
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{PORT}'}}\n",
            folder.join("data").display()
        );
        fs::write(&config, text).unwrap();
        let net = format!("--net={}", engine.network_namespace().display());
        let server = Run::new("nsenter")
            .args([net.as_str(), "docker-registry", "serve"])
            .arg(&config)
            .env("PATH", path())
            .timeout(Duration::from_secs(600))
            .stdout_any()
            .stderr_any()
            .spawn();
        poll::until("the registry to answer", TIMEOUT, || {
            let probe = format!(": </dev/tcp/127.0.0.1/{PORT}");
            let run = Run::new("nsenter").args([net.as_str(), "bash", "-c", &probe]);
            let done = run.env("PATH", path()).stderr_any().run();
            (done.code == Some(0)).then_some(())
        });
        Self {
            folder,
            _server: server,
        }
    }

    /// What `name` is called in it.
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{PORT}/{name}")
    }

    /// Loses the image with this digest, `sha256:…`; tags that lead to others stay.
    pub fn forget(&self, name: &str, digest: &str) {
        let hash = digest.strip_prefix("sha256:").unwrap();
        let manifests = self
            .folder
            .join("data/docker/registry/v2/repositories")
            .join(name)
            .join("_manifests/revisions/sha256")
            .join(hash);
        fs::remove_dir_all(manifests).unwrap();
    }
}
