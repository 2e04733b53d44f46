//! A file system that does not answer holds neither a window nor a run.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Hung, Signal, World};

const ANSWERED: Duration = Duration::from_secs(3);

#[test]
fn a_tar_that_no_signal_ends_is_left_behind_and_services_come_up() {
    let world = World::new();
    let hung = Hung::mount(&world, "disk");
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&hung.point, "/data"))
        .up();
    world.config(|config| config["backup"]["stall_timeout"] = 2.into());
    world.init();
    let began = Instant::now();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stderr("tar moved nothing for 2 s and was killed")
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
    assert!(downtime < 40.0, "{downtime}");
    assert!(
        unit["sources"].to_string().contains("is left behind"),
        "{unit}"
    );
}

#[test]
fn a_file_that_a_compose_file_names_and_that_does_not_answer_is_a_loss() {
    let world = World::new();
    let hung = Hung::mount(&world, "disk");
    let stack = world.web();
    let compose = stack.dir().join("docker-compose.yml");
    fs::write(
        &compose,
        format!(
            "services:\n  web:\n    image: x\n    env_file: {}\n",
            hung.file().display()
        ),
    )
    .unwrap();
    world.config(|config| config["backup"]["stall_timeout"] = 3.into());
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
    let reads = hung.reads();
    let mut running = world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
        .stderr("a signal ended the run")
        .spawn();
    running.until("it to read the file", |_| {
        (hung.reads() > reads).then_some(())
    });
    let began = Instant::now();
    running.signal(Signal::TERM);
    // A thread of it hangs where no signal reaches it, so its end is seen when the file system is gone.
    running.until("its last words", |running| {
        running
            .stderr_so_far()
            .contains("a signal ended the run")
            .then_some(())
    });
    assert!(began.elapsed() < ANSWERED, "{:?}", began.elapsed());
    drop(hung);
    running.code(143);
}
