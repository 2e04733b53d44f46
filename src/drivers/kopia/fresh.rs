//! A connection that reads what the storage has. Through the usual one Kopia is content with what an earlier call left in
//! its cache, and a blob that is damaged or gone goes unnoticed.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::client::Kopia;
use crate::error::Result;

/// Its profile and its cache are gone when this is dropped.
pub struct Fresh {
    pub kopia: Kopia,
}

impl Kopia {
    /// At most one at a time: the caller holds a lock. What a killed one left is removed.
    pub fn fresh(&self) -> Result<Fresh> {
        let mut kopia = self.clone();
        kopia.profile = beside(&self.profile);
        kopia.cache = beside(&self.cache);
        let fresh = Fresh { kopia };
        fresh.remove();
        let profile = std::fs::read(&self.profile)
            .with_context(|| format!("cannot read `{}`", self.profile.display()))?;
        let mut profile: Value = serde_json::from_slice(&profile)
            .with_context(|| format!("`{}` is damaged", self.profile.display()))?;
        if let Some(caching) = profile.get_mut("caching").and_then(Value::as_object_mut) {
            let cache = fresh.kopia.cache.to_string_lossy().into_owned();
            caching.insert("cacheDirectory".into(), cache.into());
            // What is read once needs no cache. Not 0: Kopia 0.23.1 then dies of a nil pointer.
            caching.insert("maxCacheSize".into(), 1.into());
            caching.insert("contentCacheSizeLimitBytes".into(), 1.into());
        }
        crate::base::files::make_private_folder(&fresh.kopia.cache)?;
        // It may hold credentials of the storage, as the one that it is made of.
        let write = || -> std::io::Result<()> {
            let folder = fresh.kopia.profile.parent().unwrap_or(Path::new("/"));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.as_file()
                .set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(profile.to_string().as_bytes())?;
            file.persist(&fresh.kopia.profile)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write `{}`", fresh.kopia.profile.display()))?;
        Ok(fresh)
    }
}

impl Fresh {
    fn remove(&self) {
        // What stays is removed by the next one.
        let _ = std::fs::remove_file(&self.kopia.profile);
        let _ = std::fs::remove_dir_all(&self.kopia.cache);
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.remove();
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".fresh");
    name.into()
}
