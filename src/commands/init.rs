//! `init`: creates the repository, or connects to the one that is there. Idempotent; says which it did.

use serde_json::json;

use crate::backup;
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
    backup::bring_up_or_tell(cx).await?;
    let lock = Lock::take(&cx.paths.runtime, "init")?;
    let loaded = password::settle(cx, Some(&lock), cx.config()?)
        .await?
        .loaded;
    let repository = Repository::of(cx, &loaded.config)?;
    let (what, status) = repository.init(args.accept_new_repository).await?;
    let word = match what {
        Initialized::Created => "created",
        Initialized::Connected => "connected",
        Initialized::AlreadyConnected => "already_connected",
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
            "{} {} as {}",
            what.sentence(),
            status.location(),
            repository.kopia.identity()
        ));
    }
    Ok(0)
}
