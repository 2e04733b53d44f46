//! What the last runs did, as a file for the textfile collector of Prometheus' node exporter.
//!
//! Written after every run, also one that came to no unit. What a unit's last good run was comes from the reports, so it stays when
//! the unit fails. That the file cannot be written is for the caller to say, and fails no run.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::drills::Drills;
use super::past::{self, LastRuns};
use crate::base::files;
use crate::config::Config;
use crate::error::Result;
use crate::model::UnitName;
use crate::model::drill::DrillReport;
use crate::model::report::RunReport;

/// A run that is over.
pub struct Ran<'a> {
    pub started_at: DateTime<Utc>,
    pub exit_code: u8,
    /// `None` when it came to no unit.
    pub report: Option<&'a RunReport>,
    /// The units of this host: others are forgotten. `None` when the run ended before it knew them.
    pub present: Option<&'a [UnitName]>,
    /// What drills came to.
    pub drills: &'a Drills,
}

/// Does nothing where no file is configured.
pub fn write(config: &Config, ran: &Ran<'_>) -> Result<()> {
    let Some(path) = &config.metrics.textfile else {
        return Ok(());
    };
    let present: BTreeSet<UnitName> = match ran.present {
        Some(present) => present.iter().cloned().collect(),
        None => units_in(&std::fs::read_to_string(path).unwrap_or_default()),
    };
    let wanted: Vec<UnitName> = present.iter().cloned().collect();
    let mut last = LastRuns::default();
    if let Some(report) = ran.report {
        // The disk of the reports may have been full.
        last.add_older(report.clone());
    }
    last.go_back(&past::folder(config), Some(&wanted))?;
    let mut text = render(ran, &present, &last, Utc::now());
    render_drills(&mut text, ran.drills, |unit| present.contains(unit));
    files::write_public(path, text.as_bytes())
}

/// How the names of all that drills tell begin.
const OF_DRILLS: &str = "kopi_docka_unit_drill_";

/// Tells of `drills` in the file that the last run has written. Does nothing where none is configured.
pub fn write_drills(config: &Config, drills: &Drills) -> Result<()> {
    let Some(path) = &config.metrics.textfile else {
        return Ok(());
    };
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let is_of_drills = |line: &&str| {
        let name = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        name.starts_with(OF_DRILLS)
    };
    let kept = before.lines().filter(|line| !is_of_drills(line));
    let mut text: String = kept.flat_map(|line| [line, "\n"]).collect();
    let present = units_in(&before);
    // A file that no run has written yet tells of none.
    let is_there = |unit: &UnitName| present.is_empty() || present.contains(unit);
    render_drills(&mut text, drills, is_there);
    files::write_public(path, text.as_bytes())
}

fn render_drills(text: &mut String, drills: &Drills, is_there: impl Fn(&UnitName) -> bool) {
    let lasts: Vec<&DrillReport> = drills
        .lasts()
        .into_iter()
        .filter(|last| is_there(&last.unit))
        .collect();
    let of_units = |value: fn(&DrillReport) -> Option<f64>| -> Vec<Sample> {
        let lasts = lasts.iter();
        lasts
            .filter_map(|last| Some((vec![("unit", last.unit.to_string())], value(last)?)))
            .collect()
    };
    let good = lasts.iter().filter_map(|last| {
        let good = drills.last_good(&last.unit)?;
        Some((
            vec![("unit", last.unit.to_string())],
            seconds(good.finished_at),
        ))
    });
    write_family(
        text,
        "kopi_docka_unit_drill_last_success_timestamp_seconds",
        "When a copy of the unit last came back well.",
        &good.collect::<Vec<_>>(),
    );
    write_family(
        text,
        "kopi_docka_unit_drill_last_timestamp_seconds",
        "When the unit's last drill ended.",
        &of_units(|last| Some(seconds(last.finished_at))),
    );
    write_family(
        text,
        "kopi_docka_unit_drill_success",
        "1 when the unit's last drill was good, or partial for a service that cannot be booted in isolation, else 0.",
        &of_units(|last| Some(f64::from(u8::from(last.is_good())))),
    );
    write_family(
        text,
        "kopi_docka_unit_drill_recovery_seconds",
        "How long the unit's last drill took from the first byte to healthy.",
        &of_units(|last| last.recovery_seconds),
    );
}

/// The units that a file of ours tells of.
fn units_in(text: &str) -> BTreeSet<UnitName> {
    let start = format!("{LAST_RUN}{{unit=\"");
    let names = text
        .lines()
        .filter_map(|line| UnitName::parse(&unescaped(line.strip_prefix(&start)?)?).ok());
    names.collect()
}

const LAST_RUN: &str = "kopi_docka_unit_last_run_timestamp_seconds";

