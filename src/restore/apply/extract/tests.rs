use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::*;
use crate::drivers::tool::{Child, Input, pipe};
use crate::model::point::{Part, PartKind};
use crate::model::{ObjectId, SnapshotId};
use crate::points::feed;
use crate::swap::staging;

fn judge(part: &Part, pumped: Result<u64>, kopia: &Ended, tar: &Ended) -> Result<()> {
    feed::judge(part, pumped, kopia, tar)?;
    refuse_words(tar)
}

fn part(bytes: u64) -> Part {
    Part::only(
        PartKind::Full,
        SnapshotId::parse("ab").unwrap(),
        ObjectId::parse("k1").unwrap(),
        "data".to_owned(),
        bytes,
    )
}

fn ended(display: &str, status: i32, stderr: &str) -> Ended {
    Ended {
        display: display.to_owned(),
        status: ExitStatus::from_raw(status),
        stderr: stderr.to_owned(),
    }
}

/// Runs the real tar, as a restore does, on `archive`.
async fn extract(archive: Vec<u8>, folder: &Path) -> Ended {
    let tar = Tar::find().await.unwrap();
    let input = pipe().unwrap();
    let mut child = Child::spawn(untar(&tar, folder).input(Input::Pipe(input.reader))).unwrap();
    let writer = std::thread::spawn(move || {
        use std::io::Write as _;
        let _ = std::fs::File::from(input.writer).write_all(&archive);
    });
    let ended = child.wait().await.unwrap();
    writer.join().unwrap();
    ended
}

#[derive(Clone, Copy)]
pub enum Kind {
    File(&'static str),
    Symlink(&'static str),
    Hardlink(&'static str),
    Folder,
}

/// A ustar archive with members as no honest tar would write them.
pub fn archive(members: &[(&str, Kind)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind) in members {
        let (flag, link, data) = match kind {
            Kind::File(data) => (b'0', "", *data),
            Kind::Hardlink(to) => (b'1', *to, ""),
            Kind::Symlink(to) => (b'2', *to, ""),
            Kind::Folder => (b'5', "", ""),
        };
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, name);
        put(100, "0000755\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", data.len()));
        put(136, "00000000000\0");
        put(148, "        ");
        put(157, link);
        put(257, "ustar\x0000");
        header[156] = flag;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        bytes.extend(data.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize((bytes.len() + 1024).next_multiple_of(10240), 0);
    bytes
}

/// Everything below `root` with its content or target.
pub fn everything(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let text = if metadata.is_dir() {
                folders.push(path.clone());
                "/".to_owned()
            } else if metadata.is_symlink() {
                std::fs::read_link(&path).unwrap().display().to_string()
            } else {
                std::fs::read_to_string(&path).unwrap()
            };
            found.insert(path, text);
        }
    }
    found
}

#[tokio::test]
async fn a_hostile_archive_writes_nothing_outside_its_folder() {
    use Kind::{File, Folder, Hardlink, Symlink};
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let victim: &'static str = Box::leak(victim.display().to_string().into_boxed_str());
    let beside: &'static str = Box::leak(outside.path().display().to_string().into_boxed_str());
    let absolute: &'static str = Box::leak(format!("{beside}/absolute").into_boxed_str());
    let cases: Vec<Vec<(&str, Kind)>> = vec![
        vec![("../evil", File("evil"))],
        vec![("./a/../../evil", File("evil"))],
        vec![(absolute, File("evil"))],
        vec![("./link", Symlink(beside)), ("./link/evil", File("evil"))],
        vec![
            ("./link", Symlink(beside)),
            ("./link", Folder),
            ("./link/evil", File("evil")),
        ],
        vec![("./link", Symlink("..")), ("./link/evil", File("evil"))],
        vec![
            ("./a", Folder),
            ("./a/b", Symlink("..")),
            ("./a/b/c", Symlink("..")),
            ("./a/b/c/evil", File("evil")),
        ],
        vec![("./link", Symlink(victim)), ("./link", File("evil"))],
        vec![("./hard", Hardlink(victim)), ("./hard", File("evil"))],
        vec![("./hard", Hardlink("../victim")), ("./hard", File("evil"))],
        vec![
            ("./s", Symlink(victim)),
            ("./h", Hardlink("./s")),
            ("./h", File("evil")),
        ],
    ];
    for case in cases {
        let names: Vec<&str> = case.iter().map(|(name, _)| *name).collect();
        let folder = outside.path().join("staging/data");
        std::fs::create_dir_all(&folder).unwrap();
        extract(archive(&case), &folder).await;
        let outside_now: BTreeMap<_, _> = everything(outside.path())
            .into_iter()
            .filter(|(path, _)| !path.starts_with(outside.path().join("staging")))
            .collect();
        assert_eq!(
            outside_now,
            BTreeMap::from([(PathBuf::from(victim), "untouched".to_owned())]),
            "{names:?}"
        );
        let staging: Vec<_> = std::fs::read_dir(outside.path().join("staging"))
            .unwrap()
            .collect();
        assert_eq!(staging.len(), 1, "{names:?}");
        std::fs::remove_dir_all(outside.path().join("staging")).unwrap();
    }
}

#[tokio::test]
async fn an_honest_archive_is_extracted_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let members = [
        (".", Kind::Folder),
        ("./a", Kind::File("text")),
        ("./link", Kind::Symlink("/etc/passwd")),
        ("./up", Kind::Symlink("../../x")),
        ("./hard", Kind::Hardlink("./a")),
    ];
    let ended = extract(archive(&members), folder.path()).await;
    judge(&part(10240), Ok(10240), &ended_well(), &ended).unwrap();
    let metadata = std::fs::metadata(folder.path().join("hard")).unwrap();
    assert_eq!(metadata.nlink(), 2);
    assert_eq!(
        std::fs::metadata(folder.path())
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o755
    );
    assert!(folder.path().join("link").is_symlink());
}

