//! What is deleted and stripped before a part is extracted: fetched from the recipe, checked, and put into the parts.
//!
//! Who can write into the repository can write anything into a list, and what it names is removed as root.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::point::{Point, Tool};
use crate::base::text::{hex, printable};
use crate::drivers::kopia::{Kopia, PROCESSES};
use crate::error::{Exit, Failure, Result};
use crate::model::point::{ListEnding, PathList, PointRecord, SourceRecord, inside, list_file};
use crate::model::{ObjectId, SourceKey};

/// One that has to be read.
struct Wanted {
    /// Where it goes: in the slice that was given, and in the parts of that.
    source: usize,
    part: usize,
    ending: ListEnding,
    list: PathList,
    file: String,
}

/// Fills in the lists of all parts of `sources`, which are as the `record` of `point` has them.
pub async fn read_of(
    kopia: &Kopia,
    point: &Point,
    record: &PointRecord,
    sources: &mut [SourceRecord],
) -> Result<()> {
    match (&point.recipe, point.made_by) {
        (Some(root), Tool::KopiDocka) => read(kopia, root, record, sources).await,
        // Others have none.
        _ => Ok(()),
    }
}

/// As [`read_of`]; `root` is that of the recipe.
pub async fn read(
    kopia: &Kopia,
    root: &ObjectId,
    record: &PointRecord,
    sources: &mut [SourceRecord],
) -> Result<()> {
    let mut wanted = Vec::new();
    for (source, asked) in sources.iter().enumerate() {
        let place = record.sources.iter().position(|one| one.key == asked.key);
        for (part, found) in asked.parts.iter().enumerate() {
            for (ending, list) in [
                (ListEnding::Delete, &found.deleted),
                (ListEnding::Strip, &found.stripped),
            ] {
                let (Some(list), Some(place)) = (list.clone(), place) else {
                    continue;
                };
                if part == 0 {
                    return Err(refused(&asked.key, "its first part deletes something").into());
                }
                let file = list_file(place, part, ending);
                wanted.push(Wanted {
                    source,
                    part,
                    ending,
                    list,
                    file,
                });
            }
        }
    }
    let keys: Vec<SourceKey> = sources.iter().map(|source| source.key.clone()).collect();
    let keys = &keys;
    let found: Vec<(Wanted, Vec<PathBuf>)> = stream::iter(wanted)
        .map(|wanted| async move {
            let bytes = kopia.read_file(root, &wanted.file).await?;
            let paths = match &bytes {
                Some(bytes) => parse(bytes, &wanted.list, wanted.ending),
                None => Err("it is missing".to_owned()),
            };
            match (paths, keys.get(wanted.source)) {
                (Err(why), Some(key)) => {
                    Err(refused(key, &format!("`{}`: {why}", wanted.file)).into())
                }
                (Err(why), None) => Err(anyhow::anyhow!(why)),
                (Ok(paths), _) => Ok((wanted, paths)),
            }
        })
        .buffered(PROCESSES)
        .try_collect()
        .await?;
    for (wanted, paths) in found {
        let source = sources.get_mut(wanted.source);
        let Some(part) = source.and_then(|source| source.parts.get_mut(wanted.part)) else {
            continue;
        };
        let lists = Arc::make_mut(part.lists.get_or_insert_with(Arc::default));
        match wanted.ending {
            ListEnding::Delete => lists.deleted = paths,
            ListEnding::Strip => lists.stripped = paths,
        }
    }
    Ok(())
}

fn refused(key: &SourceKey, why: &str) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("a list in the recipe that belongs to {key} is damaged: {why}"),
    )
    .hint("take another restore point")
}

/// The paths of the list in `bytes`.
fn parse(bytes: &[u8], list: &PathList, ending: ListEnding) -> Result<Vec<PathBuf>, String> {
    if hex(&Sha256::digest(bytes)) != list.sha256 {
        return Err("it is not what the record says (SHA-256)".to_owned());
    }
    let mut paths = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == 0) {
        let path = line.strip_suffix(&[0]).and_then(inside);
        match (path, ending) {
            (Some(b""), ListEnding::Delete) | (None, _) => {
                let name = printable(&String::from_utf8_lossy(line));
                return Err(format!("`{name}` is not a path inside the source"));
            }
            (Some(path), _) => paths.push(OsString::from_vec(path.to_vec()).into()),
        }
    }
    if paths.len() as u64 != list.paths {
        return Err(format!(
            "it has {} paths instead of {}",
            paths.len(),
            list.paths
        ));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::testing::damaged;

    fn described(bytes: &[u8]) -> PathList {
        PathList {
            paths: bytes.iter().filter(|byte| **byte == 0).count() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        }
    }

    fn list(bytes: &[u8], ending: ListEnding) -> Result<Vec<PathBuf>, String> {
        parse(bytes, &described(bytes), ending)
    }

    #[test]
    fn paths_are_bytes_and_lie_inside_the_source() {
        let bytes = b"./a\0./b c/\xff\n\0./-rf\0";
        for ending in [ListEnding::Delete, ListEnding::Strip] {
            let paths = list(bytes, ending).unwrap();
            let names: Vec<&[u8]> = paths
                .iter()
                .map(|path| path.as_os_str().as_encoded_bytes())
                .collect();
            assert_eq!(names, [&b"a"[..], b"b c/\xff\n", b"-rf"]);
            assert!(list(b"", ending).unwrap().is_empty());
        }
        assert_eq!(list(b".\0", ListEnding::Strip).unwrap(), [PathBuf::new()]);
        for hostile in [
            &b".\0"[..],
            b"./\0",
            b"/etc\0",
            b"..\0",
            b"./..\0",
            b"./a/../../b\0",
            b"./a/./b\0",
            b"./a//b\0",
            b"./a/\0",
            b".//etc\0",
            b"a\0",
            b"\0",
            b"./a",
            b"./a\0./b",
        ] {
            let error = list(hostile, ListEnding::Delete).unwrap_err();
            assert!(error.contains("not a path inside"), "{error}");
        }
        assert!(list(b"./\0", ListEnding::Strip).is_err());
    }

    #[test]
    fn what_is_not_what_was_written_is_refused() {
        let bytes = b"./a\0./b\0";
        let mut other = described(bytes);
        other.paths = 3;
        assert!(parse(bytes, &other, ListEnding::Delete).is_err());
        let whole = described(bytes);
        assert!(parse(b"./a\0./c\0", &whole, ListEnding::Delete).is_err());
        assert!(parse(b"./a\0", &whole, ListEnding::Delete).is_err());
    }

    proptest! {
        #[test]
        fn no_list_breaks_it_or_leads_out(bytes in damaged(b"./a\0./b/../c\0./d//e\0")) {
            for path in list(&bytes, ListEnding::Delete).into_iter().flatten() {
                let mut parts = path.components();
                prop_assert!(parts.all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
