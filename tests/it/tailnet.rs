//! A real tailnet: that the kit's does what the others are, and what a backup to another machine of one's own meets there.

use std::time::Duration;

use serde_json::json;

use crate::common::{Node, Run, Tailnet, Terminal, World, until};

/// `ssh` from `from` with nothing but its key and the host keys that it knows.
fn ssh(from: &Node, user: &str, host: &str, command: &str) -> Run {
    let options = ["BatchMode=yes", "ConnectTimeout=4", "LogLevel=ERROR"];
    let run = from.run("ssh").arg("-F").arg("/dev/null");
    let run = run.args(options.map(|option| format!("-o{option}")));
    let known = from.path("root/.ssh/known_hosts");
    let run = run.arg(format!("-oUserKnownHostsFile={}", known.display()));
    run.arg(format!("{user}@{host}")).arg(command)
}

/// `kopia_params` for a repository on `to`, which `from` logs in to as root.
fn params(from: &Node, to: &Node, host: &str) -> String {
    format!(
        "sftp --path {} --host {host} --username root --keyfile {} --known-hosts {}",
        to.path("store/repository").display(),
        from.path("root/.ssh/id_ed25519").display(),
        from.path("root/.ssh/known_hosts").display(),
    )
}

/// A world whose repository is on `to`, by its name.
fn world(from: &Node, to: &Node) -> World {
    let world = World::new();
    to.let_in(from);
    from.pin(to);
    let params = params(from, to, &to.dns_name());
    world.config(|config| config["kopia"]["kopia_params"] = json!(params));
    world
}

#[test]
fn machines_of_a_tailnet_reach_each_other_by_name_and_address() {
    let tailnet = Tailnet::start();
    let [a, mut b, c] = tailnet.nodes(["home", "attic", "shed"]);
    assert_eq!(a.status()["BackendState"], "Running");
    let ping = ["ping", "--c=1", "attic"];
    a.tailscale(&ping).stdout("via 10.98.0.").ok();
    b.let_in(&a);
    a.pin(&b);
    for host in [b.address(), b.name(), &b.dns_name()] {
        for user in ["root", "keeper"] {
            ssh(&a, user, host, "id -un; hostname")
                .stdout_is(format!("{user}\nattic\n"))
                .ok();
        }
    }
    // Who is not let in is not.
    ssh(&c, "root", b.address(), "true")
        .stderr("Host key verification failed")
        .code(255);
    c.pin(&b);
    ssh(&c, "root", b.address(), "true")
        .stderr("Permission denied")
        .code(255);
    b.only_relayed();
    a.until_sees(&b, true);
    until("a pong from the relay", Duration::from_secs(30), || {
        let ping = [
            "ping",
            "--c=1",
            "--timeout=2s",
            "--until-direct=false",
            "attic",
        ];
        let said = a.tailscale(&ping).run().stdout();
        said.contains("via DERP(test)").then_some(())
    });
    ssh(&a, "root", "attic", "hostname")
        .stdout_is("attic\n")
        .ok();
}

#[test]
fn a_repository_is_on_a_peer_that_goes_and_comes() {
    let tailnet = Tailnet::start();
    let [a, mut b, c] = tailnet.nodes(["home", "attic", "shed"]);
    let world = world(&a, &b);
    a.inside(world.kd(&["--quiet", "init"])).stdout_any().ok();
    b.run("ls")
        .arg(b.path("store/repository"))
        .stdout("kopia.repository")
        .ok();
    b.offline();
    for node in [&a, &c] {
        node.until_sees(&b, false);
    }
    ssh(&a, "root", b.address(), "true")
        .stderr("timed out")
        .code(255);
    b.online();
    a.until_reaches(&b);
    ssh(&a, "root", b.address(), "hostname")
        .stdout_is("attic\n")
        .ok();
}

