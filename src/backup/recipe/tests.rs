//! Projects as people write them, on a real file system; the engine's side with the real engine.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::discovery::{Rules, discover};
use crate::drivers::docker::testing;
use crate::model::UnitName;
use crate::model::point::{FileRole, REDACTED};
use crate::model::source::GapReason;
use crate::model::unit::{ComposeGroup, ComposeProject, UnitKind};

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
                working_dir: None,
                files: Vec::new(),
                missing: Vec::new(),
                env_files: Vec::new(),
                groups: vec![self.group("p", files, &[])],
            }),
            gaps: Vec::new(),
            not_coverable: None,
            blocker: None,
            enabled: true,
            warnings: Vec::new(),
        }
    }

    fn group(&self, folder: &str, files: &[&str], services: &[&str]) -> ComposeGroup {
        ComposeGroup {
            named_dir: Some(self.root.join(folder)),
            working_dir: Some(self.root.join(folder)),
            files: files.iter().map(|file| self.root.join(file)).collect(),
            services: services.iter().map(|name| (*name).to_owned()).collect(),
            ..ComposeGroup::default()
        }
    }

    async fn capture(&self, unit: &Unit) -> (Captured, tempfile::TempDir) {
        self.capture_with(unit, BTreeMap::new(), 50 << 20).await
    }

    async fn capture_with(
        &self,
        unit: &Unit,
        inspected: BTreeMap<String, serde_json::Value>,
        context_limit: u64,
    ) -> (Captured, tempfile::TempDir) {
        let target = tempfile::tempdir().unwrap();
        let request = project::Request {
            unit: unit.clone(),
            inspected,
            context_limit,
            folder: target.path().to_owned(),
        };
        (project::capture(request).await.unwrap(), target)
    }

    /// Adds a container of a service, of which Docker says `inspect`; its paths have `@ROOT@`.
    fn add(
        &self,
        unit: &mut Unit,
        inspected: &mut BTreeMap<String, serde_json::Value>,
        service: &str,
        inspect: serde_json::Value,
    ) {
        let text = inspect
            .to_string()
            .replace("@ROOT@", self.root.to_str().unwrap());
        let mut inspect: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = format!("{:x}", unit.containers.len()).repeat(64);
        inspect["Id"] = serde_json::json!(id);
        inspect["Name"] = serde_json::json!(format!("/p-{service}-1"));
        inspect["Config"]["Labels"]["com.docker.compose.project"] = serde_json::json!("p");
        inspect["Config"]["Labels"]["com.docker.compose.service"] = serde_json::json!(service);
        let raw = serde_json::from_value(inspect.clone()).unwrap();
        unit.containers
            .push(crate::discovery::container::container(&raw).unwrap());
        inspected.insert(id, inspect);
    }

    /// What was lost, as `what: why`, without the project's root.
    fn losses(&self, captured: &Captured) -> Vec<String> {
        let losses = captured.gaps.iter().filter(|gap| gap.is_loss);
        losses
            .map(|gap| {
                let text = format!("{}: {}", gap.what, gap.detail);
                text.replace(self.root.to_str().unwrap(), "")
            })
            .collect()
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
  other: {environment: CONF}
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
    assert_eq!(gaps, [format!("config `gone`: `{root}/p/gone`")]);
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
        captured.gaps[0].detail.contains("cannot be read as YAML"),
        "{:?}",
        captured.gaps
    );
}

