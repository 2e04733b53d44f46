//! SIGTERM and SIGINT are answered at once in every phase, whoever else does not answer.

use std::time::{Duration, Instant};

use crate::common::{Bed, Run, Signal, World, until};

const MOMENT: Duration = Duration::from_secs(60);

/// A signal is answered within a second; the rest is for a machine that is busy.
const ANSWERED: Duration = Duration::from_secs(3);

/// Starts `run`, waits for `is_there`, and wants it to answer `signal` in time.
#[track_caller]
fn answers(run: Run, signal: Signal, is_there: impl Fn() -> bool) {
    let mut running = run.stdout_any().stderr("a signal ended").spawn();
    running.until("it to wait", |_| is_there().then_some(()));
    let began = Instant::now();
    running.signal(signal);
    let code = if signal == Signal::INT { 130 } else { 143 };
    let done = running.code(code);
    assert!(began.elapsed() < ANSWERED, "{:?}\n{done}", began.elapsed());
}

/// A kopia that hangs in one of its commands, and says so in a file.
fn hanging(world: &World, command: &str) -> std::ffi::OsString {
    let mark = world.path("hangs");
    world.stand_in(
        "kopia",
        &format!(
            "case \"$*\" in *\"{command}\"*) : >'{}'; exec sleep 99999;; esac\nexec \"$REAL\" \"$@\"",
            mark.display()
        ),
    )
}

#[test]
fn no_command_waits_for_a_repository_that_does_not_answer() {
    let world = World::new();
    let stack = world.web();
    world.init();
    world.backup(&stack);
    let unit = stack.unit();
    let mark = world.path("hangs");
    let cases: &[(&str, &[&str])] = &[
        ("repository status", &["backup", "--unit", unit]),
        ("snapshot list", &["backup", "--unit", unit]),
        (
            "repository status",
            &["restore", "--unit", unit, "--backup-id", "latest", "--yes"],
        ),
        (
            "snapshot list",
            &["restore", "--unit", unit, "--backup-id", "latest", "--yes"],
        ),
        (
            "show",
            &["restore", "--unit", unit, "--backup-id", "latest", "--yes"],
        ),
        ("snapshot list", &["list", "--snapshots"]),
        ("snapshot list", &["verify"]),
        ("repository status", &["init"]),
        ("repository status", &["check"]),
        ("repository status", &["repo-status"]),
        ("maintenance info", &["repo-maintenance"]),
    ];
    for (number, (command, args)) in cases.iter().enumerate() {
        let path = hanging(&world, command);
        let signal = [Signal::TERM, Signal::INT][number % 2];
        let _ = std::fs::remove_file(&mark);
        let run = world.kd(args).env("PATH", path);
        let run = match (*command, args[0]) {
            // The points are saved by then, and only what comes after is ended.
            ("snapshot list", "backup") => {
                let mut running = run.stdout_any().stderr_any().spawn();
                running.until("it to wait", |_| mark.exists().then_some(()));
                let began = Instant::now();
                running.signal(signal);
                running.code(if signal == Signal::INT { 130 } else { 143 });
                assert!(began.elapsed() < ANSWERED);
                continue;
            }
            _ => run,
        };
        answers(run, signal, || mark.exists());
        world.until_no_process_is_left();
    }
    stack.until_up();
}

#[test]
fn no_command_waits_for_an_engine_that_does_not_answer() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world.web();
    world.init();
    world.backup(&stack);
    engine.signal(Signal::STOP);
    let unit = stack.unit();
    let cases: &[&[&str]] = &[
        &["backup", "--unit", unit],
        &["restore", "--unit", unit, "--backup-id", "latest", "--yes"],
        &["list", "--units"],
        &["dry-run"],
        &["estimate-size"],
        &["check"],
    ];
    for (number, args) in cases.iter().enumerate() {
        let signal = [Signal::TERM, Signal::INT][number % 2];
        let began = Instant::now();
        answers(world.kd(args), signal, || {
            began.elapsed() > Duration::from_secs(2)
        });
    }
    engine.signal(Signal::CONT);
    stack.until_up();
}

