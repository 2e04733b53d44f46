//! A restore point comes back in isolation, is looked at, and goes again; the original notices nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::oracle::{Manifest, manifest};
use crate::common::{Bed, Done, Inbox, LABEL, Run, Stack, World};
use serde_json::{Value, json};

/// Every step at which a drill can be killed.
const STEPS: [&str; 8] = [
    "drill-recorded",
    "drill-volumes",
    "drill-restored",
    "drill-created",
    "drill-started",
    "drill-booted",
    "drill-remove",
    "drill-remove-folder",
];

fn drill(world: &World, unit: &str, more: &[&str]) -> Run {
    world
        .kd(&["drill", "--json", "--unit", unit])
        .args(more)
        // A service without a health check is well after ten seconds.
        .env("KOPI_DOCKA_FAULT_STEADY_SECONDS", "1")
}

#[track_caller]
fn report(done: &Done) -> Value {
    done.json()["drill"].clone()
}

/// Ends with 0; its report.
#[track_caller]
fn good(run: Run) -> Value {
    report(&run.stdout_any().ok())
}

/// Ends with 3; its report.
#[track_caller]
fn not_good(run: Run) -> Value {
    let report = report(&run.stdout_any().code(3));
    assert_eq!(report["outcome"], "not_good", "{report:#}");
    report
}

/// Saves `stack`, however well that goes, and drills the point.
#[track_caller]
fn not_good_of_a_new_point(world: &World, stack: &Stack) -> Value {
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .run();
    not_good(drill(world, stack.unit(), &["--backup-id", &newest(world)]))
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// `"`app`: what"`, one each.
fn dropped(report: &Value) -> Vec<String> {
    let list = report["dropped"].as_array().unwrap().iter();
    list.map(|one| {
        let what = one["what"].as_str().unwrap();
        match one["service"].as_str() {
            Some(service) => format!("{service}: {what}"),
            None => what.to_owned(),
        }
    })
    .collect()
}

/// What Docker has of the drills of `unit`: containers, networks, volumes.
fn made(world: &World, unit: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, list) in [
        ("container", &["ls", "--all", "--format", "{{.Names}}"][..]),
        ("network", &["ls", "--format", "{{.Name}}"]),
        ("volume", &["ls", "--format", "{{.Name}}"]),
    ] {
        let listed = world.docker(&[kind]).args(list).text();
        let prefix = format!("{unit}-drill-");
        let ours = listed.lines().filter(|name| name.starts_with(&prefix));
        found.extend(ours.map(|name| format!("{kind} {name}")));
    }
    found
}

