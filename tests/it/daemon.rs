//! The daemon, as systemd sees it: a real datagram socket, real backups. And the lock, which it shares with every other run.

use std::cell::RefCell;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::common::{Bed, Run, Running, Signal, Stack, World, until};

const MOMENT: Duration = Duration::from_secs(30);
/// Of the watchdog: an answer is due at half of it.
const LIMIT: Duration = Duration::from_millis(400);

/// The side of the service manager.
struct Systemd {
    socket: UnixDatagram,
    heard: RefCell<Vec<(Instant, String)>>,
}

impl Systemd {
    fn of(world: &World) -> Self {
        let path = world.path("notify");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            heard: RefCell::default(),
        }
    }

    fn starts(&self, world: &World, run: Run) -> Run {
        run.env("NOTIFY_SOCKET", world.path("notify"))
            .env("WATCHDOG_USEC", LIMIT.as_micros().to_string())
    }

    fn listen(&self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.heard.borrow_mut().push((Instant::now(), text));
        }
    }

    /// How many messages with `text` came.
    fn count(&self, text: &str) -> usize {
        self.listen();
        let heard = self.heard.borrow();
        heard.iter().filter(|(_, said)| said.contains(text)).count()
    }

    #[track_caller]
    fn until(&self, text: &str) {
        let what = format!("{text:?} on the notify socket");
        until(&what, MOMENT, || (self.count(text) > 0).then_some(()));
    }

    /// Waits for `text`, and forgets what came until then.
    #[track_caller]
    fn next(&self, text: &str) {
        self.until(text);
        self.heard.borrow_mut().clear();
    }

    #[track_caller]
    fn until_answers(&self, count: usize) {
        self.heard.borrow_mut().clear();
        until("answers to the watchdog", MOMENT, || {
            (self.count("WATCHDOG=1") >= count).then_some(())
        });
    }

    /// Waits until nothing came for three times the limit.
    #[track_caller]
    fn until_silent(&self) {
        let mut since = Instant::now();
        until("silence", MOMENT, || {
            if self.count("WATCHDOG=1") > 0 {
                self.heard.borrow_mut().clear();
                since = Instant::now();
            }
            (since.elapsed() > LIMIT * 3).then_some(())
        });
    }
}

fn daemon(world: &World, args: &[&str]) -> Run {
    world
        .kd(&[&["daemon"], args].concat())
        .stdout_any()
        .stderr_any()
}

#[track_caller]
fn end(running: Running) {
    running.signal(Signal::TERM);
    running.code(143);
}

#[test]
fn idle_it_answers_the_watchdog_and_takes_over_a_good_configuration_alone() {
    let world = World::new();
    let systemd = Systemd::of(&world);
    let mut running = systemd.starts(&world, daemon(&world, &[])).spawn();
    systemd.next("READY=1\nSTATUS=Idle");
    systemd.until_answers(3);

    running.signal(Signal::HUP);
    systemd.until("RELOADING=1\nMONOTONIC_USEC=");
    systemd.next("READY=1");
    running.until_stderr("The configuration was read again");

    let good = fs::read(world.config_path()).unwrap();
    fs::write(world.config_path(), "{").unwrap();
    running.signal(Signal::HUP);
    systemd.until("RELOADING=1");
    systemd.next("READY=1");
    running.until_stderr("the configuration of before stays in force");
    fs::write(world.config_path(), good).unwrap();
    systemd.until_answers(2);

    running.signal(Signal::TERM);
    systemd.until("STOPPING=1");
    running.code(143);
}

#[test]
fn a_configuration_that_is_broken_from_the_start_is_told_and_ends_it() {
    let world = World::new();
    world.config(|c| c["backup"]["stop_timeout"] = "soon".into());
    world.kd(&["daemon"]).stderr("backup.stop_timeout").code(16);
}

#[test]
fn in_a_shell_it_starts_what_a_killed_run_left_down() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    world.init();
    world.killed_at(&[stack.unit()], "read");
    stack.assert_running(&[]);
    let mut running = daemon(&world, &[]).spawn();
    running.until_stderr("Ready.");
    stack.until_up();
    until("the stop record to go", MOMENT, || {
        world.stop_records().is_empty().then_some(())
    });
    end(running);
}

// ---- with an interval: on an engine of its own, since it stops everything ----

/// A daemon that has never run.
fn fresh(world: &World, systemd: &Systemd) -> Run {
    for file in ["state/daemon.json", "run/daemon.json"] {
        let _ = fs::remove_file(world.path(file));
    }
    let _ = fs::remove_dir_all(world.path("backup/metadata"));
    systemd.heard.borrow_mut().clear();
    systemd.starts(world, daemon(world, &["--interval-minutes", "60"]))
}

