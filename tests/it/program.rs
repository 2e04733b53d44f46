//! The program belongs to the data: after an upgrade, a restore brings back the version that wrote what it restores, or starts nothing.

use std::fs;
use std::path::PathBuf;

use crate::common::{Bed, IMAGE, OwnEngine, Registry, Run, Stack, World};
use serde_json::{Value, json};

/// Each start of a version notes itself in the data: what a migration would do.
const NOTES_ITSELF: &str = "echo $VERSION >>/data/ran; exec idle";

/// Makes an image of that version, under `name`.
#[track_caller]
fn make_image(bed: &Bed, name: &str, version: &str) {
    let container = bed.docker(&["create", IMAGE]).text();
    let change = format!("ENV VERSION={version}");
    bed.docker(&["commit", "--change", &change, &container, name])
        .text();
    bed.docker(&["rm", &container]).text();
}

/// A stack of which a version is upgraded: a database with data, and something that needs it.
struct Upgraded {
    world: World,
    stack: Stack,
    images: [String; 2],
}

impl Upgraded {
    /// Version 1 is saved; version 2 runs, and has noted itself.
    fn new() -> Self {
        let world = World::new();
        world.init();
        let images = ["1", "2"].map(|version| format!("{}:{version}", world.name("db")));
        for (image, version) in images.iter().zip(["1", "2"]) {
            make_image(&world.bed, image, version);
        }
        let stack = world
            .stack("web")
            .service("db", |s| {
                s.image(&images[0])
                    .volume("data", "/data")
                    .sh(NOTES_ITSELF)
                    .restart("always")
            })
            .service("app", |s| s.depends_on("db", "service_started"))
            .up_with_compose();
        let upgraded = Self {
            world,
            stack,
            images,
        };
        upgraded.world.backup(&upgraded.stack);
        fs::write(upgraded.file(), "1\n").unwrap();
        upgraded.world.backup(&upgraded.stack);
        upgraded.upgrade();
        upgraded
    }

