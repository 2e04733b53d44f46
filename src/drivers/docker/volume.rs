//! Volumes one at a time: to look at one, and to make one again with all that it had.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::RemoveVolumeOptions;
use serde_json::Value;

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;
use super::raw::encoded;
use crate::error::Result;

impl Engine {
    /// `None` when there is no such volume.
    pub async fn volume(&self, name: &str) -> Result<Option<Volume>> {
        let Some(mut raw) = self.raw_volume(name).await? else {
            return Ok(None);
        };
        // What a volume plugin says about itself may have any shape, which the typed volume does not take.
        if let Value::Object(fields) = &mut raw {
            fields.remove("Status");
        }
        serde_json::from_value(raw)
            .map(Some)
            .map_err(|error| EngineError::Garbled(error.to_string()))
            .map_err(|error| error.doing(format!("volume `{name}` cannot be inspected")))
    }

    /// What `docker volume inspect` prints for the volume, every field of it.
    pub async fn raw_volume(&self, name: &str) -> Result<Option<Value>> {
        self.get_json(&format!("/volumes/{}", encoded(name)))
            .await
            .map_err(|error| error.doing(format!("volume `{name}` cannot be inspected")))
    }

    /// The name of the host that the engine runs on, as containers in its network see it.
    pub async fn host_name(&self) -> Result<String> {
        let info = bounded(PATIENCE, self.docker.info())
            .await
            .map_err(|error| error.doing("cannot get the host name from Docker"))?;
        Ok(info.name.unwrap_or_default())
    }

    /// Where the engine keeps its own data, `/var/lib/docker`.
    pub async fn root_folder(&self) -> Result<PathBuf> {
        let info = bounded(PATIENCE, self.docker.info())
            .await
            .map_err(|error| error.doing("cannot get the data directory from Docker"))?;
        Ok(info
            .docker_root_dir
            .unwrap_or_else(|| "/var/lib/docker".into())
            .into())
    }

    /// Removes a volume with its data, unless a container has it. No error when there is none.
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        let removed = bounded(
            PATIENCE,
            self.docker.remove_volume(name, None::<RemoveVolumeOptions>),
        )
        .await;
        match removed {
            Ok(()) | Err(EngineError::Refused { status: 409, .. }) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.doing(format!("volume `{name}` cannot be removed"))),
        }
    }

    /// Makes a volume, or does nothing when one with that name and driver exists: Docker does not compare the
    /// options and labels of one that is there. Without options is not the same as with none: `inspect` shows what was asked.
    pub async fn create_volume(
        &self,
        name: &str,
        driver: &str,
        options: Option<&BTreeMap<String, String>>,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Result<Volume> {
        let owned = |map: &BTreeMap<String, String>| -> HashMap<String, String> {
            map.iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some(driver.to_owned()),
            driver_opts: options.map(owned),
            labels: labels.map(owned),
            ..Default::default()
        };
        bounded(PATIENCE, self.docker.create_volume(request))
            .await
            .map_err(|error| error.doing(format!("volume `{name}` cannot be created")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn a_volume_is_made_with_its_options_and_labels() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let options = pairs(&[("type", "none"), ("o", "bind"), ("device", "/srv")]);
        let labels = pairs(&[("com.docker.compose.volume", "data")]);
        engine
            .create_volume("kdd-made", "local", Some(&options), Some(&labels))
            .await
            .unwrap();
        let made = engine.volume("kdd-made").await.unwrap().unwrap();
        assert_eq!(
            made.options.into_iter().collect::<BTreeMap<_, _>>(),
            options
        );
        assert_eq!(made.labels.into_iter().collect::<BTreeMap<_, _>>(), labels);
        testing::remove_volume(&engine, "kdd-made").await;
        assert!(engine.volume("kdd-made").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_volume_that_a_container_has_is_never_removed() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        engine
            .create_volume("kdd-used", "local", None, None)
            .await
            .unwrap();
        let id = testing::run(&engine, "kdd-user", &["kdd-used:/d"]).await;
        engine.remove_volume("kdd-used").await.unwrap();
        assert!(engine.volume("kdd-used").await.unwrap().is_some());
        testing::remove(&engine, &id).await;
        engine.remove_volume("kdd-used").await.unwrap();
        engine.remove_volume("kdd-used").await.unwrap();
        assert!(engine.volume("kdd-used").await.unwrap().is_none());
    }
}
