//! Projects as people write them, on a real file system; the engine's side with the real engine.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::discovery::{Rules, discover};
use crate::docker::testing;
use crate::model::UnitName;
use crate::model::point::FileRole;
use crate::model::source::GapReason;
use crate::model::unit::{ComposeProject, UnitKind};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

struct Project {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("@ROOT@", root.to_str().unwrap())).unwrap();
        }
        Self { folder, root }
    }

    fn unit(&self, files: &[&str]) -> Unit {
        Unit {
            name: UnitName::parse("p").unwrap(),
            kind: UnitKind::Stack,
            containers: Vec::new(),
            levels: Vec::new(),
            sources: Vec::new(),
            networks: Vec::new(),
            compose: Some(ComposeProject {
                working_dir: Some(self.root.join("p")),
                files: files.iter().map(|file| self.root.join(file)).collect(),
                missing: Vec::new(),
                env_files: Vec::new(),
            }),
            gaps: Vec::new(),
            not_coverable: None,
            blocker: None,
            enabled: true,
            warnings: Vec::new(),
        }
    }

    async fn capture(&self, unit: &Unit) -> (Captured, tempfile::TempDir) {
        let target = tempfile::tempdir().unwrap();
        let compose = unit.compose.as_ref().unwrap();
        let captured = files::capture(unit, compose, target.path()).await.unwrap();
        (captured, target)
    }

    /// The saved paths, relative to the project's root, in order.
    fn saved(&self, captured: &Captured, role: FileRole) -> Vec<String> {
        let mut paths: Vec<String> = captured
            .files
            .iter()
            .filter(|file| file.role == role)
            .map(|file| {
                file.path
                    .strip_prefix(&self.root)
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        paths.sort();
        paths
    }
}

fn copy(target: &tempfile::TempDir, path: &Path) -> PathBuf {
    target
        .path()
        .join("files")
        .join(path.strip_prefix("/").unwrap())
}

const COMPOSE: &str = r#"
x-common: &common
  env_file:
    - ./app.env
    - path: ${CONF:-conf}/extra.env
    - {path: never.env, required: false}
include:
  - ../shared/compose.yaml
  - path: [sub/one.yaml, sub/two.yaml]
    project_directory: sub
services:
  app:
    <<: *common
    build: {context: ./src, dockerfile: "${DOCKERFILE}"}
    security_opt: ["seccomp:./seccomp.json", "no-new-privileges:true"]
    label_file: labels
  worker:
    extends: {file: base/common.yaml, service: worker}
  remote:
    build: https://github.com/x/y.git
secrets:
  db: {file: ./secrets/db}
  other: {environment: X}
configs:
  nginx: {file: "@ROOT@/etc/nginx.conf"}
  gone: {file: ./gone}
"#;

#[tokio::test]
async fn every_file_that_a_project_names_is_saved_where_it_was() {
    let project = Project::new(&[
        ("p/compose.yaml", COMPOSE),
        (
            "p/compose.override.yaml",
            "services: {app: {env_file: over.env}}",
        ),
        ("p/.env", "CONF=cfg\nDOCKERFILE=Dockerfile.prod\n"),
        ("p/app.env", "A=1"),
        ("p/cfg/extra.env", "B=1"),
        ("p/over.env", "C=1"),
        ("p/src/Dockerfile.prod", "FROM scratch"),
        ("p/seccomp.json", "{}"),
        ("p/labels", "a=b"),
        (
            "p/base/common.yaml",
            "services: {worker: {env_file: beside.env}}",
        ),
        ("p/base/beside.env", "D=1"),
        ("p/secrets/db", "geheim"),
        ("p/unnamed", "not named by anything"),
        ("etc/nginx.conf", "x"),
        (
            "shared/compose.yaml",
            "services: {s: {env_file: '${NAME}.env'}}",
        ),
        ("shared/.env", "NAME=shared\nCONF=outer-wins"),
        ("shared/shared.env", "E=1"),
        ("p/sub/one.yaml", "services: {one: {env_file: one.env}}"),
        ("p/sub/one.env", "F=1"),
        ("p/sub/two.yaml", "include: [../compose.yaml]"),
    ]);
    let unit = project.unit(&["p/compose.yaml", "p/compose.override.yaml"]);
    let (captured, target) = project.capture(&unit).await;

    assert_eq!(
        project.saved(&captured, FileRole::Compose),
        ["p/compose.override.yaml", "p/compose.yaml"]
    );
    assert_eq!(
        project.saved(&captured, FileRole::Environment),
        ["p/.env", "shared/.env"]
    );
    assert_eq!(
        project.saved(&captured, FileRole::Referenced),
        [
            "etc/nginx.conf",
            "p/app.env",
            "p/base/beside.env",
            "p/base/common.yaml",
            "p/cfg/extra.env",
            "p/labels",
            "p/over.env",
            "p/seccomp.json",
            "p/secrets/db",
            "p/src/Dockerfile.prod",
            "p/sub/one.env",
            "p/sub/one.yaml",
            "p/sub/two.yaml",
            "shared/compose.yaml",
            "shared/shared.env",
        ]
    );
    for file in &captured.files {
        assert_eq!(
            std::fs::read(copy(&target, &file.path)).unwrap(),
            std::fs::read(&file.path).unwrap()
        );
    }
    let gaps: Vec<String> = captured.gaps.iter().map(|gap| gap.what.clone()).collect();
    let root = project.root.display();
    assert_eq!(
        gaps,
        [
            format!("config `gone`: `{root}/p/gone`"),
            format!("build context `{root}/p/src` of service `app`"),
        ]
    );
    assert!(
        captured
            .gaps
            .iter()
            .all(|gap| gap.reason == GapReason::Recipe)
    );
    assert_eq!(
        captured.project.unwrap().env_files,
        [project.root.join("p/.env")]
    );
    drop(project.folder);
}

#[tokio::test]
async fn a_compose_file_that_is_no_yaml_is_saved_all_the_same() {
    let project = Project::new(&[("p/compose.yaml", "services: [")]);
    let (captured, _target) = project.capture(&project.unit(&["p/compose.yaml"])).await;
    assert_eq!(
        project.saved(&captured, FileRole::Compose),
        ["p/compose.yaml"]
    );
    assert_eq!(captured.gaps.len(), 1);
    assert!(
        captured.gaps[0].detail.contains("can't be read as YAML"),
        "{:?}",
        captured.gaps
    );
}

#[tokio::test]
async fn owner_mode_and_time_are_kept_and_links_are_followed() {
    let project = Project::new(&[("p/real", "services: {}")]);
    let real = project.root.join("p/real");
    let link = project.root.join("p/compose.yaml");
    std::os::unix::fs::symlink("real", &link).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    std::fs::File::options()
        .write(true)
        .open(&real)
        .unwrap()
        .set_modified(time)
        .unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o2640)).unwrap();
    let (captured, target) = project.capture(&project.unit(&["p/compose.yaml"])).await;

    assert_eq!(captured.gaps, []);
    let (copy, real) = (copy(&target, &link), real.metadata().unwrap());
    let copied = copy.symlink_metadata().unwrap();
    assert!(copied.is_file());
    assert_eq!(copied.mode(), real.mode());
    assert_eq!((copied.uid(), copied.gid()), (real.uid(), real.gid()));
    assert_eq!(copied.modified().unwrap(), time);
    let folder = target.path().join("files").metadata().unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
}

