//! Real servers that take messages, and show what they were given: one of HTTP, with TLS or without, and one of mail.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::bed::path;
use super::ca::Tls;
use super::poll;
use super::server::{Folder, Server};
use super::systemd::Machine;

const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's own, which has what Debian's packages bring.
const PYTHON: &str = "/usr/bin/python3";

/// Arguments: port, directory, and `tls` or nothing. Answers what the file `answers` says, a word a request: a status, or `hang`.
const HTTP: &str = r#"
import http.server, json, ssl, sys, threading, time
port, folder = int(sys.argv[1]), sys.argv[2]
lock = threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        with lock:
            with open(folder + "/answers") as file: words = file.read().split()
            with open(folder + "/answers", "w") as file: file.write(" ".join(words[1:]))
            with open(folder + "/got", "a") as file:
                headers = {name.lower(): value for name, value in self.headers.items()}
                file.write(json.dumps({"path": self.path, "headers": headers, "body": body, "time": time.time()}) + "\n")
        word = words[0] if words else "200"
        if word == "hang": time.sleep(3600)
        self.send_response(int(word)); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
if sys.argv[3:] == ["tls"]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/tls/server.pem", folder + "/tls/server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
open(folder + "/ready", "w").close()
server.serve_forever()
"#;

/// Arguments: port, directory, and `starttls` or `implicit`. Takes mail of `USER` alone.
const MAIL: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
port, folder, how = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/tls/server.pem", folder + "/tls/server.key")
class Handler:
    async def handle_DATA(self, server, session, envelope):
        with open(folder + "/got", "a") as file:
            file.write(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "body": envelope.content.decode()}) + "\n")
        return "250 OK"
def check(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"me@example.org", b"mail-password-7391"))
options = {"authenticator": check, "auth_required": True, "hostname": "localhost"}
if how == "starttls": options.update(tls_context=context, require_starttls=True)
else: options.update(auth_require_tls=False)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), **options), "127.0.0.1", port, ssl=context if how == "implicit" else None)
    await server.serve_forever()
asyncio.run(main())
"#;

pub const MAIL_USER: &str = "me@example.org";
pub const MAIL_PASSWORD: &str = "mail-password-7391";

pub struct Inbox {
    server: Server,
    folder: Folder,
    pub tls: Option<Tls>,
}

/// What an HTTP server was given.
#[derive(Clone, Debug)]
pub struct Got {
    /// With the query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Seconds since 1970.
    pub time: f64,
}

impl Got {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON: {error}\n{self:?}"))
    }
}

impl Inbox {
    #[track_caller]
    pub fn http() -> Self {
        Self::start(HTTP, None, &[])
    }

    #[track_caller]
    pub fn https() -> Self {
        Self::start(HTTP, Some("DNS:localhost,IP:127.0.0.1"), &["tls"])
    }

    /// `how`: `starttls` or `implicit`.
    #[track_caller]
    pub fn mail(how: &str) -> Self {
        Self::start(MAIL, Some("DNS:localhost,IP:127.0.0.1"), &[how])
    }

    #[track_caller]
    fn start(script: &str, names: Option<&str>, more: &[&str]) -> Self {
        let folder = prepare(script);
        let tls = names.map(|names| Tls::new(&folder.path("tls"), names));
        let server = Server::start(PYTHON, &folder, None, |port| {
            let words = [
                folder.path("script"),
                port.to_string().into(),
                folder.path(""),
            ];
            let words = words.iter().map(|word| word.display().to_string());
            words
                .chain(more.iter().map(|word| (*word).to_owned()))
                .collect()
        });
        Self {
            server,
            folder,
            tls,
        }
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.port())
    }

    /// A word for each of the next requests: a status, or `hang`. All others are answered with 200.
    pub fn answers(&self, words: &str) {
        fs::write(self.folder.path("answers"), words).unwrap();
    }

    /// Nobody listens any more.
    pub fn close(&mut self) {
        self.server.kill();
    }

    /// All that came, in its order.
    pub fn got(&self) -> Vec<Got> {
        got(&self.folder.path("got"))
    }

    pub fn paths(&self) -> Vec<String> {
        self.got().into_iter().map(|got| got.path).collect()
    }

    /// The mail that came.
    pub fn mails(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path("got")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What came is forgotten.
    pub fn clear(&self) {
        let _ = fs::remove_file(self.folder.path("got"));
    }

    #[track_caller]
    pub fn until_path(&self, what: &str) {
        poll::until(&format!("a request for {what}"), PATIENCE, || {
            self.paths()
                .iter()
                .any(|path| path.contains(what))
                .then_some(())
        });
    }
}

/// An HTTP server on a machine of a test's own.
pub struct MachineInbox {
    child: Child,
    folder: Folder,
}

impl MachineInbox {
    pub const PORT: u16 = 8099;

    #[track_caller]
    pub fn start(machine: &Machine) -> Self {
        let folder = prepare(HTTP);
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter"])
            .arg(format!("--net=/proc/{}/ns/net", machine.pid()))
            .arg(PYTHON)
            .args([
                folder.path("script"),
                Self::PORT.to_string().into(),
                folder.path(""),
            ])
            .env_clear()
            .env("PATH", path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let ready = folder.path("ready");
        poll::until("the server on the machine", PATIENCE, || {
            ready.exists().then_some(())
        });
        Self { child, folder }
    }

    pub fn got(&self) -> Vec<Got> {
        got(&self.folder.path("got"))
    }

    #[track_caller]
    pub fn until_path(&self, what: &str) -> Got {
        poll::until(&format!("a request for {what}"), 2 * PATIENCE, || {
            self.got().into_iter().find(|got| got.path.contains(what))
        })
    }
}

impl Drop for MachineInbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prepare(script: &str) -> Folder {
    let folder = Folder::new("inbox");
    fs::write(folder.path("script"), script).unwrap();
    fs::write(folder.path("answers"), "").unwrap();
    folder
}

fn got(file: &PathBuf) -> Vec<Got> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // The last line may be about to be written.
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let read = |got: Value| Got {
        path: got["path"].as_str().unwrap().to_owned(),
        headers: serde_json::from_value(got["headers"].clone()).unwrap(),
        body: got["body"].as_str().unwrap().to_owned(),
        time: got["time"].as_f64().unwrap(),
    };
    lines.map(read).collect()
}