#[test]
fn it_backs_up_when_it_is_time() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    world.init();
    let systemd = Systemd::of(&world);

    saves_and_says_so(&world, &systemd, &stack);
    a_restart_is_no_reason_to_back_up_again(&world, &systemd);
    a_failing_run_does_not_end_it(&world, &systemd, &stack);
    a_run_that_hangs_is_not_covered_up(&world, &systemd, &stack);
    a_signal_in_the_window_closes_it(&world, &systemd, &stack);
    the_lock_of_another_is_respected(&world, &systemd, &stack);
    a_repository_that_is_back_gets_its_backup(&world, &systemd);
    one_that_does_not_come_back_is_given_up(&world, &systemd);
    cron_makes_up_for_a_backup_too(&world, &stack);
}

fn saves_and_says_so(world: &World, systemd: &Systemd, stack: &Stack) {
    // A slow disk: the watchdog is answered while tar reads.
    let slow = world.stand_in(
        "tar",
        r#"case "$*" in *--create*) sleep 1;; esac; exec "$REAL" "$@""#,
    );
    let running = fresh(world, systemd).env("PATH", slow).spawn();
    systemd.next(&format!("STATUS=Running backup: {} (1/1)", stack.unit()));
    systemd.until("STATUS=Last backup: 2");
    assert!(systemd.count("WATCHDOG=1") >= 3, "{:?}", systemd.heard);
    assert_eq!(world.report()["exit_code"], 0);
    end(running);
    stack.assert_running(&["db"]);
}

fn a_restart_is_no_reason_to_back_up_again(world: &World, systemd: &Systemd) {
    systemd.heard.borrow_mut().clear();
    let run = daemon(world, &["--interval-minutes", "60"]);
    let running = systemd.starts(world, run).spawn();
    systemd.next("READY=1\nSTATUS=Backs up every 60 minutes");
    systemd.until_answers(4);
    assert_eq!(systemd.count("STATUS="), 0, "{:?}", systemd.heard);
    end(running);
    assert_eq!(world.reports().len(), 1);
}

fn a_failing_run_does_not_end_it(world: &World, systemd: &Systemd, stack: &Stack) {
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    let running = fresh(world, systemd).spawn();
    systemd.next("STATUS=Last backup: 2");
    systemd.until_answers(2);
    stack.assert_running(&["db"]);
    running.signal(Signal::TERM);
    let done = running.code(143);
    assert!(done.stderr().contains("hint: "), "{done}");
    fs::rename(world.path("elsewhere"), world.path("repo")).unwrap();

    // A unit that fails is told too.
    let fails = world.stand_in(
        "tar",
        r#"case "$*" in *--create*) exit 2;; esac; exec "$REAL" "$@""#,
    );
    let running = fresh(world, systemd).env("PATH", fails).spawn();
    systemd.until("0 of 1 units saved well (exit code 3)");
    end(running);
    stack.assert_running(&["db"]);
}

fn a_run_that_hangs_is_not_covered_up(world: &World, systemd: &Systemd, stack: &Stack) {
    world.config(|c| c["backup"]["stall_timeout"] = 5.into());
    let held = world.hold("read", fresh(world, systemd));
    systemd.until_silent();
    let running = held.release();
    systemd.until("STATUS=Last backup: 2");
    systemd.until_answers(2);
    assert_eq!(world.report()["exit_code"], 0);
    end(running);

    // A tar that hangs is ended by the run itself, which has more to say than a watchdog.
    let hangs = world.stand_in(
        "tar",
        r#"case "$*" in *--create*) exec sleep 60;; esac; exec "$REAL" "$@""#,
    );
    let mut running = fresh(world, systemd).env("PATH", hangs).spawn();
    systemd.until("0 of 1 units saved well (exit code 3)");
    running.until_stderr("tar moved nothing for 5 s");
    systemd.until_answers(2);
    end(running);
    stack.assert_running(&["db"]);
    world.config(|c| c["backup"]["stall_timeout"] = 60.into());
}

fn a_signal_in_the_window_closes_it(world: &World, systemd: &Systemd, stack: &Stack) {
    let held = world.hold("read", fresh(world, systemd));
    stack.assert_running(&[]);
    held.signal(Signal::TERM);
    systemd.until("STOPPING=1");
    held.release().code(143);
    stack.assert_running(&["db"]);
    assert!(world.stop_records().is_empty());
}

