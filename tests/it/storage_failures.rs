//! Storage that refuses, vanishes, hangs or is full: one sentence says so, another one what to do, and no container stays down.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::common::{
    Azure, Folder, Gcs, PASSWORD, Run, S3, Sshd, Stack, World, azure, enlarge, free_port, make_key,
    s3, until,
};
use serde_json::{Value, json};

const MOMENT: Duration = Duration::from_secs(60);
const REFUSED_KEY: &str = "the storage refused the credentials";
const NO_BUCKET: &str = "the bucket or container of `kopia.kopia_params` does not exist";
const WRONG_PASSWORD: &str = "the repository refused the password";
const NOBODY: &str = "cannot reach the storage server: connection refused";
const NO_ANSWER: &str = "the repository's storage gives no answer";
const UNTRUSTED: &str = "the certificate of the storage's server is not trusted";
const OTHER_KEY: &str = "the SFTP server shows another host key than the known one";

fn point_at(world: &World, params: &str) {
    world.config(|config| config["kopia"]["kopia_params"] = json!(params));
}

fn world_at(params: &str) -> World {
    let world = World::new();
    point_at(&world, params);
    world
}

/// `db` with so many bytes that no server can be asked to compress.
fn stack(world: &World, mebibytes: u64) -> Stack {
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let mut noise = fs::File::open("/dev/urandom")
        .unwrap()
        .take(mebibytes << 20);
    let mut file = fs::File::create(stack.volume_path("data").join("noise")).unwrap();
    std::io::copy(&mut noise, &mut file).unwrap();
    stack
}

/// One cause, one remedy: `run` exits with `code`, its error begins with `sentence` and brings a hint with `remedy`.
#[track_caller]
fn says(run: Run, code: i32, sentence: &str, remedy: &str) {
    let done = run.stderr_any().code(code);
    let stderr = done.stderr();
    let is_hint = |line: &str| line.starts_with("hint: ") && line.contains(remedy);
    assert!(
        stderr.starts_with(&format!("error: {sentence}\n")) && stderr.lines().any(is_hint),
        "{sentence:?} and {remedy:?} were expected\n{done}"
    );
}

/// As [`says`], of a backup; no container may notice.
#[track_caller]
fn refused(world: &World, run: Run, code: i32, sentence: &str, remedy: &str) {
    let watch = world.watch();
    says(run, code, sentence, remedy);
    watch.events().assert_untouched();
}

fn init(world: &World) -> Run {
    world.kd(&["--quiet", "init"])
}

fn backup(world: &World, stack: &Stack) -> Run {
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stdout_any()
}

fn with_wrong_password(world: &World, check: impl FnOnce()) {
    world.config(|config| config["kopia"]["password"] = json!("wrong"));
    check();
    world.config(|config| config["kopia"]["password"] = json!(PASSWORD));
}

/// How many points can be restored whole.
#[track_caller]
fn whole_points(world: &World, with: &dyn Fn(Run) -> Run) -> usize {
    let points = with(world.kd(&["list", "--snapshots", "--json"])).json();
    let points = points["points"].as_array().unwrap();
    points.iter().filter(|p| p["state"] == "whole").count()
}

// ---- refused before anything stops ----

