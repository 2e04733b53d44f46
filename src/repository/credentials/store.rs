//! Puts credentials into the file. Every other line of it stays, comments too.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Context as _;

use super::parse::{self, Assignment};
use crate::base::private_file;
use crate::base::secret::Secret;
use crate::error::Result;

/// Sets or replaces `new` in `file`, which is made when it is not there. Nothing to set: nothing is written.
pub fn store(file: &Path, new: &[(&str, Secret)]) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let text = super::environment::read(file)?;
    let found = parse::parse(&text, &file.display().to_string())?;
    let place = private_file::place(file)
        .with_context(|| format!("no credentials can be stored in `{}`", file.display()))?;
    private_file::replace(&place, with(&text, &found, new).as_bytes())
}

fn with(text: &str, found: &[Assignment], new: &[(&str, Secret)]) -> String {
    let mut result = String::new();
    let mut written = HashSet::new();
    let mut copied = 0;
    for assignment in found {
        let Some((name, value)) = new.iter().find(|(name, _)| *name == assignment.name) else {
            continue;
        };
        result.push_str(text.get(copied..assignment.span.start).unwrap_or_default());
        // The last of several would count.
        if written.insert(*name) {
            result.push_str(&parse::line(name, value));
        }
        copied = assignment.span.end;
    }
    result.push_str(text.get(copied..).unwrap_or_default());
    if !result.is_empty() && !result.ends_with('\n') {
        result.push('\n');
    }
    for (name, value) in new.iter().filter(|(name, _)| !written.contains(name)) {
        result.push_str(&parse::line(name, value));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_stays_as_it_is() {
        let text = "# mine\n\n  B='old\nvalue' \nexport A = \"1\"\n;B=2\nB=3\nC=4";
        let found = parse::parse(text, "/f").ok().unwrap();
        let new = [("B", Secret::new("n$w")), ("D", Secret::new("d"))];
        assert_eq!(
            with(text, &found, &new),
            "# mine\n\n  B=\"n\\$w\"\nexport A = \"1\"\n;B=2\nC=4\nD=d\n"
        );
        assert_eq!(with("", &[], &new), "B=\"n\\$w\"\nD=d\n");
    }

    #[test]
    fn a_new_file_is_private_and_one_that_others_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        store(&file, &[("B2_KEY", Secret::new("k"))]).unwrap();
        let mode = || file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = store(&file, &[("B2_KEY", Secret::new("hunter2"))]).unwrap_err();
        let shown = crate::error::render(&error);
        assert!(shown.contains("chmod 600"), "{shown}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "B2_KEY=k\n");
    }
}
