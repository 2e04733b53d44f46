//! A machine of the tailnet that goes away, stands still or gets full while a run writes to it or reads from it.

use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Member as _, Node, Run, Running, Stack, Tailnet, World};
use crate::tailnet::world;
use crate::tailnet_check::assert_found;

/// Kopia alone would wait for a frozen machine for ever.
const BOUND: Duration = Duration::from_secs(90);

/// `db` with so much that Kopia has to send some of it before it has read all.
fn stack(world: &World, mebibytes: u64) -> Stack {
    let stack = world.web();
    fill(&stack, mebibytes);
    stack
}

/// With other data than before.
fn fill(stack: &Stack, mebibytes: u64) {
    let noise = fs::File::open("/dev/urandom").unwrap();
    let mut noise = noise.take(mebibytes << 20);
    let mut file = fs::File::create(stack.volume_path("data").join("noise")).unwrap();
    std::io::copy(&mut noise, &mut file).unwrap();
}

fn stall_after(world: &World, seconds: u64) {
    world.config(|config| config["backup"]["stall_timeout"] = json!(seconds));
}

#[track_caller]
fn init(home: &Node, world: &World) {
    let init = home.inside(world.kd(&["--quiet", "init"]));
    init.stdout_any().ok();
}

fn backup(home: &Node, world: &World, stack: &Stack) -> Run {
    let backup = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    home.inside(backup).stdout_any()
}

#[test]
fn a_machine_that_goes_away_in_the_middle_of_a_backup_costs_that_backup_alone() {
    let tailnet = Tailnet::start();
    let [home, mut attic] = tailnet.nodes(["home", "attic"]);
    let world = world(&home, &attic);
    stall_after(&world, 30);
    init(&home, &world);
    let stacks = ["one", "two", "three"].map(|name| {
        let stack = world.stack(name);
        let stack = stack.service(name, |s| s.volume("data", "/data")).up();
        fill(&stack, 48);
        stack
    });
    let backup = || {
        let mut args = vec!["--quiet", "backup"];
        for stack in &stacks {
            args.extend(["--unit", stack.unit()]);
        }
        home.inside(world.kd(&args)).stdout_any()
    };
    let watch = world.watch();
    let away = "`attic` is offline in the tailnet, ";
    let run = backup()
        .stderr(format!("caused by: {away}"))
        .stderr("hint: switch `attic` on");
    let held = world.hold("read", run);
    attic.offline();
    home.until_sees(&attic, false);
    let since = Instant::now();
    let mut running = held.release();
    let first = |_: &Running| stacks[0].running().contains("one").then_some(());
    running.until("the container to run again", first);
    // Still hoping.
    assert!(running.is_running());
    let done = running.code(3);
    // Only one unit has waited for so long.
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    let said = done.stderr();
    assert_eq!(said.matches(away).count(), 3, "{said}");
    assert_eq!(
        said.matches("no sign of life for 30 s").count(),
        1,
        "{said}"
    );
    for (stack, name) in stacks.iter().zip(["one", "two", "three"]) {
        stack.assert_running(&[name]);
    }
    let events = watch.events();
    assert_eq!(events.order("die"), ["one"], "{events}");
    assert_eq!(world.stop_records(), Vec::<Value>::new());
    world.until_no_process_is_left();
    attic.online();
    home.until_reaches(&attic);
    backup().ok();
}

/// How a machine goes, and how it comes back.
struct Outage {
    begin: fn(&mut Node),
    end: fn(&mut Node),
}

/// A backup that loses `attic` in the middle goes on when that is back.
#[track_caller]
fn outlasts(home: &Node, world: &World, stack: &Stack, attic: &mut Node, outage: &Outage) {
    fill(stack, 64);
    let held = world.hold("read", backup(home, world, stack));
    (outage.begin)(attic);
    let mut running = held.release();
    running.until("the container to run again", |_| {
        (!stack.running().is_empty()).then_some(())
    });
    let ping = ["ping", "--c=2", "--timeout=2s", attic.address()];
    home.tailscale(&ping).stdout_any().stderr_any().code(1);
    assert!(running.is_running());
    (outage.end)(attic);
    running.ok();
}

