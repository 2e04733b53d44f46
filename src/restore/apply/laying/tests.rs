//! Parts as the real tar writes them, and as no honest one would, laid one over the other by the real one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::super::extract::tests::{Kind, archive, everything};
use super::*;
use crate::base::shutdown::{Hangup, Shutdown};
use crate::drivers::kopia::Kopia;
use crate::drivers::tar::Tar;
use crate::drivers::tool::{self, Spec};
use crate::error::render;
use crate::model::point::{Lists, PartKind};
use crate::model::{ObjectId, SnapshotId};
use crate::points::feed::Feed;

/// A repository of streams, and a place to lay them.
struct Bed {
    root: tempfile::TempDir,
    parts: Vec<Part>,
}

impl Bed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["repository", "staging/data", "source"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        Self {
            root,
            parts: Vec::new(),
        }
    }

    fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("staging/data")
    }

    fn add(
        &mut self,
        kind: PartKind,
        stream: &[u8],
        deleted: &[&[u8]],
        stripped: &[&str],
    ) -> &mut Part {
        let root = format!("k{}", self.parts.len());
        std::fs::write(self.root.path().join("repository").join(&root), stream).unwrap();
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let mut part = Part::only(
            kind,
            SnapshotId::parse("ab").unwrap(),
            ObjectId::parse(&root).unwrap(),
            "data".to_owned(),
            stream.len() as u64,
        );
        part.lists = Some(Arc::new(Lists {
            deleted: deleted.iter().map(|bytes| path(bytes)).collect(),
            stripped: stripped.iter().map(PathBuf::from).collect(),
        }));
        self.parts.push(part);
        self.parts.last_mut().unwrap()
    }

    /// A part with `names` of what is in the source now, as a run stores them.
    async fn store(
        &mut self,
        kind: PartKind,
        names: &[&[u8]],
        deleted: &[&[u8]],
        stripped: &[&str],
    ) {
        let stream = self.stream(names).await;
        self.add(kind, &stream, deleted, stripped);
    }

    async fn stream(&self, names: &[&[u8]]) -> Vec<u8> {
        let list = self.root.path().join("names");
        let names: Vec<u8> = names
            .iter()
            .flat_map(|name| [name, &b"\0"[..]].concat())
            .collect();
        std::fs::write(&list, names).unwrap();
        let mut from = std::ffi::OsString::from("--files-from=");
        from.push(&list);
        let mut directory = std::ffi::OsString::from("--directory=");
        directory.push(self.source());
        let tar = Tar::find().await.unwrap();
        let spec = Spec::new(tar.program())
            .args(["--create", "--file=-", "--format=posix", "--numeric-owner"])
            .args(["--xattrs", "--xattrs-include=*", "--no-acls"])
            .args(["--sparse", "--sparse-version=0.0"])
            .arg("--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f")
            .arg(directory)
            .args(["--no-recursion", "--null", "--verbatim-files-from"])
            .arg(from)
            .output(tool::Output::Captured);
        let finished = tool::run(spec, Duration::from_secs(60)).await.unwrap();
        assert!(finished.ended.status.success(), "{}", finished.ended.stderr);
        finished.stdout
    }

    async fn lay(&self, paths: &[&str]) -> Result<()> {
        let (cancel, is_cancelled) = watch::channel(false);
        let extractor = Extractor {
            feed: Feed {
                kopia: Kopia::stand_in(&self.root.path().join("repository")),
                stall: Duration::from_secs(60),
                shutdown: Shutdown::listen(Hangup::Ends).unwrap(),
                is_cancelled,
                ahead: Arc::default(),
                what: "restore",
            },
            tar: Tar::find().await.unwrap(),
            accepts_losses: false,
            slots: Arc::new(Semaphore::new(1)),
            cancel,
        };
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let (data, moved) = (self.data(), Activity::default());
        let laying = Laying {
            extractor: &extractor,
            folder: &data,
            aside: &self.root.path().join("staging"),
            paths: &paths,
            wanted: wanted(&self.parts, &paths),
            moved: &moved,
            tolerance: Tolerance::NONE,
        };
        laying.lay(&self.parts, &mut Losses::default()).await
    }
}

