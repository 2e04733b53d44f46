//! The wizard that writes a configuration.

use std::path::Path;

use serde_json::{Value, json};

use super::backends;
use super::password::{Password, ask_password};
use super::write::{Replaced, Written, write};
use crate::base::lock::Lock;
use crate::base::private_file;
use crate::config::{self, Config};
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::ui::prompt;

/// Asks where the repository shall be and for its password, and writes the configuration. `force` replaces one that is there:
/// what the wizard does not ask for stays as it is, so that no retention or exclude is lost.
pub async fn new_configuration(cx: &Context, force: bool) -> Result<Written> {
    let place = place(cx, force)?;
    let _lock = Lock::take(&cx.paths.runtime, "new-config")?;
    if !prompt::is_possible() {
        return Err(no_terminal(&place.path));
    }
    let before = Before::of(cx, &place);
    let mut answers = backends::ask(cx, &before.config).await?;
    let password = ask_password(cx, &before.config, &mut answers).await?;
    let mut document = before.document;
    config::set_repository(&mut document, &answers.kopia_params, password.to_set());
    let credentials = answers.credentials.into_iter();
    let credentials: Vec<_> = credentials.map(|one| (one.name, one.value)).collect();
    let mut written = write(cx, &place, &document, &credentials)?;
    written.notes.extend(answers.notes);
    if let Password::Made(made) = password {
        written.generated = Some(made);
    }
    Ok(written)
}

/// Where it goes. Fails before the first question when that cannot be.
pub fn place(cx: &Context, force: bool) -> Result<Replaced> {
    let path = cx.config_target()?;
    let is_there = path.symlink_metadata().is_ok();
    if is_there && !force {
        return Err(Failure::new(
            Exit::Usage,
            format!("the configuration already exists: `{}`", path.display()),
        )
        .hint("`kopi-docka edit-config` changes it; `--force` replaces it, and keeps a copy")
        .into());
    }
    let file = private_file::place(&path).map_err(|error| {
        Failure::new(
            Exit::Config,
            format!("no configuration can be written to `{}`", path.display()),
        )
        .hint("make its directory, or name another place with `--config FILE`")
        .caused_by(error)
    })?;
    Ok(Replaced {
        path,
        file,
        is_there,
    })
}

/// What the answers become part of.
struct Before {
    document: Value,
    config: Config,
}

impl Before {
    fn of(cx: &Context, place: &Replaced) -> Self {
        if place.is_there {
            // By the loader, which trusts no file that others could have written.
            let find = || {
                let config = cx.config_again()?.config;
                Ok((config::document_of(&std::fs::read(&place.file)?)?, config))
            };
            let found: Result<_> = find();
            match found {
                Ok((document, config)) => {
                    cx.ui
                        .say("What is not asked here stays as it is in the configuration.");
                    return Self { document, config };
                }
                Err(error) => cx.ui.warn(format!(
                    "the configuration that is there cannot be read, so a new one is made: {error:#}"
                )),
            }
        }
        let profile = config::profile_at(&cx.paths, &place.path);
        let mut config = Config::default();
        config.kopia.profile.clone_from(&profile);
        Self {
            document: config::new_document(&profile),
            config,
        }
    }
}

fn no_terminal(path: &Path) -> anyhow::Error {
    let path = path.display().to_string();
    let quoted = shell_words::quote(&path);
    let example = json!({"kopia": {"kopia_params": "filesystem --path /backup/kopia-repository", "password": "…"}});
    Failure::new(Exit::Usage, "cannot prompt: not running on a terminal")
        .hint(format!(
            "run this on a terminal; or take over an old file with `--import FILE`; or write it by hand: \
             `install -m 600 /dev/null {quoted}`, then {example} in it"
        ))
        .into()
}
