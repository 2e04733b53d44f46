//! Whether each unit has come back lately, and whether its probes are for services that there are.

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::Finding;
use crate::base::paths::Paths;
use crate::base::text;
use crate::config::Config;
use crate::drill;
use crate::error::Exit;
use crate::model::drill::{DrillOutcome, DrillReport};
use crate::model::{Unit, UnitName};
use crate::reports::drills::Drills;
use crate::reports::past::{self, LastRuns};

const AREA: &str = "drills";

/// `units` are those that a run without a name saves.
pub fn check(config: Option<&Config>, units: Option<&[Unit]>, paths: &Paths) -> Vec<Finding> {
    let mut findings = kept(paths);
    let (Some(config), Some(units)) = (config, units) else {
        return findings;
    };
    findings.extend(units.iter().flat_map(|unit| probes(config, unit)));
    let Some(max_age) = config
        .drill
        .max_age
        .and_then(|age| TimeDelta::from_std(age).ok())
    else {
        return findings;
    };
    let names: Vec<UnitName> = units.iter().map(|unit| unit.name.clone()).collect();
    let Ok(last) = LastRuns::load(&past::folder(config), Some(&names)) else {
        // Another check says why.
        return findings;
    };
    let known = Drills::load(&paths.drills());
    // What was never saved has nothing to come back from.
    let saved = names.iter().filter(|unit| {
        let is_saved = last.of(unit).is_some_and(|last| last.good_at.is_some());
        is_saved || known.last(unit).is_some()
    });
    let now = Utc::now();
    findings.extend(
        saved.map(|unit| judge(unit, known.last(unit), known.last_good(unit), now, max_age)),
    );
    findings
}

/// Copies that were left running use memory and disk until they are removed.
fn kept(paths: &Paths) -> Vec<Finding> {
    let records = match drill::kept(paths) {
        Ok(records) => records,
        Err(error) => return vec![Finding::of_error(AREA, &error)],
    };
    let now = Utc::now();
    let finding = |record: &drill::Record| {
        let age = text::age(record.started_at, now);
        let message = format!(
            "a copy of unit `{}` (drill {}) is kept, made {age} ago",
            record.unit, record.id
        );
        Finding::warning(AREA, message)
            .remedy(format!("run `kopi-docka drill --remove {}`", record.id))
    };
    records.iter().map(finding).collect()
}

fn judge(
    unit: &UnitName,
    last: Option<&DrillReport>,
    good: Option<&DrillReport>,
    now: DateTime<Utc>,
    max_age: TimeDelta,
) -> Finding {
    let remedy =
        format!("run `kopi-docka drill --unit {unit}`, or let a timer do it (`drill.every`)");
    let age = |report: &DrillReport| format!("{} ago", text::age(report.finished_at, now));
    let Some(last) = last else {
        let message =
            format!("unit `{unit}` was never drilled: whether it comes back is not known");
        return Finding::warning(AREA, message).remedy(remedy);
    };
    if last.outcome == DrillOutcome::NotGood {
        let why = last
            .errors
            .first()
            .map_or_else(String::new, |error| format!(": {error}"));
        let good = good.map_or_else(
            || "no good one is known".to_owned(),
            |good| format!("the last good one was {}", age(good)),
        );
        let message = format!(
            "the last drill of unit `{unit}`, {}, was not good{why}; {good}",
            age(last)
        );
        return Finding::warning(AREA, message).remedy(format!("fix it, then {remedy}"));
    }
    let without: Vec<String> = last
        .left_out
        .iter()
        .map(|left| format!("`{}`", left.service))
        .collect();
    let without = match without.is_empty() {
        true => String::new(),
        false => format!(", without {}", without.join(", ")),
    };
    let message = format!("unit `{unit}` came back in a drill {}{without}", age(last));
    if now - last.finished_at > max_age {
        return Finding::warning(AREA, format!("{message}: too old (`drill.max_age`)"))
            .remedy(remedy);
    }
    Finding::ok(AREA, message)
}

fn probes(config: &Config, unit: &Unit) -> Vec<Finding> {
    let services = unit
        .containers
        .iter()
        .map(|container| container.service.as_ref().unwrap_or(&container.name));
    let services: Vec<&String> = services.collect();
    let wrong = config
        .probes(unit.name.as_str())
        .iter()
        .filter_map(|probe| match &probe.service {
            Some(service) if !services.contains(&service) => {
                Some(format!("has no service `{service}`"))
            }
            None if services.len() > 1 => {
                Some("has several services, and the probe names none (`service`)".to_owned())
            }
            _ => None,
        });
    wrong
        .map(|wrong| {
            let message = format!(
                "a probe of the drill of unit `{}` cannot be run: the unit {wrong}",
                unit.name
            );
            let remedy = format!(
                "fix `backup.units.{}.drill.probes` (`kopi-docka edit-config`)",
                unit.name
            );
            Finding::failure(AREA, Exit::Config, message).remedy(remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::reports::drills::tests::report;

    #[test]
    fn never_not_good_too_old_and_fresh_are_told_apart() {
        let now: DateTime<Utc> = "2026-06-01T00:00:00Z".parse().unwrap();
        let web = UnitName::parse("web").unwrap();
        let judged = |last: Option<&DrillReport>, good: Option<&DrillReport>| {
            let finding = judge(&web, last, good, now, TimeDelta::days(90));
            (finding.state, finding.message)
        };
        let old = report("web", "1", "good", "2026-03-01T00:00:00Z");
        let fresh = report("web", "2", "partial", "2026-05-01T00:00:00Z");
        let bad = report("web", "3", "not_good", "2026-05-30T00:00:00Z");
        assert_eq!(judged(None, None).0, State::Warning);
        let (state, message) = judged(Some(&old), Some(&old));
        assert!(
            state == State::Warning && message.contains("too old"),
            "{message}"
        );
        assert_eq!(judged(Some(&fresh), Some(&fresh)).0, State::Ok);
        let (state, message) = judged(Some(&bad), Some(&fresh));
        assert!(
            state == State::Warning && message.contains("the last good one was 31 d ago"),
            "{message}"
        );
    }
}
