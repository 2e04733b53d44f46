//! What of a unit is booted: what ran when the point was made, and what had done its work for that.

use std::collections::BTreeMap;

use serde_json::Value;

use super::isolate::Wanted;
use crate::discovery::labels;
use crate::drivers::docker::json::Json as _;
use crate::model::{SourceKey, UnitKind};
use crate::points::recipe::Recipe;
use crate::points::saved::{Saved, container_name, fields, text};
use crate::restore::rebuild::anonymous_volumes;

/// One service, by a container that stands for all of it.
pub struct Member<'a> {
    pub inspect: &'a Value,
    pub wanted: Wanted,
    /// It ran; otherwise it had ended with 0.
    ran: bool,
}

/// All that ran or had ended with 0, by service. Those of a container alone are called as the container is.
pub fn members<'a>(recipe: &Recipe, saved: &'a Saved, drill: &str) -> BTreeMap<String, Member<'a>> {
    let mut members: BTreeMap<String, Member<'a>> = BTreeMap::new();
    for inspect in &saved.containers {
        let label = |name: &str| text(inspect.at("Config").at("Labels").at(name));
        if label(labels::ONE_OFF).eq_ignore_ascii_case("true") {
            continue;
        }
        let state = inspect.at("State");
        let ran = matches!(
            text(state.at("Status")),
            "running" | "paused" | "restarting"
        ) || state.at("Running") == true;
        let is_done = text(state.at("Status")) == "exited" && state.at("ExitCode") == 0;
        if !ran && !is_done {
            continue;
        }
        let name = container_name(inspect);
        let is_alone = recipe.record.kind == UnitKind::Standalone;
        let service = match label(labels::SERVICE) {
            service if !service.is_empty() && !is_alone => service,
            _ => name,
        };
        let made = Member {
            inspect,
            wanted: Wanted {
                unnamed: unnamed(recipe, inspect),
                container_name: is_alone.then(|| format!("{name}-drill-{drill}")),
                is_job: !ran,
                ..Wanted::default()
            },
            ran,
        };
        match members.get_mut(service) {
            // One that ran stands for those that did not.
            Some(known) if known.ran || !made.ran => known.wanted.names.push(name.to_owned()),
            Some(known) => {
                let names = std::mem::replace(known, made).wanted.names;
                known.wanted.names = [names, vec![name.to_owned()]].concat();
            }
            None => {
                let member = members.entry(service.to_owned()).or_insert(made);
                member.wanted.names.push(name.to_owned());
            }
        }
    }
    members
}

fn unnamed(recipe: &Recipe, inspect: &Value) -> Vec<(String, String, bool)> {
    let is_held = |name: &str| {
        let mut sources = recipe.record.sources.iter();
        sources
            .any(|source| matches!(&source.key, SourceKey::Volume { name: held } if held == name))
    };
    let all = anonymous_volumes(inspect).into_iter();
    all.filter(|volume| is_held(&volume.name))
        .map(|volume| (volume.name, volume.at, volume.is_read_only))
        .collect()
}

/// Takes out those that no set of files has: what ran does not come back from them. Returns their names.
pub fn take_lost(members: &mut BTreeMap<String, Member<'_>>, configs: &[Value]) -> Vec<String> {
    let is_known = |name: &String| {
        let mut services = configs.iter().map(|config| config.at("services").at(name));
        services.any(Value::is_object)
    };
    let lost: Vec<String> = members
        .keys()
        .filter(|name| !is_known(name))
        .cloned()
        .collect();
    members.retain(|name, _| is_known(name));
    lost
}

/// Leaves those that ran, and of the others those whose work one that ran waited for.
pub fn only_needed(members: &mut BTreeMap<String, Member<'_>>, configs: &[Value]) {
    let mut needed: Vec<String> = Vec::new();
    for (name, _) in members.iter().filter(|(_, member)| member.ran) {
        for config in configs {
            let depends = fields(config.at("services").at(name).at("depends_on"));
            let jobs = depends
                .filter(|(_, how)| text(how.at("condition")) == "service_completed_successfully");
            needed.extend(jobs.map(|(job, _)| job.clone()));
        }
    }
    members.retain(|name, member| member.ran || needed.contains(name));
}
