//! Everything on the host in one go: what discovery works on.
//!
//! It takes about as long as one `docker inspect` of all containers: the questions are asked at the same time.

use std::path::PathBuf;

use bollard::models::{ContainerInspectResponse, Volume};
use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptions};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;
use super::follow::Changes;
use super::ids::id_world;
use crate::error::Result;
use crate::model::point::IdWorld;

/// How many containers are inspected at once: more than dockerd has cores makes it no faster.
const AT_ONCE: usize = 32;

#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Every container, running or not, inspected.
    pub containers: Vec<ContainerInspectResponse>,
    pub volumes: Vec<Volume>,
    /// Where the engine keeps its own data, `/var/lib/docker`.
    pub docker_root: PathBuf,
    pub ids: IdWorld,
}

impl Engine {
    /// Brings `inventory` up to date after `changes`.
    pub async fn update(&self, inventory: &mut Inventory, changes: Changes) -> Result<()> {
        let Changes::Known {
            containers,
            volumes,
        } = changes
        else {
            *inventory = self.inventory().await?;
            return Ok(());
        };
        let asked = stream::iter(containers)
            .map(|id| async move { Ok((self.container(&id).await?, id)) })
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>();
        let asked = asked.await.map_err(|error: EngineError| {
            error.doing("the containers that changed cannot be inspected")
        })?;
        for (found, id) in asked {
            let is_it = |known: &ContainerInspectResponse| known.id.as_deref() == Some(&id);
            match (found, inventory.containers.iter().position(is_it)) {
                (Some(found), Some(at)) => {
                    if let Some(known) = inventory.containers.get_mut(at) {
                        *known = found;
                    }
                }
                (Some(found), None) => inventory.containers.push(found),
                (None, Some(at)) => drop(inventory.containers.remove(at)),
                (None, None) => {}
            }
        }
        if volumes {
            inventory.volumes = self
                .all_volumes()
                .await
                .map_err(|error| error.doing("Docker's volumes cannot be listed"))?;
        }
        Ok(())
    }

    /// Looks at everything. A container that vanishes meanwhile is left out.
    pub async fn inventory(&self) -> Result<Inventory> {
        let (containers, volumes, info) = tokio::try_join!(
            self.all_containers(),
            self.all_volumes(),
            bounded(PATIENCE, self.docker.info()),
        )
        .map_err(|error| error.doing("Docker's containers and volumes cannot be listed"))?;
        Ok(Inventory {
            containers,
            volumes,
            ids: id_world(&info),
            docker_root: info
                .docker_root_dir
                .unwrap_or_else(|| "/var/lib/docker".into())
                .into(),
        })
    }

    async fn all_volumes(&self) -> Result<Vec<Volume>, EngineError> {
        let listed = self.docker.list_volumes(None::<ListVolumesOptions>);
        Ok(bounded(PATIENCE, listed).await?.volumes.unwrap_or_default())
    }

    async fn all_containers(&self) -> Result<Vec<ContainerInspectResponse>, EngineError> {
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let listed = bounded(PATIENCE, self.docker.list_containers(Some(all))).await?;
        stream::iter(listed.into_iter().filter_map(|summary| summary.id))
            .map(|id| async move { self.container(&id).await })
            .buffered(AT_ONCE)
            .try_filter_map(|found| async move { Ok(found) })
            .try_collect()
            .await
    }
}
