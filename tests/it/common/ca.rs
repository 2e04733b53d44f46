//! A certificate authority of a test's own, and what it has signed.

use std::fs;
use std::path::{Path, PathBuf};

use super::bed::path;
use super::run::Run;

/// The files of a server that shows a certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whom a client has to trust.
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Tls {
    /// For a server that is called `names`, each `DNS:…` or `IP:…`. The files come into `folder`.
    #[track_caller]
    pub fn new(folder: &Path, names: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let file = |name: &str| folder.join(name);
        let openssl = |args: &[&str]| {
            let run = Run::new("openssl").args(args).directory(folder);
            run.env("PATH", path()).stdout_any().stderr_any().ok();
        };
        let ec = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        openssl(
            &[
                &["req", "-x509"],
                &ec[..],
                &[
                    "-days",
                    "30",
                    "-subj",
                    "/CN=Test CA",
                    "-keyout",
                    "ca.key",
                    "-out",
                    "ca.pem",
                ],
            ]
            .concat(),
        );
        openssl(
            &[
                &["req"],
                &ec[..],
                &[
                    "-subj",
                    "/CN=server",
                    "-keyout",
                    "server.key",
                    "-out",
                    "server.csr",
                ],
            ]
            .concat(),
        );
        fs::write(
            file("extensions"),
            format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n"),
        )
        .unwrap();
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            "extensions",
            "-out",
            "server.pem",
        ]);
        Self {
            ca: file("ca.pem"),
            certificate: file("server.pem"),
            key: file("server.key"),
        }
    }
}
