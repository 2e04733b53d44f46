//! What a record names, as it is now.

use super::record::Entry;
use crate::drivers::docker::{ContainerInspectResponse, Engine};
use crate::error::Result;

/// By id, or by project, service and number: it may have been re-created meanwhile.
pub(super) async fn find(
    engine: &Engine,
    entry: &Entry,
) -> Result<Option<ContainerInspectResponse>> {
    if let Some(container) = engine.inspect(&entry.id).await? {
        return Ok(Some(container));
    }
    let by_labels = match (&entry.project, &entry.service) {
        (Some(project), Some(service)) => {
            engine
                .compose_container(project, service, entry.number)
                .await?
        }
        _ => None,
    };
    match by_labels {
        Some(id) => engine.inspect(&id).await,
        // A standalone container that was re-created has its old name.
        None => engine.inspect(&entry.name).await,
    }
}
