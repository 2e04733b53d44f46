//! A unit comes back whole on a host that has nothing of it: networks, volumes, containers. The real engines, the real compose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{Bed, Done, IMAGE, OwnEngine, Run, World, oracle, torture};
use serde_json::{Value, json};

/// Gives an engine the image under the same id, as it has nothing else.
fn empty_engine(like: &Bed, engine: OwnEngine) -> OwnEngine {
    Run::new("sh")
        .args([
            "-c",
            "docker -H \"$1\" save \"$3\" | docker -H \"$2\" load",
            "sh",
        ])
        .args([like.host(), engine.host()])
        .arg(IMAGE)
        .env("PATH", crate::common::path())
        .stdout_any()
        .ok();
    engine
}

/// Goes on as the same host, with another engine.
fn move_to(world: &mut World, bed: &Bed) {
    world.bed = bed.clone();
    let socket = bed.socket.clone();
    world.config(|config| config["docker"]["socket"] = json!(socket));
}

fn report(world: &World, unit: &str, more: &[&str]) -> Value {
    let args = [
        "--json",
        "restore",
        "--yes",
        "--unit",
        unit,
        "--backup-id",
        "latest",
    ];
    let run = world.kd(&[&args[..], more].concat());
    let done = run.stdout_any().stderr_any().run();
    last_report(&done)
}

fn last_report(done: &Done) -> Value {
    let last = done.json_lines().pop().unwrap_or_else(|| panic!("{done}"));
    assert_eq!(last["event"], "restore_finished", "{done}");
    last["report"].clone()
}

fn plan(world: &World, unit: &str) -> Value {
    let args = [
        "--json",
        "restore",
        "--dry-run",
        "--unit",
        unit,
        "--backup-id",
        "latest",
    ];
    world.kd(&args).json()["plan"].take()
}

fn back_up(world: &World, unit: &str) {
    world
        .kd(&["--quiet", "backup", "--unit", unit])
        .stdout_any()
        .ok();
}

/// Without what is another one each time.
fn network(world: &World, name: &str) -> Value {
    let mut network = world.docker(&["network", "inspect", name]).json()[0].take();
    for key in ["Id", "Created", "Containers"] {
        network[key].take();
    }
    without_passing(&mut network);
    network
}

fn volume(world: &World, name: &str) -> Value {
    let mut volume = world.docker(&["volume", "inspect", name]).json()[0].take();
    for key in ["CreatedAt", "Mountpoint"] {
        volume[key].take();
    }
    without_passing(&mut volume);
    volume
}

/// Compose's own version and hash are not made again.
fn without_passing(object: &mut Value) {
    if let Some(labels) = object["Labels"].as_object_mut() {
        labels.remove("com.docker.compose.version");
        labels.remove("com.docker.compose.config-hash");
    }
}

/// Id and time of the start of every container of a project.
fn starts(world: &World, project: &str) -> BTreeMap<String, (String, String)> {
    let filter = format!("label=com.docker.compose.project={project}");
    let ids = world
        .docker(&["ps", "--all", "--quiet", "--filter", &filter])
        .text();
    ids.lines()
        .map(|id| {
            let inspect = world.inspect(id);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&inspect["Name"]),
                (text(&inspect["Id"]), text(&inspect["State"]["StartedAt"])),
            )
        })
        .collect()
}

fn write(path: impl AsRef<Path>, text: &str) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The whole stack of the main test, in files.
struct Whole {
    project: String,
    dir: PathBuf,
    binds: PathBuf,
    device: PathBuf,
    outside: PathBuf,
    external: String,
    borrowed: String,
}

