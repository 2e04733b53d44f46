//! The commands that look, and what the log file tells afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::common::{Run, Stack, World};
use serde_json::{Value, json};

const MB: usize = 1_000_000;

/// `app` needs `db`, which has the volume `data`.
fn stack(world: &World) -> Stack {
    world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .service("app", |s| s.depends_on("db", "service_started"))
        .up()
}

fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap()
}

/// Every file below `folder` with its length and time, the kit's own left out.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let is_kit = entry.file_name().to_string_lossy().starts_with("held-");
        if metadata.is_dir() {
            found.extend(files(&entry.path()));
        }
        if !is_kit {
            let modified = metadata.modified().unwrap();
            found.insert(entry.path(), (metadata.len(), modified));
        }
    }
    found
}

fn names(stops: &Value) -> Vec<Vec<String>> {
    let name = |stop: &Value| stop["container"].as_str().unwrap().to_owned();
    let level = |level: &Value| level.as_array().unwrap().iter().map(name).collect();
    stops.as_array().unwrap().iter().map(level).collect()
}

// ---- dry-run ----

#[test]
fn a_dry_run_tells_what_a_backup_then_does_and_touches_nothing() {
    let world = World::new();
    world.init();
    let web = stack(&world);
    fs::write(web.volume_path("data").join("a"), vec![7; 3 * MB]).unwrap();
    let volume = web.volume("data");
    let other = world
        .stack("other")
        .service("reader", |s| s.external(&volume, "/shared"))
        .up();

    let before = files(&world.path("."));
    let watch = world.watch();
    let plan = world
        .kd(&["dry-run", "--unit", web.unit(), "--json"])
        .json();
    watch.events().assert_untouched();
    assert_eq!(files(&world.path(".")), before, "nothing was written");

    let unit = &plan["units"][0];
    assert_eq!(unit["unit"], web.unit());
    assert_eq!(unit["blocker"], Value::Null);
    let expected = [
        other.container("reader"),
        web.container("app"),
        web.container("db"),
    ];
    assert_eq!(names(&unit["stops"]), expected.map(|name| vec![name]));
    assert_eq!(unit["stops"][0][0]["is_shared"], true);
    assert_eq!(unit["stops"][1][0]["is_shared"], false);
    let source = &unit["sources"][0];
    assert_eq!(source["key"]["name"], volume.as_str());
    assert_eq!(source["path"], web.volume_path("data").to_str().unwrap());
    assert_eq!(source["estimated_bytes"], 3 * MB);
    assert_eq!(unit["estimated_bytes"], 3 * MB);
    // To stop and to start, five seconds each, and what there is to be read.
    let reckoned = unit["estimated_downtime_seconds"].as_f64().unwrap();
    assert!((10.0..11.0).contains(&reckoned), "{reckoned}");
    assert_eq!(unit["estimated_from_runs"], 0);
    assert_eq!(plan["obstacles"], json!([]));
    world
        .kd(&["dry-run", "--unit", web.unit()])
        .stdout("(no earlier run tells; by what there is to be read)")
        .stdout("of another unit")
        .stdout("Nothing was changed")
        .ok();

    let watch = world.watch();
    world
        .kd(&["--quiet", "backup", "--unit", web.unit()])
        .stderr("of another unit")
        .ok();
    assert_eq!(watch.events().order("die"), ["reader", "app", "db"]);
    let down = world.report()["units"][0]["downtime_seconds"].clone();
    // Both spellings.
    let plan = world
        .kd(&["backup", "--dry-run", "--unit", web.unit(), "--json"])
        .json();
    assert_eq!(plan["units"][0]["estimated_downtime_seconds"], down);
    assert_eq!(plan["units"][0]["estimated_from_runs"], 1);
    world
        .kd(&["backup", "--dry-run", "--unit", web.unit()])
        .stdout("median of 1 earlier run")
        .ok();
}

