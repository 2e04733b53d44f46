//! All plans, before anything is touched.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::order::{Ties, order};
use crate::error::Result;
use crate::model::UnitName;
use crate::restore::plan::beside::Beside;
use crate::restore::plan::decision::Plan;
use crate::restore::request::Request;
use crate::restore::session::Session;

/// Each waits for kopia most of the time.
const AT_ONCE: usize = 4;

/// What one unit is up to.
pub struct Surveyed {
    pub request: Request,
    /// An error: it is not restored, whatever becomes of the others.
    pub plan: Result<Plan>,
}

/// One for each of `requests`, in the order in which they are restored. The session knows then what they have in common.
pub async fn survey(session: &mut Session<'_>, requests: Vec<Request>) -> Result<Vec<Surveyed>> {
    let mut containers: BTreeSet<String> = requests
        .iter()
        .map(|request| request.unit.to_string())
        .collect();
    session.ground.beside = Beside {
        containers: containers.clone(),
        ..Beside::default()
    };
    let mut all = plans(session, requests).await?;
    let good = || all.iter().filter_map(|one| one.plan.as_ref().ok());
    let before = containers.len();
    containers.extend(good().flat_map(brings));
    session.ground.beside.share(good());
    let has_more = containers.len() > before;
    session.ground.beside.containers = containers;
    // What has another one's data, or may need a container that only now is known to come.
    for one in &mut all {
        let is_changed = match &one.plan {
            Ok(plan) => session.ground.beside.has_anothers(plan),
            Err(_) => has_more,
        };
        if is_changed {
            one.plan = plan(session, &one.request).await?;
        }
    }
    let shares: BTreeSet<UnitName> = session
        .ground
        .beside
        .owners()
        .into_iter()
        .cloned()
        .collect();
    let ties: Vec<Ties> = all
        .iter()
        .map(|one| match &one.plan {
            Ok(plan) => Ties {
                is_owner: shares.contains(&plan.unit),
                brings: brings(plan),
                needs: plan.rebuild.needs.clone(),
            },
            Err(_) => Ties::default(),
        })
        .collect();
    let mut all: Vec<Option<Surveyed>> = all.into_iter().map(Some).collect();
    let sorted = order(&ties)
        .into_iter()
        .filter_map(|index| all.get_mut(index)?.take());
    Ok(sorted.collect())
}

async fn plans(session: &Session<'_>, requests: Vec<Request>) -> Result<Vec<Surveyed>> {
    stream::iter(requests)
        .map(|request| async move {
            let plan = plan(session, &request).await?;
            Ok(Surveyed { request, plan })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// A signal, and nothing else, ends the whole.
async fn plan(session: &Session<'_>, request: &Request) -> Result<Result<Plan>> {
    let shutdown = &session.ground.cx.shutdown;
    let planned = shutdown.cut("the restore", session.plan(request)).await;
    match planned {
        Err(error) if shutdown.is_asked() => Err(error),
        planned => Ok(planned.and_then(|planned| {
            request.doors.check_space(&planned.plan)?;
            Ok(planned.plan)
        })),
    }
}

fn brings(plan: &Plan) -> Vec<String> {
    let members = plan.rebuild.members.iter();
    members.map(|member| member.name.clone()).collect()
}
