//! Refusals that protect, and the ways through them that an operator has to name.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{PASSWORD, Run, Stack, World, mount, mount_ext4, unmount};

const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Without `--quiet`, and with a plan that is only shown.
fn plan(world: &World, unit: &str, more: &[&str]) -> Value {
    let args = ["--json", "restore", "--dry-run", "--backup-id", "latest"];
    let run = world.kd(&args).args(["--unit", unit]).args(more);
    run.stderr_any().json()["plan"].take()
}

/// A stack with a disk that has an ACL on it, which is saved; then the disk is mounted so that it can hold none.
struct WithoutAcls {
    world: World,
    stack: Stack,
    disk: PathBuf,
}

impl WithoutAcls {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let disk = mount_ext4(&world, "disk", 32);
        let data = disk.join("data");
        fs::create_dir(&data).unwrap();
        let stack = world
            .stack("web")
            .service("db", |s| s.bind(&data, "/data"))
            .up();
        fs::write(data.join("file"), "saved").unwrap();
        fs::write(data.join("plain"), "saved").unwrap();
        let acl = Run::new("setfacl").env("PATH", SYSTEM_PATH);
        acl.args(["-m", "u:1234:rwx"]).arg(data.join("file")).ok();
        std::os::unix::fs::chown(data.join("file"), Some(1000), Some(1001)).unwrap();
        world.backup(&stack);
        stack.stop("db");
        unmount(&disk);
        let image = world.path("without.image");
        fs::File::create(&image)
            .unwrap()
            .set_len(128 << 20)
            .unwrap();
        let make = Run::new("mkfs.btrfs").env("PATH", SYSTEM_PATH);
        make.arg("-q").arg(&image).stdout_any().ok();
        let options = ["-o", "loop,noacl", image.to_str().unwrap()];
        mount(&world, "disk", &options);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("plain"), "changed").unwrap();
        Self { world, stack, disk }
    }

    fn has_acl(&self, folder: &Path) -> bool {
        let acl = Run::new("getfacl").env("PATH", SYSTEM_PATH).arg("-cn");
        acl.arg(folder.join("file")).text().contains("1234")
    }
}

#[test]
fn what_a_file_system_cannot_hold_is_refused_or_listed() {
    let without = WithoutAcls::new();
    let (world, unit) = (&without.world, without.stack.unit());
    let data = without.disk.join("data");
    let refused = world
        .restore_latest(unit, &[])
        .stderr("--accept-lost-attributes");
    refused
        .stderr("not everything could be restored as it was")
        .code(3);
    assert_eq!(fs::read_to_string(data.join("plain")).unwrap(), "changed");

    let args = [
        "--json",
        "restore",
        "--yes",
        "--backup-id",
        "latest",
        "--unit",
        unit,
    ];
    let done = world
        .kd(&args)
        .arg("--accept-lost-attributes")
        .stdout_any()
        .stderr_any()
        .code(3);
    let report = done.json_lines().pop().unwrap()["report"].take();
    let loss = &report["losses"][0];
    assert_eq!(
        (report["is_restored"].clone(), loss["count"].clone()),
        (true.into(), 1.into()),
        "{report:#}"
    );
    assert!(
        loss["lost"][0].as_str().unwrap().contains("./file"),
        "{loss}"
    );
    assert_eq!(fs::read_to_string(data.join("plain")).unwrap(), "saved");
    assert_eq!(fs::metadata(data.join("file")).unwrap().uid(), 1000);
    assert!(!without.has_acl(&data));

    let source = data.to_str().unwrap();
    let folder = without.disk.join("out");
    let target = ["--volume", source, "--target", folder.to_str().unwrap()];
    world
        .restore_latest(unit, &target)
        .stderr("--accept-lost-attributes")
        .code(3);
    let done = world
        .restore_latest(unit, &[&target[..], &["--accept-lost-attributes"]].concat())
        .stderr("without what its file system cannot hold: 1 loss")
        .code(3);
    assert!(!done.stderr().contains("stopped"), "{done}");
    let file = folder
        .join("binds")
        .join(source.trim_start_matches('/'))
        .join("file");
    assert_eq!(fs::read_to_string(file).unwrap(), "saved");
    // Where all can be held nothing is lost, and nothing is said.
    let fine = world.path("fine");
    let fine = [
        "--volume",
        source,
        "--target",
        fine.to_str().unwrap(),
        "--accept-lost-attributes",
    ];
    world.restore_latest(unit, &fine).ok();
}

