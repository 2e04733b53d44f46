//! The same with a real engine and real folders.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::build::{gaps, keys};
use crate::discovery::{Rules, discover};
use crate::docker::{Engine, testing};
use crate::model::Unit;

async fn unit(engine: &Engine, name: &str) -> Unit {
    let found = discover(engine, &Rules::default()).await.unwrap();
    found
        .units
        .into_iter()
        .find(|unit| unit.name.as_str() == name)
        .unwrap()
}

#[tokio::test]
async fn a_real_container_with_awkward_mounts_is_sorted_out() {
    let Some(engine) = testing::engine().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let odd = root.join("a folder\nof \\ \"names\"");
    for path in [&odd, &root.join("device"), &root.join("nest/inner")] {
        std::fs::create_dir_all(path).unwrap();
    }
    std::fs::write(root.join("file"), "x").unwrap();
    std::os::unix::fs::symlink("nest", root.join("link")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let options: BTreeMap<String, String> = [
        ("type", "none"),
        ("o", "bind"),
        ("device", &text(&root.join("device"))),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    engine
        .create_volume("kdd-awkward-bound", "local", Some(&options), None)
        .await
        .unwrap();
    let bind =
        |path: &Path, target: &str| json!({"Type": "bind", "Source": text(path), "Target": target});
    let id = testing::create(
        &engine,
        "kdd-awkward",
        json!({"HostConfig": {
            "Tmpfs": {"/scratch": ""},
            "Mounts": [
                bind(&odd, "/odd"),
                bind(&root.join("link"), "/link"),
                bind(&root.join("nest/inner"), "/inner"),
                bind(&root.join("file"), "/file"),
                bind(Path::new("/proc"), "/proc-of-host"),
                bind(Path::new("/"), "/host"),
                {"Type": "volume", "Source": "kdd-awkward-bound", "Target": "/bound"},
                {"Type": "volume", "Target": "/nameless"},
            ],
        }}),
    )
    .await;
    engine.start(&id).await.unwrap();
    let unit = unit(&engine, "kdd-awkward").await;

    let named = |name: &str| {
        unit.sources
            .iter()
            .find(|source| source.key.to_string().contains(name))
            .unwrap()
    };
    assert_eq!(unit.sources.len(), 5, "{:?}", keys(&unit));
    assert_eq!(named("names").path, odd);
    assert_eq!(named("kdd-awkward-bound").path, root.join("device"));
    assert_eq!(named("/link").path, root.join("nest"));
    assert_eq!(named("/link").covers[0].destinations, ["/inner"]);
    assert!(named("/file").is_file);
    let nameless = unit
        .sources
        .iter()
        .find(|source| source.is_anonymous)
        .unwrap();
    assert!(nameless.path.is_dir());
    assert!(
        unit.sources
            .iter()
            .all(|source| source.writers == [id.clone()])
    );
    assert_eq!(
        gaps(&unit),
        [
            "tmpfs `/scratch` of container `kdd-awkward`: Ephemeral",
            "bind mount `/`: OperatingSystem",
            "bind mount `/proc`: Ephemeral",
        ]
    );
    testing::remove(&engine, &id).await;
    testing::remove_volume(&engine, "kdd-awkward-bound").await;
}

#[tokio::test]
async fn compose_files_inside_a_real_managers_volume_are_found() {
    let Some(engine) = testing::engine().await else {
        return;
    };
    let manager = testing::create(
        &engine,
        "kdd-manager",
        json!({"HostConfig": {"Binds": ["kdd-manager-data:/data-of-manager"]}}),
    )
    .await;
    let volume = engine.volume("kdd-manager-data").await.unwrap().unwrap();
    let stack = Path::new(&volume.mountpoint).join("compose/3");
    std::fs::create_dir_all(&stack).unwrap();
    std::fs::write(stack.join("docker-compose.yml"), "services: {}").unwrap();
    let member = testing::create(
        &engine,
        "kdd-managed-web-1",
        json!({"Labels": {
            "com.docker.compose.project": "kdd-managed",
            "com.docker.compose.project.working_dir": "/data-of-manager/compose/3",
            "com.docker.compose.project.config_files": "/data-of-manager/compose/3/docker-compose.yml",
        }}),
    )
    .await;
    let unit = unit(&engine, "kdd-managed").await;
    let compose = unit.compose.unwrap();
    assert_eq!(compose.files, [stack.join("docker-compose.yml")]);
    assert_eq!(compose.working_dir.as_deref(), Some(stack.as_path()));
    for id in [member, manager] {
        testing::remove(&engine, &id).await;
    }
    testing::remove_volume(&engine, "kdd-manager-data").await;
}
