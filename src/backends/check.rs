//! What may be typed as an answer. The error completes a sentence that begins with the answer.

use std::path::Path;

/// One line of something, without what a terminal or a protocol would take for a command.
pub fn word(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("something has to be typed".to_owned());
    }
    optional(text)
}

/// [`word`], or nothing.
pub fn optional(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("control characters are not allowed".to_owned());
    }
    Ok(())
}

/// [`word`] that begins at the root.
pub fn absolute(text: &str) -> Result<(), String> {
    word(text)?;
    if Path::new(text).is_absolute() {
        return Ok(());
    }
    Err("an absolute path is needed, such as /srv/backup".to_owned())
}
