//! Small changes to a container that is there, each a single request.

use serde_json::json;

use super::engine::Engine;
use super::raw::encoded;
use crate::error::Result;

impl Engine {
    /// Changes when Docker starts the container by itself: `always`, `unless-stopped`, … No error when there is none.
    pub async fn set_restart_policy(&self, id: &str, policy: &str) -> Result<()> {
        let path = format!("/containers/{}/update", encoded(id));
        let request = json!({"RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}});
        match self.post_json(&path, &request).await {
            Err(error) if !error.is_not_found() => Err(error.doing(format!(
                "the restart policy of container `{id}` cannot be changed"
            ))),
            _ => Ok(()),
        }
    }

    /// Gives the container another name, which must be free.
    pub async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        let path = format!("/containers/{}/rename?name={}", encoded(id), encoded(name));
        match self
            .post(&path, Some(super::engine::PATIENCE), &[204])
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(error.doing(format!("container `{id}` cannot be renamed to `{name}`")))
            }
        }
    }

    /// Gives an image that is here the name `name` as well; whatever had it loses it.
    pub async fn tag(&self, image: &str, name: &str) -> Result<()> {
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (name, "latest"),
        };
        let path = format!(
            "/images/{}/tag?repo={}&tag={}",
            encoded(image),
            encoded(repository),
            encoded(tag)
        );
        match self
            .post(&path, Some(super::engine::PATIENCE), &[201])
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(error.doing(format!("image `{image}` cannot be named `{name}`"))),
        }
    }
}
