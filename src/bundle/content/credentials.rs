//! What opens the storage: the files that flags and variables name, and the variables themselves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::paths::Paths;
use crate::base::secret::Secret;
use crate::bundle::file::archive::{Member, sha256};
use crate::config::{Backend, Config};
use crate::drivers::kopia::Kopia;
use crate::repository::credentials::{line, of_file};

/// Far more than a key or a list of certificates.
const LARGEST: u64 = 4 << 20;

pub const VARIABLES: &str = "credentials/env-vars.txt";

pub const LIST: &str = "credentials/files.tsv";

/// Where Rclone looks when nothing names a file.
pub const RCLONE: &str = ".config/rclone/rclone.conf";

/// A file of this host that a new one needs.
pub struct HostFile {
    /// In the bundle.
    pub member: String,
    pub path: PathBuf,
    pub mode: u32,
    uid: u32,
    gid: u32,
    content: Vec<u8>,
}

/// Everything, and what is not in it: sentences.
#[derive(Default)]
pub struct Credentials {
    pub files: Vec<HostFile>,
    variables: String,
    /// Variables whose value is one of the files.
    pub named_by: Vec<(String, PathBuf)>,
    pub missing: Vec<String>,
}

impl Credentials {
    pub fn of(config: &Config, paths: &Paths, kopia: &Kopia) -> Self {
        let mut found = Self::default();
        let settings = &kopia.settings;
        for (name, value) in &settings.environment {
            found.variables.push_str(&line(name, value));
        }
        // They win, as they do when Kopia is started.
        for (name, value) in &settings.storage_env {
            found.variables.push_str(&line(name, value));
        }
        let params = &config.kopia.kopia_params;
        let mut named: BTreeSet<PathBuf> = params.files().into_iter().collect();
        named.extend(config.kopia.password_file.clone());
        let rclone = paths.home.join(RCLONE);
        if params.backend == Backend::Rclone && rclone.exists() {
            named.insert(rclone);
        }
        for (name, value) in &settings.environment {
            let path = Path::new(value.expose());
            if path.is_absolute() && path.is_file() {
                named.insert(path.to_owned());
                found.named_by.push((name.clone(), path.to_owned()));
            } else if path.is_absolute() && path.is_dir() {
                found.missing.push(format!(
                    "the directory that `{name}` names: copy it to the new host yourself"
                ));
            }
        }
        for path in named {
            found.add(&path);
        }
        found.add_environment(&paths.credentials, &settings.environment);
        if params.needs_ssh_program() {
            found.missing.push(
                "what the host's `ssh` uses by itself (its configuration, an agent, keys in `~/.ssh`): copy it to the new host yourself"
                    .to_owned(),
            );
        }
        found
    }

    fn add(&mut self, path: &Path) {
        let member = self.next_member();
        match read(path, member) {
            Ok(file) => self.files.push(file),
            Err(error) => self.missing.push(format!(
                "`{}`, which cannot be read: {error}",
                path.display()
            )),
        }
    }

    /// The file of the variables, with what only the environment of this process has: a new host knows nothing else of them.
    fn add_environment(&mut self, path: &Path, environment: &[(String, Secret)]) {
        let known = of_file(path).unwrap_or_default();
        let only_here: String = environment
            .iter()
            .filter(|(name, value)| known.get(name) != Some(value))
            .map(|(name, value)| line(name, value))
            .collect();
        if path.exists() {
            self.add(path);
        } else if !only_here.is_empty() {
            self.files.push(HostFile {
                member: self.next_member(),
                path: path.to_owned(),
                mode: 0o600,
                uid: 0,
                gid: 0,
                content: Vec::new(),
            });
        }
        if let Some(file) = self.files.last_mut().filter(|file| file.path == path)
            && !only_here.is_empty()
        {
            if file.content.last().is_some_and(|last| *last != b'\n') {
                file.content.push(b'\n');
            }
            file.content.extend(only_here.into_bytes());
        }
    }

    fn next_member(&self) -> String {
        format!("credentials/files/{}", self.files.len() + 1)
    }

    pub fn members(&self) -> Vec<Member> {
        let mut list = String::new();
        for file in &self.files {
            // Writing to a String cannot fail.
            let _ = writeln!(
                list,
                "{}\t{}\t{:o}\t{}:{}\t{}",
                file.member,
                file.path.display(),
                file.mode,
                file.uid,
                file.gid,
                sha256(&file.content)
            );
        }
        let files = self.files.iter();
        files
            .map(|file| Member::new(file.member.clone(), file.content.clone()))
            .chain([
                Member::new(LIST, list),
                Member::new(VARIABLES, self.variables.clone()),
            ])
            .collect()
    }
}

fn read(path: &Path, member: String) -> std::io::Result<HostFile> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    if path.to_string_lossy().contains(['\n', '\t']) {
        return Err(std::io::Error::other("its name has a line break or a tab"));
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is larger than 4 MiB"));
    }
    Ok(HostFile {
        member,
        path: std::path::absolute(path)?,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        content,
    })
}
