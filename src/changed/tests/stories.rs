//! For each rule the smallest story that goes wrong without it.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::nights::{Nights, Rules};
use super::tree::{Mapping, exchange, long_ago};

fn put(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    let times = std::fs::FileTimes::new().set_modified(long_ago());
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(times)
        .unwrap();
}

/// A tree of `files`, old enough to be proven.
fn nights(files: &[(&str, &str)]) -> (Nights, PathBuf) {
    let nights = Nights::new();
    for (path, content) in files {
        put(&nights.source.join(path), content);
    }
    std::thread::sleep(nights.rules.margin + Duration::from_millis(50));
    let source = nights.source.clone();
    (nights, source)
}

#[test]
fn what_stays_as_it_is_is_not_read_again() {
    let (mut nights, source) = nights(&[("d/x", "1"), ("d/y", "2"), ("e/z", "3")]);
    nights.hot(|| (), || ());
    assert_eq!(
        nights.read_in_window(),
        0,
        "a lone base, and nothing to read"
    );
    std::fs::write(source.join("d/x"), "new").unwrap();
    assert_eq!(nights.read_in_window(), 3, "it and its directories");
    nights.hot(|| (), || ());
    assert_eq!(nights.read_in_window(), 0);
    std::fs::remove_file(source.join("e/z")).unwrap();
    assert_eq!(
        nights.read_in_window(),
        2,
        "the directories of what is gone"
    );
}

#[test]
fn increments_become_one_and_then_a_base() {
    let (mut nights, source) = nights(&[("big", &"x".repeat(4_000_000)), ("d/x", "1")]);
    let mut most = 0;
    for night in 0..12 {
        put(&source.join(format!("d/{night}")), &"y".repeat(100_000));
        nights.hot(|| (), || ());
        most = most.max(nights.parts_so_far());
        assert_eq!(nights.point(), [""; 0], "night {night}");
    }
    assert!((2..=6).contains(&most), "{most}");
    for night in 0..12 {
        let _ = std::fs::remove_file(source.join(format!("d/{night}")));
        nights.hot(|| (), || ());
        assert_eq!(nights.point(), [""; 0], "night {night}");
    }
}

#[test]
fn what_was_deleted_from_the_base_stays_deleted_when_increments_become_one() {
    let (mut nights, source) = nights(&[
        ("big", &"x".repeat(4_000_000)),
        ("d/gone", "1"),
        ("d/x", "1"),
    ]);
    nights.hot(|| (), || ());
    std::fs::remove_file(source.join("d/gone")).unwrap();
    nights.hot(|| (), || ());
    assert_eq!(nights.parts_so_far(), 2);
    put(&source.join("e"), &"y".repeat(50_000));
    nights.hot(|| (), || ());
    assert_eq!(nights.parts_so_far(), 2, "the two are one");
    assert_eq!(nights.point(), [""; 0]);
}

#[test]
fn a_large_file_that_every_window_reads_is_left_for_it_until_it_stands_still() {
    let large = "x".repeat(300_000);
    let (mut nights, source) = nights(&[("big", &"x".repeat(4_000_000)), ("db", &large)]);
    let write = || std::fs::write(source.join("db"), &large).unwrap();
    let read = |nights: &mut Nights, writes: bool| {
        let before = nights.hot_bytes;
        nights.hot(|| (), || ());
        if writes {
            write();
        }
        assert_eq!(nights.read_in_window() > 0, writes);
        nights.hot_bytes - before
    };
    assert!(read(&mut nights, true) > 4_000_000);
    for night in 1..6 {
        write();
        let is_left = read(&mut nights, true) == 0;
        assert_eq!(is_left, night > 1, "night {night}");
    }
    assert!(read(&mut nights, false) > 300_000, "it stands still");
    assert_eq!(read(&mut nights, false), 0);
}

/// Whether a point is right when `during` happens before tar and `after` behind it.
fn is_right(
    files: &[(&str, &str)],
    rules: Rules,
    during: impl Fn(&Path),
    after: impl Fn(&Path),
) -> bool {
    let (mut nights, source) = nights(files);
    nights.rules = rules;
    let calls = std::cell::Cell::new(0);
    nights.hot(
        || {
            // Only of the first pass, when it is done again.
            calls.set(calls.get() + 1);
            if calls.get() == 1 {
                during(&source);
            }
        },
        || {
            if calls.get() == 1 {
                after(&source);
            }
        },
    );
    nights.point().is_empty()
}

const TWO: [(&str, &str); 2] = [("d/x", "blue!"), ("e/x", "green")];

#[test]
fn two_directories_are_exchanged_while_tar_reads_and_back() {
    let swap = |source: &Path| exchange(&source.join("d"), &source.join("e")).unwrap();
    assert!(is_right(&TWO, Rules::default(), swap, swap));
}

#[test]
fn two_files_are_exchanged_while_tar_reads_and_back() {
    let files = [("d/x", "blue!"), ("d/y", "green")];
    let swap = |source: &Path| exchange(&source.join("d/x"), &source.join("d/y")).unwrap();
    let rules = Rules {
        is_strict: Some(true),
        ..Rules::default()
    };
    assert!(is_right(&files, rules, swap, swap));
}

#[test]
fn a_directory_is_a_link_while_tar_reads() {
    let away = |source: &Path| {
        std::fs::rename(source.join("d"), source.join("d2")).unwrap();
        symlink("e", source.join("d")).unwrap();
    };
    let back = |source: &Path| {
        std::fs::remove_file(source.join("d")).unwrap();
        std::fs::rename(source.join("d2"), source.join("d")).unwrap();
    };
    assert!(is_right(&TWO, Rules::default(), away, back));
}

