//! Writes the scripts.

use super::readme;
use super::script;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::script::{Described, Script};
use crate::config::Config;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::model::point::{PointRecord, SourceRecord, dump_name};
use crate::model::source::SourceKey;
use crate::points::choose::{choose, unasked};
use crate::points::lists;
use crate::points::point::{Point, Tool, complete_roots, points};
use crate::points::recipe::{self, SavedVolume};
use crate::points::recipe_tree;
use crate::points::whose::Whose;
use crate::repository::Repository;
use crate::restore::plan::locate::check_volume_name;
use crate::restore::plan::names::Trust;
use crate::restore::plan::select::select;
use crate::restore::request::Request;

/// Writes everything into `folder`, which must not exist, or be empty.
pub async fn run(cx: &Context, request: &Request, folder: &Path) -> Result<u8> {
    let folder = std::path::absolute(folder)?;
    refuse_full(&folder)?;
    let written = tokio::select! {
        biased;
        () = cx.shutdown.asked() => {
            let what = "a signal ended it: nothing was written";
            return Err(Failure::new(cx.shutdown.exit(), what).into());
        }
        written = write(cx, request, &folder) => written?,
    };
    for warning in &written.warnings {
        cx.ui.warn(warning);
    }
    if cx.ui.json {
        cx.ui.answer_json(&json!({"scripts": {
            "folder": folder, "files": written.files, "warnings": written.warnings,
        }}));
    } else if !cx.ui.quiet {
        cx.ui.answer(format!("Wrote `{}`:", folder.display()));
        for file in &written.files {
            cx.ui.answer(format!("  {file}"));
        }
    }
    Ok(0)
}

struct Written {
    /// Names below the directory.
    files: Vec<String>,
    warnings: Vec<String>,
}

async fn write(cx: &Context, request: &Request, folder: &Path) -> Result<Written> {
    let config = cx.config()?.config;
    let repository = Repository::of(cx, &config)?;
    repository.open().await?;
    let kopia = &repository.kopia;
    let manifests = kopia.list().await?;
    let all = points(&manifests);
    let point = choose(&all, &request.wanted(), kopia.me())?;
    if point.made_by == Tool::Python {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{} was made by the Python tool: its data is in forms that a script cannot read",
                point.backup_id
            ),
        )
        .hint("restore it without `--scripts`; with `--volume NAME --target DIR` as plain directories")
        .into());
    }
    let (root, record) = recipe::read(kopia, point).await?;
    let mut sources = select(&record, &[], request, &complete_roots(&manifests))?;
    lists::read(kopia, &root, &record, &mut sources).await?;
    let mut warnings = crate::restore::plan::advice::doubts(&all, point, &record, &sources);
    warnings.extend(unasked(&all, point, &request.wanted(), kopia.me()));

    let parent = folder.parent().unwrap_or(Path::new("/"));
    let draft = tempfile::Builder::new()
        .prefix(".kopi-docka-scripts-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a directory in `{}`", parent.display()))?;
    let recipe = draft.path().join("recipes").join(record.unit.as_str());
    warnings.extend(recipe_tree::copy(kopia, &root, &recipe).await?);
    let trust = trust(
        cx,
        &config,
        request,
        Whose::of(&all, kopia.me(), None).is_own(point),
    )?;
    let sources = outermost_first(sources);
    let mut files = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let written = Writing {
            point,
            record: &record,
            recipe: &recipe,
            profile: kopia.profile(),
            trust: &trust,
            accepts_losses: request.doors.accept_lost_attributes,
        };
        let script = written.describe(source, &mut warnings)?;
        let name = script.file_name(index + 1);
        write_file(&draft.path().join(&name), 0o700, &script.text())?;
        files.push(name);
    }
    let readme = readme::text(kopia, point, &record, &files, &warnings);
    write_file(&draft.path().join("README.md"), 0o600, &readme)?;
    files.insert(0, "README.md".to_owned());
    files.push(format!("recipes/{}", record.unit));

    std::fs::rename(draft.path(), folder)
        .with_context(|| format!("cannot replace `{}`", folder.display()))?;
    // It has another name by now.
    let _ = draft.keep();
    Ok(Written { files, warnings })
}

fn refuse_full(folder: &Path) -> Result<()> {
    let why = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => format!("cannot be used: {error}"),
        Ok(mut entries) => match entries.next() {
            None => return Ok(()),
            Some(_) => "is not empty".to_owned(),
        },
    };
    Err(
        Failure::new(Exit::Usage, format!("`{}` {why}", folder.display()))
            .hint("name a directory that does not exist yet")
            .into(),
    )
}

/// What lies in another one comes after it.
fn outermost_first(mut sources: Vec<SourceRecord>) -> Vec<SourceRecord> {
    sources.sort_by_key(|source| match &source.key {
        SourceKey::Bind { path } => path.components().count(),
        SourceKey::Volume { .. } => source.read_from.components().count(),
    });
    sources
}

