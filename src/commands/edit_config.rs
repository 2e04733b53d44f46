//! `edit-config`: the configuration in an editor; checked before it replaces the old one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use crate::base::lock::Lock;
use crate::base::private_file;
use crate::bundle;
use crate::config::{self, Loaded};
use crate::context::Context;
use crate::drivers::tool::{self, Spec};
use crate::error::{self, Exit, Failure, Result};
use crate::model::report::BundleReport;
use crate::ui::prompt;

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Editor to use, with its arguments [default: $VISUAL, $EDITOR, nano or vi]
    #[arg(long, value_name = "COMMAND")]
    pub editor: Option<String>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("edit-config")?;
    let path = cx.config_target()?;
    if path.symlink_metadata().is_err() {
        // Says where it was looked for, and what makes one.
        cx.config()?;
    }
    if !prompt::is_possible() {
        return Err(Failure::new(
            Exit::Usage,
            "cannot start an editor: not running on a terminal",
        )
        .hint("run this on a terminal")
        .into());
    }
    let file = private_file::place(&path)
        .with_context(|| format!("`{}` cannot be replaced", path.display()))?;
    let editor = Editor::find(args.editor)?;
    let before = std::fs::read(&file)?;
    // What an editor leaves beside the file (swap files, its own copies) goes with the directory.
    let folder = tempfile::Builder::new()
        .prefix(".kopi-docka-edit-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(file.parent().unwrap_or(Path::new("/")))?;
    let draft = folder.path().join("kopi-docka.json");
    std::fs::write(&draft, &before)?;
    std::fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    let (after, loaded) = loop {
        editor.open(&draft, cx).await?;
        let after = std::fs::read(&draft).map_err(|error| {
            Failure::new(Exit::Program, "the editor left no file behind")
                .note("nothing was changed")
                .caused_by(error)
        })?;
        if after == before {
            tell(cx, &path, false, None);
            return Ok(0);
        }
        match config::check(&cx.paths, &path, &after) {
            Ok(loaded) => break (after, loaded),
            Err(error) => again(cx, &error).await?,
        }
    };
    let put = || -> Result<Lock> {
        // Any other change holds the lock.
        let lock = Lock::take(&cx.paths.runtime, "edit-config")?;
        if std::fs::read(&file)? != before {
            let what = format!(
                "`{}` was changed by someone else in the meantime",
                path.display()
            );
            return Err(Failure::new(Exit::Config, what).into());
        }
        private_file::replace(&file, &after)?;
        Ok(lock)
    };
    let _lock = put().map_err(|error| keep(&file, &after, error))?;
    for warning in &loaded.warnings {
        cx.ui.warn(warning);
    }
    warn_of_password(cx, &path, &before, &loaded);
    if !cx.ui.json {
        tell(cx, &path, true, None);
    }
    let is_told = bundle::are_of_interest(cx, &loaded).await;
    let bundle = renew_bundle(cx, &loaded, is_told).await;
    if cx.ui.json {
        let bundle = bundle.as_ref().ok().and_then(Option::as_ref);
        tell(cx, &path, true, bundle);
    }
    let bundle = bundle?;
    if !is_told {
        return Ok(0);
    }
    let lacks = "do not have this change";
    Ok(bundle::tell_outdated(cx, lacks, bundle.as_ref()))
}

/// With the new configuration, where bundles are made by themselves, and only when it opens the repository.
async fn renew_bundle(
    cx: &Context,
    loaded: &Loaded,
    is_told: bool,
) -> Result<Option<BundleReport>> {
    if !is_told || !loaded.config.backup.update_recovery_bundle {
        return Ok(None);
    }
    let renewing = async { Ok(Some(bundle::open_and_renew(cx, loaded).await)) };
    cx.shutdown.cut("the recovery bundle", renewing).await
}

fn tell(cx: &Context, path: &Path, is_changed: bool, bundle: Option<&BundleReport>) {
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "path": path, "changed": is_changed, "recovery_bundle": bundle,
        }));
    } else if is_changed {
        cx.ui.answer(format!("{} is changed", path.display()));
    } else {
        cx.ui.answer("Nothing was changed");
    }
}

/// `Ok`: the editor once more.
async fn again(cx: &Context, error: &anyhow::Error) -> Result<()> {
    cx.ui.error(&error::render(error));
    let items = vec![
        "Edit again".to_owned(),
        "Discard what was edited".to_owned(),
    ];
    match prompt::select("The edited configuration is not valid", items, &cx.shutdown).await? {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Declined, "discarded: nothing was changed").into()),
    }
}

/// What was edited is work that must not be lost.
fn keep(file: &Path, after: &[u8], error: anyhow::Error) -> anyhow::Error {
    let kept = private_file::keep_beside(file, "edited-", after);
    let exit = error::exit_of(&error);
    let failure = Failure::new(exit, "the edited configuration was not saved");
    match kept {
        Ok(kept) => failure.hint(format!(
            "it is kept in `{}`: compare it with the configuration",
            kept.display()
        )),
        Err(why) => failure.note(format!("it could not be kept either: {why:#}")),
    }
    .caused_by(error)
    .into()
}

/// The repository has the password that it was made with.
fn warn_of_password(cx: &Context, path: &Path, before: &[u8], after: &Loaded) {
    let Ok(before) = config::check(&cx.paths, path, before) else {
        return;
    };
    let (Ok(old), Ok(new)) = (before.config.password(), after.config.password()) else {
        return;
    };
    if old != new {
        cx.ui.warn(
            "the password was changed in the configuration alone: a repository that is there keeps its own, which \
             `kopi-docka change-password` changes",
        );
    }
}

struct Editor {
    program: PathBuf,
    args: Vec<String>,
}

impl Editor {
    fn find(named: Option<String>) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let named = [named, variable("VISUAL"), variable("EDITOR")];
        let named = named
            .into_iter()
            .flatten()
            .find(|editor| !editor.trim().is_empty());
        let remedy = "name one with `--editor COMMAND`";
        let Some(named) = named else {
            let program = tool::find("nano", remedy).or_else(|_| tool::find("vi", remedy))?;
            return Ok(Self {
                program,
                args: Vec::new(),
            });
        };
        let words = shell_words::split(&named).unwrap_or_default();
        let Some((program, args)) = words.split_first() else {
            return Err(
                Failure::new(Exit::Usage, "the editor is not a valid command")
                    .hint(remedy)
                    .into(),
            );
        };
        let program = if program.contains('/') {
            std::path::absolute(program)?
        } else {
            tool::find(program, remedy)?
        };
        Ok(Self {
            program,
            args: args.to_vec(),
        })
    }

    async fn open(&self, draft: &Path, cx: &Context) -> Result<()> {
        let spec = Spec::new(&self.program).args(&self.args).arg(draft);
        let status = tool::foreground(spec, &cx.shutdown).await?;
        if status.success() {
            return Ok(());
        }
        let what = format!("the editor `{}` failed ({status})", self.program.display());
        Err(Failure::new(Exit::Program, what)
            .note("nothing was changed")
            .into())
    }
}
