//! A target of the configuration with its secrets read: what it is called, and how a message for it is sent.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::mask::Masks;
use super::message::{Message, Ping};
use crate::base::blocking::aside;
use crate::base::secret::Secret;
use crate::base::text::hex;
use crate::config::{Address, MailTls, MessageType, Target, read_secret_file};
use crate::drivers::messages::Refused;
use crate::drivers::messages::http::{self, Post, percent_decoded};
use crate::drivers::messages::mail::{self, Encryption, Mail};
use crate::error::{Exit, Failure, Result};

/// A file on a disk that does not answer, or a pipe.
const READING: Duration = Duration::from_secs(5);

pub struct Recipient {
    kind: MessageType,
    url: Url,
    ca_file: Option<PathBuf>,
    /// Of ntfy, Gotify, a webhook's signature or a mail server.
    secret: Option<Secret>,
    hmac_header: String,
    tls: Option<MailTls>,
    from: String,
    to: Vec<String>,
    masks: Masks,
}

/// As messages to the operator call it: `notify[0]` (ntfy, `https://ntfy.sh/***`).
pub fn name(index: usize, target: &Target) -> String {
    format!("`notify[{index}]` ({})", place(target))
}

/// `ntfy, https://ntfy.sh/***`
fn place(target: &Target) -> String {
    let kind = kind_of(target);
    match (&target.url, &target.url_file) {
        (Some(url), _) => format!("{kind}, {}", url.masked()),
        (None, Some(file)) => format!("{kind}, the address in `{}`", file.display()),
        (None, None) => kind.to_owned(),
    }
}

pub fn kind_of(target: &Target) -> &'static str {
    match target.kind {
        MessageType::Healthchecks => "healthchecks",
        MessageType::Ntfy => "ntfy",
        MessageType::Gotify => "gotify",
        MessageType::Webhook => "webhook",
        MessageType::Email => "email",
    }
}

/// Whether all that it needs can be read, without sending anything.
pub async fn check(target: &Target) -> Result<()> {
    Recipient::of(target, &Masks::default()).await.map(drop)
}

impl Recipient {
    /// Reads what is in files.
    pub async fn of(target: &Target, masks: &Masks) -> Result<Self> {
        let (target, masks) = (target.clone(), masks.clone());
        let reading = aside(move || Self::read(&target, &masks));
        tokio::time::timeout(READING, reading)
            .await
            .map_err(|_| Failure::new(Exit::Config, "a file that it names does not answer"))?
    }

