//! What could not come back is not stopped, only what was stopped is started, and what cannot be started keeps nothing else waiting.

use std::fs;
use std::time::Duration;

use crate::common::{Bed, Run, World, until};
use serde_json::{Value, json};

const MOMENT: Duration = Duration::from_secs(30);

fn unit<'a>(report: &'a Value, name: &str) -> &'a Value {
    let units = report["units"].as_array().unwrap();
    units
        .iter()
        .find(|unit| unit["unit"] == name)
        .unwrap_or_else(|| panic!("no report of `{name}` in {report}"))
}

#[test]
fn a_docker_that_is_away_for_longer_than_a_start_may_take_is_waited_for() {
    let mut engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    world.config(|c| c["backup"]["start_timeout"] = 1.into());
    world.init();
    let held = world.hold_backup(&[stack.unit()], "start", |run| {
        run.stdout_any().stderr("does not start yet")
    });
    engine.shut_down();
    let mut running = held.release();
    running.until_stderr("does not start yet");
    let since = std::time::Instant::now();
    running.until("several times `start_timeout`", |_| {
        (since.elapsed() > Duration::from_secs(6)).then_some(())
    });
    assert!(running.is_running());
    engine.start();
    let done = running.ok();
    let told = done.stderr().matches("does not start yet").count();
    assert_eq!(told, 1, "one message for an outage: {done}");
    stack.assert_running(&["app", "db"]);
    assert_eq!(world.stop_records(), Vec::<Value>::new());
}

#[test]
fn what_ended_before_its_stop_is_left_as_it_is() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("job", |s| s.volume("data", "/data"))
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    world.init();
    // Before the record is written, and after it.
    for step in ["open", "stop"] {
        let held = world.hold_backup(&[stack.unit()], step, |run| run.stdout_any().stderr_any());
        stack.stop("job");
        held.release().ok();
        stack.assert_running(&["app", "db"]);
        assert_eq!(stack.status("job"), "exited", "{step}");
        assert_eq!(world.stop_records(), Vec::<Value>::new());
        assert_eq!(world.report()["units"][0]["outcome"], "saved");
        stack.start("job");
    }
}

#[test]
fn a_one_off_at_work_keeps_its_project_from_being_stopped() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .up_with_compose();
    world.init();
    stack
        .compose(&["run", "--detach", "db", "sleep", "99999"])
        .stdout_any()
        .stderr_any()
        .ok();
    let watch = world.watch();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr("(`docker compose run`) is at work")
        .code(3);
    watch.events().assert_untouched();
    assert_eq!(world.report()["units"][0]["grade"], "hot");
}

#[test]
fn a_container_whose_network_is_gone_is_left_running() {
    let world = World::new();
    let vpn = world.container("vpn", |s| s);
    let client = world.container("client", |s| {
        s.volume("conf", "/conf")
            .arg("--network")
            .arg(&format!("container:{vpn}"))
    });
    world.init();
    world.docker(&["rm", "--force", &vpn]).text();
    let watch = world.watch();
    world
        .kd(&["--quiet", "backup", "--unit", &client])
        .stdout_any()
        .stderr("was left running, since Docker could not start it again")
        .stderr("it uses the network of container")
        .code(3);
    watch.events().assert_untouched();
    assert_eq!(world.inspect(&client)["State"]["Running"], true);
    assert_eq!(world.report()["units"][0]["grade"], "hot");
}

