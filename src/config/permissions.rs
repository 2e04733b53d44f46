//! Who may read and write what holds secrets and decides what root does.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use crate::error::{Exit, Failure, Result};

/// Who may own a file that we trust, besides root.
#[derive(Debug)]
pub struct Caller {
    uids: Vec<u32>,
}

impl Caller {
    /// The user of this process; under `sudo` also the one who called it, whose file it may well be.
    pub fn of_this_process() -> Self {
        let own = rustix::process::geteuid();
        let mut uids = vec![own.as_raw()];
        if own.is_root() {
            let sudo = std::env::var("SUDO_UID").ok();
            uids.extend(sudo.and_then(|uid| uid.parse::<u32>().ok()));
        }
        Self { uids }
    }

    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || self.uids.contains(&uid)
    }
}

/// For every configuration: only root and the caller may be able to write it, as it decides what root does.
///
/// `file` is what was opened: behind a symbolic link it is the target that counts, and it cannot be replaced in the meantime.
pub fn check_trusted(file: &File, path: &Path, caller: &Caller) -> Result<()> {
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    // A device has a mode of its own, which must not be changed. A pipe is what `--config <(…)` is.
    if !kind.is_file() && !kind.is_fifo() {
        let message = format!("`{}` is not a file", path.display());
        return Err(Failure::new(Exit::Config, message).into());
    }
    if !caller.trusts(metadata.uid()) {
        let owner = metadata.uid();
        let message = format!(
            "`{}` belongs to another user (uid {owner}), who could change what is done with it",
            path.display()
        );
        return Err(refusal(message, "chown root", path));
    }
    if metadata.mode() & 0o002 != 0 {
        let message = format!(
            "`{}` can be changed by every user of this host",
            path.display()
        );
        return Err(refusal(message, "chmod 600", path));
    }
    Ok(())
}

/// For a file that holds a secret: only its owner may read it. `why` says what it holds.
pub fn check_secret(file: &File, path: &Path, why: &str, caller: &Caller) -> Result<()> {
    check_trusted(file, path, caller)?;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o066 == 0 {
        return Ok(());
    }
    let message = format!(
        "`{}` can be read or changed by other users of this host (mode {mode:04o}), and {why}",
        path.display()
    );
    Err(refusal(message, "chmod 600", path))
}

fn refusal(message: String, command: &str, path: &Path) -> anyhow::Error {
    let path = path.to_string_lossy();
    Failure::new(Exit::Config, message)
        .hint(format!("run `{command} {}`", shell_words::quote(&path)))
        .into()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::error::render;

    fn check(mode: u32, owners: &[u32], secret: bool) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        let link = folder.path().join("my config.json");
        std::fs::write(&target, "{}").unwrap();
        std::fs::set_permissions(&target, Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let file = File::open(&link).unwrap();
        let uids = owners.to_vec();
        let caller = Caller { uids };
        let result = if secret {
            check_secret(&file, &link, "it holds a password", &caller)
        } else {
            check_trusted(&file, &link, &caller)
        };
        result.map_err(|error| {
            render(&error).replace(&folder.path().display().to_string(), "/folder")
        })
    }

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn a_secret_is_for_its_owner_alone() {
        for mode in [0o600, 0o400, 0o700] {
            assert_eq!(check(mode, &[me()], true), Ok(()));
        }
        for mode in [0o640, 0o604, 0o620, 0o644] {
            let shown = check(mode, &[me()], true).unwrap_err();
            assert!(
                shown.contains("hint: run `chmod 600 '/folder/my config.json'`"),
                "{shown}"
            );
        }
    }

    #[test]
    fn without_a_secret_reading_is_free_and_writing_is_not() {
        assert_eq!(check(0o644, &[me()], false), Ok(()));
        assert!(
            check(0o646, &[me()], false)
                .unwrap_err()
                .contains("chmod 600")
        );
    }

    #[test]
    fn a_device_or_a_folder_is_no_file_and_keeps_its_mode() {
        for path in ["/dev/null", "/"] {
            let caller = Caller { uids: vec![me()] };
            let file = File::open(path).unwrap();
            let shown = render(&check_trusted(&file, Path::new(path), &caller).unwrap_err());
            assert_eq!(shown, format!("error: `{path}` is not a file\n"));
        }
    }

    #[test]
    fn only_root_and_the_caller_are_trusted_as_owners() {
        let caller = Caller { uids: vec![1000] };
        assert!(caller.trusts(0) && caller.trusts(1000));
        assert!(!caller.trusts(1001));
    }
}
