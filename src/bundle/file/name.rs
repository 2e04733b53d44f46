//! What bundles are called.

use std::path::{Path, PathBuf};

use crate::model::BackupId;

const PREFIX: &str = "kopi-docka-recovery-";
const SUFFIX: &str = ".tar.gz.enc";

/// Beside a bundle: what it is, and how it is opened.
pub const README: &str = ".README";

/// Beside a bundle where that was asked for.
pub const PASSWORD: &str = ".PASSWORD";

/// `kopi-docka-recovery-2025-01-31T23-59-59Z`, with the second in which it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BundleName {
    pub id: BackupId,
}

impl BundleName {
    /// What everything in it is below.
    pub fn directory(self) -> String {
        format!("{PREFIX}{}", self.id)
    }

    pub fn of_directory(name: &str) -> Option<Self> {
        let id = BackupId::parse(name.strip_prefix(PREFIX)?).ok()?;
        Some(Self { id })
    }

    pub fn file(self) -> String {
        format!("{PREFIX}{}{SUFFIX}", self.id)
    }

    pub fn of_file(path: &Path) -> Option<Self> {
        Self::of_directory(path.file_name()?.to_str()?.strip_suffix(SUFFIX)?)
    }
}

/// Whether it is called like a bundle, of this program or of another version of it: the Python tool wrote the time otherwise.
pub fn is_like_a_bundle(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// A file beside the bundle.
pub fn beside(bundle: &Path, suffix: &str) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        let name = BundleName {
            id: BackupId::parse("2025-01-31T23-59-59Z").unwrap(),
        };
        let file = "kopi-docka-recovery-2025-01-31T23-59-59Z.tar.gz.enc";
        assert_eq!(name.file(), file);
        assert_eq!(
            BundleName::of_file(&Path::new("/mnt").join(file)),
            Some(name)
        );
        for other in [
            "kopi-docka-recovery-20250131_235959.tar.gz.enc",
            "kopi-docka-recovery-2025-01-31T23-59-59Z.tar.gz.enc.README",
            "kopi-docka-recovery-2025-01-31T23-59-59Z.tar.gz",
            "recovery-2025-01-31T23-59-59Z.tar.gz.enc",
        ] {
            assert_eq!(BundleName::of_file(Path::new(other)), None, "{other}");
        }
        let python = "/mnt/kopi-docka-recovery-20250131_235959.tar.gz.enc";
        assert!(is_like_a_bundle(Path::new(python)));
        assert!(!is_like_a_bundle(&beside(Path::new(python), README)));
        assert_eq!(
            beside(Path::new("/mnt/a.tar.gz.enc"), README),
            Path::new("/mnt/a.tar.gz.enc.README")
        );
    }
}