#[test]
fn a_script_goes_on_without_attributes_only_when_it_was_written_so() {
    let without = WithoutAcls::new();
    let world = &without.world;
    let data = without.disk.join("data");
    let write = |name: &str, more: &[&str]| -> PathBuf {
        let folder = world.path(name);
        let args = [
            "--quiet",
            "restore",
            "--backup-id",
            "latest",
            "--unit",
            without.stack.unit(),
        ];
        world
            .kd(&args)
            .arg("--scripts")
            .arg(&folder)
            .args(more)
            .ok();
        let mut entries = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .find(|path| path.extension().is_some_and(|e| e == "sh"))
            .unwrap()
    };
    let sh = |script: &Path| {
        let run = Run::new("sh")
            .arg(script)
            .arg("-y")
            .env("PATH", std::env::var_os("PATH").unwrap());
        run.env("HOME", world.path("home"))
            .env("DOCKER_HOST", world.bed.host())
            .env("KOPIA_PASSWORD", PASSWORD)
            .env("TMPDIR", world.dir("tmp"))
    };
    let strict = write("strict", &[]);
    sh(&strict)
        .stderr("not everything could be restored as it was")
        .code(1);
    assert_eq!(fs::read_to_string(data.join("plain")).unwrap(), "changed");
    let lax = write("lax", &["--accept-lost-attributes"]);
    sh(&lax)
        .stderr("since the file system cannot hold it")
        .stderr("'./file'")
        .code(3);
    assert_eq!(fs::read_to_string(data.join("plain")).unwrap(), "saved");
}

/// A container with a bind mount that has power by its name: not a place that anything of this machine is run from.
fn hidden(world: &World, label: Option<&str>) -> (String, PathBuf) {
    let folder = world.dir("homes/me/.config/sync");
    fs::write(folder.join("file"), "saved").unwrap();
    let path = folder.to_str().unwrap().to_owned();
    let name = world.container("sync", |s| {
        let s = s.bind(&folder, "/config");
        match label {
            Some(label) => s.label(label, &path),
            None => s,
        }
    });
    let backup = world.kd(&["--quiet", "backup", "--unit", &name]);
    backup.stdout_any().stderr_any().ok();
    fs::write(folder.join("file"), "changed").unwrap();
    (name, folder)
}

fn read(folder: &Path) -> String {
    fs::read_to_string(folder.join("file")).unwrap_or_else(|_| "nothing".to_owned())
}

#[test]
fn a_place_with_power_needs_a_container_or_the_operator() {
    let world = World::new();
    world.init();
    let (unit, folder) = hidden(&world, None);
    let path = folder.to_str().unwrap();
    let consent = |more: &[&str]| plan(&world, &unit, more)["powers"][0]["consent"].clone();
    assert_eq!(consent(&[]), "container");
    world.restore_latest(&unit, &[]).stderr_any().ok();
    assert_eq!(read(&folder), "saved");

    world.docker(&["rm", "--force", &unit]).text();
    fs::write(folder.join("file"), "changed").unwrap();
    for more in [&[][..], &["--allow-path", "/srv"], &["--volume", path]] {
        let refused = world
            .restore_latest(&unit, more)
            .stderr("nothing is restored to");
        refused.stderr(format!("--allow-path {path}")).code(3);
    }
    world
        .restore_latest(&unit, &["--allow-path", "homes"])
        .stderr("is not an absolute path")
        .code(2);
    assert_eq!(read(&folder), "changed");
    let above = folder.parent().unwrap().to_str().unwrap();
    assert_eq!(consent(&["--allow-path", above]), "allowed");
    let target = world.path("plain");
    world
        .restore_latest(
            &unit,
            &["--volume", path, "--target", target.to_str().unwrap()],
        )
        .ok();
    let scripts = world.path("scripts");
    let write = |more: &[&str]| {
        let args = [
            "--quiet",
            "restore",
            "--backup-id",
            "latest",
            "--unit",
            &unit,
        ];
        world.kd(&args).arg("--scripts").arg(&scripts).args(more)
    };
    write(&[]).stderr("nothing is restored to").code(3);
    write(&["--allow-path", path])
        .stderr("has power over the host")
        .ok();

    world
        .restore_latest(&unit, &["--allow-path", path])
        .stderr_any()
        .ok();
    assert_eq!(read(&folder), "saved");
}

