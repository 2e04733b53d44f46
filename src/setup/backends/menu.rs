//! Where the repository shall be.

use super::{Answers, azure, b2, filesystem, gcs, s3, sftp, tailscale};
use crate::config::Config;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::ui::prompt;

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
        return Err(
            Failure::new(Exit::Usage, "cannot prompt: not running on a terminal")
                .hint("run this on a terminal")
                .into(),
        );
    }
    let items = MENU.iter().enumerate();
    let items = items.map(|(index, (name, _))| format!("{} {name}", index + 1));
    let chosen = prompt::select(
        "Where should the repository be stored?",
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