#[test]
fn a_machine_that_is_away_for_a_moment_costs_nothing() {
    let tailnet = Tailnet::start();
    let [home, mut attic] = tailnet.nodes(["home", "attic"]);
    let world = world(&home, &attic);
    init(&home, &world);
    let stack = world.web();
    let cable = Outage {
        begin: |it| it.unplug(),
        end: |it| it.plug(),
    };
    outlasts(&home, &world, &stack, &mut attic, &cable);
    // It is started again: no connection is left.
    let power = Outage {
        begin: |it| {
            it.offline();
            it.ssh.stop();
        },
        end: |it| {
            it.ssh.restart();
            it.online();
        },
    };
    outlasts(&home, &world, &stack, &mut attic, &power);
}

#[test]
fn a_machine_that_goes_away_in_the_middle_of_a_restore_changes_nothing() {
    let tailnet = Tailnet::start();
    let [home, mut attic] = tailnet.nodes(["home", "attic"]);
    let world = world(&home, &attic);
    stall_after(&world, 15);
    init(&home, &world);
    let stack = stack(&world, 64);
    let file = stack.volume_path("data").join("file");
    fs::write(&file, "what was saved").unwrap();
    backup(&home, &world, &stack).ok();
    fs::write(&file, "what came later").unwrap();

    let watch = world.watch();
    let restore = || {
        let restore = world.restore_latest(stack.unit(), &[]);
        home.inside(restore).stdout_any()
    };
    let run = restore()
        .stderr("was not restored\n  caused by: `attic` is offline in the tailnet, ")
        .stderr("note: everything that was to be replaced is as it was\n")
        .stderr("note: no container was stopped\n")
        .stderr("hint: switch `attic` on");
    let held = world.hold("restore_extract", run);
    attic.offline();
    home.until_sees(&attic, false);
    let since = Instant::now();
    held.release().code(17);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    assert_eq!(fs::read_to_string(&file).unwrap(), "what came later");
    watch.events().assert_untouched();
    world.until_no_process_is_left();
    attic.online();
    home.until_reaches(&attic);
    restore().ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "what was saved");
    stack.assert_running(&["db"]);
}

#[test]
fn a_machine_whose_disk_gets_full_is_named() {
    let tailnet = Tailnet::start();
    let [home, attic] = tailnet.nodes(["home", "attic"]);
    let store = attic.mount_small("store", 150);
    let world = world(&home, &attic);
    init(&home, &world);
    let stack = stack(&world, 64);
    let little = assert_found(&home, &world, "warning", "MiB free in `");
    assert!(little.contains("free space there"), "{little}");
    let run = backup(&home, &world, &stack)
        .stderr("caused by: the disk of attic.tail.test is full: 0 B free in `")
        .stderr("hint: free space there");
    let held = world.hold("read", run);
    attic.fill(&store);
    held.release().code(3);
    stack.assert_running(&["db"]);
    assert_eq!(world.stop_records(), Vec::<Value>::new());
    attic.make_space(&store);
    backup(&home, &world, &stack).ok();
    stack.assert_running(&["db"]);
}

#[test]
fn a_machine_that_stands_still_is_given_up_before_anything_is_stopped() {
    let tailnet = Tailnet::start();
    let [home, attic] = tailnet.nodes(["home", "attic"]);
    let world = world(&home, &attic);
    init(&home, &world);
    let stack = stack(&world, 1);
    attic.freeze();
    let watch = world.watch();
    let since = Instant::now();
    let running = backup(&home, &world, &stack)
        .stderr("error: `attic` is online in the tailnet, but does not answer\n")
        .stderr("hint: see whether `attic` hangs")
        .spawn();
    let what = "`attic` does not answer in the tailnet";
    assert_found(&home, &world, "failure", what);
    running.code(17);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    watch.events().assert_untouched();
    attic.thaw();
    home.until_reaches(&attic);
    backup(&home, &world, &stack).ok();
}
