//! What the operator wants to be done around a backup: in order, never while services are down, and never half.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{PASSWORD, Stack, World};

/// Notes what it is told and whether the container runs, and says what it is to say. `fail` in its first argument makes it fail, `wait` wait.
const NOTE: &str = r#"#!/bin/sh
began=$(date +%s%N)
case "$1" in wait*) sleep 30;; slow*) sleep 0.3;; esac
running=$(docker -H "HOST" ps -q --filter name=WORLD | wc -l)
echo "$1 $KOPI_DOCKA_HOOK unit=$KOPI_DOCKA_UNIT outcome=$KOPI_DOCKA_OUTCOME grade=$KOPI_DOCKA_GRADE running=$running began=$began ended=$(date +%s%N)" >>LOG
env >ENVIRONMENT
echo "said by $1"; echo "and PASSWORD" >&2
case "$1" in fail*) exit 7;; esac
"#;

struct Hooked {
    world: World,
    stack: Stack,
    program: PathBuf,
}

impl Hooked {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let stack = world
            .stack("shop")
            .service("web", |s| s.volume("data", "/data"))
            .service("db", |s| s.volume("db", "/db"))
            .up();
        let program = world.dir("programs").join("note");
        fs::set_permissions(program.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        let script = NOTE
            .replace("HOST", &world.bed.host())
            .replace("WORLD", stack.unit())
            .replace("LOG", world.path("log").to_str().unwrap())
            .replace("ENVIRONMENT", world.path("environment").to_str().unwrap())
            .replace("PASSWORD", PASSWORD);
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            world,
            stack,
            program,
        }
    }

    fn hook(&self, when: &str, word: &str) -> Value {
        json!({"when": when, "run": [self.program, word, "$HOME %n"]})
    }

    fn set(&self, hooks: &[Value]) {
        self.world.config(|config| config["hooks"] = json!(hooks));
    }

    fn backup(&self) -> crate::common::Run {
        fs::remove_file(self.world.path("log")).ok();
        let run = self
            .world
            .kd(&["--quiet", "backup", "--unit", self.stack.unit()]);
        run.env("AWS_SECRET_ACCESS_KEY", "the key of the storage")
            .stderr_any()
    }

    /// What was noted, without times.
    fn noted(&self) -> Vec<String> {
        let text = fs::read_to_string(self.world.path("log")).unwrap_or_default();
        let lines = text.lines();
        lines
            .map(|line| line.split(" began=").next().unwrap().to_owned())
            .collect()
    }

    fn owed(&self) -> usize {
        fs::read_dir(self.world.path("state/hooks")).map_or(0, |all| all.count())
    }
}

#[test]
fn hooks_are_done_in_order_and_those_after_in_the_reverse_one() {
    let hooked = Hooked::new();
    let (world, unit) = (&hooked.world, hooked.stack.unit().to_owned());
    let mut hooks = Vec::new();
    for when in [
        "before_run",
        "before_stop",
        "after_start",
        "after_unit",
        "failed",
        "after_run",
    ] {
        hooks.extend(["1", "2"].map(|word| hooked.hook(when, word)));
    }
    hooks.push(
        json!({"when": "before_stop", "unit": "another", "run": [hooked.program, "another"]}),
    );
    hooked.set(&hooks);
    let looked = ["dry-run", "--json", "--unit", hooked.stack.unit()];
    let looked = world.kd(&looked).stderr_any().json();
    let listed = looked["units"][0]["hooks"].as_array().unwrap();
    assert_eq!(listed.len(), 8, "{listed:#?}");
    assert!(listed[0].as_str().unwrap().starts_with("before_stop: /"));
    assert!(hooked.noted().is_empty());
    hooked.backup().ok();
    let of = |word: &str, when: &str, unit: &str, told: &str| {
        format!("{word} {when} unit={unit} {told} running=2")
    };
    let (nothing, ok) = ("outcome= grade=", "outcome=ok grade=ok");
    assert_eq!(
        hooked.noted(),
        [
            of("1", "before_run", "", nothing),
            of("2", "before_run", "", nothing),
            of("1", "before_stop", &unit, nothing),
            of("2", "before_stop", &unit, nothing),
            of("2", "after_start", &unit, nothing),
            of("1", "after_start", &unit, nothing),
            of("2", "after_unit", &unit, ok),
            of("1", "after_unit", &unit, ok),
            of("2", "after_run", "", "outcome=ok grade="),
            of("1", "after_run", "", "outcome=ok grade="),
        ]
    );
    assert_eq!(hooked.owed(), 0);
    let report = world.report();
    let first = &report["units"][0]["hooks"][0];
    assert_eq!(first["when"], "before_stop");
    let said = first["said"].as_str().unwrap();
    assert!(
        said.contains("said by 1") && said.contains("and ***"),
        "{said}"
    );
    assert_eq!(report["hooks"].as_array().unwrap().len(), 4);
    assert!(!report.to_string().contains(PASSWORD));
    // Nothing of ours but what it is told.
    let environment = fs::read_to_string(world.path("environment")).unwrap();
    let names = environment
        .lines()
        .filter_map(|line| line.split('=').next());
    let foreign: Vec<&str> = names
        .filter(|name| {
            !name.starts_with("KOPI_DOCKA_")
                && ![
                    "PATH", "HOME", "LANG", "TZ", "LC_ALL", "PWD", "_", "SHLVL", "OLDPWD",
                ]
                .contains(name)
        })
        .collect();
    assert_eq!(foreign, [""; 0]);
    assert!(environment.contains("KOPI_DOCKA_REPORT=/"), "{environment}");
    assert!(!environment.contains(PASSWORD) && !environment.contains("KOPI_DOCKA_CONFIG"));
}

