//! A file system that does not answer holds neither a window nor a run.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Hung, Reader, Signal, World};

const ANSWERED: Duration = Duration::from_secs(3);

#[test]
fn a_tar_that_no_signal_ends_is_left_behind_and_services_come_up() {
    let world = World::new();
    let hung = Hung::mount(&world, "disk", Reader::Immortal);
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&hung.point, "/data"))
        .up();
    world.config(|config| config["backup"]["stall_timeout"] = 8.into());
    world.init();
    let began = Instant::now();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stderr("tar moved nothing for 8 s and was killed")
        .code(3);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert!(hung.reads() > 0, "nobody read it");
    stack.until_up();
    let unit = &world.report()["units"][0];
    let downtime = unit["downtime_seconds"].as_f64().unwrap();
    assert!(downtime < 50.0, "{downtime}");
    assert!(
        unit["errors"].to_string().contains("is left behind"),
        "{unit}"
    );
}

#[test]
fn a_file_that_a_compose_file_names_and_that_does_not_answer_is_a_loss() {
    let world = World::new();
    let hung = Hung::mount(&world, "disk", Reader::Mortal);
    let stack = world.web();
    fs::create_dir_all(stack.dir()).unwrap();
    let compose = stack.dir().join("compose.yaml");
    fs::write(
        &compose,
        format!(
            "services:\n  web:\n    image: x\n    env_file: {}\n",
            hung.file().display()
        ),
    )
    .unwrap();
    world.config(|config| config["backup"]["stall_timeout"] = 8.into());
    world.init();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .run();
    assert!(hung.reads() > 0, "nobody read it");
    stack.until_up();
    let report = world.report();
    let gaps = report["units"][0]["gaps"].to_string();
    assert!(gaps.contains("does not answer"), "{gaps}");

    world.config(|config| config["backup"]["stall_timeout"] = 600.into());
    let mut running = world
        .kd(&["--json", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .spawn();
    running.until_stdout("\"step\":\"prepare\"");
    let began = Instant::now();
    running.signal(Signal::TERM);
    running.code(143);
    assert!(began.elapsed() < ANSWERED, "{:?}", began.elapsed());
}
