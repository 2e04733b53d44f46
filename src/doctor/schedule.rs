//! Whether anything starts a backup by itself: the timer, the daemon, or cron.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::Finding;
use super::pending;
use crate::base::blocking::aside;
use crate::config::Loaded;
use crate::context::Context;
use crate::drivers::systemd::asked;
use crate::service::{install, units};

pub const AREA: &str = "schedule";

const TIMER: &str = "kopi-docka.timer";
const SERVICE: &str = "kopi-docka.service";
const CLEAN: &str = "kopi-docka-clean.service";

/// Where cron keeps its tables, below the root of the file system: files, and directories of them.
const CRON: [&str; 8] = [
    "etc/crontab",
    "etc/cron.d",
    "etc/cron.hourly",
    "etc/cron.daily",
    "etc/cron.weekly",
    "var/spool/cron/crontabs",
    "var/spool/cron",
    "etc/crontabs",
];

/// `loaded`: what units would be written for now, where it can be read.
pub async fn check(cx: &Context, loaded: Option<&Loaded>) -> Vec<Finding> {
    let of_systemd = systemd().await;
    let cron = aside(|| Ok(cron_tables(Path::new("/"))));
    let cron = cron.await.unwrap_or_default();
    let mut findings = vec![judge(of_systemd.as_ref(), &cron)];
    let units = loaded.and_then(|loaded| units::of(cx, loaded).ok());
    findings.extend(outdated(&install::stale(&units.unwrap_or_default())));
    if let Some(units) = &of_systemd
        && units.iter().any(|unit| unit.is_enabled)
    {
        findings.extend(unmarked(&unit(CLEAN).await));
    }
    let is_daemon = |units: &[Unit; 2]| units.iter().any(|unit| unit.is_daemon_at_work());
    let daemon = of_systemd.as_ref().is_some_and(is_daemon);
    findings.extend(pending::check(cx, loaded, daemon).await);
    findings
}

/// Without it a restart is as good as a power cut.
fn unmarked(clean: &Unit) -> Option<Finding> {
    (!clean.is_enabled).then(|| {
        let message = format!(
            "`{CLEAN}` is not enabled: the first backup after each restart reads everything once more, while services run"
        );
        Finding::warning(AREA, message).remedy(format!("systemctl enable --now {CLEAN}"))
    })
}

/// They may write where the repository was, and not where it is.
fn outdated(paths: &[PathBuf]) -> Option<Finding> {
    let names: Vec<String> = paths
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    let message = format!(
        "{} not as the configuration and this program would have it",
        match names.as_slice() {
            [] => return None,
            [one] => format!("{one} is"),
            several => format!("{} are", several.join(", ")),
        }
    );
    Some(Finding::warning(AREA, message).remedy("run `sudo kopi-docka write-units`"))
}

/// A unit that systemd starts by itself.
struct Unit {
    name: &'static str,
    is_enabled: bool,
    is_active: bool,
    /// A daemon that was told no interval runs for ever and backs nothing up.
    backs_up: bool,
}

impl Unit {
    fn is_daemon_at_work(&self) -> bool {
        self.name == SERVICE && self.is_active && self.backs_up
    }
}

/// How far apart the backups are that systemd starts, where that is known: by the timer, or by the daemon's interval.
pub async fn interval() -> Option<TimeDelta> {
    let [timer, service] = systemd().await?;
    if timer.is_active {
        let times = [
            "--property=LastTriggerUSec",
            "--property=NextElapseUSecRealtime",
        ];
        let shown = show(TIMER, &[&times[..], &["--timestamp=unix"]].concat()).await?;
        return between(&shown);
    }
    if service.is_active && service.backs_up {
        return minutes(&show(SERVICE, &["--property=ExecStart"]).await?);
    }
    None
}

/// What `systemctl show` says of a unit.
async fn show(unit: &str, options: &[&str]) -> Option<String> {
    asked(&[&["show"][..], options, &[unit]].concat()).await
}

/// From the last start to the next one: `LastTriggerUSec=@1764295200`. systemd before 247 writes them otherwise, and a timer that
/// never struck has no last one.
fn between(shown: &str) -> Option<TimeDelta> {
    let seconds = unix(shown, NEXT)? - unix(shown, "LastTriggerUSec")?;
    (seconds > 0).then(|| TimeDelta::seconds(seconds))
}

const NEXT: &str = "NextElapseUSecRealtime";

