//! Every kind of storage, proven against a real server: a repository is made, another host connects to it, data goes in and comes
//! back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod common;

use std::fs;

use common::{Run, Sshd, World};
use serde_json::json;

const NAME: &str = "a name with a newline\nand ünïcode";

/// Uses the repository of `params` for what it is there for; `with` adds to a run of the program what the storage needs.
fn use_repository(params: &str, with: &dyn Fn(Run) -> Run) -> World {
    let world = World::new();
    let point_at = |world: &World| {
        world.config(|config| config["kopia"]["kopia_params"] = json!(params));
    };
    point_at(&world);
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let data = stack.volume_path("data");
    fs::write(data.join(NAME), "first").unwrap();

    let init = |world: &World| with(world.kd_on("here", &["init", "--json"])).json();
    assert_eq!(init(&world)["result"], "created");
    assert_eq!(init(&world)["result"], "already_connected");
    let backup = world.kd_on("here", &["--quiet", "backup", "--unit", stack.unit()]);
    with(backup).stdout_any().ok();
    stack.assert_running(&["db"]);
    let points = with(world.kd_on("here", &["list", "--snapshots", "--json"])).json();
    assert_eq!(points["points"][0]["state"], "whole", "{points:#}");
    with(world.kd_on("here", &["--quiet", "verify", "--unit", stack.unit()]))
        .stdout_any()
        .ok();

    // Another host, with nothing but the configuration.
    let other = World::new();
    point_at(&other);
    let on_other = |args: &[&str]| with(other.kd_on("elsewhere", args));
    let connected = on_other(&["init", "--json"]).json();
    assert_eq!(connected["result"], "connected");
    assert_eq!(connected["identity"], "kopi-docka@elsewhere");
    fs::write(data.join(NAME), "spoilt").unwrap();
    world
        .docker(&["rm", "--force", &stack.container("db")])
        .text();
    let restore = [
        "--quiet",
        "restore",
        "--yes",
        "--backup-id",
        "latest",
        "--host",
        "here",
        "--unit",
        stack.unit(),
    ];
    on_other(&restore).stdout_any().stderr_any().ok();
    assert_eq!(fs::read_to_string(data.join(NAME)).unwrap(), "first");
    world
}

#[test]
fn sftp_at_another_port_with_a_key_and_host_keys_of_every_type() {
    let sshd = Sshd::start();
    use_repository(&sshd.params("repo"), &|run| run);
}