#[test]
fn a_machine_knows_in_which_state_it_is() {
    let tailnet = Tailnet::start();
    let [mut a, _b] = tailnet.nodes(["home", "attic"]);
    let state = |node: &Node| node.status()["BackendState"].clone();
    tailnet.stop_control();
    a.until("noticed that its control server is gone", |status| {
        status["Self"]["Online"] == false
    });
    let status = a.status();
    assert_eq!(status["BackendState"], "Running");
    assert_eq!(status["Health"], json!([]));
    // The relay went with it, but a straight way stays.
    let ping = ["ping", "--c=1", "attic"];
    a.tailscale(&ping).stdout("via 10.98.0.").ok();
    tailnet.start_control();
    a.until_online();

    a.down();
    assert_eq!(state(&a), "Stopped");
    a.up();
    assert_eq!(state(&a), "Running");

    tailnet.expire(&a);
    a.until("lost its key", |status| {
        status["BackendState"] == "NeedsLogin"
    });
    a.login();

    a.logout();
    assert_eq!(state(&a), "NeedsLogin");
    a.login();
    assert_eq!(state(&a), "Running");

    a.offline();
    let dead = a.tailscale(&["status", "--json"]);
    dead.stderr("failed to connect to local tailscaled").code(1);
    a.online();
}

#[test]
fn an_ssh_server_is_as_wrong_as_they_come() {
    let tailnet = Tailnet::start();
    let [a, mut b] = tailnet.nodes(["home", "attic"]);
    b.let_in(&a);
    a.pin(&b);
    let works = |b: &Node| ssh(&a, "root", b.name(), "true").ok();
    works(&b);

    b.ssh.freeze();
    ssh(&a, "root", "attic", "true")
        .stderr("timed out")
        .code(255);
    b.ssh.thaw();
    works(&b);

    b.ssh.answer_garbage();
    ssh(&a, "root", "attic", "true").stderr_any().code(255);
    b.ssh.restart();
    works(&b);

    b.ssh.change_host_keys();
    ssh(&a, "root", "attic", "true")
        .stderr("Host key verification failed")
        .code(255);
    a.pin(&b);
    works(&b);

    b.ssh.refuse_keys();
    ssh(&a, "root", "attic", "true")
        .stderr("Permission denied")
        .code(255);
    b.let_in(&a);

    b.ssh.only_sftp();
    ssh(&a, "root", "attic", "true")
        .stdout_any()
        .stderr_any()
        .code(1);

    let store = b.mount_small("store", 4);
    b.fill(&store);
    let put = a.run("sftp").args(["-q", "-b", "-"]).arg("root@attic");
    put.stdin(format!("put /bin/busybox {}/x\n", store.display()))
        .stdout_any()
        .stderr("Failure")
        .code(1);
    b.make_space(&store);
    b.ssh.stop();
    ssh(&a, "root", "attic", "true")
        .stderr("Connection refused")
        .code(255);

    // Nobody is told that it is gone.
    b.unplug();
    ssh(&a, "root", "attic", "true")
        .stderr("timed out")
        .code(255);
    assert_eq!(a.peer(&b).unwrap()["Online"], true);
    b.plug();
    b.ssh.restart();
    b.freeze();
    ssh(&a, "root", "attic", "true")
        .stderr("timed out")
        .code(255);
    b.thaw();
    a.until_reaches(&b);
    a.pin(&b);
    b.ssh.change_host_keys();
    ssh(&a, "root", "attic", "true")
        .stderr("Host key verification failed")
        .code(255);
}

const PEERS: &str = "Machine that holds the repository";

fn wizard(node: &Node, world: &World) -> Terminal {
    let mut wizard = node.inside(world.kd(&["new-config", "--force"])).terminal();
    // Tailscale.
    wizard.choose("Where should the repository be stored?", 6);
    wizard
}

/// Takes what is proposed for all but the directory.
fn describe(wizard: &mut Terminal, directory: &str) {
    wizard.answer("Port", "");
    wizard.answer("User", "");
    wizard.see("Directory there");
    wizard.press(&"\x7f".repeat(80));
    wizard.press(directory);
    wizard.press("\r");
    wizard.answer("Key file", "");
}