fn unix(shown: &str, property: &str) -> Option<i64> {
    let mut lines = shown.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(name, _)| *name == property)?;
    value.strip_prefix('@')?.trim().parse().ok()
}

/// When systemd begins the next backup, where that is known: by the timer, or by the daemon's interval after the one that began at `last`.
pub async fn next_run(last: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let [timer, service] = systemd().await?;
    if timer.is_active {
        let property = format!("--property={NEXT}");
        let shown = show(TIMER, &[&property, "--timestamp=unix"]).await?;
        return DateTime::from_timestamp(unix(&shown, NEXT)?, 0);
    }
    if service.is_active && service.backs_up {
        return Some(last? + minutes(&show(SERVICE, &["--property=ExecStart"]).await?)?);
    }
    None
}

/// Of `ExecStart={ path=… ; argv[]=… daemon --interval-minutes 60 ; … }`.
fn minutes(shown: &str) -> Option<TimeDelta> {
    let (_, rest) = shown.split_once("--interval-minutes")?;
    let number: String = rest
        .chars()
        .skip_while(|c| matches!(c, ' ' | '='))
        .take_while(char::is_ascii_digit)
        .collect();
    number.parse().ok().map(TimeDelta::minutes)
}

fn judge(of_systemd: Option<&[Unit; 2]>, cron: &[PathBuf]) -> Finding {
    let units = of_systemd.into_iter().flatten();
    let mut idle = None;
    let mut is_idle = false;
    for unit in units {
        match (unit.is_enabled, unit.is_active) {
            (_, true) if !unit.backs_up => is_idle = true,
            (true, true) => {
                return Finding::ok(AREA, format!("`{}` is enabled and active", unit.name));
            }
            (true, false) => idle = Some((unit.name, "is enabled, but not active")),
            (false, true) => idle = Some((unit.name, "is active, but gone after the next boot")),
            (false, false) => {}
        }
    }
    if let Some((name, how)) = idle {
        return Finding::warning(AREA, format!("`{name}` {how}"))
            .remedy(format!("systemctl enable --now {name}"));
    }
    if let Some(table) = cron.first() {
        return Finding::ok(AREA, format!("cron starts it: `{}`", table.display()));
    }
    if is_idle {
        let message = format!("`{SERVICE}` runs, but was told no interval: it starts no backup");
        Finding::warning(AREA, message).remedy(format!("systemctl enable --now {TIMER}"))
    } else if of_systemd.is_some() {
        Finding::warning(
            AREA,
            "nothing starts a backup by itself: neither the timer, nor the daemon, nor cron",
        )
        .remedy(format!("systemctl enable --now {TIMER}"))
    } else {
        Finding::warning(
            AREA,
            "nothing starts a backup by itself: systemd does not run here, and no table of cron names kopi-docka",
        )
        .remedy("let cron run it: `echo '0 2 * * * root kopi-docka --quiet backup' >/etc/cron.d/kopi-docka`")
    }
}

/// `None` where systemd does not run.
async fn systemd() -> Option<[Unit; 2]> {
    // The program may be there without the rest of it, such as in a container.
    let state = asked(&["is-system-running", "--no-pager"]).await?;
    if matches!(state.as_str(), "offline" | "unknown") {
        return None;
    }
    let (timer, mut service, command) = tokio::join!(
        unit(TIMER),
        unit(SERVICE),
        show(SERVICE, &["--property=ExecStart"])
    );
    service.backs_up = command.is_none_or(|command| minutes(&command).is_some());
    Some([timer, service])
}

async fn unit(name: &'static str) -> Unit {
    let (enabled, active) = (["is-enabled", name], ["is-active", name]);
    let (enabled, active) = tokio::join!(asked(&enabled), asked(&active));
    let is = |answer: Option<String>, words: &[&str]| {
        answer.is_some_and(|answer| words.contains(&answer.as_str()))
    };
    Unit {
        name,
        is_enabled: is(enabled, &["enabled", "enabled-runtime", "static", "alias"]),
        is_active: is(active, &["active", "activating", "reloading"]),
        backs_up: true,
    }
}

