//! Copies the files of a project: those that the labels name, and all that these name in turn.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::Captured;
use super::environment::{self, Environment};
use super::references::{Part, Reference, references};
use super::yaml;
use crate::discovery::labels;
use crate::error::Result;
use crate::model::Unit;
use crate::model::point::{FileRecord, FileRole, ProjectRecord};
use crate::model::source::{Gap, GapReason};
use crate::model::unit::ComposeProject;

/// Nothing that a compose file is made of is larger; what is, is data in the wrong place.
const LARGEST: u64 = 16 << 20;

/// An `include` that includes itself ends anyway, since no file is read twice; this bounds the unforeseen.
const MOST_PARTS: usize = 1000;

/// Runs on a thread of its own: the files may be on a disk that does not answer.
pub async fn capture(unit: &Unit, compose: &ComposeProject, folder: &Path) -> Result<Captured> {
    let (sender, captured) = oneshot::channel();
    let mut copier = Copier::new(unit, compose, folder);
    let compose = compose.clone();
    std::thread::Builder::new()
        .name("recipe".to_owned())
        .spawn(move || {
            let done = copier.project(&compose).map(|()| copier.captured);
            let _ = sender.send(done);
        })?;
    Ok(captured.await??)
}

struct Copier {
    folder: PathBuf,
    captured: Captured,
    /// Every path that was tried.
    seen: BTreeSet<PathBuf>,
    /// How a stack manager in a container names the project's folder, and where that is here.
    moved: Option<(PathBuf, PathBuf)>,
}

impl Copier {
    fn new(unit: &Unit, compose: &ComposeProject, folder: &Path) -> Self {
        let named = unit
            .containers
            .iter()
            .find_map(|container| container.labels.get(labels::WORKING_DIR));
        let moved = named
            .zip(compose.working_dir.as_ref())
            .and_then(|(named, here)| {
                let named = PathBuf::from(named);
                (named != *here).then(|| (named, here.clone()))
            });
        Self {
            folder: folder.join("files"),
            captured: Captured {
                project: None,
                files: Vec::new(),
                gaps: Vec::new(),
                warnings: Vec::new(),
            },
            seen: BTreeSet::new(),
            moved,
        }
    }

    /// An error is about the folder that is written to; whatever is wrong with the project is a gap.
    fn project(&mut self, compose: &ComposeProject) -> io::Result<()> {
        private_folder(&self.folder)?;
        let first = compose.files.first().and_then(|file| file.parent());
        let base = compose.working_dir.as_deref().or(first).map(Path::to_owned);
        let mut env_files = compose.env_files.clone();
        if let Some(base) = base.as_deref()
            && env_files.is_empty()
            && base.join(".env").is_file()
        {
            env_files.push(base.join(".env"));
        }
        let environment = self.environment(&env_files, &Environment::new())?;
        if let Some(base) = &base {
            let parts = compose.files.iter().map(|path| Part {
                path: path.clone(),
                base: base.clone(),
                environment: None,
                is_include: false,
            });
            self.parts(
                parts
                    .map(|part| (part, environment.clone(), FileRole::Compose))
                    .collect(),
            )?;
        }
        self.captured.project = Some(ProjectRecord {
            working_dir: compose.working_dir.clone(),
            compose_files: compose.files.clone(),
            env_files,
        });
        Ok(())
    }

    /// Copies and reads compose files, and the ones that these are made of.
    fn parts(&mut self, mut open: VecDeque<(Part, Environment, FileRole)>) -> io::Result<()> {
        for _ in 0..MOST_PARTS {
            let Some((part, mut environment, role)) = open.pop_front() else {
                return Ok(());
            };
            let path = self.here(part.path);
            if self.seen.contains(&path) {
                continue;
            }
            let Some(text) = self.file(&path, role, "compose file", true)? else {
                continue;
            };
            if part.is_include {
                let files = part
                    .environment
                    .unwrap_or_else(|| vec![part.base.join(".env")]);
                let files: Vec<PathBuf> = files.into_iter().filter(|file| file.is_file()).collect();
                environment = self.environment(&files, &environment)?;
            }
            let document = match yaml::parse(&String::from_utf8_lossy(&text)) {
                Ok(document) => document,
                Err(error) => {
                    let detail = format!(
                        "it is saved, but what it names is not: it can't be read as YAML: {error}"
                    );
                    self.gap(format!("compose file `{}`", path.display()), detail, true);
                    continue;
                }
            };
            let found = references(&document, &part.base, &environment);
            for reference in found.files {
                self.reference(reference)?;
            }
            for (service, context) in found.build_contexts {
                let what = format!(
                    "build context `{}` of service `{service}`",
                    context.display()
                );
                let detail = "of what an image is built from only the Dockerfile is saved";
                self.gap(what, detail.to_owned(), false);
            }
            open.extend(
                found
                    .parts
                    .into_iter()
                    .map(|part| (part, environment.clone(), FileRole::Referenced)),
            );
        }
        Ok(())
    }