#[test]
fn on_a_terminal_the_own_host_sees_it_and_another_hosts_choice_is_asked_for() {
    let world = World::new();
    world.init();
    let (unit, folder) = hidden(&world, None);
    world.docker(&["rm", "--force", &unit]).text();
    let args = ["restore", "--backup-id", "latest", "--unit", &unit];
    let mut own = world.kd(&args).terminal();
    own.see("Has power over this host");
    own.see("this host saved it");
    own.see("Restore 1 source of");
    own.press("y");
    own.see("Now start its container");
    own.press("n");
    own.code(0);
    assert_eq!(read(&folder), "saved");

    // The restore has made the container.
    world.docker(&["rm", "--force", &unit]).text();
    fs::write(folder.join("file"), "changed").unwrap();
    let name = world.points()["points"][0]["identity"]
        .as_str()
        .unwrap()
        .to_owned();
    let host = name.split_once('@').unwrap().1.to_owned();
    world.config(|config| config["kopia"]["host"] = "elsewhere".into());
    world
        .kd(&["--quiet", "init"])
        .stdout_any()
        .stderr_any()
        .ok();
    let args = [&args[..], &["--host", &host]].concat();
    let unattended = world.kd(&[&args[..], &["--yes"]].concat());
    unattended
        .stderr("nothing is restored to")
        .stderr_any()
        .code(3);
    for (answer, code, text) in [("n", 5, "changed"), ("y", 0, "saved")] {
        let mut foreign = world.kd(&args).terminal();
        foreign.see("you are asked");
        foreign.see("has power over this host, and another host chose it");
        foreign.press(answer);
        if answer == "y" {
            foreign.see("Restore 1 source of");
            foreign.press("y");
            foreign.see("Now start its container");
            foreign.press("n");
        }
        foreign.code(code);
        assert_eq!(read(&folder), text);
    }
}

#[test]
fn what_was_included_in_the_backup_comes_back_unattended() {
    let world = World::new();
    world.init();
    let (unit, folder) = hidden(&world, Some("kopi-docka.bind.include"));
    world.docker(&["rm", "--force", &unit]).text();
    assert_eq!(plan(&world, &unit, &[])["powers"][0]["consent"], "included");
    world.restore_latest(&unit, &[]).stderr_any().ok();
    assert_eq!(read(&folder), "saved");
}

#[test]
fn a_file_outside_of_its_project_is_put_back_only_by_leave() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let outside = world.path("shared.env");
    fs::write(&outside, "A=saved\n").unwrap();
    let compose = stack.dir().join("compose.yaml");
    let mut file: Value = serde_json::from_slice(&fs::read(&compose).unwrap()).unwrap();
    file["services"]["db"]["env_file"] = outside.to_str().unwrap().into();
    fs::write(&compose, file.to_string()).unwrap();
    world.backup(&stack);
    fs::remove_file(&compose).unwrap();
    // What is as it was saved needs no leave.
    world.restore_latest(stack.unit(), &[]).stderr_any().ok();
    assert!(compose.exists());
    fs::write(&outside, "A=changed\n").unwrap();
    let path = outside.to_str().unwrap();
    world
        .restore_latest(stack.unit(), &[])
        .stderr("is left as it is")
        .stderr("outside of the project's directory")
        .stderr(format!("--allow-path {path}"))
        .ok();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "A=changed\n");
    let plan = plan(&world, stack.unit(), &["--allow-path", path]);
    assert_eq!(plan["powers"][0]["consent"], "allowed", "{plan:#}");
    world
        .restore_latest(stack.unit(), &["--allow-path", path])
        .stderr_any()
        .ok();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "A=saved\n");
}

