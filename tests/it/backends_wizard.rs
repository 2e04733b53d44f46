//! The wizard's questions about the storage, with somebody at the keys of a real terminal and real servers behind the answers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{
    Folder, Run, S3, Server, Sshd, Terminal, World, free_port, make_key, path, s3, until,
};
use serde_json::{Value, json};

const MENU: &str = "Where should the repository be stored?";
const PASSWORD: &str = "Password of the repository";

const S3_ITEM: usize = 1;
const B2: usize = 2;
const AZURE: usize = 3;
const GCS: usize = 4;
const SFTP: usize = 5;
const TAILSCALE: usize = 6;

/// What is in the line before something else is typed is rubbed out.
fn rub_out(terminal: &mut Terminal) {
    terminal.press(&"\x7f".repeat(80));
}

fn wizard(world: &World, choice: usize) -> Terminal {
    let mut wizard = world.kd(&["new-config", "--force"]).terminal();
    wizard.choose(MENU, choice);
    wizard
}

/// Keeps the password of the configuration, which is the last item, and returns the `kopia_params` that were written.
#[track_caller]
fn finish(world: &World, mut wizard: Terminal, has_repository: bool) -> String {
    wizard.choose(PASSWORD, if has_repository { 1 } else { 2 });
    wizard.code(0);
    let params = &world.read_config()["kopia"]["kopia_params"];
    params.as_str().unwrap().to_owned()
}

fn own_key(world: &World) -> PathBuf {
    world.path("home/.ssh/kopi-docka_ed25519")
}

fn known_hosts(world: &World) -> PathBuf {
    world.path("home/.ssh/kopi-docka_known_hosts")
}

fn mode(path: PathBuf) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Answers up to the host keys, which are shown next.
#[track_caller]
fn describe(wizard: &mut Terminal, port: u16, folder: &str, key: &str) {
    wizard.answer("Host", "127.0.0.1");
    wizard.answer("Port", &port.to_string());
    wizard.answer("User", "root");
    wizard.answer("Directory there", folder);
    wizard.answer("Key file", key);
}

#[test]
fn an_sftp_server_is_pinned_and_proven_before_it_is_written_down() {
    let world = World::new();
    let mut sshd = Sshd::start();
    let folder = sshd.path("store").join("my backups");
    let key = sshd.path("id");
    let mut sftp = wizard(&world, SFTP);
    describe(
        &mut sftp,
        sshd.server.port,
        folder.to_str().unwrap(),
        key.to_str().unwrap(),
    );
    sftp.see("Host keys of 127.0.0.1");
    for kind in ["(ECDSA)", "(ED25519)", "(RSA)"] {
        sftp.see(kind);
    }
    sftp.see("keys of your server?");
    sftp.press("y");
    sftp.see("The login works");
    sftp.see("Free there");
    sftp.see("holds no repository yet");
    let params = finish(&world, sftp, false);
    let known = known_hosts(&world);
    assert_eq!(
        params,
        format!(
            "sftp --path '{}' --host 127.0.0.1 --port {} --username root --keyfile {} --known-hosts {}",
            folder.display(),
            sshd.server.port,
            key.display(),
            known.display()
        )
    );
    assert_eq!(mode(known.clone()), 0o600);
    assert_eq!(fs::read_to_string(&known).unwrap().lines().count(), 3);
    // The probe file is gone again; the one that is there is Kopia's.
    let left = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".shards"]);
    world.init();
    // Asked again it knows the server, and finds the repository.
    let mut sftp = wizard(&world, SFTP);
    describe(
        &mut sftp,
        sshd.server.port,
        folder.to_str().unwrap(),
        key.to_str().unwrap(),
    );
    sftp.see("the host keys that are pinned");
    sftp.see("it holds a repository");
    assert_eq!(finish(&world, sftp, true), params);

    // A server that was reinstalled: nothing goes there before the operator has seen both.
    sshd.restart_with_other_keys();
    let init = || world.kd(&["init"]);
    init()
        .stderr("shows another host key than the known one")
        .stderr("run `kopi-docka init` at a terminal")
        .code(12);
    for (answer, code) in [("n", 12), ("y", 0)] {
        let mut asked = init().terminal();
        asked.see("Host keys of 127.0.0.1 until now");
        asked.see("other host keys than those that are pinned");
        asked.see("keys of your server?");
        asked.press(answer);
        asked.code(code);
    }
    init().stdout_any().ok();
}

