//! The repository: where it is, how it is opened, how it is made.

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::secret::{MASK, Secret};
use crate::config::params::KopiaParams;
use crate::config::password::is_placeholder;
use crate::config::profile;
use crate::config::value::{absolute, optional_any, optional_host, whole, word};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kopia {
    /// The backend and its flags, as after `kopia repository create`.
    pub kopia_params: KopiaParams,
    /// Read it with [`super::Config::password`], which knows that the file comes first.
    #[serde(serialize_with = "masked", deserialize_with = "secret")]
    pub password: Option<Secret>,
    /// Absolute once loaded; in the file it may be relative to the folder of the configuration.
    #[serde(deserialize_with = "optional_any")]
    pub password_file: Option<PathBuf>,
    /// Names Kopia's connection and its cache. What it is without this key depends on the file that was loaded.
    #[serde(deserialize_with = "profile::deserialize")]
    pub profile: String,
    /// This host in the repository. `None` for its host name at `init`.
    #[serde(deserialize_with = "optional_host")]
    pub host: Option<String>,
    #[serde(deserialize_with = "word")]
    pub compression: String,
    /// Of a new repository; an existing one keeps what it has. So with `hash`.
    #[serde(deserialize_with = "word")]
    pub encryption: String,
    #[serde(deserialize_with = "word")]
    pub hash: String,
    #[serde(deserialize_with = "absolute")]
    pub cache_directory: PathBuf,
    /// In MB as Kopia counts them.
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

/// The placeholder is shown: it is no secret, and whoever looks should see that a password is still to be set.
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
