//! Who is told of runs, and of what is wrong.

use std::path::PathBuf;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::config::value::{
    Address, MailTls, MessageType, MessageWhen, optional_absolute, optional_address,
};
use crate::model::UnitName;

/// The header of a webhook's signature, where none is named.
const HMAC_HEADER: &str = "X-Signature-256";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
pub struct Target {
    /// What receives the messages. `healthchecks` gets the start and the exit status of each run with the end of the log (<https://healthchecks.io>
    /// or a server of your own), `ntfy` and `gotify` get a text, `webhook` gets JSON with the report of the run, `email` gets a mail.
    ///
    /// Example: `"ntfy"`. Since: 0.1.
    #[serde(rename = "type")]
    #[documented_fields(rename = "type")]
    pub kind: MessageType,
    /// Address: the check of Healthchecks, the topic of ntfy, the server of Gotify, any URL, or `smtp://user@host:587` and `smtps://user@host:465`.
    ///
    /// Example: `"https://ntfy.example.org/backups"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "optional_address"
    )]
    pub url: Option<Address>,
    /// File with the address, in place of `url`. This file, and every other one with a secret, is readable by root only.
    ///
    /// Example: `"/etc/kopi-docka.healthchecks"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "optional_absolute"
    )]
    pub url_file: Option<PathBuf>,
    /// `always` sends the result of every run, `success` that of every run that ended with exit code 0, `problem` what is wrong: once, and once more
    /// when it is gone. `always` includes what `problem` sends. The default is `always` for `healthchecks`, else `problem`.
    ///
    /// Example: `"always"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub when: Option<MessageWhen>,
    /// Only messages about this unit. `null`: about all, and about the run.
    ///
    /// Example: `"nextcloud"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<UnitName>,
    /// File with certificates (PEM) of authorities that are trusted for this address, besides those of this host.
    ///
    /// Example: `"/etc/ssl/certs/home-ca.pem"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "optional_absolute"
    )]
    pub ca_file: Option<PathBuf>,
    /// File with the access token, for `ntfy` and `gotify`.
    ///
    /// Example: `"/etc/kopi-docka.gotify"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "optional_absolute"
    )]
    pub token_file: Option<PathBuf>,
    /// File with the key that the body of a `webhook` is signed with: HMAC-SHA256, as `sha256=<hex>` in `hmac_header`.
    ///
    /// Example: `"/etc/kopi-docka.webhook"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "optional_absolute"
    )]
    pub hmac_file: Option<PathBuf>,
    /// Name of the header with the signature. The default is `X-Signature-256`.
    ///
    /// Example: `"X-Hub-Signature-256"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hmac_header: Option<String>,
    /// File with the password of the user in `url`, for `email`.
    ///
    /// Example: `"/etc/kopi-docka.smtp"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "optional_absolute"
    )]
    pub password_file: Option<PathBuf>,
    /// How an `email` is encrypted: `starttls`, `implicit` from the first byte on, or `none`. The default is `implicit` for `smtps://`, else
    /// `starttls`.
    ///
    /// Example: `"implicit"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<MailTls>,
    /// Sender of an `email`.
    ///
    /// Example: `"backup@example.org"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// Recipients of an `email`.
    ///
    /// Example: `["admin@example.org"]`. Since: 0.1.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub to: Vec<String>,
}

impl Target {
    /// A target with every key at some value; it could not be used.
    pub fn filled() -> Self {
        let file = || Some(PathBuf::from("/"));
        Self {
            kind: MessageType::Webhook,
            url: Address::parse("https://host"),
            url_file: file(),
            when: Some(MessageWhen::Always),
            unit: UnitName::parse("unit").ok(),
            ca_file: file(),
            token_file: file(),
            hmac_file: file(),
            hmac_header: Some(String::new()),
            password_file: file(),
            tls: Some(MailTls::None),
            from: Some(String::new()),
            to: vec![String::new()],
        }
    }

    pub fn when(&self) -> MessageWhen {
        match (self.when, self.kind) {
            (Some(when), _) => when,
            (None, MessageType::Healthchecks) => MessageWhen::Always,
            (None, _) => MessageWhen::Problem,
        }
    }

    pub fn hmac_header(&self) -> &str {
        self.hmac_header.as_deref().unwrap_or(HMAC_HEADER)
    }

