//! `write-units`: what systemd is given, and that it is content with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::common::schema::assert_schema;
use crate::common::{Run, World, path};
use serde_json::Value;

const SERVICES: [&str; 8] = [
    "kopi-docka.service",
    "kopi-docka-backup.service",
    "kopi-docka-recover.service",
    "kopi-docka-recover-boot.service",
    "kopi-docka-clean.service",
    "kopi-docka-retry.service",
    "kopi-docka-notify.service",
    "kopi-docka-drill.service",
];

fn write_units(world: &World, folder: &Path) -> Run {
    world
        .kd(&["write-units", "--output-dir"])
        .arg(folder)
        .args(["--program", "/usr/bin/true"])
}

fn unit(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

fn states(document: &Value) -> Vec<&str> {
    let units = document["units"].as_array().unwrap().iter();
    units.map(|unit| unit["state"].as_str().unwrap()).collect()
}

#[test]
fn writing_twice_changes_nothing_and_a_changed_configuration_is_shown() {
    let world = World::new();
    let folder = world.path("units");
    let first = write_units(&world, &folder).arg("--json").json();
    assert_schema("write-units", &first);
    assert_eq!(states(&first), ["new"; 12]);
    let mode = fs::metadata(folder.join("kopi-docka.timer")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o644);
    let second = write_units(&world, &folder).arg("--json").json();
    assert_eq!(states(&second), ["same"; 12]);

    let drop_in = folder.join("kopi-docka.timer.d/override.conf");
    fs::create_dir(drop_in.parent().unwrap()).unwrap();
    fs::write(&drop_in, "[Timer]\n").unwrap();
    let other = world.path("my 100% backup");
    world.config(|c| c["backup"]["base_path"] = other.to_str().unwrap().into());
    let line = format!("\"-{}\"", other.display().to_string().replace('%', "%%"));
    write_units(&world, &folder)
        .stdout(format!("+ ReadWritePaths={line}"))
        .stdout(format!(
            "- ReadWritePaths=-{}",
            world.path("backup").display()
        ))
        .stdout("kopi-docka.timer: unchanged")
        .stdout(format!("kept: {}", drop_in.display()))
        .ok();
    assert!(unit(&folder, SERVICES[1]).contains(&line));
    assert_eq!(fs::read_to_string(&drop_in).unwrap(), "[Timer]\n");
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_str().unwrap().starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_masked_unit_stays_masked() {
    let world = World::new();
    let folder = world.dir("units");
    let masked = folder.join("kopi-docka.timer");
    std::os::unix::fs::symlink("/dev/null", &masked).unwrap();
    write_units(&world, &folder)
        .stderr("the unit is masked")
        .stderr("systemctl unmask kopi-docka.timer")
        .code(2);
    assert!(masked.is_symlink());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn a_packager_needs_no_configuration() {
    let world = World::new();
    let folder = world.path("units");
    Run::new(env!("CARGO_BIN_EXE_kopi-docka"))
        .args([
            "write-units",
            "--program",
            "/usr/bin/kopi-docka",
            "--output-dir",
        ])
        .arg(&folder)
        .env("HOME", world.path("home"))
        .stdout_any()
        .ok();
    let text = unit(&folder, SERVICES[0]);
    assert!(
        text.contains("ExecStart=:/usr/bin/kopi-docka --config /etc/kopi-docka.json daemon"),
        "{text}"
    );
}

/// The same under a real systemd is another test's; here it is seen as soon as a template is changed.
#[test]
fn systemd_finds_no_fault_and_little_exposure() {
    if !std::env::split_paths(&path()).any(|folder| folder.join("systemd-analyze").is_file()) {
        return;
    }
    let world = World::new();
    world.config(|c| {
        c["backup"]["base_path"] = "/srv/it's a 100% \\ path".into();
        c["kopia"]["kopia_params"] = "sftp --path=/r --host=h --username=u".into();
    });
    let folder = world.path("units");
    write_units(&world, &folder).stdout_any().ok();
    let files = fs::read_dir(&folder).unwrap();
    Run::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(files.map(|entry| entry.unwrap().path()))
        .env("PATH", path())
        .ok();
    // 0.2 of it is for setpriority and its like: while services are down, what stores yields to what reads; another 0.2 for a look at
    // what containers have mounted, so that none is stopped that could not come back.
    for (name, most) in SERVICES.iter().zip(["24", "24", "15", "17", "20", "21"]) {
        Run::new("systemd-analyze")
            .args([
                "security",
                "--offline=true",
                "--no-pager",
                "--threshold",
                most,
            ])
            .arg(folder.join(name))
            .env("PATH", path())
            .stdout_any()
            .ok();
    }
}
