//! The plan, for people.

use super::images::ImageState;
use super::networks::NetworkAction;
use super::{Rebuild, Start};
use crate::base::text::printable;
use crate::restore::request::BringUp;
use crate::ui::table;

pub fn plan_lines(plan: &Rebuild) -> Vec<String> {
    let mut lines = Vec::new();
    if !plan.networks.is_empty() {
        let rows = plan.networks.iter().map(|network| {
            let action = match network.action {
                NetworkAction::Leave => "left: it is here",
                NetworkAction::Create => "missing: it is made",
                NetworkAction::Skip => "missing, and not made",
            };
            [
                printable(&network.name),
                network.detail.clone(),
                action.to_owned(),
            ]
        });
        lines.push(String::new());
        lines.push(table::table(["NETWORK", "", ""], &[], rows));
    }
    if !plan.images.is_empty() {
        let rows = plan.images.iter().map(|image| {
            let what = match image.state {
                ImageState::Same => "the same is here",
                ImageState::Different => "another one is here",
                ImageState::Missing => "missing",
            };
            [
                image.image.clone(),
                what.to_owned(),
                image.remedy.clone().unwrap_or_default(),
            ]
        });
        lines.push(String::new());
        lines.push(table::table(["IMAGE", "", "THE SAVED ONE"], &[], rows));
    }
    let mut said = Vec::new();
    for volume in &plan.volumes {
        said.push(format!(
            "Volume `{}` is made; the point has no data for it.",
            printable(&volume.name)
        ));
    }
    if let Some(container) = &plan.container {
        let what = match (&container.refusal, &container.replaces) {
            (Some(_), _) => "is not made again",
            (None, None) => "is made again",
            (None, Some(_)) if plan.bring_up == BringUp::No => {
                "stays down: it is not that of the point"
            }
            (None, Some(_)) => "makes way for that of the point, and is kept under another name",
        };
        said.push(format!(
            "Container `{}` {what}.",
            printable(&container.name)
        ));
    }
    if let (BringUp::Yes, Some(start)) = (plan.bring_up, &plan.start) {
        said.push(match start {
            _ if !plan.obstacles.is_empty() => "It is not started: see below.".to_owned(),
            Start::Compose(up) => format!("Then: {}", up.commands().join("\n      ")),
            Start::Container { .. } => "Then it is started.".to_owned(),
        });
    }
    if !said.is_empty() {
        lines.push(String::new());
        lines.extend(said);
    }
    lines
}
