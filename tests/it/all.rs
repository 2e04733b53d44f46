//! Every unit of a host, with one plan and one question.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::common::schema::assert_schema;
use crate::common::{Bed, IMAGE, Stack, World};

/// A host with two stacks that share a volume, a container in another one's network, and a unit whose point has lost its data.
struct Host {
    world: World,
    web: Stack,
    api: Stack,
    shared: String,
    vpn: String,
    torrent: String,
    lost: String,
}

fn back_up(world: &World, unit: &str) {
    world
        .kd(&["--quiet", "backup", "--unit", unit])
        .stdout_any()
        .stderr_any()
        .run();
}

fn container(world: &World, name: &str, options: &[&str]) -> String {
    let (name, label) = (world.name(name), format!("kopi-docka-test={}", world.id()));
    world
        .docker(&["run", "--detach", "--name", &name, "--label", &label])
        .args(options)
        .arg(IMAGE)
        .text();
    name
}

impl Host {
    fn start(bed: &Bed) -> Self {
        let world = World::on(bed);
        world.init();
        let shared = world.volume("shared", |v| v);
        let stack = |name: &str| {
            world
                .stack(name)
                .service("db", |s| {
                    s.volume("data", "/data").external(&shared, "/shared")
                })
                .network()
                .up_with_compose()
        };
        let (web, api) = (stack("web"), stack("api"));
        let vpn = container(&world, "zvpn", &["--network", "bridge"]);
        let beside = format!("container:{vpn}");
        let data = format!("{}:/data", world.volume("torrents", |v| v));
        let torrent = container(
            &world,
            "torrent",
            &["--network", &beside, "--volume", &data],
        );
        let data = format!("{}:/data", world.volume("gone", |v| v));
        let lost = container(&world, "lost", &["--network", "none", "--volume", &data]);
        Self {
            world,
            web,
            api,
            shared,
            vpn,
            torrent,
            lost,
        }
    }

    fn volumes(&self) -> [String; 4] {
        [
            self.web.volume("data"),
            self.api.volume("data"),
            self.shared.clone(),
            self.world.name("torrents"),
        ]
    }

    fn write(&self, text: &str) {
        for volume in self.volumes() {
            fs::write(self.world.volume_path(&volume).join("seed"), text).unwrap();
        }
    }

    fn seen(&self) -> Vec<String> {
        let read =
            |volume: &String| fs::read_to_string(self.world.volume_path(volume).join("seed"));
        self.volumes()
            .iter()
            .map(|volume| read(volume).unwrap())
            .collect()
    }

    /// As on a new machine.
    fn wipe(&self) {
        self.web.wipe();
        self.api.wipe();
        self.world
            .docker(&[
                "rm",
                "--force",
                "--volumes",
                &self.vpn,
                &self.torrent,
                &self.lost,
            ])
            .text();
        let volumes = [
            &self.shared,
            &self.world.name("torrents"),
            &self.world.name("gone"),
        ];
        self.world.docker(&["volume", "rm"]).args(volumes).text();
    }

    /// Takes the data of `lost` out of the repository.
    fn lose(&self) {
        let list = self
            .world
            .kopia(&["snapshot", "list", "--all", "--json"])
            .json();
        let of_lost = list.as_array().unwrap().iter().filter(|snapshot| {
            snapshot["tags"]["tag:unit"] == json!(self.lost)
                && snapshot["tags"]["tag:type"] != "recipe"
        });
        for snapshot in of_lost {
            let id = snapshot["id"].as_str().unwrap();
            self.world
                .kopia(&["snapshot", "delete", "--delete", id])
                .stdout_any()
                .stderr_any()
                .ok();
        }
    }
}

fn names(values: &Value) -> Vec<&str> {
    let values = values.as_array().unwrap().iter();
    values
        .map(|value| value["unit"].as_str().unwrap())
        .collect()
}

