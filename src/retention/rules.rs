//! Kopia's scheme: the newest of each hour, day, ISO week, month and year, as many of each as the rules say, and the latest.
//!
//! Without Kopia's time windows, which are measured back from now: a host that was off for a month would lose its history,
//! and one whose clock jumped ahead all of it.

use chrono::{DateTime, Utc};

use crate::config::Retention;

/// Whether each of `times` is kept; the newest comes first.
pub fn kept(times: &[DateTime<Utc>], retention: &Retention) -> Vec<bool> {
    let mut kept = vec![retention.keeps_everything(); times.len()];
    let periods = [
        (retention.hourly, "%Y-%m-%d %H"),
        (retention.daily, "%Y-%m-%d"),
        (retention.weekly, "%G-%V"),
        (retention.monthly, "%Y-%m"),
        (retention.yearly, "%Y"),
    ];
    for (is_kept, _) in kept.iter_mut().zip(0..retention.latest) {
        *is_kept = true;
    }
    for (count, period) in periods {
        let mut last = None;
        let mut left = count;
        for (is_kept, time) in kept.iter_mut().zip(times) {
            let this = Some(time.format(period).to_string());
            // One period is one stretch of a row that is in order.
            if this != last && left > 0 {
                *is_kept = true;
                left -= 1;
            }
            last = this;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Retention = Retention {
        latest: 0,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
    };

    fn kept_of(times: &[&str], retention: Retention) -> Vec<bool> {
        let times: Vec<DateTime<Utc>> = times.iter().map(|time| time.parse().unwrap()).collect();
        kept(&times, &retention)
    }

    #[test]
    fn the_newest_of_each_period_is_kept_and_one_point_can_serve_several_rules() {
        let days = [
            "2026-03-02T02:00:00Z", // a Monday
            "2026-03-01T23:59:59Z", // the Sunday before: the same ISO week as the day before it
            "2026-03-01T02:00:00Z",
            "2026-02-28T02:00:00Z",
            "2025-12-31T02:00:00Z",
            "2024-12-30T02:00:00Z", // a day of ISO week 2025-01
        ];
        for (retention, expected) in [
            (
                Retention {
                    latest: 2,
                    ..NOTHING
                },
                [1, 1, 0, 0, 0, 0],
            ),
            (
                Retention {
                    hourly: 3,
                    ..NOTHING
                },
                [1, 1, 1, 0, 0, 0],
            ),
            (
                Retention {
                    daily: 3,
                    ..NOTHING
                },
                [1, 1, 0, 1, 0, 0],
            ),
            (
                Retention {
                    weekly: 2,
                    ..NOTHING
                },
                [1, 1, 0, 0, 0, 0],
            ),
            (
                Retention {
                    monthly: 3,
                    ..NOTHING
                },
                [1, 0, 0, 1, 1, 0],
            ),
            (
                Retention {
                    yearly: 5,
                    ..NOTHING
                },
                [1, 0, 0, 0, 1, 1],
            ),
            (
                Retention {
                    daily: 1,
                    yearly: 2,
                    ..NOTHING
                },
                [1, 0, 0, 0, 1, 0],
            ),
        ] {
            assert_eq!(
                kept_of(&days, retention),
                expected.map(|kept| kept == 1),
                "{retention:?}"
            );
        }
    }

    #[test]
    fn without_a_rule_everything_is_kept() {
        assert_eq!(
            kept_of(&["2026-03-02T02:00:00Z", "2026-03-01T02:00:00Z"], NOTHING),
            [true, true]
        );
    }
}
