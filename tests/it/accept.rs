//! What was made again is taken by Docker and Compose as it is: the oldest pair that is supported, and the newest that can be had.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Bed, IMAGE, Stack, World};

fn restore(world: &World, unit: &str, more: &[&str]) -> Value {
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
    let last = done.json_lines().pop().unwrap_or_else(|| panic!("{done}"));
    assert_eq!(last["event"], "restore_finished", "{done}");
    last["report"].clone()
}

fn back_up(world: &World, unit: &str) {
    world
        .kd(&["--quiet", "backup", "--unit", unit])
        .stdout_any()
        .stderr_any()
        .run();
}

/// An image that exposes a port and has a volume, as those of most services do.
fn service_image(world: &World) -> String {
    let (name, image) = (world.name("maker"), format!("{}:1", world.name("service")));
    world.docker(&["create", "--name", &name, IMAGE]).text();
    world
        .docker(&[
            "commit",
            "--change",
            "EXPOSE 8080",
            "--change",
            "VOLUME /data",
            &name,
            &image,
        ])
        .text();
    world.docker(&["rm", &name]).text();
    image
}

fn run(world: &World, name: &str, image: &str, options: &[&str]) -> String {
    let (name, label) = (world.name(name), format!("kopi-docka-test={}", world.id()));
    world
        .docker(&["run", "--detach", "--name", &name, "--label", &label])
        .args(options)
        .arg(image)
        .stderr_any()
        .text();
    name
}

/// Beside another one's network, in the host's, linked, mounted with a slash too many: each is made again and runs.
fn containers_of_every_kind_of_network(bed: &Bed) {
    let world = World::on(bed);
    world.init();
    let image = service_image(&world);
    let vpn = run(
        &world,
        "vpn",
        IMAGE,
        &["--network", "bridge", "--expose", "8080"],
    );
    let id = world.inspect(&vpn)["Id"].as_str().unwrap().to_owned();
    let beside = format!("container:{id}");
    let data = format!("{}:/data/", world.volume("data", |v| v));
    let torrent = run(
        &world,
        "torrent",
        &image,
        &["--network", &beside, "--volume", &data],
    );
    let link = format!("{vpn}:base");
    let linked = run(
        &world,
        "linked",
        &image,
        &["--network", "bridge", "--link", &link],
    );
    let host = run(
        &world,
        "host",
        &image,
        &["--network", "host", "--uts", "host"],
    );
    fs::write(world.volume_path(&world.name("data")).join("seed"), "saved").unwrap();
    let units = [&vpn, &torrent, &linked, &host];
    for unit in units {
        back_up(&world, unit);
    }
    world.docker(&["rm", "--force"]).args(units).text();
    // Its name is known, and its id was another one.
    let refused = world.kd(&[
        "--quiet",
        "restore",
        "--yes",
        "--unit",
        &torrent,
        "--backup-id",
        "latest",
        "--up",
    ]);
    refused
        .stderr(format!("it needs container `{vpn}`, which is not here"))
        .stderr("nothing was changed")
        .code(3);
    let refused = world.kd(&[
        "--quiet",
        "restore",
        "--yes",
        "--unit",
        &linked,
        "--backup-id",
        "latest",
        "--up",
    ]);
    refused
        .stderr(format!("it needs container `{vpn}`, which is not here"))
        .code(3);
    for unit in units {
        let report = restore(&world, unit, &["--up"]);
        assert_eq!(
            (&report["exit_code"], &report["is_up"]),
            (&json!(0), &json!(true)),
            "{unit}: {report:#}"
        );
        assert_eq!(world.inspect(unit)["State"]["Status"], "running");
    }
    let mode = world.inspect(&torrent)["HostConfig"]["NetworkMode"].take();
    let new_id = world.inspect(&vpn)["Id"].as_str().unwrap().to_owned();
    assert!(
        [format!("container:{vpn}"), format!("container:{new_id}")]
            .contains(&mode.as_str().unwrap().to_owned()),
        "{mode}"
    );
    assert_eq!(
        world
            .docker(&["exec", &torrent, "cat", "/data/seed"])
            .text(),
        "saved"
    );
    world
        .docker(&["rm", "--force", "--volumes"])
        .args(units)
        .text();
    world.docker(&["rmi", &image]).text();
}

#[test]
fn containers_beside_others_come_back() {
    containers_of_every_kind_of_network(&Bed::shared());
}