    fn upgrade(&self) {
        let file = self.stack.dir().join("compose.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(&self.images[0], &self.images[1])).unwrap();
        self.stack
            .compose(&["up", "--detach"])
            .stdout_any()
            .stderr_any()
            .ok();
        self.until_ran("2");
    }

    /// Which versions have run on the data, in order.
    fn file(&self) -> PathBuf {
        self.stack.volume_path("data").join("ran")
    }

    fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn until_ran(&self, version: &str) {
        crate::common::until(
            "the version to note itself",
            std::time::Duration::from_secs(20),
            || (self.ran().last().map(String::as_str) == Some(version)).then_some(()),
        );
    }

    fn restore(&self, more: &[&str]) -> Run {
        let args = ["restore", "--yes", "--backup-id", "latest", "--unit"];
        self.world
            .kd(&[&["--json"], &args[..], &[self.stack.unit()], more].concat())
            .stdout_any()
            .stderr_any()
    }

    #[track_caller]
    fn report(&self, more: &[&str]) -> Value {
        let done = self.restore(more).run();
        let last = done.json_lines().pop().unwrap_or_else(|| panic!("{done}"));
        assert_eq!(last["event"], "restore_finished", "{done}");
        last["report"].clone()
    }

    fn image_of(&self, service: &str) -> String {
        let inspect = self.stack.inspect(service);
        inspect["Config"]["Image"].as_str().unwrap().to_owned()
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.stack.wipe();
        let run = self.world.docker(&["rmi", "--force"]).args(&self.images);
        run.stdout_any().stderr_any().run();
    }
}

#[test]
fn after_an_upgrade_the_newer_version_is_not_started_on_the_restored_data() {
    let upgraded = Upgraded::new();
    let id = upgraded.stack.inspect("db")["Id"].clone();
    let dry = upgraded
        .world
        .kd(&["--json", "restore", "--dry-run", "--backup-id", "latest"])
        .args(["--unit", upgraded.stack.unit()])
        .json();
    let differences = &dry["plan"]["rebuild"]["differences"];
    assert_eq!(
        differences[0]["container"],
        upgraded.stack.container("db"),
        "{dry:#}"
    );
    assert_eq!(differences[0]["reason"], "image");

    let report = upgraded.report(&[]);
    assert_eq!(report["exit_code"], 3, "{report:#}");
    let held = [
        upgraded.stack.container("app"),
        upgraded.stack.container("db"),
    ];
    let mut names: Vec<String> = serde_json::from_value(report["held"].clone()).unwrap();
    names.sort();
    assert_eq!(names, held);
    assert_eq!(report["still_stopped"], json!([]));
    let errors = report["errors"].to_string();
    assert!(errors.contains(&upgraded.images[1]), "{errors}");
    upgraded.stack.assert_running(&[]);
    assert_eq!(upgraded.ran(), ["1"]);

    // Nothing of ours starts it later, and nothing hides it.
    upgraded
        .world
        .kd(&["recover"])
        .stdout("Nothing to recover")
        .ok();
    let backup = upgraded
        .world
        .kd(&["--quiet", "backup", "--unit", upgraded.stack.unit()]);
    backup.stdout_any().stderr_any().ok();
    upgraded.stack.assert_running(&[]);
    let check = upgraded.world.kd(&["check"]).stdout_any().stderr_any();
    let check = check.run();
    assert!(
        check.stdout().contains(&held[1]) && check.stdout().contains("--undo"),
        "{check}"
    );
    let policy = &upgraded.stack.inspect("db")["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(*policy, "unless-stopped", "Docker starts it at boot");

    // Taken back, the same containers run on their own data.
    let undo = upgraded
        .world
        .kd(&["--json", "restore", "--yes", "--undo", "latest"]);
    undo.stdout_any().stderr_any().ok();
    upgraded.stack.assert_running(&["app", "db"]);
    upgraded.until_ran("2");
    assert!(upgraded.ran().len() > 2, "{:?}", upgraded.ran());
    let db = upgraded.stack.inspect("db");
    assert_eq!(db["Id"], id);
    assert_eq!(db["HostConfig"]["RestartPolicy"]["Name"], "always");
}

#[test]
fn what_the_next_step_says_goes_back_to_the_saved_version() {
    let upgraded = Upgraded::new();
    let report = upgraded.report(&[]);
    for step in report["next_steps"].as_array().unwrap() {
        let step = step.as_str().unwrap();
        Run::new("sh")
            .args(["-c", step])
            .env("PATH", crate::common::path())
            .env("DOCKER_HOST", upgraded.world.bed.host())
            .env(
                "DOCKER_CONFIG",
                std::env::var_os("DOCKER_CONFIG").unwrap_or_default(),
            )
            .env("HOME", "/root")
            .stdout_any()
            .stderr_any()
            .ok();
    }
    upgraded.stack.assert_running(&["app", "db"]);
    upgraded.until_ran("1");
    assert!(!upgraded.ran().contains(&"2".to_owned()));
    assert_eq!(upgraded.image_of("db"), upgraded.images[0]);
}

#[test]
fn with_up_the_saved_version_runs_on_its_data_and_undo_brings_the_newer_one_back() {
    let upgraded = Upgraded::new();
    let report = upgraded.report(&["--up"]);
    assert_eq!(report["exit_code"], 0, "{report:#}");
    assert_eq!(report["is_up"], true);
    upgraded.stack.assert_running(&["app", "db"]);
    upgraded.until_ran("1");
    assert!(!upgraded.ran().contains(&"2".to_owned()));
    assert_eq!(upgraded.image_of("db"), upgraded.images[0]);

    let undo = upgraded
        .world
        .kd(&["--json", "restore", "--yes", "--undo", "latest"]);
    undo.stdout_any().stderr_any().ok();
    upgraded.stack.assert_running(&["app", "db"]);
    upgraded.until_ran("2");
    assert_eq!(upgraded.image_of("db"), upgraded.images[1]);
    let compose = fs::read_to_string(upgraded.stack.dir().join("compose.yaml")).unwrap();
    assert!(compose.contains(&upgraded.images[1]));

    // The same when the taking back is interrupted: the newer containers are gone, and are made again.
    assert_eq!(upgraded.report(&["--up"])["exit_code"], 0);
    let undo = upgraded.world.kd(&["restore", "--yes", "--undo", "latest"]);
    let undo = undo.env("KOPI_DOCKA_FAULT", "kill@restore_keep");
    assert_eq!(undo.stdout_any().stderr_any().run().signal, Some(9));
    let recover = upgraded.world.kd(&["--quiet", "recover"]);
    recover.stdout_any().ok();
    upgraded.stack.assert_running(&["app", "db"]);
    upgraded.until_ran("2");
    assert_eq!(upgraded.image_of("db"), upgraded.images[1]);
    let again = upgraded.world.kd(&["recover"]);
    again.stdout("Nothing to recover").ok();
}

#[test]
fn a_kill_at_any_step_starts_only_what_belongs_to_the_data() {
    let upgraded = Upgraded::new();
    for (step, is_restored) in [
        ("restore_decide", false),
        ("restore_swap", true),
        ("restore_keep", true),
        ("restore_note", true),
        ("restore_forget", true),
        ("restore_start", true),
    ] {
        let done = upgraded
            .restore(&[])
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.signal, Some(9), "{done}");
        upgraded
            .world
            .kd(&["--quiet", "recover"])
            .stdout_any()
            .stderr_any()
            .ok();
        if is_restored {
            assert_eq!(upgraded.ran(), ["1"], "{step}");
            upgraded.stack.assert_running(&[]);
            let undo = upgraded
                .world
                .kd(&["--quiet", "restore", "--yes", "--undo", "latest"]);
            undo.stdout_any().stderr_any().ok();
        }
        upgraded.stack.assert_running(&["app", "db"]);
        upgraded.until_ran("2");
    }
    // The same when the taking back is interrupted.
    assert_eq!(upgraded.report(&[])["exit_code"], 3);
    let undo = upgraded.world.kd(&["restore", "--yes", "--undo", "latest"]);
    let undo = undo.env("KOPI_DOCKA_FAULT", "kill@restore_keep");
    assert_eq!(undo.stdout_any().stderr_any().run().signal, Some(9));
    upgraded.stack.assert_running(&[]);
    let recover = upgraded.world.kd(&["--quiet", "recover"]);
    recover.stdout_any().stderr_any().ok();
    upgraded.stack.assert_running(&["app", "db"]);
    upgraded.until_ran("2");
}

#[test]
fn what_another_hand_starts_meanwhile_never_stays_on_data_that_is_not_its_own() {
    let upgraded = Upgraded::new();
    let kd = |args: &[&str]| upgraded.world.kd(args).stdout_any().stderr_any();
    let undo = || kd(&["--quiet", "restore", "--yes", "--undo", "latest"]);
    let recover = || kd(&["--quiet", "recover"]).ok();
    for (step, is_restored) in [
        ("restore_extract", false),
        ("restore_stop", false),
        ("restore_decide", false),
        ("restore_swap", false),
        // The data is in place, its compose file is not, and Docker may still start what is to stay down.
        ("restore_swap_2", true),
        ("restore_keep", true),
        ("restore_note", true),
        ("restore_forget", true),
    ] {
        let fault = format!("kill@{step}");
        let done = upgraded.restore(&[]).env("KOPI_DOCKA_FAULT", fault).run();
        assert_eq!(done.signal, Some(9), "{step}\n{done}");
        let before = upgraded.ran().len();
        let ran = || (upgraded.ran().len() > before).then_some(());
        let was_down = upgraded.stack.inspect("db")["State"]["Running"] == false;
        upgraded.stack.start("db");
        if was_down {
            crate::common::until("it to run", std::time::Duration::from_secs(20), ran);
        }
        let done = recover();
        assert_eq!(before == 1, is_restored, "{step}: what is there now");
        if !is_restored {
            assert!(
                upgraded.ran().len() >= before,
                "{step}: {:?}",
                upgraded.ran()
            );
            upgraded.stack.assert_running(&["app", "db"]);
            continue;
        }
        // What the hand's start did is in the data; nothing of ours has added to it.
        assert_eq!(upgraded.ran(), ["1", "2"], "{step}");
        upgraded.stack.assert_running(&[]);
        let policy = &upgraded.stack.inspect("db")["HostConfig"]["RestartPolicy"]["Name"];
        assert_eq!(*policy, "unless-stopped", "{step}");
        let is_told = done.stderr().contains("on data that is not its own");
        assert!(
            is_told && done.stderr().contains("--undo"),
            "{step}\n{done}"
        );
        kd(&["recover"]).ok();
        upgraded.stack.assert_running(&[]);
        undo().ok();
        upgraded.stack.assert_running(&["app", "db"]);
        upgraded.until_ran("2");
        assert!(upgraded.ran().len() > 2, "{step}: {:?}", upgraded.ran());
    }
    // Taking it back: it is its own data by then.
    assert_eq!(upgraded.report(&[])["exit_code"], 3);
    let done = undo().env("KOPI_DOCKA_FAULT", "kill@restore_keep").run();
    assert_eq!(done.signal, Some(9), "{done}");
    upgraded.stack.start("db");
    recover();
    upgraded.stack.assert_running(&["app", "db"]);
    assert!(upgraded.ran().len() > 2, "{:?}", upgraded.ran());

    // Compose has made the saved version in the place of the newer one, which is made again.
    assert_eq!(upgraded.report(&["--up"])["exit_code"], 0);
    let done = undo().env("KOPI_DOCKA_FAULT", "kill@restore_keep").run();
    assert_eq!(done.signal, Some(9), "{done}");
    upgraded.stack.start("db");
    recover();
    upgraded.stack.assert_running(&["app", "db"]);
    assert_eq!(upgraded.image_of("db"), upgraded.images[1]);
    assert!(upgraded.ran().len() > 2, "{:?}", upgraded.ran());
}

#[test]
fn a_name_that_leads_to_a_newer_image_is_given_back_to_the_saved_one() {
    let world = World::new();
    world.init();
    let image = format!("{}:stable", world.name("db"));
    make_image(&world.bed, &image, "1");
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.image(&image).volume("data", "/data").sh(NOTES_ITSELF)
        })
        .up_with_compose();
    let id = |name: &str| {
        world
            .docker(&["image", "inspect", "--format", "{{.Id}}", name])
            .text()
    };
    let first = id(&image);
    world.backup(&stack);
    make_image(&world.bed, &image, "2");
    let second = id(&image);
    let up = || {
        stack
            .compose(&["up", "--detach"])
            .stdout_any()
            .stderr_any()
            .ok()
    };
    up();
    let restore = |more: &[&str]| {
        let args = ["restore", "--yes", "--backup-id", "latest", "--unit"];
        world
            .kd(&[&args[..], &[stack.unit()], more].concat())
            .stdout_any()
            .stderr_any()
    };
    let told = restore(&[]).code(3);
    assert!(
        told.stderr().contains("runs another image that is called"),
        "{told}"
    );
    assert!(told.stdout().contains("docker tag sha256:"), "{told}");
    restore(&["--up"]).ok();
    assert_eq!(stack.inspect("db")["Image"], json!(first));
    assert_eq!(id(&image), first);
    world
        .kd(&["restore", "--yes", "--undo", "latest"])
        .stdout_any()
        .stderr_any()
        .ok();
    // The first restore had left the newer one down.
    assert_eq!(id(&image), second);
    stack.wipe();
    let run = world.docker(&["rmi", "--force", &first, &second]);
    run.stdout_any().stderr_any().run();
}

