//! Where the password is kept: the password file, or the configuration itself.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use crate::base::private_file;
use crate::base::secret::Secret;
use crate::config::{self, Loaded};
use crate::error::{Exit, Failure, Result};

/// The file, links resolved. A failure when nothing can be put in its place.
pub fn place(loaded: &Loaded) -> Result<PathBuf> {
    let file = loaded.config.kopia.password_file.as_ref();
    let named = file.unwrap_or(&loaded.path);
    let find = || -> std::io::Result<PathBuf> {
        // It is what the old password was read from.
        named.metadata()?;
        private_file::place(named)
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
    private_file::replace(&place, &content)
}

fn with_password(config: &[u8], new: &Secret) -> Result<Vec<u8>> {
    let mut document = config::document_of(config)?;
    let password = document
        .pointer_mut("/kopia/password")
        .context("the configuration has no `kopia.password` any more")?;
    *password = Value::from(new.expose());
    config::text_of(&document)
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