#[tokio::test]
async fn pipes_folders_and_giants_are_gaps_and_hold_nothing_up() {
    let project = Project::new(&[(
        "p/compose.yaml",
        "services: {a: {env_file: [pipe, folder, giant]}}",
    )]);
    let path = |name: &str| project.root.join("p").join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), 0o600.into()).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::File::create(path("giant"))
        .unwrap()
        .set_len(17 << 20)
        .unwrap();
    let (captured, _target) = project.capture(&project.unit(&["p/compose.yaml"])).await;
    let why: Vec<&str> = captured
        .gaps
        .iter()
        .map(|gap| gap.detail.as_str())
        .collect();
    assert_eq!(
        why,
        [
            "it is not a regular file",
            "it is not a regular file",
            "it is larger than 16 MiB"
        ]
    );
}

#[tokio::test]
async fn the_engines_side_is_saved_with_its_secrets_apart() {
    let Some(engine) = testing::engine().await else {
        return;
    };
    let id = testing::create(
        &engine,
        "kdd-recipe",
        serde_json::json!({
            "Env": ["ROOT_PASSWORD=hunter2", "PLAIN=1"],
            "HostConfig": {"Binds": ["kdd-recipe-data:/data"]},
        }),
    )
    .await;
    let found = discover(&engine, &Rules::default()).await.unwrap();
    let unit = found
        .units
        .iter()
        .find(|unit| unit.name.as_str() == "kdd-recipe")
        .unwrap();
    for include_secrets in [true, false] {
        let target = tempfile::tempdir().unwrap();
        let captured = capture(&engine, unit, target.path(), include_secrets, PATIENCE)
            .await
            .unwrap();
        assert!(captured.project.is_none());
        assert_eq!(captured.warnings, Vec::<String>::new());
        let read = |name: &str| std::fs::read_to_string(target.path().join(name));
        let json = |name: &str| -> serde_json::Value {
            serde_json::from_str(&read(name).unwrap()).unwrap()
        };

        let container = json("docker/containers/kdd-recipe.json");
        assert_eq!(container["Id"], serde_json::json!(id));
        assert_eq!(
            container["Config"]["Env"][0],
            "ROOT_PASSWORD=***REDACTED***"
        );
        assert_eq!(
            json("docker/volumes/kdd-recipe-data.json")["Driver"],
            "local"
        );
        let image = &json("docker/images.json")["kdd-recipe"];
        assert_eq!(image["image"], testing::IMAGE);
        assert_eq!(image["tags"][0], testing::IMAGE);
        if include_secrets {
            assert_eq!(
                json("secrets.json")["kdd-recipe"]["ROOT_PASSWORD"],
                "hunter2"
            );
            let mode = target
                .path()
                .join("secrets.json")
                .metadata()
                .unwrap()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        } else {
            assert!(read("secrets.json").is_err());
        }
    }
    testing::remove(&engine, &id).await;
    testing::remove_volume(&engine, "kdd-recipe-data").await;
}
