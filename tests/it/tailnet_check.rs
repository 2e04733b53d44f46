//! What `check` and failed commands say of the machine of the tailnet that holds the repository.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Member as _, Node, Tailnet, World, until};
use crate::tailnet::world;

/// Kopia alone would wait 45 s, and for a frozen machine for ever.
const SOON: Duration = Duration::from_secs(30);

/// What `check` finds in the tailnet, and the code that it ends with.
fn findings(home: &Node, world: &World) -> (Vec<Value>, i32) {
    let check = home.inside(world.kd(&["--json", "check"]));
    let checked = check.stdout_any().stderr_any().run();
    let found = checked.json()["findings"].as_array().unwrap().clone();
    let found = found
        .into_iter()
        .filter(|finding| finding["area"] == "tailnet");
    (found.collect(), checked.code.unwrap())
}

/// One of them is in `state` and says `what`.
#[track_caller]
pub fn assert_found(home: &Node, world: &World, state: &str, what: &str) -> String {
    let (found, _) = findings(home, world);
    let fits = |finding: &&Value| {
        finding["state"] == state && finding["message"].as_str().unwrap().contains(what)
    };
    let finding = found.iter().find(fits);
    let finding = finding.unwrap_or_else(|| panic!("{state}: {what}: {found:#?}"));
    finding.to_string()
}

#[test]
fn check_proves_the_machine_again() {
    let tailnet = Tailnet::start();
    let [mut home, mut attic] = tailnet.nodes(["home", "attic"]);
    let world = world(&home, &attic);
    home.inside(world.kd(&["--quiet", "init"]))
        .stdout_any()
        .ok();
    assert_found(&home, &world, "ok", "`attic` answers directly in ");
    assert_found(&home, &world, "ok", "lets this host in");

    // Another machine has its name.
    let known = json!({"peers": {attic.dns_name(): {"id": "99", "name": "attic"}}});
    let file = world.path("state/peer.json");
    fs::write(&file, known.to_string()).unwrap();
    assert_found(&home, &world, "warning", "is another machine");
    let id = home.peer(&attic).unwrap()["ID"].clone();
    let known = json!({"peers": {attic.dns_name(): {"id": id, "name": "attic"}}});
    fs::write(&file, known.to_string()).unwrap();
    // A new key is no new machine.
    attic.renew_key();
    attic.until_online();
    home.until_sees(&attic, true);
    home.until_reaches(&attic);
    let (found, _) = findings(&home, &world);
    assert!(
        found.iter().all(|finding| finding["state"] == "ok"),
        "{found:#?}"
    );

    tailnet.stop_control();
    home.until("noticed that its control server is gone", |status| {
        status["Self"]["Online"] == false
    });
    assert_found(&home, &world, "ok", "the control server");
    tailnet.start_control();
    home.until_online();

    attic.ssh.refuse_keys();
    assert_found(&home, &world, "failure", "does not take the key");
    attic.let_in(&home);
    attic.ssh.change_host_keys();
    let changed = assert_found(&home, &world, "failure", "shows other host keys");
    assert_eq!(changed.matches("SHA256:").count(), 6, "{changed}");
    assert!(changed.contains("kopi-docka init"), "{changed}");
    home.pin(&attic);

    attic.only_relayed();
    home.until_sees(&attic, true);
    until("a relayed answer", SOON, || {
        let (found, _) = findings(&home, &world);
        let relayed = |finding: &Value| {
            finding["state"] == "warning"
                && finding["message"]
                    .as_str()
                    .unwrap()
                    .contains("relay `test`")
        };
        found.iter().any(relayed).then_some(())
    });

    attic.offline();
    home.until_sees(&attic, false);
    let away = assert_found(
        &home,
        &world,
        "failure",
        "`attic` is offline in the tailnet",
    );
    assert!(away.contains("switch `attic` on"), "{away}");
    home.down();
    let stopped = assert_found(&home, &world, "failure", "Tailscale is stopped");
    assert!(stopped.contains("sudo tailscale up"), "{stopped}");
    home.offline();
    assert_found(&home, &world, "failure", "daemon does not answer");
}

#[test]
fn a_backup_to_a_machine_that_is_away_fails_soon_and_stops_nothing() {
    let tailnet = Tailnet::start();
    let [home, mut attic] = tailnet.nodes(["home", "attic"]);
    let world = world(&home, &attic);
    let stack = world.web();
    home.inside(world.kd(&["--quiet", "init"]))
        .stdout_any()
        .ok();
    let backup = || home.inside(world.kd(&["--quiet", "backup", "--unit", stack.unit()]));
    backup().stdout_any().ok();
    attic.offline();
    home.until_sees(&attic, false);
    let watch = world.watch();
    let since = Instant::now();
    backup()
        .stdout_any()
        .stderr("`attic` is offline in the tailnet")
        .stderr("switch `attic` on")
        .code(17);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    watch.events().assert_untouched();
    attic.online();
    home.until_reaches(&attic);
    backup().stdout_any().ok();
    stack.assert_running(&["db"]);
}
