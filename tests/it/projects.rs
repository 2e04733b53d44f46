//! A project is more than its newest container: its files, its variables, what ran of it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use crate::common::{Done, World};
use serde_json::{Value, json};

/// Files of a project with a name of this world's own, and containers as compose would make them.
struct Project<'w> {
    world: &'w World,
    name: String,
}

impl<'w> Project<'w> {
    fn new(world: &'w World) -> Self {
        Self {
            world,
            name: world.name("p"),
        }
    }

    /// Writes a file; its directory is made.
    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.world.path("projects").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs a container of `service`, made from `compose.yaml` in `folder`.
    #[track_caller]
    fn run(&self, service: &str, folder: &str, options: &[&str]) -> String {
        let folder = self.world.path("projects").join(folder);
        let name = format!("{}-{service}-1", self.name);
        let world = format!("{}={}", crate::common::LABEL, self.world.id());
        let labels = [
            ("project", self.name.clone()),
            ("service", service.to_owned()),
            ("container-number", "1".to_owned()),
            ("oneoff", "False".to_owned()),
            ("project.working_dir", folder.display().to_string()),
            (
                "project.config_files",
                folder.join("compose.yaml").display().to_string(),
            ),
        ];
        let mut run = self
            .world
            .docker(&["run", "--detach", "--name", &name, "--label", &world]);
        for (label, value) in labels {
            run = run.args(["--label", &format!("com.docker.compose.{label}={value}")]);
        }
        run.args(options)
            .args([
                "kopi-docka-test:1",
                "sh",
                "-c",
                "trap 'exit 0' TERM; while :; do sleep 0.1; done",
            ])
            .text();
        name
    }

    #[track_caller]
    fn backup(&self) -> Done {
        let run = self.world.kd(&["backup", "--unit", &self.name]);
        run.stdout_any().stderr_any().run()
    }

    /// The record of the newest point.
    #[track_caller]
    fn record(&self) -> Value {
        let to = self.world.path("recipe-of-the-newest");
        let _ = fs::remove_dir_all(&to);
        let run = self.world.kd(&[
            "restore",
            "--unit",
            &self.name,
            "--backup-id",
            "latest",
            "--recipe",
        ]);
        run.args(["--yes", "--target", to.to_str().unwrap()])
            .stdout_any()
            .stderr_any()
            .ok();
        let file = to.join("recipes").join(&self.name).join("recipe.json");
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap()
    }

    #[track_caller]
    fn restore(&self) {
        let run = self.world.kd(&[
            "restore",
            "--unit",
            &self.name,
            "--backup-id",
            "latest",
            "--yes",
        ]);
        run.stdout_any().stderr_any().ok();
    }
}

fn losses(record: &Value) -> Vec<String> {
    let gaps = record["gaps"].as_array().unwrap();
    gaps.iter()
        .filter(|gap| gap["is_loss"] == true)
        .map(|gap| gap["what"].as_str().unwrap().to_owned())
        .collect()
}

fn facts(path: &Path) -> (u32, u32, u32, i64, i64) {
    let found = fs::symlink_metadata(path).unwrap();
    (
        found.mode(),
        found.uid(),
        found.gid(),
        found.mtime(),
        found.mtime_nsec(),
    )
}

#[test]
fn two_projects_of_one_name_are_both_saved_and_told() {
    let world = World::new();
    world.init();
    let project = Project::new(&world);
    let mut files = Vec::new();
    for service in ["wiki", "git"] {
        let folder = format!("{service},x/docker");
        let text = format!("services: {{{service}: {{image: i, env_file: '${{WHICH}}.env'}}}}");
        files.push(project.write(&format!("{folder}/compose.yaml"), &text));
        files.push(project.write(&format!("{folder}/.env"), &format!("WHICH={service}")));
        files.push(project.write(&format!("{folder}/{service}.env"), "A=1"));
        project.run(service, &folder, &[]);
    }
    let done = project.backup();
    assert_eq!(done.code, Some(0), "{done}");
    let warnings = world.report()["units"][0]["warnings"].to_string();
    assert!(
        warnings.contains("wiki,x/docker") && warnings.contains("the same name"),
        "{warnings}"
    );
    let record = project.record();
    assert_eq!(losses(&record), Vec::<String>::new());
    assert_eq!(record["project"]["groups"].as_array().unwrap().len(), 2);
    fs::remove_dir_all(world.path("projects")).unwrap();
    project.restore();
    for file in files {
        assert!(file.is_file(), "{} is not back", file.display());
    }
}