#[test]
fn sftp_says_what_is_wrong_with_key_host_key_and_address() {
    let mut sshd = Sshd::start();
    let world = world_at(&sshd.params("repo"));
    let repo = sshd.path("store/repo").display().to_string();
    let params =
        |port: u16, files: &str| format!("sftp --path sftp://root@127.0.0.1:{port}{repo} {files}");
    let port = sshd.server.port;
    let (id, known_hosts) = (sshd.path("id"), sshd.path("known_hosts"));
    let stranger = sshd.path("stranger");
    make_key("ed25519", &stranger);
    let files = |id: &Path, hosts: &Path| {
        format!(
            "--keyfile {} --known-hosts {}",
            id.display(),
            hosts.display()
        )
    };
    let nowhere = Path::new("/nowhere/file");
    let empty = sshd.path("empty");
    fs::write(&empty, "").unwrap();
    for (params, code, sentence, remedy) in [
        (
            params(port, &files(&stranger, &known_hosts)),
            17,
            REFUSED_KEY,
            "--keyfile",
        ),
        (
            params(port, &files(nowhere, &known_hosts)),
            16,
            "cannot use the key for the SFTP server",
            "--keyfile FILE",
        ),
        (
            params(port, &files(&id, nowhere)),
            16,
            "cannot read the host keys of the SFTP server",
            "ssh-keyscan -p",
        ),
        (
            params(port, &format!("--keyfile {}", id.display())),
            16,
            "cannot read the host keys of the SFTP server",
            "--known-hosts FILE",
        ),
        (
            params(port, &files(&id, &empty)),
            17,
            "the host key of the SFTP server is not known",
            "ssh-keyscan -p",
        ),
        (
            params(free_port(), &sshd.files()),
            17,
            NOBODY,
            "check that the server runs",
        ),
        (
            format!("sftp --path root@nowhere.invalid:{repo} {}", sshd.files()),
            17,
            "cannot reach the storage server: its name is unknown",
            "DNS",
        ),
    ] {
        point_at(&world, &params);
        says(init(&world), code, sentence, remedy);
    }
    // Kopia asks for a key of a type of its own choice.
    point_at(&world, &sshd.params("repo"));
    sshd.pin(&["ed25519"]);
    says(init(&world), 12, OTHER_KEY, "keys of every type");
    sshd.pin(&["ed25519", "ecdsa", "rsa"]);

    init(&world).stdout_any().ok();
    let stack = stack(&world, 1);
    with_wrong_password(&world, || {
        refused(
            &world,
            backup(&world, &stack),
            12,
            WRONG_PASSWORD,
            "kopia.password",
        )
    });
    sshd.server.kill();
    refused(
        &world,
        backup(&world, &stack),
        17,
        NOBODY,
        "check that the server runs",
    );
    sshd.restart_with_other_keys();
    refused(
        &world,
        backup(&world, &stack),
        12,
        OTHER_KEY,
        "it may be another machine",
    );
    sshd.pin(&["ed25519", "ecdsa", "rsa"]);
    backup(&world, &stack).ok();
    assert_eq!(whole_points(&world, &|run| run), 1);
}

#[test]
fn s3_says_what_is_wrong_with_keys_bucket_region_and_certificate() {
    let mut server = S3::start();
    let good = server.params(s3::BUCKET, "a/");
    let world = world_at(&good);
    let with = |run: Run| s3::with_keys(run);
    says(
        with(init(&world)).env("AWS_SECRET_ACCESS_KEY", "wrong"),
        17,
        REFUSED_KEY,
        "environment",
    );
    says(
        with(init(&world)).env("AWS_ACCESS_KEY_ID", "wrong"),
        17,
        REFUSED_KEY,
        "environment",
    );
    // Kopia itself does not tell a missing bucket from an empty one before it writes.
    point_at(&world, &server.params("missing", "a/"));
    says(
        with(init(&world)),
        17,
        NO_BUCKET,
        "only in a bucket that is there",
    );
    assert!(!server.bucket("missing").exists());
    point_at(&world, &server.params_without_ca(s3::BUCKET, "a/"));
    says(with(init(&world)), 17, UNTRUSTED, "--root-ca-pem-path");
    point_at(&world, &good.replace("eu-test-1", "us-east-1"));
    says(
        with(init(&world)),
        17,
        "the storage is in another region",
        "--region",
    );

    point_at(&world, &good);
    with(init(&world)).stdout_any().ok();
    let stack = stack(&world, 1);
    with_wrong_password(&world, || {
        refused(
            &world,
            with(backup(&world, &stack)),
            12,
            WRONG_PASSWORD,
            "kopia.password",
        )
    });
    server.server.kill();
    refused(
        &world,
        with(backup(&world, &stack)),
        17,
        NOBODY,
        "check that the server runs",
    );
    server.restart_with("another-secret");
    refused(
        &world,
        with(backup(&world, &stack)),
        17,
        REFUSED_KEY,
        "run `kopi-docka init`: Kopia keeps",
    );
    with(init(&world))
        .env("AWS_SECRET_ACCESS_KEY", "another-secret")
        .stdout_any()
        .ok();
    with(backup(&world, &stack)).ok();
    assert_eq!(whole_points(&world, &with), 1);
}

#[test]
fn azure_says_what_is_wrong_with_key_container_and_certificate() {
    let azure = Azure::start();
    let world = world_at(&azure.params("a/"));
    let key = azure::KEY;
    let other = key.replace("Eby8", "AAAA");
    says(
        azure.reached_by(init(&world), &other),
        17,
        REFUSED_KEY,
        "environment",
    );
    says(
        azure.reached_by(init(&world), "no base64"),
        17,
        REFUSED_KEY,
        "environment",
    );
    says(
        azure.resolved_by(init(&world), key),
        17,
        UNTRUSTED,
        "SSL_CERT_FILE",
    );
    point_at(&world, &azure.params_in("missing", "a/"));
    says(
        azure.reached_by(init(&world), key),
        17,
        NO_BUCKET,
        "only in a bucket that is there",
    );
    point_at(&world, &azure.params("a/"));
    azure.reached_by(init(&world), key).stdout_any().ok();
    with_wrong_password(&world, || {
        says(
            azure.reached_by(init(&world), key),
            12,
            WRONG_PASSWORD,
            "kopia.password",
        );
    });
}