#[test]
fn a_definition_that_changed_since_is_another_program_too() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data").env("MODE", "old"))
        .up_with_compose();
    world.backup(&stack);
    let file = stack.dir().join("compose.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"old\"", "\"new\"")).unwrap();
    stack
        .compose(&["up", "--detach"])
        .stdout_any()
        .stderr_any()
        .ok();
    let restore = [
        "--quiet",
        "restore",
        "--yes",
        "--backup-id",
        "latest",
        "--unit",
    ];
    world
        .kd(&[&restore[..], &[stack.unit()]].concat())
        .stdout_any()
        .stderr("its service was defined otherwise")
        .stderr_any()
        .code(3);
    stack.assert_running(&[]);
    world
        .kd(&[&restore[..], &[stack.unit(), "--up"]].concat())
        .stdout_any()
        .stderr_any()
        .ok();
    let env = stack.inspect("db")["Config"]["Env"].to_string();
    assert!(env.contains("MODE=old"), "{env}");
}

#[test]
fn a_standalone_container_makes_way_for_the_saved_one_and_comes_back() {
    let world = World::new();
    world.init();
    let images = ["1", "2"].map(|version| format!("{}:{version}", world.name("db")));
    for (image, version) in images.iter().zip(["1", "2"]) {
        make_image(&world.bed, image, version);
    }
    let run = |image: &str| {
        world.container("db", |s| {
            s.image(image)
                .volume("data", "/data")
                .sh(NOTES_ITSELF)
                .restart("always")
        })
    };
    let name = run(&images[0]);
    let ran = || {
        let volume = world.volume_path(&format!("{}_data", world.id()));
        fs::read_to_string(volume.join("ran")).unwrap()
    };
    world
        .kd(&["--quiet", "backup", "--unit", &name])
        .stdout_any()
        .ok();
    world.docker(&["rm", "--force", &name]).text();
    run(&images[1]);
    let newer = world.inspect(&name)["Id"].clone();
    let restore = [
        "--json",
        "restore",
        "--yes",
        "--backup-id",
        "latest",
        "--unit",
    ];
    let kd = |more: &[&str]| {
        let args = [&restore[..], &[name.as_str()], more].concat();
        world.kd(&args).stdout_any().stderr_any()
    };
    let done = kd(&[]).code(3);
    assert!(done.stdout().contains("\"held\""), "{done}");
    assert_eq!(world.inspect(&name)["State"]["Running"], false);
    let policy = || world.inspect(&name)["HostConfig"]["RestartPolicy"]["Name"].clone();
    assert_eq!(policy(), "unless-stopped");
    // Started by hand: with the way back nothing of the restore is left.
    world.docker(&["start", &name]).text();
    let discard = || {
        let run = world.kd(&["restore", "--yes", "--discard-safety", "all"]);
        run.stdout_any().ok()
    };
    discard();
    assert_eq!(policy(), "always");
    kd(&["--up"]).ok();
    let now = world.inspect(&name);
    assert_eq!(now["Config"]["Image"], images[0]);
    assert_eq!(now["State"]["Running"], true);
    crate::common::until("a note", std::time::Duration::from_secs(20), || {
        (!ran().contains('2') && ran().matches('1').count() > 1).then_some(())
    });
    let units = world.kd(&["--json", "list", "--units"]).stderr_any().json();
    let aside = units["units"].as_array().unwrap().iter().find(|unit| {
        let name = unit["name"].as_str().unwrap();
        name.contains(".kopi-docka-before-")
    });
    assert!(
        aside.is_none_or(|unit| unit["enabled"] == false),
        "{units:#}"
    );

    // Interrupted when the data is back and noted, and the name is not.
    let undo = world.kd(&["restore", "--yes", "--undo", "latest"]);
    let undo = undo.env("KOPI_DOCKA_FAULT", "kill@restore_start");
    assert_eq!(undo.stdout_any().stderr_any().run().signal, Some(9));
    let recover = world.kd(&["--quiet", "recover"]);
    recover.stdout_any().ok();
    assert_eq!(world.inspect(&name)["Id"], newer);
    let names = || {
        let filter = format!("name={name}");
        let all = ["ps", "--all", "--format", "{{.Names}}", "--filter", &filter];
        world.docker(&all).text()
    };
    let aside = format!("{name}.kopi-docka-before-");
    assert!(names().contains(&aside), "{}", names());
    let discarded = discard();
    let said = format!("Removed container `{aside}");
    assert!(discarded.stdout().contains(&said), "{discarded}");
    assert_eq!(names(), name);
    world.docker(&["rm", "--force", &name]).text();
    let run = world.docker(&["rmi", "--force"]).args(&images);
    run.stdout_any().stderr_any().run();
}

