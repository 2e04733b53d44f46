//! The real engine for unit tests: `KOPI_DOCKA_TEST_DOCKER` names its socket.

use std::path::Path;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};

use serde_json::json;

use super::Engine;

pub const IMAGE: &str = "kopi-docka-test:1";

/// `None` on a machine without a test engine; in CI that is an error, since a claim would go unproven.
pub async fn engine() -> Option<Engine> {
    let Some(socket) = std::env::var_os("KOPI_DOCKA_TEST_DOCKER") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "KOPI_DOCKA_TEST_DOCKER must name the socket of a Docker engine"
        );
        return None;
    };
    Some(Engine::connect(Path::new(&socket)).await.unwrap())
}

/// Runs a container that idles; `binds` as in `docker run -v`. One of that name that an earlier run left is removed.
pub async fn run(engine: &Engine, name: &str, binds: &[&str]) -> String {
    let id = create(engine, name, json!({"HostConfig": {"Binds": binds}})).await;
    engine.start(&id).await.unwrap();
    id
}

/// Creates a container; `body` as the API takes it, the image may be left out.
pub async fn create(engine: &Engine, name: &str, body: serde_json::Value) -> String {
    remove(engine, name).await;
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let mut body: ContainerCreateBody = serde_json::from_value(body).unwrap();
    body.image = Some(IMAGE.to_owned());
    engine
        .docker
        .create_container(Some(options), body)
        .await
        .unwrap()
        .id
}

pub async fn remove(engine: &Engine, id: &str) {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    let _ = engine.docker.remove_container(id, Some(options)).await;
}

pub async fn remove_volume(engine: &Engine, name: &str) {
    let _ = engine
        .docker
        .remove_volume(name, None::<RemoveVolumeOptions>)
        .await;
}