/// Each path with what it is: kind, mode, time, number of names, attributes, content.
/// What is made in `directory` from now on gets it too.
fn set_default_acl(directory: &Path) {
    let (owner, user, group, mask, others) = (1, 2, 4, 0x10, 0x20);
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (owner, 7, u32::MAX),
        (user, 7, 1234),
        (group, 5, u32::MAX),
        (mask, 7, u32::MAX),
        (others, 5, u32::MAX),
    ] {
        acl.extend(u16::to_le_bytes(tag));
        acl.extend(u16::to_le_bytes(permissions));
        acl.extend(u32::to_le_bytes(id));
    }
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(directory, "system.posix_acl_default", &acl, flags).unwrap();
}

fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                String::new()
            } else if metadata.is_symlink() {
                format!("{:?}", std::fs::read_link(&path).unwrap())
            } else {
                format!("{:?}", std::fs::read(&path).unwrap())
            };
            let mut names = vec![0; 4096];
            let count = rustix::fs::llistxattr(&path, &mut names[..]).unwrap_or(0);
            let nlink = if metadata.is_dir() {
                0
            } else {
                metadata.nlink()
            };
            let time = (metadata.mtime(), metadata.mtime_nsec());
            let text = format!(
                "{:o} {time:?} {nlink} {:?} {content}",
                metadata.mode(),
                &names[..count]
            );
            found.insert(path.strip_prefix(root).unwrap().to_owned(), text);
        }
    }
    found
}

fn set_attribute(path: &Path) {
    let flags = rustix::fs::XattrFlags::empty();
    // Where the file system has none there is nothing to lose.
    let _ = rustix::fs::setxattr(path, "user.x", b"1", flags);
}

/// What changes between two parts in all ways that there are.
async fn changed() -> Bed {
    let mut bed = Bed::new();
    store_base(&mut bed).await;
    store_increment(&mut bed).await;
    store_final(&mut bed).await;
    bed
}

