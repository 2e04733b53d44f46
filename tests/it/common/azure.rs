//! Azure's blob storage as its emulator Azurite has it: it checks signatures.

use std::fs;

use super::bed::path;
use super::ca::Tls;
use super::run::Run;
use super::server::{Folder, Server};

const ACCOUNT: &str = "devstoreaccount1";
/// The emulator's, known to everybody.
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Kopia always speaks to `https://ACCOUNT.DOMAIN`; the domain may have a port.
const DOMAIN: &str = "blob.core.test";
const CONTAINER: &str = "kopia";

pub struct Azure {
    pub server: Server,
    pub tls: Tls,
    folder: Folder,
}

impl Azure {
    /// With a container.
    #[track_caller]
    pub fn start() -> Self {
        let folder = Folder::new("azure");
        let tls = Tls::new(
            &folder.path("tls"),
            &format!("DNS:{ACCOUNT}.{DOMAIN},IP:127.0.0.1"),
        );
        let arguments = |port: u16| {
            let port = port.to_string();
            let data = folder.path("data").display().to_string();
            let (certificate, key) = (
                tls.certificate.display().to_string(),
                tls.key.display().to_string(),
            );
            let words = [
                "--silent",
                "--skipApiVersionCheck",
                "--disableTelemetry",
                "--location",
                &data,
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port,
                "--cert",
                &certificate,
                "--key",
                &key,
            ];
            words.map(str::to_owned).to_vec()
        };
        let server = Server::start("azurite-blob", &folder, None, arguments);
        let hosts = format!("127.0.0.1 localhost {ACCOUNT}.{DOMAIN}\n");
        fs::write(folder.path("hosts"), hosts).unwrap();
        let azure = Self {
            server,
            tls,
            folder,
        };
        azure.make_container();
        azure
    }

    pub fn params(&self, prefix: &str) -> String {
        self.params_in(CONTAINER, prefix)
    }

    pub fn params_in(&self, container: &str, prefix: &str) -> String {
        let port = self.server.port;
        format!(
            "azure --container {container} --storage-account {ACCOUNT} --storage-domain {DOMAIN}:{port} --prefix {prefix}"
        )
    }

    /// `run` where the emulator's name is known and its CA trusted, with `key` in the environment.
    pub fn reached_by(&self, run: Run, key: &str) -> Run {
        self.resolved_by(run, key)
            .env("SSL_CERT_FILE", &self.tls.ca)
    }

    /// As [`Azure::reached_by`], without its CA.
    pub fn resolved_by(&self, run: Run, key: &str) -> Run {
        let script =
            "mount --make-rprivate / && mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
        let hosts = self.folder.path("hosts").display().to_string();
        run.under(["unshare", "--mount", "sh", "-c", script, "sh", &hosts])
            .env("AZURE_STORAGE_KEY", key)
    }

    /// As its clients do: with a request signed by the account's key.
    #[track_caller]
    fn make_container(&self) {
        const SCRIPT: &str = r"
const [port, account, container, key, ca] = process.argv.slice(1);
const date = new Date().toUTCString(), version = '2021-08-06', path = `/${account}/${container}`;
const text = `PUT${'\n'.repeat(12)}x-ms-date:${date}\nx-ms-version:${version}\n/${account}${path}\nrestype:container`;
const signature = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(text).digest('base64');
const headers = { 'x-ms-date': date, 'x-ms-version': version, 'content-length': 0, authorization: `SharedKey ${account}:${signature}` };
const options = { host: '127.0.0.1', port, method: 'PUT', path: `${path}?restype=container`, headers, ca: require('fs').readFileSync(ca) };
require('https').request(options, answer => {
  answer.resume();
  if (answer.statusCode !== 201) { console.error(answer.statusCode, answer.statusMessage); process.exit(1); }
}).end();
";
        Run::new("node")
            .args([
                "-e",
                SCRIPT,
                &self.server.port.to_string(),
                ACCOUNT,
                CONTAINER,
                KEY,
            ])
            .arg(&self.tls.ca)
            .env("PATH", path())
            .ok();
    }
}