#[test]
fn a_dry_run_names_what_is_left_out_and_what_fails_for_certain() {
    let world = World::new();
    world.init();
    let big = world.dir("big");
    fs::write(big.join("a"), vec![7; 3 * MB]).unwrap();
    world.config(|c| c["backup"]["bind_mounts"]["max_size"] = "1MiB".into());
    let web = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data").bind(&big, "/big"))
        .up();
    let done = world
        .kd(&["dry-run", "--unit", web.unit()])
        .stdout("Not saved")
        .stdout(big.to_str().unwrap())
        .stdout("backup.bind_mounts.max_size")
        .ok();
    assert!(!done.stdout().contains("FAILS"), "{done}");

    let job = world
        .stack("job")
        .service("once", |s| s.volume("data", "/data").arg("--rm"))
        .up();
    let run = ["dry-run", "--unit", job.unit(), "--json"];
    let plan = world.kd(&run).stdout_any().code(3).json();
    let unit = &plan["units"][0];
    assert!(
        unit["blocker"].as_str().unwrap().contains("--rm"),
        "{plan:#}"
    );
    assert_eq!(unit["stops"], json!([]), "what is refused stops nothing");
}

#[test]
fn a_dry_run_shows_its_plan_also_where_no_backup_could_begin() {
    let world = World::new();
    let web = stack(&world);
    let run = |code| {
        world
            .kd(&["dry-run", "--unit", web.unit()])
            .stdout(web.volume("data"))
            .stderr("kopi-docka init")
            .code(code)
    };
    run(10);
    world.init();
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    run(17);
}

#[test]
fn a_dry_run_of_an_unknown_unit_matches_nothing() {
    let world = World::new();
    for command in [
        &["dry-run"][..],
        &["backup", "--dry-run"],
        &["estimate-size"],
    ] {
        world
            .kd(command)
            .args(["--unit", "kdt-nobody"])
            .stderr("no unit is called `kdt-nobody`")
            .code(4);
    }
}

#[test]
fn a_dry_run_beside_a_run_sees_what_is_down_as_it_will_be_again() {
    let world = World::new();
    world.init();
    let web = stack(&world);
    let held = world.hold_backup(&[web.unit()], "read", Run::stdout_any);
    let plan = world
        .kd(&["dry-run", "--unit", web.unit(), "--json"])
        .json();
    let expected = ["app", "db"].map(|service| vec![web.container(service)]);
    assert_eq!(names(&plan["units"][0]["stops"]), expected);
    let warnings = plan["warnings"].to_string();
    for service in ["app", "db"] {
        assert!(warnings.contains(&web.container(service)), "{warnings}");
    }
    held.release().ok();
    let plan = world
        .kd(&["dry-run", "--unit", web.unit(), "--json"])
        .json();
    assert_eq!(plan["warnings"], json!([]));
}

// ---- estimate-size ----

#[test]
fn sizes_are_measured_by_source_and_added_up() {
    let world = World::new();
    let bind = world.dir("bind");
    fs::write(bind.join("a"), vec![7; MB]).unwrap();
    fs::write(bind.join("cache"), vec![7; MB]).unwrap();
    let web = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .bind(&bind, "/bind")
                .label("kopi-docka.exclude", "cache")
        })
        .up();
    fs::write(web.volume_path("data").join("b"), vec![7; 2 * MB]).unwrap();
    let sizes = world
        .kd(&["estimate-size", "--unit", web.unit(), "--json"])
        .json();
    let unit = &sizes["units"][0];
    let of = |kind: &str| {
        let sources = unit["sources"].as_array().unwrap();
        let it = sources.iter().find(|source| source["type"] == kind);
        it.unwrap()["bytes"].clone()
    };
    assert_eq!((of("volume"), of("bind")), ((2 * MB).into(), MB.into()));
    assert_eq!(unit["bytes"], 3 * MB);
    assert_eq!(
        (&sizes["bytes"], &sizes["files"]),
        (&(3 * MB).into(), &2.into())
    );
    world
        .kd(&["estimate-size", "--unit", web.unit()])
        .stdout(web.volume("data"))
        .stdout("1.9 MiB")
        .stdout("2.9 MiB in all")
        .ok();
}

