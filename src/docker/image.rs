//! Which images the containers run: recorded, so that a restore can get the same ones.

use serde::Serialize;
use std::collections::BTreeSet;

use super::engine::{Engine, PATIENCE, bounded};
use crate::error::Result;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageRecord {
    /// `sha256:…`, the id on this host.
    pub id: String,
    /// Such as `postgres:16`.
    pub tags: Vec<String>,
    /// Such as `postgres@sha256:…`: what a registry knows it by. Empty for an image that was built here.
    pub digests: Vec<String>,
}

impl Engine {
    /// One record for each of `ids`; an image that was removed under its container has no tags and digests.
    pub async fn image_records(&self, ids: &BTreeSet<String>) -> Result<Vec<ImageRecord>> {
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            let image = match bounded(PATIENCE, self.docker.inspect_image(id)).await {
                Ok(image) => Some(image),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.doing(format!("image `{id}` can't be inspected"))),
            };
            let (tags, digests) = image
                .map(|image| (image.repo_tags, image.repo_digests))
                .unwrap_or_default();
            records.push(ImageRecord {
                id: id.clone(),
                tags: tags.unwrap_or_default(),
                digests: digests.unwrap_or_default(),
            });
        }
        Ok(records)
    }
}