    fn read(target: &Target, masks: &Masks) -> Result<Self> {
        let read = |file: &Option<PathBuf>, key: &str| {
            let file = file.as_deref();
            file.map(|file| read_secret_file(file, key)).transpose()
        };
        let url = match (&target.url, read(&target.url_file, "url_file")?) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(text)) => Address::parse(text.expose()),
            (None, None) => None,
        };
        let wrong = |why: String| Failure::new(Exit::Config, why);
        let url = url.ok_or_else(|| wrong("what `url_file` holds is no address".to_owned()))?;
        target
            .check_address(&url)
            .map_err(|why| wrong(format!("the address {why}")))?;
        if let Some(file) = &target.ca_file {
            std::fs::File::open(file).map_err(|error| {
                wrong(format!(
                    "`ca_file` (`{}`) cannot be read: {error}",
                    file.display()
                ))
            })?;
        }
        let url = url.url().clone();
        let secrets = [
            read(&target.token_file, "token_file")?,
            read(&target.hmac_file, "hmac_file")?,
            read(&target.password_file, "password_file")?,
        ];
        let secret = secrets.into_iter().flatten().next();
        Ok(Self {
            kind: target.kind,
            ca_file: target.ca_file.clone(),
            hmac_header: target.hmac_header().to_owned(),
            tls: target.tls,
            from: target.from.clone().unwrap_or_default(),
            to: target.to.clone(),
            masks: masks.and(secret.as_slice()).and_url(&url),
            secret,
            url,
        })
    }

    /// One try.
    pub async fn send(&self, message: &Message, patience: Duration) -> Result<(), Refused> {
        let sending = async {
            match self.kind {
                MessageType::Email => mail::send(&self.mail(message), patience).await,
                _ => http::post(&self.post(message), self.ca_file.as_deref()).await,
            }
        };
        let sent = tokio::time::timeout(patience, sending).await;
        let sent = sent.unwrap_or_else(|_| {
            let seconds = patience.as_secs();
            Err(Refused::passing(format!("no answer within {seconds} s")))
        });
        sent.map_err(|refused| Refused {
            why: self.masks.apply(&refused.why),
            ..refused
        })
    }

    fn post(&self, message: &Message) -> Post {
        let message = &message.masked(&self.masks);
        let (url, headers, body) = match self.kind {
            MessageType::Healthchecks => self.ping(message),
            MessageType::Gotify => self.gotify(message),
            MessageType::Webhook => self.webhook(message),
            MessageType::Ntfy | MessageType::Email => self.ntfy(message),
        };
        Post {
            url: Secret::new(url),
            headers,
            body,
        }
    }

    fn ping(&self, message: &Message) -> Parts {
        let mut url = self.url.clone();
        let word = match message.ping {
            Ping::Start => "start".to_owned(),
            Ping::Status(code) => code.to_string(),
            Ping::Fail => "fail".to_owned(),
            Ping::Log => "log".to_owned(),
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&word);
        }
        if let Some(run) = &message.run {
            url.query_pairs_mut().append_pair("rid", run);
        }
        (url.into(), Vec::new(), message.with_log().into_bytes())
    }

    fn ntfy(&self, message: &Message) -> Parts {
        let mut headers = vec![
            // A header is ASCII.
            ("Title".to_owned(), Secret::new(ascii(&message.title))),
            (
                "Priority".to_owned(),
                Secret::new(if message.is_bad { "high" } else { "default" }),
            ),
            (
                "Tags".to_owned(),
                Secret::new(if message.is_bad {
                    "warning"
                } else {
                    "white_check_mark"
                }),
            ),
        ];
        if let Some(token) = &self.secret {
            let bearer = format!("Bearer {}", token.expose());
            headers.push(("Authorization".to_owned(), Secret::new(bearer)));
        }
        (
            self.url.to_string(),
            headers,
            message.short_text().into_bytes(),
        )
    }

    fn gotify(&self, message: &Message) -> Parts {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("message");
        }
        let body = serde_json::json!({
            "title": message.title, "message": message.text, "priority": if message.is_bad { 8 } else { 4 },
        });
        let mut headers = vec![json_type()];
        if let Some(token) = &self.secret {
            headers.push(("X-Gotify-Key".to_owned(), token.clone()));
        }
        (url.into(), headers, body.to_string().into_bytes())
    }

    fn webhook(&self, message: &Message) -> Parts {
        let body = message.document.to_string().into_bytes();
        let mut headers = vec![json_type()];
        if let Some(key) = &self.secret {
            let signature = format!("sha256={}", sign(key, &body));
            headers.push((self.hmac_header.clone(), Secret::new(signature)));
        }
        (self.url.to_string(), headers, body)
    }

    fn mail(&self, message: &Message) -> Mail {
        let message = &message.masked(&self.masks);
        let encryption = match (self.tls, self.url.scheme()) {
            (Some(MailTls::Implicit), _) | (None, "smtps") => Encryption::Implicit,
            (Some(MailTls::None), _) => Encryption::None,
            _ => Encryption::StartTls,
        };
        let port = match encryption {
            Encryption::Implicit => 465,
            Encryption::StartTls => 587,
            Encryption::None => 25,
        };
        let in_url = self
            .url
            .password()
            .map(|text| Secret::new(percent_decoded(text)));
        let password = self.secret.clone().or(in_url);
        let user = percent_decoded(self.url.username());
        // An address of version 6 stands in brackets in a URL, and nowhere else.
        let host = self.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Mail {
            host: host.to_owned(),
            port: self.url.port().unwrap_or(port),
            encryption,
            ca_file: self.ca_file.clone(),
            login: password
                .filter(|_| !user.is_empty())
                .map(|password| (user, password)),
            from: self.from.clone(),
            to: self.to.clone(),
            subject: message.title.clone(),
            text: message.with_log(),
        }
    }
}

/// Address, headers, body.
type Parts = (String, Vec<(String, Secret)>, Vec<u8>);

fn json_type() -> (String, Secret) {
    ("Content-Type".to_owned(), Secret::new("application/json"))
}

fn ascii(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    text.chars().map(plain).collect()
}

