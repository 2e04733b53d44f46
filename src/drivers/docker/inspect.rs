//! One thing at a time, as it is now.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, MountPoint,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptions, ListContainersOptionsBuilder,
};
use serde_json::Value;

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;
use super::raw::encoded;
use crate::error::Result;
use crate::model::unit::{Mount, MountKind};

/// A container that is running, paused or restarting, and what it has mounted.
#[derive(Clone, Debug)]
pub struct Running {
    pub id: String,
    pub name: String,
    pub is_paused: bool,
    pub mounts: Vec<Mount>,
}

/// A container as the list of all of them shows it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub id: String,
    pub name: String,
    /// It has processes, or will have some without anybody's doing.
    pub is_up: bool,
    pub is_paused: bool,
    /// Of one that is down, where the list tells it.
    pub exit_code: Option<i64>,
    pub mounts: Vec<Mount>,
}

impl Engine {
    /// Every container of the host, running or not, in one request.
    pub async fn listed(&self) -> Result<Vec<Listed>> {
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let listed = bounded(PATIENCE, self.docker.list_containers(Some(all)))
            .await
            .map_err(|error| error.doing("the containers cannot be listed"))?;
        Ok(listed.into_iter().filter_map(listed_one).collect())
    }

    /// `None` when there is no such container (any more).
    pub async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>> {
        self.container(id)
            .await
            .map_err(|error| error.doing(format!("container `{id}` cannot be inspected")))
    }

    /// What the container has mounted; `None` when there is no such container any more.
    ///
    /// dockerd answers this from its list without a lock. An inspection would wait until a start is through: by then a
    /// container of `docker run --rm` may be gone.
    pub async fn listed_mounts(&self, id: &str) -> Result<Option<Vec<Mount>>> {
        let listed = self
            .listed_with("id", vec![id.to_owned()])
            .await
            .map_err(|error| error.doing(format!("container `{id}` cannot be looked up")))?;
        let own = listed.into_iter().find(|it| it.id.as_deref() == Some(id));
        Ok(own.map(|it| it.mounts.iter().flatten().map(mount).collect()))
    }

    /// Everything on the host that has processes, in one request.
    pub async fn running(&self) -> Result<Vec<Running>> {
        let listed = bounded(
            PATIENCE,
            self.docker.list_containers(None::<ListContainersOptions>),
        )
        .await
        .map_err(|error| error.doing("the running containers cannot be listed"))?;
        Ok(listed
            .into_iter()
            .filter_map(|summary| {
                let id = summary.id?;
                let name = summary
                    .names
                    .unwrap_or_default()
                    .into_iter()
                    .find_map(own_name);
                Some(Running {
                    name: name.unwrap_or_else(|| id.clone()),
                    is_paused: summary.state == Some(ContainerSummaryStateEnum::PAUSED),
                    mounts: summary.mounts.iter().flatten().map(mount).collect(),
                    id,
                })
            })
            .collect())
    }

    /// The id of the container of a compose service; of the first replica when no number is given.
    pub async fn compose_container(
        &self,
        project: &str,
        service: &str,
        number: Option<u32>,
    ) -> Result<Option<String>> {
        let mut labels = vec![
            format!("com.docker.compose.project={project}"),
            format!("com.docker.compose.service={service}"),
            "com.docker.compose.oneoff=False".to_owned(),
        ];
        labels.extend(number.map(|number| format!("com.docker.compose.container-number={number}")));
        let listed = self
            .listed_with("label", labels)
            .await
            .map_err(|error| error.doing(format!("cannot look up service `{service}`")))?;
        Ok(listed.into_iter().find_map(|summary| summary.id))
    }

    /// Those, running or not, that fit `values` of the filter `name`.
    async fn listed_with(
        &self,
        name: &str,
        values: Vec<String>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = HashMap::from([(name.to_owned(), values)]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        bounded(PATIENCE, self.docker.list_containers(Some(options))).await
    }

    /// What `docker inspect` prints for the container, every field of it.
    pub async fn raw_container(&self, id: &str) -> Result<Option<Value>> {
        self.get_json(&format!("/containers/{}/json", encoded(id)))
            .await
            .map_err(|error| error.doing(format!("container `{id}` cannot be inspected")))
    }

    /// What `docker network inspect` prints for the network with this id or name.
    pub async fn raw_network(&self, id: &str) -> Result<Option<Value>> {
        self.get_json(&format!("/networks/{}", encoded(id)))
            .await
            .map_err(|error| error.doing(format!("network `{id}` cannot be inspected")))
    }

    pub async fn container(
        &self,
        id: &str,
    ) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let request = self
            .docker
            .inspect_container(id, None::<InspectContainerOptions>);
        match bounded(PATIENCE, request).await {
            Ok(container) => Ok(Some(container)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn listed_one(summary: ContainerSummary) -> Option<Listed> {
    use ContainerSummaryStateEnum as State;
    let id = summary.id?;
    let name = summary
        .names
        .unwrap_or_default()
        .into_iter()
        .find_map(own_name);
    let state = summary.state;
    Some(Listed {
        name: name.unwrap_or_else(|| id.clone()),
        // Unknown: the careful answer is that it runs.
        is_up: !matches!(
            state,
            Some(State::CREATED | State::EXITED | State::DEAD | State::REMOVING)
        ),
        is_paused: state == Some(State::PAUSED),
        exit_code: summary.status.as_deref().and_then(exit_code),
        mounts: summary.mounts.iter().flatten().map(mount).collect(),
        id,
    })
}

/// `Exited (137) 3 seconds ago`
fn exit_code(status: &str) -> Option<i64> {
    let (code, _) = status.strip_prefix("Exited (")?.split_once(')')?;
    code.parse().ok()
}

/// A mount as Docker describes it.
pub fn mount(point: &MountPoint) -> Mount {
    Mount {
        kind: match point.typ.as_deref() {
            Some("volume") => MountKind::Volume,
            Some("bind") => MountKind::Bind,
            Some("tmpfs") => MountKind::Tmpfs,
            _ => MountKind::Other,
        },
        name: point.name.clone().unwrap_or_default(),
        source: PathBuf::from(point.source.clone().unwrap_or_default()),
        destination: point.destination.clone().unwrap_or_default(),
        // Docker always says; should it not, the careful answer is that it can be written to.
        read_write: point.rw.unwrap_or(true),
    }
}

/// `/db` → `db`; names with a second slash are what links gave to another container.
fn own_name(name: String) -> Option<String> {
    let own = name.strip_prefix('/').unwrap_or(&name);
    (!own.contains('/')).then(|| own.to_owned())
}
