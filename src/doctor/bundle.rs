//! The recovery bundles of this host: that there is one, that it has what is there now, that it is not lost with the host, and that the next
//! run can make one.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;

use super::bundle_place;
use super::finding::Finding;
use crate::base::blocking::aside;
use crate::base::text;
use crate::bundle::{self, Kept, Newest, password};
use crate::config::{Config, Loaded};
use crate::context::Context;
use crate::error::Result;
use crate::model::MachineId;
use crate::reports::past::{self, Reports};
use crate::repository;
use crate::repository::machine::Machine;

pub const AREA: &str = "recovery_bundle";

/// A disk that hangs blocks its caller.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How many files that changed are named.
const TOLD: usize = 3;

const CHANGES_UNKNOWN: &str =
    "a disk does not answer: whether the newest bundle has what is there now is not known";

pub const MAKE: &str = "run `sudo kopi-docka disaster-recovery`";

pub async fn check(cx: &Context, loaded: Option<&Loaded>) -> Vec<Finding> {
    let Some(loaded) = loaded else {
        return Vec::new();
    };
    let config = &loaded.config;
    let Ok(machine) = Machine::of(&cx.paths) else {
        return Vec::new();
    };
    let here = Here {
        host: repository::identity(&cx.paths, config).host,
        machine: machine.id,
    };
    let mut findings = Vec::new();
    let folder = &config.backup.recovery_bundle_path;
    let no_password = next_run(cx, config);
    match here.newest_in(folder).await {
        Err(finding) => findings.push(finding),
        Ok(Kept::Newest(newest)) => findings.extend(judge(cx, loaded, &here, newest).await),
        Ok(kept) => {
            // One remedy for both.
            if no_password.is_none() && has_backups(config).await {
                findings.push(none(folder, kept == Kept::OnlyOthers));
            }
        }
    }
    findings.extend(no_password);
    findings
}

/// Whose bundles count.
#[derive(Clone)]
pub struct Here {
    host: String,
    machine: MachineId,
}

impl Here {
    pub async fn newest_in(&self, folder: &Path) -> Result<Kept, Finding> {
        let (here, asked) = (self.clone(), folder.to_owned());
        let newest = move || bundle::newest(&asked, &here.host, &here.machine);
        within(&silent(folder), newest).await
    }
}

pub fn silent(folder: &Path) -> String {
    let folder = folder.display();
    format!("`{folder}` does not answer: which recovery bundles it has is not known")
}

/// What is on a disk, asked aside and not for ever. `silent` is said of one that does not answer.
pub async fn within<T: Send + 'static>(
    silent: &str,
    look: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, Finding> {
    let check_mounts = "check for a disk or a server that hangs, with `mount` and `dmesg`";
    match tokio::time::timeout(PATIENCE, aside(look)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Finding::warning(AREA, format!("{error:#}")).remedy(check_mounts)),
        Err(_) => Err(Finding::warning(AREA, silent).remedy(check_mounts)),
    }
}

/// A run that is to write a bundle and cannot ends with exit code 3.
fn next_run(cx: &Context, config: &Config) -> Option<Finding> {
    if !config.backup.update_recovery_bundle {
        return None;
    }
    match password::stored(&cx.paths.recovery_password) {
        Ok(Some(_)) => None,
        Ok(None) => {
            let message = "`backup.update_recovery_bundle` is on, but there is no recovery password: each run ends with exit code 3";
            let remedy = format!("{MAKE} once: it makes the password and shows it");
            Some(Finding::warning(AREA, message).remedy(remedy))
        }
        Err(error) => {
            let mut finding = Finding::of_error(AREA, &error);
            let remedy = finding.remedy.take().unwrap_or_else(|| MAKE.to_owned());
            Some(Finding::warning(AREA, finding.message).remedy(remedy))
        }
    }
}

/// Without one there is nothing that a bundle would have to lead to.
async fn has_backups(config: &Config) -> bool {
    let reports = past::folder(config);
    let look = move || {
        let mut reports = Reports::newest_first(&reports)?.filter_map(|(_, report)| report.ok());
        Ok(reports.any(|report| report.units.iter().any(|unit| unit.grade.is_some())))
    };
    within("the directory of the reports does not answer", look)
        .await
        .unwrap_or(false)
}

fn none(folder: &Path, has_others: bool) -> Finding {
    let folder = folder.display();
    let message = if has_others {
        format!(
            "`{folder}` has no recovery bundle of this host, only those of others or of an earlier version"
        )
    } else {
        format!("no recovery bundle of this host in `{folder}`")
    };
    let remedy = format!(
        "{MAKE} and keep the bundle where this host is not; `backup.update_recovery_bundle` makes one after each run"
    );
    Finding::warning(AREA, message).remedy(remedy)
}

async fn judge(cx: &Context, loaded: &Loaded, here: &Here, newest: Newest) -> Vec<Finding> {
    let (made_at, paths, of_host) = (newest.made_at, cx.paths.clone(), loaded.clone());
    let changed = within(CHANGES_UNKNOWN, move || {
        Ok(bundle::changed_since(made_at, &paths, &of_host))
    });
    let (changed, place) =
        tokio::join!(changed, bundle_place::check(&loaded.config, here, &newest));
    let age = text::age(newest.made_at, Utc::now());
    let message = format!("the newest is {age} old: `{}`", newest.path.display());
    let mut findings = vec![Finding::ok(AREA, message)];
    match changed {
        Ok(changed) => findings.extend(outdated(&changed)),
        Err(finding) => findings.push(finding),
    }
    findings.extend(place);
    findings
}

fn outdated(changed: &[String]) -> Option<Finding> {
    let mut names = changed.iter().take(TOLD).cloned().collect::<Vec<_>>();
    let rest = changed.len().saturating_sub(TOLD);
    if rest > 0 {
        names.push(format!("{rest} more"));
    }
    if names.is_empty() {
        return None;
    }
    let message = format!(
        "changed since the newest bundle was made: {}",
        names.join(", ")
    );
    Some(Finding::warning(AREA, message).remedy(format!("{MAKE} for a new one")))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn what_changed_is_named_and_many_are_counted() {
        let changed = ["`a`", "`b`", "`c`", "`d`", "`e`"].map(str::to_owned);
        assert!(outdated(&[]).is_none());
        let one = outdated(&changed[..1]).unwrap();
        assert_eq!(one.state, State::Warning);
        assert!(one.message.ends_with("was made: `a`"), "{one:?}");
        let many = outdated(&changed).unwrap().message;
        assert!(many.ends_with(": `a`, `b`, `c`, 2 more"), "{many}");
    }
}