#[test]
fn a_container_whose_bind_source_is_gone_or_another_one_is_left_running() {
    let world = World::new();
    let disk = world.dir("disk");
    let run = |program: &str, args: &[&str]| {
        Run::new(program)
            .args(args)
            .arg(&disk)
            .env("PATH", "/bin:/usr/bin:/sbin:/usr/sbin")
            .ok();
    };
    run("mount", &["-t", "tmpfs", "disk"]);
    let gone = world.dir("gone");
    let app = world.container("app", |s| {
        s.volume("a", "/a").bind(world.path("disk"), "/disk")
    });
    let web = world.container("web", |s| {
        s.volume("b", "/b").bind(world.path("gone"), "/gone")
    });
    let fine = world.container("fine", |s| {
        s.volume("c", "/c").bind(world.dir("fine"), "/fine")
    });
    world.init();
    // As when a disk is taken away below a running container.
    run("umount", &["--lazy"]);
    fs::remove_dir(&gone).unwrap();
    world
        .kd(&[
            "--quiet", "backup", "--unit", &app, "--unit", &web, "--unit", &fine,
        ])
        .stdout_any()
        .stderr("another file system mounted there")
        .stderr("is not there, or cannot be read")
        .stderr("bring `")
        .stderr("back (is its disk mounted?), then restart the container")
        .code(3);
    let report = world.report();
    for name in [&app, &web] {
        assert_eq!(unit(&report, name)["downtime_seconds"], 0.0, "{name}");
        assert_eq!(world.inspect(name)["State"]["Running"], true);
    }
    let gaps = unit(&report, &app)["gaps"].as_array().unwrap();
    let is_lost = |gap: &&Value| gap["what"].as_str().unwrap().contains("disk");
    assert_eq!(gaps.iter().find(is_lost).unwrap()["is_loss"], true);
    assert_eq!(unit(&report, &fine)["grade"], "ok");
    assert!(unit(&report, &fine)["downtime_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn health_that_was_bad_before_is_neither_waited_for_nor_a_failure() {
    let world = World::new();
    let sick = world.container("sick", |s| s.volume("data", "/data").health("false"));
    until("it to be unhealthy", MOMENT, || {
        (world.inspect(&sick)["State"]["Health"]["Status"] == "unhealthy").then_some(())
    });
    world.config(|c| c["backup"]["start_timeout"] = 60.into());
    world.init();
    let done = world
        .kd(&["--quiet", "backup", "--unit", &sick])
        .stderr_any()
        .ok();
    assert!(done.took < Duration::from_secs(40), "{done}");
    assert_eq!(world.inspect(&sick)["State"]["Running"], true);
}

#[test]
fn a_unit_that_does_not_come_up_keeps_no_other_from_being_saved_nor_itself_from_being_restored() {
    let world = World::new();
    let port = format!("127.0.0.1:{}:80", 20_000 + std::process::id() % 20_000);
    let web = world.container("web", |s| {
        s.volume("pages", "/pages")
            .arg("--network=bridge")
            .arg("--publish")
            .arg(&port)
    });
    let other = world.container("other", |s| s.volume("data", "/data"));
    world.config(|c| c["backup"]["start_timeout"] = 1.into());
    world.init();
    world
        .kd(&["--quiet", "backup", "--unit", &web])
        .stderr_any()
        .ok();
    world.killed_at(&[&web], "read");
    world.until_no_process_is_left();
    let squatter = world.container("squatter", |s| {
        s.arg("--network=bridge").arg("--publish").arg(&port)
    });

    world
        .kd(&["--quiet", "backup", "--unit", &web, "--unit", &other])
        .stdout_any()
        .stderr(format!("container `{web}`"))
        .code(18);
    let report = world.report();
    assert_eq!(unit(&report, &other)["grade"], "ok");
    assert_eq!(unit(&report, &web)["outcome"], "failed");
    assert_eq!(unit(&report, &web)["still_stopped"], json!([web]));
    assert_eq!(world.stop_records().len(), 1);

    // A restore tries it again when it has put the data back.
    let restore = [
        "--quiet",
        "restore",
        "--unit",
        &web,
        "--backup-id",
        "latest",
        "--yes",
    ];
    world.kd(&restore).stdout_any().stderr_any().code(18);
    assert_eq!(world.stop_records().len(), 1);
    world.docker(&["rm", "--force", &squatter]).text();
    world.kd(&restore).stdout_any().stderr_any().ok();
    assert_eq!(world.inspect(&web)["State"]["Running"], true);
    assert_eq!(world.stop_records(), Vec::<Value>::new());
}

#[test]
fn other_commands_with_the_lock_bring_up_what_is_down() {
    let world = World::new();
    let db = world.container("db", |s| s.volume("data", "/data"));
    world.init();
    for command in [&["repo-maintenance"][..], &["init"]] {
        world.killed_at(&[&db], "read");
        world.until_no_process_is_left();
        assert_eq!(world.inspect(&db)["State"]["Running"], false);
        world.kd(command).stdout_any().stderr_any().ok();
        assert_eq!(world.inspect(&db)["State"]["Running"], true, "{command:?}");
        assert_eq!(world.stop_records(), Vec::<Value>::new());
    }
}

#[test]
fn a_crash_on_the_way_down_is_no_clean_end() {
    let world = World::new();
    let end = |name: &str, code: u32| {
        world.container(name, |s| {
            s.volume(name, "/data")
                .sh(&format!("trap 'exit {code}' TERM; sleep 99999 & wait"))
        })
    };
    let (crashes, grumbles) = (end("crashes", 139), end("grumbles", 1));
    world.init();
    world
        .kd(&["--quiet", "backup", "--unit", &crashes, "--unit", &grumbles])
        .stdout_any()
        .stderr("ended with status 139, as one does that crashes")
        .stderr("ended with status 1 when it was stopped")
        .ok();
    let report = world.report();
    assert_eq!(unit(&report, &crashes)["grade"], "crash");
    assert_eq!(unit(&report, &grumbles)["grade"], "ok");
}

#[test]
fn a_restore_stops_nothing_that_could_not_come_back_unless_it_brings_back_what_is_missing() {
    let world = World::new();
    let (scratch, photos) = (world.dir("scratch"), world.dir("photos"));
    fs::write(photos.join("photo"), "photo").unwrap();
    let app = world.container("app", |s| {
        s.volume("data", "/data").bind(&scratch, "/scratch")
    });
    let album = world.container("album", |s| {
        s.volume("index", "/index").bind(&photos, "/photos")
    });
    let vpn = world.container("vpn", |s| s);
    let client = world.container("client", |s| {
        s.volume("conf", "/conf")
            .arg("--network")
            .arg(&format!("container:{vpn}"))
    });
    world.config(|c| c["backup"]["bind_mounts"] = json!({"exclude": [scratch]}));
    world.init();
    for unit in [&app, &album, &client] {
        let backup = world.kd(&["--quiet", "backup", "--unit", unit]);
        backup.stdout_any().stderr_any().ok();
    }
    let restore = |unit: &str| {
        let restore = ["--quiet", "restore", "--yes", "--backup-id", "latest"];
        world.kd(&restore).args(["--unit", unit]).stdout_any()
    };
    fs::remove_dir(&scratch).unwrap();
    fs::remove_dir_all(&photos).unwrap();
    world.docker(&["rm", "--force", &vpn]).text();
    let watch = world.watch();
    for (unit, why) in [
        (&app, "scratch` is not there"),
        (&client, "uses the network of"),
    ] {
        restore(unit)
            .stderr("and Docker could not start it again")
            .stderr(why)
            .stderr("nothing was changed")
            .code(3);
        assert_eq!(world.inspect(unit)["State"]["Running"], true);
    }
    watch.events().assert_untouched();
    // What the point has is there again before the container starts.
    restore(&album).stderr_any().ok();
    assert_eq!(fs::read_to_string(photos.join("photo")).unwrap(), "photo");
    assert_eq!(world.inspect(&album)["State"]["Running"], true);
    // The operator's own stop is the way around it.
    world.docker(&["stop", &client]).text();
    restore(&client).stderr_any().ok();
}

/// As a service manager does that takes our stop for the end of its service.
#[test]
fn what_ends_after_its_start_and_comes_back_is_no_failure() {
    let world = World::new();
    let unit = world.container("app", |s| s.volume("data", "/data"));
    world.init();
    let held = world.hold_backup(&[&unit], "store", |run| run.stdout_any());
    world.docker(&["stop", &unit]).text();
    let running = held.release();
    world.docker(&["start", &unit]).text();
    running.ok();
    let report = world.report();
    assert_eq!(report["units"][0]["errors"], serde_json::json!([]));

    // One that stays down is told of.
    let held = world.hold_backup(&[&unit], "store", |run| {
        run.stdout_any().stderr("ended after its start")
    });
    world.docker(&["stop", &unit]).text();
    held.release().code(3);
}