    /// The key that keeps it from being used, and why.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        self.misplaced()
            .or_else(|| match (&self.url, &self.url_file) {
                (None, None) => Some(("url", "is missing: where it is sent to".to_owned())),
                (Some(_), Some(_)) => Some(("url_file", "is one too many beside `url`".to_owned())),
                (Some(url), None) => self.check_address(url).err().map(|why| ("url", why)),
                (None, Some(_)) => None,
            })
            .or_else(|| self.incomplete())
    }

    /// Also for an address from a file.
    pub fn check_address(&self, url: &Address) -> Result<(), String> {
        let is_mail = self.kind == MessageType::Email;
        match (is_mail, url.is_of_mail()) {
            (true, false) => Err(
                "is no address of a mail server: expected `smtp://user@host:port` or `smtps://…`"
                    .to_owned(),
            ),
            (false, true) => {
                Err("is the address of a mail server: expected `https://…`".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// A key that another type has would be decoration.
    fn misplaced(&self) -> Option<(&'static str, String)> {
        use MessageType::{Email, Gotify, Ntfy, Webhook};
        let keys: [(&'static str, bool, &[MessageType]); 7] = [
            ("token_file", self.token_file.is_some(), &[Ntfy, Gotify]),
            ("hmac_file", self.hmac_file.is_some(), &[Webhook]),
            ("hmac_header", self.hmac_header.is_some(), &[Webhook]),
            ("password_file", self.password_file.is_some(), &[Email]),
            ("tls", self.tls.is_some(), &[Email]),
            ("from", self.from.is_some(), &[Email]),
            ("to", !self.to.is_empty(), &[Email]),
        ];
        let wrong = keys
            .into_iter()
            .find(|(_, is_set, types)| *is_set && !types.contains(&self.kind));
        wrong.map(|(key, _, _)| (key, "does not belong to a target of this type".to_owned()))
    }

    fn incomplete(&self) -> Option<(&'static str, String)> {
        let is_mailbox = |text: &String| text.parse::<lettre::message::Mailbox>().is_ok();
        let is_header =
            |name: &String| hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok();
        let is_mail = self.kind == MessageType::Email;
        if self
            .hmac_header
            .as_ref()
            .is_some_and(|name| !is_header(name))
        {
            Some(("hmac_header", "is no name of a header".to_owned()))
        } else if is_mail && !self.from.as_ref().is_some_and(is_mailbox) {
            Some((
                "from",
                "is no address of a sender, such as `backup@example.org`".to_owned(),
            ))
        } else if is_mail && (self.to.is_empty() || !self.to.iter().all(is_mailbox)) {
            Some((
                "to",
                "is no list of addresses, such as `[\"admin@example.org\"]`".to_owned(),
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problem(target: Value) -> Option<&'static str> {
        let target: Target = serde_json::from_value(target).unwrap();
        target.problem().map(|(key, _)| key)
    }

    #[test]
    fn a_target_has_what_its_type_needs_and_nothing_else() {
        let mail = json!({"type": "email", "url": "smtp://me@host", "from": "a@b.org", "to": ["Admin <c@d.org>"]});
        let with = |key: &str, value: Value| {
            let mut mail = mail.clone();
            mail[key] = value;
            mail
        };
        let hook =
            |key: &str, value: &str| json!({"type": "webhook", "url": "http://host/x", key: value});
        assert_eq!(problem(mail.clone()), None);
        assert_eq!(
            problem(json!({"type": "ntfy", "url_file": "/x", "token_file": "/y"})),
            None
        );
        assert_eq!(problem(hook("hmac_header", "X-Sign")), None);
        assert_eq!(problem(json!({"type": "ntfy"})), Some("url"));
        assert_eq!(
            problem(json!({"type": "ntfy", "url": "https://h/x", "url_file": "/x"})),
            Some("url_file")
        );
        assert_eq!(
            problem(json!({"type": "ntfy", "url": "smtp://h"})),
            Some("url")
        );
        assert_eq!(problem(with("url", json!("https://host"))), Some("url"));
        assert_eq!(problem(with("to", json!([]))), Some("to"));
        assert_eq!(
            problem(with("to", json!(["a@b.org", "nobody"]))),
            Some("to")
        );
        assert_eq!(problem(with("from", Value::Null)), Some("from"));
        assert_eq!(
            problem(with("from", json!("a@b.org\nBcc: x@y.org"))),
            Some("from")
        );
        assert_eq!(problem(hook("token_file", "/x")), Some("token_file"));
        assert_eq!(problem(hook("tls", "none")), Some("tls"));
        assert_eq!(
            problem(hook("hmac_header", "no header")),
            Some("hmac_header")
        );
    }

    #[test]
    fn a_check_hears_of_every_run_and_people_of_problems() {
        let when = |target: Value| serde_json::from_value::<Target>(target).unwrap().when();
        assert_eq!(when(json!({"type": "healthchecks"})), MessageWhen::Always);
        assert_eq!(when(json!({"type": "gotify"})), MessageWhen::Problem);
        assert_eq!(
            when(json!({"type": "gotify", "when": "success"})),
            MessageWhen::Success
        );
    }
}
