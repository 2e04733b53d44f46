//! How many files this process may have open, and what that allows.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What everything but spools and what works for them has open.
const OTHERS: u64 = 200;
/// A worker's pipes and its program's.
const PER_WORKER: u64 = 16;
/// More spools than this wait for kopia whatever is allowed: each keeps some 20 KiB of memory. A unit with more sources is down for longer.
const MOST: u64 = 16_384;

/// The limit that a shell or systemd sets first (1024) is for programs that use select(2); the other one is for us.
pub fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Then it stays as it is, and fewer spools are open at once.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How many spools may be open at once: one has a file from the time when its source is read until kopia has it all.
pub fn spools(workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    spools_within(limit, workers)
}

fn spools_within(limit: u64, workers: usize) -> usize {
    let used = OTHERS + PER_WORKER * workers as u64;
    let left = limit.saturating_sub(used).min(MOST);
    usize::try_from(left).unwrap_or(usize::MAX).max(workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_spools_as_files_and_never_less_than_workers() {
        assert_eq!(spools_within(1024, 4), 760);
        assert_eq!(spools_within(256, 12), 12);
        assert_eq!(spools_within(1 << 30, 4), 16_384);
    }
}