fn ended_well() -> Ended {
    ended("kopia …", 0, "")
}

#[tokio::test]
async fn a_stream_that_was_cut_is_never_good() {
    let whole = archive(&[("./a", Kind::File("text")), ("./b", Kind::File("text"))]);
    for length in [0, 512, 700, 1024, 1536, 2048, whole.len() - 512] {
        let folder = tempfile::tempdir().unwrap();
        let tar = extract(whole[..length].to_vec(), folder.path()).await;
        let cut = judge(
            &part(whole.len() as u64),
            Ok(length as u64),
            &ended_well(),
            &tar,
        );
        assert!(cut.is_err(), "{length}");
    }
}

#[test]
fn all_three_have_to_agree() {
    let (good, silent) = (ended_well(), ended("tar …", 0, ""));
    assert!(judge(&part(5), Ok(5), &good, &silent).is_ok());
    let failures = [
        (
            Ok(5),
            ended("kopia …", 9, ""),
            ended("tar …", 0, ""),
            "ended by signal 9",
        ),
        (
            Ok(5),
            ended("kopia …", 1 << 8, "ERROR no space"),
            ended("tar …", 0, ""),
            "kopia failed",
        ),
        (
            Ok(4),
            ended_well(),
            ended("tar …", 0, ""),
            "4 bytes instead of 5",
        ),
        (
            Ok(5),
            ended_well(),
            ended("tar …", 2 << 8, "tar: ./x: Cannot open"),
            "Cannot open",
        ),
        (
            Ok(5),
            ended_well(),
            ended("tar …", 0, "tar: setxattrat: Cannot set"),
            "setxattrat",
        ),
        (
            Err(anyhow::anyhow!("tar stopped reading its input")),
            ended("kopia …", 13, ""),
            ended("tar …", 2 << 8, "tar: No space left"),
            "No space left",
        ),
    ];
    for (pumped, kopia, tar, expected) in failures {
        let error = judge(&part(5), pumped, &kopia, &tar).unwrap_err();
        assert!(
            format!("{error:#}").contains(expected),
            "{expected}: {error:#}"
        );
    }
}

#[test]
fn the_file_of_a_single_file_is_a_file_and_alone() {
    use crate::model::BackupId;
    let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
    type Fill = fn(&Path);
    let make: [(&str, Fill); 4] = [
        ("good", |folder| {
            std::fs::write(folder.join("-conf"), "x").unwrap()
        }),
        ("none", |_| {}),
        ("two", |folder| {
            std::fs::write(folder.join("a"), "x").unwrap();
            std::fs::write(folder.join("b"), "x").unwrap();
        }),
        ("link", |folder| {
            std::os::unix::fs::symlink("/etc/shadow", folder.join("a")).unwrap()
        }),
    ];
    for (name, fill) in make {
        let root = tempfile::tempdir().unwrap();
        let swap = Swap::new("f".to_owned(), root.path().join("f"), id);
        staging::make(&swap).unwrap();
        let folder = swap.staging.join("unpacked");
        std::fs::create_dir(&folder).unwrap();
        fill(&folder);
        assert_eq!(take_out(&folder, &swap).is_ok(), name == "good", "{name}");
        assert_eq!(
            swap.content().is_file() && !swap.content().is_symlink(),
            name == "good"
        );
    }
}
