//! `repo-status`: where the repository is, whose, how much room it has.

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::repository::Repository;
use crate::ui::text;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(cx: &Context, _args: Args) -> Result<u8> {
    cx.require_root("repo-status")?;
    let loaded = cx.config()?;
    let repository = Repository::of(cx, &loaded.config)?;
    let status = repository.open().await?;
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "location": status.location(),
            "storage_type": status.storage.kind,
            "unique_id": status.unique_id,
            "identity": format!("{}@{}", status.client_options.username, status.client_options.hostname),
            "profile": repository.kopia.profile(),
            "hash": status.content_format.hash,
            "encryption": status.content_format.encryption,
            "capacity_bytes": status.volume.map(|volume| volume.capacity),
            "available_bytes": status.volume.map(|volume| volume.available),
        }));
        return Ok(0);
    }
    let room = status.volume.map_or_else(
        || "the storage does not tell".to_owned(),
        |volume| {
            format!(
                "{} of {} free",
                text::bytes(volume.available),
                text::bytes(volume.capacity)
            )
        },
    );
    for (what, value) in [
        ("Repository", status.location()),
        ("Unique id", status.unique_id.clone()),
        (
            "Identity",
            format!(
                "{}@{}",
                status.client_options.username, status.client_options.hostname
            ),
        ),
        ("Profile", repository.kopia.profile().display().to_string()),
        (
            "Format",
            format!(
                "{}, {}",
                status.content_format.encryption, status.content_format.hash
            ),
        ),
        ("Room", room),
    ] {
        cx.ui.answer(format!("{what:<11} {value}"));
    }
    Ok(0)
}