#[test]
fn between_two_units_a_signal_does_not_wait_for_the_engine() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let (first, second) = (
        world
            .stack("first")
            .service("db", |s| s.volume("data", "/data"))
            .up(),
        world
            .stack("second")
            .service("db", |s| s.volume("data", "/data"))
            .up(),
    );
    world.init();
    let held = world.hold_backup(&[first.unit(), second.unit()], "commit", |run| {
        run.stdout_any().stderr("a signal ended the run")
    });
    engine.signal(Signal::STOP);
    let mut running = held.release();
    running.until("the first point", |_| {
        (!world
            .kopia(&["snapshot", "list", "--all", "--tags", "type:recipe"])
            .text()
            .is_empty())
        .then_some(())
    });
    let began = Instant::now();
    running.signal(Signal::TERM);
    let done = running.code(143);
    assert!(began.elapsed() < ANSWERED, "{:?}\n{done}", began.elapsed());
    engine.signal(Signal::CONT);
    assert_eq!(world.report()["units"][0]["grade"], "ok", "{done}");
    for stack in [&first, &second] {
        stack.until_up();
    }
}

#[test]
fn in_the_window_a_signal_does_not_wait_for_the_proof() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world.web();
    world.init();
    let held = world.hold_backup(&[stack.unit()], "prove_cold", |run| {
        run.stdout_any().stderr("a signal ended the run")
    });
    engine.signal(Signal::STOP);
    let mut running = held.release();
    running.signal(Signal::TERM);
    // Containers are started, however long the engine is away.
    let began = Instant::now();
    until("some time to pass", MOMENT, || {
        (began.elapsed() > Duration::from_secs(3)).then_some(())
    });
    assert!(running.is_running());
    engine.signal(Signal::CONT);
    running.code(143);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    stack.until_up();
    assert_eq!(world.stop_records(), Vec::<serde_json::Value>::new());
}

#[test]
fn what_brings_up_what_an_earlier_run_stopped_does_not_wait_for_an_engine_after_a_signal() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world.web();
    world.init();
    let unit = stack.unit();
    world.backup(&stack);
    world
        .backup_with_fault(&[unit], "kill@read")
        .stdout_any()
        .stderr_any()
        .run();
    stack.assert_running(&[]);
    engine.signal(Signal::STOP);
    let restore = ["restore", "--unit", unit, "--backup-id", "latest", "--yes"];
    let cases: &[(&[&str], i32)] = &[
        (&["recover"], 18),
        (&["backup", "--unit", unit], 18),
        (&restore, 143),
    ];
    for (number, (args, code)) in cases.iter().enumerate() {
        let mut running = world.kd(args).stdout_any().stderr("a signal ended").spawn();
        let began = Instant::now();
        running.until("it to wait", |_| {
            (began.elapsed() > Duration::from_secs(2)).then_some(())
        });
        let asked = Instant::now();
        running.signal([Signal::TERM, Signal::INT][number % 2]);
        let done = running.code(*code);
        assert!(asked.elapsed() < ANSWERED, "{:?}\n{done}", asked.elapsed());
    }
    assert_eq!(world.stop_records().len(), 1);
    engine.signal(Signal::CONT);
    world.kd(&["recover"]).stdout_any().stderr_any().ok();
    stack.until_up();
    assert_eq!(world.stop_records().len(), 0);
}

#[test]
fn a_restore_does_not_wait_for_an_engine_after_a_signal() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world.web();
    world.init();
    world.backup(&stack);
    let restore = [
        "--quiet",
        "restore",
        "--unit",
        stack.unit(),
        "--backup-id",
        "latest",
        "--yes",
    ];
    // Its questions before the stop, and what it would make in Docker.
    stack.wipe();
    for step in ["restore_create", "restore_sync"] {
        let run = world
            .kd(&restore)
            .stdout_any()
            .stderr("a signal ended the restore");
        let held = world.hold(step, run);
        engine.signal(Signal::STOP);
        let mut running = held.release();
        let began = Instant::now();
        running.until("it to wait", |_| {
            (began.elapsed() > Duration::from_secs(2)).then_some(())
        });
        let asked = Instant::now();
        running.signal(Signal::TERM);
        let done = running.code(143);
        assert!(asked.elapsed() < ANSWERED, "{:?}\n{done}", asked.elapsed());
        engine.signal(Signal::CONT);
        world.kd(&["recover"]).stdout_any().stderr_any().ok();
    }
    world.kd(&restore).stdout_any().stderr_any().ok();
}
