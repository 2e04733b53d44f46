//! The programs that we need, with their versions. Docker has a check of its own.

use super::finding::Finding;
use crate::config::Config;
use crate::error::Exit;
use crate::setup::programs::{self, Dependency, Found, State};

pub const AREA: &str = "programs";

const REMEDY: &str =
    "run `kopi-docka install-deps`, or see `kopi-docka show-deps` to do it by hand";

pub async fn check(config: Option<&Config>) -> Vec<Finding> {
    let found = programs::look(config).await.into_iter();
    found
        .filter(|found| found.dependency != Dependency::Docker)
        .filter_map(|found| finding(&found, config))
        .collect()
}

fn finding(found: &Found, config: Option<&Config>) -> Option<Finding> {
    let dependency = found.dependency;
    let name = dependency.name();
    let is_required = dependency.is_required(config);
    let bad = |what: String| {
        let finding = if is_required {
            Finding::failure(AREA, Exit::Program, what)
        } else {
            Finding::warning(AREA, what)
        };
        finding.remedy(REMEDY)
    };
    let minimum = dependency
        .minimum()
        .map_or_else(String::new, |minimum| format!(", {minimum} or newer"));
    let purpose = dependency.purpose();
    Some(match &found.state {
        State::Good { version, path } => Finding::ok(
            AREA,
            format!("{name} {version} at `{}`{minimum}", path.display()),
        ),
        State::Missing if !dependency.is_of_use(config) => return None,
        State::Missing => bad(format!("{name}{minimum} is not installed: {purpose}")),
        State::Unfit(why) => bad(format!("{name}{minimum} is not usable: {why}")),
    })
}
