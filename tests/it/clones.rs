//! What is large and changes all the time is cloned while services are down, and read when they run again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Run, Service, Stack, World, mount_btrfs, mount_xfs, until};

/// Writes to its large files when it starts and when it stops, as a database does, and leaves word of what was in them then.
const DATABASE: &str = r#"write() { for file in large "$odd"; do dd if=$1 of="$file" bs=1M count=12 conv=notrunc 2>/dev/null; done; }
    odd=' odd = %41'; mkdir -p /data/d; cd /data/d
    trap 'write /dev/urandom; sha256sum large "$odd" >sum; exit 0' TERM
    [ -e sum ] || { write /dev/zero; echo >sum; }
    write /dev/zero; echo >started; while :; do sleep 0.1; done"#;

struct Database {
    world: World,
    stack: Stack,
    data: PathBuf,
}

impl Database {
    fn on(disk: impl FnOnce(&World) -> PathBuf) -> Self {
        let world = World::new();
        world.config(|config| config["backup"]["read_pays"] = json!("0s"));
        world.init();
        let data = disk(&world).join("data");
        fs::create_dir(&data).unwrap();
        let db = |s: Service| s.bind(&data, "/data").sh(DATABASE);
        let stack = world.stack("web").service("db", db).up();
        let database = Self { world, stack, data };
        database.wait_until_started();
        let large = database.data.join("d/large");
        let set = |args: &[&str]| {
            Run::new(args[0]).args(&args[1..]).arg(&large).ok();
        };
        set(&["setfattr", "-n", "user.mine", "-v", "a=b"]);
        set(&["setfattr", "-n", "trusted.mine", "-v", "c"]);
        set(&["chown", "1000:70000"]);
        set(&["chmod", "0640"]);
        database.save(|run| run).ok();
        database
    }

    fn wait_until_started(&self) {
        let started = self.data.join("d/started");
        until("the service writes", Duration::from_secs(30), || {
            started.exists().then_some(())
        });
    }

    fn save(&self, with: impl FnOnce(Run) -> Run) -> Run {
        fs::remove_file(self.data.join("d/started")).ok();
        let run = self
            .world
            .kd(&["--quiet", "backup", "--unit", self.stack.unit()]);
        let run = run.env("KOPI_DOCKA_FAULT_WORTH_CLONING_BYTES", "1");
        let run = run.env("KOPI_DOCKA_FAULT_ROOM_TO_SPARE_BYTES", "1");
        with(run).stderr_any()
    }

    fn source(&self) -> Value {
        self.world.report()["units"][0]["sources"][0].clone()
    }

    /// Brings the newest point back, and holds the files to what the service left when it was stopped.
    #[track_caller]
    fn prove(&self, name: &str) {
        let target = self.world.path(name);
        let data = self.data.to_str().unwrap();
        self.world
            .restore_latest(
                self.stack.unit(),
                &["--volume", data, "--target", target.to_str().unwrap()],
            )
            .stdout_any()
            .stderr_any()
            .ok();
        let brought = target.join("binds").join(data.strip_prefix('/').unwrap());
        self.prove_sums(&brought);
        // But for its content and times it is as it is now.
        let see = |below: &Path| {
            let large = below.join("d/large");
            let show =
                |program: &str, args: &[&str]| Run::new(program).args(args).arg(&large).text();
            let owner = show("stat", &["--format", "%a %u:%g %s"]);
            let attributes = show("getfattr", &["--dump", "--match=-", "--absolute-names"]);
            let attributes: Vec<String> = attributes.lines().skip(1).map(str::to_owned).collect();
            (owner, attributes)
        };
        assert_eq!(see(&brought), see(&self.data));
    }

    #[track_caller]
    fn prove_sums(&self, below: &Path) {
        let script = r#"cd "$1/d" && sha256sum --check --quiet sum"#;
        Run::new("sh").args(["-c", script, "sh"]).arg(below).ok();
    }
}

fn kinds(source: &Value) -> Vec<&str> {
    let parts = source["parts"].as_array().unwrap().iter();
    parts.map(|part| part["kind"].as_str().unwrap()).collect()
}