#[test]
fn google_says_what_is_wrong_with_bucket_and_credentials_and_is_given_up_when_it_is_gone() {
    let mut gcs = Gcs::start();
    let world = world_at(&gcs.params_in("missing", "a/"));
    says(
        gcs.reached_by(init(&world)),
        17,
        NO_BUCKET,
        "only in a bucket that is there",
    );
    point_at(&world, &gcs.params("a/"));
    gcs.reached_by(init(&world)).stdout_any().ok();
    with_wrong_password(&world, || {
        says(
            gcs.reached_by(init(&world)),
            12,
            WRONG_PASSWORD,
            "kopia.password",
        );
    });
    gcs.server.kill();
    // Google's client tries for ever.
    says(
        gcs.reached_by(init(&world)),
        17,
        NO_ANSWER,
        "check that its server runs",
    );
}

#[test]
fn a_host_that_swallows_everything_is_given_up_within_a_minute() {
    // A pair of interfaces that never learn of each other.
    const SWALLOW: &str = "ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 arp off; ip link set v1 arp off
        ip addr add 10.99.0.1/24 dev v0; ip link set v0 up; ip link set v1 up; exec \"$@\"";
    let files = Folder::new("swallowed");
    make_key("ed25519", &files.path("id"));
    fs::write(files.path("known_hosts"), "").unwrap();
    // And one that takes a connection and says nothing: nobody accepts it.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let sftp = |address: &str| {
        let (id, hosts) = (files.path("id"), files.path("known_hosts"));
        format!(
            "sftp --path sftp://root@{address}/repo --keyfile {} --known-hosts {}",
            id.display(),
            hosts.display()
        )
    };
    let start = |params: &str, is_swallowed: bool| {
        let world = world_at(params);
        let mut run = s3::with_keys(init(&world));
        if is_swallowed {
            run = run.under(["unshare", "--net", "sh", "-c", SWALLOW, "sh"]);
        }
        let running = run
            .stderr(format!("error: {NO_ANSWER}\n"))
            .stderr("hint: check that its server runs")
            .spawn();
        (world, running)
    };
    let runs = [
        start(&sftp("10.99.0.2"), true),
        start("s3 --bucket bucket --endpoint 10.99.0.2:9000", true),
        start(&sftp(&format!("127.0.0.1:{port}")), false),
    ];
    for (world, running) in runs {
        let done = running.code(17);
        assert!(done.took < Duration::from_secs(60), "{done}");
        world.until_no_process_is_left();
    }
}

// ---- in the middle ----

/// Most of the time they only wait.
fn at_once(all: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| {
        for one in all {
            scope.spawn(one);
        }
    });
}

/// A backup whose server is struck when the data begins to flow: the containers are up long before the kopia is given up, no point is
/// offered, and when the server is fixed the next run works.
fn survives(
    params: &str,
    with: &dyn Fn(Run) -> Run,
    strike: &mut dyn FnMut(),
    mend: &mut dyn FnMut(),
) {
    let world = world_at(params);
    world.config(|config| config["backup"]["stall_timeout"] = json!(15));
    with(init(&world)).stdout_any().ok();
    // Kopia sends nothing before it has some twenty mebibytes together.
    let stack = stack(&world, 64);
    let run = with(backup(&world, &stack))
        .stderr("for 15 s and was killed")
        .stderr("hint: `backup.stall_timeout` says how long to wait");
    let watch = world.watch();
    let held = world.hold("read", run);
    strike();
    let running = held.release();
    until("the containers to run again", MOMENT, || {
        (!stack.running().is_empty()).then_some(())
    });
    // Still hoping.
    world.process(&["snapshot create"]);
    running.code(3);
    let events = watch.events();
    assert!(events.downtime("db") < Duration::from_secs(15), "{events}");
    assert_eq!(world.stop_records(), Vec::<Value>::new());
    world.until_no_process_is_left();
    mend();
    assert_eq!(whole_points(&world, with), 0);
    with(backup(&world, &stack)).ok();
    assert_eq!(whole_points(&world, with), 1);
}

#[test]
fn a_server_that_is_killed_in_the_middle_costs_a_backup_and_nothing_else() {
    at_once(&[
        &|| {
            let sshd = RefCell::new(Sshd::start());
            let params = sshd.borrow().params("repo");
            let (strike, mend) = (&mut || sshd.borrow_mut().server.kill(), &mut || {
                sshd.borrow_mut().restart()
            });
            survives(&params, &|run| run, strike, mend);
        },
        &|| {
            let server = RefCell::new(S3::start());
            let params = server.borrow().params(s3::BUCKET, "a/");
            let (strike, mend) = (&mut || server.borrow_mut().server.kill(), &mut || {
                server.borrow_mut().restart()
            });
            survives(&params, &s3::with_keys, strike, mend);
        },
    ]);
}

