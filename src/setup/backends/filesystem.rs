//! A directory of this host, or one that is mounted on it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};

use super::params::Params;
use super::{Answers, check};
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::ui::prompt;

/// How long Docker may take to tell where its data is. Without an answer its usual place counts.
const DOCKER_DEADLINE: Duration = Duration::from_secs(10);

const DOCKER_ROOT: &str = "/var/lib/docker";

/// The file that every repository begins with, as Kopia calls it in a directory.
const FORMAT_FILE: &str = "kopia.repository.f";

pub async fn ask(cx: &Context, config: &Config) -> Result<Answers> {
    let docker = Docker::of(config).await;
    loop {
        let rules = config.clone();
        let path = prompt::text_or(
            "Directory of the repository",
            "/backup/kopia-repository",
            move |path| check_path(path, &rules),
            &cx.shutdown,
        )
        .await?;
        let folder = Path::new(&path);
        if let Ok(disk) = statvfs(existing(folder)) {
            let free = text::bytes(disk.f_bavail.saturating_mul(disk.f_frsize));
            cx.ui.say(format!("Free there: {free}"));
        }
        let doubts = docker.doubts(folder);
        for doubt in &doubts {
            cx.ui.warn(doubt);
        }
        if !doubts.is_empty()
            && !prompt::is_wanted("Use this directory anyway?", &cx.shutdown).await?
        {
            continue;
        }
        let has_repository = folder.join(FORMAT_FILE).exists();
        return Ok(Answers {
            kopia_params: params(&path).to_string(),
            credentials: Vec::new(),
            notes: Vec::new(),
            has_repository,
        });
    }
}

fn params(path: &str) -> Params {
    Params::of("filesystem").flag("path", path)
}

/// Whether a repository can be made, or is, at `path`.
fn check_path(path: &str, config: &Config) -> Result<(), String> {
    check::absolute(path)?;
    let folder = Path::new(path);
    if folder.exists() && !folder.is_dir() {
        return Err("this is a file, not a directory".to_owned());
    }
    let parent = existing(folder);
    access(&parent, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("`{}` cannot be written to: {error}", parent.display()))?;
    let params = params(path).parsed().map_err(|why| why.to_string())?;
    config.check_storage(params)
}

/// `folder` itself, or the nearest one above it that is there.
fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|folder| folder.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}

/// Where Docker keeps what a repository should survive.
struct Docker {
    root: PathBuf,
    /// What containers write to: the container, and the directory on this host.
    mounts: Vec<(String, PathBuf)>,
}

impl Docker {
    async fn of(config: &Config) -> Self {
        let inventory = async {
            let engine = Engine::connect(&config.docker.socket).await.ok()?;
            engine.inventory().await.ok()
        };
        let Ok(Some(inventory)) = tokio::time::timeout(DOCKER_DEADLINE, inventory).await else {
            return Self {
                root: DOCKER_ROOT.into(),
                mounts: Vec::new(),
            };
        };
        let mounts = inventory.containers.iter().flat_map(|container| {
            let name = container.name.as_deref().unwrap_or_default();
            let name = name.trim_start_matches('/');
            let mounts = container.mounts.iter().flatten();
            mounts
                .filter(|mount| mount.rw != Some(false))
                .filter_map(move |mount| {
                    let source = PathBuf::from(mount.source.as_ref()?);
                    (source.is_absolute() && source != Path::new("/"))
                        .then(|| (name.to_owned(), source))
                })
        });
        Self {
            mounts: mounts.collect(),
            root: inventory.docker_root.clone(),
        }
    }

    /// What speaks against a repository in `folder`.
    fn doubts(&self, folder: &Path) -> Vec<String> {
        let parent = existing(folder);
        let real = parent.canonicalize().unwrap_or_else(|_| parent.clone());
        let rest = folder.strip_prefix(&parent).unwrap_or(Path::new(""));
        let folder = real.join(rest);
        if folder.starts_with(&self.root) {
            return vec![format!(
                "this is inside `{}`, where Docker keeps its own data and may remove it",
                self.root.display()
            )];
        }
        let mount = self.mounts.iter().find(|(_, at)| folder.starts_with(at));
        if let Some((container, source)) = mount {
            return vec![format!(
                "this is inside `{}`, which the container `{}` can write to, and which would be part of its own backup",
                source.display(),
                text::printable(container)
            )];
        }
        let device = |path: &Path| path.metadata().ok().map(|meta| meta.dev());
        if device(&real).is_some() && device(&real) == device(&self.root) {
            return vec![
                "this is on the same disk as Docker's data: when the disk is lost, so are its backups"
                    .to_owned(),
            ];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_to_be_one_that_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default();
        let check = |path: PathBuf| check_path(path.to_str().unwrap(), &config);
        assert_eq!(check(folder.path().join("new/deep")), Ok(()));
        assert_eq!(check(folder.path().to_owned()), Ok(()));
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(check(folder.path().join("file")).is_err());
        assert!(check("relative".into()).is_err());
    }

    #[test]
    fn kopias_cache_is_no_place_for_a_repository() {
        let mut config = Config::default();
        let folder = tempfile::tempdir().unwrap();
        config.kopia.cache_directory = folder.path().to_owned();
        let inside = folder.path().join(config.profile()).join("repo");
        let error = check_path(inside.to_str().unwrap(), &config).unwrap_err();
        assert!(error.contains("Kopia's cache"), "{error}");
    }

    #[test]
    fn places_that_go_with_docker_are_doubted() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let docker = Docker {
            root: base.join("docker"),
            mounts: vec![("web".to_owned(), base.join("www"))],
        };
        let doubt = |path: &str| docker.doubts(&base.join(path)).concat();
        assert!(doubt("docker/volumes/x/_data").contains("its own data"));
        assert!(doubt("www/repo").contains("`web`"));
        // Docker's directory is not there, so its disk is unknown.
        assert_eq!(doubt("repo"), "");
        std::fs::create_dir(base.join("docker")).unwrap();
        assert!(doubt("repo").contains("same disk"));
    }
}