#[test]
fn a_key_of_our_own_is_made_and_installed_by_hand() {
    let world = World::new();
    let sshd = Sshd::start();
    let folder = sshd.path("store").join("r");
    let accepted = sshd.path("authorized_keys");
    let mut sftp = wizard(&world, SFTP);
    describe(&mut sftp, sshd.server.port, folder.to_str().unwrap(), "");
    sftp.see("keys of your server?");
    sftp.press("y");
    sftp.see("Creating key");
    sftp.choose("How should the key be installed?", 1);
    sftp.see("authorized_keys");
    let public = fs::read_to_string(own_key(&world).with_extension("pub")).unwrap();
    sftp.see(public.trim());
    // Not done yet: it is asked again.
    sftp.see("Done?");
    sftp.press("\r");
    sftp.choose("How should the key be installed?", 1);
    sftp.see("Done?");
    let before = fs::read_to_string(&accepted).unwrap();
    fs::write(&accepted, format!("{before}{public}")).unwrap();
    sftp.press("\r");
    sftp.see("The login works");
    let params = finish(&world, sftp, false);
    assert!(
        params.contains(own_key(&world).to_str().unwrap()),
        "{params}"
    );
    assert_eq!(mode(own_key(&world)), 0o600);
    world.init();
    // A key that works is kept.
    let made = fs::read(own_key(&world)).unwrap();
    let mut sftp = wizard(&world, SFTP);
    describe(&mut sftp, sshd.server.port, folder.to_str().unwrap(), "");
    sftp.see("The login works");
    finish(&world, sftp, true);
    assert_eq!(fs::read(own_key(&world)).unwrap(), made);
}

#[test]
fn the_operators_own_login_installs_the_key() {
    let world = World::new();
    let folder = Folder::new("install");
    // A server that lets commands run, in a home of its own.
    let home = folder.path("home");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    for name in ["host", "mine"] {
        make_key("ed25519", &folder.path(name));
    }
    let accepted = home.join(".ssh/authorized_keys");
    fs::copy(folder.path("mine.pub"), &accepted).unwrap();
    let shell = folder.path("shell");
    Run::new("sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(&shell)
        .env("PATH", path())
        .stdin(format!(
            "#!/bin/sh\nHOME='{}'; export HOME; cd\ncase \"$SSH_ORIGINAL_COMMAND\" in\n*sftp*) exec /usr/lib/openssh/sftp-server;;\n\
             *) exec sh -c \"$SSH_ORIGINAL_COMMAND\";;\nesac\n",
            home.display()
        ))
        .ok();
    fs::create_dir_all("/run/sshd").unwrap();
    let config = folder.path("sshd_config");
    let server = Server::start("sshd", &folder, None, |port| {
        let text = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             Subsystem sftp /usr/lib/openssh/sftp-server\nForceCommand {}\n",
            folder.path("host").display(),
            accepted.display(),
            shell.display()
        );
        fs::write(&config, text).unwrap();
        ["-D", "-e", "-f", config.to_str().unwrap()]
            .map(str::to_owned)
            .to_vec()
    });
    // The operator's login is a key that an agent holds.
    let agent = folder.path("agent");
    let mut held = std::process::Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "ssh-agent", "-D", "-a"])
        .arg(&agent)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the agent", Duration::from_secs(30), || {
        agent.exists().then_some(())
    });
    Run::new("ssh-add")
        .arg(folder.path("mine"))
        .env("PATH", path())
        .env("SSH_AUTH_SOCK", &agent)
        .stderr_any()
        .ok();
    let mut sftp = world
        .kd(&["new-config", "--force"])
        .env("SSH_AUTH_SOCK", &agent)
        .terminal();
    sftp.choose(MENU, SFTP);
    describe(
        &mut sftp,
        server.port,
        folder.path("store").to_str().unwrap(),
        "",
    );
    sftp.see("keys of your server?");
    sftp.press("y");
    sftp.choose("How should the key be installed?", 0);
    sftp.see("The login works");
    finish(&world, sftp, false);
    let keys = fs::read_to_string(&accepted).unwrap();
    assert_eq!(keys.lines().count(), 2, "{keys}");
    assert!(keys.ends_with(" kopi-docka\n"), "{keys}");
    held.kill().unwrap();
    held.wait().unwrap();
}