/// By what the places are judged that scripts write to: they may be run without being read.
fn trust(cx: &Context, config: &Config, request: &Request, is_own: bool) -> Result<Trust> {
    let own = [cx.config_target()?, cx.paths.credentials.clone()];
    Ok(Trust {
        allowed: request.doors.allow_paths.clone(),
        own_files: own
            .into_iter()
            .chain(config.kopia.password_file.clone())
            .collect(),
        is_own,
        can_ask: request.doors.can_ask && is_own,
        ..Trust::default()
    })
}

/// What every script is written from.
struct Writing<'a> {
    point: &'a Point,
    record: &'a PointRecord,
    recipe: &'a Path,
    profile: &'a Path,
    trust: &'a Trust,
    accepts_losses: bool,
}

impl Writing<'_> {
    fn describe(&self, source: &SourceRecord, warnings: &mut Vec<String>) -> Result<Script> {
        let mut place = |path: &Path| -> Result<()> {
            if let Some(power) = self.trust.data(path, source.is_included)? {
                warnings.push(format!(
                    "`{}` has power over the host: {} ({})",
                    power.path.display(),
                    power.why,
                    power.consent.words()
                ));
            }
            Ok(())
        };
        let volume = match &source.key {
            SourceKey::Bind { path } => {
                place(path)?;
                None
            }
            SourceKey::Volume { name } => {
                check_volume_name(name)?;
                let description = self
                    .recipe
                    .join(format!("docker/volumes/{}", dump_name(name)));
                let saved: Option<SavedVolume> = match std::fs::read(&description) {
                    Ok(bytes) => Some(SavedVolume::parse(&bytes).with_context(|| {
                        format!("the recipe's description of volume `{name}` is damaged")
                    })?),
                    Err(_) => None,
                };
                Some(saved.unwrap_or_else(|| SavedVolume {
                    driver: "local".to_owned(),
                    options: None,
                    labels: None,
                }))
            }
        };
        let device = match (&source.key, &volume) {
            (SourceKey::Volume { name }, Some(volume)) => script::device(name, volume)?,
            _ => None,
        };
        if let Some(device) = &device {
            place(device)?;
        }
        Script::of(&Described {
            point: self.point,
            record: self.record,
            source,
            volume,
            device,
            users: users(self.recipe, source),
            others: self.others(source),
            profile: self.profile,
            accepts_losses: self.accepts_losses,
        })
    }

    /// Where other sources lie in `source` whose data is not in its stream.
    fn others(&self, source: &SourceRecord) -> Vec<PathBuf> {
        let covered = source.covers.as_deref().unwrap_or_default();
        let all = self.record.sources.iter();
        let others = all.filter(|other| other.key != source.key && !covered.contains(&other.key));
        let below = others.filter_map(|other| {
            let by_name = match (&other.key, &source.key) {
                (SourceKey::Bind { path }, SourceKey::Bind { path: outer }) => {
                    path.strip_prefix(outer).ok()
                }
                _ => None,
            };
            let below = by_name.or_else(|| other.read_from.strip_prefix(&source.read_from).ok())?;
            (!below.as_os_str().is_empty()).then(|| below.to_owned())
        });
        let mut below: Vec<PathBuf> = below.collect();
        below.sort();
        // What lies in one that stays, stays with it.
        below.dedup_by(|inner, outer| inner.starts_with(outer));
        below
    }
}

/// Names of the containers that had the bind mounted when it was saved.
fn users(recipe: &Path, source: &SourceRecord) -> BTreeSet<String> {
    let SourceKey::Bind { path } = &source.key else {
        return BTreeSet::new();
    };
    let dumps = std::fs::read_dir(recipe.join("docker/containers"))
        .into_iter()
        .flatten();
    dumps
        .flatten()
        .filter_map(|dump| std::fs::read(dump.path()).ok())
        .filter_map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
        .filter(|container| {
            let mounts = container.get("Mounts").and_then(|mounts| mounts.as_array());
            mounts.into_iter().flatten().any(|mount| {
                let mounted = mount.get("Source").and_then(|source| source.as_str());
                mounted.is_some_and(|mounted| {
                    let mounted = Path::new(mounted);
                    mounted.starts_with(path) || path.starts_with(mounted)
                })
            })
        })
        .filter_map(|container| {
            let name = container.get("Name")?.as_str()?;
            Some(name.trim_start_matches('/').to_owned())
        })
        .filter(|name| {
            // Docker's own rule: nothing in it that a shell would see a meaning in.
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
        })
        .collect()
}

fn write_file(path: &Path, mode: u32, text: &str) -> Result<()> {
    std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}
