//! The plan of all units, for people.

use chrono::Local;

use super::survey::Surveyed;
use crate::base::text;
use crate::restore::plan::decision::Plan;
use crate::ui::table;

pub fn plan_text(all: &[Surveyed]) -> String {
    let plans: Vec<&Plan> = all
        .iter()
        .filter_map(|one| one.plan.as_ref().ok())
        .collect();
    let rows = plans.iter().map(|plan| {
        let bytes = plan.sources.iter().map(|source| source.bytes).sum();
        [
            plan.unit.to_string(),
            plan.backup_id.to_string(),
            plan.point_time
                .with_timezone(&Local)
                .format("%Y-%m-%d %H:%M")
                .to_string(),
            plan.grade.to_string(),
            text::count(plan.sources.len(), "source"),
            text::bytes(bytes),
            if plan.is_empty() {
                "nothing to do".to_owned()
            } else {
                makes(plan)
            },
        ]
    });
    let header = [
        "UNIT",
        "POINT",
        "LOCAL TIME",
        "GRADE",
        "DATA",
        "SIZE",
        "BESIDES",
    ];
    let mut lines = vec![
        format!(
            "Restore of {}, in this order:",
            text::count(plans.len(), "unit")
        ),
        String::new(),
        table::table(header, &[5], rows),
    ];
    let stopped: Vec<&str> = plans
        .iter()
        .flat_map(|plan| &plan.stops)
        .map(|entry| entry.name.as_str())
        .collect();
    lines.push(String::new());
    lines.push(if stopped.is_empty() {
        "No container is stopped.".to_owned()
    } else {
        format!(
            "Stopped for a moment, each when its data is extracted: {}",
            stopped.join(", ")
        )
    });
    lines.join("\n")
}

/// What is made for it.
fn makes(plan: &Plan) -> String {
    let volumes = plan.new_volumes().len() + plan.rebuild.volumes.len();
    let networks = plan.rebuild.new_networks().len();
    let mut made = Vec::new();
    for (number, noun) in [(volumes, "volume"), (networks, "network")] {
        if number > 0 {
            made.push(text::count(number, noun));
        }
    }
    if plan.rebuild.container.is_some() {
        made.push("its container".to_owned());
    }
    if made.is_empty() {
        return String::new();
    }
    format!("makes {}", made.join(", "))
}