#[test]
fn a_directory_is_away_while_tar_reads() {
    let files = [("p/d/x", "blue!"), ("keep", "1")];
    let away =
        |source: &Path| std::fs::rename(source.join("p"), source.with_extension("p")).unwrap();
    let back =
        |source: &Path| std::fs::rename(source.with_extension("p"), source.join("p")).unwrap();
    assert!(is_right(&files, Rules::default(), away, back));
}

#[test]
fn directories_of_one_clock_tick_are_exchanged_before_the_stop() {
    let mut nights = Nights::new();
    let source = nights.source.clone();
    for number in 0..400 {
        let make = |name: &str| {
            std::fs::create_dir_all(source.join(format!("{name}{number}"))).unwrap();
            File::create(source.join(format!("{name}{number}/x"))).unwrap()
        };
        let (a, b) = (make("d"), make("e"));
        a.write_all_at(b"blue!", 0).unwrap();
        b.write_all_at(b"green", 0).unwrap();
        let time = |file: &File| {
            let metadata = file.metadata().unwrap();
            (metadata.mtime_nsec(), metadata.ctime_nsec())
        };
        if time(&a) != time(&b) {
            continue;
        }
        drop((a, b));
        std::thread::sleep(nights.rules.margin + Duration::from_millis(50));
        nights.hot(|| (), || ());
        let at = |name: &str| source.join(format!("{name}{number}"));
        exchange(&at("d"), &at("e")).unwrap();
        assert_eq!(nights.point(), [""; 0]);
        return;
    }
    // A clock that is finer than that has no such tick.
}

#[test]
fn a_name_of_a_file_that_moved_with_its_directory_is_still_one_of_it() {
    let (mut nights, source) = nights(&[("d/x", "1"), ("other", "2")]);
    std::fs::create_dir(source.join("e")).unwrap();
    std::fs::hard_link(source.join("d/x"), source.join("e/x")).unwrap();
    std::thread::sleep(nights.rules.margin + Duration::from_millis(50));
    nights.hot(|| (), || ());
    // Neither name's file notices it.
    std::fs::rename(source.join("e"), source.join("f")).unwrap();
    assert_eq!(nights.point(), [""; 0]);
    nights.hot(|| (), || ());
    assert_eq!(nights.point(), [""; 0]);
    // The group grows, and shrinks.
    std::fs::hard_link(source.join("d/x"), source.join("third")).unwrap();
    nights.hot(|| (), || ());
    std::fs::remove_file(source.join("d/x")).unwrap();
    assert_eq!(nights.point(), [""; 0]);
    nights.hot(|| (), || ());
    assert_eq!(nights.point(), [""; 0]);
}

#[test]
fn a_directory_loses_its_attributes() {
    let (mut nights, source) = nights(&[("big", &"x".repeat(100_000)), ("d/x", "1")]);
    let directory = source.join("d");
    rustix::fs::lsetxattr(&directory, "user.a", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    std::thread::sleep(nights.rules.margin + Duration::from_millis(50));
    nights.hot(|| (), || ());
    rustix::fs::lremovexattr(&directory, "user.a").unwrap();
    assert_eq!(nights.point(), [""; 0], "in the final part");
    nights.hot(|| (), || ());
    assert_eq!(nights.point(), [""; 0], "in an increment");
}

fn is_right_after_a_store(syncs: bool) -> bool {
    let (mut nights, source) = nights(&[("d/x", "blue!"), ("d/y", "2")]);
    nights.rules.syncs = syncs;
    nights.rules.margin = Duration::ZERO;
    // The page is dirty, and may be written to without a word to the kernel.
    let map = Mapping::of(&source.join("d/x")).unwrap();
    map.store(0, b'B').unwrap();
    std::thread::sleep(Duration::from_millis(50));
    nights.hot(|| (), || map.store(0, b'g').unwrap());
    drop(map);
    nights.point().is_empty()
}

#[test]
fn a_mapped_file_is_stored_into_after_it_was_read() {
    assert!(is_right_after_a_store(true));
    // Another test may write out the same file system meanwhile.
    let goes_wrong = (0..30).any(|_| !is_right_after_a_store(false));
    assert!(goes_wrong, "without the rule this has to go wrong");
}

#[test]
fn a_file_that_is_written_to_at_the_moment_is_read_in_the_window() {
    let (mut nights, source) = nights(&[("d/x", "blue!"), ("d/y", "2")]);
    nights.rules.margin = Duration::from_secs(3600);
    let open = File::options()
        .write(true)
        .open(source.join("d/x"))
        .unwrap();
    nights.hot(|| (), || ());
    drop(open);
    assert_eq!(nights.read_in_window(), 3, "everything else has no writer");
}

#[test]
fn a_young_file_of_somebody_with_several_names_and_attributes_is_proven() {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut nights, source) = nights(&[]);
    let file = source.join("a/b/x");
    put(&file, &"x".repeat(100_000));
    std::fs::hard_link(&file, source.join("a/y")).unwrap();
    rustix::fs::lsetxattr(&file, "trusted.seen", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(77)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4751)).unwrap();
    nights.rules.margin = Duration::from_secs(3600);
    std::thread::sleep(Duration::from_millis(50));
    nights.hot(|| (), || ());
    assert_eq!(nights.read_in_window(), 0);
}