#[test]
fn a_server_with_other_keys_or_none_is_not_taken() {
    let world = World::new();
    let mut sshd = Sshd::start();
    let folder = sshd.path("store").join("r");
    let (folder, key) = (folder.to_str().unwrap(), sshd.path("id"));
    let key = key.to_str().unwrap();
    let before = fs::read(world.config_path()).unwrap();
    let mut sftp = wizard(&world, SFTP);
    describe(&mut sftp, free_port(), folder, key);
    sftp.see("no SSH server answers");
    // Asked again, what was typed is the default.
    sftp.answer("Host", "-oProxyCommand=x");
    sftp.see("a host's name or address");
    rub_out(&mut sftp);
    sftp.press("127.0.0.1\r");
    sftp.answer("Port", &sshd.server.port.to_string());
    for question in ["User", "Directory there", "Key file"] {
        sftp.answer(question, "");
    }
    sftp.see("keys of your server?");
    sftp.press("y");
    sftp.see("The login works");
    sftp.see(PASSWORD);
    sftp.press("\x03");
    sftp.code(130);
    sshd.restart_with_other_keys();
    let pinned = fs::read(known_hosts(&world)).unwrap();
    let mut sftp = wizard(&world, SFTP);
    describe(&mut sftp, sshd.server.port, folder, key);
    sftp.see("other host keys than those that are pinned");
    sftp.see("keys of your server?");
    sftp.press("n");
    sftp.see("Host");
    sftp.press("\x03");
    sftp.code(130);
    assert_eq!(fs::read(known_hosts(&world)).unwrap(), pinned);
    assert_eq!(fs::read(world.config_path()).unwrap(), before);
}

#[test]
fn a_folder_that_goes_with_docker_is_doubted() {
    let world = World::new();
    let stack = world
        .stack("web")
        .service("app", |s| s.volume("data", "/data"))
        .up();
    let inside = stack.volume_path("data").join("repo");
    let outside = world.path("elsewhere/repo");
    let mut local = wizard(&world, 0);
    local.answer("Directory of the repository", "relative");
    local.see("an absolute path is needed");
    rub_out(&mut local);
    local.press(inside.to_str().unwrap());
    local.press("\r");
    local.see("Free there");
    local.see("where Docker keeps its own data");
    local.see("Use this directory anyway?");
    local.press("n");
    local.answer("Directory of the repository", outside.to_str().unwrap());
    local.see("Free there");
    // Whether it is on Docker's disk depends on the machine.
    let engine_disk = fs::metadata(stack.volume_path("data")).unwrap();
    let disk = fs::metadata(world.path("")).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    if engine_disk.dev() == disk.dev() {
        local.see("Use this directory anyway?");
        local.press("y");
    }
    let params = finish(&world, local, false);
    assert_eq!(params, format!("filesystem --path {}", outside.display()));
}

#[test]
fn a_storage_that_does_not_answer_may_be_described_again_or_kept() {
    let world = World::new();
    let port = free_port();
    let mut s3 = wizard(&world, S3_ITEM);
    s3.answer("Bucket", "a/b");
    s3.see("only the name is needed");
    rub_out(&mut s3);
    s3.press("bkt\r");
    s3.answer("Directory in it", "/host1");
    s3.answer("Endpoint", "https://127.0.0.1");
    s3.see("without https://");
    rub_out(&mut s3);
    s3.press(&format!("127.0.0.1:{port}\r"));
    s3.answer("Region", "eu-1");
    s3.see("TLS?");
    s3.press("n");
    s3.answer("Access key id", "AKID");
    s3.answer("Secret access key", "hunter2hunter2");
    s3.see("Connecting to the storage");
    s3.choose("What now?", 0);
    for question in ["Bucket", "Directory in it", "Endpoint", "Region"] {
        s3.answer(question, "");
    }
    s3.see("TLS?");
    s3.press("\r");
    s3.answer("Access key id", "AKID");
    s3.answer("Secret access key", "hunter2hunter2");
    s3.choose("What now?", 2);
    let params = finish(&world, s3, false);
    assert_eq!(
        params,
        format!(
            "s3 --bucket bkt --prefix host1/ --endpoint 127.0.0.1:{port} --region eu-1 --disable-tls"
        )
    );
    let written = fs::read_to_string(world.path("kopi-docka.env")).unwrap();
    assert!(written.contains("AWS_SECRET_ACCESS_KEY=hunter2hunter2"));
    let config = fs::read_to_string(world.config_path()).unwrap();
    assert!(!config.contains("hunter2"));
}

