//! Puts a configuration in place, after the loader itself has read it.

use std::path::PathBuf;

use serde_json::Value;

use crate::base::private_file;
use crate::base::secret::Secret;
use crate::base::text::printable;
use crate::config;
use crate::config::import::LeftOut;
use crate::context::Context;
use crate::error::Result;
use crate::repository::credentials;

/// What a new configuration takes the place of.
pub struct Replaced {
    /// As it was named.
    pub path: PathBuf,
    /// Links followed.
    pub file: PathBuf,
    pub is_there: bool,
}

/// A configuration that is in place now.
pub struct Written {
    pub path: PathBuf,
    /// What was there before.
    pub copy: Option<PathBuf>,
    /// A password that was not shown yet.
    pub generated: Option<Secret>,
    /// The variables that went into the file of credentials.
    pub credentials: Vec<&'static str>,
    pub left_out: Vec<LeftOut>,
    pub notes: Vec<String>,
}

pub fn write(
    cx: &Context,
    place: &Replaced,
    document: &Value,
    credentials: &[(&'static str, Secret)],
) -> Result<Written> {
    let text = config::text_of(document)?;
    let loaded = config::check(&cx.paths, &place.path, &text)?;
    loaded.config.password()?;
    // They are only read through the configuration; then they have to be there.
    credentials::store(&cx.paths.credentials, credentials)?;
    let copy = if place.is_there {
        let copy = private_file::keep_copy(&place.file)?;
        private_file::replace(&place.file, &text)?;
        Some(copy)
    } else {
        private_file::create(&place.file, &text)?;
        None
    };
    Ok(Written {
        path: place.path.clone(),
        copy,
        generated: None,
        credentials: credentials.iter().map(|(name, _)| *name).collect(),
        left_out: Vec::new(),
        notes: Vec::new(),
    })
}

impl Written {
    /// Everything but the password.
    pub fn tell(&self, cx: &Context) {
        let kept = self.copy.as_ref().map_or_else(String::new, |copy| {
            format!("; what was there is kept as {}", copy.display())
        });
        cx.ui.say(format!(
            "Written: {} (readable for root alone){kept}",
            self.path.display()
        ));
        if !self.credentials.is_empty() {
            cx.ui.say(format!(
                "Credentials written to {}: {}",
                cx.paths.credentials.display(),
                self.credentials.join(", ")
            ));
        }
        for left_out in &self.left_out {
            cx.ui.say(format!(
                "Not carried over: `{}`: {}",
                printable(&left_out.key),
                left_out.reason
            ));
        }
        for note in &self.notes {
            cx.ui.say(format!("note: {note}"));
        }
    }

    /// The password, if it was made here: the only time that it is shown.
    pub fn show_password(&self, cx: &Context) {
        let Some(password) = &self.generated else {
            return;
        };
        cx.ui.show_secret(&format!(
            "\nThe password of the repository:\n\n    {}\n\nKeep a copy of it away from this host, in a password manager or on paper: without it the backups \
             cannot be read,\nand it will not be shown again. (It is in {}.)\n",
            password.expose(),
            self.path.display()
        ));
    }
}
