//! A configuration out of the file of an earlier version. Asks only for what that file does not say.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::backends::{self, Answers};
use super::configuration::place;
use super::password::{Password, ask_password};
use super::write::{Written, write};
use crate::base::lock::Lock;
use crate::config::import::import as read;
use crate::config::{self, Config};
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::ui::prompt;

/// Far more than any configuration needs.
const LARGEST_FILE: u64 = 4 << 20;

pub async fn import(cx: &Context, old: &Path, force: bool) -> Result<Written> {
    let place = place(cx, force)?;
    let _lock = Lock::take(&cx.paths.runtime, "new-config")?;
    let old = std::path::absolute(old)?;
    let profile = config::profile_at(&cx.paths, &place.path);
    let mut imported = read(&text_of(&old)?, &old, &profile)?;
    let mut generated = None;
    if !(imported.has_repository && imported.has_password) {
        let missing = match (imported.has_repository, imported.has_password) {
            (false, false) => "neither a repository nor its password",
            (false, true) => "no repository",
            _ => "no password",
        };
        if !prompt::is_possible() {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{}` has {missing}, and cannot prompt: not running on a terminal", old.display()),
            )
            .hint("add `kopia_params` or `password` to its section `[kopia]`, or run this on a terminal")
            .into());
        }
        cx.ui.say(format!("{} has {missing}.", old.display()));
        let config: Config = serde_json::from_value(imported.document.clone())?;
        let mut answers = Answers::default();
        if !imported.has_repository {
            answers = backends::ask(cx, &config).await?;
            config::set_repository(&mut imported.document, &answers.kopia_params, None);
        }
        let password = if imported.has_password {
            None
        } else {
            Some(ask_password(cx, &config, &mut answers).await?)
        };
        imported.notes.extend(answers.notes);
        let credentials = answers.credentials.into_iter();
        let credentials = credentials.map(|one| (one.name, one.value));
        imported.credentials.extend(credentials);
        if let Some(password) = password {
            if let Some(password) = password.to_set() {
                config::set_password(&mut imported.document, password);
            }
            if let Password::Made(made) = password {
                generated = Some(made);
            }
        }
    }
    let mut written = write(cx, &place, &imported.document, &imported.credentials)?;
    written.generated = generated;
    written.left_out = imported.left_out;
    written.notes = imported.notes;
    Ok(written)
}

fn text_of(old: &Path) -> Result<String> {
    let name = old.display();
    let mut text = String::new();
    let mut read = || -> std::io::Result<usize> {
        File::open(old)?
            .take(LARGEST_FILE + 1)
            .read_to_string(&mut text)
    };
    read().map_err(|error| {
        Failure::new(Exit::Config, format!("`{name}` cannot be read")).caused_by(error)
    })?;
    if text.len() as u64 > LARGEST_FILE {
        let message = format!("`{name}` is too large for a configuration");
        return Err(Failure::new(Exit::Config, message).into());
    }
    Ok(text)
}