/// A stack whose image was in a registry, saved, and gone from the host since; its name leads to version 2 there.
struct Moved {
    world: World,
    _engine: OwnEngine,
    registry: Registry,
    stack: Stack,
    image: String,
    digest: String,
}

impl Moved {
    fn new() -> Self {
        let engine = Bed::own_engine();
        let world = World::on(&engine);
        world.init();
        let registry = Registry::start(&world, &engine);
        let image = format!("{}:latest", registry.image("app"));
        let push = || world.docker(&["push", "--quiet", &image]).stdout_any().ok();
        make_image(&world.bed, &image, "1");
        push();
        let format = "{{index .RepoDigests 0}}";
        let digest = world
            .docker(&["image", "inspect", "--format", format, &image])
            .text();
        let stack = world
            .stack("web")
            .service("db", |s| {
                s.image(&image).volume("data", "/data").sh(NOTES_ITSELF)
            })
            .up_with_compose();
        world.backup(&stack);
        stack.wipe();
        make_image(&world.bed, &image, "2");
        push();
        let ids = world.docker(&["images", "--quiet", "--no-trunc"]).text();
        let format = "{{.Id}}";
        let keep = world
            .docker(&["image", "inspect", "--format", format, IMAGE])
            .text();
        let ids = ids.lines().filter(|id| *id != keep);
        world
            .docker(&["rmi", "--force"])
            .args(ids)
            .stdout_any()
            .stderr_any()
            .run();
        Self {
            world,
            _engine: engine,
            registry,
            stack,
            image,
            digest,
        }
    }