#[tokio::test]
async fn owner_mode_time_and_links_are_data_and_the_copies_are_ours() {
    let project = Project::new(&[("p/real", "services: {}"), ("p/conf/mail.conf", "A=1")]);
    let real = project.root.join("p/real");
    let link = project.root.join("p/compose.yaml");
    std::os::unix::fs::symlink("real", &link).unwrap();
    std::os::unix::fs::symlink("conf/mail.conf", project.root.join("p/.env")).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    std::fs::File::options()
        .write(true)
        .open(&real)
        .unwrap()
        .set_modified(time)
        .unwrap();
    std::os::unix::fs::chown(&real, Some(1000), Some(1001)).unwrap();
    std::os::unix::fs::chown(project.root.join("p"), Some(1000), Some(1001)).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o4750)).unwrap();
    let setgid = std::fs::Permissions::from_mode(0o2775);
    std::fs::set_permissions(project.root.join("p"), setgid).unwrap();
    let (captured, target) = project.capture(&project.unit(&["p/compose.yaml"])).await;

    assert_eq!(captured.gaps, []);
    let record = |path: &str| {
        let path = project.root.join(path);
        let mut files = captured.files.iter();
        files.find(|file| file.path == path).unwrap()
    };
    assert_eq!(
        record("p/compose.yaml").link.as_deref(),
        Some(Path::new("real"))
    );
    assert_eq!(
        record("p/.env").link.as_deref(),
        Some(Path::new("conf/mail.conf"))
    );
    assert_eq!(record("p/conf/mail.conf").role, FileRole::Environment);
    let of_real = record("p/real");
    assert_eq!((of_real.role, &of_real.link), (FileRole::Compose, &None));
    let attributes = of_real.attributes.unwrap();
    assert_eq!(attributes.mode, 0o4750);
    assert_eq!((attributes.uid, attributes.gid), (1000, 1001));
    assert_eq!(attributes.modified_seconds, 1_000_000_000);
    assert_eq!(attributes.modified_nanoseconds, 123_456_789);
    for path in [&link, &real] {
        let copied = copy(&target, path).symlink_metadata().unwrap();
        assert!(copied.is_file());
        assert_eq!(copied.mode() & 0o7777, 0o600);
        assert_eq!(copied.uid(), rustix::process::geteuid().as_raw());
    }
    let folder = target.path().join("files").metadata().unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
    let directories = &captured.project.as_ref().unwrap().directories;
    let of_project = directories
        .iter()
        .find(|directory| directory.path == project.root.join("p"))
        .unwrap();
    let attributes = of_project.attributes;
    assert_eq!(
        (attributes.mode, attributes.uid, attributes.gid),
        (0o2775, 1000, 1001)
    );
}

