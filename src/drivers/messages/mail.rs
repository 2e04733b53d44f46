//! One email, given to a mail server.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::{Refused, ca};
use crate::base::secret::Secret;

/// How the way to the server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// From the first byte on.
    Implicit,
    /// After a word in the clear; a server that does not offer it gets nothing.
    StartTls,
    None,
}

#[derive(Clone, Debug)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub ca_file: Option<PathBuf>,
    /// User and password.
    pub login: Option<(String, Secret)>,
    pub from: String,
    pub to: Vec<String>,
    pub subject: String,
    pub text: String,
}

/// Gives it to the server, each answer of which comes within `patience`. The server has taken it for all when this returns `Ok`.
pub async fn send(mail: &Mail, patience: Duration) -> Result<(), Refused> {
    let message = message(mail)?;
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
        .port(mail.port)
        .timeout(Some(patience))
        .tls(tls(mail).await?);
    if let Some((user, password)) = &mail.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    match builder.build().send(message).await {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(&error)),
    }
}

fn message(mail: &Mail) -> Result<Message, Refused> {
    let mailbox = |text: &String| {
        let parsed = text.parse::<Mailbox>();
        parsed.map_err(|_| Refused::lasting("`from` or `to` is no address"))
    };
    let mut message = Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(&mail.subject)
        // So that no out-of-office answers.
        .raw_header(automatic());
    for to in &mail.to {
        message = message.to(mailbox(to)?);
    }
    let message = message
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone());
    message.map_err(|error| Refused::lasting(format!("it cannot be made a mail: {error}")))
}

fn automatic() -> lettre::message::header::HeaderValue {
    let name = lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted");
    lettre::message::header::HeaderValue::new(name, "auto-generated".to_owned())
}

async fn tls(mail: &Mail) -> Result<Tls, Refused> {
    if mail.encryption == Encryption::None {
        return Ok(Tls::None);
    }
    let of_no_use =
        |error: Error| Refused::lasting(format!("a certificate is of no use: {}", chain(&error)));
    let mut parameters = TlsParameters::builder(mail.host.clone());
    for certificate in ca::read(mail.ca_file.as_deref()).await? {
        let certificate = Certificate::from_der(certificate.to_vec()).map_err(of_no_use)?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters.build().map_err(of_no_use)?;
    Ok(match mail.encryption {
        Encryption::Implicit => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}

fn refused(error: &Error) -> Refused {
    let why = chain(error);
    if error.is_permanent() {
        Refused::lasting(format!("the server refused it: {why}"))
    } else if error.is_tls() {
        Refused::lasting(format!(
            "no encrypted connection: {why} (`ca_file` names an authority of your own)"
        ))
    } else {
        Refused::passing(why)
    }
}

/// With what caused it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
