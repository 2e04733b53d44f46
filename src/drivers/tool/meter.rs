//! How much a child has moved: slow is not stuck.

use std::path::Path;

use tokio::sync::watch;

use super::stderr::Said;

/// Less than this is no sign of life: timers, log lines, a spinner, and a client that tries again and again to reach a server that is
/// gone, reading its key files each time. An uplink of a modem moves more within any patience.
const NOISE_BYTES: u64 = 256 * 1024;

/// The same for a process of which only its CPU time is known, in ticks of 10 ms: a collector of garbage that finds none.
const NOISE_TICKS: u64 = 20;

/// Looks at a process from outside, also while it is waited for.
#[derive(Clone, Debug)]
pub struct Meter {
    id: Option<u32>,
    said: watch::Receiver<Said>,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Read and written, files and sockets alike, without what it says on stderr: a line of progress is no progress.
    Bytes(u64),
    /// Of a kernel without accounting of input and output, as some NAS have.
    Ticks(u64),
    /// It has ended.
    None,
}

/// What it had moved when that was last a sign of life.
#[derive(Clone, Copy, Debug)]
pub struct Mark(Reading);

impl Meter {
    pub fn of(id: Option<u32>, said: watch::Receiver<Said>) -> Self {
        Self { id, said }
    }

    pub fn mark(&self) -> Mark {
        Mark(self.read())
    }

    /// Whether it has moved something since `mark`, which then is now.
    pub fn has_moved_since(&self, mark: &mut Mark) -> bool {
        let now = self.read();
        let has_moved = match (mark.0, now) {
            (Reading::Bytes(before), Reading::Bytes(now)) => now >= before + NOISE_BYTES,
            (Reading::Ticks(before), Reading::Ticks(now)) => now >= before + NOISE_TICKS,
            (before, now) => before != now,
        };
        if has_moved {
            mark.0 = now;
        }
        has_moved
    }

    fn read(&self) -> Reading {
        let Some(id) = self.id else {
            return Reading::None;
        };
        let process = Path::new("/proc").join(id.to_string());
        // In this order: what it said meanwhile makes it less, never more.
        let reading = reading(&process);
        match reading {
            Reading::Bytes(bytes) => Reading::Bytes(bytes.saturating_sub(self.said.borrow().bytes)),
            other => other,
        }
    }
}

fn reading(process: &Path) -> Reading {
    let io = std::fs::read_to_string(process.join("io"));
    if let Some(bytes) = io.ok().and_then(|io| bytes_moved(&io)) {
        return Reading::Bytes(bytes);
    }
    let stat = std::fs::read_to_string(process.join("stat"));
    let ticks = stat.ok().and_then(|stat| ticks(&stat));
    ticks.map_or(Reading::None, Reading::Ticks)
}

fn bytes_moved(io: &str) -> Option<u64> {
    let count = |wanted: &str| {
        let mut lines = io.lines().filter_map(|line| line.split_once(": "));
        let (_, count) = lines.find(|(name, _)| *name == wanted)?;
        count.parse::<u64>().ok()
    };
    count("rchar")?.checked_add(count("wchar")?)
}

/// User and system time. The name before them may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(process: &Path) -> Reading {
        reading(process)
    }

    #[test]
    fn without_accounting_of_bytes_the_cpu_time_tells() {
        let process = tempfile::tempdir().unwrap();
        assert_eq!(meter(process.path()), Reading::None);
        std::fs::write(
            process.path().join("stat"),
            "7 (kopia (x) y) S 1 7 7 0 -1 4194560 1 2 3 4 120 34 5 6 20 0 9 0 1 2 3\n",
        )
        .unwrap();
        assert_eq!(meter(process.path()), Reading::Ticks(154));
        std::fs::write(
            process.path().join("io"),
            "rchar: 1000\nwchar: 24\nsyscr: 9\nsyscw: 9\nread_bytes: 5\n",
        )
        .unwrap();
        assert_eq!(meter(process.path()), Reading::Bytes(1024));
    }

    #[test]
    fn what_is_said_is_not_moved() {
        let (said, receiver) = watch::channel(Said::default());
        let ours = Meter::of(Some(std::process::id()), receiver);
        let Reading::Bytes(before) = ours.read() else {
            panic!("this kernel does not tell");
        };
        said.send_modify(|said| said.bytes = before / 2);
        let Reading::Bytes(less) = ours.read() else {
            panic!("this kernel does not tell");
        };
        assert!(less < before, "{less} {before}");
    }

    #[test]
    fn noise_is_no_sign_of_life_until_it_adds_up() {
        let (_said, receiver) = watch::channel(Said::default());
        let ours = Meter::of(Some(std::process::id()), receiver);
        std::fs::write("/dev/null", vec![0; 1 << 20]).unwrap();
        let Reading::Bytes(now) = ours.read() else {
            panic!("this kernel does not tell");
        };
        let mut far = Mark(Reading::Bytes(now + (1 << 40)));
        assert!(!ours.has_moved_since(&mut far));
        let mut long_ago = Mark(Reading::Bytes(now - NOISE_BYTES));
        assert!(ours.has_moved_since(&mut long_ago));
        assert_ne!(long_ago.0, Reading::Bytes(now - NOISE_BYTES));
    }
}
