//! The storage that a repository can be in: the wizard's menu, and the questions of each of its backends.
//!
//! Reading order: [`ask`] (the menu) → [`params`] (answers into `kopia_params`) → [`check`] (what may be typed) →
//! one file a backend.
//!
//! Nothing here writes the configuration: [`Answers`] go to whoever does. A secret never becomes part of `kopia_params`.

mod check;
mod filesystem;
mod params;

use crate::config::{Config, Secret};
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::ui::prompt;

/// What the operator wants.
#[derive(Debug)]
pub struct Answers {
    /// As `kopia.kopia_params` holds it: quoted, without secrets.
    pub kopia_params: String,
    /// For `/etc/kopi-docka.env`; none for what is there already.
    pub credentials: Vec<Credential>,
    /// What is to be said when all is done.
    pub notes: Vec<String>,
    /// There is a repository in the storage, so its password is needed, not a new one.
    pub has_repository: bool,
}

#[derive(Debug)]
pub struct Credential {
    /// The variable that Kopia reads.
    pub name: &'static str,
    pub value: Secret,
}

const MENU: [(&str, Choice); 1] = [("Local filesystem", Choice::Filesystem)];

#[derive(Clone, Copy)]
enum Choice {
    Filesystem,
}

/// Asks where the repository shall be, and what that storage needs to know. `config` is what the answers will become part
/// of: its other places must not be in the repository, nor the repository in them.
pub async fn ask(cx: &Context, config: &Config) -> Result<Answers> {
    if !prompt::is_possible() {
        return Err(Failure::new(Exit::Usage, "there is no terminal to ask on")
            .hint("run this on a terminal")
            .into());
    }
    let items = MENU.iter().enumerate();
    let items = items.map(|(index, (name, _))| format!("{} {name}", index + 1));
    let chosen = prompt::select(
        "Where shall the repository be?",
        items.collect(),
        &cx.shutdown,
    )
    .await?;
    match MENU
        .get(chosen)
        .map_or(Choice::Filesystem, |(_, choice)| *choice)
    {
        Choice::Filesystem => filesystem::ask(cx, config).await,
    }
}
