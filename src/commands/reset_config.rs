//! `reset-config`: takes the configuration away, and keeps a copy.

use serde_json::json;

use crate::base::files;
use crate::base::lock::Lock;
use crate::base::private_file;
use crate::config;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::ui::prompt;

const WORD: &str = "DELETE";

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(cx: &Context, _args: Args) -> Result<u8> {
    cx.require_root("reset-config")?;
    let path = cx.config_target()?;
    let name = path.display().to_string();
    if path.symlink_metadata().is_err() {
        let message = format!("there is no configuration: `{name}`");
        return Err(Failure::new(Exit::Config, message).into());
    }
    if !prompt::is_possible() {
        return Err(
            Failure::new(Exit::Usage, "cannot prompt: not running on a terminal")
                .hint(format!(
                    "run this on a terminal, or move `{name}` away yourself"
                ))
                .into(),
        );
    }
    let file = private_file::place(&path)?;
    let _lock = Lock::take(&cx.paths.runtime, "reset-config")?;
    let text = std::fs::read(&file)?;
    let loaded = config::check(&cx.paths, &path, &text).ok();
    let mut has_password = true;
    if let Some(loaded) = &loaded {
        let repository = loaded.config.kopia.kopia_params.masked();
        cx.ui.say(format!(
            "{name} names the repository `{repository}`. It stays as it is, with all its restore points."
        ));
        has_password = loaded.config.kopia.password_file.is_none();
    }
    let question = format!("Type {WORD} to remove this configuration");
    let typed = prompt::text(&question, |_| Ok(()), &cx.shutdown).await?;
    if typed != WORD {
        return Err(Failure::new(Exit::Declined, "declined: nothing was changed").into());
    }
    let copy = private_file::keep_copy(&file)?;
    files::remove(&path)?;
    if cx.ui.json {
        cx.ui.answer_json(&json!({ "path": path, "copy": copy }));
    } else {
        cx.ui.answer(format!(
            "Removed {name}; a copy is kept as {}",
            copy.display()
        ));
    }
    if has_password {
        cx.ui.say(format!(
            "note: the password in {} is the only key to the repository: without it the backups cannot be read",
            copy.display()
        ));
    }
    if file != path {
        cx.ui.say(format!(
            "note: {name} was a link; what it led to, {}, is still there",
            file.display()
        ));
    }
    Ok(0)
}
