//! Where the password is kept: the password file, or the configuration itself. Replaced in one step; it keeps its owner and
//! becomes readable for that owner alone.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::config::{Loaded, Secret};
use crate::error::{Exit, Failure, Result};
use crate::state;

/// The file, links resolved. A failure when nothing can be put in its place.
pub fn place(loaded: &Loaded) -> Result<PathBuf> {
    let file = loaded.config.kopia.password_file.as_ref();
    let named = file.unwrap_or(&loaded.path);
    let find = || -> std::io::Result<PathBuf> {
        let place = named.canonicalize()?;
        if !place.metadata()?.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        drop(beside(&place)?);
        Ok(place)
    };
    find().map_err(|error| {
        Failure::new(
            Exit::Config,
            format!("no new password can be stored in `{}`", named.display()),
        )
        .hint(
            "put the password into a file that can be written and name it in `kopia.password_file`",
        )
        .caused_by(error)
        .into()
    })
}

/// Puts `new` where the old one is. Everything else in a configuration stays, unknown keys too.
pub fn store(loaded: &Loaded, new: &Secret) -> Result<()> {
    let place = place(loaded)?;
    let content = if loaded.config.kopia.password_file.is_some() {
        format!("{}\n", new.expose()).into_bytes()
    } else {
        with_password(&std::fs::read(&place)?, new)?
    };
    replace(&place, &content).with_context(|| format!("`{}` can't be replaced", place.display()))
}

fn with_password(config: &[u8], new: &Secret) -> Result<Vec<u8>> {
    let config = config.strip_prefix(b"\xef\xbb\xbf").unwrap_or(config);
    let mut document: Value =
        serde_json::from_slice(config).context("the configuration has become unreadable")?;
    let password = document
        .pointer_mut("/kopia/password")
        .context("the configuration has no `kopia.password` any more")?;
    *password = Value::from(new.expose());
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

fn replace(place: &Path, content: &[u8]) -> Result<()> {
    let owner = place.metadata()?;
    let mut file = beside(place)?;
    file.write_all(content)?;
    fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))?;
    file.as_file().sync_all()?;
    file.persist(place)?;
    state::sync_folder(folder(place))
}

fn beside(place: &Path) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".kopi-docka-new-")
        .tempfile_in(folder(place))
}

fn folder(place: &Path) -> &Path {
    place.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_of_a_configuration_changes() {
        let config = b"\xef\xbb\xbf{\"mine\": [1.50, {\"z\": 1, \"a\": 2}], \"kopia\": {\"profile\": \"x\", \"password\": \"old\"}}";
        let new = with_password(config, &Secret::new("a \"new\" one")).unwrap();
        let text = String::from_utf8(new).unwrap();
        let compact: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            compact.to_string(),
            r#"{"mine":[1.5,{"z":1,"a":2}],"kopia":{"profile":"x","password":"a \"new\" one"}}"#
        );
        assert!(with_password(b"{\"kopia\": {}}", &Secret::new("x")).is_err());
    }
}
