//! A directory that the operator names as the place for what is restored: nothing that is in it is ever replaced.

use std::path::Path;

use anyhow::Context as _;

use super::target::Target;
use crate::error::{Exit, Failure, Result};

/// Refuses a `folder` that cannot be used; a unit that moves wants one that is empty. Blocks.
pub fn check(folder: &Path, is_move: bool) -> Result<()> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::new(
                Exit::Usage,
                format!("nothing can be restored to `{}`", folder.display()),
            )
            .hint("`--target` takes a directory")
            .caused_by(error)
            .into());
        }
    };
    if is_move && entries.next().is_some() {
        return Err(Failure::new(
            Exit::UnitsFailed,
            format!("`{}` is not empty", folder.display()),
        )
        .hint("a unit moves to a new or an empty directory: `--target DIR`")
        .note("nothing was changed")
        .into());
    }
    Ok(())
}

/// Refuses a place below `folder` that is taken, or that a link leads out of it. Blocks.
pub fn check_target(target: &Target, folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    // As far as it exists; what does not exist has no links.
    let existing = folder
        .ancestors()
        .find_map(|ancestor| {
            let real = ancestor.canonicalize().ok()?;
            Some(real.join(folder.strip_prefix(ancestor).ok()?))
        })
        .with_context(|| format!("cannot access `{}`", folder.display()))?;
    if !target.path.starts_with(&existing) {
        return Err(Failure::new(
            Exit::UnitsFailed,
            format!(
                "a link in `{}` leads out of it, to `{}`",
                folder.display(),
                target.path.display()
            ),
        )
        .hint("restore to a new directory")
        .note("nothing was changed")
        .into());
    }
    let is_empty = || std::fs::read_dir(&target.path).is_ok_and(|mut all| all.next().is_none());
    if target.exists && !is_empty() {
        return Err(Failure::new(
            Exit::UnitsFailed,
            format!("`{}` already exists", target.path.display()),
        )
        .hint("restore to another directory, or move that away")
        .note("nothing was changed")
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::target::{self, Forbidden};
    use super::*;
    use crate::discovery::mount_table::MountTable;

    #[test]
    fn what_is_there_stays_and_links_lead_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (home, out) = (root.join("home"), root.join("out"));
        std::fs::create_dir_all(home.join("full/x")).unwrap();
        std::fs::create_dir_all(home.join("empty")).unwrap();
        std::fs::create_dir(&out).unwrap();
        std::os::unix::fs::symlink(&out, home.join("link")).unwrap();
        std::os::unix::fs::symlink(&home, root.join("alias")).unwrap();
        let look = |folder: &Path, path: &str| {
            let place = folder.join(path);
            let target =
                target::look(&place, &MountTable::read(), &Forbidden::default(), &[]).unwrap();
            check_target(&target, Some(folder))
        };
        for fine in ["new/x", "empty"] {
            look(&home, fine).unwrap();
            look(&root.join("alias"), fine).unwrap();
        }
        for refused in ["full", "link/x"] {
            assert!(look(&home, refused).is_err(), "{refused}");
        }
        check(&home, false).unwrap();
        assert!(check(&home, true).is_err());
        check(&out, true).unwrap();
        check(&root.join("nothing"), true).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        assert!(check(&root.join("file"), false).is_err());
    }
}
