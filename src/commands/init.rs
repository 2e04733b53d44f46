//! `init`: creates the repository, or connects to the one that is there. Idempotent; says which it did.

use serde_json::json;

use crate::base::lock::Lock;
use crate::base::text;
use crate::context::Context;
use crate::drivers::kopia::Initialized;
use crate::error::{Exit, Result, exit_of};
use crate::recovery;
use crate::repository::Repository;
use crate::repository::password;
use crate::setup::takes_new_keys;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Accept another repository in the storage than the one this host used before
    #[arg(long)]
    accept_new_repository: bool,

    /// Take over the restore points of another machine of the same name: one that is gone, or this one before a reinstallation
    #[arg(long)]
    adopt_points: bool,

    /// Take over the restore points that this host made with this profile (can be repeated)
    #[arg(long = "adopt-profile", value_name = "PROFILE")]
    adopt_profiles: Vec<String>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("init")?;
    recovery::bring_up_or_tell(cx).await?;
    let lock = Lock::take(&cx.paths.runtime, "init")?;
    let loaded = password::settle(cx, Some(&lock), cx.config()?)
        .await?
        .loaded;
    let repository = Repository::to_init(cx, &loaded.config)?;
    let params = &loaded.config.kopia.kopia_params;
    let (what, status) = match repository.init(args.accept_new_repository).await {
        // The code of another host key too.
        Err(error)
            if exit_of(&error) == Exit::WrongPassword && takes_new_keys(cx, params).await? =>
        {
            repository.init(args.accept_new_repository).await?
        }
        initialized => initialized?,
    };
    let adopted = if args.adopt_points {
        Some(repository.adopt().await?)
    } else {
        None
    };
    let mut of_profiles = 0;
    for profile in &args.adopt_profiles {
        of_profiles += repository.adopt_profile(profile).await?;
    }
    if what != Initialized::Created {
        // As it is now: what was adopted is no longer another one's.
        let now = Repository::of(cx, &loaded.config)?;
        for warning in now.strangers().await? {
            cx.ui.warn(warning);
        }
    }
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
            "adopted_points": adopted,
            "adopted_points_of_profiles": of_profiles,
        }));
    } else {
        cx.ui.answer(format!(
            "{} {} as {}",
            what.sentence(),
            status.location(),
            repository.kopia.identity()
        ));
        if let Some(count) = adopted {
            let count = text::count(count, "restore point");
            cx.ui
                .answer(format!("{count} of other machines of this name adopted"));
        }
        if !args.adopt_profiles.is_empty() {
            let count = text::count(of_profiles, "restore point");
            cx.ui.answer(format!("{count} of other profiles adopted"));
        }
    }
    Ok(0)
}
