//! Azure Blob Storage.

use super::credentials::Wanted;
use super::params::Params;
use super::{Answers, check, credentials, reachability};
use crate::config::Config;
use crate::context::Context;
use crate::error::Result;
use crate::ui::prompt;

const KEY: Wanted = Wanted {
    name: "AZURE_STORAGE_KEY",
    question: "Key of the storage account",
    is_secret: true,
};

const TOKEN: Wanted = Wanted {
    name: "AZURE_STORAGE_SAS_TOKEN",
    question: "SAS token, without the question mark before it",
    is_secret: true,
};

pub async fn ask(cx: &Context, config: &Config) -> Result<Answers> {
    let (mut container, mut account, mut prefix) = (String::new(), String::new(), String::new());
    let shutdown = &cx.shutdown;
    loop {
        container = prompt::text_or("Container", &container, check::bucket, shutdown).await?;
        account = prompt::text_or("Storage account", &account, account_name, shutdown).await?;
        prefix = check::ask_prefix(&prefix, shutdown).await?;
        let items = ["Key of the account", "SAS token"];
        let items = items.map(str::to_owned).to_vec();
        let wanted = match prompt::select("What opens it?", items, shutdown).await? {
            0 => KEY,
            _ => TOKEN,
        };
        let secrets = credentials::ask(cx, &[wanted]).await?;
        let params = params(&container, &account, &prefix);
        if let Some(answers) = reachability::settle(cx, config, &params, secrets).await? {
            return Ok(answers);
        }
    }
}

/// Part of a host name.
fn account_name(text: &str) -> Result<(), String> {
    let is_name = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if is_name && (3..=24).contains(&text.len()) {
        return Ok(());
    }
    Err("3 to 24 lower-case letters and digits are allowed".to_owned())
}

fn params(container: &str, account: &str, prefix: &str) -> Params {
    Params::of("azure")
        .flag("container", container)
        .flag("storage-account", account)
        .flag("prefix", prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_flags() {
        assert_eq!(
            params("backups", "acme01", "host/").to_string(),
            "azure --container backups --storage-account acme01 --prefix host/"
        );
        assert!(account_name("acme01").is_ok());
        assert!(account_name("acme.evil.org/").is_err());
    }
}
