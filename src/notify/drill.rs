//! What a drill tells: what it came to.

use serde_json::Value;

use super::cause::{Cause, Problem, What};
use super::run::Ended;
use crate::base::text;
use crate::error::{Exit, Result, exit_of};
use crate::model::UnitName;
use crate::model::drill::{DrillOutcome, DrillReport};

/// Of `unit`. One that did not come to a result says nothing of the unit.
pub fn of_drill<'a>(unit: &'a UnitName, ran: &'a Result<DrillReport>) -> Ended<'a> {
    let cause = Cause::of_unit(What::Drill, unit);
    let (exit_code, text, is_good, report) = match ran {
        Ok(report) => {
            let is_good = report.outcome != DrillOutcome::NotGood;
            let took = report.recovery_seconds.map(text::seconds);
            let text = match (is_good, took) {
                (true, Some(took)) => format!("drill of unit `{unit}`: it came back in {took}"),
                (true, None) => format!("drill of unit `{unit}`: it came back"),
                (false, _) => {
                    let why = report.errors.first().map(|error| format!(": {error}"));
                    format!(
                        "drill of unit `{unit}`: point {} did not come back{}",
                        report.backup_id,
                        why.unwrap_or_default()
                    )
                }
            };
            let document = serde_json::to_value(report).unwrap_or_default();
            (report.exit_code, text, is_good, document)
        }
        Err(error) => {
            let text = format!("the drill of unit `{unit}` did not come to its end: {error:#}");
            (exit_of(error).code(), text, false, Value::Null)
        }
    };
    let has_result = ran.is_ok();
    // Others had to come first, or what keeps backups from being made is told by these.
    let is_put_off = [
        Exit::Locked,
        Exit::Storage,
        Exit::Interrupted,
        Exit::Terminated,
    ]
    .iter()
    .any(|exit| !has_result && exit.code() == exit_code);
    Ended {
        exit_code,
        units: vec![(unit.clone(), is_good)],
        found: if is_good || is_put_off {
            Vec::new()
        } else {
            vec![Problem::new(cause, text.clone())]
        },
        text,
        settles: Box::new(move |cause| match cause.what {
            What::Drill => has_result && cause.unit.as_ref() == Some(unit),
            What::DrillKilled => has_result,
            _ => false,
        }),
        report,
    }
}
