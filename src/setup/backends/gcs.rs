//! Google Cloud Storage.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::params::Params;
use super::{Answers, check, reachability};
use crate::config::Config;
use crate::context::Context;
use crate::error::Result;
use crate::ui::prompt;

pub async fn ask(cx: &Context, config: &Config) -> Result<Answers> {
    let (mut bucket, mut prefix, mut file) = (String::new(), String::new(), String::new());
    let shutdown = &cx.shutdown;
    loop {
        bucket = prompt::text_or("Bucket", &bucket, check::bucket, shutdown).await?;
        prefix = check::ask_prefix(&prefix, shutdown).await?;
        let question = "File with the key of the service account (JSON)";
        file = prompt::text_or(question, &file, key_of_service_account, shutdown).await?;
        let is_private = Path::new(&file)
            .metadata()
            .is_ok_and(|meta| meta.permissions().mode() & 0o077 == 0);
        if !is_private {
            let quoted = shell_words::quote(&file);
            cx.ui.warn(format!(
                "others can read that key: run `chmod 600 {quoted}`"
            ));
        }
        let params = params(&bucket, &prefix, &file);
        if let Some(answers) = reachability::settle(cx, config, &params, Vec::new()).await? {
            return Ok(answers);
        }
    }
}

/// Its content is not repeated: it is a secret.
fn key_of_service_account(path: &str) -> Result<(), String> {
    check::absolute(path)?;
    let bytes = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let document: Value =
        serde_json::from_slice(&bytes).map_err(|_| "this is not a JSON document".to_owned())?;
    let is = |key: &str| document.get(key).and_then(Value::as_str);
    match is("type") {
        Some("service_account") if is("client_email").is_some() && is("private_key").is_some() => {
            Ok(())
        }
        _ => Err("this is not the key of a service account".to_owned()),
    }
}

fn params(bucket: &str, prefix: &str, file: &str) -> Params {
    Params::of("gcs")
        .flag("bucket", bucket)
        .flag("prefix", prefix)
        .flag("credentials-file", file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_flags() {
        assert_eq!(
            params("backups", "", "/etc/key.json").to_string(),
            "gcs --bucket backups --credentials-file /etc/key.json"
        );
    }

    #[test]
    fn only_the_key_of_a_service_account_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        let with = |text: &str| {
            std::fs::write(&file, text).unwrap();
            key_of_service_account(file.to_str().unwrap())
        };
        for text in ["", "hunter2", "{}", r#"{"type": "authorized_user"}"#] {
            let error = with(text).unwrap_err();
            assert!(!error.contains("hunter2"));
        }
        let key = r#"{"type": "service_account", "client_email": "a@b", "private_key": "k"}"#;
        assert_eq!(with(key), Ok(()));
        assert!(key_of_service_account("/nowhere").is_err());
    }
}
