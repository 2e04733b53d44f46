//! Bytes that arrive whole whatever the budget, and kopia that sees no end too early.

use std::io::{Read, Write};

use super::*;
use crate::drivers::tool::{pipe, until_nobody_reads};

/// Numbers that differ at every position, so that a lost, doubled or zeroed byte shows.
fn data(bytes: usize) -> Vec<u8> {
    (0..bytes as u64 / 8)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect()
}

/// Sends `data` through a spool with `limit`, to a reader that is slow in the way that `pace` tells.
fn through(folder: Option<&Path>, limit: u64, data: Vec<u8>, pace: fn(usize)) -> (Vec<u8>, u64) {
    let budget = Budget::new(limit, None);
    let spool = Spool::new(folder, budget.clone()).unwrap();
    let (source, sink) = (pipe().unwrap(), pipe().unwrap());
    let writer = std::thread::spawn(move || File::from(source.writer).write_all(&data).unwrap());
    let filled = spool.fill(source.reader).unwrap();
    let drained = spool.drain(sink.writer).unwrap();
    let reader = std::thread::spawn(move || {
        let mut file = File::from(sink.reader);
        let (mut all, mut buffer) = (Vec::new(), vec![0; 100_000]);
        while let count @ 1.. = file.read(&mut buffer).unwrap() {
            pace(all.len());
            all.extend_from_slice(&buffer[..count]);
        }
        all
    });
    let bytes = filled.blocking_recv().unwrap().unwrap();
    writer.join().unwrap();
    spool.commit();
    drained.blocking_recv().unwrap().unwrap();
    let all = reader.join().unwrap();
    assert_eq!(bytes, all.len() as u64);
    drop(spool);
    assert_eq!(budget.used(), 0, "the budget is given back");
    (all, budget.peak())
}

fn stumbling(at: usize) {
    if at % 700_000 < 100_000 {
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(3));
    }
}

#[test]
fn every_byte_arrives_in_order_whatever_the_budget_and_never_beyond_it() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let data = data(60 << 20);
    for limit in [0, 1, CHUNK, 3 * CHUNK + 5, 20 * CHUNK, 1000 * CHUNK] {
        let (all, peak) = through(Some(folder.path()), limit, data.clone(), stumbling);
        assert!(all == data, "limit {limit}");
        assert!(peak <= limit, "limit {limit}, peak {peak}");
    }
    let (all, _) = through(None, 1000 * CHUNK, data.clone(), stumbling);
    assert!(all == data, "no directory");
}

/// The largest file that the file system of `file` allows.
fn longest(file: &File) -> u64 {
    let (mut possible, mut impossible) = (0, 1 << 63);
    while impossible - possible > 1 {
        let middle = possible + (impossible - possible) / 2;
        if file.set_len(middle).is_ok() {
            possible = middle;
        } else {
            impossible = middle;
        }
    }
    file.set_len(0).unwrap();
    possible
}

#[test]
fn a_file_that_cannot_get_longer_begins_anew() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let budget = Budget::new(4 * CHUNK, None);
    let spool = Spool::new(Some(folder.path()), budget.clone()).unwrap();
    let near = longest(spool.shared.file.as_ref().unwrap()) - 3 * CHUNK / 2;
    {
        let mut state = lock(&spool.shared.state);
        (state.written, state.sent, state.freed) = (near, near, near);
    }
    let (source, sink) = (pipe().unwrap(), pipe().unwrap());
    let sent = data(40 << 20);
    let expected = sent.clone();
    let writer = std::thread::spawn(move || File::from(source.writer).write_all(&sent).unwrap());
    let filled = spool.fill(source.reader).unwrap();
    let drained = spool.drain(sink.writer).unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        File::from(sink.reader).read_to_end(&mut all).unwrap();
        all
    });
    assert_eq!(filled.blocking_recv().unwrap().unwrap(), 40 << 20);
    writer.join().unwrap();
    assert!(lock(&spool.shared.state).written < near, "it began anew");
    spool.commit();
    drained.blocking_recv().unwrap().unwrap();
    assert!(reader.join().unwrap() == expected);
    drop(spool);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_reader_that_goes_away_is_an_error() {
    let spool = Spool::new(None, Budget::new(0, None)).unwrap();
    let (source, sink) = (pipe().unwrap(), pipe().unwrap());
    drop(sink.reader);
    until_nobody_reads(&sink.writer);
    let _drained = spool.drain(sink.writer).unwrap();
    let filled = spool.fill(source.reader).unwrap();
    File::from(source.writer).write_all(b"x").unwrap();
    assert!(filled.blocking_recv().unwrap().is_err());
}

#[test]
fn after_an_error_the_reader_sees_no_end_before_the_abort() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let spool = Spool::new(Some(folder.path()), Budget::new(CHUNK, None)).unwrap();
    let (source, sink) = (pipe().unwrap(), pipe().unwrap());
    File::from(source.writer).write_all(b"0123456789").unwrap();
    let filled = spool.fill(source.reader).unwrap();
    assert_eq!(filled.blocking_recv().unwrap().unwrap(), 10);
    spool.shared.file.as_ref().unwrap().set_len(5).unwrap();
    let drained = spool.drain(sink.writer).unwrap();
    spool.commit();
    assert!(drained.blocking_recv().unwrap().is_err());

    let mut reader = File::from(sink.reader);
    let mut buffer = [0; 10];
    assert_eq!(reader.read(&mut buffer).unwrap(), 5);
    let mut fds = [PollFd::new(&reader, PollFlags::IN)];
    let at_once = Timespec::default();
    assert_eq!(poll(&mut fds, Some(&at_once)).unwrap(), 0, "no end yet");
    spool.abort();
    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
}

#[test]
fn an_aborted_spool_does_not_hold_its_threads() {
    let spool = Spool::new(None, Budget::new(0, None)).unwrap();
    let sink = pipe().unwrap();
    let drained = spool.drain(sink.writer).unwrap();
    spool.abort();
    assert!(drained.blocking_recv().unwrap().is_err());
}
