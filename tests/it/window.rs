//! Always up again: whatever ends a run, the containers that it stopped run again, and nothing half is called whole.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use crate::common::{Bed, Run, Signal, Stack, World, until};
use serde_json::Value;

/// Takes a moment to stop, as services do.
const SLOW: &str = "trap 'usleep 200000; exit 0' TERM; sleep 99999 & wait";
/// Takes longer than the program needs to be killed and run again.
const VERY_SLOW: &str = "trap 'sleep 3; exit 0' TERM; sleep 99999 & wait";

const MOMENT: Duration = Duration::from_secs(30);

/// `db` ← `app` ← `web`, each with a moment to stop, and `job`, which the operator has stopped.
fn stack_of_three(world: &World) -> Stack {
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data").sh(SLOW))
        .service("app", |s| s.depends_on("db", "service_started").sh(SLOW))
        .service("web", |s| s.depends_on("app", "service_started").sh(SLOW))
        .service("job", |s| s.volume("data", "/data"))
        .up();
    stack.stop("job");
    stack
}

/// Bytes that neither tar nor kopia can skip.
fn fill(path: &Path, mebibytes: u64) {
    let mut random = fs::File::open("/dev/urandom")
        .unwrap()
        .take(mebibytes << 20);
    std::io::copy(&mut random, &mut fs::File::create(path).unwrap()).unwrap();
}

fn steps(report: &Value) -> Vec<String> {
    report["units"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap().to_owned())
        .collect()
}

fn backup_id(report: &Value) -> String {
    report["backup_id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_nothing_is_left(world: &World) {
    world.until_no_process_is_left();
    assert_eq!(world.stop_records(), Vec::<Value>::new());
}

/// `recover`, which has nothing to complain about.
#[track_caller]
fn recover(world: &World) -> Value {
    world.kd(&["--quiet", "--json", "recover"]).json()
}

// ---- killed ----

#[test]
fn killed_at_any_step_one_recover_brings_everything_up() {
    let world = World::new();
    let stack = stack_of_three(&world);
    fill(&stack.volume_path("data").join("bulk"), 48);
    world.init();
    let report = world.backup(&stack);
    let whole = vec![(backup_id(&report), "ok".to_owned())];
    let mut faults: Vec<String> = steps(&report)
        .iter()
        .map(|step| format!("kill@{step}"))
        .collect();
    assert!(faults.contains(&"kill@read".to_owned()), "{faults:?}");
    faults.extend(
        [
            "kill@stop+50",
            "kill@stop+300",
            "kill@read+30",
            "kill@start+50",
        ]
        .map(str::to_owned),
    );
    for fault in faults {
        let killed = world
            .backup_with_fault(&[stack.unit()], &fault)
            .stdout_any()
            .stderr_any()
            .run();
        assert_eq!(killed.signal, Some(9), "{fault}: {killed}");
        world.until_no_process_is_left();
        let recovered = recover(&world);
        assert_eq!(recovered["still_stopped"], serde_json::json!([]), "{fault}");
        assert_eq!(
            stack.running(),
            ["app", "db", "web"].map(str::to_owned).into(),
            "{fault}"
        );
        assert_eq!(stack.status("job"), "exited", "{fault}");
        assert_nothing_is_left(&world);
    }
    assert_eq!(world.whole_points(), whole);
    let again = recover(&world);
    assert_eq!(again["records"], 0);
    stack.assert_running(&["app", "db", "web"]);
}

#[test]
fn the_next_backup_brings_up_what_a_killed_one_left_down_and_is_whole() {
    let world = World::new();
    let stack = stack_of_three(&world);
    world.init();
    world.killed_at(&[stack.unit()], "read");
    stack.assert_running(&[]);
    assert_eq!(world.stop_records().len(), 1);
    let report = world.backup(&stack);
    stack.assert_running(&["app", "db", "web"]);
    assert_nothing_is_left(&world);
    assert_eq!(
        world.whole_points(),
        [(backup_id(&report), "ok".to_owned())]
    );
}

#[test]
fn recover_waits_until_an_accepted_stop_has_bitten_and_starts_then() {
    let world = World::new();
    let stack = world
        .stack("slow")
        .service("db", |s| s.volume("data", "/data").sh(VERY_SLOW))
        .up();
    world.init();
    let watch = world.watch();
    let killed = world
        .backup_with_fault(&[stack.unit()], "kill@stop+300")
        .stdout_any()
        .stderr_any()
        .run();
    assert_eq!(killed.signal, Some(9), "{killed}");
    stack.assert_running(&["db"]);
    recover(&world);
    stack.assert_running(&["db"]);
    assert_nothing_is_left(&world);
    let events = watch.events();
    assert!(events.downtime("db") < Duration::from_secs(5), "{events}");
    assert!(events.at("db", "kill") < events.at("db", "die"), "{events}");
}

#[test]
fn recover_starts_the_container_that_took_the_place_of_one_that_was_stopped() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("app", |s| s.depends_on("db", "service_started"))
        .up_with_compose();
    world.init();
    let old = stack.inspect("db")["Id"].clone();
    world.killed_at(&[stack.unit()], "read");
    stack.compose(&["create", "--force-recreate", "db"]).text();
    assert_ne!(stack.inspect("db")["Id"], old);
    stack.assert_running(&[]);
    let watch = world.watch();
    recover(&world);
    stack.assert_running(&["app", "db"]);
    assert_eq!(watch.events().order("start"), ["db", "app"]);
    assert_nothing_is_left(&world);
}