#[test]
fn containers_beside_others_come_back_on_the_newest_engine() {
    containers_of_every_kind_of_network(&Bed::own_newer_engine());
}

/// A stack of Compose's own making, with a volume and an anonymous one. What it finds empty it calls fresh.
fn stack(world: &World) -> Stack {
    let script =
        "for f in /data/seed /index/seed; do test -e $f || echo fresh >$f; done; exec /bin/idle";
    world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .anonymous("/index")
                .sh(script)
                .health("grep -qv broken /data/seed")
        })
        .network()
        .up_with_compose()
}

fn anonymous(stack: &Stack) -> String {
    let mounts = stack.inspect("db")["Mounts"].take();
    let mut mounts = mounts.as_array().unwrap().iter();
    let mount = mounts
        .find(|mount| mount["Destination"] == "/index")
        .unwrap();
    mount["Name"].as_str().unwrap().to_owned()
}

fn seed(world: &World, stack: &Stack, text: &str) {
    fs::write(stack.volume_path("data").join("seed"), text).unwrap();
    fs::write(world.volume_path(&anonymous(stack)).join("seed"), text).unwrap();
}

fn seen(world: &World, container: &str) -> String {
    world
        .docker(&["exec", container, "cat", "/data/seed", "/index/seed"])
        .text()
}

fn labels(world: &World, volume: &str) -> Value {
    world.docker(&["volume", "inspect", volume]).json()[0]["Labels"].take()
}

/// Compose would ask whether it may make the volume again, empty; `--yes` would say so.
fn a_copy(bed: &Bed, has_hashes: bool) {
    let world = World::on(bed);
    world.init();
    let stack = stack(&world);
    seed(&world, &stack, "saved");
    let before = labels(&world, &stack.volume("data"));
    assert_eq!(
        before.get("com.docker.compose.config-hash").is_some(),
        has_hashes,
        "{before}"
    );
    back_up(&world, stack.unit());
    seed(&world, &stack, "later");
    let (copy, folder) = (world.name("copy"), world.path("copy"));
    let to = ["--project", &copy, "--target", folder.to_str().unwrap()];
    let report = restore(&world, stack.unit(), &[&to[..], &["--up"]].concat());
    assert_eq!(
        (&report["exit_code"], &report["is_up"], &report["project"]),
        (&json!(0), &json!(true), &json!(copy)),
        "{report:#}"
    );
    let container = format!("{copy}-db-1");
    // The volume without a name is the copy's own, and filled from the point too.
    let data = || seen(&world, &container);
    assert_eq!(data(), "savedsaved");
    assert_eq!(seen(&world, &stack.container("db")), "laterlater");
    let made = labels(&world, &format!("{copy}_data"));
    for passing in [
        "com.docker.compose.config-hash",
        "com.docker.compose.version",
    ] {
        assert_eq!(made.get(passing), None, "{made}");
    }
    let id = world.inspect(&container)["Id"].take();
    let mut up = vec!["compose", "--project-name", &copy, "up", "--detach"];
    if has_hashes {
        up.push("--yes");
    }
    let again = world.docker(&up).directory(&folder).stderr_any().ok();
    assert_eq!(world.inspect(&container)["Id"], id, "{again}");
    assert_eq!(data(), "savedsaved");
    assert!(!again.stderr().contains("match"), "{again}");
    world
        .docker(&["compose", "--project-name", &copy, "down", "--volumes"])
        .directory(&folder)
        .stderr_any()
        .ok();
    let unnamed: String = anonymous(&stack).chars().take(12).collect();
    let own = format!("{copy}_kopi-docka-{unnamed}");
    // A newer Compose has taken it for its own, and removed it.
    world
        .docker(&["volume", "rm", "--force", &own])
        .stdout_any()
        .ok();
}

#[test]
fn compose_takes_the_volumes_of_a_copy_for_its_own() {
    a_copy(&Bed::shared(), false);
}

#[test]
fn the_newest_compose_takes_the_volumes_of_a_copy_for_its_own() {
    a_copy(&Bed::own_newer_engine(), true);
}

