//! A backup that did not reach the repository: whether it is still to be made, and by whom.

use chrono::{DateTime, Utc};

use super::finding::Finding;
use super::schedule::AREA;
use crate::base::text;
use crate::config::Loaded;
use crate::context::Context;
use crate::drivers::systemd::{asked, is_booted};
use crate::service::retry::Pending;

const TIMER: &str = "kopi-docka-retry.timer";

/// Who looks whether the repository answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Somebody,
    Nobody,
    /// Without systemd that is for cron, whose tables are not understood in detail.
    Unknown,
}

/// `daemon`: one that makes backups is at work.
pub async fn check(cx: &Context, loaded: Option<&Loaded>, daemon: bool) -> Option<Finding> {
    let pending = Pending::read(&cx.paths, loaded?.config.profile())?;
    let looks = if daemon {
        Looks::Somebody
    } else if !is_booted() {
        Looks::Unknown
    } else if asked(&["is-active", TIMER]).await.as_deref() == Some("active") {
        Looks::Somebody
    } else {
        Looks::Nobody
    };
    Some(judge(&pending, looks, Utc::now()))
}

fn judge(pending: &Pending, looks: Looks, now: DateTime<Utc>) -> Finding {
    let what = format!(
        "the backup of {} did not reach the repository",
        text::minute(pending.since)
    );
    let until = text::minute(pending.until);
    if pending.is_over(now) {
        return Finding::warning(AREA, format!("{what}, and was not made until {until}"))
            .remedy("when the storage answers, run `kopi-docka backup`");
    }
    match looks {
        Looks::Somebody | Looks::Unknown => {
            let message = format!("{what}: it is tried again until {until}");
            let mut remedy =
                "check that the storage is on and reachable; `kopi-docka backup` makes the backup at once".to_owned();
            if looks == Looks::Unknown {
                remedy.push_str("; cron has to run `kopi-docka retry` every five minutes");
            }
            Finding::warning(AREA, message).remedy(remedy)
        }
        Looks::Nobody => {
            let message = format!("{what}, and nothing tries it again: `{TIMER}` is not active");
            Finding::warning(AREA, message).remedy(format!("systemctl enable --now {TIMER}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pending_backup_is_told_with_its_times_and_who_makes_it() {
        let since: DateTime<Utc> = "2025-01-31T02:00:10Z".parse().unwrap();
        let pending = Pending::new(since, Duration::from_secs(6 * 3600));
        let message = |looks, now| judge(&pending, looks, now).message;
        assert_eq!(
            message(Looks::Somebody, since),
            "the backup of 2025-01-31 02:00 UTC did not reach the repository: it is tried again until 2025-01-31 08:00 UTC"
        );
        let nobody = judge(&pending, Looks::Nobody, since);
        assert!(nobody.message.contains("nothing tries it again"));
        assert_eq!(
            nobody.remedy.as_deref(),
            Some("systemctl enable --now kopi-docka-retry.timer")
        );
        let cron = judge(&pending, Looks::Unknown, since);
        assert!(
            cron.remedy
                .unwrap()
                .contains("cron has to run `kopi-docka retry`")
        );
        let over = message(Looks::Somebody, pending.until);
        assert!(
            over.ends_with("was not made until 2025-01-31 08:00 UTC"),
            "{over}"
        );
    }
}