/// The rows of the wizard's table, without colours.
fn rows(table: &str) -> Vec<&str> {
    let is_row = |line: &&str| line.contains("100.64.0.");
    table.lines().filter(is_row).map(str::trim).collect()
}

#[test]
fn the_wizard_makes_a_peer_the_place_of_the_repository() {
    let tailnet = Tailnet::start();
    let [home, attic, shed] = tailnet.nodes(["home", "attic", "shed"]);
    let world = World::new();
    shed.let_in(&home);
    let mut wizard = wizard(&home, &world);
    let table = wizard.see(PEERS);
    let rows = rows(&table);
    let place = |node: &Node| rows.iter().position(|row| row.contains(node.address()));
    for node in [&attic, &shed] {
        let row = rows[place(node).unwrap()];
        assert!(row.starts_with("online") && row.ends_with(" ms"), "{table}");
        // Asked only where this machine may log in already.
        assert_eq!(row.contains(" GiB "), node.name() == "shed", "{table}");
    }
    wizard.press(&"j".repeat(place(&attic).unwrap()));
    wizard.press("\r");
    let directory = attic.path("store/repository");
    describe(&mut wizard, directory.to_str().unwrap());
    wizard.see("Host keys of attic.tail.test:");
    wizard.see("keys of your server?");
    wizard.press("y");
    wizard.see("attic.tail.test does not take the key for `root` yet.");
    wizard.choose("How should the key be installed?", 0);
    wizard.answer("root@attic.tail.test's password:", Node::PASSWORD);
    wizard.see("The login works");
    wizard.see("holds no repository yet");
    wizard.choose("Password of the repository", 2);
    wizard.code(0);
    let params = &world.read_config()["kopia"]["kopia_params"];
    let params = params.as_str().unwrap();
    assert!(params.contains("--host attic.tail.test "), "{params}");

    let stack = world.web();
    let file = stack.volume_path("data").join("file");
    std::fs::write(&file, "what was saved").unwrap();
    let there = |run: Run| home.inside(run).stdout_any();
    there(world.kd(&["--quiet", "init"])).ok();
    let backup = || world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    there(backup()).ok();
    assert!(directory.join("kopia.repository.f").exists());
    std::fs::write(&file, "what came later").unwrap();
    there(world.restore_latest(stack.unit(), &[])).ok();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "what was saved");
    // A straight way needs no control server.
    tailnet.stop_control();
    home.until("noticed that its control server is gone", |status| {
        status["Self"]["Online"] == false
    });
    there(backup()).ok();
}

#[test]
fn the_wizard_says_why_there_is_no_peer_to_choose() {
    let tailnet = Tailnet::start();
    let [mut home, mut attic] = tailnet.nodes(["home", "attic"]);
    let world = World::new();
    attic.offline();
    home.until_sees(&attic, false);
    let mut offline = wizard(&home, &world);
    let table = offline.see(PEERS);
    assert!(rows(&table)[0].starts_with("offline  attic"), "{table}");
    drop(offline);
    tailnet.stop_control();
    home.until("noticed that its control server is gone", |status| {
        status["Self"]["Online"] == false
    });
    let mut outdated = wizard(&home, &world);
    outdated.see("Tailscale's control server cannot be reached");
    outdated.see(PEERS);
    drop(outdated);
    tailnet.start_control();
    home.until_online();
    let refused = |home: &Node, why: &str, remedy: &str| {
        let rest = wizard(home, &world).code(15);
        assert!(rest.contains(why) && rest.contains(remedy), "{rest}");
    };
    home.down();
    refused(&home, "Tailscale is stopped", "sudo tailscale up");
    home.up();
    tailnet.expire(&home);
    home.until("lost its key", |status| {
        status["BackendState"] == "NeedsLogin"
    });
    refused(&home, "not logged in", "sudo tailscale up");
    home.login();
    home.logout();
    refused(&home, "not logged in", "sudo tailscale up");
    home.offline();
    refused(
        &home,
        "daemon does not answer",
        "systemctl enable --now tailscaled",
    );
}
