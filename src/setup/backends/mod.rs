//! The storage that a repository can be in: the wizard's menu, and the questions of each of its backends.
//!
//! Reading order: [`ask`] (the menu) → [`params`] (answers into `kopia_params`) → [`check`] (what may be typed) →
//! [`credentials`] → [`knock`] (whether the storage answers) → one file a backend.
//!
//! Nothing here writes the configuration: [`Answers`] go to whoever does. A secret never becomes part of `kopia_params`.

mod azure;
mod b2;
mod check;
mod credentials;
mod filesystem;
mod gcs;
mod knock;
mod params;
mod s3;
mod sftp;
mod tailscale;

pub use knock::opens;

use crate::base::secret::Secret;
use crate::config::Config;
use crate::context::Context;
use crate::error::{self, Exit, Failure, Result};
use crate::ui::prompt;

/// What the operator wants.
#[derive(Debug, Default)]
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

const MENU: [(&str, Choice); 7] = [
    ("Local filesystem", Choice::Filesystem),
    ("AWS S3 and compatible", Choice::S3),
    ("Backblaze B2", Choice::B2),
    ("Azure Blob", Choice::Azure),
    ("Google Cloud Storage", Choice::Gcs),
    ("SFTP", Choice::Sftp),
    ("Tailscale", Choice::Tailscale),
];

#[derive(Clone, Copy)]
enum Choice {
    Filesystem,
    S3,
    B2,
    Azure,
    Gcs,
    Sftp,
    Tailscale,
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
        Choice::S3 => s3::ask(cx, config, s3::S3::default()).await,
        Choice::B2 => b2::ask(cx, config).await,
        Choice::Azure => azure::ask(cx, config).await,
        Choice::Gcs => gcs::ask(cx, config).await,
        Choice::Sftp => sftp::ask(cx, config, None).await,
        Choice::Tailscale => tailscale::ask(cx, config).await,
    }
}

/// What went wrong, with its remedy, for whoever will be asked again.
pub fn told(why: &anyhow::Error) -> String {
    let text = error::render(why);
    text.trim_start_matches("error: ").trim_end().to_owned()
}