#[test]
fn a_link_that_is_put_on_the_way_meanwhile_leads_nowhere() {
    for is_disk in [false, true] {
        let world = World::new();
        world.init();
        let data = if is_disk {
            mount_ext4(&world, "data", 16)
        } else {
            world.dir("data")
        };
        let stack = world
            .stack("web")
            .service("db", |s| s.bind(&data, "/data"))
            .up();
        fs::create_dir_all(data.join("sub/dir")).unwrap();
        fs::write(data.join("sub/dir/file"), "saved").unwrap();
        world.backup(&stack);
        let outside = world.dir("outside/dir");
        let files = ["--volume", data.to_str().unwrap(), "--path", "sub/dir/file"];
        for step in ["restore_extract", "restore_sync"] {
            fs::write(data.join("sub/dir/file"), "changed").unwrap();
            fs::write(outside.join("file"), "not theirs").unwrap();
            let held = world.hold(
                step,
                world.restore_latest(stack.unit(), &files).stderr_any(),
            );
            fs::rename(data.join("sub"), data.join("moved")).unwrap();
            std::os::unix::fs::symlink(outside.parent().unwrap(), data.join("sub")).unwrap();
            let done = held.release().wait();
            assert_eq!(done.code, Some(3), "{done}");
            assert!(
                done.stderr().contains("there is a link on the way"),
                "{done}"
            );
            assert_eq!(
                fs::read_to_string(outside.join("file")).unwrap(),
                "not theirs"
            );
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
            assert_eq!(fs::read_dir(outside.parent().unwrap()).unwrap().count(), 1);
            assert_eq!(
                fs::read_to_string(data.join("moved/dir/file")).unwrap(),
                "changed"
            );
            fs::remove_file(data.join("sub")).unwrap();
            fs::rename(data.join("moved"), data.join("sub")).unwrap();
            stack.assert_running(&["db"]);
        }
        world.restore_latest(stack.unit(), &files).stderr_any().ok();
        assert_eq!(
            fs::read_to_string(data.join("sub/dir/file")).unwrap(),
            "saved"
        );
        let undo = ["--quiet", "restore", "--undo", "latest", "--yes"];
        world.kd(&undo).stderr_any().ok();
        assert_eq!(
            fs::read_to_string(data.join("sub/dir/file")).unwrap(),
            "changed"
        );
        let left = [data.as_path(), data.parent().unwrap()].map(|folder| {
            let entries = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            entries
                .filter(|name| name.to_string_lossy().contains("kopi-docka-new"))
                .count()
        });
        assert_eq!(left, [0, 0]);
    }
}

#[test]
fn directories_above_a_bind_mount_come_back_as_they_were() {
    let world = World::new();
    world.init();
    let data = world.dir("parents/me/docker/app");
    for (folder, uid, mode) in [
        ("parents", 1, 0o711),
        ("parents/me", 1000, 0o750),
        ("parents/me/docker", 1000, 0o2775),
    ] {
        std::os::unix::fs::chown(world.path(folder), Some(uid), Some(1001)).unwrap();
        fs::set_permissions(world.path(folder), fs::Permissions::from_mode(mode)).unwrap();
    }
    let unit = world.container("app", |s| s.bind(&data, "/data"));
    fs::write(data.join("file"), "saved").unwrap();
    world
        .kd(&["--quiet", "backup", "--unit", &unit])
        .stdout_any()
        .stderr_any()
        .ok();
    world.docker(&["rm", "--force", &unit]).text();
    fs::remove_dir_all(world.path("parents")).unwrap();
    world.restore_latest(&unit, &[]).stderr_any().ok();
    for (folder, uid, mode) in [
        ("parents", 1, 0o711),
        ("parents/me", 1000, 0o750),
        ("parents/me/docker", 1000, 0o2775),
    ] {
        let found = fs::metadata(world.path(folder)).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (uid, 1001, mode),
            "{folder}"
        );
    }
    assert_eq!(read(&data), "saved");
}

#[test]
fn a_host_of_another_name_is_told_whose_points_there_are() {
    let world = World::new();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    world.backup(&stack);
    let host = world.points()["points"][0]["identity"]
        .as_str()
        .unwrap()
        .to_owned();
    let host = host.split_once('@').unwrap().1.to_owned();
    world.config(|config| config["kopia"]["host"] = "elsewhere".into());
    world
        .kd(&["--quiet", "init"])
        .stdout_any()
        .stderr_any()
        .ok();
    let list = ["list", "--snapshots"];
    world
        .kd(&list)
        .stdout("No restore points of this host")
        .stdout(format!("2 restore points of host `{host}`"))
        .stdout("--all-hosts")
        .stdout("--host HOST")
        .ok();
    let json = world.kd(&[&list[..], &["--json"]].concat()).json();
    assert_eq!(json["other_hosts"][&host], 2, "{json:#}");
    assert_eq!(json["points"].as_array().unwrap().len(), 0);
    let unit = |name: &str, more: &[&str]| world.kd(&[&list[..], &["--unit", name], more].concat());
    unit(stack.unit(), &[])
        .stderr("of this host")
        .stderr(format!("2 restore points of `{host}`"))
        .code(4);
    unit(stack.unit(), &["--all-hosts"])
        .stdout(stack.unit())
        .ok();
    unit("typo", &[])
        .stderr("no restore point of unit `typo`")
        .stderr(stack.unit())
        .code(4);
    unit("typo", &["--all-hosts", "--json"])
        .stdout_any()
        .stderr_any()
        .code(4);
}
