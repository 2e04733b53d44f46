//! `repo-which-config`: what is in force here, by where it is. Opens no repository, needs no Kopia and no password.

use serde_json::{Value, json};

use crate::base::text;
use crate::context::Context;
use crate::drivers::kopia;
use crate::error::Result;
use crate::repository;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(cx: &Context, _args: Args) -> Result<u8> {
    cx.require_root("repo-which-config")?;
    let loaded = cx.config()?;
    let config = &loaded.config;
    let profile = kopia::profile_file(&cx.paths.home, config.profile());
    let is_connected = profile.exists();
    // Secrets masked.
    let document = loaded.document();
    let storage = document
        .pointer("/kopia/kopia_params")
        .and_then(Value::as_str);
    let password_file = config.kopia.password_file.as_deref();
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "config": loaded.path,
            "profile": config.profile(),
            "profile_config": profile,
            "is_connected": is_connected,
            "cache": config.kopia_cache(),
            "identity": repository::identity(&cx.paths, config),
            "storage": storage,
            "password_file": password_file,
        }));
        return Ok(0);
    }
    let connected = if is_connected {
        profile.display().to_string()
    } else {
        format!("{} (not there: `kopi-docka init`)", profile.display())
    };
    for (what, value) in [
        ("Config", loaded.path.display().to_string()),
        ("Profile", config.profile().to_owned()),
        ("Connection", connected),
        ("Cache", config.kopia_cache().display().to_string()),
        (
            "Identity",
            repository::identity(&cx.paths, config).to_string(),
        ),
        ("Storage", storage.unwrap_or_default().to_owned()),
        (
            "Password",
            password_file.map_or_else(
                || "in the configuration".to_owned(),
                |file| file.display().to_string(),
            ),
        ),
    ] {
        cx.ui
            .answer(format!("{what:<10} {}", text::printable(&value)));
    }
    Ok(0)
}