#[test]
fn every_unit_comes_back_with_one_question_and_one_that_cannot_keeps_no_other() {
    let engine = Bed::own_engine();
    let host = Host::start(&engine);
    let world = &host.world;
    host.write("saved");
    let units = [host.web.unit(), &host.vpn, &host.torrent, &host.lost];
    for unit in units {
        back_up(world, unit);
    }
    // What two units have is taken from the newer point.
    fs::write(world.volume_path(&host.shared).join("seed"), "newer").unwrap();
    back_up(world, host.api.unit());
    host.lose();
    host.wipe();

    let plan = world
        .kd(&["--json", "restore", "--all", "--up", "--dry-run"])
        .stdout_any()
        .stderr_any()
        .code(4);
    let plan = plan.json();
    assert_schema("restore-all-dry-run", &plan);
    let order = names(&plan["plans"]);
    let place = |unit: &str| order.iter().position(|name| *name == unit).unwrap();
    assert_eq!(order.len(), 4, "{order:?}");
    assert!(place(&host.vpn) < place(&host.torrent), "{order:?}");
    assert!(place(host.api.unit()) < place(host.web.unit()), "{order:?}");
    assert_eq!(names(&plan["refused"]), [&host.lost]);
    let volumes = world.docker(&["volume", "ls", "--quiet"]).text();
    assert_eq!(volumes, "", "nothing was changed");

    let line = ["--json", "restore", "--all", "--yes", "--up"];
    let done = world.kd(&line).stdout_any().stderr_any().code(4);
    let events = done.json_lines();
    for event in &events {
        assert_schema("restore-event", event);
    }
    let last = events.last().unwrap();
    assert_eq!(last["event"], "restore_all_finished");
    let units: BTreeMap<&str, (bool, bool)> = last["units"]
        .as_array()
        .unwrap()
        .iter()
        .map(|unit| {
            let is = |key: &str| unit[key].as_bool().unwrap();
            (
                unit["unit"].as_str().unwrap(),
                (is("is_restored"), is("is_up")),
            )
        })
        .collect();
    let mut expected = BTreeMap::from([(&*host.lost, (false, false))]);
    for unit in [host.web.unit(), host.api.unit(), &host.vpn, &host.torrent] {
        expected.insert(unit, (true, true));
    }
    assert_eq!(units, expected, "{done}");
    assert_eq!(host.seen(), ["saved", "saved", "newer", "saved"]);
    for container in [
        &host.web.container("db"),
        &host.api.container("db"),
        &host.vpn,
        &host.torrent,
    ] {
        assert_eq!(world.inspect(container)["State"]["Status"], "running");
    }

    // In place, with what runs; without what was left out by name.
    host.write("changed");
    let args = [
        "restore",
        "--all",
        "--yes",
        "--except",
        &host.lost,
        "--except",
        host.web.unit(),
    ];
    world
        .kd(&args)
        .stdout(format!("`{}`: restored from ", host.api.unit()))
        .stdout("`kopi-docka restore --list-safety` shows it")
        .stderr_any()
        .ok();
    assert_eq!(host.seen(), ["changed", "saved", "newer", "saved"]);
}

#[test]
fn all_of_another_host_is_asked_for_by_its_name() {
    let world = World::new();
    world.init();
    let name = world.container("one", |s| s.volume("data", "/data"));
    let file = world
        .volume_path(&format!("{}_data", world.id()))
        .join("seed");
    fs::write(&file, "saved").unwrap();
    back_up(&world, &name);
    fs::write(&file, "changed").unwrap();
    let point = world.points()["points"][0].take();
    let host = point["identity"]
        .as_str()
        .unwrap()
        .split_once('@')
        .unwrap()
        .1;
    world
        .kd(&["--quiet", "init"])
        .stdout_any()
        .stderr_any()
        .ok();
    world
        .kd(&["restore", "--all", "--yes", "--host", "nowhere"])
        .stderr("no restore points made by host `nowhere`")
        .stderr(format!("`kopi-docka restore --all --host {host}`"))
        .code(4);
    world
        .kd(&[
            "restore",
            "--all",
            "--yes",
            "--host",
            host,
            "--before",
            "2020-01-01",
        ])
        .stderr("no whole restore point of before 2020-01-01")
        .stdout(format!("`{name}`: not restored"))
        .stderr_any()
        .code(4);
    assert_eq!(fs::read_to_string(&file).unwrap(), "changed");
    world
        .kd(&["--quiet", "restore", "--all", "--yes", "--host", host])
        .stderr_any()
        .ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "saved");
}

#[test]
fn the_newest_point_before_a_time_is_taken() {
    let world = World::new();
    world.init();
    let name = world.container("one", |s| s.volume("data", "/data"));
    let file = world
        .volume_path(&format!("{}_data", world.id()))
        .join("seed");
    let mut ids = Vec::new();
    for text in ["first", "second", "third"] {
        fs::write(&file, text).unwrap();
        back_up(&world, &name);
        let newest = world.points()["points"][0]["backup_id"].take();
        ids.push(newest.as_str().unwrap().to_owned());
    }
    let restore = |time: &str| {
        let args = [
            "--quiet", "restore", "--yes", "--unit", &name, "--before", time,
        ];
        world.kd(&args).stderr_any().run()
    };
    // An id is a time; not the point of that very time.
    assert_eq!(restore(&ids[2]).code, Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), "second");
    assert_eq!(restore(&ids[1]).code, Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), "first");
    assert_eq!(restore("2100-01-01").code, Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), "third");
    let none = restore(&ids[0]);
    assert_eq!(none.code, Some(4), "{none}");
    let wrong = restore("yesterday");
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert!(wrong.stderr().contains("2026-01-31 14:30"), "{wrong}");
}
