//! What tar leaves out is what is not counted, whatever the tree and the patterns.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::super::{Record, Tar, judge};
use crate::discovery::measure;
use crate::drivers::tool::{self, Output, pipe};
use crate::model::{Source, SourceKey, exclude};

fn source(root: &Path, patterns: &[String]) -> Source {
    Source {
        key: SourceKey::Bind {
            path: root.to_owned(),
        },
        path: root.to_owned(),
        is_file: false,
        destinations: Vec::new(),
        exclude_patterns: patterns.to_vec(),
        is_anonymous: false,
        writers: Vec::new(),
        covers: Vec::new(),
        also_reads: Vec::new(),
        is_included: false,
    }
}

/// The names of all members that are no directories.
async fn members(source: &Source) -> BTreeSet<String> {
    let archive = pipe().unwrap();
    let list = std::thread::spawn(move || {
        let mut members = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(archive.reader), &mut members).unwrap();
        members
    });
    let spec = Tar::find()
        .await
        .unwrap()
        .create(source, false, Record::Small);
    let mut child = tool::Child::spawn(spec.output(Output::Pipe(archive.writer))).unwrap();
    let ended = child.wait().await.unwrap();
    judge(&ended).unwrap();
    assert_eq!(ended.status.into_raw(), 0);
    names(&list.join().unwrap())
}

/// Of a posix archive with names short enough to be in their headers.
fn names(archive: &[u8]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + 512) {
        let field = |range: std::ops::Range<usize>| {
            let text = header[range].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        };
        let name = field(0..100);
        if name.is_empty() {
            break;
        }
        let size = u64::from_str_radix(field(124..136).trim(), 8).unwrap() as usize;
        if header[156] == b'0' {
            names.insert(name);
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    names
}

fn plant(root: &Path, files: &[String]) {
    for file in files {
        let path = root.join(file);
        // A file may stand where another wants a directory.
        if std::fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.is_dir() {
            let _ = std::fs::write(path, "x");
        }
    }
}

fn all(root: &Path) -> BTreeSet<String> {
    let mut folders = vec![PathBuf::new()];
    let mut all = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                all.insert(format!("./{}", path.display()));
            }
        }
    }
    all
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn each_pattern_leaves_out_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ".env",
        "a.log",
        "cache/x",
        "sub/.git/config",
        "sub/a.log",
        "sub/cache/y",
        "sub/deep/.x.swp",
        "sub/deep/x.swp",
        "{b}",
        "b*",
        "bb",
    ];
    plant(folder.path(), &files.map(str::to_owned));
    let runtime = runtime();
    for (pattern, left_out) in [
        (".*", &[".env", "sub/.git/config", "sub/deep/.x.swp"][..]),
        (".[!.]*", &[".env", "sub/.git/config", "sub/deep/.x.swp"]),
        (".??*", &[".env", "sub/.git/config", "sub/deep/.x.swp"]),
        (".*.swp", &["sub/deep/.x.swp"]),
        (".*/config", &["sub/.git/config"]),
        (".*/cache", &[]),
        ("cache", &["cache/x", "sub/cache/y"]),
        ("cache/", &["cache/x", "sub/cache/y"]),
        ("cache/*", &["cache/x", "sub/cache/y"]),
        ("./cache", &["cache/x"]),
        ("/cache", &["cache/x"]),
        ("*/cache", &["sub/cache/y"]),
        ("**/cache", &["cache/x", "sub/cache/y"]),
        ("sub/**/*.swp", &["sub/deep/.x.swp", "sub/deep/x.swp"]),
        ("sub/**/a.log", &["sub/a.log"]),
        ("{a.log,cache/y}", &["a.log", "sub/a.log", "sub/cache/y"]),
        (r"\{b\}", &["{b}"]),
        (r"b\*", &["b*"]),
        ("b?", &["b*", "bb"]),
        ("[[:digit:]ab][b]", &["bb"]),
        ("*", &files),
    ] {
        let source = source(folder.path(), &[pattern.to_owned()]);
        let kept = runtime.block_on(members(&source));
        let expected = files.iter().filter(|file| !left_out.contains(file));
        assert!(
            kept.iter().map(|name| &name[2..]).eq(sorted(expected)),
            "{pattern}: {kept:?}"
        );
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a &'a str>) -> impl Iterator<Item = &'a str> {
    names.copied().collect::<BTreeSet<_>>().into_iter()
}

#[test]
fn no_pattern_leaves_out_the_file_of_a_source_that_is_one() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), &[".env".to_owned()]);
    let mut source = source(
        &folder.path().join(".env"),
        &[".*".to_owned(), "*".to_owned()],
    );
    source.is_file = true;
    assert!(runtime().block_on(members(&source)).contains("./.env"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tar_writes_what_is_counted(
        files in prop::collection::vec("[ab.{*é-]{1,3}(/[ab.c]{1,3}){0,3}", 1..12),
        patterns in prop::collection::vec(r"(\./|/|\*\*/)?[abc.*?/{},!\[\]\\^é-]{1,8}/?", 1..3),
    ) {
        let files: Vec<String> = files
            .into_iter()
            .filter(|file| file.split('/').all(|name| !matches!(name, "." | "..")))
            .collect();
        let patterns: Vec<String> = patterns
            .into_iter()
            .filter(|pattern| exclude::check(pattern).is_ok())
            .collect();
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path(), &files);
        let (written, counted) = runtime().block_on(async {
            let source = source(folder.path(), &patterns);
            (members(&source).await, measure(&source.path, &patterns).await.unwrap().files)
        });
        prop_assert!(written.is_subset(&all(folder.path())));
        prop_assert_eq!(written.len() as u64, counted, "{:?} wrote {:?}", patterns, written);
    }
}