#[expect(clippy::too_many_lines, reason = "a story")]
#[tokio::test]
async fn variables_of_a_shell_are_told_from_the_containers_and_never_from_our_own_environment() {
    // Every process has this one.
    assert!(std::env::var_os("PATH").is_some());
    let project = Project::new(&[
        (
            "p/compose.yaml",
            r#"
services:
  web:
    image: "repo:${TAG:-1}"
    user: "${APP_UID}:${APP_GID}"
    volumes: ["${PWD}/config:/config", "${DATA_ROOT}/db:/db:ro", "./${SUB}/x:/x"]
    environment: ["DOMAIN=${DOMAIN}", "DB_PASSWORD=${DBP}", "EMPTY=${NOTHING}", HANDED_ON]
    ports: ["127.0.0.1:${PORT}:80"]
    command: ["run", "--level=${LEVEL}"]
  job:
    env_file: ["${PWD}/job.env", "${PATH}/path.env", {path: "${GONE}", required: false}, "${NOTHING}"]
    stop_grace_period: ${NOBODY_KNOWS}
  off:
    profiles: [later]
    image: "${OF_NO_CONTAINER}"
secrets:
  s: {environment: SHELL_SECRET}
"#,
        ),
        ("p/job.env", "A=1"),
    ]);
    let (mut unit, mut inspected) = (project.unit(&["p/compose.yaml"]), BTreeMap::new());
    let bind = |source: &str, destination: &str| serde_json::json!({"Type": "bind", "Source": source, "Destination": destination, "RW": true});
    let web = serde_json::json!({
        "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
        "Image": "sha256:1",
        "Config": {
            "Image": "repo:7", "User": "1000:1001", "Cmd": ["run", "--level=high"],
            "Env": ["DOMAIN=example.org", "DB_PASSWORD=geheim", "EMPTY=", "HANDED_ON=yes"],
        },
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}},
        "Mounts": [bind("@ROOT@/p/config", "/config"), bind("/srv/big/db", "/db"), bind("@ROOT@/p/deep/x", "/x")],
    });
    project.add(&mut unit, &mut inspected, "web", web);
    let job = serde_json::json!({"State": {"Status": "created"}, "Config": {}});
    project.add(&mut unit, &mut inspected, "job", job);
    let (captured, _target) = project.capture_with(&unit, inspected, 0).await;

    let record = captured.project.as_ref().unwrap();
    let pwd = project.root.join("p").display().to_string();
    let expected = [
        ("APP_GID", "1001"),
        ("APP_UID", "1000"),
        ("DATA_ROOT", "/srv/big"),
        ("DBP", REDACTED),
        ("DOMAIN", "example.org"),
        ("HANDED_ON", "yes"),
        ("LEVEL", "high"),
        ("NOTHING", ""),
        ("PORT", "8080"),
        ("PWD", &pwd),
        ("SUB", "deep"),
        ("TAG", "7"),
    ];
    let inferred: Vec<(&str, &str)> = record
        .inferred
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| *name != "HANDED_ON")
        .collect();
    let expected: Vec<_> = expected
        .into_iter()
        .filter(|(name, _)| *name != "HANDED_ON")
        .collect();
    assert_eq!(inferred, expected);
    assert_eq!(captured.secrets["DBP"], "geheim");
    assert_eq!(captured.warnings.len(), 1, "{:?}", captured.warnings);
    assert!(captured.warnings[0].contains("`APP_GID`, `APP_UID`, `DATA_ROOT`"));
    assert!(!captured.warnings[0].contains("PWD") && !captured.warnings[0].contains("geheim"));
    assert_eq!(record.unknown_variables, ["NOBODY_KNOWS"]);
    assert_eq!(
        project.saved(&captured, FileRole::Referenced),
        ["p/job.env"]
    );
    assert_eq!(
        project.losses(&captured),
        [
            "env_file of service `job` in `/p/compose.yaml`: its path `${PATH}/path.env` needs `PATH`, which no file gives and no container shows",
            "env_file of service `job` in `/p/compose.yaml`: its path `${NOTHING}` is empty with the variables that are known",
            "secret `s` of `/p/compose.yaml`: compose takes it from the variable `SHELL_SECRET`, which no file gives",
            "variable `NOBODY_KNOWS` of the compose files: compose had it from a shell or a unit: no file gives it and no container shows its value; write it into `.env`",
        ]
    );

    let web = record
        .services
        .iter()
        .find(|service| service.name == "web")
        .unwrap();
    assert_eq!((web.running, web.containers.len()), (1, 1));
    let container = &web.containers[0];
    assert_eq!(container.user, "1000:1001");
    assert_eq!(container.image_id, "sha256:1");
    assert!(container.was_started);
    let db = container
        .mounts
        .iter()
        .find(|mount| mount.destination == "/db")
        .unwrap();
    let source = crate::model::SourceKey::Bind {
        path: "/srv/big/db".into(),
    };
    assert_eq!(db.source, Some(source));
    let job = record
        .services
        .iter()
        .find(|service| service.name == "job")
        .unwrap();
    assert_eq!((job.running, job.containers[0].was_started), (0, false));
}

#[tokio::test]
async fn every_group_of_files_is_saved_with_its_own_environment() {
    let project = Project::new(&[
        (
            "a/compose.yaml",
            "services: {wiki: {env_file: '${WHICH}.env'}}",
        ),
        ("a/.env", "WHICH=wiki"),
        ("a/wiki.env", "A=1"),
        (
            "b/compose.yaml",
            "services: {git: {env_file: '${WHICH}.env', profiles: [dev]}}",
        ),
        ("b/.env", "WHICH=git"),
        ("b/git.env", "B=1"),
    ]);
    let mut unit = project.unit(&[]);
    let mut gone = project.group("c", &[], &["git", "lost"]);
    gone.missing = vec!["/c/compose.yaml".to_owned()];
    unit.compose.as_mut().unwrap().groups = vec![
        project.group("b", &["b/compose.yaml"], &["git"]),
        project.group("a", &["a/compose.yaml"], &["wiki"]),
        gone,
    ];
    let mut inspected = BTreeMap::new();
    for service in ["git", "wiki"] {
        let container = serde_json::json!({"State": {"Status": "running"}, "Config": {}});
        project.add(&mut unit, &mut inspected, service, container);
    }
    let (captured, _target) = project.capture_with(&unit, inspected, 0).await;
    assert_eq!(
        project.saved(&captured, FileRole::Compose),
        ["a/compose.yaml", "b/compose.yaml"]
    );
    assert_eq!(
        project.saved(&captured, FileRole::Environment),
        ["a/.env", "b/.env"]
    );
    assert_eq!(
        project.saved(&captured, FileRole::Referenced),
        ["a/wiki.env", "b/git.env"]
    );
    assert_eq!(
        project.losses(&captured),
        [
            "compose file of service `lost`: `/c/compose.yaml` is not there, and the newest compose files do not have the service"
        ]
    );
    let record = captured.project.unwrap();
    // What is started again is one of them.
    assert_eq!(record.compose_files, [project.root.join("b/compose.yaml")]);
    assert_eq!(record.groups.len(), 3);
    assert_eq!(record.groups[1].env_files, [project.root.join("a/.env")]);
    assert_eq!(record.groups[1].services, ["wiki"]);
    assert_eq!(record.profiles, ["dev"]);
}

