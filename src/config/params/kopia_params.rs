//! `kopia_params`: the backend and its flags.

use super::flag;
use super::secrets;
use super::sftp;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::value::{expand_home, starts_at_root};
use super::backend::Backend;
use super::flag::Flag;
use super::secrets::Variables;

#[derive(Clone, PartialEq, Eq)]
pub struct KopiaParams {
    pub backend: Backend,
    flags: Vec<Flag>,
}

impl KopiaParams {
    /// A repository in a directory of this host.
    pub fn filesystem(path: &str) -> Self {
        Self {
            backend: Backend::Filesystem,
            flags: vec![Flag::new("path", path)],
        }
    }

    /// The error says what is wrong without repeating the text, which may hold a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shell_words::split(text).map_err(|_| "a quote is not closed".to_owned())?;
        let Some((first, rest)) = words.split_first() else {
            return Err(format!("names no backend; valid ones: {}", Backend::list()));
        };
        let backend = Backend::parse(first).ok_or_else(|| {
            format!(
                "names no backend that is known; the first word must be one of {}",
                Backend::list()
            )
        })?;
        let (mut flags, addresses) = flag::parse(rest)?;
        let takes_address = matches!(backend, Backend::Filesystem | Backend::Sftp);
        match addresses.as_slice() {
            [] => {}
            [address] if takes_address && !flags.iter().any(|flag| flag.name == "path") => {
                flags.insert(0, Flag::new("path", address));
            }
            _ => return Err("holds a word that is not part of a flag".to_owned()),
        }
        secrets::refuse_in_addresses(&flags)?;
        match backend {
            Backend::Filesystem => check_folder(&flags)?,
            Backend::Sftp => flags = sftp::normalise(flags)?,
            _ => {}
        }
        Ok(Self { backend, flags })
    }

    /// The value of `--name`, in either spelling.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let flag = self.flags.iter().find(|flag| flag.name == name)?;
        flag.value.as_deref()
    }

    /// The directory of a repository on this host.
    pub fn local_path(&self) -> Option<PathBuf> {
        match self.backend {
            Backend::Filesystem => self.flag("path").map(PathBuf::from),
            _ => None,
        }
    }

    /// The files of this host that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let flags = self.flags.iter().filter(|flag| names_file(flag));
        flags
            .filter_map(|flag| flag.value.as_ref().map(PathBuf::from))
            .collect()
    }

    /// Other files in the place of those that it names, where `moved` has one.
    pub fn relocate(&mut self, moved: impl Fn(&Path) -> Option<PathBuf>) {
        for flag in self.flags.iter_mut().filter(|flag| names_file(flag)) {
            if let Some(value) = &mut flag.value
                && let Some(path) = moved(Path::new(value.as_str()))
            {
                *value = path.display().to_string();
            }
        }
    }

    /// Kopia speaks SFTP itself, unless it is told to leave that to the host's `ssh`.
    pub fn is_over_ssh(&self) -> bool {
        self.backend == Backend::Sftp
    }

    /// Of the server that Kopia reaches by SSH: a name, or an address without brackets.
    pub fn ssh_host(&self) -> Option<String> {
        let host = self.flag("host").filter(|_| self.is_over_ssh())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(host.to_lowercase())
    }

    pub fn needs_ssh_program(&self) -> bool {
        self.is_over_ssh() && self.flags.iter().any(|flag| flag.name == "external")
    }

    /// The arguments that follow the name of the backend, without secrets; and the secrets as the variables that
    /// Kopia reads them from. Fails for a secret that Kopia takes from nowhere but its command line, which every
    /// user of the host can read.
    pub fn split_secrets(&self) -> crate::error::Result<(Vec<String>, Variables)> {
        secrets::split(&self.flags)
    }

    /// As one would write it, secrets replaced.
    pub fn masked(&self) -> String {
        let flags = self.flags.iter().map(secrets::masked);
        std::iter::once(self.backend.as_str().to_owned())
            .chain(flags)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// `~/` at the start of what names a file on this host: there is no shell that would do it.
    pub fn expand_home(&mut self, home: &Path) {
        for flag in &mut self.flags {
            let is_local =
                names_file(flag) || (flag.name == "path" && self.backend == Backend::Filesystem);
            if let Some(value) = flag.value.as_mut().filter(|_| is_local) {
                *value = expand_home(Path::new(value), home).display().to_string();
            }
        }
    }
}

/// Whether its value is a file of this host.
fn names_file(flag: &Flag) -> bool {
    matches!(
        flag.name.as_str(),
        "keyfile" | "known-hosts" | "credentials-file" | "root-ca-pem-path"
    )
}

fn check_folder(flags: &[Flag]) -> Result<(), String> {
    let path = flags
        .iter()
        .find(|flag| flag.name == "path")
        .and_then(|flag| flag.value.as_deref());
    match path {
        Some(path) if starts_at_root(path) => Ok(()),
        Some(_) => Err("needs an absolute path after --path".to_owned()),
        None => Err("needs a directory: `filesystem --path /directory`".to_owned()),
    }
}

impl fmt::Debug for KopiaParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for KopiaParams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

impl<'de> Deserialize<'de> for KopiaParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}
