//! A real tailnet: that the kit's does what the others are, and what a backup to another machine of one's own meets there.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::common::{Member as _, Node, Run, Tailnet, Terminal, World, until};

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
pub fn world(from: &Node, to: &Node) -> World {
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
    let [home, mut attic, shed] = tailnet.nodes(["home", "attic", "shed"]);
    assert_eq!(home.status()["BackendState"], "Running");
    let ping = ["ping", "--c=1", "attic"];
    home.tailscale(&ping).stdout("via 10.98.0.").ok();
    attic.let_in(&home);
    home.pin(&attic);
    for host in [attic.address(), attic.name(), &attic.dns_name()] {
        for user in ["root", "keeper"] {
            ssh(&home, user, host, "id -un; hostname")
                .stdout_is(format!("{user}\nattic\n"))
                .ok();
        }
    }
    // Who is not let in is not.
    ssh(&shed, "root", attic.address(), "true")
        .stderr("Host key verification failed")
        .code(255);
    shed.pin(&attic);
    ssh(&shed, "root", attic.address(), "true")
        .stderr("Permission denied")
        .code(255);
    attic.only_relayed();
    home.until_sees(&attic, true);
    until("a pong from the relay", Duration::from_secs(30), || {
        let ping = [
            "ping",
            "--c=1",
            "--timeout=2s",
            "--until-direct=false",
            "attic",
        ];
        let said = home.tailscale(&ping).run().stdout();
        said.contains("via DERP(test)").then_some(())
    });
    ssh(&home, "root", "attic", "hostname")
        .stdout_is("attic\n")
        .ok();
}

#[test]
fn a_repository_is_on_a_peer_that_goes_and_comes() {
    let tailnet = Tailnet::start();
    let [home, mut attic, shed] = tailnet.nodes(["home", "attic", "shed"]);
    let world = world(&home, &attic);
    home.inside(world.kd(&["--quiet", "init"]))
        .stdout_any()
        .ok();
    attic
        .run("ls")
        .arg(attic.path("store/repository"))
        .stdout("kopia.repository")
        .ok();
    attic.offline();
    for node in [&home, &shed] {
        node.until_sees(&attic, false);
    }
    ssh(&home, "root", attic.address(), "true")
        .stderr("timed out")
        .code(255);
    attic.online();
    home.until_reaches(&attic);
    ssh(&home, "root", attic.address(), "hostname")
        .stdout_is("attic\n")
        .ok();
}

#[test]
fn a_machine_knows_in_which_state_it_is() {
    let tailnet = Tailnet::start();
    let [mut home, attic] = tailnet.nodes(["home", "attic"]);
    let state = |node: &Node| node.status()["BackendState"].clone();
    tailnet.stop_control();
    home.until("noticed that its control server is gone", |status| {
        status["Self"]["Online"] == false
    });
    let status = home.status();
    assert_eq!(status["BackendState"], "Running");
    assert_eq!(status["Health"], json!([]));
    // The relay went with it, but a straight way stays.
    let ping = ["ping", "--c=1", "attic"];
    home.tailscale(&ping).stdout("via 10.98.0.").ok();
    tailnet.start_control();
    home.until_online();

    home.down();
    assert_eq!(state(&home), "Stopped");
    home.up();
    assert_eq!(state(&home), "Running");

    // After each of these it has another key, and is the same machine.
    let seen = || {
        attic.until_sees(&home, true);
        let peer = attic.peer(&home).unwrap();
        let text = |name: &str| peer[name].as_str().unwrap().to_owned();
        (text("ID"), text("PublicKey"))
    };
    let mut last = seen();
    let mut renewed = || {
        let next = until("another key", Duration::from_secs(30), || {
            Some(seen()).filter(|next| next.1 != last.1)
        });
        assert_eq!(next.0, last.0);
        last = next;
    };
    home.logout();
    assert_eq!(state(&home), "NeedsLogin");
    home.login();
    renewed();
    home.renew_key();
    renewed();
    tailnet.expire(&home);
    assert_eq!(state(&home), "NeedsLogin");
    until("the other to see it", Duration::from_secs(30), || {
        (attic.peer(&home)?["Expired"] == true).then_some(())
    });
    home.login();
    attic.until_sees(&home, true);
    attic.until_reaches(&home);

    home.offline();
    let dead = home.tailscale(&["status", "--json"]);
    dead.stderr("failed to connect to local tailscaled").code(1);
    home.online();
}

