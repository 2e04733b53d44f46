//! The recipe as it was saved, file by file. The names in it may be forged: each is proven to be one plain name before
//! anything is written under it.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::base::text::printable;
use crate::drivers::kopia::{Entry, Kopia, PROCESSES};
use crate::error::{Exit, Failure, Result};
use crate::model::ObjectId;
use crate::model::point::{PointRecord, RECORD_FILE};
use crate::swap::attributes::give;

/// No recipe has as many; a forged one could have no end.
const MOST_ENTRIES: usize = 10_000;

/// What was replaced in the dumps: readable by root only, whatever its mode was.
const SECRETS: &str = "secrets.json";

/// Brings everything below `root` into `folder`, which is made. Returns what was left out.
pub async fn copy(kopia: &Kopia, root: &ObjectId, folder: &Path) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    let mut folders = vec![PathBuf::new()];
    let mut files = Vec::new();
    let mut count = 0;
    let mut written = BTreeSet::new();
    make_folder(folder)?;
    while let Some(inner) = folders.pop() {
        let place = text(&inner)?;
        let entries = kopia.read_folder(root, &place).await?;
        for entry in entries.with_context(|| format!("the recipe has no `{place}`"))? {
            count += 1;
            if count > MOST_ENTRIES {
                return Err(refused(format!("it has more than {MOST_ENTRIES} files")).into());
            }
            let path = inner.join(plain(&entry.name)?);
            match entry.kind.as_str() {
                "d" => {
                    make_folder(&folder.join(&path))?;
                    folders.push(path);
                }
                "f" => {
                    written.insert(path.clone());
                    files.push((path, entry));
                }
                _ => left_out.push(format!(
                    "`{}` of the recipe is not a regular file: it is left out",
                    printable(&path.display().to_string())
                )),
            }
        }
    }
    stream::iter(files)
        .map(Ok)
        .try_for_each_concurrent(PROCESSES, |(path, entry)| async move {
            let place = text(&path)?;
            let bytes = kopia.read_file(root, &place).await?.unwrap_or_default();
            if bytes.len() as u64 != entry.size {
                return Err(refused(format!("`{place}` could not be read whole")).into());
            }
            write(&folder.join(&path), &bytes, &entry)
                .with_context(|| format!("the copy of `{place}` cannot be written"))
        })
        .await?;
    give_all(folder, &written)?;
    Ok(left_out)
}

/// Gives each file of the unit the owner, mode and time that the record has for it; nothing for a record without them. The copy
/// of a link stays a file: what it led to may not be here.
fn give_all(folder: &Path, written: &BTreeSet<PathBuf>) -> Result<()> {
    let record = std::fs::read(folder.join(RECORD_FILE)).ok();
    let record: Option<PointRecord> =
        record.and_then(|record| serde_json::from_slice(&record).ok());
    for file in record.iter().flat_map(|record| &record.files) {
        let inner = Path::new("files").join(file.path.strip_prefix("/").unwrap_or(&file.path));
        // Only what was just written: a record may be forged.
        if let (Some(attributes), None, true) =
            (&file.attributes, &file.link, written.contains(&inner))
        {
            let copy = folder.join(&inner);
            give(&copy, attributes).with_context(|| {
                format!("`{}` cannot be given its owner and mode", copy.display())
            })?;
        }
    }
    Ok(())
}

fn plain(name: &str) -> Result<&str> {
    let mut parts = Path::new(name).components();
    let is_plain = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(part)), None) if part == name
    ) && !name.contains('\0');
    if is_plain {
        Ok(name)
    } else {
        Err(refused(format!("it has a file called `{}`", printable(name))).into())
    }
}

fn refused(why: String) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("the recipe is not copied: {why}"),
    )
    .hint("nothing was written; take another restore point")
}

/// As Kopia takes it.
fn text(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path is not valid UTF-8")?;
    Ok(text.to_owned())
}

fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create `{}`", path.display()))
}

/// A new file with the owner, mode and time of `entry`. What was replaced in the dumps stays readable by root only.
pub fn write(path: &Path, bytes: &[u8], entry: &Entry) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.set_modified(entry.mtime.into())?;
    if path.file_name().is_some_and(|name| name == SECRETS) {
        return Ok(());
    }
    fchown(&file, Some(entry.uid), Some(entry.gid))?;
    // After the owner: changing that takes setuid bits away.
    file.set_permissions(Permissions::from_mode(entry.mode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_name_is_written_under() {
        for fine in ["recipe.json", "a b", "-x", "..x", "$(id)", "a\nb"] {
            assert_eq!(plain(fine).unwrap(), fine);
        }
        for hostile in ["", ".", "..", "a/b", "/etc", "a/", "./a", "../a", "a\0b"] {
            assert!(plain(hostile).is_err(), "{hostile:?}");
        }
    }
}