    fn restore(&self, more: &[&str]) -> Run {
        let args = ["restore", "--yes", "--backup-id", "latest", "--unit"];
        self.world
            .kd(&[&args[..], &[self.stack.unit()], more].concat())
            .stdout_any()
            .stderr_any()
    }

    fn version(&self) -> String {
        let env = self.stack.inspect("db")["Config"]["Env"].to_string();
        let versions = ["1", "2"];
        let found = versions
            .iter()
            .find(|v| env.contains(&format!("VERSION={v}")));
        (*found.unwrap()).to_owned()
    }
}

#[test]
fn a_bare_host_gets_the_digest_that_was_saved_and_not_the_tag_of_today() {
    let moved = Moved::new();
    let told = moved.restore(&[]).ok();
    let pull = format!("docker pull {}", moved.digest);
    let tag = format!("docker tag {} {}", moved.digest, moved.image);
    assert!(
        told.stdout().contains(&pull) && told.stdout().contains(&tag),
        "{told}"
    );
    moved.stack.wipe();
    moved.restore(&["--up"]).ok();
    assert_eq!(moved.version(), "1");
}

#[test]
fn an_image_that_its_registry_lost_is_a_choice_and_never_a_surprise() {
    let moved = Moved::new();
    let (_, digest) = moved.digest.split_once('@').unwrap();
    moved.registry.forget("app", digest);
    let refused = moved.restore(&["--up"]).code(3);
    assert!(refused.stderr().contains("--other-images"), "{refused}");
    assert!(
        refused.stderr().contains("nothing was changed"),
        "{refused}"
    );
    let volumes = moved.world.docker(&["volume", "ls", "--quiet"]).text();
    assert!(!volumes.contains(&moved.stack.volume("data")));
    let done = moved.restore(&["--up", "--other-images"]).ok();
    assert!(
        done.stderr()
            .contains("another one than the data was saved with"),
        "{done}"
    );
    assert_eq!(moved.version(), "2");
}

