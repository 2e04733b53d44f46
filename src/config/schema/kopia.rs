//! The repository: where it is, how it is opened, how it is made.

use std::path::PathBuf;

use documented::DocumentedFields;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::secret::{MASK, Secret};
use crate::config::params::KopiaParams;
use crate::config::password::is_placeholder;
use crate::config::profile;
use crate::config::value::{absolute, optional_any, optional_host, whole, word};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Kopia {
    /// Backend of the repository and its flags, as they follow `kopia repository create`. Secrets belong in `/etc/kopi-docka.env`.
    ///
    /// Example: `"s3 --bucket backups --prefix host1/ --endpoint s3.example.org"`. Since: the Python version.
    pub kopia_params: KopiaParams,
    /// Password of the repository. `password_file` takes precedence. Without the password the backups cannot be read.
    ///
    /// Example: `"a long sentence that nobody else knows"`. Since: the Python version.
    #[serde(serialize_with = "masked", deserialize_with = "secret")]
    pub password: Option<Secret>,
    /// File with the password, readable by root only. A relative path starts at the directory of the configuration.
    ///
    /// Example: `"/etc/kopi-docka.password"`. Since: the Python version.
    #[serde(deserialize_with = "optional_any")]
    pub password_file: Option<PathBuf>,
    /// Name of the connection to the repository and of its cache. The default is `kopi-docka`, or the name of the file given with `--config`.
    ///
    /// Example: `"offsite"`. Since: the Python version.
    #[serde(deserialize_with = "profile::deserialize")]
    pub profile: String,
    /// Name of this host in the repository. `null`: its host name at `kopi-docka init`.
    ///
    /// Example: `"web1.example.org"`. Since: 0.1.
    #[serde(deserialize_with = "optional_host")]
    pub host: Option<String>,
    /// Compression algorithm of Kopia.
    ///
    /// Example: `"zstd-fastest"`. Since: the Python version.
    #[serde(deserialize_with = "word")]
    pub compression: String,
    /// Encryption algorithm of a new repository.
    ///
    /// Example: `"CHACHA20-POLY1305-HMAC-SHA256"`. Since: the Python version.
    #[serde(deserialize_with = "word")]
    pub encryption: String,
    /// Hash algorithm of a new repository.
    ///
    /// Example: `"BLAKE3-256"`. Since: the Python version.
    #[serde(deserialize_with = "word")]
    pub hash: String,
    /// Directory of Kopia's cache.
    ///
    /// Example: `"/mnt/fast/kopia-cache"`. Since: the Python version.
    #[serde(deserialize_with = "absolute")]
    pub cache_directory: PathBuf,
    /// Maximum size of Kopia's cache, in MB.
    ///
    /// Example: `2000`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 1_000_000, _, _>")]
    pub cache_size_mb: u64,
}

impl Default for Kopia {
    fn default() -> Self {
        Self {
            kopia_params: KopiaParams::filesystem("/backup/kopia-repository"),
            password: Some(Secret::new("CHANGE_ME_TO_A_SECURE_PASSWORD")),
            password_file: None,
            profile: "kopi-docka".to_owned(),
            host: None,
            compression: "zstd".to_owned(),
            encryption: "AES256-GCM-HMAC-SHA256".to_owned(),
            hash: "BLAKE2B-256-128".to_owned(),
            cache_directory: "/var/cache/kopi-docka".into(),
            cache_size_mb: 500,
        }
    }
}

/// The placeholder is shown: it is not a secret, and it shows that a password is still missing.
fn masked<S: Serializer>(password: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match password {
        None => serializer.serialize_none(),
        Some(secret) if is_placeholder(secret.expose()) => {
            serializer.serialize_str(secret.expose())
        }
        Some(_) => serializer.serialize_str(MASK),
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) => Ok(Some(Secret::new(text))),
        _ => Err(D::Error::custom("expected a string, or null")),
    }
}