#[test]
fn variables_of_a_shell_come_from_the_containers_and_never_from_where_kopi_docka_runs() {
    let world = World::new();
    world.init();
    let project = Project::new(&world);
    let text = r#"
services:
  web:
    user: "${APP_UID}:${APP_UID}"
    volumes: ["${DATA_ROOT}/db:/db"]
    env_file: ["${PWD}/job.env", "${CONFIG_DIR}/x.env"]
    stop_grace_period: ${GRACE}
"#;
    project.write("app/compose.yaml", text);
    let job = project.write("app/job.env", "A=1");
    let strangers = world.dir("elsewhere");
    fs::write(strangers.join("job.env"), "not of any unit").unwrap();
    fs::write(strangers.join("x.env"), "not of any unit").unwrap();
    let bind = format!("{}:/db", world.dir("big/db").display());
    project.run("web", "app", &["--user", "1000:1000", "--volume", &bind]);
    let run = world.kd(&["backup", "--unit", &project.name]);
    run.directory(&strangers)
        .env("PWD", &strangers)
        .env("CONFIG_DIR", &strangers)
        .env("DATA_ROOT", &strangers)
        .stdout_any()
        .stderr_any()
        .run();
    let record = project.record();
    let inferred = &record["project"]["inferred"];
    assert_eq!(inferred["APP_UID"], "1000");
    assert_eq!(inferred["DATA_ROOT"], json!(world.path("big")));
    assert_eq!(inferred["PWD"], json!(job.parent().unwrap()));
    assert_eq!(record["project"]["unknown_variables"], json!(["GRACE"]));
    let files = record["files"].as_array().unwrap();
    assert!(
        files.iter().any(|file| file["path"] == json!(job)),
        "{files:#?}"
    );
    let is_strangers =
        |file: &Value| Path::new(file["path"].as_str().unwrap()).starts_with(&strangers);
    assert!(!files.iter().any(is_strangers), "{files:#?}");
    let losses = losses(&record);
    assert!(
        losses
            .iter()
            .any(|what| what.starts_with("env_file of service `web`")),
        "{losses:?}"
    );
    assert!(
        losses.iter().any(|what| what.contains("`GRACE`")),
        "{losses:?}"
    );
    let container = &record["project"]["services"][0]["containers"][0];
    assert_eq!(container["user"], "1000:1000");
    assert_eq!(container["state"], "running");
    assert_eq!(container["mounts"][0]["destination"], "/db");
    assert_eq!(
        container["mounts"][0]["source"]["path"],
        json!(world.path("big/db"))
    );
}

#[test]
fn owners_modes_times_and_links_come_back() {
    let world = World::new();
    world.init();
    let project = Project::new(&world);
    let compose = project.write(
        "app/compose.yaml",
        "services: {web: {env_file: conf/web.env}}",
    );
    let settings = project.write("app/settings.conf", "A=1");
    let web = project.write("app/conf/web.env", "B=1");
    let (env, conf) = (settings.with_file_name(".env"), web.parent().unwrap());
    symlink("settings.conf", &env).unwrap();
    for (path, mode) in [
        (compose.as_path(), 0o4755),
        (&settings, 0o640),
        (&web, 0o600),
        (conf, 0o2770),
    ] {
        chown(path, Some(1000), Some(1001)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    project.run("web", "app", &[]);
    let done = project.backup();
    assert_eq!(done.code, Some(0), "{done}");
    let before: Vec<_> = [&compose, &settings, &web, &env]
        .map(|path| facts(path))
        .into();
    fs::remove_dir_all(world.path("projects")).unwrap();
    project.restore();
    let after: Vec<_> = [&compose, &settings, &web, &env]
        .map(|path| facts(path))
        .into();
    assert_eq!(after, before);
    assert_eq!(fs::read_link(&env).unwrap(), Path::new("settings.conf"));
    let (mode, uid, gid, ..) = facts(conf);
    assert_eq!((mode & 0o7777, uid, gid), (0o2770, 1000, 1001));
}

#[test]
fn a_build_context_comes_back_when_it_is_within_its_limit() {
    let world = World::new();
    world.init();
    let project = Project::new(&world);
    project.write("app/compose.yaml", "services: {web: {build: ./web}}");
    let docker = project.write("app/web/Dockerfile", "FROM scratch");
    let conf = project.write("app/web/conf.d/site.conf", &"x".repeat(2000));
    project.run("web", "app", &[]);
    for (limit, expected) in [(json!("1KiB"), false), (json!("50MiB"), true)] {
        world.config(|config| config["backup"]["build_context_max"] = limit.clone());
        project.backup();
        let lost = losses(&project.record());
        assert_eq!(
            lost.iter().any(|what| what.starts_with("build context")),
            !expected,
            "{limit}: {lost:?}"
        );
        let _ = fs::remove_dir_all(world.path("projects"));
        project.restore();
        assert!(docker.is_file());
        assert_eq!(conf.is_file(), expected, "{limit}");
        project.write("app/web/conf.d/site.conf", &"x".repeat(2000));
    }
}

#[test]
fn volumes_without_a_name_are_told_with_their_containers() {
    let world = World::new();
    world.init();
    let project = Project::new(&world);
    project.write("app/compose.yaml", "services: {web: {volumes: [/index]}}");
    let container = project.run("web", "app", &["--volume", "/index"]);
    let done = project.backup();
    assert_eq!(done.code, Some(0), "{done}");
    let warnings = world.report()["units"][0]["warnings"].to_string();
    assert!(
        warnings.contains(&format!("`/index` of container `{container}`")),
        "{warnings}"
    );
    let record = project.record();
    let mount = &record["project"]["services"][0]["containers"][0]["mounts"][0];
    assert_eq!(mount["is_anonymous"], true);
    assert_eq!(mount["source"]["type"], "volume");
}

#[test]
fn networks_with_names_like_one_another_do_not_end_a_backup() {
    let world = World::new();
    world.init();
    let project = Project::new(&world);
    project.write("app/compose.yaml", "services: {web: {}}");
    let container = project.run("web", "app", &[]);
    let long = format!("{}{}", world.name("n"), "x".repeat(260));
    let label = format!("{}={}", crate::common::LABEL, world.id());
    for name in [world.name("n/a"), world.name("n_a"), long] {
        world
            .docker(&["network", "create", "--label", &label, &name])
            .stdout_any()
            .run();
        world
            .docker(&["network", "connect", &name, &container])
            .stdout_any()
            .stderr_any()
            .run();
    }
    let done = project.backup();
    assert_eq!(done.code, Some(0), "{done}");
}
