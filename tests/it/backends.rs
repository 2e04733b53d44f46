//! Every kind of storage, proven against a real server: a repository is made, another host connects to it, data goes in and comes
//! back.

use std::fs;

use crate::common::{Azure, Gcs, Run, S3, Sshd, World, s3};
use serde_json::json;

const NAME: &str = "a name with a newline\nand ünïcode";

/// Uses the repository of `params` for what it is there for; `with` adds to a run of the program what the storage needs.
fn use_repository(params: &str, with: &dyn Fn(Run) -> Run) {
    use_spelt_twice(params, params, with);
}

/// As [`use_repository`]; the other host has the same place in other words.
fn use_spelt_twice(params: &str, again: &str, with: &dyn Fn(Run) -> Run) {
    let world = world_at(params);
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
    let other = world_at(again);
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
}

fn world_at(params: &str) -> World {
    let world = World::new();
    world.config(|config| config["kopia"]["kopia_params"] = json!(params));
    world
}

#[test]
fn sftp_at_another_port_with_a_key_and_host_keys_of_every_type() {
    let sshd = Sshd::start();
    let path = sshd.path("store/repo").display().to_string();
    let (port, files) = (sshd.server.port, sshd.files());
    let again = format!("sftp --path root@127.0.0.1:{path} --port={port} {files}");
    use_spelt_twice(&sshd.params("repo"), &again, &|run| run);
}

#[test]
fn a_folder_of_this_host() {
    let place = crate::common::Folder::new("place");
    let path = place.path("repo");
    use_repository(&format!("filesystem --path {}", path.display()), &|run| run);
}

#[test]
fn s3_at_an_endpoint_with_a_ca_of_its_own_a_prefix_and_a_region() {
    let server = S3::start();
    use_repository(&server.params(s3::BUCKET, "hosts/"), &s3::with_keys);
    let names = fs::read_dir(server.bucket(s3::BUCKET)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // The server has its own.
    let names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    assert_eq!(names, ["hosts"]);
}

#[test]
fn azure_with_a_key_from_the_environment() {
    let azure = Azure::start();
    use_repository(&azure.params("hosts/"), &|run| {
        azure.reached_by(run, crate::common::azure::KEY)
    });
}

#[test]
fn google_cloud_storage() {
    let gcs = Gcs::start();
    use_repository(&gcs.params("hosts/"), &|run| gcs.reached_by(run));
}