/// The tables that name us in a line that counts.
fn cron_tables(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for place in CRON {
        let path = root.join(place);
        match std::fs::read_dir(&path) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => files.push(path),
        }
    }
    files.retain(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        file.is_file() && lines.any(|line| !line.starts_with('#') && line.contains("kopi-docka"))
    });
    files
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    fn unit(name: &'static str, is_enabled: bool, is_active: bool) -> Unit {
        Unit {
            name,
            is_enabled,
            is_active,
            backs_up: true,
        }
    }

    #[test]
    fn a_restart_that_nobody_marks_is_told() {
        assert!(unmarked(&unit(CLEAN, true, false)).is_none());
        let finding = unmarked(&unit(CLEAN, false, true)).unwrap();
        assert!(finding.remedy.unwrap().contains(CLEAN));
    }

    #[test]
    fn a_daemon_without_an_interval_is_no_schedule() {
        let daemon = || Unit {
            backs_up: false,
            ..unit(SERVICE, true, true)
        };
        let idle = judge(Some(&[unit(TIMER, false, false), daemon()]), &[]);
        assert_eq!(idle.state, State::Warning);
        assert!(
            idle.message.contains("starts no backup"),
            "{}",
            idle.message
        );
        let both = judge(Some(&[unit(TIMER, true, true), daemon()]), &[]);
        assert_eq!(both.state, State::Ok);
        let table = [PathBuf::from("/etc/crontab")];
        let cron = judge(Some(&[unit(TIMER, false, false), daemon()]), &table);
        assert_eq!(cron.state, State::Ok);
    }

    #[test]
    fn an_interval_is_read_as_systemd_252_tells_it() {
        let exec = |words: &str| {
            format!(
                "ExecStart={{ path=/usr/bin/kopi-docka ; argv[]=/usr/bin/kopi-docka daemon {words}; ignore_errors=no }}"
            )
        };
        assert_eq!(
            minutes(&exec("--interval-minutes 90 ")),
            Some(TimeDelta::minutes(90))
        );
        assert_eq!(
            minutes(&exec("--interval-minutes=90 ")),
            Some(TimeDelta::minutes(90))
        );
        assert_eq!(minutes(&exec("")), None);
        let weekly = "LastTriggerUSec=@1764295200\nNextElapseUSecRealtime=@1764900000\n";
        assert_eq!(between(weekly), Some(TimeDelta::days(7)));
        for unknown in [
            "",
            "LastTriggerUSec=\nNextElapseUSecRealtime=@1764900000",
            "LastTriggerUSec=n/a",
        ] {
            assert_eq!(between(unknown), None);
        }
    }

    #[test]
    fn timer_daemon_and_cron_all_count_and_nothing_is_a_warning() {
        let none = || unit(SERVICE, false, false);
        let timer = [unit(TIMER, true, true), none()];
        assert_eq!(judge(Some(&timer), &[]).state, State::Ok);
        let daemon = [unit(TIMER, false, false), unit(SERVICE, true, true)];
        assert_eq!(judge(Some(&daemon), &[]).state, State::Ok);
        let stopped = judge(Some(&[unit(TIMER, true, false), none()]), &[]);
        assert_eq!(stopped.state, State::Warning);
        assert_eq!(
            stopped.remedy.as_deref(),
            Some("systemctl enable --now kopi-docka.timer")
        );
        let off = [unit(TIMER, false, false), none()];
        assert_eq!(judge(Some(&off), &[]).state, State::Warning);
        let table = [PathBuf::from("/etc/crontab")];
        assert_eq!(judge(Some(&off), &table).state, State::Ok);
        assert_eq!(judge(None, &table).state, State::Ok);
        let nothing = judge(None, &[]);
        assert!(nothing.message.contains("systemd does not run here"));
        assert!(nothing.remedy.unwrap().contains("cron"));
    }

    #[test]
    fn a_comment_in_a_table_of_cron_starts_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/cron.d");
        std::fs::create_dir_all(&folder).unwrap();
        let table = folder.join("backup");
        std::fs::write(&table, "# 0 2 * * * root kopi-docka backup\n").unwrap();
        assert!(cron_tables(root.path()).is_empty());
        std::fs::write(&table, "0 2 * * * root kopi-docka backup\n").unwrap();
        assert_eq!(cron_tables(root.path()), [table]);
    }

    proptest! {
        #[test]
        fn no_answer_of_systemd_breaks_it(
            times in damaged_text("LastTriggerUSec=@1764295200\nNextElapseUSecRealtime=@1764381600\n"),
            command in damaged_text("ExecStart={ path=/k ; argv[]=/k daemon --interval-minutes 60 ; }"),
        ) {
            let _ = between(&times);
            let _ = minutes(&command);
        }
    }
}