#[test]
fn an_image_that_no_registry_ever_had_is_a_choice_too() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    world.init();
    let registry = Registry::start(&world, &engine);
    let image = format!("{}:latest", registry.image("app"));
    make_image(&world.bed, &image, "1");
    let name = world.container("db", |s| {
        s.image(&image).volume("data", "/data").sh(NOTES_ITSELF)
    });
    world
        .kd(&["--quiet", "backup", "--unit", &name])
        .stdout_any()
        .ok();
    world.docker(&["rm", "--force", &name]).text();
    world.docker(&["rmi", &image]).stdout_any().ok();
    make_image(&world.bed, &image, "2");
    world.docker(&["push", "--quiet", &image]).stdout_any().ok();
    world.docker(&["rmi", &image]).stdout_any().ok();
    let restore = ["restore", "--yes", "--backup-id", "latest", "--unit"];
    let kd = |more: &[&str]| {
        let args = [&restore[..], &[name.as_str()], more].concat();
        world.kd(&args).stdout_any().stderr_any()
    };
    let refused = kd(&["--up"]).code(3);
    assert!(
        refused.stderr().contains(&format!("docker pull {image}"))
            && refused.stderr().contains("--other-images"),
        "{refused}"
    );
    kd(&["--up", "--other-images"]).ok();
    let env = world.inspect(&name)["Config"]["Env"].to_string();
    assert!(env.contains("VERSION"), "{env}");
}