#[track_caller]
fn assert_nothing_left(world: &World, unit: &str) {
    assert_eq!(made(world, unit), Vec::<String>::new());
    for folder in ["backup/drills", "state/drilling", "state/drills-kept"] {
        let entries = fs::read_dir(world.path(folder)).into_iter().flatten();
        let left: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Containers and networks of the original, and all of its data.
#[derive(Debug)]
struct Original {
    docker: Value,
    data: Vec<Manifest>,
}

impl Original {
    fn of(world: &World, containers: &[String], networks: &[String], data: &[PathBuf]) -> Self {
        let states = containers.iter().map(|name| {
            let mut inspect = world.inspect(name);
            // Docker has them in no order.
            let mounts = inspect["Mounts"].as_array_mut().unwrap();
            mounts.sort_by_key(|mount| mount["Destination"].to_string());
            // A check that is asked several times a second.
            inspect["State"]["Health"] = Value::Null;
            json!([
                inspect["Id"],
                inspect["State"],
                inspect["RestartCount"],
                inspect["NetworkSettings"],
                inspect["Mounts"]
            ])
        });
        let networks = networks
            .iter()
            .map(|name| world.docker(&["network", "inspect", name]).json());
        Self {
            docker: states.chain(networks).collect(),
            data: data.iter().map(|path| manifest(path)).collect(),
        }
    }

    #[track_caller]
    fn assert_same(&self, other: &Self) {
        assert_eq!(self.docker, other.docker);
        for (one, other) in self.data.iter().zip(&other.data) {
            one.assert_same(other);
        }
    }
}

fn probes(world: &World, unit: &str, probes: Value) {
    world.config(|config| config["backup"]["units"][unit]["drill"]["probes"] = probes);
}

#[test]
fn a_database_comes_back_and_answers_and_nothing_of_it_stays() {
    let image = Bed::shared().postgres_image(15);
    let world = World::new();
    world.init();
    world.config(|config| config["metrics"] = json!({"textfile": world.path("metrics.prom")}));
    let stack = world
        .stack("shop")
        .network()
        .service("db", |s| {
            s.image(&image)
                .volume("data", "/var/lib/postgresql/data")
                .health("pg_isready -U postgres")
        })
        .service("app", |s| s.depends_on("db", "service_healthy"))
        .up();
    let unit = stack.unit();
    let table = "create table t (n int); insert into t values (7)";
    stack
        .exec("db", &["psql", "-U", "postgres", "-qc", table])
        .ok();
    world.backup(&stack);
    stack.until_up();
    probes(
        &world,
        unit,
        json!([
            {"service": "db", "exec": ["pg_isready"], "user": "postgres"},
            {"service": "db", "exec": ["sh", "-c", "test $(psql -U postgres -Atc 'select n from t') = 7"]},
        ]),
    );
    let containers = ["db", "app"].map(|service| stack.container(service));
    let networks = [format!("{unit}_default")];
    let data = [stack.volume_path("data").join("base")];
    // What a database writes by itself now and then is written.
    stack
        .exec("db", &["psql", "-U", "postgres", "-qc", "checkpoint"])
        .ok();
    let before = Original::of(&world, &containers, &networks, &data);
    let watch = world.watch();
    let report = good(drill(&world, unit, &[]));
    watch.events().assert_untouched();
    before.assert_same(&Original::of(&world, &containers, &networks, &data));

    assert_eq!(report["outcome"], "good", "{report:#}");
    let states: Vec<&Value> = report["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["state"])
        .collect();
    assert_eq!(states, ["running", "healthy"]);
    assert!(
        report["probes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|probe| probe["is_good"] == true)
    );
    let parts = ["restore_seconds", "start_seconds", "healthy_seconds"];
    let sum: f64 = parts
        .iter()
        .map(|part| report[part].as_f64().unwrap())
        .sum();
    assert!((report["recovery_seconds"].as_f64().unwrap() - sum).abs() < 0.001);
    assert_nothing_left(&world, unit);

    let points = world.points();
    let point = &points["points"][0];
    assert_eq!(
        (&point["drill_outcome"], &point["drilled_at"]),
        (&json!("good"), &report["finished_at"])
    );
    let listed = world.kd(&["list", "--snapshots"]).text();
    assert!(
        listed.contains("DRILLED") && listed.contains("good"),
        "{listed}"
    );
    let file = world.path(format!(
        "backup/metadata/drill-{}.json",
        report["id"].as_str().unwrap()
    ));
    let written: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(written, report);
    let metrics = fs::read_to_string(world.path("metrics.prom")).unwrap();
    assert!(
        metrics.contains(&format!(
            "kopi_docka_unit_drill_success{{unit=\"{unit}\"}} 1\n"
        )),
        "{metrics}"
    );
    // A later run keeps them.
    world.backup(&stack);
    let metrics = fs::read_to_string(world.path("metrics.prom")).unwrap();
    assert!(
        metrics.contains("kopi_docka_unit_drill_recovery_seconds{"),
        "{metrics}"
    );
    assert_eq!(
        metrics
            .matches("# TYPE kopi_docka_unit_drill_success gauge")
            .count(),
        1
    );
}

/// A stack with every way out of a container, in a compose file.
struct Dangerous<'w> {
    world: &'w World,
    unit: String,
    folder: PathBuf,
    bound: PathBuf,
}

impl<'w> Dangerous<'w> {
    #[track_caller]
    fn up(world: &'w World, bed: &Bed) -> Self {
        let unit = world.name("danger");
        let folder = world.dir("stacks/danger");
        let bound = world.dir("bound");
        fs::create_dir_all(folder.join("site")).unwrap();
        fs::write(folder.join("conf.txt"), "conf\n").unwrap();
        fs::write(folder.join("site/index"), "site\n").unwrap();
        fs::write(bound.join("x"), "bound\n").unwrap();
        let (external, network) = (world.name("ext"), world.name("extnet"));
        let label = format!("{LABEL}={}", world.id());
        world
            .docker(&["volume", "create", "--label", &label, &external])
            .text();
        world
            .docker(&["network", "create", "--label", &label, &network])
            .text();
        let socket = bed.socket.display().to_string();
        // Each writes who it is into everything that it has.
        let script = "test -f /conf.txt && test -f /site/index && test -f /bound/x && grep -q . /etc/hostname.host || exit 9; \
            for at in /data /ext /bound /site; do hostname > $$at/by; done; while :; do sleep 0.1; done";
        let base = json!({"image": "kopi-docka-test:1", "labels": {LABEL: world.id()}, "stop_signal": "KILL"});
        let service = |more: Value| {
            let mut service = base.clone();
            service
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            service
        };
        let idle = ["sh", "-c", "while :; do sleep 0.1; done"];
        let mut web = service(json!({
            "container_name": world.name("website"), "restart": "always", "command": ["sh", "-c", script],
            "networks": {"front": {"ipv4_address": "10.231.77.7"}, "ext": null},
            "volumes": [
                "data:/data", "ext:/ext", "bound:/bound", "./site:/site", "./conf.txt:/conf.txt:ro", "/etc/hostname:/etc/hostname.host:ro",
            ],
            "ports": ["127.0.0.1:28471:80"], "cap_add": ["SYS_NICE"], "extra_hosts": ["db:10.231.77.1"],
        }));
        web["labels"]["traefik.enable"] = "true".into();
        let compose = json!({
            "services": {
                "web": web,
                "seed": service(json!({"command": ["true"], "network_mode": "none"})),
                "hosted": service(json!({
                    "command": idle, "network_mode": "host",
                    "depends_on": {"seed": {"condition": "service_completed_successfully"}},
                })),
                "ruler": service(json!({"command": idle, "network_mode": "none", "volumes": [format!("{socket}:/var/run/docker.sock")]})),
                "device": service(json!({"command": idle, "network_mode": "none", "devices": ["/dev/null:/dev/other"]})),
                "beside": service(json!({"command": idle, "network_mode": "service:device"})),
            },
            "volumes": {
                "data": {}, "ext": {"external": true, "name": external},
                "bound": {"driver_opts": {"type": "none", "o": "bind", "device": bound}},
            },
            "networks": {
                "front": {"ipam": {"config": [{"subnet": "10.231.77.0/24"}]}},
                "ext": {"external": true, "name": network},
            },
        });
        fs::write(folder.join("compose.yaml"), compose.to_string()).unwrap();
        let this = Self {
            world,
            unit,
            folder,
            bound,
        };
        this.compose(&["up", "--detach"]).text();
        this
    }

    fn compose(&self, args: &[&str]) -> Run {
        let file = self.folder.join("compose.yaml").display().to_string();
        self.world
            .docker(&["compose", "--project-name", &self.unit, "--file", &file])
            .args(args)
            .directory(&self.folder)
    }
}

impl Drop for Dangerous<'_> {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--timeout", "0"])
            .stdout_any()
            .stderr_any()
            .run();
    }
}

#[test]
fn a_copy_of_a_dangerous_stack_touches_nothing_but_itself() {
    let bed = Bed::shared();
    let world = World::on(&bed);
    world.init();
    let stack = Dangerous::up(&world, &bed);
    let unit = stack.unit.as_str();
    world
        .kd(&["--quiet", "backup", "--unit", unit])
        .stdout_any()
        .stderr_any()
        .ok();
    let named = |service: &str| format!("{unit}-{service}-1");
    let containers = [
        world.name("website"),
        named("hosted"),
        named("ruler"),
        named("device"),
        named("beside"),
        named("seed"),
    ];
    let networks = [format!("{unit}_front"), world.name("extnet")];
    let volume = |name: &str| world.volume_path(name);
    let data = [
        volume(&format!("{unit}_data")),
        volume(&world.name("ext")),
        stack.bound.clone(),
        stack.folder.clone(),
    ];
    let before = Original::of(&world, &containers, &networks, &data);
    let watch = world.watch();
    let report = good(drill(&world, unit, &["--keep"]));
    assert_eq!(report["outcome"], "partial", "{report:#}");
    let left: Vec<&Value> = report["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| &left["service"])
        .collect();
    assert_eq!(left, ["beside", "device", "ruler"]);
    let states = report["services"].as_array().unwrap().iter();
    let states: Vec<(&str, &str)> = states
        .map(|s| (s["name"].as_str().unwrap(), s["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [("hosted", "running"), ("seed", "done"), ("web", "running")]
    );
    let told = dropped(&report);
    for part in [
        "web: published port 127.0.0.1:28471:80",
        &format!("web: container_name {}", world.name("website")),
        "web: cap_add SYS_NICE",
        "web: ipv4_address 10.231.77.7",
        "web: 2 labels",
        "hosted: the network of the host: it is on one of the drill",
        "external network `ext`: the drill has one of its own in its place",
        "subnet 10.231.77.0/24 of network `front`",
    ] {
        assert!(
            told.iter().any(|what| what == part),
            "{part} is not in {told:#?}"
        );
    }
    // The copy has written into all that it has, and the original has nothing of it.
    let project = report["project"].as_str().unwrap();
    let copy = world.inspect(&format!("{project}-web-1"));
    let host_name = copy["Config"]["Hostname"].as_str().unwrap();
    let drills = world.path("backup/drills").join(project);
    for mount in copy["Mounts"].as_array().unwrap() {
        let source = mount["Source"].as_str().unwrap();
        let is_own = source.starts_with(drills.to_str().unwrap())
            || mount["Name"]
                .as_str()
                .is_some_and(|name| name.starts_with(project));
        assert!(is_own, "{mount:#}");
        if mount["RW"] == true {
            let by = fs::read_to_string(PathBuf::from(source).join("by")).unwrap();
            assert_eq!(by.trim(), host_name);
        }
    }
    let labels = copy["Config"]["Labels"].as_object().unwrap();
    let foreign: Vec<&String> = labels
        .keys()
        .filter(|name| !name.starts_with("com.docker.compose.") && *name != "kopi-docka.drill")
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert_eq!(copy["HostConfig"]["PortBindings"], json!({}));
    for (name, network) in copy["NetworkSettings"]["Networks"].as_object().unwrap() {
        assert!(name.starts_with(project), "{name}");
        assert_ne!(network["IPAddress"], "10.231.77.7");
        let inspect = world.docker(&["network", "inspect", name]).json();
        assert_eq!(inspect[0]["Internal"], true);
    }
    watch.events().assert_untouched();
    before.assert_same(&Original::of(&world, &containers, &networks, &data));

    // It is no unit and no writer, and a backup beside it saves nothing of it.
    let units = world
        .kd(&["list", "--units", "--json"])
        .stdout_any()
        .stderr_any()
        .ok()
        .stdout();
    assert!(!units.contains("-drill-"), "{units}");
    world
        .kd(&["--quiet", "backup", "--unit", unit])
        .stdout_any()
        .stderr_any()
        .ok();
    let run = world.report().to_string();
    assert!(!run.contains("-drill-"), "{run}");
    // What was kept is not what was killed.
    let nothing = world.kd(&["recover"]).text();
    assert!(nothing.contains("Nothing to recover"), "{nothing}");
    assert!(!made(&world, unit).is_empty());
    world
        .kd(&["drill", "--remove", "2"])
        .stderr("no drill with the ID `2` was kept")
        .stderr("hint: there are")
        .code(4);
    let id = report["id"].as_str().unwrap();
    world
        .kd(&["drill", "--remove", id])
        .stdout("Removed: drill")
        .ok();
    assert_nothing_left(&world, unit);
    world
        .kd(&["drill", "--remove"])
        .stdout_is("No drill was kept.\n")
        .ok();
}

#[test]
fn a_container_alone_comes_back_under_a_name_of_its_own() {
    let world = World::new();
    world.init();
    let name = world.container("Cache.1", |s| {
        s.volume("cache", "/cache")
            .anonymous("/more")
            .env("PASSWORD", "hunter2$x")
            .arg("--publish")
            .arg("127.0.0.1:28472:80")
            .sh("test -f /cache/x -a -f /more/y -a \"$PASSWORD\" = 'hunter2$x' || touch /cache/x /more/y; while :; do sleep 0.1; done")
    });
    crate::common::until("its files", Duration::from_secs(20), || {
        world
            .docker(&["exec", &name, "test", "-f", "/more/y"])
            .stderr_any()
            .run()
            .code
            .filter(|code| *code == 0)
    });
    world
        .kd(&["--quiet", "backup", "--unit", &name])
        .stdout_any()
        .stderr_any()
        .ok();
    // Without a service it is for the only one.
    let check = "test -f /cache/x && test -f /more/y && test \"$PASSWORD\" = 'hunter2$x'";
    probes(&world, &name, json!([{"exec": ["sh", "-c", check]}]));
    let report = good(drill(&world, &name, &["--keep"]));
    assert_eq!(report["outcome"], "good", "{report:#}");
    let id = report["id"].as_str().unwrap();
    let copy = world.inspect(&format!("{name}-drill-{id}"));
    assert_eq!(copy["State"]["Running"], true);
    assert_eq!(copy["HostConfig"]["PortBindings"], json!({}));
    assert!(
        dropped(&report).iter().any(|what| what.contains("28472")),
        "{report:#}"
    );
    world.kd(&["drill", "--remove", "--json"]).stdout_any().ok();
    assert_nothing_left(&world, &name);
}

#[test]
fn a_killed_drill_goes_with_recover_wherever_it_was_killed() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .network()
        .service("db", |s| {
            s.volume("data", "/data").bind(world.dir("bind"), "/bind")
        })
        .up();
    world.backup(&stack);
    let watch = world.watch();
    for step in STEPS {
        let killed =
            drill(&world, stack.unit(), &[]).env("KOPI_DOCKA_FAULT", format!("kill@{step}"));
        let killed = killed.stdout_any().stderr_any().run();
        assert_eq!(killed.signal, Some(9), "{step}: {killed}");
        let recovered = world.kd(&["recover", "--json"]).json();
        assert_eq!(recovered["drills_removed"], 1, "{step}");
        assert_nothing_left(&world, stack.unit());
    }
    // The next drill does it too.
    let killed = drill(&world, stack.unit(), &[]).env("KOPI_DOCKA_FAULT", "kill@drill-booted");
    assert_eq!(killed.stdout_any().stderr_any().run().signal, Some(9));
    assert_eq!(good(drill(&world, stack.unit(), &[]))["outcome"], "good");
    assert_nothing_left(&world, stack.unit());
    watch.events().assert_untouched();
}

#[test]
fn a_signal_ends_a_drill_and_everything_of_it_goes() {
    let world = World::new();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let run = drill(&world, stack.unit(), &[]).stdout_any().stderr_any();
    let held = world.hold("drill-started", run);
    assert!(!made(&world, stack.unit()).is_empty());
    held.signal(crate::common::Signal::TERM);
    held.running.code(143);
    assert_nothing_left(&world, stack.unit());
}

#[test]
fn a_drill_gives_way_to_runs_and_never_stands_in_theirs() {
    let world = World::new();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let held = world.hold_backup(&[stack.unit()], "read", |run| run.stdout_any());
    drill(&world, stack.unit(), &[])
        .stderr("another run is at work")
        .stderr("hint:")
        .code(11);
    held.release().ok();
    let held = world.hold(
        "drill-booted",
        drill(&world, stack.unit(), &[]).stdout_any(),
    );
    world.backup(&stack);
    drill(&world, stack.unit(), &[])
        .stderr("another run is at work")
        .stderr("hint:")
        .code(11);
    // One that is at work is not taken for one that was killed.
    let recovered = world.kd(&["recover", "--json"]).json();
    assert_eq!(recovered["drills_removed"], 0);
    held.release().ok();
    assert_nothing_left(&world, stack.unit());
}

#[test]
fn a_copy_that_fails_tells_its_last_words_without_secrets() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .network()
        .service("db", |s| {
            s.volume("data", "/data")
                .env("DB_PASSWORD", "correct-horse")
                .sh("trap 'exit 0' TERM; echo \"login with $DB_PASSWORD\"; test ! -f /data/broken || test -f /tmp/ok || exit 3; touch /tmp/ok /data/broken; while :; do sleep 0.1; done")
        })
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    crate::common::until("its file", Duration::from_secs(20), || {
        stack
            .exec("db", &["test", "-f", "/data/broken"])
            .stderr_any()
            .run()
            .code
            .filter(|code| *code == 0)
    });
    // The original has in its own layer what the copy lacks.
    world.backup(&stack);
    let report = not_good(drill(&world, stack.unit(), &["--backup-id", "latest"]));
    assert_eq!(
        texts(&report["errors"]),
        ["service `db` failed: it ended with status 3"]
    );
    let db = report["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["name"] == "db")
        .unwrap();
    assert_eq!(
        (&db["state"], texts(&db["log"])),
        (&json!("failed"), vec!["login with ***".to_owned()])
    );
    assert_eq!(report["recovery_seconds"], Value::Null);
    assert_nothing_left(&world, stack.unit());
    let text = world
        .kd(&["drill", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .code(3)
        .stdout();
    for part in [
        "not good",
        "Not good: service `db` failed",
        "  login with ***",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let log = fs::read_to_string(world.path("kopi-docka.log")).unwrap_or_default();
    assert!(!text.contains("correct-horse") && !log.contains("correct-horse"));
    let check = world
        .kd(&["check", "--json"])
        .stdout_any()
        .stderr_any()
        .run()
        .stdout();
    assert!(check.contains("the last drill of unit"), "{check}");
}

#[test]
fn one_that_docker_would_start_again_is_started_again() {
    let world = World::new();
    world.init();
    let script = "trap 'exit 0' TERM; test -f /tmp/second || { touch /tmp/second; exit 1; }; while :; do sleep 0.1; done";
    let stack = world
        .stack("web")
        .network()
        .service("app", |s| {
            s.volume("data", "/data")
                .restart("on-failure")
                .sh(script)
                .stop_timeout(0)
        })
        .up();
    world.backup(&stack);
    let report = good(drill(&world, stack.unit(), &[]));
    assert_eq!(
        (&report["outcome"], &report["services"][0]["restarts"]),
        (&json!("good"), &json!(1))
    );
}

#[test]
fn an_image_that_is_gone_is_named_before_anything_is_restored() {
    let world = World::new();
    world.init();
    let image = format!("{}:1", world.name("image"));
    world
        .docker(&["create", "--name", &world.name("base"), "kopi-docka-test:1"])
        .text();
    world
        .docker(&["commit", "--change", "ENV X=1", &world.name("base"), &image])
        .text();
    world.docker(&["rm", &world.name("base")]).text();
    let name = world.container("app", |s| s.image(&image).volume("data", "/data"));
    world
        .kd(&["--quiet", "backup", "--unit", &name])
        .stdout_any()
        .stderr_any()
        .ok();
    world.docker(&["rm", "--force", &name]).text();
    world.docker(&["rmi", &image]).text();
    for more in [&[][..], &["--pull"]] {
        let report = not_good(drill(&world, &name, more));
        let error = &texts(&report["errors"])[0];
        assert!(
            error.contains(&image) && error.contains("build it here"),
            "{error}"
        );
        assert_eq!(
            (&report["restore_seconds"], &report["bytes"]),
            (&Value::Null, &json!(0))
        );
        assert_nothing_left(&world, &name);
    }
}

#[test]
fn probes_decide_and_one_for_nobody_is_an_error_of_the_configuration() {
    let world = World::new();
    world.init();
    let stack = world.web();
    let unit = stack.unit();
    world.backup(&stack);
    probes(
        &world,
        unit,
        json!([{"service": "db", "exec": ["sh", "-c", "echo no; exit 5"], "timeout": "1s"}]),
    );
    let report = not_good(drill(&world, unit, &[]));
    let error = &texts(&report["errors"])[0];
    assert!(
        error.contains("did not exit with 0 within 1 s: status 5; no"),
        "{error}"
    );
    probes(&world, unit, json!([{"service": "web", "exec": ["true"]}]));
    let report = not_good(drill(&world, unit, &[]));
    assert!(
        texts(&report["errors"])[0].contains("service `web`, which did not run"),
        "{report:#}"
    );
    let check = world
        .kd(&["check", "--json"])
        .stdout_any()
        .stderr_any()
        .code(16)
        .stdout();
    assert!(check.contains("has no service `web`"), "{check}");
    probes(&world, unit, json!([{"service": "db", "exec": "true"}]));
    let refused =
        drill(&world, unit, &[]).stderr(format!("`backup.units.{unit}.drill.probes[0].exec`"));
    refused.stderr("expected a list").stderr_any().code(16);
}

#[test]
fn too_little_memory_or_space_ends_it_before_anything_is_made() {
    let world = World::new();
    world.init();
    let stack = world.web();
    world.backup(&stack);
    let report =
        not_good(drill(&world, stack.unit(), &[]).env("KOPI_DOCKA_FAULT_MEMORY_BYTES", "1"));
    assert!(
        texts(&report["errors"])[0].contains("of memory, and 1 B are available"),
        "{report:#}"
    );
    assert_eq!(report["restore_seconds"], Value::Null);
    let small = world.dir("small");
    crate::common::mount(&world, "small", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
    world.config(|config| config["drill"]["directory"] = small.to_str().unwrap().into());
    let bind = world.dir("bind");
    fs::write(bind.join("large"), vec![7; 200_000]).unwrap();
    let other = world
        .stack("other")
        .service("app", |s| s.bind(&bind, "/bind"))
        .up();
    world.backup(&other);
    let report = not_good(drill(&world, other.unit(), &[]));
    assert!(texts(&report["errors"])[0].contains("free"), "{report:#}");
    assert_nothing_left(&world, other.unit());
    assert_eq!(fs::read_dir(&small).unwrap().count(), 0);
}

#[test]
fn links_in_the_data_do_not_lead_out_of_the_copy() {
    let world = World::new();
    world.init();
    let (data, secret) = (world.dir("bind"), world.dir("secret"));
    fs::create_dir(data.join("sub")).unwrap();
    let stack = world
        .stack("web")
        .service("app", |s| {
            s.bind(&data, "/data").bind(data.join("sub"), "/sub")
        })
        .up();
    // Docker has resolved it already.
    fs::remove_dir(data.join("sub")).unwrap();
    std::os::unix::fs::symlink(&secret, data.join("sub")).unwrap();
    let report = not_good_of_a_new_point(&world, &stack);
    assert!(
        texts(&report["errors"])[0].contains("leads out of the copy"),
        "{report:#}"
    );
    assert_nothing_left(&world, stack.unit());
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 0);
}

fn newest(world: &World) -> String {
    world.points()["points"][0]["backup_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_one_whose_drill_is_oldest_is_drilled_when_it_is_due() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    world.init();
    let (one, other) = (
        world.web(),
        world
            .stack("other")
            .service("app", |s| s.volume("data", "/data"))
            .up(),
    );
    world.kd(&["--quiet", "backup"]).stdout_any().ok();
    let due = || {
        world
            .kd(&["drill", "--due", "--json"])
            .env("KOPI_DOCKA_FAULT_STEADY_SECONDS", "1")
            .stdout_any()
            .ok()
            .stdout()
    };
    assert_eq!(due(), "", "never by itself");
    world.config(|config| config["drill"]["every"] = "1s".into());
    let unit = |text: String| -> String {
        let report: Value = serde_json::from_str(&text).unwrap();
        report["drill"]["unit"].as_str().unwrap().to_owned()
    };
    let mut units = vec![unit(due()), unit(due())];
    assert_eq!(unit(due()), units[0], "the oldest again");
    units.sort();
    let mut expected = vec![one.unit().to_owned(), other.unit().to_owned()];
    expected.sort();
    assert_eq!(units, expected);
    world.config(|config| config["drill"]["every"] = "1d".into());
    assert_eq!(due(), "");
}

#[test]
fn the_keys_of_a_drill_do_what_they_say() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    world.init();
    let bind = world.dir("bind");
    fs::write(bind.join("well"), "").unwrap();
    let stack = world
        .stack("web")
        .service("app", |s| {
            s.bind(&bind, "/bind")
                .health("test -f /bind/well || test -f /tmp/well")
        })
        .up();
    // The original is well without what the point lacks.
    stack.exec("app", &["touch", "/tmp/well"]).ok();
    fs::remove_file(bind.join("well")).unwrap();
    world.backup(&stack);
    let point = newest(&world);
    world.config(|config| config["drill"]["timeout"] = "2s".into());
    let report = not_good(drill(&world, stack.unit(), &["--backup-id", &point]));
    let error = &texts(&report["errors"])[0];
    assert!(
        error.starts_with("service `app` did not get ready"),
        "{error}"
    );

    fs::write(bind.join("well"), "").unwrap();
    world.backup(&stack);
    let drills = world.dir("elsewhere");
    world.config(|config| {
        config["drill"] = json!({"directory": drills, "timeout": "1m", "max_age": "1s"});
    });
    let report = good(drill(&world, stack.unit(), &["--keep"]));
    let told = world
        .kd(&["check", "--json"])
        .stdout_any()
        .stderr_any()
        .run()
        .stdout();
    assert!(told.contains("is kept, made"), "{told}");
    let project = report["project"].as_str().unwrap();
    assert!(drills.join(project).join("binds/0/well").exists());
    world.kd(&["drill", "--remove"]).stdout("Removed").ok();
    assert_eq!(fs::read_dir(&drills).unwrap().count(), 0);
    let check = || {
        world
            .kd(&["check", "--json"])
            .stdout_any()
            .stderr_any()
            .run()
            .stdout()
    };
    crate::common::until("a second", Duration::from_secs(20), || {
        check().contains("too old (`drill.max_age`)").then_some(())
    });
    world.config(|config| config["drill"]["max_age"] = Value::Null);
    assert!(!check().contains("drill.max_age"));
}

#[test]
fn a_daemon_without_systemd_drills_what_is_due() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    world.init();
    let stack = world.web();
    world.backup(&stack);
    world.config(|config| config["drill"]["every"] = "1d".into());
    let daemon = world.kd(&["daemon"]).stdout_any().stderr_any();
    let daemon = daemon.env("KOPI_DOCKA_FAULT_RETRY_SECONDS", "1").spawn();
    let drilled = || fs::read(world.path("state/drills.json")).ok();
    let known = crate::common::until("the drill", Duration::from_secs(100), drilled);
    let known: Value = serde_json::from_slice(&known).unwrap();
    assert_eq!(known["drills"][0]["outcome"], "good", "{known:#}");
    daemon.signal(crate::common::Signal::TERM);
    daemon.code(143);
    assert_nothing_left(&world, stack.unit());
}

#[test]
fn what_the_saved_files_do_not_have_does_not_come_back() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .network()
        .service("db", |s| s.volume("data", "/data"))
        .service("app", |s| s)
        .up();
    let other = "services: {db: {image: 'kopi-docka-test:1', volumes: ['data:/data']}}\nvolumes: {data: {}}\n";
    fs::write(stack.dir().join("compose.yaml"), other).unwrap();
    let report = not_good_of_a_new_point(&world, &stack);
    assert!(
        texts(&report["errors"])[0].starts_with("service `app` ran when the point was made"),
        "{report:#}"
    );
    assert_nothing_left(&world, stack.unit());
}

#[test]
fn who_is_to_be_told_hears_once_that_a_drill_is_not_good_and_once_that_it_is() {
    let inbox = Inbox::http();
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let app = stack.unit().to_owned();
    world.backup(&stack);
    world.config(|config| {
        config["notify"] = json!([
            {"type": "webhook", "url": inbox.url("/all"), "when": "problem"},
            {"type": "healthchecks", "url": inbox.url("/check")},
        ]);
    });
    let paths = || -> Vec<String> {
        let got = inbox.got().into_iter();
        got.map(|got| got.path.split('?').next().unwrap().to_owned())
            .collect()
    };
    probes(
        &world,
        &app,
        json!([{"service": "db", "exec": ["false"], "timeout": "1s"}]),
    );
    for _ in 0..2 {
        not_good(drill(&world, &app, &[]).stderr_any());
    }
    // A check waits for backups: a drill is noted there, and nothing else.
    let mut told = paths();
    told[..2].sort();
    assert_eq!(told, ["/all", "/check/log", "/check/log"]);
    let document: Value = serde_json::from_str(
        &inbox
            .got()
            .iter()
            .find(|got| got.path == "/all")
            .unwrap()
            .body,
    )
    .unwrap();
    assert_eq!(document["problems"][0]["what"], "drill", "{document:#}");
    assert_eq!(document["problems"][0]["unit"], app.as_str());
    assert_eq!(document["report"]["outcome"], "not_good");
    probes(&world, &app, json!([]));
    good(drill(&world, &app, &[]).stderr_any());
    let last = inbox.got();
    let gone = last
        .iter()
        .rfind(|got| got.path.starts_with("/all"))
        .unwrap();
    let document: Value = serde_json::from_str(&gone.body).unwrap();
    assert_eq!(document["gone"][0]["what"], "drill", "{document:#}");
}
