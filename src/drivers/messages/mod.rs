//! Servers that take messages: [`mod@http`] for what is sent to a URL, [`mail`] for email. Both prove who the server is by the certificates of
//! this host and, with [`ca`], by those of a file.
//!
//! Never here: what a message says, or how often it is tried. No error repeats an address, a header or a body: they are secrets.

mod ca;
pub mod http;
pub mod mail;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    pub why: String,
    /// It may be taken when it is sent again.
    pub may_pass: bool,
}

impl Refused {
    /// The server was not there, or has trouble of its own.
    pub fn passing(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            may_pass: true,
        }
    }

    /// It will not be taken the next time either.
    fn lasting(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            may_pass: false,
        }
    }
}