fn the_lock_of_another_is_respected(world: &World, systemd: &Systemd, stack: &Stack) {
    let held = world.hold_backup(&[stack.unit()], "read", |run| run.stdout_any());
    let running = fresh(world, systemd).spawn();
    systemd.until("STATUS=Waiting: another run is at work: `kopi-docka backup`, process ");
    assert!(!world.path("state/daemon.json").exists());
    end(running);
    held.release().ok();
}

/// The repository is away until `Away` is dropped.
struct Away<'a>(&'a World);

impl<'a> Away<'a> {
    fn new(world: &'a World) -> Self {
        fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
        Self(world)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        fs::rename(self.0.path("elsewhere"), self.0.path("repo")).unwrap();
    }
}

fn is_pending(world: &World) -> bool {
    let entries = fs::read_dir(world.path("state/retry"));
    entries.is_ok_and(|mut entries| entries.next().is_some())
}

fn looks_often(run: Run) -> Run {
    run.env("KOPI_DOCKA_FAULT_RETRY_SECONDS", "1")
}

fn a_repository_that_is_back_gets_its_backup(world: &World, systemd: &Systemd) {
    let away = Away::new(world);
    let running = looks_often(fresh(world, systemd)).spawn();
    systemd.next("STATUS=Last backup: 2");
    assert!(is_pending(world));
    drop(away);
    systemd.next("STATUS=Last backup: 2");
    assert_eq!(world.report()["exit_code"], 0);
    assert!(!is_pending(world));
    systemd.until_answers(2);
    running.signal(Signal::TERM);
    let done = running.code(143);
    assert!(done.stderr().contains("makes up for that of "), "{done}");
    assert_eq!(world.reports().len(), 1);

    // A daemon that starts again knows of it, and its next regular one is due as if nothing had been.
    let away = Away::new(world);
    let running = fresh(world, systemd).spawn();
    systemd.next("STATUS=Last backup: 2");
    end(running);
    drop(away);
    let before = fs::read(world.path("state/daemon.json")).unwrap();
    let run = daemon(world, &["--interval-minutes", "60"]);
    let running = systemd.starts(world, looks_often(run)).spawn();
    systemd.next("STATUS=Last backup: 2");
    end(running);
    assert!(!is_pending(world));
    assert_eq!(fs::read(world.path("state/daemon.json")).unwrap(), before);
}

fn one_that_does_not_come_back_is_given_up(world: &World, systemd: &Systemd) {
    world.config(|c| c["backup"]["retry_when_reachable"] = "2s".into());
    let _away = Away::new(world);
    let mut running = looks_often(fresh(world, systemd)).spawn();
    systemd.until("STATUS=Given up: the backup of 2");
    running.until_stderr("was not made: the repository did not answer until ");
    assert!(!is_pending(world));
    end(running);
    world.config(|c| c["backup"]["retry_when_reachable"] = "6h".into());
}

fn cron_makes_up_for_a_backup_too(world: &World, stack: &Stack) {
    let retry = || world.kd(&["retry"]);
    let away = Away::new(world);
    world.kd(&["--quiet", "backup"]).stderr_any().code(17);
    assert!(is_pending(world));
    retry().ok();
    world
        .kd(&["--quiet", "check"])
        .stdout("is tried again until ")
        .code(17);
    drop(away);

    // A backup of one unit is another one, and while it runs nothing is asked.
    let held = world.hold_backup(&[stack.unit()], "read", |run| run.stdout_any());
    retry().ok();
    held.release().ok();
    assert!(is_pending(world));

    let before = world.reports().len();
    retry().stdout_any().stderr("makes up for that of ").ok();
    assert_eq!(world.reports().len(), before + 1);
    assert!(!is_pending(world));
    retry().ok();
    assert_eq!(world.reports().len(), before + 1);
}

// ---- the lock ----

#[test]
fn a_backup_waits_for_another_when_asked_to() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    world.init();
    let held = world.hold_backup(&[stack.unit()], "read", |run| run.stdout_any());
    let another = |wait: &str| world.kd(&["backup", "--unit", stack.unit(), wait]);
    let who = "another run is at work: `kopi-docka backup`, process ";

    another("--wait=1s")
        .stderr(format!("Waiting: {who}"))
        .stderr(format!("error: {who}"))
        .code(11);

    let mut waiting = another("--wait=10m")
        .stderr("a signal ended the waiting")
        .spawn();
    waiting.until_stderr("Waiting: ");
    end(waiting);

    let mut waiting = another("--wait").stdout_any().stderr(who).spawn();
    waiting.until_stderr("Waiting: ");
    held.release().ok();
    waiting.ok();
    assert_eq!(world.reports().len(), 2);
    stack.assert_running(&["db"]);
}