#[test]
fn an_ssh_server_is_as_wrong_as_they_come() {
    let tailnet = Tailnet::start();
    let [home, mut attic] = tailnet.nodes(["home", "attic"]);
    attic.let_in(&home);
    home.pin(&attic);
    let works = |attic: &Node| ssh(&home, "root", attic.name(), "true").ok();
    works(&attic);

    attic.ssh.freeze();
    ssh(&home, "root", "attic", "true")
        .stderr("timed out")
        .code(255);
    attic.ssh.thaw();
    works(&attic);

    attic.ssh.answer_garbage();
    ssh(&home, "root", "attic", "true").stderr_any().code(255);
    attic.ssh.restart();
    works(&attic);

    attic.ssh.change_host_keys();
    ssh(&home, "root", "attic", "true")
        .stderr("Host key verification failed")
        .code(255);
    home.pin(&attic);
    works(&attic);

    attic.ssh.refuse_keys();
    ssh(&home, "root", "attic", "true")
        .stderr("Permission denied")
        .code(255);
    attic.let_in(&home);

    attic.ssh.only_sftp();
    ssh(&home, "root", "attic", "true")
        .stdout_any()
        .stderr_any()
        .code(1);

    let store = attic.mount_small("store", 4);
    attic.fill(&store);
    let put = home.run("sftp").args(["-q", "-b", "-"]).arg("root@attic");
    put.stdin(format!("put /bin/busybox {}/x\n", store.display()))
        .stdout_any()
        .stderr("Failure")
        .code(1);
    attic.make_space(&store);
    attic.ssh.stop();
    ssh(&home, "root", "attic", "true")
        .stderr("Connection refused")
        .code(255);

    // Nobody is told that it is gone.
    attic.unplug();
    ssh(&home, "root", "attic", "true")
        .stderr("timed out")
        .code(255);
    assert_eq!(home.peer(&attic).unwrap()["Online"], true);
    attic.plug();
    attic.ssh.restart();
    attic.freeze();
    ssh(&home, "root", "attic", "true")
        .stderr("timed out")
        .code(255);
    attic.thaw();
    home.until_reaches(&attic);
    home.pin(&attic);
    attic.ssh.change_host_keys();
    ssh(&home, "root", "attic", "true")
        .stderr("Host key verification failed")
        .code(255);
}

#[test]
fn another_machine_has_the_stack_again_when_the_first_is_lost() {
    let tailnet = Tailnet::start();
    let [home, attic, shed] = tailnet.nodes(["home", "attic", "shed"]);
    let world = world(&home, &attic);
    let stack = world.web();
    let file = stack.volume_path("data").join("file");
    fs::write(&file, "what was saved").unwrap();
    home.inside(world.kd(&["--quiet", "init"]))
        .stdout_any()
        .ok();
    let backup = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    home.inside(backup).ok();
    let out = world.path("out");
    let bundle = ["--json", "disaster-recovery", "--output"];
    let bundle = home.inside(world.kd(&bundle).arg(&out)).stderr_any().json();
    let bundle = bundle["path"].as_str().unwrap();
    let password = fs::read_to_string(world.path("recovery-password")).unwrap();
    world.secret_file("password", &password);

    world.lose_host(&stack);
    // Its key is in the bundle.
    fs::remove_dir_all(home.path("root/.ssh")).unwrap();
    drop(home);
    let restore = format!(
        "kopi-docka --config {config} disaster-recovery --restore {bundle} --password-file {password} --take-over --yes && \
         kopi-docka --config {config} restore --all --up --yes",
        config = world.config_path().display(),
        password = world.path("password").display(),
    );
    shed.inside(world.shell(&restore))
        .stdout_any()
        .stderr_any()
        .ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "what was saved");
    stack.assert_running(&["db"]);
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
    // Above it each has told as it answered.
    let (_, table) = table.split_once("Latency").unwrap();
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
    // Which machine that is, so that another one in its place is noticed.
    let known = fs::read(world.path("state/peer.json")).unwrap();
    let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
    let id = &home.peer(&attic).unwrap()["ID"];
    assert_eq!(&known["peers"]["attic.tail.test"]["id"], id);

    let stack = world.web();
    let file = stack.volume_path("data").join("file");
    fs::write(&file, "what was saved").unwrap();
    let there = |run: Run| home.inside(run).stdout_any();
    there(world.kd(&["--quiet", "init"])).ok();
    let backup = || world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    there(backup()).ok();
    assert!(directory.join("kopia.repository.f").exists());
    fs::write(&file, "what came later").unwrap();
    there(world.restore_latest(stack.unit(), &[])).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "what was saved");
    // A straight way needs no control server.
    tailnet.stop_control();
    home.until("noticed that its control server is gone", |status| {
        status["Self"]["Online"] == false
    });
    there(backup()).ok();
}

