//! Containers from what was saved of them, and a list of all that there are.

use serde_json::Value;

use super::engine::Engine;
use super::errors::EngineError;
use super::json::Json as _;
use super::raw::encoded;
use crate::error::Result;

/// A container that was made.
#[derive(Clone, Debug)]
pub struct Created {
    pub id: String,
    /// What Docker left out of it, as it says it.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Makes a container and does not start it; `request` as the API takes it, every field of it; for `platform`, such as
    /// `linux/arm64`, where that is not the engine's own. An error when one of that name exists.
    pub async fn create_container(
        &self,
        name: &str,
        platform: Option<&str>,
        request: &Value,
    ) -> Result<Created> {
        let mut path = format!("/containers/create?name={}", encoded(name));
        if let Some(platform) = platform {
            path.push_str(&format!("&platform={}", encoded(platform)));
        }
        let failed =
            |error: EngineError| error.doing(format!("container `{name}` cannot be created"));
        let made = self.post_json(&path, request).await.map_err(failed)?;
        let id = made
            .at("Id")
            .as_str()
            .ok_or_else(|| failed(EngineError::Garbled("it names no container".to_owned())))?;
        let warnings = made.at("Warnings").as_array().into_iter().flatten();
        Ok(Created {
            id: id.to_owned(),
            warnings: warnings
                .filter_map(|warning| warning.as_str().map(str::to_owned))
                .collect(),
        })
    }

    /// Removes a container that does not run; its volumes stay. No error when there is none.
    pub async fn remove_container(&self, id: &str) -> Result<()> {
        match self.delete(&format!("/containers/{}", encoded(id))).await {
            Err(error) if !error.is_not_found() => {
                Err(error.doing(format!("container `{id}` cannot be removed")))
            }
            _ => Ok(()),
        }
    }

    /// Every container, running or not, with its names, ports and addresses: what `docker ps --all` knows.
    pub async fn raw_containers(&self) -> Result<Vec<Value>> {
        match self.get_json("/containers/json?all=true").await {
            Ok(Some(Value::Array(containers))) => Ok(containers),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(error.doing("the containers cannot be listed")),
        }
    }
}
