//! Containers of other units that a stop would hurt: those that live in the network of one that is stopped, and that serve the repository.

use crate::common::{Service, World};

/// `vpn` and what lives in its network, each a unit of its own.
fn vpn(world: &World) -> (String, String) {
    let vpn = world.container("vpn", |s| s.volume("tunnel", "/tunnel"));
    let client = world.container("client", |s| {
        s.arg("--network").arg(&format!("container:{vpn}"))
    });
    (vpn, client)
}

#[test]
fn who_lives_in_the_network_of_a_stopped_container_is_stopped_before_it_and_started_after_it() {
    let world = World::new();
    let (vpn, client) = vpn(&world);
    world.init();
    let started_at = |name: &str| world.inspect(name)["State"]["StartedAt"].clone();
    let before = started_at(&client);
    let watch = world.watch();
    world
        .kd(&["--quiet", "backup", "--unit", &vpn])
        .stderr("lives in the network")
        .ok();
    let events = watch.events();
    assert_eq!(events.order("die"), [&client, &vpn], "{events}");
    assert_eq!(events.order("start"), [&vpn, &client], "{events}");
    assert_ne!(started_at(&client), before);
    assert_eq!(world.report()["units"][0]["grade"], "ok");
}

#[test]
fn a_restore_takes_the_neighbours_along_as_well() {
    let world = World::new();
    let (vpn, client) = vpn(&world);
    world.init();
    world
        .kd(&["--quiet", "backup", "--unit", &vpn])
        .stderr_any()
        .ok();
    let watch = world.watch();
    world
        .kd(&[
            "--quiet",
            "restore",
            "--unit",
            &vpn,
            "--backup-id",
            "latest",
            "--yes",
        ])
        .stdout_any()
        .stderr_any()
        .ok();
    let events = watch.events();
    assert_eq!(events.order("start"), [&vpn, &client], "{events}");
}

#[test]
fn a_member_that_needs_a_neighbour_which_shares_its_data_starts_after_it() {
    let world = World::new();
    let shared = world.volume("shared", |v| v);
    let vpn = world.container("vpn", |s| s.external(&shared, "/shared"));
    let app = world.container("app", |s| {
        s.external(&shared, "/shared")
            .arg("--network")
            .arg(&format!("container:{vpn}"))
    });
    world.config(|c| c["backup"]["start_timeout"] = 5.into());
    world.init();
    let watch = world.watch();
    world
        .kd(&["--quiet", "backup", "--unit", &app])
        .stderr_any()
        .ok();
    let events = watch.events();
    assert_eq!(events.order("die"), [&app, &vpn], "{events}");
    assert_eq!(events.order("start"), [&vpn, &app], "{events}");
}

#[test]
fn a_container_that_wants_to_run_on_does_where_it_cannot_write() {
    let world = World::new();
    let stays = |s: Service| s.label("kopi-docka.stop", "false");
    let db = format!("container:{}-shop-db-1", world.id());
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("proxy", stays)
        .service("reader", |s| stays(s).volume("data", "/data:ro"))
        .service("writer", |s| stays(s).volume("data", "/data"))
        .service("joined", |s| stays(s).arg("--network").arg(&db))
        .up();
    world.init();
    let watch = world.watch();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stderr_any()
        .ok();
    let report = world.report();
    let events = watch.events();
    let mut stopped = events.order("die");
    stopped.sort_unstable();
    assert_eq!(stopped, ["db", "joined", "writer"], "{events}");
    let unit = &report["units"][0];
    assert_eq!(
        (&unit["outcome"], &unit["grade"]),
        (&"saved".into(), &"ok".into())
    );
    let warnings = unit["warnings"].as_array().unwrap();
    let of = |name: &str, why: &str| {
        let name = format!("`{}`", stack.container(name));
        let is_it = |text: &serde_json::Value| {
            let text = text.as_str().unwrap();
            text.contains(&name) && text.contains("stopped all the same") && text.contains(why)
        };
        warnings.iter().any(is_it)
    };
    assert!(of("writer", "can write to volume"), "{unit:#}");
    assert!(of("joined", "shares a network"), "{unit:#}");
    assert!(!of("proxy", "") && !of("reader", ""), "{unit:#}");
    stack.assert_running(&["db", "proxy", "reader", "writer", "joined"]);
}
