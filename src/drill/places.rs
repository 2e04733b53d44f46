//! Where the drill's directory has what the original has at a path of the host.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::isolate::Placed;
use super::saved_files::{mirrored, original};
use crate::base::blocking::{aside, looked_up};
use crate::base::files::make_private_folder;
use crate::discovery::place;
use crate::drivers::docker::json::Json as _;
use crate::error::Result;
use crate::model::SourceKey;
use crate::model::point::SourceRecord;
use crate::points::saved::{fields, text};

/// What is copied from this host: time zones, certificates, no data.
const LARGEST_COPY: u64 = 1 << 20;

pub struct Places<'a> {
    pub folder: &'a Path,
    pub sources: &'a [SourceRecord],
    /// Files that are in the mirror.
    pub files: &'a [PathBuf],
    /// What was copied from this host, by its path; or why it was not.
    pub of_host: BTreeMap<PathBuf, Result<PathBuf, String>>,
}

/// Where the bind mount that is source `number` of the point goes.
pub fn bind_folder(folder: &Path, number: usize) -> PathBuf {
    folder.join("binds").join(number.to_string())
}

impl Places<'_> {
    pub fn place(&self, path: &Path, is_read_only: bool) -> Placed {
        if let Some((number, inside)) = self.source(path) {
            let root = bind_folder(self.folder, number);
            return if inside.as_os_str().is_empty() {
                Placed::At {
                    path: root,
                    root: None,
                }
            } else {
                Placed::At {
                    path: root.join(inside),
                    root: Some(root),
                }
            };
        }
        if let Some(path) = self.file(path) {
            return Placed::At { path, root: None };
        }
        match self.of_host.get(path) {
            Some(Ok(copy)) if is_read_only => Placed::At {
                path: copy.clone(),
                root: None,
            },
            Some(Err(why)) if is_read_only => Placed::Dropped(why.clone()),
            _ => Placed::Dropped("the point does not hold it".to_owned()),
        }
    }

    /// The innermost source that `path` is in, with the path in it.
    fn source(&self, path: &Path) -> Option<(usize, PathBuf)> {
        let mut best: Option<(usize, usize, PathBuf)> = None;
        for (number, source) in self.sources.iter().enumerate() {
            let SourceKey::Bind { path: bind } = &source.key else {
                continue;
            };
            for root in [bind, &source.read_from] {
                let Ok(inside) = path.strip_prefix(place::clean(root)) else {
                    continue;
                };
                let depth = root.components().count();
                let is_whole = !source.is_file || inside.as_os_str().is_empty();
                if is_whole && best.as_ref().is_none_or(|(known, ..)| depth > *known) {
                    best = Some((depth, number, inside.to_owned()));
                }
            }
        }
        best.map(|(_, number, inside)| (number, inside))
    }

    fn file(&self, path: &Path) -> Option<PathBuf> {
        let is_there = self.files.iter().any(|file| file == path);
        is_there.then(|| mirrored(self.folder, path)).flatten()
    }
}

/// Copies what services of `configs` mount read-only from this host, as far as `is_held` does not have it, and as it is no data.
pub async fn copy_from_host(
    folder: &Path,
    configs: &[Value],
    is_held: impl Fn(&Path) -> bool,
) -> Result<BTreeMap<PathBuf, Result<PathBuf, String>>> {
    let mut copies = BTreeMap::new();
    let wanted = wanted_of_host(folder, configs);
    for path in wanted.into_iter().filter(|path| !is_held(path)) {
        let to = folder.join("host").join(copies.len().to_string());
        let from = path.clone();
        let copied = looked_up(aside(move || copy(&from, &to))).await;
        copies.insert(path, copied.map_err(|error| format!("{error:#}")));
    }
    Ok(copies)
}

/// Paths on the host of what is mounted read-only, and of secrets and configs.
fn wanted_of_host(folder: &Path, configs: &[Value]) -> Vec<PathBuf> {
    let mut wanted = Vec::new();
    for config in configs {
        for (_, service) in fields(config.at("services")) {
            let mounts = service.at("volumes").as_array().into_iter().flatten();
            let binds = mounts
                .filter(|mount| text(mount.at("type")) == "bind" && mount.at("read_only") == true);
            wanted.extend(binds.map(|bind| text(bind.at("source"))));
        }
        for kind in ["secrets", "configs"] {
            wanted.extend(fields(config.at(kind)).map(|(_, file)| text(file.at("file"))));
        }
    }
    let mut paths: Vec<PathBuf> = wanted
        .into_iter()
        .filter(|path| !path.is_empty())
        .map(|path| original(folder, Path::new(&path.replace("$$", "$"))))
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A regular file of a size that is no data, with owner and mode. Blocks.
fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    let metadata =
        std::fs::metadata(from).context("the point does not hold it, and this host neither")?;
    if !metadata.is_file() || metadata.len() > LARGEST_COPY {
        anyhow::bail!("the point does not hold it, and it is no single file of at most 1 MiB");
    }
    make_private_folder(to.parent().unwrap_or(to))?;
    let bytes = std::fs::read(from).context("it cannot be read")?;
    std::fs::write(to, bytes)?;
    std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    std::fs::set_permissions(
        to,
        std::fs::Permissions::from_mode(metadata.mode() & 0o7777),
    )?;
    Ok(to.to_owned())
}

/// Whether every path of `within` leads to something in its root: what is restored may hold links. What is not there is made.
pub fn check_within(within: &[(PathBuf, PathBuf)]) -> Result<()> {
    for (root, path) in within {
        let real_root = std::fs::canonicalize(root)
            .with_context(|| format!("cannot access `{}`", root.display()))?;
        let mut above = path.as_path();
        let real = loop {
            match std::fs::canonicalize(above) {
                Ok(real) => break real,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if std::fs::symlink_metadata(above).is_ok() {
                        anyhow::bail!("`{}` is a link to nothing", above.display());
                    }
                    above = above.parent().context("it is nowhere")?;
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot access `{}`", above.display()));
                }
            }
        };
        if !real.starts_with(&real_root) {
            anyhow::bail!(
                "`{}` is a link in the restored data that leads out of the copy, to `{}`",
                path.display(),
                real.display()
            );
        }
        if above != path {
            std::fs::create_dir_all(path)
                .with_context(|| format!("cannot create `{}`", path.display()))?;
        }
    }
    Ok(())
}