// ---- status ----

#[test]
fn the_status_shows_every_unit_with_its_last_runs_at_a_glance() {
    let world = World::new();
    world
        .kd(&["status"])
        .stdout("No unit was backed up yet")
        .ok();
    world.init();
    let stack = world.web();
    let other = world.container("other", |s| s.volume("data", "/data"));
    for _ in 0..2 {
        world.backup(&stack);
    }
    world.kd(&["--quiet", "backup", "--unit", &other]).ok();
    let status = world.kd(&["status", "--json"]).json();
    let units = status["units"].as_array().unwrap();
    let names: Vec<&str> = units
        .iter()
        .map(|unit| unit["unit"].as_str().unwrap())
        .collect();
    assert!(names.is_sorted() && names.contains(&stack.unit()) && names.contains(&other.as_str()));
    let unit = units
        .iter()
        .find(|unit| unit["unit"] == stack.unit())
        .unwrap();
    assert_eq!(unit["runs"].as_array().unwrap().len(), 2, "{unit:#}");
    assert_eq!(unit["point"]["grade"], "ok");
    assert_eq!(unit["point"]["backup_id"], unit["runs"][1]["backup_id"]);
    assert_eq!(unit["drill"], json!(null));
    assert!(unit["runs"][0]["downtime_seconds"].as_f64().unwrap() > 0.0);
    assert!(unit["runs"][0]["window_bytes"].as_u64().unwrap() > 0);
    assert_eq!(status["last_run"]["exit_code"], world.report()["exit_code"]);
    let shown = world.kd(&["status"]).text();
    let line = shown
        .lines()
        .find(|line| line.contains(stack.unit()))
        .unwrap();
    assert!(
        line.contains("ago") && line.contains("ok") && line.contains('█') && line.contains("never"),
        "{shown}"
    );
    assert!(
        shown.contains("Last run: ") && shown.contains("Next run: "),
        "{shown}"
    );
}

// ---- history ----

