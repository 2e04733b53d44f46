//! Google's cloud storage as `fake-gcs-server` has it. It asks nobody who he is.

use std::fs;

use super::run::Run;
use super::server::{Folder, Server};

const BUCKET: &str = "bucket";

pub struct Gcs {
    pub server: Server,
    _folder: Folder,
}

impl Gcs {
    /// With a bucket.
    #[track_caller]
    pub fn start() -> Self {
        let folder = Folder::new("gcs");
        fs::create_dir_all(folder.path("data").join(BUCKET)).unwrap();
        let arguments = |port: u16| {
            let data = folder.path("data").display().to_string();
            let (host, port) = (format!("127.0.0.1:{port}"), port.to_string());
            let url = format!("http://{host}");
            let words = [
                "-scheme",
                "http",
                "-host",
                "127.0.0.1",
                "-port",
                &port,
                "-backend",
                "filesystem",
                "-filesystem-root",
                &data,
                "-public-host",
                &host,
                "-external-url",
                &url,
            ];
            words.map(str::to_owned).to_vec()
        };
        let server = Server::start("fake-gcs-server", &folder, None, arguments);
        Self {
            server,
            _folder: folder,
        }
    }

    pub fn params(&self, prefix: &str) -> String {
        self.params_in(BUCKET, prefix)
    }

    pub fn params_in(&self, bucket: &str, prefix: &str) -> String {
        format!("gcs --bucket {bucket} --prefix {prefix}")
    }

    /// `run` with the emulator in Google's place.
    pub fn reached_by(&self, run: Run) -> Run {
        run.env(
            "STORAGE_EMULATOR_HOST",
            format!("127.0.0.1:{}", self.server.port),
        )
    }
}