#[test]
fn recover_warns_of_a_container_that_was_removed_and_forgets_it() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    world.init();
    world.killed_at(&[stack.unit()], "read");
    world.docker(&["rm", &stack.container("db")]).text();
    let recovered = world
        .kd(&["--quiet", "--json", "recover"])
        .stdout_any()
        .stderr(format!("container `{}` was removed", stack.container("db")))
        .ok();
    assert_eq!(
        recovered.json()["up"],
        serde_json::json!([stack.container("app")])
    );
    assert!(!recovered.stderr().contains("within"), "{recovered}");
    stack.assert_running(&["app"]);
    assert_nothing_is_left(&world);
}

// ---- signals ----

#[test]
fn a_signal_at_any_step_ends_the_run_with_everything_up_and_no_new_point() {
    let world = World::new();
    let stack = stack_of_three(&world);
    world.init();
    let report = world.backup(&stack);
    let whole = vec![(backup_id(&report), "ok".to_owned())];
    for (number, step) in steps(&report).iter().enumerate() {
        let (signal, code) = [(Signal::TERM, 143), (Signal::INT, 130)][number % 2];
        let held = world.hold_backup(&[stack.unit()], step, |run| {
            run.stdout_any().stderr("was not backed up: a signal")
        });
        if signal == Signal::INT {
            held.running.signal_group(signal);
        } else {
            held.running.signal(signal);
        }
        held.release().code(code);
        assert_eq!(
            stack.running(),
            ["app", "db", "web"].map(str::to_owned).into(),
            "{step}"
        );
        assert_nothing_is_left(&world);
        assert_eq!(world.report()["exit_code"], code, "{step}");
    }
    assert_eq!(world.whole_points(), whole);
}

#[test]
fn after_a_second_signal_containers_start_without_waiting_for_health() {
    let world = World::new();
    let sick = world.dir("health").join("sick");
    let stack = world
        .stack("shop")
        .service("db", |s| {
            s.volume("data", "/data")
                .bind(world.path("health"), "/health:ro")
                .health("! test -e /health/sick")
        })
        .service("app", |s| s.depends_on("db", "service_healthy"))
        .up();
    world.config(|c| c["backup"]["start_timeout"] = 90.into());
    world.init();
    let held = world.hold_backup(&[stack.unit()], "read", |run| {
        run.stdout_any().stderr("a signal ended the run")
    });
    fs::write(&sick, "").unwrap();
    held.running.signal(Signal::TERM);
    let mut running = held.release();
    running.until("the first start", |_| {
        stack.running().contains("db").then_some(())
    });
    stack.assert_running(&["db"]);
    running.signal(Signal::TERM);
    let done = running.code(143);
    assert!(done.took < Duration::from_secs(60), "{done}");
    stack.assert_running(&["app", "db"]);
    assert_nothing_is_left(&world);
}