#[test]
fn a_unit_whose_hook_fails_before_its_stop_is_left_up_and_what_follows_is_done() {
    let hooked = Hooked::new();
    let before = hooked.stack.inspect("web")["State"]["StartedAt"].clone();
    let around = |before: Value| {
        hooked.set(&[
            before,
            hooked.hook("before_stop", "never"),
            hooked.hook("after_start", "back"),
            hooked.hook("failed", "alarm"),
        ]);
    };
    around(hooked.hook("before_stop", "fail"));
    hooked.backup().code(3);
    let unit = hooked.world.report()["units"][0].clone();
    assert_eq!(unit["outcome"], "failed", "{unit:#}");
    let errors = unit["errors"].to_string();
    assert!(
        errors.contains("status 7")
            && errors.contains("said by fail")
            && errors.contains("left up"),
        "{errors}"
    );
    assert_eq!(hooked.stack.inspect("web")["State"]["StartedAt"], before);
    let words: Vec<String> = hooked
        .noted()
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(words, ["fail", "back", "alarm"]);
    assert_eq!(hooked.owed(), 0);

    // A warning, where that is wanted.
    let mut warned = hooked.hook("before_stop", "fail");
    warned["on_failure"] = json!("warn");
    around(warned);
    hooked.backup().ok();
    let unit = hooked.world.report()["units"][0].clone();
    assert!(
        unit["warnings"].to_string().contains("status 7"),
        "{unit:#}"
    );
    assert_eq!(hooked.noted().len(), 3);

    // One that takes too long.
    let mut slow = hooked.hook("before_stop", "wait");
    slow["timeout"] = json!("1s");
    around(slow);
    let since = Instant::now();
    hooked.backup().code(3);
    assert!(since.elapsed() < Duration::from_secs(20));
    let unit = hooked.world.report()["units"][0].clone();
    assert!(
        unit["errors"].to_string().contains("longer than 1 s"),
        "{unit:#}"
    );
    let log = fs::read_to_string(hooked.world.path("kopi-docka.log")).unwrap();
    assert!(log.contains("(before_stop): it took longer"), "{log}");
    assert_eq!(hooked.stack.inspect("web")["State"]["Running"], true);

    // After the start the point is good all the same.
    hooked.set(&[hooked.hook("after_start", "fail")]);
    hooked.backup().code(3);
    let unit = hooked.world.report()["units"][0].clone();
    assert_eq!(
        (&unit["outcome"], &unit["grade"]),
        (&json!("saved"), &json!("ok")),
        "{unit:#}"
    );
    for (when, code) in [("before_run", 3), ("after_run", 3), ("after_unit", 3)] {
        hooked.set(&[hooked.hook(when, "fail"), hooked.hook("after_run", "end")]);
        hooked.backup().code(code);
        assert!(
            hooked
                .noted()
                .iter()
                .any(|line| line.starts_with("end after_run")),
            "{when}"
        );
    }
    hooked.stack.assert_running(&["web", "db"]);
}