    fn reference(&mut self, reference: Reference) -> io::Result<()> {
        let path = self.here(reference.path);
        // Compose goes on without it, so nobody misses it.
        if !self.seen.contains(&path) && (reference.is_required || path.exists()) {
            self.file(&path, FileRole::Referenced, &reference.what, true)?;
        }
        Ok(())
    }

    /// The variables of `files` over `outer`. What this process was started with comes last: it is seldom the
    /// environment that compose was run in.
    fn environment(&mut self, files: &[PathBuf], outer: &Environment) -> io::Result<Environment> {
        let mut variables: Environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        for file in files {
            if let Some(text) = self.file(file, FileRole::Environment, "environment file", true)? {
                environment::read(&String::from_utf8_lossy(&text), &mut variables);
            }
        }
        variables.extend(outer.clone());
        Ok(variables)
    }

    /// A path as this host has it.
    fn here(&self, path: PathBuf) -> PathBuf {
        match &self.moved {
            Some((from, to)) if !path.exists() => match path.strip_prefix(from) {
                Ok(below) => to.join(below),
                Err(_) => path,
            },
            _ => path,
        }
    }

    /// Copies one file and gives its content; `None` when it could not be saved, which is a gap by then.
    fn file(
        &mut self,
        path: &Path,
        role: FileRole,
        what: &str,
        is_loss: bool,
    ) -> io::Result<Option<Vec<u8>>> {
        if !self.seen.insert(path.to_owned()) {
            return Ok(None);
        }
        let original = match open(path) {
            Ok(original) => original,
            Err(why) => {
                self.gap(format!("{what}: `{}`", path.display()), why, is_loss);
                return Ok(None);
            }
        };
        let below = path.strip_prefix("/").unwrap_or(path);
        let copy = self.folder.join(below);
        if let Some(parent) = copy.parent() {
            private_folder(parent)?;
        }
        write_copy(&original, &copy)?;
        self.captured.files.push(FileRecord {
            path: path.to_owned(),
            role,
        });
        Ok(Some(original.content))
    }

    fn gap(&mut self, what: String, detail: String, is_loss: bool) {
        let gap = Gap {
            what,
            reason: GapReason::Recipe,
            detail,
            is_loss,
        };
        if !self.captured.gaps.contains(&gap) {
            self.captured.gaps.push(gap);
        }
    }
}

struct Original {
    metadata: std::fs::Metadata,
    content: Vec<u8>,
}

/// Reads a regular file of a reasonable size, links followed; else why not.
fn open(path: &Path) -> Result<Original, String> {
    let read = || -> io::Result<Result<Original, String>> {
        // The type is asked before the open: opening a named pipe waits for a writer.
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Ok(Err("it is not a regular file".to_owned()));
        }
        let mut content = Vec::new();
        File::open(path)?
            .take(LARGEST + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > LARGEST {
            return Ok(Err(format!("it is larger than {} MiB", LARGEST >> 20)));
        }
        Ok(Ok(Original { metadata, content }))
    };
    read().unwrap_or_else(|error| {
        Err(match error.kind() {
            io::ErrorKind::NotFound => "it is not there".to_owned(),
            _ => format!("it can't be read: {error}"),
        })
    })
}

/// With the owner, mode and time of the original. Nobody else gets to it: the folder is closed to them.
fn write_copy(original: &Original, path: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    copy.write_all(&original.content)?;
    let metadata = &original.metadata;
    std::os::unix::fs::fchown(&copy, Some(metadata.uid()), Some(metadata.gid()))?;
    // After the owner: a change of owner drops the bits for running as someone.
    copy.set_permissions(std::fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    copy.set_times(FileTimes::new().set_modified(metadata.modified()?))
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
