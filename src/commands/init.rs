//! `init`: creates the repository, or connects to the one that is there. Idempotent; says which it did.

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::kopia::Initialized;
use crate::lock::Lock;
use crate::password;
use crate::repository::Repository;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Use what is in the storage now, although this host had another repository there
    #[arg(long)]
    accept_new_repository: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("init")?;
    let lock = Lock::take(&cx.paths.runtime, "init")?;
    let loaded = password::settle(cx, Some(&lock), cx.config()?)
        .await?
        .loaded;
    let repository = Repository::of(cx, &loaded.config)?;
    repository.kopia.check_version().await?;
    let (what, status) = repository
        .kopia
        .init(&repository.identity, args.accept_new_repository)
        .await?;
    let (word, sentence) = match what {
        Initialized::Created => ("created", "Created a new repository in"),
        Initialized::Connected => ("connected", "Connected to the repository in"),
        Initialized::AlreadyConnected => (
            "already_connected",
            "Already connected to the repository in",
        ),
    };
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "result": word,
            "location": status.location(),
            "unique_id": status.unique_id,
            "identity": repository.kopia.identity(),
        }));
    } else {
        cx.ui.answer(format!(
            "{sentence} {} as {}",
            status.location(),
            repository.kopia.identity()
        ));
    }
    Ok(0)
}