#[test]
fn the_health_that_is_waited_for_is_that_of_the_copy() {
    let world = World::new();
    world.init();
    let stack = stack(&world);
    seed(&world, &stack, "broken");
    back_up(&world, stack.unit());
    seed(&world, &stack, "good");
    stack.until_up();
    let (copy, folder) = (world.name("copy"), world.path("copy"));
    let to = [
        "--project",
        &copy,
        "--target",
        folder.to_str().unwrap(),
        "--up",
    ];
    let report = restore(&world, stack.unit(), &to);
    assert_eq!(report["exit_code"], 3, "{report:#}");
    let errors = report["errors"].to_string();
    assert!(errors.contains(&format!("`{copy}-db-1`")), "{errors}");

    // Without the original nothing of the copy is missing either.
    stack.compose(&["down", "--volumes"]).stderr_any().ok();
    let second = world.name("second");
    let folder = world.path("second");
    let to = [
        "--project",
        &second,
        "--target",
        folder.to_str().unwrap(),
        "--up",
    ];
    let done = world
        .kd(&[
            &[
                "restore",
                "--yes",
                "--unit",
                stack.unit(),
                "--backup-id",
                "latest",
            ][..],
            &to,
        ]
        .concat())
        .stdout(format!("`{second}` is started"))
        .stderr_any()
        .code(3);
    assert!(!done.stderr().contains("is not here now"), "{done}");
    for project in [&copy, &second] {
        let filter = format!("label=com.docker.compose.project={project}");
        let ids = world
            .docker(&["ps", "--all", "--quiet", "--filter", &filter])
            .text();
        world
            .docker(&["rm", "--force", "--volumes"])
            .args(ids.lines())
            .text();
        world
            .docker(&["volume", "rm", &format!("{project}_data")])
            .text();
        world
            .docker(&["network", "rm", &format!("{project}_default")])
            .text();
    }
}

/// New containers would get new, empty ones.
fn volumes_without_a_name(bed: &Bed) {
    let world = World::on(bed);
    world.init();
    let stack = stack(&world);
    seed(&world, &stack, "saved");
    let volume = anonymous(&stack);
    back_up(&world, stack.unit());

    // Where a container has it, it is where it was.
    let report = restore(&world, stack.unit(), &[]);
    assert_eq!(report["exit_code"], 0, "{report:#}");
    assert_eq!(anonymous(&stack), volume);
    assert!(!stack.dir().join("compose.override.yaml").exists());

    for is_left_over in [true, false] {
        seed(&world, &stack, "later");
        stack.compose(&["down"]).stderr_any().ok();
        if !is_left_over {
            world
                .docker(&["volume", "rm", &volume, &stack.volume("data")])
                .text();
        }
        let args = [
            "restore",
            "--yes",
            "--up",
            "--unit",
            stack.unit(),
            "--backup-id",
            "latest",
        ];
        world
            .kd(&args)
            .stdout_any()
            .stderr("no container here mounts the unnamed volume of `")
            .stderr("mounts it at `/index` of service `db`")
            .ok();
        assert_eq!(seen(&world, &stack.container("db")), "savedsaved");
        assert_eq!(anonymous(&stack), volume);
    }
    // Where it is known by a file there is nothing to be added by the next one.
    back_up(&world, stack.unit());
    let report = restore(&world, stack.unit(), &[]);
    assert_eq!(report["warnings"], json!([]), "{report:#}");
    world
        .docker(&[
            "compose",
            "--project-name",
            stack.unit(),
            "down",
            "--volumes",
        ])
        .directory(stack.dir())
        .stderr_any()
        .ok();
    world.docker(&["volume", "rm", &volume]).text();
}

#[test]
fn volumes_without_a_name_are_wired_again() {
    volumes_without_a_name(&Bed::shared());
}

#[test]
fn volumes_without_a_name_are_wired_again_for_the_newest_compose() {
    volumes_without_a_name(&Bed::own_newer_engine());
}

#[test]
fn a_shell_in_the_directory_that_was_replaced_is_told_so() {
    let world = World::new();
    world.init();
    let bind = world.dir("bind/sub").parent().unwrap().to_owned();
    let name = world.container("one", |s| s.bind(&bind, "/bind"));
    back_up(&world, &name);
    let args = [
        "--quiet",
        "restore",
        "--yes",
        "--unit",
        &name,
        "--backup-id",
        "latest",
    ];
    for inside in [&bind, &bind.join("sub")] {
        world
            .kd(&args)
            .directory(inside)
            .stderr("This shell is in the directory that was replaced: `cd \"$PWD\"`")
            .ok();
    }
    world
        .kd(&args)
        .directory(world.path("bind").parent().unwrap())
        .ok();
}
