//! Where a message goes. What follows the host is how its service tells who may send: a secret.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::read_or_null;
use crate::base::secret::MASK;

pub const EXPECTED: &str =
    "an address such as `https://…`, or `smtp://…` and `smtps://…` for a message by email";

#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// `None` for what no message can be sent to.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let is_known = matches!(url.scheme(), "http" | "https" | "smtp" | "smtps");
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        (is_known && has_host).then_some(Self(url))
    }

    /// The address itself, to send to.
    pub fn url(&self) -> &Url {
        &self.0
    }

    pub fn is_of_mail(&self) -> bool {
        self.0.scheme().starts_with("smtp")
    }

    /// `https://hc-ping.com/***`
    pub fn masked(&self) -> String {
        let port = self.0.port().map(|port| format!(":{port}"));
        let rest = if self.is_of_mail() {
            String::new()
        } else {
            format!("/{MASK}")
        };
        format!(
            "{}://{}{}{rest}",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default(),
            port.unwrap_or_default()
        )
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

pub fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Address>, D::Error> {
    read_or_null(deserializer, &format!("{EXPECTED}; or null"), |value| {
        Address::parse(value.as_str()?)
    })
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::read(deserializer, EXPECTED, |value| Self::parse(value.as_str()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_of_an_address_is_shown() {
        let shown = |text: &str| Address::parse(text).map(|address| format!("{address:?}"));
        let masked = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown("https://hc-ping.com/8f1e-secret?x=secret"),
            masked("https://hc-ping.com/***")
        );
        assert_eq!(
            shown("http://secret:secret@[::1]:8080/secret"),
            masked("http://[::1]:8080/***")
        );
        assert_eq!(
            shown("smtps://me@example.org:secret@mail.example.org:465"),
            masked("smtps://mail.example.org:465")
        );
        for wrong in [
            "",
            "hc-ping.com/x",
            "ftp://host/x",
            "https://",
            "file:///etc/x",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