#[test]
fn a_server_that_freezes_in_the_middle_costs_a_backup_and_nothing_else() {
    at_once(&[
        &|| {
            let sshd = Sshd::start();
            let (strike, mend) = (&mut || sshd.server.freeze(), &mut || sshd.server.thaw());
            survives(&sshd.params("repo"), &|run| run, strike, mend);
        },
        &|| {
            let server = S3::start();
            let params = server.params(s3::BUCKET, "a/");
            let (strike, mend) = (&mut || server.server.freeze(), &mut || server.server.thaw());
            survives(&params, &s3::with_keys, strike, mend);
        },
    ]);
}

/// A backup into storage that gets full: it says so, nothing is offered, and with more room the next run works.
fn fills(params: &str, with: &dyn Fn(Run) -> Run, sentence: &str, enlarge: &dyn Fn()) {
    let world = world_at(params);
    // Kopia tries for most of a minute.
    world.config(|config| config["backup"]["stall_timeout"] = json!(150));
    with(init(&world)).stdout_any().ok();
    let stack = stack(&world, 48);
    let run = with(backup(&world, &stack))
        .stderr(sentence)
        .stderr("hint: ");
    run.timeout(Duration::from_secs(200)).code(3);
    stack.assert_running(&["db"]);
    assert_eq!(world.stop_records(), Vec::<Value>::new());
    enlarge();
    assert_eq!(whole_points(&world, with), 0);
    with(backup(&world, &stack)).ok();
    assert_eq!(whole_points(&world, with), 1);
}

const FULL: &str = "the repository's storage is full";

#[test]
fn full_storage_is_said_to_be_full_by_every_kind_of_it() {
    at_once(&[
        &|| {
            let folder = Folder::new("full");
            let store = folder.mount_small("store", 30);
            let params = format!("filesystem --path {}", store.join("repo").display());
            fills(&params, &|run| run, FULL, &|| enlarge(&store, 300));
        },
        &|| {
            let sshd = Sshd::start();
            let store = sshd.mount_small("small", 30);
            // It gives no reason.
            let sentence =
                "the SFTP server refused to write and gave no reason; most likely its disk is full";
            fills(&sshd.params("small/repo"), &|run| run, sentence, &|| {
                enlarge(&store, 300)
            });
        },
        &|| {
            let server = S3::start_small(30);
            let root = server.bucket(".");
            let params = server.params(s3::BUCKET, "a/");
            fills(&params, &s3::with_keys, FULL, &|| enlarge(&root, 300));
        },
    ]);
}

// ---- secrets ----

#[test]
fn a_secret_is_on_no_command_line_and_in_no_file_but_kopia_s_own_profile() {
    let server = S3::start();
    // As many will write it: the program keeps it from kopia's command line.
    let params = server.params(s3::BUCKET, "a/");
    let world = world_at(&format!(
        "{params} --access-key {} --secret-access-key {}",
        s3::KEY_ID,
        s3::SECRET
    ));
    init(&world).stdout_any().ok();
    let stack = stack(&world, 1);
    let held = world.hold(
        "read",
        world
            .kd(&["--verbose", "backup", "--unit", stack.unit()])
            .stdout_any()
            .stderr_any(),
    );
    world.process(&["snapshot create"]);
    for (_, line) in world.processes() {
        assert!(
            !line.contains(s3::SECRET) && !line.contains(PASSWORD),
            "{line}"
        );
    }
    let done = held.release().ok();
    let mut said = done.stdout() + &done.stderr();
    world.config(|config| {
        config["kopia"]["kopia_params"] = json!(format!(
            "{params} --access-key {} --secret-access-key {}x",
            s3::KEY_ID,
            s3::SECRET
        ))
    });
    said += &init(&world).stderr_any().code(17).stderr();
    said += &world.kd(&["show-config"]).stdout_any().ok().stdout();
    assert!(
        !said.contains(s3::SECRET) && !said.contains(PASSWORD),
        "{said}"
    );
    let found = Run::new("grep")
        .args(["-rlFa", "-e", s3::SECRET, "-e", PASSWORD, "."])
        .directory(world.path(""))
        .env("PATH", "/usr/bin:/bin")
        .text();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    let profile = "./home/.config/kopia/repository-kopi-docka.config";
    assert_eq!(found, [profile, "./kopi-docka.json"]);
    let mode = fs::metadata(world.path(profile))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