/// From the bucket to the keys; what a line holds already is replaced.
#[track_caller]
fn describe_s3(wizard: &mut Terminal, s3: &S3, bucket: &str, secret: &str) {
    let endpoint = format!("127.0.0.1:{}", s3.server.port);
    let ca = s3.tls.ca.display().to_string();
    let mut fill = |question: &str, text: &str| {
        wizard.see(question);
        rub_out(wizard);
        wizard.press(&format!("{text}\r"));
    };
    fill("Bucket", bucket);
    fill("Directory in it", "host1");
    fill("Endpoint", &endpoint);
    fill("Region", "eu-test-1");
    wizard.see("TLS?");
    wizard.press("y");
    wizard.see("own CA");
    rub_out(wizard);
    wizard.press(&format!("{ca}\r"));
    wizard.answer("Access key id", s3::KEY_ID);
    wizard.answer("Secret access key", secret);
}

#[test]
fn a_bucket_and_its_keys_are_tried_before_they_are_written_down_and_then_they_hold_a_backup() {
    let world = World::new();
    let s3 = S3::start();
    let mut menu = wizard(&world, S3_ITEM);
    describe_s3(&mut menu, &s3, "elsewhere", s3::SECRET);
    menu.see("does not exist");
    menu.choose("What now?", 0);
    describe_s3(&mut menu, &s3, s3::BUCKET, "hunter2hunter2");
    menu.see("refuse");
    menu.choose("What now?", 0);
    describe_s3(&mut menu, &s3, s3::BUCKET, s3::SECRET);
    menu.see("holds no repository yet");
    let params = finish(&world, menu, false);
    assert_eq!(
        params,
        format!(
            "s3 --bucket {} --prefix host1/ --endpoint 127.0.0.1:{} --region eu-test-1 --root-ca-pem-path {}",
            s3::BUCKET,
            s3.server.port,
            s3.tls.ca.display()
        )
    );
    let config = fs::read_to_string(world.config_path()).unwrap();
    assert!(!config.contains(s3::SECRET));
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    world.backup(&stack);
    assert!(
        s3.bucket(s3::BUCKET)
            .join("host1/kopia.repository")
            .exists()
    );
}

#[test]
fn each_cloud_asks_its_own_questions() {
    let world = World::new();
    let mut azure = wizard(&world, AZURE);
    azure.answer("Container", "backups");
    azure.answer("Storage account", "No Account");
    azure.see("lower-case letters");
    rub_out(&mut azure);
    azure.press("acme01\r");
    azure.answer("Directory in it", "");
    azure.choose("What opens it?", 1);
    azure.answer("without the question mark", "not a token");
    azure.see("Connecting to the storage");
    azure.choose("What now?", 2);
    assert_eq!(
        finish(&world, azure, false),
        "azure --container backups --storage-account acme01"
    );
    let key = world.path("key.json");
    let key = key.to_str().unwrap();
    fs::write(key, "{}").unwrap();
    let mut gcs = wizard(&world, GCS);
    gcs.answer("Bucket", "backups");
    gcs.answer("Directory in it", "h");
    gcs.answer("key of the service account", key);
    gcs.see("not the key of a service account");
    gcs.press("\x03");
    gcs.code(130);
}