// ---- containers that do not do as they are told ----

#[test]
fn a_container_that_ignores_the_stop_is_killed_after_its_grace_and_makes_the_point_crash() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| {
            s.volume("data", "/data")
                .sh("trap '' TERM; while :; do sleep 99999; done")
        })
        .service("app", |s| s.volume("pages", "/pages"))
        .up();
    world.config(|c| c["backup"]["stop_timeout"] = 1.into());
    world.init();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stderr("did not end within 1 s and was killed")
        .ok();
    stack.assert_running(&["app", "db"]);
    let unit = &world.report()["units"][0];
    assert_eq!(
        (&unit["outcome"], &unit["grade"]),
        (&"saved".into(), &"crash".into())
    );
    let grades = grades(unit);
    assert_eq!(
        grades,
        [("data", "crash"), ("pages", "ok")].map(own).to_vec()
    );
    assert_nothing_is_left(&world);
}

fn own((name, grade): (&str, &str)) -> (String, String) {
    (name.to_owned(), grade.to_owned())
}

/// Volumes, without the project before their names, and their grades.
fn grades(unit: &Value) -> Vec<(String, String)> {
    let sources = unit["sources"].as_array().unwrap();
    sources
        .iter()
        .map(|source| {
            let name = source["name"].as_str().unwrap();
            let short = name.rsplit_once('_').map_or(name, |(_, short)| short);
            (
                short.to_owned(),
                source["grade"].as_str().unwrap_or("lost").to_owned(),
            )
        })
        .collect()
}

#[test]
fn a_container_that_ends_with_137_by_itself_is_not_said_to_have_been_too_slow() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| {
            s.volume("data", "/data")
                .sh("trap 'exit 137' TERM; sleep 99999 & wait")
        })
        .up();
    world.init();
    let done = world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stderr("status 137")
        .ok();
    assert!(!done.stderr().contains("within"), "{done}");
    stack.assert_running(&["db"]);
    assert_eq!(world.report()["units"][0]["grade"], "crash");
}

#[test]
fn a_container_that_another_hand_removed_before_its_stop_leaves_a_crash_point_and_a_warning() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    world.init();
    let held = world.hold_backup(&[stack.unit()], "stop", |run| {
        run.stdout_any()
            .stderr(format!("container `{}` was removed", stack.container("db")))
    });
    world
        .docker(&["rm", "--force", &stack.container("db")])
        .text();
    held.release().ok();
    stack.assert_running(&["app"]);
    assert_eq!(world.report()["units"][0]["grade"], "crash");
    assert_nothing_is_left(&world);
}

#[test]
fn a_container_that_can_t_start_is_named_and_comes_up_with_recover_after_mending() {
    let world = World::new();
    let port = format!("127.0.0.1:{}:80", 20_000 + std::process::id() % 20_000);
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("web", |s| {
            s.depends_on("db", "service_started")
                .arg("--network=bridge")
                .arg("--publish")
                .arg(&port)
        })
        .up();
    let web = stack.container("web");
    world.config(|c| c["backup"]["start_timeout"] = 1.into());
    world.init();
    let held = world.hold_backup(&[stack.unit()], "read", |run| {
        run.stdout_any()
            .stderr(format!("container `{web}` is still stopped"))
            .stderr("port is already allocated")
            .stderr("kopi-docka recover")
    });
    let squatter = world.container("squatter", |s| {
        s.arg("--network=bridge").arg("--publish").arg(&port)
    });
    held.release().code(18);
    stack.assert_running(&["db"]);
    assert_eq!(world.stop_records().len(), 1);
    assert_eq!(
        world.report()["units"][0]["still_stopped"],
        serde_json::json!([web])
    );
    // What was read is good all the same.
    assert_eq!(world.whole_points().len(), 1);

    world
        .kd(&["--quiet", "recover"])
        .stdout_any()
        .stderr(format!("container `{web}` does not start"))
        .code(18);
    assert_eq!(world.stop_records().len(), 1);
    world
        .backup_with_fault(&[stack.unit()], "")
        .stderr(format!("container `{web}`"))
        .code(18);

    world.docker(&["rm", "--force", &squatter]).text();
    recover(&world);
    stack.assert_running(&["db", "web"]);
    assert_nothing_is_left(&world);
}

