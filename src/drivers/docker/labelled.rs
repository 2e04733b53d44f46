//! Everything that has a label: what was made under one name, to be looked at and removed together.

use serde_json::{Value, json};

use super::engine::Engine;
use super::errors::EngineError;
use super::json::Json as _;
use super::raw::encoded;
use crate::error::Result;

/// Containers and networks by their ids, volumes by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    pub containers: Vec<String>,
    pub networks: Vec<String>,
    pub volumes: Vec<String>,
}

impl Labelled {
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }
}

impl Engine {
    /// What has the label `label`, given as `name` or `name=value`.
    pub async fn labelled(&self, label: &str) -> Result<Labelled> {
        let filters = encoded(&json!({"label": [label]}).to_string());
        let (containers, networks, volumes) = (
            format!("/containers/json?all=true&filters={filters}"),
            format!("/networks?filters={filters}"),
            format!("/volumes?filters={filters}"),
        );
        let (containers, networks, volumes) = tokio::try_join!(
            self.get_json(&containers),
            self.get_json(&networks),
            self.get_json(&volumes),
        )
        .map_err(|error| error.doing(format!("what has the label `{label}` cannot be listed")))?;
        let named = |list: &Value, key: &str| -> Vec<String> {
            let each = list.as_array().into_iter().flatten();
            each.filter_map(|one| one.at(key).as_str().map(str::to_owned))
                .collect()
        };
        Ok(Labelled {
            containers: named(&containers.unwrap_or_default(), "Id"),
            networks: named(&networks.unwrap_or_default(), "Id"),
            volumes: named(volumes.unwrap_or_default().at("Volumes"), "Name"),
        })
    }

    /// Kills a container and removes it, with the volumes that were made for it alone. No error when there is none.
    pub async fn remove_container_now(&self, id: &str) -> Result<()> {
        let path = format!("/containers/{}?force=true&v=true", encoded(id));
        match self.delete(&path).await {
            // 409: its removal is under way.
            Ok(()) | Err(EngineError::Refused { status: 409, .. }) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.doing(format!("container `{id}` cannot be removed"))),
        }
    }
}
