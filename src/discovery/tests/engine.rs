//! The same with a real engine and real directories.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::build::{gaps, keys};
use crate::discovery::{Look, Rules, discover};
use crate::drivers::docker::{Engine, testing};
use crate::model::{ContainerState, Unit, UnitName};

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
    let odd = root.join("a directory\nof \\ \"names\"");
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

/// A run may take hours: what happens to a unit before its turn is known by then, without all the others being asked again.
#[tokio::test]
async fn a_look_stays_right_for_the_unit_whose_turn_it_is() {
    let Some(engine) = testing::engine().await else {
        return;
    };
    let rules = Rules::default();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    std::fs::create_dir(&data).unwrap();
    let bind = format!("{}:/data", data.display());
    let name = UnitName::parse("kdd-look").unwrap();
    let id = testing::run(&engine, name.as_str(), &[&bind]).await;
    let mut look = Look::at(&engine, &rules).await.unwrap();
    let unit = |look: &Look| {
        let mut units = look.discovery.units.iter();
        units.find(|unit| unit.name == name).cloned()
    };
    assert_eq!(unit(&look).unwrap().sources.len(), 1);

    // The event is on its way to us for a moment.
    let until = async |look: &mut Look, what: &dyn Fn(Option<Unit>) -> bool| {
        for _ in 0..500 {
            look.refresh(&engine, &rules, &name).await.unwrap();
            if what(unit(look)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("it was not noticed: {:?}", unit(look));
    };
    engine.stop(&id, 5).await.unwrap();
    let is_down = |unit: Option<Unit>| {
        unit.is_some_and(|unit| unit.containers[0].state == ContainerState::Exited)
    };
    until(&mut look, &is_down).await;

    std::fs::remove_dir(&data).unwrap();
    look.refresh(&engine, &rules, &name).await.unwrap();
    let without = unit(&look).unwrap();
    assert!(
        without.sources.is_empty() && without.gaps.len() == 1,
        "{without:?}"
    );

    testing::remove(&engine, &id).await;
    until(&mut look, &|unit| unit.is_none()).await;
    let other = testing::run(&engine, name.as_str(), &[]).await;
    until(&mut look, &|unit| {
        unit.is_some_and(|unit| unit.sources.is_empty())
    })
    .await;
    testing::remove(&engine, &other).await;
}
