//! Networks: all of them, to make one again, and who is on it.

use serde_json::{Value, json};

use super::engine::Engine;
use super::errors::EngineError;
use super::json::Json as _;
use super::raw::encoded;
use crate::error::Result;

impl Engine {
    /// Every network as `docker network inspect` prints it, but for the containers on it.
    pub async fn raw_networks(&self) -> Result<Vec<Value>> {
        match self.get_json("/networks").await {
            Ok(Some(Value::Array(networks))) => Ok(networks),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(error.doing("the networks cannot be listed")),
        }
    }

    /// Makes a network; `request` as the API takes it. An error when one of that name exists.
    pub async fn create_network(&self, request: &Value) -> Result<()> {
        let made = self.post_json("/networks/create", request).await;
        made.map(|_| ()).map_err(|error| {
            let name = request.at("Name").as_str().unwrap_or_default();
            error.doing(format!("network `{name}` cannot be created"))
        })
    }

    /// Removes a network, unless a running container is on it. No error when there is none.
    pub async fn remove_network(&self, name: &str) -> Result<()> {
        match self.delete(&format!("/networks/{}", encoded(name))).await {
            // 403: a container is on it, or it is one of the engine's own.
            Ok(())
            | Err(EngineError::Refused {
                status: 403 | 404 | 409,
                ..
            }) => Ok(()),
            Err(error) => Err(error.doing(format!("network `{name}` cannot be removed"))),
        }
    }

    /// Puts a container on a network; `endpoint` says with which addresses and names.
    pub async fn join_network(
        &self,
        network: &str,
        container: &str,
        endpoint: &Value,
    ) -> Result<()> {
        let path = format!("/networks/{}/connect", encoded(network));
        let request = json!({"Container": container, "EndpointConfig": endpoint});
        let connected = self.post_json(&path, &request).await;
        connected.map(|_| ()).map_err(|error| {
            error.doing(format!(
                "container `{container}` cannot be put on network `{network}`"
            ))
        })
    }

    /// Takes a container off a network, also one that knows the network by an id that is gone.
    pub async fn leave_network(&self, network: &str, container: &str) -> Result<()> {
        let path = format!("/networks/{}/disconnect", encoded(network));
        let request = json!({"Container": container, "Force": true});
        let gone = self.post_json(&path, &request).await;
        gone.map(|_| ()).map_err(|error| {
            error.doing(format!(
                "container `{container}` cannot be taken off network `{network}`"
            ))
        })
    }
}