async fn store_base(bed: &mut Bed) {
    let root = bed.source();
    let odd = OsStr::from_bytes(b"odd\xff");
    for folder in ["folder/sub", "becomes-file/deep", "kept"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in [
        "folder/a",
        "folder/sub/x",
        "becomes-file/deep/y",
        "becomes-folder",
        "kept/k",
        "one",
    ] {
        std::fs::write(root.join(file), file).unwrap();
    }
    std::fs::write(root.join("folder").join(odd), "x").unwrap();
    symlink("/etc", root.join("absolute")).unwrap();
    symlink("folder", root.join("link-becomes-folder")).unwrap();
    std::fs::hard_link(root.join("one"), root.join("two")).unwrap();
    std::fs::hard_link(root.join("one"), root.join("kept/three")).unwrap();
    set_attribute(&root.join("folder"));
    bed.store(
        PartKind::Base,
        &[
            b".",
            b"./absolute",
            b"./becomes-file",
            b"./becomes-file/deep",
            b"./becomes-file/deep/y",
            b"./becomes-folder",
            b"./folder",
            b"./folder/a",
            b"./folder/odd\xff",
            b"./folder/sub",
            b"./folder/sub/x",
            b"./kept",
            b"./kept/k",
            b"./kept/three",
            b"./link-becomes-folder",
            b"./one",
            b"./two",
        ],
        &[],
        &[],
    )
    .await;
}

/// The group grows, a folder loses its attribute, and three names become something else.
async fn store_increment(bed: &mut Bed) {
    let root = bed.source();
    let odd = OsStr::from_bytes(b"odd\xff");
    std::fs::hard_link(root.join("one"), root.join("folder/four")).unwrap();
    let _ = rustix::fs::removexattr(root.join("folder"), "user.x");
    std::fs::remove_file(root.join("folder").join(odd)).unwrap();
    std::fs::remove_dir_all(root.join("becomes-file")).unwrap();
    std::fs::write(root.join("becomes-file"), "now").unwrap();
    for name in ["becomes-folder", "link-becomes-folder"] {
        std::fs::remove_file(root.join(name)).unwrap();
        std::fs::create_dir(root.join(name)).unwrap();
        std::fs::write(root.join(name).join("new"), name).unwrap();
    }
    bed.store(
        PartKind::Increment,
        &[
            b".",
            b"./becomes-file",
            b"./becomes-folder",
            b"./becomes-folder/new",
            b"./folder",
            b"./folder/four",
            b"./kept",
            b"./kept/three",
            b"./link-becomes-folder",
            b"./link-becomes-folder/new",
            b"./one",
            b"./two",
        ],
        &[
            b"becomes-file",
            b"becomes-folder",
            b"folder/odd\xff",
            b"link-becomes-folder",
        ],
        &["folder"],
    )
    .await;
}

/// It shrinks: what is left has other content, and one name stays as it was.
async fn store_final(bed: &mut Bed) {
    let root = bed.source();
    std::fs::remove_file(root.join("two")).unwrap();
    std::fs::remove_file(root.join("one")).unwrap();
    std::fs::write(root.join("one"), "its own").unwrap();
    std::fs::remove_dir_all(root.join("becomes-folder")).unwrap();
    symlink("/etc/passwd", root.join("becomes-folder")).unwrap();
    bed.store(
        PartKind::Final,
        &[
            b".",
            b"./becomes-folder",
            b"./folder",
            b"./folder/four",
            b"./kept",
            b"./kept/three",
            b"./one",
        ],
        &[b"becomes-folder", b"two"],
        &[],
    )
    .await;
}

#[tokio::test]
async fn three_parts_make_what_was_there_at_last() {
    let bed = changed().await;
    bed.lay(&[]).await.unwrap();
    assert_eq!(tree(&bed.data()), tree(&bed.source()));
}

#[tokio::test]
async fn a_path_is_taken_from_the_last_part_that_has_it() {
    for paths in [
        &["one"][..],
        &["becomes-file"],
        &["becomes-folder"],
        &["absolute", "folder/sub"],
        &["kept/three", "folder/four"],
        &["kept/k"],
        &["folder", "kept", "link-becomes-folder"],
    ] {
        let bed = changed().await;
        bed.lay(paths).await.unwrap();
        let is_wanted = |path: &PathBuf| paths.iter().any(|wanted| path.starts_with(wanted));
        let is_above = |path: &PathBuf| {
            paths
                .iter()
                .any(|wanted| Path::new(wanted).starts_with(path))
        };
        let mut wanted = tree(&bed.source());
        wanted.retain(|path, _| is_wanted(path) || is_above(path));
        assert_eq!(tree(&bed.data()), wanted, "{paths:?}");
    }
}

#[tokio::test]
async fn a_path_that_a_later_part_deletes_is_not_there() {
    for (path, expected) in [
        ("two", "`two` was not found"),
        ("becomes-file/deep/y", "`becomes-file/deep/y` was not found"),
        ("absolute/passwd", "was not found"),
        ("never", "was not found"),
        // Its content came under another name, which was not asked for.
        ("kept/three", "another name (hard link) of `folder/four`"),
    ] {
        let bed = changed().await;
        let text = render(&bed.lay(&["one", path]).await.unwrap_err());
        assert!(text.contains(expected), "{path}: {text}");
    }
}

#[tokio::test]
async fn the_streams_of_a_group_are_laid_side_by_side() {
    let mut bed = Bed::new();
    let root = bed.source();
    for folder in ["a/b", "c"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["a/b/x", "a/y", "c/z", "top"] {
        std::fs::write(root.join(file), file).unwrap();
    }
    std::fs::hard_link(root.join("c/z"), root.join("a/b/z")).unwrap();
    symlink("/etc", root.join("c/link")).unwrap();
    // What was made before there was a default ACL has none.
    set_default_acl(&root.join("a"));
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1000);
    for folder in ["a/b", "a", "c"] {
        std::fs::File::open(root.join(folder))
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    let folders: [&[u8]; 4] = [b".", b"./a", b"./a/b", b"./c"];
    let shards: [&[&[u8]]; 3] = [
        &[b"./a/b/x", b"./top"],
        &[b"./a/y", b"./c/link"],
        &[b"./a/b/z", b"./c/z"],
    ];
    for kind in [PartKind::Base, PartKind::Increment] {
        let group = Some(u32::from(kind == PartKind::Increment));
        let had: &[&str] = if group == Some(0) { &[] } else { &["a"] };
        bed.store(PartKind::Folders, &folders, &[], had).await;
        for names in shards {
            bed.store(kind, names, &[], &[]).await;
        }
        for part in bed.parts.iter_mut().rev().take(4) {
            part.group = group;
            if part.kind != PartKind::Folders {
                part.lists = None;
            }
        }
    }
    bed.lay(&[]).await.unwrap();
    assert_eq!(tree(&bed.data()), tree(&root));

    // A shard that would write through what its neighbour has.
    let evil = archive(&[
        ("./c", Kind::Symlink("../..")),
        ("./c/evil", Kind::File("x")),
    ]);
    bed.add(PartKind::Increment, &evil, &[], &[]).group = Some(1);
    let text = render(&bed.lay(&[]).await.unwrap_err());
    assert!(text.contains("comes before as a directory"), "{text}");
}

#[tokio::test]
async fn no_later_part_writes_through_what_an_earlier_one_left() {
    use Kind::{File, Folder, Hardlink, Symlink};
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("victim"), "untouched").unwrap();
    let target: &'static str = Box::leak(outside.path().display().to_string().into_boxed_str());
    let victim: &'static str = Box::leak(format!("{target}/victim").into_boxed_str());
    type Members<'a> = &'a [(&'a str, Kind)];
    let base = [
        (".", Folder),
        ("./link", Symlink(target)),
        ("./file", Symlink(victim)),
        ("./near", Symlink("link")),
        ("./plain", File("plain")),
    ];
    let cases: [(Members<'_>, &[&[u8]], &str); 14] = [
        (
            &[("./link/evil", File("x"))],
            &[],
            "does not come before it",
        ),
        (
            &[("./link/evil", File("x")), ("./link", Folder)],
            &[],
            "does not come before it",
        ),
        (
            &[("./near/evil", File("x"))],
            &[],
            "does not come before it",
        ),
        (
            &[
                ("./d", Folder),
                ("./d", Symlink("link")),
                ("./d/evil", File("x")),
            ],
            &[],
            "before as a directory",
        ),
        (
            &[("./d", Symlink("link")), ("./d/evil", File("x"))],
            &[],
            "does not come before it",
        ),
        (
            &[("./h", Hardlink("./link/victim")), ("./h", File("x"))],
            &[],
            "does not come before it",
        ),
        (&[("./h", Hardlink(victim))], &[], "does not come before it"),
        (&[("../evil", File("x"))], &[], "not a path inside"),
        (&[(victim, File("x"))], &[], "not a path inside"),
        (
            &[("./a", Folder), ("./a/../../evil", File("x"))],
            &[],
            "not a path inside",
        ),
        (&[(".", Symlink(target))], &[], "before as a directory"),
        (&[(".", Folder)], &[b"link/victim"], "is not a directory"),
        (&[(".", Folder)], &[b"near/victim"], "is not a directory"),
        (&[(".", Folder)], &[b"plain/x"], "is not a directory"),
    ];
    for (members, deleted, expected) in cases {
        let mut bed = Bed::new();
        bed.add(PartKind::Base, &archive(&base), &[], &[]);
        bed.add(PartKind::Final, &archive(members), deleted, &[]);
        let text = render(&bed.lay(&[]).await.unwrap_err());
        assert!(text.contains(expected), "{expected}: {text}");
        let found = everything(outside.path());
        assert_eq!(
            found,
            BTreeMap::from([(PathBuf::from(victim), "untouched".to_owned())])
        );
    }
    // The honest form of it: the directory comes, in the place of the link.
    let mut bed = Bed::new();
    bed.add(PartKind::Base, &archive(&base), &[], &[]);
    let members = [
        (".", Folder),
        ("./file", File("x")),
        ("./link", Folder),
        ("./link/fine", File("x")),
    ];
    bed.add(PartKind::Final, &archive(&members), &[], &[]);
    bed.lay(&[]).await.unwrap();
    assert!(bed.data().join("link/fine").exists() && !bed.data().join("file").is_symlink());
    assert_eq!(everything(outside.path()).len(), 1);
}

#[tokio::test]
async fn a_part_that_is_not_whole_is_never_good() {
    let whole = changed().await;
    for (number, part) in whole.parts.iter().enumerate() {
        let file = whole
            .root
            .path()
            .join("repository")
            .join(part.root.as_str());
        let stream = std::fs::read(&file).unwrap();
        for length in [0, 100, 512, 1024, 1536, stream.len() - 512] {
            std::fs::write(&file, &stream[..length]).unwrap();
            std::fs::remove_dir_all(whole.data()).unwrap();
            std::fs::create_dir(whole.data()).unwrap();
            assert!(whole.lay(&[]).await.is_err(), "{number} cut at {length}");
        }
        std::fs::write(&file, [&stream[..], &[0; 512]].concat()).unwrap();
        assert!(whole.lay(&[]).await.is_err(), "{number} too long");
        std::fs::write(&file, &stream).unwrap();
    }
}