impl Whole {
    fn write(world: &World) -> Self {
        let whole = Self {
            project: world.name("shop"),
            dir: world.dir("srv/shop"),
            binds: world.dir("srv/binds"),
            device: world.dir("srv/device"),
            outside: world.path("etc/shop.env"),
            external: world.name("external"),
            borrowed: world.name("borrowed"),
        };
        let (dir, label) = (
            &whole.dir,
            json!({"kopi-docka-test": world.id(), "own": "yes"}),
        );
        write(&whole.outside, "FROM_OUTSIDE=yes\n");
        write(dir.join(".env"), "GREETING=hello\n");
        write(dir.join("secrets/token"), "s3cret");
        write(dir.join("conf/app.conf"), "listen 80\n");
        write(dir.join("rel/data"), "relative");
        write(whole.binds.join("single"), "one file");
        torture::plant(&whole.binds.join("tree"));
        let compose = json!({
            "services": {
                "db": {
                    "image": IMAGE,
                    "labels": label,
                    "networks": {"front": {"ipv4_address": "172.31.77.9", "aliases": ["base"]}, "back": {}},
                    "volumes": ["data:/data", "bound:/bound", "ext:/ext"],
                    "secrets": ["token"],
                    "healthcheck": {"test": "test -e /data/seed", "interval": "200ms", "retries": 20},
                },
                "app": {
                    "image": IMAGE,
                    "labels": label,
                    "depends_on": {"db": {"condition": "service_healthy"}},
                    "networks": {"back": {}, "borrowed": {"ipv4_address": "172.31.79.5"}},
                    "env_file": [whole.outside],
                    "environment": {"GREETING": "${GREETING}"},
                    "volumes": [
                        format!("{}:/single:ro", whole.binds.join("single").display()),
                        format!("{}:/tree", whole.binds.join("tree").display()),
                        "./rel:/rel",
                        "./conf/app.conf:/app.conf:ro",
                    ],
                },
            },
            "networks": {
                "front": {"labels": label, "ipam": {"config": [{"subnet": "172.31.77.0/24", "ip_range": "172.31.77.128/25", "gateway": "172.31.77.1", "aux_addresses": {"router": "172.31.77.2"}}]}, "driver_opts": {"com.docker.network.driver.mtu": "1400"}},
                "back": {"labels": label, "internal": true},
                "borrowed": {"external": true, "name": whole.borrowed},
            },
            "volumes": {
                "data": {"labels": label},
                "bound": {"labels": label, "driver_opts": {"type": "none", "o": "bind", "device": whole.device}},
                "ext": {"external": true, "name": whole.external},
            },
            "secrets": {"token": {"file": "./secrets/token"}},
        });
        write(dir.join("compose.yaml"), &format!("{compose:#}\n"));
        whole
    }

    fn up(&self, world: &World) -> Done {
        world
            .docker(&["compose", "--project-name", &self.project, "up", "-d"])
            .directory(&self.dir)
            .stderr_any()
            .ok()
    }

    fn full(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }
}

#[test]
fn a_stack_comes_back_on_a_bare_host_and_compose_takes_it_for_its_own() {
    a_stack_comes_back(&Bed::own_engine(), Bed::own_engine());
}

#[test]
fn a_stack_comes_back_on_a_bare_host_with_the_newest_docker_and_compose() {
    a_stack_comes_back(&Bed::own_newer_engine(), Bed::own_newer_engine());
}

