//! As whom a snapshot was saved.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `user@host`, as Kopia has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Identity {
    pub user: String,
    pub host: String,
}

impl Identity {
    pub fn new(user: &str, host: &str) -> Self {
        Self {
            user: user.to_owned(),
            host: host.to_owned(),
        }
    }
}

impl From<String> for Identity {
    fn from(text: String) -> Self {
        let (user, host) = text.split_once('@').unwrap_or((&text, ""));
        Self::new(user, host)
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_str() {
            "" => f.write_str(&self.user),
            host => write!(f, "{}@{host}", self.user),
        }
    }
}

#[cfg(test)]
impl From<&str> for Identity {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
impl PartialEq<&str> for Identity {
    fn eq(&self, text: &&str) -> bool {
        self.to_string() == **text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        for text in ["kopi-docka@nas.example.org", "root@h", "nameless"] {
            assert_eq!(Identity::from(text), text);
        }
        let identity = Identity::from("a@b@c");
        assert_eq!(
            (identity.user.as_str(), identity.host.as_str()),
            ("a", "b@c")
        );
    }
}
