//! `--recipe --target DIR`: the whole recipe as plain files, to be read. Touches nothing else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::points::choose::{choose, unasked};
use crate::points::point::points;
use crate::points::recipe_tree;
use crate::repository::Repository;
use crate::restore::request::Request;

/// Writes it to `<folder>/recipes/<unit>`, which must not be there.
pub async fn run(cx: &Context, request: &Request, folder: &Path, is_dry: bool) -> Result<u8> {
    let config = cx.config()?.config;
    let repository = Repository::of(cx, &config)?;
    repository.open().await?;
    let kopia = &repository.kopia;
    let all = points(&kopia.list().await?);
    let point = choose(&all, &request.wanted(), kopia.me())?;
    if let Some(remark) = unasked(&all, point, &request.wanted(), kopia.me()) {
        cx.ui.warn(remark);
    }
    let parent = folder.join("recipes");
    let target = parent.join(point.unit.as_str());
    if std::fs::symlink_metadata(&target).is_ok() {
        return Err(Failure::new(
            Exit::UnitsFailed,
            format!("`{}` already exists", target.display()),
        )
        .hint("restore to another directory, or move that away")
        .note("nothing was changed")
        .into());
    }
    let root = point.recipe.as_ref().ok_or_else(|| {
        Failure::new(
            Exit::NothingMatched,
            format!("restore point {} has no recipe", point.backup_id),
        )
    })?;
    if !is_dry {
        let draft = draft_in(&parent)?;
        let copied = tokio::select! {
            biased;
            () = cx.shutdown.asked() => {
                let what = "a signal ended it: nothing was written";
                return Err(Failure::new(cx.shutdown.exit(), what).into());
            }
            copied = recipe_tree::copy(kopia, root, draft.path()) => copied?,
        };
        for left_out in copied {
            cx.ui.warn(left_out);
        }
        std::fs::rename(draft.path(), &target)
            .with_context(|| format!("cannot replace `{}`", target.display()))?;
        // It has another name by now.
        let _ = draft.keep();
    }
    if cx.ui.json {
        cx.ui.answer_json(&json!({"recipe": {
            "unit": point.unit, "backup_id": point.backup_id, "folder": target, "is_restored": !is_dry,
        }}));
    } else if is_dry {
        cx.ui
            .answer(format!("The recipe would go to `{}`", target.display()));
    } else if !cx.ui.quiet {
        cx.ui
            .answer(format!("The recipe is in `{}`", target.display()));
    }
    Ok(0)
}

/// A new directory for root alone, beside the place that it gets when it is whole.
fn draft_in(parent: &Path) -> Result<tempfile::TempDir> {
    std::fs::create_dir_all(parent)
        .with_context(|| format!("cannot create `{}`", parent.display()))?;
    tempfile::Builder::new()
        .prefix(".kopi-docka-recipe-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a directory in `{}`", parent.display()))
}
