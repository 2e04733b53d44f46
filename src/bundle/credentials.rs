//! What opens the storage: the files that flags and variables name, and the variables themselves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::archive::{Member, sha256};
use crate::base::paths::Paths;
use crate::config::{Backend, Config};
use crate::drivers::kopia::Kopia;
use crate::repository::credentials::line;

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
        for path in [paths.credentials.clone(), paths.home.join(RCLONE)] {
            let is_of_rclone = path.ends_with(RCLONE);
            if path.exists() && (!is_of_rclone || params.backend == Backend::Rclone) {
                named.insert(path);
            }
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
        if params.needs_ssh_program() {
            found.missing.push(
                "what the host's `ssh` uses by itself (its configuration, an agent, keys in `~/.ssh`): copy it to the new host yourself"
                    .to_owned(),
            );
        }
        found
    }

    fn add(&mut self, path: &Path) {
        let member = format!("credentials/files/{}", self.files.len() + 1);
        match read(path, member) {
            Ok(file) => self.files.push(file),
            Err(error) => self.missing.push(format!(
                "`{}`, which cannot be read: {error}",
                path.display()
            )),
        }
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
