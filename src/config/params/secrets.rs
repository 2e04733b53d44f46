//! Which flags hold secrets. On a command line every user of the host could read them (`ps`), so they go by the
//! environment, under the names that Kopia's own flags document (`kopia repository create s3 --help`).

use super::flag::Flag;
use crate::base::secret::{MASK, Secret, is_secret_name};
use crate::error::{Exit, Failure, Result};

/// Where else a flag's value can come from.
#[derive(Clone, Copy)]
enum Route {
    /// It is not secret, but only of use with its secret, and Kopia takes it from there as well.
    Companion(&'static str),
    Variable(&'static str),
    /// Nothing that Kopia reads: what to use instead.
    Nowhere(&'static str),
}

fn route(name: &str) -> Option<Route> {
    use Route::{Companion, Nowhere, Variable};
    Some(match name {
        "access-key" => Companion("AWS_ACCESS_KEY_ID"),
        "secret-access-key" => Variable("AWS_SECRET_ACCESS_KEY"),
        "session-token" => Variable("AWS_SESSION_TOKEN"),
        "key-id" => Companion("B2_KEY_ID"),
        "key" => Variable("B2_KEY"),
        "storage-key" => Variable("AZURE_STORAGE_KEY"),
        "sas-token" => Variable("AZURE_STORAGE_SAS_TOKEN"),
        "client-secret" => Variable("AZURE_CLIENT_SECRET"),
        "client-cert" => Variable("AZURE_CLIENT_CERTIFICATE"),
        "webdav-password" => Variable("KOPIA_WEBDAV_PASSWORD"),
        "sftp-password" => Nowhere("use a key file that has no passphrase: `--keyfile FILE`"),
        "key-data" => {
            Nowhere("write the key to a file with mode 0600 and name it: `--keyfile FILE`")
        }
        "password" => {
            Nowhere("that is the repository's password: put it into `kopia.password_file`")
        }
        "rclone-env" | "rclone-args" | "remote-path" => return None,
        other if is_other_secret(other) => Nowhere("remove it: this flag is not known to be safe"),
        _ => return None,
    })
}

/// A flag that we do not know, by its name. Switches of Kopia such as `--embed-credentials` are not meant.
fn is_other_secret(name: &str) -> bool {
    ["password", "secret", "token"]
        .iter()
        .any(|word| name.contains(word))
        && is_secret_name(name)
}

/// Whether the flag called `name` holds a secret, whatever its value.
pub fn is_secret(name: &str) -> bool {
    matches!(route(name), Some(Route::Variable(_) | Route::Nowhere(_)))
}

/// Whether a flag tells rclone a secret, as in `--rclone-args=--sftp-pass=…` or `--remote-path=:s3,secret_access_key=…:bucket`.
fn is_rclone_secret(name: &str, value: &str) -> bool {
    matches!(name, "rclone-env" | "rclone-args" | "remote-path")
        && value.split([',', ' ']).any(|part| {
            part.split_once('=')
                .is_some_and(|(name, value)| is_secret_name(name) && !value.is_empty())
        })
}

/// Whether the text of `kopia_params` holds a secret, also when it cannot be parsed.
pub fn holds_secret(text: &str) -> bool {
    let words = shell_words::split(text)
        .unwrap_or_else(|_| text.split_whitespace().map(str::to_owned).collect());
    let next = words.iter().skip(1).map(Some).chain([None]);
    words.iter().zip(next).any(|(word, next)| {
        let is_flagged = word.strip_prefix("--").is_some_and(|flag| {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, next.map(String::as_str)),
            };
            is_secret(name) || value.is_some_and(|value| is_rclone_secret(name, value))
        });
        is_flagged || has_password_in_address(word)
    })
}

/// `https://user:password@host`. A colon after the `@` is a port's.
fn has_password_in_address(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
}

/// A password inside an address would be on the command line with it, and nothing takes it from there.
pub fn refuse_in_addresses(flags: &[Flag]) -> std::result::Result<(), String> {
    let refused = flags
        .iter()
        .any(|flag| flag.value.as_deref().is_some_and(has_password_in_address));
    if refused {
        return Err(
            "holds an address with a password in it; for sftp use `--keyfile FILE`, for webdav \
             `--webdav-username USER` and the variable KOPIA_WEBDAV_PASSWORD"
                .to_owned(),
        );
    }
    Ok(())
}

/// Names of variables with their values.
pub type Variables = Vec<(&'static str, Secret)>;

pub fn split(flags: &[Flag]) -> Result<(Vec<String>, Variables)> {
    let mut arguments = Vec::new();
    let mut variables = Vec::new();
    for flag in flags {
        match (route(&flag.name), &flag.value) {
            (Some(Route::Companion(variable) | Route::Variable(variable)), Some(value)) => {
                variables.push((variable, Secret::new(value.as_str())));
            }
            (Some(Route::Nowhere(advice)), Some(_)) => return Err(refusal(flag, advice).into()),
            (_, Some(value)) if is_rclone_secret(&flag.name, value) => {
                return Err(refusal(flag, "keep it in rclone's own configuration file").into());
            }
            _ => arguments.extend(flag.arguments()),
        }
    }
    Ok((arguments, variables))
}

fn refusal(flag: &Flag, advice: &str) -> Failure {
    Failure::new(
        Exit::Config,
        format!(
            "`kopia.kopia_params` has a secret in `--{}`, which Kopia takes from its command line alone, \
             where every user of this host could read it",
            flag.name
        ),
    )
    .hint(advice)
}

pub fn masked(flag: &Flag) -> String {
    let quoted = match &flag.value {
        None => return format!("--{}", flag.name),
        Some(value) if is_secret(&flag.name) || is_rclone_secret(&flag.name, value) => MASK.into(),
        Some(value) => shell_words::quote(value),
    };
    let separator = if flag.joined { "=" } else { " " };
    format!("--{}{separator}{quoted}", flag.name)
}