#[test]
fn a_user_who_is_not_root_holds_the_repository() {
    let tailnet = Tailnet::start();
    let [home, attic] = tailnet.nodes(["home", "attic"]);
    let world = World::new();
    let new_config = world
        .kd(&["new-config", "--force"])
        .env("SUDO_USER", "keeper");
    let mut wizard = home.inside(new_config).terminal();
    wizard.choose("Where should the repository be stored?", 6);
    wizard.choose(PEERS, 0);
    let directory = attic.path("keeper/backups/repository");
    describe(&mut wizard, directory.to_str().unwrap());
    wizard.see("keys of your server?");
    wizard.press("y");
    wizard.see("does not take the key for `keeper` yet.");
    wizard.choose("How should the key be installed?", 0);
    wizard.answer("keeper@attic.tail.test's password:", Node::PASSWORD);
    wizard.see("The login works");
    wizard.choose("Password of the repository", 2);
    wizard.code(0);
    let params = &world.read_config()["kopia"]["kopia_params"];
    let params = params.as_str().unwrap();
    assert!(params.contains("--username keeper "), "{params}");
    let init = home.inside(world.kd(&["--quiet", "init"]));
    init.stdout_any().ok();
    assert!(directory.join("kopia.repository.f").exists());
}

#[test]
fn two_machines_save_to_each_other_at_once() {
    let tailnet = Tailnet::start();
    let [one, other] = tailnet.nodes(["one", "other"]);
    let worlds = [world(&one, &other), world(&other, &one)];
    let stacks = [worlds[0].web(), worlds[1].web()];
    for (node, world) in [(&one, &worlds[0]), (&other, &worlds[1])] {
        let init = node.inside(world.kd(&["--quiet", "init"]));
        init.stdout_any().ok();
    }
    let backup = |node: &Node, at: usize| {
        let unit = stacks[at].unit();
        let backup = worlds[at].kd(&["--quiet", "backup", "--unit", unit]);
        node.inside(backup).stdout_any().spawn()
    };
    let running = [backup(&one, 0), backup(&other, 1)];
    for run in running {
        run.ok();
    }
    for stack in &stacks {
        stack.assert_running(&["db"]);
    }
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
    attic.online();
    home.until_sees(&attic, true);
    home.until_reaches(&attic);
    attic.ssh.answer_garbage();
    let mut garbage = wizard(&home, &world);
    let table = garbage.see(PEERS);
    assert!(
        rows(&table)[0].contains("no SSH server") || rows(&table)[0].contains("no answer"),
        "{table}"
    );
    garbage.press("\r");
    describe(&mut garbage, "/srv/repository");
    garbage.see("no SSH server answers at attic.tail.test, port 22");
    drop(garbage);
    attic.offline();
    let refused = |home: &Node, why: &str, remedy: &str| {
        let rest = wizard(home, &world).code(15);
        assert!(rest.contains(why) && rest.contains(remedy), "{rest}");
    };
    home.down();
    refused(&home, "Tailscale is stopped", "sudo tailscale up");
    home.up();
    tailnet.expire(&home);
    refused(&home, "has expired", "--force-reauth");
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
