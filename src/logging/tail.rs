//! The last lines of the log of this process, for who is told how a run ended.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    /// 0: nothing is kept.
    limit: usize,
}

static TAIL: Mutex<Tail> = Mutex::new(Tail {
    lines: VecDeque::new(),
    bytes: 0,
    limit: 0,
});

/// From now on the last so many bytes are kept, in whole lines; what was kept before is forgotten.
pub fn keep_tail(limit: usize) {
    let mut tail = TAIL.lock().unwrap_or_else(PoisonError::into_inner);
    *tail = Tail {
        lines: VecDeque::new(),
        bytes: 0,
        limit,
    };
}

/// What is kept. Empty where no log file is configured.
pub fn tail() -> String {
    let tail = TAIL.lock().unwrap_or_else(PoisonError::into_inner);
    tail.lines.iter().map(String::as_str).collect()
}

/// `line` ends with a line feed.
pub fn note(line: &str) {
    let mut tail = TAIL.lock().unwrap_or_else(PoisonError::into_inner);
    if tail.limit == 0 {
        return;
    }
    tail.bytes += line.len();
    tail.lines.push_back(line.to_owned());
    while tail.bytes > tail.limit {
        let Some(first) = tail.lines.pop_front() else {
            break;
        };
        tail.bytes -= first.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_lines_are_kept() {
        keep_tail(12);
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            note(line);
        }
        assert_eq!(tail(), "three\nfour\n");
        note("a line that is longer than all that is kept\n");
        assert_eq!(tail(), "");
        keep_tail(0);
    }
}
