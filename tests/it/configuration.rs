//! A configuration that is wrong is refused with the file, the key and the remedy, and nothing else happens.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::common::World;

const CONFIG: i32 = 16;

/// Runs what needs a configuration and expects it to be refused with every text in `says`.
#[track_caller]
fn refused(world: &World, says: &[&str]) {
    for command in [
        &["show-config"][..],
        &["backup", "--unit", "x"],
        &["list", "--units"],
        &["init"],
    ] {
        let mut run = world.kd(command);
        for text in says {
            run = run.stderr(*text);
        }
        run.code(CONFIG);
    }
    assert!(!world.path("repo").exists(), "nothing is made");
}

#[test]
fn broken_json_is_refused_with_line_and_column() {
    let world = World::new();
    fs::write(world.config_path(), "{\n  \"kopia\": {,}\n}").unwrap();
    refused(
        &world,
        &[world.config_path().to_str().unwrap(), "line 2", "column"],
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_path_and_what_was_expected() {
    for (section, key, value, expected) in [
        (
            "backup",
            "stop_timeout",
            serde_json::json!("soon"),
            "backup.stop_timeout",
        ),
        (
            "backup",
            "stop_timeout",
            serde_json::json!(0),
            "backup.stop_timeout",
        ),
        (
            "backup",
            "parallel_workers",
            serde_json::json!(-1),
            "backup.parallel_workers",
        ),
        (
            "backup",
            "shared_volumes",
            serde_json::json!("maybe"),
            "backup.shared_volumes",
        ),
        (
            "docker",
            "socket",
            serde_json::json!("relative.sock"),
            "docker.socket",
        ),
        (
            "kopia",
            "kopia_params",
            serde_json::json!("floppy --path /a"),
            "must be one of filesystem",
        ),
    ] {
        let world = World::new();
        world.config(|config| config[section][key] = value.clone());
        refused(&world, &[expected, world.config_path().to_str().unwrap()]);
    }
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let world = World::new();
    fs::set_permissions(world.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
    refused(
        &world,
        &[&format!("chmod 600 {}", world.config_path().display())],
    );
    fs::set_permissions(world.config_path(), fs::Permissions::from_mode(0o600)).unwrap();
    world.kd(&["show-config"]).stdout_any().ok();
}

#[test]
fn a_missing_file_is_refused_and_no_other_one_is_taken() {
    let world = World::new();
    fs::remove_file(world.config_path()).unwrap();
    refused(&world, &[world.config_path().to_str().unwrap()]);
}

#[test]
fn an_unknown_key_is_a_warning_and_secrets_are_masked() {
    let world = World::new();
    world.config(|config| config["backup"]["stop_timout"] = 5.into());
    let done = world
        .kd(&["show-config"])
        .stdout("\"stop_timeout\"")
        .stderr("backup.stop_timout")
        .ok();
    assert!(
        !done.stdout().contains(crate::common::PASSWORD),
        "{}",
        done.stdout()
    );
}

#[test]
fn a_password_file_is_read_and_its_permissions_are_checked() {
    let world = World::new();
    let file = world.path("password");
    fs::write(&file, "another password\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    world.config(|config| {
        config["kopia"]["password"] = serde_json::Value::Null;
        config["kopia"]["password_file"] = file.to_str().unwrap().into();
    });
    world.kd(&["init"]).stdout("Created").ok();
    world.kd(&["repo-status"]).stdout("Unique id").ok();
    fs::write(&file, "a wrong password\n").unwrap();
    world
        .kd(&["repo-status"])
        .stderr("refused the password")
        .code(12);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    world.kd(&["repo-status"]).stderr("chmod 600").code(CONFIG);
}

#[test]
fn the_placeholder_password_makes_no_repository() {
    let world = World::new();
    world.config(|config| config["kopia"]["password"] = "CHANGE_ME_TO_A_SECURE_PASSWORD".into());
    world.kd(&["init"]).stderr("kopia.password").code(CONFIG);
    assert!(!world.path("repo").exists());
}

#[test]
fn version_and_help_need_no_configuration() {
    let world = World::new();
    fs::remove_file(world.config_path()).unwrap();
    world.kd(&["version"]).stdout("kopi-docka").ok();
    world.kd(&["--help"]).stdout("Exit codes").ok();
    world
        .kd(&["restore", "--unti", "x"])
        .stderr("--unti")
        .code(2);
}