fn a_stack_comes_back(old_host: &Bed, new_host: OwnEngine) {
    let new_host = empty_engine(old_host, new_host);
    let mut world = World::on(old_host);
    world.init();
    let whole = Whole::write(&world);
    let label = format!("kopi-docka-test={}", world.id());
    world
        .docker(&[
            "volume",
            "create",
            "--label",
            &label,
            "--label",
            "who=me",
            &whole.external,
        ])
        .text();
    world
        .docker(&[
            "network",
            "create",
            "--label",
            &label,
            "--attachable",
            "--subnet",
            "172.31.79.0/24",
            &whole.borrowed,
        ])
        .text();
    fs::write(world.volume_path(&whole.external).join("seed"), "external").unwrap();
    fs::write(whole.device.join("seed"), "device").unwrap();
    world
        .docker(&["compose", "--project-name", &whole.project, "create"])
        .directory(&whole.dir)
        .stderr_any()
        .ok();
    fs::write(world.volume_path(&whole.full("data")).join("seed"), "data").unwrap();
    torture::plant(&world.volume_path(&whole.full("data")).join("tree"));
    whole.up(&world);

    let networks = [
        whole.full("front"),
        whole.full("back"),
        whole.borrowed.clone(),
    ];
    let volumes = [
        whole.full("data"),
        whole.full("bound"),
        whole.external.clone(),
    ];
    let objects = |world: &World| {
        let networks: Vec<Value> = networks.iter().map(|name| network(world, name)).collect();
        let volumes: Vec<Value> = volumes.iter().map(|name| volume(world, name)).collect();
        (networks, volumes)
    };
    let trees = |world: &World| {
        let tree = oracle::manifest;
        [
            tree(&world.volume_path(&whole.full("data"))),
            tree(&world.volume_path(&whole.external)),
            tree(&whole.device),
            tree(&whole.binds.join("tree")),
            tree(&whole.binds.join("single")),
            tree(&whole.dir.join("rel")),
        ]
    };
    let files = ["compose.yaml", ".env", "secrets/token", "conf/app.conf"];
    let contents = || files.map(|file| fs::read(whole.dir.join(file)).unwrap());
    let (objects_before, files_before) = (objects(&world), contents());
    back_up(&world, &whole.project);
    world
        .docker(&["compose", "--project-name", &whole.project, "stop"])
        .directory(&whole.dir)
        .stderr_any()
        .ok();
    let trees_before = trees(&world);

    move_to(&mut world, &new_host);
    fs::remove_dir_all(world.path("srv")).unwrap();
    fs::remove_dir_all(world.path("etc")).unwrap();
    let listed = plan(&world, &whole.project);
    let made: BTreeSet<&str> = listed["rebuild"]["networks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|network| network["action"] == "create")
        .map(|network| network["name"].as_str().unwrap())
        .collect();
    assert_eq!(made, networks.iter().map(String::as_str).collect());
    assert_eq!(listed["rebuild"]["images"][0]["state"], "same");

    // A file outside of the project needs leave.
    let etc = world.path("etc").display().to_string();
    let report = report(&world, &whole.project, &["--up", "--allow-path", &etc]);
    assert_eq!(
        (&report["exit_code"], &report["is_up"]),
        (&json!(0), &json!(true)),
        "{report:#}"
    );
    assert_eq!(
        (&report["warnings"], &report["next_steps"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(objects(&world), objects_before);
    assert_eq!(contents(), files_before);
    for (before, after) in trees_before.iter().zip(trees(&world)) {
        before.assert_same(&after);
    }
    let app = world.inspect(&format!("{}-app-1", whole.project));
    let networks = &app["NetworkSettings"]["Networks"];
    assert_eq!(networks[&whole.borrowed]["IPAddress"], "172.31.79.5");
    let env: Vec<&str> = app["Config"]["Env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    assert!(
        env.contains(&"FROM_OUTSIDE=yes") && env.contains(&"GREETING=hello"),
        "{env:?}"
    );
    let db = world.inspect(&format!("{}-db-1", whole.project));
    assert_eq!(db["State"]["Health"]["Status"], "healthy");

    let before = starts(&world, &whole.project);
    assert_eq!(before.len(), 2);
    let again = whole.up(&world);
    assert_eq!(starts(&world, &whole.project), before, "{again}");
    let said = again.stderr().to_lowercase();
    assert!(
        !said.contains("warn") && !said.contains("recreate") && !said.contains("created"),
        "{again}"
    );
}

/// A standalone container with everything that a `docker run` is likely to set.
fn rich_container(world: &World) -> String {
    let (front, back) = (world.name("front"), world.name("back"));
    let label = format!("kopi-docka-test={}", world.id());
    world
        .docker(&[
            "network",
            "create",
            "--label",
            &label,
            "--subnet",
            "10.213.1.0/24",
            &front,
        ])
        .text();
    world
        .docker(&[
            "network",
            "create",
            "--label",
            &label,
            "--subnet",
            "10.213.2.0/24",
            &back,
        ])
        .text();
    let bind = world.dir("binds/rich");
    let bind = format!("{}:/bind:ro", bind.display());
    let name = world.name("rich");
    let data = world.volume("data", |v| v);
    let data = format!("{data}:/data");
    world
        .docker(&[
            "create",
            "--name",
            &name,
            "--label",
            &label,
            "--label",
            "it's=a \"label\"",
        ])
        .args([
            "--network",
            &front,
            "--ip",
            "10.213.1.7",
            "--network-alias",
            "base",
        ])
        .args([
            "--env",
            "API_TOKEN=s3cr3t=1",
            "--env",
            "PLAIN=a b",
            "--volume",
            "/anon",
            "--volume",
            &data,
            "--volume",
            &bind,
        ])
        .args([
            "--cap-add",
            "NET_ADMIN",
            "--cap-drop",
            "MKNOD",
            "--ulimit",
            "nofile=100:200",
            "--tmpfs",
            "/t:size=1m",
        ])
        .args([
            "--publish",
            "127.0.0.1:21301:80",
            "--expose",
            "81",
            "--health-cmd",
            "test -e /anon/seed",
            "--health-interval",
            "200ms",
        ])
        .args([
            "--restart",
            "on-failure:3",
            "--log-driver",
            "json-file",
            "--log-opt",
            "max-size=1m",
            "--hostname",
            "rich",
        ])
        .args([
            "--memory",
            "64m",
            "--pids-limit",
            "50",
            "--add-host",
            "x:10.0.0.1",
            "--init",
            "--read-only",
            "--user",
            "0:0",
        ])
        .args([
            "--workdir",
            "/tmp",
            "--stop-signal",
            "SIGINT",
            "--stop-timeout",
            "3",
            "--shm-size",
            "8m",
            "--sysctl",
            "net.core.somaxconn=100",
        ])
        .args([
            "--security-opt",
            "no-new-privileges",
            "--dns",
            "10.0.0.2",
            "--entrypoint",
            "/bin/sh",
        ])
        .args([IMAGE, "-c", "exec /bin/idle"])
        .stderr_any()
        .text();
    world
        .docker(&[
            "network",
            "connect",
            "--alias",
            "other",
            "--ip",
            "10.213.2.9",
            &back,
            &name,
        ])
        .text();
    let anonymous = anonymous_volume(world, &name);
    fs::write(world.volume_path(&anonymous).join("seed"), "anonymous").unwrap();
    world.docker(&["start", &name]).text();
    name
}

fn anonymous_volume(world: &World, container: &str) -> String {
    let mounts = world.inspect(container)["Mounts"].take();
    let mut mounts = mounts.as_array().unwrap().iter();
    let mount = mounts
        .find(|mount| mount["Destination"] == "/anon")
        .unwrap();
    mount["Name"].as_str().unwrap().to_owned()
}

/// Config, HostConfig, mounts and networks without what may differ: ids, MAC addresses that Docker gave, and the anonymous volume's
/// bind, since it has to be named to be found again.
fn comparable(world: &World, container: &str) -> Value {
    let mut inspect = world.inspect(container);
    let short: String = inspect["Id"].as_str().unwrap().chars().take(12).collect();
    let anonymous = format!("{}:/anon", anonymous_volume(world, container));
    let binds = inspect["HostConfig"]["Binds"].as_array_mut().unwrap();
    binds.retain(|bind| *bind != anonymous);
    // In the order that Docker's maps happen to have; a bind of a name has the mode of a bind.
    let mounts = inspect["Mounts"].as_array_mut().unwrap();
    mounts.sort_by_key(|mount| mount["Destination"].to_string());
    for mount in mounts
        .iter_mut()
        .filter(|mount| mount["Destination"] == "/anon")
    {
        mount["Mode"].take();
    }
    for (_, network) in inspect["NetworkSettings"]["Networks"]
        .as_object_mut()
        .unwrap()
    {
        for key in ["NetworkID", "EndpointID", "MacAddress"] {
            network[key].take();
        }
        if let Some(aliases) = network["Aliases"].as_array_mut() {
            aliases.retain(|alias| *alias != short);
        }
    }
    json!({
        "Config": inspect["Config"], "HostConfig": inspect["HostConfig"],
        "Networks": inspect["NetworkSettings"]["Networks"], "Mounts": inspect["Mounts"],
        "Path": inspect["Path"], "Args": inspect["Args"], "Image": inspect["Image"], "Name": inspect["Name"],
    })
}

fn remove_all(world: &World, container: &str) {
    world
        .docker(&["rm", "--force", "--volumes", container])
        .text();
    for network in ["front", "back"] {
        world
            .docker(&["network", "rm", &world.name(network)])
            .text();
    }
    world.docker(&["volume", "rm", &world.name("data")]).text();
}

#[test]
fn a_standalone_container_comes_back_with_all_that_it_had() {
    let world = World::new();
    world.init();
    let name = rich_container(&world);
    let before = comparable(&world, &name);
    let anonymous = anonymous_volume(&world, &name);
    back_up(&world, &name);
    remove_all(&world, &name);

    let made = report(&world, &name, &[]);
    assert_eq!(
        world.inspect(&name)["State"]["Status"],
        "created",
        "not started without being asked"
    );
    assert_eq!(made["next_steps"], json!([format!("docker start {name}")]));
    let script = PathBuf::from(made["container_script"].as_str().unwrap());
    let mode = fs::metadata(&script).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&script).unwrap();
    assert!(
        !text.contains("s3cr3t") && text.contains("--env API_TOKEN "),
        "{text}"
    );

    // A second one finds the container and starts it.
    let report = report(&world, &name, &["--up"]);
    assert_eq!(
        (&report["exit_code"], &report["is_up"]),
        (&json!(0), &json!(true)),
        "{report:#}"
    );
    let after = comparable(&world, &name);
    for part in [
        "Config",
        "HostConfig",
        "Networks",
        "Mounts",
        "Path",
        "Args",
        "Image",
        "Name",
    ] {
        assert_eq!(after[part], before[part], "{part}");
    }
    assert_eq!(anonymous_volume(&world, &name), anonymous);
    assert_eq!(
        world.docker(&["exec", &name, "cat", "/anon/seed"]).text(),
        "anonymous"
    );
    assert_eq!(world.inspect(&name)["State"]["Health"]["Status"], "healthy");

    // The script says the same, for the eyes of whoever reads it.
    let addresses = |value: &Value| {
        value["Networks"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    world.docker(&["rm", "--force", &name]).text();
    Run::new("sh")
        .arg(&script)
        .env("PATH", crate::common::path())
        .env("DOCKER_HOST", world.bed.host())
        .env("API_TOKEN", "s3cr3t=1")
        .stdout_any()
        .stderr_any()
        .ok();
    let by_hand = comparable(&world, &name);
    // It names the anonymous volume, and stays in the background; Docker's client has no order of variables.
    let config = |value: &Value| {
        let mut config = value["Config"].clone();
        let variables = config["Env"].as_array_mut().unwrap();
        variables.sort_by_key(Value::to_string);
        for key in ["Volumes", "AttachStdout", "AttachStderr"] {
            config[key].take();
        }
        config
    };
    assert_eq!(config(&by_hand), config(&before));
    assert_eq!(addresses(&by_hand), addresses(&before));
    for key in [
        "CapAdd",
        "CapDrop",
        "Ulimits",
        "Tmpfs",
        "PortBindings",
        "RestartPolicy",
        "LogConfig",
        "Memory",
        "Sysctls",
        "SecurityOpt",
    ] {
        assert_eq!(
            by_hand["HostConfig"][key], before["HostConfig"][key],
            "{key}"
        );
    }
}

#[test]
fn a_container_whose_secrets_were_not_saved_is_not_made_and_its_data_is_restored() {
    let world = World::new();
    world.init();
    world.config(|config| config["backup"]["include_secrets"] = json!(false));
    let name = world.container("app", |s| {
        s.volume("data", "/data")
            .env("DB_PASSWORD", "x")
            .env("A", "b")
    });
    let data = format!("{}_data", world.id());
    fs::write(world.volume_path(&data).join("seed"), "saved").unwrap();
    back_up(&world, &name);
    world.docker(&["rm", "--force", &name]).text();
    world.docker(&["volume", "rm", &data]).text();

    let refused = world
        .restore_latest(&name, &["--up"])
        .stderr("no value for DB_PASSWORD")
        .stderr("nothing was changed")
        .code(3);
    assert!(refused.stderr().contains("omit `--up`"), "{refused}");
    assert!(
        !world
            .docker(&["volume", "ls", "--quiet"])
            .text()
            .contains(&data)
    );
    let done = world
        .restore_latest(&name, &[])
        .stdout_any()
        .stderr("no value for DB_PASSWORD")
        .code(3);
    assert!(done.stderr().contains("docker-run-"), "{done}");
    assert_eq!(
        fs::read_to_string(world.volume_path(&data).join("seed")).unwrap(),
        "saved"
    );
    assert_ne!(
        world
            .docker(&["container", "inspect", &name])
            .stdout_any()
            .stderr_any()
            .run()
            .code,
        Some(0)
    );
}

#[test]
fn an_image_that_is_another_one_or_missing_is_said_beforehand() {
    let world = World::new();
    world.init();
    let (image, other) = (
        format!("{}:1", world.name("image")),
        format!("{}:2", world.name("image")),
    );
    world.docker(&["tag", IMAGE, &image]).ok();
    let name = world.name("app");
    let label = format!("kopi-docka-test={}", world.id());
    let volume = format!("{}:/data", world.volume("data", |v| v));
    world
        .docker(&[
            "run",
            "-d",
            "--name",
            &name,
            "--label",
            &label,
            "--network",
            "none",
            "-v",
            &volume,
            &image,
        ])
        .text();
    back_up(&world, &name);
    let state = || plan(&world, &name)["rebuild"]["images"][0].take();
    assert_eq!(state()["state"], "same");

    world.docker(&["commit", &name, &other]).text();
    world.docker(&["tag", &other, &image]).ok();
    assert_eq!(state()["state"], "different");
    world
        .kd(&[
            "restore",
            "--dry-run",
            "--unit",
            &name,
            "--backup-id",
            "latest",
        ])
        .stdout("another one is here")
        .stderr(format!(
            "image `{image}` is another one here than the saved one"
        ))
        .stderr("docker tag sha256:")
        .ok();
    world.docker(&["rm", "--force", &name]).text();
    world.docker(&["rmi", &image, &other]).text();
    let missing = state();
    assert_eq!(missing["state"], "missing");
    assert!(
        missing["remedy"]
            .as_str()
            .unwrap()
            .starts_with("`docker tag sha256:"),
        "{missing}"
    );
    // The image is here under another name: that is fixed by itself.
    world.restore_latest(&name, &["--up"]).stdout_any().ok();
    assert_eq!(world.inspect(&name)["State"]["Status"], "running");
    world.docker(&["rm", "--force", &name]).text();
    world.docker(&["rmi", &image]).text();
}

#[test]
fn what_others_have_is_refused_with_up_and_warned_about_without() {
    let world = World::new();
    world.init();
    let name = world.container("web", |s| {
        s.volume("data", "/data")
            .arg("--network=bridge")
            .arg("--publish=127.0.0.1:21302:80")
    });
    back_up(&world, &name);
    // Its own port is no conflict.
    assert_eq!(plan(&world, &name)["rebuild"]["conflicts"], json!([]));
    let world_data = format!("{}_data", world.id());
    world.docker(&["rm", "--force", &name]).text();
    world.docker(&["volume", "rm", &world_data]).text();
    let other = world.container("other", |s| {
        s.arg("--network=bridge")
            .arg("--publish=127.0.0.1:21302:80")
    });

    let taken =
        format!("container `{name}` publishes 127.0.0.1:21302/tcp, which container `{other}` has");
    world
        .restore_latest(&name, &["--up"])
        .stderr(&taken)
        .stderr(format!("docker stop {other}"))
        .stderr("nothing was changed")
        .code(3);
    assert!(
        !world
            .docker(&["volume", "ls", "--quiet"])
            .text()
            .contains(&world_data),
        "nothing was changed"
    );
    world
        .restore_latest(&name, &[])
        .stdout_any()
        .stderr(&taken)
        .ok();
    assert_eq!(world.inspect(&name)["State"]["Status"], "created");
    world.docker(&["rm", "--force", &other, &name]).text();

    let _listener = std::net::TcpListener::bind("127.0.0.1:21302").unwrap();
    world
        .restore_latest(&name, &["--up"])
        .stderr("publishes 127.0.0.1:21302/tcp, which process `")
        .code(3);
    drop(_listener);
    let label = format!("kopi-docka-test={}", world.id());
    let project = "com.docker.compose.project=shop";
    world
        .docker(&[
            "create", "--name", &name, "--label", &label, "--label", project, IMAGE,
        ])
        .text();
    world
        .restore_latest(&name, &["--up"])
        .stderr(format!(
            "the name `{name}` is taken by container `{name}` of unit `shop`"
        ))
        .code(3);
}

#[test]
fn a_compose_that_hangs_is_ended_and_one_that_fails_is_quoted() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    fs::write(stack.volume_path("data").join("seed"), "saved").unwrap();
    world.backup(&stack);
    stack.wipe();
    world.config(|config| config["docker"]["compose_timeout"] = json!(1));
    // It has to say its version and to read the files first.
    let knows_compose = |then: &str| {
        format!(
            "[ \"$2\" = version ] && exit; case \" $* \" in *' config '*) exec \"$REAL\" \"$@\" ;; esac; {then}"
        )
    };
    let hangs = knows_compose("echo pulling >&2; sleep 1000 & wait");
    let path = world.stand_in("docker", &hangs);
    let done = world
        .restore_latest(stack.unit(), &["--up"])
        .env("PATH", path)
        .stderr("did not end within 1 s (`docker.compose_timeout`) and was ended")
        .code(3);
    assert!(done.took < Duration::from_secs(60), "{done}");
    world.until_no_process_is_left();
    assert_eq!(
        fs::read_to_string(stack.volume_path("data").join("seed")).unwrap(),
        "saved"
    );

    let fails = knows_compose("echo 'no configuration file provided' >&2; exit 14");
    let path = world.stand_in("docker", &fails);
    world
        .restore_latest(stack.unit(), &["--up"])
        .env("PATH", path)
        .stderr("exited with status 14")
        .stderr("no configuration file provided")
        .code(3);

    // Without the plugin nothing is touched.
    fs::write(stack.volume_path("data").join("seed"), "changed").unwrap();
    let path = world.stand_in("docker", "echo 'unknown command' >&2; exit 1");
    world
        .restore_latest(stack.unit(), &["--up"])
        .env("PATH", path)
        .stderr("`docker compose` is missing")
        .stderr("nothing was changed")
        .stderr_any()
        .code(15);
    assert_eq!(
        fs::read_to_string(stack.volume_path("data").join("seed")).unwrap(),
        "changed"
    );
}

#[test]
fn networks_of_a_restore_that_came_to_nothing_are_removed_again() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .network()
        .up();
    world.backup(&stack);
    let before = network(&world, &format!("{}_default", stack.unit()));
    stack.wipe();
    let is_there = || {
        world
            .docker(&["network", "ls", "--format", "{{.Name}}"])
            .text()
            .contains(stack.unit())
    };
    for (step, is_made) in [
        ("restore_networks", false),
        ("restore_extract", true),
        ("restore_decide", true),
    ] {
        let done = world
            .restore_latest(stack.unit(), &[])
            .stdout_any()
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.signal, Some(9), "{done}");
        assert_eq!(is_there(), is_made, "{step}");
        world.kd(&["--quiet", "recover"]).stdout_any().ok();
        assert!(!is_there(), "{step}");
    }
    world.restore_latest(stack.unit(), &[]).stdout_any().ok();
    assert_eq!(
        network(&world, &format!("{}_default", stack.unit())),
        before
    );
}

#[test]
fn stopped_containers_find_the_network_that_was_made_again() {
    let world = World::new();
    world.init();
    let on = format!("--network={}_default", world.name("web"));
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .arg(&on)
                .arg("--network-alias=base")
        })
        .network()
        .up();
    world.backup(&stack);
    stack.stop("db");
    let name = format!("{}_default", stack.unit());
    world.docker(&["network", "rm", &name]).text();
    let failed = world
        .docker(&["start", &stack.container("db")])
        .stdout_any()
        .stderr_any()
        .run();
    assert_ne!(failed.code, Some(0), "it would not start without");
    world.restore_latest(stack.unit(), &[]).stdout_any().ok();
    stack.start("db");
    let endpoint = stack.inspect("db")["NetworkSettings"]["Networks"][&name].take();
    assert!(
        endpoint["Aliases"].to_string().contains("\"base\""),
        "{endpoint}"
    );
}