// ---- what is around it ----

#[test]
fn a_repository_without_space_fails_the_unit_with_everything_up() {
    let world = World::new();
    let small = world.dir("small");
    Run::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(&small)
        .env("PATH", "/bin:/usr/bin:/sbin:/usr/sbin")
        .ok();
    let stack = stack_of_three(&world);
    fill(&stack.volume_path("data").join("bulk"), 64);
    world.config(|c| {
        c["kopia"]["kopia_params"] = format!("filesystem --path {}", small.display()).into();
    });
    world.init();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr("no space left on device")
        .stderr("is running again")
        .code(3);
    stack.assert_running(&["app", "db", "web"]);
    assert_nothing_is_left(&world);
    assert_eq!(world.report()["units"][0]["outcome"], "failed");
    assert_eq!(world.whole_points(), []);
}

#[test]
fn an_engine_that_is_killed_and_comes_back_in_the_window_costs_no_container() {
    let mut engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = stack_of_three(&world);
    world.init();

    // While data is read.
    let held = world.hold_backup(&[stack.unit()], "read", |run| {
        run.stdout_any()
            .stderr("cannot prove that it was not written to")
    });
    engine.kill9();
    engine.start();
    held.release().code(3);
    stack.assert_running(&["app", "db", "web"]);
    assert_nothing_is_left(&world);
    // Nobody knows what was started before the engine forgot.
    assert_eq!(world.report()["units"][0]["grade"], "hot");

    // Back only when the start is tried already.
    let held = world.hold_backup(&[stack.unit()], "start", |run| {
        run.stdout_any().stderr("does not start yet")
    });
    engine.shut_down();
    let mut running = held.release();
    running.until_stderr("does not start yet");
    engine.start();
    running.ok();
    stack.assert_running(&["app", "db", "web"]);
    assert_nothing_is_left(&world);

    // Not back in time, after a signal: without one it is waited for.
    world.config(|c| c["backup"]["start_timeout"] = 1.into());
    let held = world.hold_backup(&[stack.unit()], "start", |run| {
        run.stdout_any().stderr("is still stopped")
    });
    engine.shut_down();
    held.signal(Signal::TERM);
    held.release().code(18);
    assert_eq!(world.stop_records().len(), 1);
    engine.start();
    stack.assert_running(&[]);
    recover(&world);
    stack.assert_running(&["app", "db", "web"]);
    assert_nothing_is_left(&world);
}

#[test]
fn an_engine_that_dies_in_the_middle_of_a_stop_or_hangs_for_a_moment_costs_no_container() {
    let mut engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world
        .stack("slow")
        .service("db", |s| s.volume("data", "/data").sh(VERY_SLOW))
        .up();
    world.init();
    let is_asked = |world: &World| {
        world
            .stop_records()
            .iter()
            .any(|record| record["entries"][0]["asked_at"].is_string())
    };

    let held = world.hold_backup(&[stack.unit()], "stop", |run| run.stdout_any());
    engine.signal(Signal::STOP);
    let mut running = held.release();
    running.until("the stop to be asked", |_| is_asked(&world).then_some(()));
    assert!(running.is_running());
    engine.signal(Signal::CONT);
    running.ok();
    stack.assert_running(&["db"]);
    assert_nothing_is_left(&world);

    let watch = world.watch();
    let held = world.hold_backup(&[stack.unit()], "stop", |run| {
        run.stdout_any().stderr("was not backed up")
    });
    let running = held.release();
    until("the stop to be accepted", MOMENT, || {
        let events = watch.events();
        events
            .0
            .iter()
            .any(|event| event.action == "kill")
            .then_some(())
    });
    engine.kill9();
    engine.start();
    running.code(3);
    stack.assert_running(&["db"]);
    assert_nothing_is_left(&world);
    assert_eq!(world.whole_points().len(), 1);
}
