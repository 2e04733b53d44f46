//! A real S3 server over a folder: versitygw. It checks signatures and the region, and its certificate is of a CA of its own.

use std::fs;
use std::path::PathBuf;

use super::ca::Tls;
use super::run::Run;
use super::server::{Folder, Server};

pub const KEY_ID: &str = "AKROOT";
pub const SECRET: &str = "SKROOT-secret-of-s3";
const REGION: &str = "eu-test-1";
pub const BUCKET: &str = "bucket";

pub struct S3 {
    pub server: Server,
    pub tls: Tls,
    folder: Folder,
}

impl S3 {
    /// With a bucket.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_in(Folder::new("s3"))
    }

    /// One that has so many mebibytes and no more.
    #[track_caller]
    pub fn start_small(mebibytes: u32) -> Self {
        let folder = Folder::new("s3");
        folder.mount_small("root", mebibytes);
        Self::start_in(folder)
    }

    #[track_caller]
    fn start_in(folder: Folder) -> Self {
        let tls = Tls::new(&folder.path("tls"), "IP:127.0.0.1");
        for name in ["iam", "side"] {
            fs::create_dir(folder.path(name)).unwrap();
        }
        fs::create_dir_all(folder.path("root").join(BUCKET)).unwrap();
        let server = serve(&folder, &tls, None, SECRET);
        Self {
            server,
            tls,
            folder,
        }
    }

    /// At the same port, with the same data.
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_with(SECRET);
    }

    /// As [`S3::restart`], with another secret key.
    #[track_caller]
    pub fn restart_with(&mut self, secret: &str) {
        self.server.kill();
        let port = Some(self.server.port);
        self.server = serve(&self.folder, &self.tls, port, secret);
    }

    /// Where the server keeps a bucket: a directory, and each object in it a file.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.folder.path("root").join(name)
    }

    /// `kopia_params` for the repository at `prefix` in `bucket`.
    pub fn params(&self, bucket: &str, prefix: &str) -> String {
        format!(
            "{} --root-ca-pem-path {}",
            self.params_without_ca(bucket, prefix),
            self.tls.ca.display()
        )
    }

    pub fn params_without_ca(&self, bucket: &str, prefix: &str) -> String {
        format!(
            "s3 --bucket {bucket} --endpoint 127.0.0.1:{} --region {REGION} --prefix {prefix}",
            self.server.port
        )
    }
}

/// What an operator puts into the environment.
pub fn with_keys(run: Run) -> Run {
    run.env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
}

#[track_caller]
fn serve(folder: &Folder, tls: &Tls, port: Option<u16>, secret: &str) -> Server {
    let arguments = |port| {
        // It works in its root: every path has to be absolute.
        let path = |name: &str| folder.path(name).display().to_string();
        let file = |file: &PathBuf| file.display().to_string();
        let port = format!("127.0.0.1:{port}");
        let words = [
            "--port",
            &port,
            "--access",
            KEY_ID,
            "--secret",
            secret,
            "--region",
            REGION,
            "--iam-dir",
            &path("iam"),
            "--quiet",
            "--cert",
            &file(&tls.certificate),
            "--key",
            &file(&tls.key),
            "posix",
            "--sidecar",
            &path("side"),
            &path("root"),
        ];
        words.map(str::to_owned).to_vec()
    };
    Server::start("versitygw", folder, port, arguments)
}