#[test]
fn the_history_tells_of_good_and_bad_runs_newest_first() {
    let world = World::new();
    world.kd(&["history"]).stdout("No runs yet").ok();
    world.init();
    let web = stack(&world);
    fs::write(web.volume_path("data").join("a"), vec![7; MB]).unwrap();
    world.backup(&web);
    let dies = r#"case "$*" in *--stdin-file=*) exit 1;; esac; exec "$REAL" "$@""#;
    world
        .kd(&["--quiet", "backup", "--unit", web.unit()])
        .env("PATH", world.stand_in("kopia", dies))
        .stderr_any()
        .code(3);
    let metadata = world.path("backup/metadata");
    fs::write(metadata.join("docker-run-x.sh"), "docker run x").unwrap();
    fs::write(metadata.join("notes.json"), "{}").unwrap();

    let history = world.kd(&["history", "--json"]).json();
    let runs = history["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["exit_code"], 3);
    assert_eq!(runs[0]["units"][0]["outcome"], "failed");
    assert!(
        !runs[0]["units"][0]["errors"][0]
            .as_str()
            .unwrap()
            .is_empty()
    );
    let good = &runs[1]["units"][0];
    assert_eq!(
        (&good["unit"], &good["outcome"]),
        (&web.unit().into(), &"saved".into())
    );
    assert_eq!(
        (&good["grade"], &good["sources"]),
        (&"ok".into(), &1.into())
    );
    assert!(good["bytes"].as_u64().unwrap() > MB as u64);
    assert!(good["downtime_seconds"].as_f64().unwrap() > 0.0);

    let ids = |args: &[&str]| {
        let shown = world.kd(&[&["history", "--json"], args].concat()).json();
        let runs = shown["runs"].as_array().unwrap().clone();
        let ids: Vec<Value> = runs.iter().map(|run| run["backup_id"].clone()).collect();
        (ids, shown["is_cut"].as_bool().unwrap())
    };
    let (new, old) = (runs[0]["backup_id"].clone(), runs[1]["backup_id"].clone());
    assert_eq!(ids(&["--failed"]), (vec![new.clone()], false));
    assert_eq!(ids(&["--last", "1"]), (vec![new.clone()], true));
    assert_eq!(
        ids(&["--unit", web.unit()]),
        (vec![new.clone(), old], false)
    );
    world
        .kd(&["history", "--unit", "kdt-nobody"])
        .stderr("no run has unit `kdt-nobody`")
        .code(4);
    world.kd(&["history"]).stdout("FAILED").stdout("saved").ok();

    let newest = metadata.join(format!("{}.json", new.as_str().unwrap()));
    fs::write(&newest, "{\"format\": 1").unwrap();
    world
        .kd(&["history"])
        .stdout("saved")
        .stderr(format!("`{}` is damaged", newest.display()))
        .ok();
}

/// The program as a user without rights runs it, with a configuration that this user may read.
fn as_nobody(world: &World, args: &[&str]) -> Run {
    let program = world.path("kopi-docka");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_kopi-docka"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = world.path("readable.json");
    let backup = json!({ "base_path": world.path("backup") });
    fs::write(&config, json!({ "backup": backup }).to_string()).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    Run::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .arg("--config")
        .arg(config)
        .args(args)
        .env("HOME", world.path("home"))
        .env("PATH", path())
}

#[test]
fn the_history_needs_no_root_where_the_reports_can_be_read() {
    let world = World::new();
    let metadata = world.dir("backup/metadata");
    let report = json!({
        "format": 1, "kopi_docka_version": "0", "backup_id": "2025-01-31T23-59-59Z",
        "started_at": "2025-01-31T23:59:59Z", "finished_at": "2025-02-01T00:00:00Z", "exit_code": 143,
        "units": [], "interrupted": "a signal ended the run",
    });
    let file = metadata.join("2025-01-31T23-59-59Z.json");
    fs::write(&file, report.to_string()).unwrap();
    as_nobody(&world, &["history"])
        .stdout("exit code 143")
        .stdout("a signal ended the run")
        .ok();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = || {
        as_nobody(&world, &["history"])
            .stderr("no permission to read")
            .stderr("sudo kopi-docka history")
            .code(13)
    };
    refused();
    fs::set_permissions(&metadata, fs::Permissions::from_mode(0o700)).unwrap();
    refused();
}

// ---- completions, man, old spellings ----

#[test]
fn completions_and_manual_pages_need_neither_root_nor_a_configuration() {
    let world = World::new();
    let nobody = |args: &[&str]| {
        let run = as_nobody(&world, args);
        fs::remove_file(world.path("readable.json")).unwrap();
        run
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = nobody(&["completions", shell])
            .stdout("kopi-docka")
            .stdout("KOPI_DOCKA_COMPLETE")
            .ok();
        if shell == "bash" {
            Run::new("bash")
                .args(["-n", "-s"])
                .env("PATH", path())
                .stdin(done.stdout_bytes())
                .ok();
        }
    }
    nobody(&["man"])
        .stdout(".TH kopi-docka 1")
        .stdout("KOPI_DOCKA_CONFIG")
        .stdout("another run holds the lock")
        .ok();
    nobody(&["man", "restore"])
        .stdout(".TH kopi-docka-restore 1")
        .ok();
    nobody(&["man", "restroe"]).stderr("`restroe`").code(2);
    nobody(&["man", "config"]).stderr("`config`").code(2);
}

#[test]
fn every_manual_page_is_written() {
    let world = World::new();
    let folder = world.path("share/man/man1");
    world
        .kd(&["--quiet", "man", "--output-dir", folder.to_str().unwrap()])
        .ok();
    let pages = fs::read_dir(&folder).unwrap();
    let pages: BTreeSet<String> = pages
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let help = world.kd(&["--help"]).stdout_any().ok().stdout();
    let commands = help.split("Setup:").nth(1).unwrap();
    let commands = commands.split("Global options:").next().unwrap().lines();
    let mut expected: BTreeSet<String> = commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(|name| format!("kopi-docka-{name}.1"))
        .collect();
    expected.insert("kopi-docka.1".to_owned());
    expected.insert("kopi-docka.json.5".to_owned());
    assert_eq!(pages, expected);
}

#[test]
fn the_spellings_of_version_1_go_on_working() {
    let world = World::new();
    let shown = world.kd(&["show-config", "--json"]).json();
    assert_eq!(world.kd(&["config", "--show", "--json"]).json(), shown);
    world.kd(&["config"]).stderr("--show").code(2);
    let help = world.kd(&["--help"]).stdout_any().ok().stdout();
    assert!(!help.contains("\n  config "), "{help}");

    let web = stack(&world);
    let listed = |args: &[&str]| world.kd(args).args(["--unit", web.unit(), "--json"]).json();
    assert_eq!(listed(&["list"]), listed(&["list", "--units"]));
}

// ---- the log file ----

fn log(world: &World) -> String {
    fs::read_to_string(world.path("kopi-docka.log")).unwrap_or_default()
}

/// The lines with all of `words`, in order.
fn lines<'a>(log: &'a str, words: &[&str]) -> Vec<&'a str> {
    log.lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .collect()
}

