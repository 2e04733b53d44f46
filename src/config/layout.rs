//! Directories that must not lie in each other.

use std::path::Path;

use super::key_path::KeyPath;
use super::schema::Config;

/// Kopia deletes its cache as it likes, so nothing else may be in there; `Err` is the key that is, and why not.
pub fn check(config: &Config) -> Result<(), (KeyPath, String)> {
    let cache = config.kopia_cache();
    let repository = config.kopia.kopia_params.local_path();
    let log = config.logging.file.as_deref();
    let keys: [(&[&str], Option<&Path>); 8] = [
        (&["backup", "base_path"], Some(&config.backup.base_path)),
        (
            &["backup", "recovery_bundle_path"],
            Some(&config.backup.recovery_bundle_path),
        ),
        (
            &["backup", "recovery_bundle_copy"],
            config.backup.recovery_bundle_copy.as_deref(),
        ),
        (
            &["backup", "spool", "directory"],
            Some(&config.backup.spool.directory),
        ),
        (
            &["kopia", "password_file"],
            config.kopia.password_file.as_deref(),
        ),
        (&["kopia", "kopia_params"], repository.as_deref()),
        (&["logging", "file"], log),
        (&["metrics", "textfile"], config.metrics.textfile.as_deref()),
    ];
    for (key, path) in keys {
        if path.is_some_and(|path| path.starts_with(&cache)) {
            let message = format!(
                "is inside `{}`, Kopia's cache, where nothing is safe: choose another directory, or another `kopia.profile`",
                cache.display()
            );
            return Err((KeyPath::of(key), message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_ours_is_put_into_kopias_cache() {
        let mut config = Config::default();
        assert_eq!(check(&config), Ok(()));
        config.kopia.profile = "spool".to_owned();
        let (key, _) = check(&config).unwrap_err();
        assert_eq!(key.to_string(), "backup.spool.directory");
    }
}