/// HMAC-SHA256 in hex digits.
fn sign(key: &Secret, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    // It takes a key of any length.
    let Ok(mut hmac) = Hmac::<sha2::Sha256>::new_from_slice(key.expose().as_bytes()) else {
        return String::new();
    };
    hmac.update(body);
    hex(&hmac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn recipient(target: Value, secret: Option<&str>) -> Recipient {
        let target: Target = serde_json::from_value(target).unwrap();
        assert_eq!(target.problem(), None);
        let mut recipient = Recipient::read(&target, &Masks::default()).unwrap();
        recipient.secret = secret.map(Secret::new);
        recipient
    }

    fn message() -> Message {
        Message {
            ping: Ping::Status(3),
            run: Some("the-run".to_owned()),
            title: "kopi-docka on hôst: x".to_owned(),
            text: "unit `web`: failed".to_owned(),
            log: "last words\n".to_owned(),
            is_bad: true,
            document: json!({"event": "ended"}),
        }
    }

    fn header<'a>(post: &'a Post, name: &str) -> Option<&'a str> {
        let mut headers = post.headers.iter();
        headers
            .find(|(there, _)| there == name)
            .map(|(_, value)| value.expose())
    }

    #[test]
    fn a_check_gets_the_exit_status_below_its_own_address() {
        for (url, expected) in [
            ("https://hc/ping/uuid", "https://hc/ping/uuid/3?rid=the-run"),
            (
                "https://hc/ping/uuid/?create=1",
                "https://hc/ping/uuid/3?create=1&rid=the-run",
            ),
        ] {
            let post =
                recipient(json!({"type": "healthchecks", "url": url}), None).post(&message());
            assert_eq!(post.url.expose(), expected);
            assert_eq!(post.body, b"unit `web`: failed\n\nlast words\n");
        }
    }

    #[test]
    fn tokens_go_where_their_service_looks_for_them() {
        let post = recipient(
            json!({"type": "ntfy", "url": "https://n/topic"}),
            Some("tk"),
        )
        .post(&message());
        assert_eq!(header(&post, "Authorization"), Some("Bearer tk"));
        assert_eq!(header(&post, "Title"), Some("kopi-docka on h?st: x"));
        assert_eq!(post.url.expose(), "https://n/topic");
        let post = recipient(
            json!({"type": "gotify", "url": "https://g/sub/"}),
            Some("tk"),
        )
        .post(&message());
        assert_eq!(header(&post, "X-Gotify-Key"), Some("tk"));
        assert_eq!(post.url.expose(), "https://g/sub/message");
        let post = recipient(
            json!({"type": "webhook", "url": "https://w/x"}),
            Some("key"),
        )
        .post(&message());
        // printf '{"event":"ended"}' | openssl dgst -sha256 -hmac key
        let expected = "sha256=77423fe84884df1b9a2cd28b68798e288d34d6e251f5164190894d80e25a96ba";
        assert_eq!(header(&post, "X-Signature-256"), Some(expected));
        assert_eq!(post.body, br#"{"event":"ended"}"#);
    }

    #[test]
    fn a_mail_server_is_reached_as_its_address_says() {
        let mail = |url: &str, more: Value| {
            let mut target =
                json!({"type": "email", "url": url, "from": "a@b.org", "to": ["c@d.org"]});
            for (key, value) in more.as_object().unwrap() {
                target[key] = value.clone();
            }
            let mail = recipient(target, Some("pw")).mail(&message());
            let user = mail.login.map(|(user, _)| user);
            (mail.host, mail.port, mail.encryption, user)
        };
        let is = |host: &str, port: u16, encryption, user: Option<&str>| {
            (host.to_owned(), port, encryption, user.map(str::to_owned))
        };
        assert_eq!(
            mail("smtp://me@x.org@host", json!({})),
            is("host", 587, Encryption::StartTls, Some("me@x.org"))
        );
        assert_eq!(
            mail("smtps://host:2465", json!({})),
            is("host", 2465, Encryption::Implicit, None)
        );
        assert_eq!(
            mail("smtp://[::1]", json!({"tls": "none"})),
            is("::1", 25, Encryption::None, None)
        );
        assert_eq!(
            mail("smtp://host", json!({"tls": "implicit"})),
            is("host", 465, Encryption::Implicit, None)
        );
    }
}
