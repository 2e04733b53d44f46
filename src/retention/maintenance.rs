//! When Kopia's maintenance runs, and whether it is ours to run. Never while a unit is down, and never in the place of another
//! host that owns it: two at once can destroy data.

use std::path::PathBuf;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::base::fault;
use crate::base::files;
use crate::base::paths::Paths;
use crate::config::Config;
use crate::drivers::kopia::{Kopia, Maintenance, Mode};
use crate::error::Result;
use crate::model::report::MaintenanceReport;
use crate::retention::Outlook;

/// How late another host may be before that is said: it may be off over a holiday.
const OVERDUE: TimeDelta = TimeDelta::days(14);

/// The result of asking what is due.
#[derive(Default)]
pub struct Done {
    pub report: Option<MaintenanceReport>,
    pub warning: Option<String>,
}

/// The last maintenance that this host did: for those who look without opening the repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remembered {
    pub mode: Mode,
    pub finished_at: DateTime<Utc>,
}

/// Runs what is due by `info`, Kopia's own schedule, if this host owns it and no other machine has its name.
pub async fn when_due(
    kopia: &Kopia,
    config: &Config,
    paths: &Paths,
    outlook: &Outlook,
    info: Result<Maintenance>,
) -> Result<Done> {
    if outlook.conflict.is_some() {
        // Said with the retention. Kopia tells them apart by name alone, and two at once can destroy data.
        return Ok(Done::default());
    }
    let info = info?;
    let now = Utc::now();
    if !is_ours(kopia, &info) {
        return Ok(Done {
            report: None,
            warning: is_overdue(&info, now).then(|| not_ours(kopia, &info)),
        });
    }
    let report = match info.due(now, outlook.first_snapshot) {
        Some(mode) => Some(run(kopia, config, paths, mode).await?),
        None => None,
    };
    Ok(Done {
        report,
        warning: None,
    })
}

/// Runs it now. The caller knows that it is ours.
pub async fn run(
    kopia: &Kopia,
    config: &Config,
    paths: &Paths,
    mode: Mode,
) -> Result<MaintenanceReport> {
    fault::reached("maintenance").await;
    let began = Instant::now();
    kopia.maintain(mode, config.backup.stall_timeout).await?;
    let remembered = Remembered {
        mode,
        finished_at: Utc::now(),
    };
    let file = file(paths, config.profile());
    files::write(&file, &serde_json::to_vec_pretty(&remembered)?)?;
    Ok(MaintenanceReport {
        mode: mode.as_str().to_owned(),
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// `None` where there was none, or where what was remembered makes no sense any more.
pub fn remembered(paths: &Paths, profile: &str) -> Option<Remembered> {
    serde_json::from_slice(&std::fs::read(file(paths, profile)).ok()?).ok()
}

fn file(paths: &Paths, profile: &str) -> PathBuf {
    paths.maintenance().join(format!("{profile}.json"))
}

/// So late that it is reported.
pub fn is_overdue(info: &Maintenance, now: DateTime<Utc>) -> bool {
    info.next_full().is_some_and(|next| next + OVERDUE < now)
}

pub fn is_ours(kopia: &Kopia, info: &Maintenance) -> bool {
    info.owner == kopia.identity().to_string()
}

/// Whose it is, since when it is due, and how this host gets it.
pub fn not_ours(kopia: &Kopia, info: &Maintenance) -> String {
    let who = if info.owner.is_empty() {
        "the maintenance of the repository has no owner".to_owned()
    } else {
        format!(
            "the maintenance of the repository is done by `{}`",
            info.owner
        )
    };
    let since = info
        .next_full()
        .filter(|next| *next < Utc::now())
        .map_or_else(String::new, |next| {
            format!(", and due since {}", next.format("%Y-%m-%d"))
        });
    format!(
        "{who}{since}; when that host is gone for good, this one takes it over with `{}`, which asks for the repository's password",
        kopia.take_over_command()
    )
}