type Sample = (Vec<(&'static str, String)>, f64);

type OfUnit = fn(&past::Last) -> Option<f64>;

/// Name, help, and the value of each unit that has one.
const OF_UNITS: [(&str, &str, OfUnit); 12] = [
    (
        "kopi_docka_unit_last_success_timestamp_seconds",
        "When the unit was last saved well.",
        |last| last.good_at.map(seconds),
    ),
    (
        LAST_RUN,
        "When the run ended that last tried the unit.",
        |last| Some(seconds(last.at)),
    ),
    (
        "kopi_docka_unit_last_run_success",
        "1 when the last run saved the unit well, else 0.",
        |last| Some(f64::from(u8::from(last.report.is_good()))),
    ),
    (
        "kopi_docka_unit_losses",
        "How many things the unit's last run could not save and the operator did not agree to.",
        |last| Some(last.report.losses.len() as f64),
    ),
    (
        "kopi_docka_unit_downtime_seconds",
        "How long the unit was down in its last run.",
        |last| Some(last.report.downtime_seconds),
    ),
    (
        "kopi_docka_unit_expected_downtime_seconds",
        "How long the unit was expected to be down in its last run.",
        |last| last.report.expected_downtime_seconds,
    ),
    (
        "kopi_docka_unit_bytes",
        "How much was read of the unit in its last run.",
        |last| Some(last.report.sum(|source| source.bytes) as f64),
    ),
    (
        "kopi_docka_unit_window_bytes",
        "How much of the unit was read while it was down in its last run.",
        |last| Some(last.report.sum(|source| source.window_bytes) as f64),
    ),
    (
        "kopi_docka_unit_before_bytes",
        "How much of the unit was read in its last run before it was stopped.",
        |last| Some(last.report.sum(|source| source.before_bytes) as f64),
    ),
    (
        "kopi_docka_unit_after_bytes",
        "How much of the unit was cloned while it was down in its last run, and read when it ran again.",
        |last| Some(last.report.sum(|source| source.after_bytes) as f64),
    ),
    (
        "kopi_docka_unit_kept_bytes",
        "How much of the unit was not read in its last window, since an earlier part has it.",
        |last| Some(last.report.sum(|source| source.kept_bytes) as f64),
    ),
    (
        "kopi_docka_unit_restore_points",
        "How many restore points of the unit were left by the last retention.",
        |last| last.points.map(|points| points as f64),
    ),
];

fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp() as f64
}

fn render(
    ran: &Ran<'_>,
    present: &BTreeSet<UnitName>,
    last: &LastRuns,
    now: DateTime<Utc>,
) -> String {
    let known: Vec<_> = present
        .iter()
        .filter_map(|unit| Some((unit, last.of(unit)?)))
        .collect();
    let of_units = |value: OfUnit| -> Vec<Sample> {
        let sample = |(unit, last): &(&UnitName, &past::Last)| {
            Some((vec![("unit", unit.to_string())], value(last)?))
        };
        known.iter().filter_map(sample).collect()
    };
    let states = known.iter().map(|(unit, last)| {
        let grade = last.report.grade.map_or("none", |grade| grade.as_str());
        let labels = vec![
            ("unit", unit.to_string()),
            ("outcome", last.report.outcome.key().to_owned()),
            ("grade", grade.to_owned()),
        ];
        (labels, 1.0)
    });
    let run = |value: f64| vec![(Vec::new(), value)];
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: Vec<Sample>| {
        write_family(&mut text, name, help, &samples);
    };
    family(
        "kopi_docka_info",
        "The version that wrote this file.",
        vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
    );
    family(
        "kopi_docka_last_run_timestamp_seconds",
        "When the last backup run ended.",
        run(seconds(now)),
    );
    family(
        "kopi_docka_last_run_duration_seconds",
        "How long the last backup run took.",
        run((now - ran.started_at).num_milliseconds().max(0) as f64 / 1000.0),
    );
    family(
        "kopi_docka_last_run_exit_code",
        "What the last backup run exited with; 0 is success.",
        run(f64::from(ran.exit_code)),
    );
    for (name, help, value) in OF_UNITS {
        family(name, help, of_units(value));
    }
    family(
        "kopi_docka_unit_last_run_state",
        "What the last run made of the unit, and how good the restore point is; always 1.",
        states.collect(),
    );
    text
}

/// All of them are gauges: each says how things are now.
fn write_family(text: &mut String, name: &str, help: &str, samples: &[Sample]) {
    if samples.is_empty() {
        return;
    }
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in samples {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// What stands before the closing quote; `None` without one.
fn unescaped(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        value.push(match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => '\n',
                other => other,
            },
            other => other,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_can_hold_anything() {
        let mut text = String::new();
        let sample = (vec![("unit", "a\"b\\c\nd".to_owned())], 1.5);
        write_family(&mut text, "m", "Help.", &[sample]);
        assert_eq!(
            text,
            "# HELP m Help.\n# TYPE m gauge\nm{unit=\"a\\\"b\\\\c\\nd\"} 1.5\n"
        );
        write_family(&mut text, "empty", "Nothing.", &[]);
        assert!(!text.contains("empty"));
    }

    #[test]
    fn the_units_of_an_earlier_file_are_known_whatever_else_is_in_it() {
        let text = format!(
            "# HELP x y\n{LAST_RUN}{{unit=\"web\"}} 17\n{LAST_RUN}{{unit=\"a\\\"b\"}} 1\n{LAST_RUN}\nother{{unit=\"db\"}} 1\n\0"
        );
        let expected = ["web", "a\"b"].map(|name| UnitName::parse(name).unwrap());
        assert_eq!(units_in(&text), BTreeSet::from(expected));
    }
}
