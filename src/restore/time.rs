//! A time as the operator says it.

use anyhow::Context as _;
use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};

use crate::error::Result;
use crate::model::BackupId;

/// Of a date and a time in the zone of this host.
const FORMATS: [&str; 4] = [
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
];

/// A date, which is its beginning, or a date and a time, in the zone of this host where it names no other; or a backup id.
pub fn parse(text: &str) -> Result<DateTime<Utc>> {
    parse_in(&Local, text)
}

fn parse_in<Z: TimeZone>(zone: &Z, text: &str) -> Result<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(id) = BackupId::parse(text) {
        return Ok(id.time());
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let local = match date {
        Some(date) => date.and_time(NaiveTime::MIN),
        None => FORMATS
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .context("it is neither a date (`2026-01-31`) nor a time (`2026-01-31 14:30`)")?,
    };
    // Of an hour that comes twice the first; one that the clocks leave out is no time.
    let time = zone.from_local_datetime(&local).earliest();
    Ok(time
        .context("the clocks of this host leave that time out")?
        .to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_of_this_host_unless_they_say_otherwise() {
        let zone = chrono::FixedOffset::east_opt(2 * 3600).unwrap();
        for (text, utc) in [
            ("2026-01-31", "2026-01-30T22:00:00Z"),
            ("2026-01-31 14:30", "2026-01-31T12:30:00Z"),
            (" 2026-01-31T14:30:05 ", "2026-01-31T12:30:05Z"),
            ("2026-01-31T14:30:05Z", "2026-01-31T14:30:05Z"),
            ("2026-01-31T14:30:05-01:00", "2026-01-31T15:30:05Z"),
            ("2026-01-31T14-30-05Z", "2026-01-31T14:30:05Z"),
        ] {
            let utc: DateTime<Utc> = utc.parse().unwrap();
            assert_eq!(parse_in(&zone, text).unwrap(), utc, "{text}");
        }
        for wrong in ["", "yesterday", "2026-13-01", "31.01.2026", "14:30"] {
            assert!(parse_in(&zone, wrong).is_err(), "{wrong}");
        }
    }
}
