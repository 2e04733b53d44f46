//! The password of all bundles of this host: random, made once, for a sheet of paper.

use std::io::Read as _;
use std::path::Path;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

use crate::base::private_file;
use crate::base::secret::Secret;
use crate::config::{Caller, check_secret};
use crate::error::{Exit, Failure, Result};

/// Gives the password where no file does.
pub const VARIABLE: &str = "KOPI_DOCKA_RECOVERY_PASSWORD";

const LENGTH: usize = 48;

/// Far more than any password.
const LARGEST_FILE: u64 = 64 * 1024;

/// That of this host; `None` before it was made.
pub fn stored(file: &Path) -> Result<Option<Secret>> {
    if file.symlink_metadata().is_err() {
        return Ok(None);
    }
    read(file).map(Some)
}

/// The content of `file`; one newline at its end is not part of it.
pub fn read(file: &Path) -> Result<Secret> {
    let name = file.display();
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Exit::Config,
            format!("the recovery password in `{name}` cannot be read"),
        )
        .caused_by(error)
    };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let why = "it opens the recovery bundles";
    check_secret(&opened, file, why, &Caller::of_this_process())?;
    let mut text = String::new();
    opened
        .take(LARGEST_FILE)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return Err(Failure::new(Exit::Config, format!("`{name}` is empty"))
            .hint("remove it: `kopi-docka disaster-recovery` makes a new password")
            .into());
    }
    Ok(Secret::new(text))
}

/// Makes one, and keeps it for the next bundles.
pub fn create(file: &Path) -> Result<Secret> {
    let password = random();
    let place = private_file::place(file)?;
    private_file::create(&place, format!("{}\n", password.expose()).as_bytes())?;
    Ok(password)
}

/// Another one in the place of that which is there, of which a copy is kept: older bundles need it.
pub fn replace(file: &Path) -> Result<Secret> {
    let password = random();
    let place = private_file::place(file)?;
    private_file::keep_copy(&place)?;
    private_file::replace(&place, format!("{}\n", password.expose()).as_bytes())?;
    Ok(password)
}

fn random() -> Secret {
    let random = rand::rng().sample_iter(Alphanumeric).take(LENGTH);
    Secret::new(random.map(char::from).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recovery-password");
        assert_eq!(stored(&file).unwrap(), None);
        let first = create(&file).unwrap();
        assert_eq!(first.expose().len(), LENGTH);
        assert!(first.expose().chars().all(|c| c.is_ascii_alphanumeric()));
        assert_eq!(stored(&file).unwrap().unwrap(), first);
        assert!(create(&file).is_err(), "there is one");
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = replace(&file).unwrap();
        assert_ne!(second, first);
        assert_eq!(stored(&file).unwrap().unwrap(), second);
        let all = std::fs::read_dir(folder.path()).unwrap();
        let copies: Vec<_> = all
            .map(|entry| entry.unwrap().path())
            .filter(|path| *path != file)
            .collect();
        let [copy] = copies.as_slice() else {
            panic!("{copies:?}")
        };
        assert_eq!(read(copy).unwrap(), first);
    }

    #[test]
    fn one_newline_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (content, expected) in [("a\n", "a"), ("a", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
            std::fs::write(&file, content).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read(&file).unwrap().expose(), expected);
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(stored(&file).is_err());
    }
}
