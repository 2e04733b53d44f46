//! What tar is told, and what its end is taken for.

mod patterns;

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use super::*;

fn ended(status: i32, stderr: &str) -> Ended {
    Ended {
        display: "tar …".to_owned(),
        status: ExitStatus::from_raw(status),
        stderr: stderr.to_owned(),
    }
}

#[test]
fn the_exit_status_decides_what_a_stream_is_worth() {
    let totals = "Total bytes written: 10240 (10KiB, 29MiB/s)";
    assert_eq!(
        judge(&ended(0, totals)).unwrap(),
        Read {
            bytes: 10240,
            complaints: Vec::new()
        }
    );
    let changed = format!("/usr/bin/tar: ./log: file changed as we read it\n{totals}");
    assert_eq!(
        judge(&ended(1 << 8, &changed)).unwrap().complaints,
        ["./log: file changed as we read it"]
    );
    assert!(judge(&ended(2 << 8, totals)).is_err());
    assert!(judge(&ended(9, totals)).is_err(), "killed");
    assert!(judge(&ended(0, "")).is_err(), "no totals");
}

#[tokio::test]
async fn a_single_file_is_found_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in [r"a\nb", r"\\x\101", "*[a]?", "-f", "a\nb", "@x"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "x").unwrap();
        let source = source(path, true);
        let spec = Tar::find()
            .await
            .unwrap()
            .create(&source, true, Record::Small);
        let finished = tool::run(spec, Duration::from_secs(60)).await.unwrap();
        assert_eq!(
            judge(&finished.ended).unwrap().complaints,
            [""; 0],
            "{name}"
        );
    }
}

/// What tar makes of all that is in `folder`.
pub async fn stream_of(folder: &Path) -> Vec<u8> {
    let tar = Tar::find().await.unwrap();
    let source = source(folder.to_owned(), false);
    let spec = tar.create(&source, true, Record::Small);
    let finished = tool::run(spec, Duration::from_secs(60)).await.unwrap();
    judge(&finished.ended).unwrap();
    finished.stdout
}

fn source(path: PathBuf, is_file: bool) -> Source {
    Source {
        key: crate::model::SourceKey::Bind { path: path.clone() },
        path,
        is_file,
        destinations: Vec::new(),
        exclude_patterns: Vec::new(),
        is_anonymous: false,
        writers: Vec::new(),
        covers: Vec::new(),
        also_reads: Vec::new(),
        is_included: false,
    }
}

#[tokio::test]
async fn a_stream_without_members_is_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path().to_owned(), false);
    let tar = Tar::find().await.unwrap();
    for bytes in [Some(0), Some((32 << 20) - 1), Some(32 << 20), None] {
        let record = Record::of(bytes);
        let spec = tar.create(&source, false, record);
        let finished = tool::run(spec, Duration::from_secs(60)).await.unwrap();
        assert_eq!(finished.stdout.len() as u64, record.bytes(), "{bytes:?}");
    }
}

#[test]
fn a_file_is_read_from_its_folder_under_a_name_that_is_no_flag() {
    let (folder, member) = place(Path::new("/srv/-conf"), true);
    assert_eq!(
        (folder, member.as_os_str()),
        (Path::new("/srv"), OsStr::new("./-conf"))
    );
    let (folder, member) = place(Path::new("/srv/data"), false);
    assert_eq!(
        (folder, member.as_os_str()),
        (Path::new("/srv/data"), OsStr::new("."))
    );
}