/// A project of files in a directory of its own.
fn project(world: &World, text: &str) -> (String, PathBuf) {
    let folder = world.dir("projects/shop");
    fs::write(folder.join("compose.yaml"), text).unwrap();
    (world.name("shop"), folder)
}

fn compose(world: &World, name: &str, folder: &PathBuf, args: &[&str]) -> Run {
    world
        .docker(&[&["compose", "--project-name", name], args].concat())
        .directory(folder)
        .stdout_any()
        .stderr_any()
}

fn names(world: &World, project: &str) -> Vec<String> {
    let filter = format!("label=com.docker.compose.project={project}");
    let format = "{{.Names}}";
    let text = world
        .docker(&["ps", "--all", "--filter", &filter, "--format", format])
        .text();
    let start = format!("{project}-");
    let mut names: Vec<String> = text
        .lines()
        .map(|name| name.strip_prefix(&start).unwrap_or(name).to_owned())
        .collect();
    names.sort();
    names
}

fn remove(world: &World, name: &str) {
    let filter = format!("label=com.docker.compose.project={name}");
    for (what, remove) in [
        ("container", "rm --force"),
        ("volume", "rm"),
        ("network", "rm"),
    ] {
        let list: &[&str] = if what == "container" {
            &["ls", "--all"]
        } else {
            &["ls"]
        };
        let ids = world
            .docker(&[&[what], list, &["--quiet", "--filter", &filter]].concat())
            .text();
        if !ids.is_empty() {
            let words: Vec<&str> = remove.split(' ').collect();
            let run = world.docker(&[&[what], words.as_slice()].concat());
            run.args(ids.lines()).stdout_any().ok();
        }
    }
}

fn restore_up(world: &World, name: &str) -> Run {
    world
        .kd(&["restore", "--yes", "--up", "--backup-id", "latest"])
        .args(["--unit", name])
        .stdout_any()
        .stderr_any()
}

fn back_up(world: &World, name: &str) {
    let run = world.kd(&["--quiet", "backup", "--unit", name]);
    run.stdout_any().stderr_any().run();
}

#[test]
fn what_ran_is_started_with_its_replicas_and_profiles_and_nothing_else_is() {
    let world = World::new();
    world.init();
    let text = r#"
services:
  db: {image: "kopi-docka-test:1", network_mode: none, volumes: ["db:/data"]}
  worker: {image: "kopi-docka-test:1", network_mode: none, depends_on: [db], deploy: {replicas: 3}}
  one: {image: "kopi-docka-test:1", network_mode: none, deploy: {replicas: 2}}
  ml: {image: "kopi-docka-test:1", network_mode: none, profiles: [gpu], depends_on: [db]}
  seed: {image: "kopi-docka-test:1", network_mode: none, depends_on: [db], command: [sh, -c, "echo seeded >/data/seeded"], volumes: ["db:/data"]}
volumes: {db: {}}
"#;
    let (name, folder) = project(&world, text);
    let up = [
        "--profile",
        "gpu",
        "up",
        "-d",
        "--scale",
        "worker=2",
        "--scale",
        "one=1",
    ];
    compose(
        &world,
        &name,
        &folder,
        &[&up[..], &["db", "worker", "one", "ml"]].concat(),
    )
    .ok();
    let before = names(&world, &name);
    back_up(&world, &name);
    remove(&world, &name);
    fs::remove_dir_all(&folder).unwrap();
    restore_up(&world, &name).ok();
    assert_eq!(names(&world, &name), before);
    let data = world.volume_path(&format!("{name}_db"));
    assert!(!data.join("seeded").exists());
    remove(&world, &name);
}