#[test]
fn what_follows_is_done_once_after_a_kill_and_after_a_signal() {
    let hooked = Hooked::new();
    hooked.set(&[
        hooked.hook("before_stop", "quiet"),
        hooked.hook("after_start", "1"),
        hooked.hook("after_start", "2"),
    ]);
    for step in ["hook", "stop", "read", "start", "owed"] {
        let done = hooked
            .backup()
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(done.code, None, "{step} is not reached:\n{done}");
        assert_eq!(hooked.owed(), 1, "{step}");
        // Whatever the configuration says by now.
        hooked.set(&[]);
        hooked.world.kd(&["recover"]).stdout_any().stderr_any().ok();
        hooked.stack.until_up();
        let noted = hooked.noted();
        let after: Vec<&String> = noted
            .iter()
            .filter(|line| line.contains("after_start"))
            .collect();
        assert!(
            after.len() == 2 && after[0].starts_with('2') && after[1].starts_with('1'),
            "{step}: {noted:?}"
        );
        assert!(
            after.iter().all(|line| line.ends_with("running=2")),
            "{step}: {noted:?}"
        );
        assert_eq!(hooked.owed(), 0, "{step}");
        hooked.world.kd(&["recover"]).stdout_any().stderr_any().ok();
        assert_eq!(hooked.noted(), noted);
        hooked.set(&[
            hooked.hook("before_stop", "quiet"),
            hooked.hook("after_start", "1"),
            hooked.hook("after_start", "2"),
        ]);
    }
    hooked.set(&[
        hooked.hook("before_stop", "wait"),
        hooked.hook("after_start", "back"),
    ]);
    let mut running = hooked.backup().spawn();
    running.until("the hook", |_| (hooked.owed() == 1).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    running.signal(Signal::TERM);
    let since = Instant::now();
    running.code(143);
    assert!(since.elapsed() < Duration::from_secs(5));
    assert_eq!(hooked.noted().len(), 1, "{:?}", hooked.noted());
    assert_eq!(hooked.owed(), 0);
    hooked.stack.assert_running(&["web", "db"]);
}

#[test]
fn no_hook_is_at_work_while_a_unit_is_down() {
    let hooked = Hooked::new();
    let others: Vec<String> = (0..3)
        .map(|number| {
            hooked
                .world
                .container(&format!("c{number}"), |s| s.volume("data", "/data"))
        })
        .collect();
    let hooks = ["before_stop", "after_start", "after_unit"].map(|when| hooked.hook(when, "slow"));
    hooked.set(&hooks);
    let mut run = hooked.backup();
    for other in &others {
        run = run.args(["--unit", other]);
    }
    run.ok();
    let text = fs::read_to_string(hooked.world.path("log")).unwrap();
    let time = |line: &str, of: &str| {
        let text = line.split(of).nth(1).unwrap().split(' ').next().unwrap();
        DateTime::from_timestamp_nanos(text.parse().unwrap())
    };
    let hooks: Vec<(DateTime<Utc>, DateTime<Utc>)> = text
        .lines()
        .map(|line| (time(line, "began="), time(line, "ended=")))
        .collect();
    assert_eq!(hooks.len(), 12, "{text}");
    let report = hooked.world.report();
    let mut windows = 0;
    for unit in report["units"].as_array().unwrap() {
        for step in unit["steps"].as_array().unwrap() {
            if step["in_window"] != true {
                continue;
            }
            windows += 1;
            let began: DateTime<Utc> = step["started_at"].as_str().unwrap().parse().unwrap();
            let seconds = step["seconds"].as_f64().unwrap();
            let ended = began + TimeDelta::milliseconds((seconds * 1000.0) as i64);
            let within = hooks.iter().find(|(from, to)| *from < ended && *to > began);
            assert!(
                within.is_none(),
                "{within:?} in {step:#} of {}",
                unit["unit"]
            );
        }
    }
    assert!(windows >= 12);
}

/// As Nextcloud has it: maintenance mode, which is in the data, and a service that is to write its memory out.
const APP: &str = "mkdir -p /data; [ -e /data/mode ] || echo off >/data/mode; trap 'exit 0' TERM; while :; do sleep 0.1; done";

#[test]
fn a_command_in_a_container_is_done_as_its_user_with_maintenance_mode_and_save() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("cloud")
        .service("app", |s| s.volume("data", "/data").sh(APP))
        .service("cache", |s| {
            s.volume("memory", "/memory")
                .sh(APP)
                .label(
                    "kopi-docka.exec.before-stop",
                    r#"["sh", "-c", "echo saved >/memory/dump"]"#,
                )
                .label(
                    "kopi-docka.exec.after-start",
                    "echo $KOPI_DOCKA_HOOK >/memory/after; id -u >>/memory/after",
                )
        })
        .up();
    let set_mode = |when: &str, mode: &str| {
        let command = [
            "sh",
            "-c",
            &format!("echo {mode} >/data/mode; id -u >/data/who-{mode}"),
        ];
        json!({"when": when, "unit": stack.unit(), "exec": {"service": "app", "command": command, "user": "12345"}})
    };
    world.config(|config| {
        config["hooks"] = json!([
            set_mode("before_stop", "on"),
            set_mode("after_start", "off")
        ]);
    });
    let data = stack.volume_path("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    stack.until_up();
    let mode = data.join("mode");
    crate::common::until("the mode", Duration::from_secs(10), || {
        mode.exists().then_some(())
    });
    fs::set_permissions(&mode, fs::Permissions::from_mode(0o666)).unwrap();
    world.backup(&stack);
    assert_eq!(fs::read_to_string(&mode).unwrap(), "off\n");
    assert_eq!(fs::read_to_string(data.join("who-off")).unwrap(), "12345\n");
    let memory = stack.volume_path("memory");
    assert_eq!(
        fs::read_to_string(memory.join("after")).unwrap(),
        "after_start\n0\n"
    );
    let target = world.path("out");
    world
        .restore_latest(
            stack.unit(),
            &[
                "--volume",
                &stack.volume("data"),
                "--volume",
                &stack.volume("memory"),
                "--target",
                target.to_str().unwrap(),
            ],
        )
        .stdout_any()
        .stderr_any()
        .ok();
    let restored = |volume: &str, file: &str| {
        let path = target.join("volumes").join(stack.volume(volume)).join(file);
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(
        restored("data", "mode"),
        "on\n",
        "it was stopped in maintenance mode"
    );
    assert_eq!(restored("memory", "dump"), "saved\n");

    // A service that is not there.
    world.config(|config| config["hooks"][0]["exec"]["service"] = json!("gone"));
    let run = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    run.stderr("has no service `gone`").code(3);
    stack.assert_running(&["app", "cache"]);
}

#[test]
fn a_real_redis_is_saved_before_its_stop_and_its_keys_come_back() {
    let world = World::new();
    let image = world.bed.redis_image();
    world.init();
    let stack = world
        .stack("cache")
        .service("redis", |s| {
            s.image(&image)
                .volume("data", "/data")
                .label("kopi-docka.exec.before-stop", r#"["redis-cli", "SAVE"]"#)
        })
        .up();
    let ask = |words: &[&str]| {
        let redis = stack.container("redis");
        world
            .docker(&[&["exec", &redis, "redis-cli"], words].concat())
            .text()
    };
    crate::common::until("Redis", Duration::from_secs(30), || {
        let run = world.docker(&["exec", &stack.container("redis"), "redis-cli", "PING"]);
        (run.run().stdout().trim() == "PONG").then_some(())
    });
    assert_eq!(ask(&["SET", "key", "in memory"]), "OK");
    assert!(
        !stack.volume_path("data").join("dump.rdb").exists(),
        "it is in memory alone"
    );
    world.backup(&stack);
    let hooks = world.report()["units"][0]["hooks"].clone();
    assert_eq!(
        (&hooks[0]["error"], &hooks[0]["said"]),
        (&json!(null), &json!("OK")),
        "{hooks:#}"
    );
    ask(&["FLUSHALL"]);
    world
        .restore_latest(stack.unit(), &[])
        .stdout_any()
        .stderr_any()
        .ok();
    crate::common::until("the key", Duration::from_secs(30), || {
        let run = world.docker(&["exec", &stack.container("redis"), "redis-cli", "GET", "key"]);
        (run.run().stdout().trim() == "in memory").then_some(())
    });
}

#[test]
fn a_program_that_others_can_change_is_refused_and_a_wrong_hook_too() {
    let hooked = Hooked::new();
    hooked.set(&[hooked.hook("before_run", "1")]);
    let set = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
    };
    let folder = hooked.program.parent().unwrap();
    let refused = |why: &str| {
        let done = hooked.backup().code(16);
        assert!(done.stderr().contains(why), "{done}");
    };
    set(&hooked.program, 0o777);
    refused("can be changed by others");
    let check = hooked.world.kd(&["check"]).stdout_any().stderr_any().run();
    assert!(
        check.stdout().contains("can be changed by others"),
        "{check}"
    );
    set(&hooked.program, 0o644);
    refused("cannot be run");
    set(&hooked.program, 0o755);
    set(folder, 0o777);
    refused("in a directory that others can change");
    set(folder, 0o755);
    std::os::unix::fs::chown(&hooked.program, Some(12345), None).unwrap();
    refused("does not belong to root");
    assert_eq!(hooked.noted(), [""; 0]);
    for (hook, why) in [
        (json!({"when": "before_stop", "run": "a b"}), "hooks[0].run"),
        (json!({"when": "sometimes", "run": ["/a"]}), "hooks[0].when"),
        (json!({"when": "before_stop"}), "hooks[0].run"),
        (
            json!({"when": "before_stop", "run": ["a"]}),
            "absolute path",
        ),
        (
            json!({"when": "before_run", "exec": {"command": ["a"]}}),
            "hooks[0].exec",
        ),
        (
            json!({"when": "before_run", "unit": "a", "run": ["/a"]}),
            "hooks[0].unit",
        ),
        (
            json!({"when": "before_stop", "exec": {"command": "a"}}),
            "hooks[0].exec.command",
        ),
    ] {
        hooked.set(&[hook]);
        refused(why);
    }
}