#[test]
fn the_log_file_tells_step_by_step_what_a_backup_did() {
    let world = World::new();
    world.init();
    let web = stack(&world);
    world.backup(&web);
    let report = world.report();
    let log = log(&world);
    let run = format!("run={}", report["backup_id"].as_str().unwrap());
    let unit = format!("unit={}:", web.unit());
    let of_unit = [" INFO backup[", run.as_str(), unit.as_str()];
    for step in report["units"][0]["steps"].as_array().unwrap() {
        let step = format!("step {}", step["step"].as_str().unwrap());
        let told = lines(&log, &[&of_unit[..], &[&step]].concat());
        assert_eq!(told.len(), 1, "{step}\n{log}");
    }
    for service in ["app", "db"] {
        let container = format!("`{}`", web.container(service));
        for what in ["is asked to stop", "has stopped", "is up"] {
            let told = lines(&log, &[&of_unit[..], &[&container, what]].concat());
            assert_eq!(told.len(), 1, "{container} {what}\n{log}");
        }
    }
    let told = lines(
        &log,
        &[&of_unit[..], &["saved, grade ok", "down for"]].concat(),
    );
    assert_eq!(told.len(), 1, "{log}");
    let first = lines(&log, &["backup[", "begins"]);
    let last = lines(&log, &["backup[", "ends with exit code 0"]);
    assert_eq!((first.len(), last.len()), (1, 1), "{log}");
    let mode = fs::metadata(world.path("kopi-docka.log"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn the_log_file_has_the_errors_that_people_saw_and_those_that_only_programs_did() {
    let world = World::new();
    world.init();
    let web = stack(&world);
    let dies = r#"case "$*" in *--stdin-file=*) exit 1;; esac; exec "$REAL" "$@""#;
    for args in [&[][..], &["--json"]] {
        let before = log(&world).len();
        world
            .kd(args)
            .args(["backup", "--unit", web.unit()])
            .env("PATH", world.stand_in("kopia", dies))
            .stdout_any()
            .stderr_any()
            .code(3);
        let log = log(&world)[before..].to_owned();
        let errors = lines(&log, &["ERROR backup[", web.unit()]);
        assert!(!errors.is_empty(), "{log}");
        for error in world.report()["units"][0]["errors"].as_array().unwrap() {
            let first = error.as_str().unwrap().lines().next().unwrap();
            assert_eq!(lines(&log, &["ERROR", first]).len(), 1, "{first}\n{log}");
        }
        assert_eq!(
            lines(&log, &["WARN", "ends with exit code 3"]).len(),
            1,
            "{log}"
        );
    }
    let wrong = ["backup", "--unit", "kdt-nobody"];
    world.kd(&wrong).stderr("kdt-nobody").code(4);
    assert_eq!(lines(&log(&world), &["ERROR", "`kdt-nobody`"]).len(), 1);
}

#[test]
fn what_only_looks_leaves_the_log_file_alone() {
    let world = World::new();
    let web = stack(&world);
    for args in [
        &["list", "--unit", web.unit()][..],
        &["estimate-size", "--unit", web.unit()],
        &["history"],
        &["show-config"],
    ] {
        world.kd(args).stdout_any().ok();
    }
    world
        .kd(&["backup", "--dry-run", "--unit", web.unit()])
        .stdout_any()
        .stderr_any()
        .code(10);
    assert!(!world.path("kopi-docka.log").exists());
}

#[test]
fn every_key_of_the_log_file_does_what_it_says() {
    let world = World::new();
    let web = stack(&world);
    let file = world.path("logs/deep/kd.log");
    world.config(|c| c["logging"] = json!({ "file": file, "level": "ERROR" }));
    world.init();
    world.backup(&web);
    assert_eq!(fs::read_to_string(&file).unwrap(), "", "nothing went wrong");
    // The command line wins, for the terminal and for the file.
    world
        .kd(&[
            "--log-level",
            "debug",
            "--quiet",
            "backup",
            "--unit",
            web.unit(),
        ])
        .stderr("step read")
        .ok();
    assert!(fs::read_to_string(&file).unwrap().contains("step read"));

    let full = "x".repeat(1 << 20);
    fs::write(&file, &full).unwrap();
    world.config(|c| {
        c["logging"] = json!({ "file": file, "level": "INFO", "max_size_mb": 1, "backup_count": 1 })
    });
    world.backup(&web);
    let old = file.with_extension("log.1");
    assert_eq!(fs::read_to_string(&old).unwrap(), full);
    assert!(fs::read_to_string(&file).unwrap().contains("step read"));
    assert!(!file.with_extension("log.2").exists());

    fs::remove_file(&file).unwrap();
    world.config(|c| c["logging"] = json!({ "file": null }));
    world.backup(&web);
    assert!(!file.exists());
}

#[test]
fn a_log_file_that_cannot_be_written_is_one_warning_and_the_backup_is_made() {
    let world = World::new();
    world.init();
    let web = stack(&world);
    let backup = || world.kd(&["--quiet", "backup", "--unit", web.unit()]);
    world.config(|c| c["logging"]["file"] = world.dir("folder").to_str().unwrap().into());
    let done = backup()
        .stderr("the log file")
        .stderr("cannot be opened")
        .ok();
    assert_eq!(done.stderr().lines().count(), 1, "{done}");
    // Also where the configuration is read more than once.
    let restore = ["restore", "--unit", web.unit(), "--backup-id", "latest"];
    let done = world
        .kd(&restore)
        .arg("--dry-run")
        .stdout_any()
        .stderr("the log file")
        .ok();
    assert_eq!(done.stderr().matches("the log file").count(), 1, "{done}");
    world.config(|c| c["logging"]["file"] = "/dev/full".into());
    backup().stderr("it is not a regular file").ok();
    let target = world.path("target");
    std::os::unix::fs::symlink(&target, world.path("link")).unwrap();
    world.config(|c| c["logging"]["file"] = world.path("link").to_str().unwrap().into());
    backup().stderr("it is a symbolic link").ok();
    assert!(!target.exists());
    assert_eq!(world.whole_points().len(), 3);
}