#[test]
fn without_its_compose_files_nothing_is_started_from_where_somebody_stands() {
    let world = World::new();
    world.init();
    let text = r#"{"services": {"db": {"image": "kopi-docka-test:1", "network_mode": "none", "volumes": ["db:/data"]}}, "volumes": {"db": {}}}"#;
    let (name, folder) = project(&world, text);
    compose(&world, &name, &folder, &["up", "-d"]).ok();
    fs::write(
        world.volume_path(&format!("{name}_db")).join("row"),
        "saved",
    )
    .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    back_up(&world, &name);
    remove(&world, &name);
    let elsewhere = world.dir("elsewhere");
    let strangers = text.replace("\"db\": {\"image\"", "\"stranger\": {\"image\"");
    fs::write(elsewhere.join("compose.yaml"), strangers).unwrap();
    let done = restore_up(&world, &name).directory(&elsewhere).code(3);
    assert!(
        done.stderr().contains("the point has no compose files"),
        "{done}"
    );
    assert_eq!(names(&world, &name), Vec::<String>::new());
    let row = world.volume_path(&format!("{name}_db")).join("row");
    assert_eq!(fs::read_to_string(row).unwrap(), "saved");
    remove(&world, &name);
}

#[test]
fn variables_of_a_shell_are_given_to_compose_and_what_would_be_different_is_not_started() {
    let world = World::new();
    world.init();
    let text = r#"
services:
  db:
    image: kopi-docka-test:1
    network_mode: none
    user: "${APP_UID}:${APP_UID}"
    volumes: ["${DATA_ROOT}/db:/db", "${PWD}/conf:/conf"]
"#;
    let (name, folder) = project(&world, text);
    let data = world.dir("big/db");
    fs::create_dir_all(folder.join("conf")).unwrap();
    fs::write(data.join("row"), "saved").unwrap();
    compose(&world, &name, &folder, &["up", "-d"])
        .env("APP_UID", "1000")
        .env("PWD", &folder)
        .env("DATA_ROOT", world.path("big"))
        .ok();
    back_up(&world, &name);
    let forget = || {
        remove(&world, &name);
        let _ = fs::remove_dir_all(&folder);
        let _ = fs::remove_dir_all(world.path("big"));
    };
    forget();
    restore_up(&world, &name).ok();
    let container = world.inspect(&format!("{name}-db-1"));
    assert_eq!(container["Config"]["User"], "1000:1000");
    let binds = container["HostConfig"]["Binds"].to_string();
    assert!(
        binds.contains(&format!("{}:/db", data.display())),
        "{binds}"
    );

    // The files were changed, and the containers were not: it is not known which of them was meant.
    let other = world.path("big/other");
    let changed = text.replace("${DATA_ROOT}/db", other.to_str().unwrap());
    fs::write(folder.join("compose.yaml"), changed).unwrap();
    back_up(&world, &name);
    forget();
    let done = restore_up(&world, &name).code(3);
    let was = format!(
        "`/db` was `{}`, the compose files say `{}`",
        data.display(),
        other.display()
    );
    assert!(done.stderr().contains(&was), "{done}");
    assert!(done.stdout().contains("Next:"), "{done}");
    assert_eq!(names(&world, &name), Vec::<String>::new());
    assert!(!other.exists());
    assert_eq!(fs::read_to_string(data.join("row")).unwrap(), "saved");
}

#[test]
fn on_a_terminal_it_is_asked_which_program_shall_run() {
    let upgraded = Upgraded::new();
    let args = ["restore", "--backup-id", "latest", "--unit"];
    let ask = |key: &str| {
        let run = upgraded
            .world
            .kd(&[&args[..], &[upgraded.stack.unit()]].concat());
        let mut terminal = run.terminal();
        terminal.see("stopped for a moment?");
        terminal.press("y");
        terminal.see("Go back to the saved ones");
        terminal.press(key);
        terminal
    };
    let said = ask("n").code(3);
    assert!(said.contains("Next:"), "{said}");
    upgraded.stack.assert_running(&[]);
    let undo = upgraded
        .world
        .kd(&["--quiet", "restore", "--yes", "--undo", "latest"]);
    undo.stdout_any().stderr_any().ok();
    upgraded.until_ran("2");
    ask("y").code(0);
    upgraded.stack.assert_running(&["app", "db"]);
    upgraded.until_ran("1");
    assert!(!upgraded.ran().contains(&"2".to_owned()));
}
