//! The units, with all of their hardening, and a repository on another machine of the tailnet.

use std::time::{Duration, Instant};

use crate::common::{Machine, Member as _, Node, Tailnet, until};
use crate::systemd::{BACKUP, DAEMON, Host, RETRY};

/// Kopia alone would wait 45 s.
const SOON: Duration = Duration::from_secs(30);

const PATIENCE: Duration = Duration::from_secs(60);

fn machine() -> Host {
    Host::on(Machine::with_tailscale(), |_| {})
}

/// A system call that is refused ends the program, or the child that made it, instead of being an error that may be swallowed.
fn be_strict(host: &Host) {
    for unit in [BACKUP, DAEMON, RETRY] {
        let file = format!("/etc/systemd/system/{unit}.d/strict.conf");
        let strict = "[Service]\nSystemCallErrorNumber=kill\n";
        host.machine.write(&file, "644", strict);
    }
    host.machine.systemctl(&["daemon-reload"]).ok();
}

#[test]
fn the_timer_s_backup_goes_to_a_machine_of_the_tailnet_and_is_made_up_for_when_that_was_away() {
    let tailnet = Tailnet::start();
    let mut attic = tailnet.node("attic");
    let host = machine();
    let machine = &host.machine;
    let home = tailnet.machine(machine, "home");
    host.move_to(&home.repository_on(&attic));
    be_strict(&host);
    host.prove_a_backup();
    assert_eq!(host.points(), 1);
    attic
        .run("ls")
        .arg(attic.path("store/repository"))
        .stdout("kopia.repository")
        .ok();
    check_under_the_unit(&host, &attic);

    attic.offline();
    home.until_sees(&attic, false);
    let since = Instant::now();
    host.miss_a_backup();
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert!(host.is_pending());
    machine.until_journal(&["--unit", BACKUP], "`attic` is offline in the tailnet");
    let told = "this backup is made when the repository answers";
    machine.until_journal(&["--unit", BACKUP], told);

    host.shorten_the_retry();
    attic.online();
    host.until_points(BACKUP, 1);
    machine.until_journal(&["--unit", BACKUP], "makes up for that of ");
    machine.until_property(BACKUP, "ActiveState", "inactive");
    assert_eq!(machine.property(BACKUP, "Result"), "success");
    assert!(!host.is_pending());
    assert!(machine.is_running(&host.app));
    assert_eq!(host.points(), 2);
}

/// `check`, with all that the backup may do and no more.
#[track_caller]
fn check_under_the_unit(host: &Host, attic: &Node) {
    let machine = &host.machine;
    let check =
        "[Service]\nExecStart=\nExecStart=/usr/bin/kopi-docka check --verbose\nExecStopPost=\n";
    host.drop_in(BACKUP, check);
    let start = machine.systemctl(&["start", BACKUP]);
    start.stderr_any().run();
    for found in ["`attic` answers directly in ", "lets this host in; "] {
        machine.until_journal(&["--unit", BACKUP], found);
    }
    let known = machine
        .exec(&["kopi-docka", "check", "--verbose"])
        .stdout_any();
    let known = known.stderr_any().run().stdout();
    assert!(known.contains(&attic.dns_name()), "{known}");
    machine
        .sh("rm /etc/systemd/system/kopi-docka-backup.service.d/test.conf")
        .ok();
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["reset-failed"]).ok();
}

/// How often somebody was turned away for a key.
fn refusals(attic: &Node) -> usize {
    attic.ssh.log().matches("Failed publickey for root").count()
}

#[test]
fn a_key_that_is_refused_is_shown_by_each_regular_run_and_not_by_the_retry() {
    let tailnet = Tailnet::start();
    let mut attic = tailnet.node("attic");
    let host = machine();
    let machine = &host.machine;
    let home = tailnet.machine(machine, "home");
    host.move_to(&home.repository_on(&attic));
    let before = host.started();
    attic.offline();
    home.until_sees(&attic, false);
    host.miss_a_backup();
    assert!(host.is_pending());

    // What is found out when it is back ends the waiting.
    attic.ssh.refuse_keys();
    host.shorten_the_retry();
    attic.online();
    let said = "the storage refused the credentials";
    machine.until_journal(&["--unit", BACKUP], said);
    machine.until_property(BACKUP, "ActiveState", "failed");
    assert!(!host.is_pending());
    // The timer comes again, after a look that was still under way.
    let looked_at = || machine.property(RETRY, "ConditionTimestampMonotonic");
    let last = looked_at();
    until("the timer", PATIENCE, || {
        (looked_at() != last).then_some(())
    });
    assert_eq!(machine.property(RETRY, "ConditionResult"), "no");
    // One that had looked before the first run was over may have started another.
    machine.systemctl(&["stop", "kopi-docka-retry.timer"]).ok();
    machine.until_property(BACKUP, "ActiveState", "failed");
    // The look and the run that it starts; on a busy machine further looks, before that run has begun.
    let counted = refusals(&attic);
    assert!((2..10).contains(&counted), "{}", attic.ssh.log());

    let start = machine.systemctl(&["start", BACKUP]);
    start.stderr_any().code(1);
    assert_eq!(machine.property(BACKUP, "ExecMainStatus"), "17");
    assert!(!host.is_pending());
    assert_eq!(refusals(&attic), counted + 1);
    assert_eq!(host.started(), before);
}

#[test]
fn the_daemon_makes_up_for_a_backup_to_a_machine_that_was_away() {
    let tailnet = Tailnet::start();
    let mut attic = tailnet.node("attic");
    let host = machine();
    let machine = &host.machine;
    let home = tailnet.machine(machine, "home");
    host.move_to(&home.repository_on(&attic));
    be_strict(&host);
    host.fill();
    attic.offline();
    home.until_sees(&attic, false);
    let before = host.started();
    host.drop_in(
        DAEMON,
        "[Service]\nExecStart=\nExecStart=/usr/bin/kopi-docka daemon --interval-minutes 1440\n\
         Environment=KOPI_DOCKA_FAULT_RETRY_SECONDS=2\n",
    );
    machine.systemctl(&["start", DAEMON]).ok();
    machine.until_journal(&["--unit", DAEMON], "`attic` is offline in the tailnet");
    let told = "this backup is made when the repository answers";
    machine.until_journal(&["--unit", DAEMON], told);
    assert!(host.is_pending());
    assert_eq!(host.started(), before);

    attic.online();
    host.until_points(DAEMON, 1);
    machine.until_journal(&["--unit", DAEMON], "makes up for that of ");
    assert!(machine.is_running(&host.app));
    machine.systemctl(&["stop", DAEMON]).ok();
    assert_eq!(machine.property(DAEMON, "Result"), "success");
    assert!(!host.is_pending());
}