#[test]
fn a_network_that_is_another_one_here_is_left_and_told() {
    let world = World::new();
    world.init();
    let label = format!("kopi-docka-test={}", world.id());
    let net = world.name("net");
    let create = |subnet: &str| {
        world
            .docker(&[
                "network", "create", "--label", &label, "--subnet", subnet, &net,
            ])
            .text()
    };
    create("10.213.5.0/24");
    let name = world.container("app", |s| {
        s.volume("data", "/data")
            .arg(&format!("--network={net}"))
            .arg("--ip=10.213.5.7")
    });
    back_up(&world, &name);
    world.docker(&["rm", "--force", &name]).text();
    world.docker(&["network", "rm", &net]).text();
    let id = create("10.213.6.0/24");
    world
        .restore_latest(&name, &["--up"])
        .stderr("needs the address 10.213.5.7")
        .stderr("nothing was changed")
        .code(3);
    let told = world
        .restore_latest(&name, &[])
        .stdout_any()
        .stderr("its subnet is 10.213.6.0/24, not 10.213.5.0/24")
        .run();
    assert!(told.stderr().contains("10.213.5.7"), "{told}");
    assert_eq!(
        world
            .docker(&["network", "inspect", "--format", "{{.Id}}", &net])
            .text(),
        id
    );

    // Another one has the addresses.
    world
        .docker(&["rm", "--force", &name])
        .stdout_any()
        .stderr_any()
        .run();
    world.docker(&["network", "rm", &net]).text();
    let wide = world.name("wide");
    world
        .docker(&[
            "network",
            "create",
            "--label",
            &label,
            "--subnet",
            "10.213.4.0/22",
            &wide,
        ])
        .text();
    world
        .restore_latest(&name, &["--up"])
        .stderr(format!(
            "needs 10.213.5.0/24, which overlaps network `{wide}`"
        ))
        .code(3);
}
