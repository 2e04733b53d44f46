//! A service that writes without pause, and whose data shows whether it was copied cold.
//!
//! It appends each record `number checksum` first to `a.log`, then to `b.log`. On SIGTERM it finishes the record, writes the
//! number into `clean` and exits with 0; started again it removes `clean` and goes on with the next number. So:
//! a cold copy has two equal logs and `clean`; a copy of one instant (a power cut) has at most one record more in `a.log`;
//! a copy that was read while it was written has neither, because the two logs are read one after the other.

use std::fs;
use std::path::Path;

/// `$1` is the directory. Sixteen records, then a pause of a millisecond: it mustn't take a core away from the others.
pub(super) const SCRIPT: &str = r#"
cd "$1" || exit 1
rm -f clean
sum() { s=$(( ($1 * 2654435761 + 12345) % 4294967291 )); }
a=$(tail -n 1 a.log 2>/dev/null); a=${a%% *}; n=${a:-0}
b=$(tail -n 1 b.log 2>/dev/null); b=${b%% *}
exec 3>>a.log 4>>b.log
if [ "$n" -gt "${b:-0}" ]; then sum "$n"; echo "$n $s" >&4; fi
trap 'stop=1' TERM INT
while [ -z "$stop" ]; do
  n=$((n + 1))
  sum "$n"
  echo "$n $s" >&3
  echo "$n $s" >&4
  [ $((n % 16)) -ne 0 ] || usleep 1000
done
echo "$n" >clean
exit 0
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// All of them are whole and consecutive, from 1 on.
    pub records: u64,
    /// The writer had ended by itself.
    pub clean: bool,
}

/// Reads what a writer left in `dir`; panics unless it is the state of one instant.
#[track_caller]
pub fn check(dir: &Path) -> Written {
    let written = inspect(dir);
    written.unwrap_or_else(|why| panic!("{} was copied while it was written: {why}", dir.display()))
}

/// How many records a cold copy of a writer's directory holds; panics when it is not one.
#[track_caller]
pub fn check_cold(dir: &Path) -> u64 {
    let written = check(dir);
    assert!(
        written.clean,
        "{} was copied before its writer had ended",
        dir.display()
    );
    written.records
}

/// As [`check`], but says what is wrong.
pub fn inspect(dir: &Path) -> Result<Written, String> {
    let (a, b) = (
        check_log(&dir.join("a.log"))?,
        check_log(&dir.join("b.log"))?,
    );
    let clean = fs::read_to_string(dir.join("clean")).ok();
    match &clean {
        Some(text) if a != b || text.trim() != a.to_string() => Err(format!(
            "a.log ends at {a}, b.log at {b}, clean says {text:?}"
        )),
        None if a != b && a != b + 1 => Err(format!("a.log ends at {a}, b.log at {b}")),
        _ => Ok(Written {
            records: a,
            clean: clean.is_some(),
        }),
    }
}

/// The number of the last record of one log; every record must be whole and follow the one before.
pub fn check_log(path: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("{} ends in the middle of a record", path.display()));
    }
    let mut last = 0_u64;
    for line in text.lines() {
        last += 1;
        let sum = (u128::from(last) * 2_654_435_761 + 12_345) % 4_294_967_291;
        if line != format!("{last} {sum}") {
            return Err(format!("record {last} of {} is {line:?}", path.display()));
        }
    }
    Ok(last)
}