#[tokio::test]
async fn a_build_context_is_saved_up_to_its_limit_without_what_the_builder_does_not_see() {
    let project = Project::new(&[
        ("p/compose.yaml", "services: {web: {build: ./web}}"),
        ("p/web/Dockerfile", "FROM scratch"),
        (
            "p/web/.dockerignore",
            "*.log
",
        ),
        ("p/web/conf.d/nginx.conf", "server {}"),
        ("p/web/noise.log", "x"),
        ("p/web/data/huge", "a source of its own"),
    ]);
    std::os::unix::fs::symlink("nowhere", project.root.join("p/web/link")).unwrap();
    let mut unit = project.unit(&["p/compose.yaml"]);
    unit.sources.push(crate::model::Source {
        key: crate::model::SourceKey::Bind {
            path: project.root.join("p/web/data"),
        },
        path: project.root.join("p/web/data"),
        is_file: false,
        destinations: Vec::new(),
        exclude_patterns: Vec::new(),
        is_anonymous: false,
        writers: Vec::new(),
        covers: Vec::new(),
        also_reads: Vec::new(),
        is_included: false,
    });
    let (captured, target) = project.capture(&unit).await;
    assert_eq!(project.losses(&captured), Vec::<String>::new());
    assert_eq!(
        project.saved(&captured, FileRole::BuildContext),
        [
            "p/web/.dockerignore",
            "p/web/conf.d/nginx.conf",
            "p/web/link"
        ]
    );
    assert_eq!(
        project.saved(&captured, FileRole::Referenced),
        ["p/web/Dockerfile"]
    );
    let conf = project.root.join("p/web/conf.d/nginx.conf");
    assert_eq!(
        std::fs::read_to_string(copy(&target, &conf)).unwrap(),
        "server {}"
    );

    let (captured, _target) = project.capture_with(&unit, BTreeMap::new(), 10).await;
    assert_eq!(
        project.saved(&captured, FileRole::BuildContext),
        Vec::<String>::new()
    );
    let losses = project.losses(&captured);
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert!(
        losses[0].starts_with("build context `/p/web` of service `web`: it is larger than 10 B"),
        "{losses:?}"
    );
    std::fs::remove_dir_all(project.root.join("p/web")).unwrap();
    let (captured, _target) = project.capture(&project.unit(&["p/compose.yaml"])).await;
    assert!(project.losses(&captured)[0].contains("cannot read"));
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
    let other = testing::create(&engine, "kdd-recipe-other", serde_json::json!({})).await;
    let id = testing::create(
        &engine,
        "kdd-recipe",
        serde_json::json!({
            "Env": ["ROOT_PASSWORD=hunter2", "PLAIN=1"],
            "HostConfig": {
                "Binds": ["kdd-recipe-data:/data"], "NetworkMode": format!("container:{other}"),
                "VolumesFrom": [format!("{other}:ro"), "kdd-recipe-other"],
            },
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
        let captured = capture(&engine, unit, target.path(), include_secrets, PATIENCE, 0)
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
        assert_eq!(image["platform"], engine.platform());
        let about = json("docker/engine.json");
        assert_eq!(about["platform"], engine.platform());
        assert_eq!(about["name"], engine.host_name().await.unwrap());
        let names = json("docker/names.json");
        assert_eq!(names, serde_json::json!({&other: "kdd-recipe-other"}));
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
    testing::remove(&engine, &other).await;
    testing::remove_volume(&engine, "kdd-recipe-data").await;
}