/// There is no server of this kind to be had: what Kopia's own parser says to the flags is what can be known.
#[test]
fn b2_is_offered_through_s3_and_its_own_flags_are_kopias() {
    let world = World::new();
    let mut b2 = wizard(&world, B2);
    b2.see("deprecated");
    b2.see("through S3?");
    b2.press("n");
    b2.answer("Bucket", "backups");
    b2.answer("Directory in it", "host");
    b2.answer("Key id", "id");
    b2.answer("Application key", "hunter2hunter2");
    b2.choose("What now?", 2);
    let params = finish(&world, b2, false);
    assert_eq!(params, "b2 --bucket backups --prefix host/");
    let flags = shell_words::split(&params).unwrap();
    let connect = |flags: &[String]| {
        let words: Vec<&str> = flags.iter().map(String::as_str).collect();
        let run = world.kopia(&[&["repository", "connect"], &words[..]].concat());
        let run = run.env("B2_KEY_ID", "id").env("B2_KEY", "key");
        run.stderr_any().stdout_any().code(1).stderr()
    };
    let said = connect(&flags);
    assert!(said.contains("can't connect to storage"), "{said}");
    let said = connect(&[&flags[..], &["--nonsense".to_owned()]].concat());
    assert!(said.contains("unknown long flag"), "{said}");
}

/// A stand-in that replays what Tailscale 1.96.5 printed, with `change`s.
fn tailscale(world: &World, change: impl FnOnce(&mut Value)) -> std::ffi::OsString {
    let recorded = include_str!("../data/tailscale-1.96.5/running-2-peers-one-offline.json");
    let mut document: Value = serde_json::from_str(recorded).unwrap();
    change(&mut document);
    let folder = world.dir("tailscale");
    fs::write(folder.join("status.json"), document.to_string()).unwrap();
    Run::new("sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(folder.join("tailscale"))
        .env("PATH", path())
        .stdin(format!(
            "#!/bin/sh\ncase \"$1\" in\nstatus) exec cat '{}/status.json';;\n\
             ping) echo 'pong from node2 (127.0.0.1) via 10.98.0.12:50323 in 3ms';;\nesac\n",
            folder.display()
        ))
        .ok();
    let mut with = std::ffi::OsString::from(folder);
    with.push(":");
    with.push(path());
    with
}

#[test]
fn a_peer_of_the_tailnet_becomes_an_sftp_server() {
    let world = World::new();
    let sshd = Sshd::start();
    let with = tailscale(&world, |document| {
        for peer in document["Peer"].as_object_mut().unwrap().values_mut() {
            if peer["HostName"] == "node2" {
                peer["TailscaleIPs"] = json!(["127.0.0.1"]);
                peer["DNSName"] = "localhost.".into();
            } else {
                peer["HostName"] = "evil\u{1b}[2J\nname".into();
                peer["DNSName"] = "-oProxyCommand=touch /tmp/pwned.".into();
            }
        }
    });
    let mut peers = world
        .kd(&["new-config", "--force"])
        .env("PATH", with)
        .terminal();
    peers.choose(MENU, TAILSCALE);
    peers.see("Status");
    peers.see("Latency");
    // The one that answers comes first.
    peers.see("online");
    peers.see("node2");
    peers.see("3 ms");
    peers.see("offline");
    peers.see("evil\\u{1b}[2J\\nname");
    peers.choose("Machine that holds the repository", 0);
    peers.answer("Port", &sshd.server.port.to_string());
    peers.answer("User", "root");
    peers.answer("Directory there", sshd.path("store/r").to_str().unwrap());
    peers.answer("Key file", sshd.path("id").to_str().unwrap());
    peers.see("Host keys of localhost");
    peers.see("keys of your server?");
    peers.press("y");
    peers.see("holds no repository yet");
    let params = finish(&world, peers, false);
    assert!(params.contains("--host localhost "), "{params}");
    world.init();
}

#[test]
fn a_tailnet_that_can_not_be_used_says_why() {
    let world = World::new();
    let with = tailscale(&world, |document| {
        *document =
            serde_json::from_str(include_str!("../data/tailscale-1.96.5/stopped.json")).unwrap();
    });
    let mut stopped = world
        .kd(&["new-config", "--force"])
        .env("PATH", with)
        .terminal();
    stopped.choose(MENU, TAILSCALE);
    let rest = stopped.code(15);
    assert!(rest.contains("Tailscale is stopped"), "{rest}");
    assert!(rest.contains("sudo tailscale up"), "{rest}");
    let mut missing = wizard(&world, TAILSCALE);
    missing.see("`tailscale` was not found");
    missing.see("https://tailscale.com/download");
    missing.code(15);
}
