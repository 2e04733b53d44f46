//! All checks at once. One that hangs is told as such, and keeps no other one waiting.

use std::time::Duration;

use super::finding::Finding;
use super::{
    backups, bundle, configuration, containers, drills, free_space, hooks, interrupted, messages,
    programs, repository, schedule, tailnet,
};
use crate::config::Config;
use crate::context::Context;
use crate::error::Exit;

/// For what only looks at this host. Longer than the limit that a program or Docker gets in there.
const HERE: Duration = Duration::from_secs(15);

/// For Docker on a host with very many containers.
const DOCKER: Duration = Duration::from_secs(30);

/// For what talks to the storage; its own limits are in the check.
const STORAGE: Duration = Duration::from_secs(60);

/// Whatever is wrong with the configuration, what does not depend on it is checked.
pub async fn examine(cx: &Context) -> Vec<Finding> {
    let loaded = cx.config_again();
    let config: Option<&Config> = loaded.as_ref().ok().map(|loaded| &loaded.config);
    let (
        programs,
        configuration,
        containers,
        repository,
        free_space,
        interrupted,
        schedule,
        messages,
        hooks,
        bundle,
        tailnet,
    ) = tokio::join!(
        limited(programs::AREA, Exit::Program, HERE, programs::check(config)),
        limited(
            configuration::AREA,
            Exit::Config,
            HERE,
            configuration::check(cx, &loaded)
        ),
        limited(containers::AREA, Exit::Docker, DOCKER, async {
            let (mut findings, units) = containers::check(cx, config).await;
            findings.extend(drills::check(config, units.as_deref(), &cx.paths));
            let names = units.map(|units| units.into_iter().map(|unit| unit.name).collect());
            findings.extend(backups::check(config, names, schedule::interval().await));
            findings
        }),
        limited(
            repository::AREA,
            Exit::Storage,
            STORAGE,
            repository::check(cx, config)
        ),
        limited(
            free_space::AREA,
            Exit::Storage,
            HERE,
            free_space::check(cx, config)
        ),
        limited(
            interrupted::AREA,
            Exit::Unexpected,
            HERE,
            interrupted::check(cx, config)
        ),
        limited(
            schedule::AREA,
            Exit::Program,
            HERE,
            schedule::check(cx, loaded.as_ref().ok())
        ),
        limited(messages::AREA, Exit::Config, HERE, messages::check(config)),
        limited(hooks::AREA, Exit::Config, HERE, hooks::check(config)),
        limited(
            bundle::AREA,
            Exit::Storage,
            HERE,
            bundle::check(cx, loaded.as_ref().ok())
        ),
        limited(
            tailnet::AREA,
            Exit::Storage,
            STORAGE,
            tailnet::check(cx, config)
        ),
    );
    [
        programs,
        configuration,
        containers,
        repository,
        free_space,
        interrupted,
        schedule,
        messages,
        hooks,
        bundle,
        tailnet,
    ]
    .concat()
}

async fn limited(
    area: &'static str,
    exit: Exit,
    limit: Duration,
    check: impl Future<Output = Vec<Finding>>,
) -> Vec<Finding> {
    tokio::time::timeout(limit, check)
        .await
        .unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            let finding = Finding::failure(area, exit, format!("no answer within {seconds} s"));
            vec![finding.remedy("check for a disk, a server or a program that hangs")]
        })
}