#[test]
fn what_is_large_is_cloned_in_the_window_and_read_when_services_run_again() {
    let db = Database::on(|world| mount_xfs(world, "disk"));
    let held = db.world.hold("cloned", db.save(|run| run));
    // It runs, and writes other data into the same files.
    db.wait_until_started();
    db.stack.assert_running(&["db"]);
    let now = fs::read(db.data.join("d/large")).unwrap();
    assert!(now.iter().all(|byte| *byte == 0), "it has not written yet");
    let listed = Run::new("ls")
        .arg("-A")
        .arg(db.data.parent().unwrap())
        .text();
    assert_eq!(
        listed.replace("lost+found", "").trim(),
        "data",
        "a clone has no name"
    );
    held.release().ok();
    let source = db.source();
    assert_eq!(source["grade"], "ok", "{source:#}");
    assert_eq!(
        kinds(&source)[1..],
        ["folders", "final", "final"],
        "{source:#}"
    );
    let bytes = |key: &str| source[key].as_u64().unwrap();
    assert!(
        bytes("after_bytes") > 24 << 20 && bytes("window_bytes") < 1 << 20,
        "{source:#}"
    );
    assert!(
        source["read_why"]
            .to_string()
            .contains("2 large files cloned"),
        "{source:#}"
    );
    db.prove("out");
    db.world
        .kd(&["verify", "--unit", db.stack.unit()])
        .stdout_any()
        .stderr_any()
        .ok();
    // The next one reads as much again, and the restore of one file finds it in its part.
    db.save(|run| run).ok();
    db.prove("next");
}

#[test]
fn a_run_that_ends_before_its_clones_are_stored_leaves_nothing_and_the_next_one_is_whole() {
    let db = Database::on(|world| mount_xfs(world, "disk"));
    let used = || {
        let text = Run::new("du")
            .args(["--apparent-size", "-sk"])
            .arg(db.data.parent().unwrap())
            .text();
        text.split_whitespace().next().unwrap().to_owned()
    };
    let before = used();
    for step in ["found", "start", "cloned", "store", "commit"] {
        let done = db
            .save(|run| run.env("KOPI_DOCKA_FAULT", format!("kill@{step}")))
            .run();
        assert_eq!(done.code, None, "{step} is not reached:\n{done}");
        db.save(|run| run).ok();
        db.stack.assert_running(&["db"]);
        let source = db.source();
        assert!(
            source["after_bytes"].as_u64().unwrap() > 24 << 20,
            "{step}: {source:#}"
        );
        db.prove(step);
    }
    assert_eq!(used(), before);
    // A signal, while they are read.
    let held = db.world.hold("cloned", db.save(|run| run));
    held.signal(Signal::TERM);
    held.release().code(143);
    db.stack.assert_running(&["db"]);
}

#[test]
fn clones_are_not_made_where_there_is_no_room_or_nobody_wants_them() {
    let db = Database::on(|world| mount_xfs(world, "disk"));
    let prove_reading = |db: &Database| {
        let source = db.source();
        assert_eq!(source["after_bytes"], 0, "{source:#}");
        let bytes = source["window_bytes"].as_u64().unwrap();
        assert!(bytes > 24 << 20, "{source:#}");
    };
    let room = "KOPI_DOCKA_FAULT_ROOM_TO_SPARE_BYTES";
    db.save(|run| run.env(room, (300 << 20).to_string())).ok();
    prove_reading(&db);
    // What is read in less than five seconds is not worth it.
    db.save(|run| run.without_env("KOPI_DOCKA_FAULT_WORTH_CLONING_BYTES"))
        .ok();
    prove_reading(&db);
    db.world
        .config(|config| config["backup"]["clones"] = json!(false));
    db.save(|run| run).ok();
    prove_reading(&db);
    db.prove("out");
    // A clone there has not all that a file holds.
    let db = Database::on(|world| mount_btrfs(world, "disk"));
    db.save(|run| run).ok();
    prove_reading(&db);
    db.prove("out");
}
