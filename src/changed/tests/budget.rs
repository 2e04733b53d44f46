//! How much is read over many nights.

use std::time::Duration;

use super::nights::Nights;

const FILES: usize = 300;
const EACH: usize = 100_000;
const NIGHTS: usize = 30;

/// One file in a hundred changes a night, beside a database that is written to all the time.
#[test]
fn thirty_nights_read_little_more_than_what_changed() {
    let mut nights = Nights::new();
    let source = nights.source.clone();
    let write = |number: usize, night: usize| {
        let folder = source.join(format!("{}", number % 10));
        std::fs::create_dir_all(&folder).unwrap();
        let content = [u8::try_from(night).unwrap(); EACH];
        std::fs::write(folder.join(number.to_string()), content).unwrap();
    };
    let database = |night: usize| {
        let content = [u8::try_from(night).unwrap(); 10 * EACH];
        std::fs::write(source.join("db"), content).unwrap();
    };
    (0..FILES).for_each(|number| write(number, 0));
    database(0);
    let mut read = Vec::new();
    for night in 1..=NIGHTS {
        (0..FILES / 100).for_each(|number| write((night * 37 + number * 101) % FILES, night));
        database(night);
        // A clock has ticks: what was changed in that of the start proves nothing.
        std::thread::sleep(Duration::from_millis(20));
        let before = nights.hot_bytes;
        nights.hot(|| (), || ());
        database(night + NIGHTS);
        let in_window = nights.window();
        assert!(
            in_window <= 2,
            "the database and the directory that it is in: {in_window}"
        );
        // A base is not counted.
        if nights.parts_so_far() > 1 {
            read.push(nights.hot_bytes - before);
        }
    }
    // In tenths of a percent.
    let volume = (FILES * EACH) as u64;
    let mean = 1000 * read.iter().sum::<u64>() / read.len() as u64 / volume;
    read.sort_unstable();
    let median = 1000 * read[read.len() / 2] / volume;
    assert!(read.len() > NIGHTS / 2, "bases are rare: {read:?}");
    assert!(
        mean <= 35 && median <= 20,
        "mean {mean}, median {median}: {read:?}"
    );
}
