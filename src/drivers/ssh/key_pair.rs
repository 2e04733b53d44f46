//! The key that we log in with. It has no passphrase, since backups run unattended.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::base::files;
use crate::base::files::make_private_folder;
use crate::drivers::tool::{self, Spec};
use crate::error::{Exit, Failure, Result};

const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct KeyPair {
    /// `type base64 comment`, the line of `authorized_keys`.
    pub public: String,
}

impl KeyPair {
    /// The one that we make ourselves.
    pub fn own_file(home: &Path) -> PathBuf {
        super::folder(home).join("kopi-docka_ed25519")
    }

    /// The key in `file`, which must open without a passphrase.
    pub async fn open(file: &Path) -> Result<Self> {
        let spec = Spec::new(&super::find("ssh-keygen")?)
            .args(["-y", "-P", "", "-f"])
            .arg(file);
        let finished = tool::run(spec, DEADLINE).await?;
        let text = String::from_utf8_lossy(&finished.stdout);
        let mut words = text.split_whitespace();
        match (finished.ended.status.success(), words.next(), words.next()) {
            (true, Some(kind), Some(key)) => Ok(Self {
                public: format!("{kind} {key} kopi-docka"),
            }),
            _ => Err(Failure::new(
                Exit::Usage,
                format!(
                    "`{}` is no key that opens without a passphrase",
                    file.display()
                ),
            )
            .hint("name another key, or press enter for one of our own")
            .into()),
        }
    }

    /// Makes a new one at `file`, where none is: whole, or not at all.
    pub async fn make(file: &Path) -> Result<Self> {
        let folder = file.parent().unwrap_or(Path::new("/"));
        make_private_folder(folder)?;
        let work = tempfile::Builder::new()
            .prefix(".kopi-docka-key-")
            .tempdir_in(folder)
            .with_context(|| format!("cannot write to `{}`", folder.display()))?;
        let new = work.path().join("key");
        let spec = Spec::new(&super::find("ssh-keygen")?)
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "kopi-docka", "-f"])
            .arg(&new);
        let finished = tool::run(spec, DEADLINE).await?;
        if !finished.ended.status.success() {
            return Err(Failure::new(Exit::Program, finished.ended.describe())
                .note(finished.ended.stderr)
                .into());
        }
        let public = |file: &Path| file.with_extension("pub");
        let put = || -> std::io::Result<()> {
            std::fs::rename(public(&new), public(file))?;
            // Never over one that appeared meanwhile.
            std::fs::hard_link(&new, file)
        };
        put().with_context(|| format!("cannot create `{}`", file.display()))?;
        files::sync_folder(folder)?;
        Self::open(file).await
    }
}

/// Why a file that is there cannot be the key.
pub fn check_file(file: &Path) -> Result<(), String> {
    let meta = file
        .metadata()
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if !meta.is_file() {
        return Err("this is not a file".to_owned());
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let quoted = file.to_string_lossy();
        let quoted = shell_words::quote(&quoted);
        return Err(format!(
            "others can read it: run `chmod 600 {quoted}` first"
        ));
    }
    Ok(())
}
