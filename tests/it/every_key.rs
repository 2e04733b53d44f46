//! No key of the configuration is decoration: for each, two values, and what the program does with the one and the other.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::common::{Done, PASSWORD, Stack, World};
use serde_json::{Value, json};

/// A key, two values for it, and what is seen with each. `@` in a value or in what is seen is the world's directory; in a key,
/// `*` is the name of the stack's unit.
struct Key {
    path: &'static str,
    values: [(Value, &'static str); 2],
    see: fn(&World, &Stack) -> String,
}

fn key(
    path: &'static str,
    one: (Value, &'static str),
    other: (Value, &'static str),
    see: fn(&World, &Stack) -> String,
) -> Key {
    Key {
        path,
        values: [one, other],
        see,
    }
}

/// Proven where more is needed for it than a run and a look.
const PROVEN_ELSEWHERE: [(&str, &str, &str); 20] = [
    (
        "hooks",
        include_str!("hooks.rs"),
        "fn hooks_are_done_in_order_and_those_after_in_the_reverse_one",
    ),
    (
        "backup.clones",
        include_str!("clones.rs"),
        "fn clones_are_not_made_where_there_is_no_room_or_nobody_wants_them",
    ),
    (
        "backup.read",
        include_str!("changed.rs"),
        "fn everything_is_read_where_that_is_wanted_or_nothing_can_be_proven",
    ),
    (
        "backup.read_pays",
        include_str!("changed.rs"),
        "fn everything_is_read_where_that_is_wanted_or_nothing_can_be_proven",
    ),
    (
        "backup.units.*.read",
        include_str!("changed.rs"),
        "fn everything_is_read_where_that_is_wanted_or_nothing_can_be_proven",
    ),
    (
        "backup.max_downtime",
        include_str!("changed.rs"),
        "fn a_unit_that_would_be_down_for_too_long_is_left_up",
    ),
    (
        "backup.units.*.max_downtime",
        include_str!("changed.rs"),
        "fn a_unit_that_would_be_down_for_too_long_is_left_up",
    ),
    (
        "backup.retry_when_reachable",
        include_str!("systemd.rs"),
        "fn a_backup_that_never_reaches_its_server_is_given_up_and_said",
    ),
    (
        "backup.update_recovery_bundle",
        include_str!("bundle.rs"),
        "fn a_run_writes_one_bundle_and_the_oldest_goes",
    ),
    (
        "backup.recovery_bundle_copy",
        include_str!("bundle.rs"),
        "fn a_copy_goes_to_another_disk_and_nowhere_else",
    ),
    (
        "backup.recovery_bundle_retention",
        include_str!("bundle.rs"),
        "fn a_run_writes_one_bundle_and_the_oldest_goes",
    ),
    (
        "backup.build_context_max",
        include_str!("projects.rs"),
        "fn a_build_context_comes_back_when_it_is_within_its_limit",
    ),
    (
        "notify",
        include_str!("notify.rs"),
        "fn each_kind_is_told_in_its_own_way",
    ),
    (
        "docker.compose_timeout",
        include_str!("rebuild.rs"),
        "did not end within 1 s (`docker.compose_timeout`)",
    ),
    (
        "kopia.password_file",
        include_str!("configuration.rs"),
        "fn a_password_file_is_read_and_its_permissions_are_checked",
    ),
    (
        "drill.directory",
        include_str!("drill.rs"),
        "fn the_keys_of_a_drill_do_what_they_say",
    ),
    (
        "drill.every",
        include_str!("drill.rs"),
        "fn the_one_whose_drill_is_oldest_is_drilled_when_it_is_due",
    ),
    (
        "drill.max_age",
        include_str!("drill.rs"),
        "fn the_keys_of_a_drill_do_what_they_say",
    ),
    (
        "drill.timeout",
        include_str!("drill.rs"),
        "fn the_keys_of_a_drill_do_what_they_say",
    ),
    (
        "backup.units.*.drill.probes",
        include_str!("drill.rs"),
        "fn probes_decide_and_one_for_nobody_is_an_error_of_the_configuration",
    ),
];

fn set(config: &mut Value, keys: &str, unit: &str, value: Value) {
    let pointer = keys
        .split('.')
        .map(|key| if key == "*" { unit } else { key });
    let place = pointer.fold(config, |place, key| &mut place[key]);
    *place = value;
}

/// Tries every key, from the same start each time.
#[track_caller]
fn try_all(world: &World, stack: &Stack, keys: Vec<Key>) {
    let root = world
        .path("")
        .to_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let before = world.read_config();
    for Key { path, values, see } in keys {
        let mut seen = Vec::new();
        for (value, expected) in values {
            let text = value.to_string().replace('@', &root);
            world.config(|config| {
                *config = before.clone();
                set(
                    config,
                    path,
                    stack.unit(),
                    serde_json::from_str(&text).unwrap(),
                );
            });
            let found = see(world, stack).replace(&root, "@");
            assert_eq!(found, expected, "`{path}` is {value}");
            seen.push(found);
        }
        assert_ne!(seen[0], seen[1], "`{path}` changes nothing");
    }
    world.config(|config| *config = before);
}

// ---- the plan ----

fn dry_run(world: &World, stack: &Stack) -> Done {
    world
        .kd(&["dry-run", "--json", "--unit", stack.unit()])
        .stdout_any()
        .stderr_any()
        .run()
}

fn plan(world: &World, stack: &Stack) -> Value {
    dry_run(world, stack).json()["units"][0].clone()
}

fn exit_code(world: &World, stack: &Stack) -> String {
    dry_run(world, stack).code.unwrap().to_string()
}

fn binds(world: &World, stack: &Stack) -> String {
    let plan = plan(world, stack);
    let sources = plan["sources"].as_array().unwrap();
    let mut binds: Vec<&str> = sources
        .iter()
        .filter_map(|source| source["key"]["path"].as_str())
        .collect();
    binds.sort_unstable();
    binds.join(" ")
}

fn patterns(world: &World, stack: &Stack) -> String {
    plan(world, stack)["sources"][0]["exclude_patterns"].to_string()
}

/// How long each container gets to stop.
fn grace(world: &World, stack: &Stack) -> String {
    plan(world, stack)["stops"][0][0]["grace_seconds"].to_string()
}

/// How many containers stop for it.
fn stops(world: &World, stack: &Stack) -> String {
    let plan = plan(world, stack);
    let levels = plan["stops"].as_array().unwrap();
    let stops: usize = levels
        .iter()
        .map(|level| level.as_array().unwrap().len())
        .sum();
    stops.to_string()
}

/// Whether a run of all units leaves it out.
fn left_out(world: &World, stack: &Stack) -> String {
    let all = world.kd(&["dry-run", "--json"]).stdout_any().stderr_any();
    let all = all.run().json();
    let mut left = all["left_out"].as_array().unwrap().iter();
    left.any(|left| left["unit"] == stack.unit()).to_string()
}

fn of_the_plan() -> Vec<Key> {
    const BOTH: &str = "@/bind @/other";
    vec![
        key(
            "version",
            (json!("3.0"), "10"),
            (json!("9.0"), "16"),
            exit_code,
        ),
        key(
            "docker.socket",
            (json!("@/nobody.sock"), "14"),
            (json!("@/docker.sock"), "10"),
            exit_code,
        ),
        key(
            "backup.stop_timeout",
            (json!(7), "7"),
            (json!(8), "8"),
            grace,
        ),
        key(
            "backup.units.*.stop_timeout",
            (json!(9), "9"),
            (json!(8), "8"),
            grace,
        ),
        key(
            "backup.exclude_patterns",
            (json!([]), "[]"),
            (json!(["*.tmp"]), r#"["*.tmp"]"#),
            patterns,
        ),
        key(
            "backup.units.*.exclude_patterns",
            (json!([]), "[]"),
            (json!(["*.log"]), r#"["*.log"]"#),
            patterns,
        ),
        key(
            "backup.shared_volumes",
            (json!("stop"), "2"),
            (json!("warn"), "1"),
            stops,
        ),
        key(
            "backup.bind_mounts.mode",
            (json!("all"), BOTH),
            (json!("none"), ""),
            binds,
        ),
        key(
            "backup.bind_mounts.exclude",
            (json!([]), BOTH),
            (json!(["@/bind"]), "@/other"),
            binds,
        ),
        key(
            "backup.bind_mounts.include",
            (json!([]), BOTH),
            (json!(["@/big"]), "@/big @/bind @/other"),
            binds,
        ),
        key(
            "backup.bind_mounts.max_size",
            (json!("1MiB"), BOTH),
            (json!(null), "@/big @/bind @/other"),
            binds,
        ),
        key(
            "backup.units.*.bind_mounts.mode",
            (json!("all"), BOTH),
            (json!("none"), ""),
            binds,
        ),
        key(
            "backup.units.*.bind_mounts.exclude",
            (json!([]), BOTH),
            (json!(["@/other"]), "@/bind"),
            binds,
        ),
        key(
            "backup.units.*.bind_mounts.include",
            (json!([]), BOTH),
            (json!(["@/big"]), "@/big @/bind @/other"),
            binds,
        ),
        key(
            "backup.units.*.bind_mounts.max_size",
            (json!("1MiB"), BOTH),
            (json!("1GiB"), "@/big @/bind @/other"),
            binds,
        ),
        key(
            "backup.recovery_bundle_path",
            (json!("@/recovery"), BOTH),
            (json!("@/bind"), "@/other"),
            binds,
        ),
        key(
            "backup.units.*.enabled",
            (json!(true), "false"),
            (json!(false), "true"),
            left_out,
        ),
    ]
}

#[test]
fn every_key_of_the_plan_changes_it() {
    let world = World::new();
    for folder in ["bind", "other", "big"] {
        world.dir(folder);
    }
    fs::write(world.path("big/file"), vec![7; 2 << 20]).unwrap();
    std::os::unix::fs::symlink(&world.bed.socket, world.path("docker.sock")).unwrap();
    world.config(|config| config["backup"]["bind_mounts"] = json!({ "max_size": "1MiB" }));
    let shared = world.volume("shared", |volume| volume);
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.external(&shared, "/data")
                .bind(world.path("bind"), "/bind")
                .bind(world.path("other"), "/other")
                .bind(world.path("big"), "/big")
        })
        .up();
    world.container("reader", |s| s.external(&shared, "/data"));
    try_all(&world, &stack, of_the_plan());
}

// ---- the repository ----

/// Makes a repository with this configuration and looks at it with `look`; nothing of it is left.
fn made(world: &World, look: fn(&World) -> String) -> String {
    world.kd(&["init"]).stdout("Created").ok();
    let seen = look(world);
    for folder in ["repo", "repo-2", "home", "cache", "cache-2", "state"] {
        let _ = fs::remove_dir_all(world.path(folder));
    }
    world.dir("home");
    seen
}

fn connection(world: &World) -> Value {
    let folder = world.path("home/.config/kopia");
    let mut files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let file = files
        .find(|file| file.extension().is_some_and(|e| e == "config"))
        .unwrap();
    let mut connection: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    connection["file"] = file.file_name().unwrap().to_str().into();
    connection
}

fn format(world: &World) -> Value {
    world.kopia(&["repository", "status", "--json"]).json()["contentFormat"].take()
}

fn of_the_repository() -> Vec<Key> {
    vec![
        key(
            "kopia.kopia_params",
            (json!("filesystem --path @/repo"), r#""@/repo""#),
            (json!("filesystem --path @/repo-2"), r#""@/repo-2""#),
            |world, _| {
                made(world, |world| {
                    connection(world)["storage"]["config"]["path"].to_string()
                })
            },
        ),
        key(
            "kopia.profile",
            (json!("kopi-docka"), r#""repository-kopi-docka.config""#),
            (json!("nas"), r#""repository-nas.config""#),
            |world, _| made(world, |world| connection(world)["file"].to_string()),
        ),
        key(
            "kopia.host",
            (json!("alpha"), r#""alpha""#),
            (json!("beta.example"), r#""beta.example""#),
            |world, _| made(world, |world| connection(world)["hostname"].to_string()),
        ),
        key(
            "kopia.encryption",
            (
                json!("AES256-GCM-HMAC-SHA256"),
                r#""AES256-GCM-HMAC-SHA256""#,
            ),
            (
                json!("CHACHA20-POLY1305-HMAC-SHA256"),
                r#""CHACHA20-POLY1305-HMAC-SHA256""#,
            ),
            |world, _| made(world, |world| format(world)["encryption"].to_string()),
        ),
        key(
            "kopia.hash",
            (json!("BLAKE2B-256-128"), r#""BLAKE2B-256-128""#),
            (json!("BLAKE3-256"), r#""BLAKE3-256""#),
            |world, _| made(world, |world| format(world)["hash"].to_string()),
        ),
        key(
            "kopia.cache_directory",
            (json!("@/cache"), "true"),
            (json!("@/cache-2"), "false"),
            |world, _| {
                made(world, |world| {
                    world.path("cache/kopi-docka").exists().to_string()
                })
            },
        ),
        key(
            "kopia.cache_size_mb",
            (json!(300), "314572800"),
            (json!(301), "315621376"),
            |world, _| {
                made(world, |world| {
                    connection(world)["caching"]["maxCacheSize"].to_string()
                })
            },
        ),
        key(
            "kopia.compression",
            (json!("zstd"), r#""zstd""#),
            (json!("s2-default"), r#""s2-default""#),
            |world, _| {
                made(world, |world| {
                    let policies = world.kopia(&["policy", "export"]).json();
                    let mut policies = policies.as_object().unwrap().iter();
                    let own = policies.find(|(of, _)| of.starts_with("kopi-docka@"));
                    let (_, own) = own.unwrap();
                    own["compression"]["compressorName"].to_string()
                })
            },
        ),
        key(
            "kopia.password",
            (json!(PASSWORD), "0"),
            (json!("another one"), "12"),
            |world, _| {
                if !world.path("repo").exists() {
                    world.init();
                }
                let status = world.kd(&["repo-status"]).stdout_any().stderr_any();
                status.run().code.unwrap().to_string()
            },
        ),
    ]
}

#[test]
fn every_key_of_the_repository_changes_it() {
    let world = World::new();
    let stack = world.stack("web").service("db", |s| s).up();
    try_all(&world, &stack, of_the_repository());
}

// ---- a run ----

fn run(world: &World, stack: &Stack) -> Done {
    let run = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    run.stdout_any().stderr_any().run()
}

/// Its exit code when every tar is silent for some seconds before it reads.
fn with_slow_tar(world: &World, stack: &Stack) -> String {
    let path = world.stand_in(
        "tar",
        "case $* in *--create*) sleep 4;; esac; exec \"$REAL\" \"$@\"",
    );
    let run = world.kd(&["--quiet", "backup", "--unit", stack.unit()]);
    let done = run.env("PATH", path).stdout_any().stderr_any().run();
    stack.until_up();
    done.code.unwrap().to_string()
}

/// Whether a run leaves `file` behind, of which nothing was there before.
fn leaves(world: &World, stack: &Stack, file: &str) -> String {
    let path = world.path(file);
    if path.is_dir() {
        fs::remove_dir_all(&path).unwrap();
    } else {
        let _ = fs::remove_file(&path);
    }
    assert_eq!(run(world, stack).code, Some(0));
    path.exists().to_string()
}

/// The log files there are after a run that found one of 2 MB.
fn logs(world: &World, stack: &Stack) -> String {
    for old in log_files(world) {
        fs::remove_file(world.path(old)).unwrap();
    }
    fs::write(world.path("kopi-docka.log"), "x\n".repeat(1_000_000)).unwrap();
    assert_eq!(run(world, stack).code, Some(0));
    log_files(world).len().to_string()
}

fn log_files(world: &World) -> BTreeSet<String> {
    let entries = fs::read_dir(world.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("kopi-docka.log"))
        .collect()
}

fn of_a_run() -> Vec<Key> {
    vec![
        key(
            "backup.base_path",
            (json!("@/backup"), "true"),
            (json!("@/backup-2"), "false"),
            |world, stack| leaves(world, stack, "backup/metadata"),
        ),
        key(
            "backup.spool.directory",
            (json!("@/spool"), "true"),
            (json!("@/spool-2"), "false"),
            |world, stack| leaves(world, stack, "spool"),
        ),
        key(
            "backup.spool.size",
            (json!("1GiB"), "true"),
            (json!("0"), "false"),
            |world, stack| leaves(world, stack, "spool"),
        ),
        key(
            "backup.parallel_workers",
            (json!(1), "1"),
            (json!(2), "2"),
            |world, stack| {
                let units = [stack.unit()];
                let held = world.hold_backup(&units, "stop", |run| run.stdout_any());
                let all = world.processes();
                let streams = all
                    .iter()
                    .filter(|(_, line)| line.starts_with("kopia ") || line.contains("/kopia "));
                let count = streams
                    .filter(|(_, line)| line.contains("--stdin-file"))
                    .count();
                held.release().ok();
                count.to_string()
            },
        ),
        key(
            "backup.include_secrets",
            (json!(true), "true"),
            (json!(false), "false"),
            |world, stack| {
                assert_eq!(run(world, stack).code, Some(0));
                let snapshots = world.kopia(&["snapshot", "list", "--all", "--json"]).json();
                let mut snapshots = snapshots.as_array().unwrap().iter();
                let is_recipe = |snapshot: &&Value| {
                    snapshot["source"]["path"]
                        .as_str()
                        .unwrap()
                        .ends_with("/recipe")
                };
                let newest = snapshots.rfind(is_recipe).unwrap();
                let root = newest["rootEntry"]["obj"].as_str().unwrap();
                world
                    .kopia(&["ls", root])
                    .text()
                    .contains("secrets.json")
                    .to_string()
            },
        ),
        key(
            "backup.task_timeout",
            (json!(1), "3"),
            (json!(0), "0"),
            with_slow_tar,
        ),
        key(
            "backup.stall_timeout",
            (json!(2), "3"),
            (json!(60), "0"),
            with_slow_tar,
        ),
        key(
            "metrics.textfile",
            (json!("@/kopi-docka.prom"), "true"),
            (json!(null), "false"),
            |world, stack| leaves(world, stack, "kopi-docka.prom"),
        ),
        key(
            "logging.file",
            (json!("@/kopi-docka.log"), "true"),
            (json!(null), "false"),
            |world, stack| leaves(world, stack, "kopi-docka.log"),
        ),
        key(
            "logging.level",
            (json!("INFO"), "true"),
            (json!("ERROR"), "false"),
            |world, stack| {
                let _ = fs::remove_file(world.path("kopi-docka.log"));
                assert_eq!(run(world, stack).code, Some(0));
                let text = fs::read_to_string(world.path("kopi-docka.log")).unwrap_or_default();
                text.contains("backs up").to_string()
            },
        ),
        key(
            "logging.max_size_mb",
            (json!(1), "2"),
            (json!(100), "1"),
            logs,
        ),
        key(
            "logging.backup_count",
            (json!(5), "2"),
            (json!(0), "1"),
            |world, stack| {
                world.config(|config| config["logging"]["max_size_mb"] = json!(1));
                logs(world, stack)
            },
        ),
    ]
}

fn of_a_start() -> Vec<Key> {
    vec![key(
        "backup.start_timeout",
        (json!(1), "3"),
        (json!(30), "0"),
        |world, stack| {
            let code = run(world, stack).code.unwrap();
            stack.until_up();
            code.to_string()
        },
    )]
}

#[test]
fn every_key_of_a_run_changes_it() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("one", "/one")
                .volume("two", "/two")
                .env("DB_PASSWORD", "hunter2")
        })
        .up();
    try_all(&world, &stack, of_a_run());
}

#[test]
fn every_key_of_a_start_changes_it() {
    let world = World::new();
    world.init();
    let ready = "rm -f /tmp/ready; trap 'exit 0' TERM; sleep 3; touch /tmp/ready; while :; do sleep 0.1; done";
    let stack = world
        .stack("web")
        .service("db", |s| {
            s.volume("data", "/data")
                .sh(ready)
                .health("test -e /tmp/ready")
        })
        .up();
    try_all(&world, &stack, of_a_start());
}

// ---- retention ----

fn of_retention() -> Vec<Key> {
    let general = [
        "retention.latest",
        "retention.hourly",
        "retention.daily",
        "retention.weekly",
        "retention.monthly",
        "retention.yearly",
    ];
    let of_units = [
        "backup.units.*.retention.latest",
        "backup.units.*.retention.hourly",
        "backup.units.*.retention.daily",
        "backup.units.*.retention.weekly",
        "backup.units.*.retention.monthly",
        "backup.units.*.retention.yearly",
    ];
    let keys = general.into_iter().chain(of_units);
    let shrink_limits = ["backup.shrink_limit", "backup.units.*.shrink_limit"];
    let limits = shrink_limits.into_iter().map(|path| {
        let (half, most) = (json!("50%"), json!("90%"));
        key(path, (half, "true"), (most, "false"), is_doubted)
    });
    keys.map(|path| key(path, (json!(0), "0"), (json!(1), "1"), would_go))
        .chain(limits)
        .collect()
}

/// How many restore points `repo-maintenance` would remove.
fn would_go(world: &World, _: &Stack) -> String {
    let done = world
        .kd(&["repo-maintenance", "--dry-run", "--json"])
        .json();
    let units = done["retention"]["units"].as_array().unwrap();
    let removed = units
        .iter()
        .map(|unit| unit["removed"].as_array().unwrap().len());
    removed.sum::<usize>().to_string()
}

/// Whether a source that lost four fifths of what the last whole point held is warned of.
fn is_doubted(world: &World, stack: &Stack) -> String {
    let file = stack.volume_path("data").join("shrinks");
    fs::write(&file, vec![1; 10 << 20]).unwrap();
    world.backup(stack);
    fs::write(&file, vec![1; 2 << 20]).unwrap();
    let plan = plan(world, stack);
    fs::remove_file(&file).unwrap();
    plan["warnings"]
        .to_string()
        .contains("much smaller")
        .to_string()
}

#[test]
fn every_key_of_retention_changes_what_goes() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    // Of one hour, unless the clock has just struck.
    if chrono::Timelike::minute(&chrono::Utc::now()) == 59 {
        crate::common::until("the next hour", Duration::from_secs(70), || {
            (chrono::Timelike::minute(&chrono::Utc::now()) != 59).then_some(())
        });
    }
    world.backup(&stack);
    world.backup(&stack);
    try_all(&world, &stack, of_retention());
}

// ---- all of them ----

/// The keys of `document`, as the tables have them.
fn keys_of(document: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match document.as_object() {
        Some(object) if !object.is_empty() => {
            for (name, value) in object {
                let name = if path == "backup.units" { "*" } else { name };
                let below = if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                };
                keys_of(value, &below, keys);
            }
        }
        _ => {
            keys.insert(path.to_owned());
        }
    }
}

#[test]
fn no_key_is_without_a_proof() {
    let world = World::new();
    world.config(|config| {
        config["backup"]["units"]["web"] = json!({
            "enabled": true, "exclude_patterns": ["a"], "stop_timeout": 1, "read": "everything", "shrink_limit": "50%", "max_downtime": "1h",
            "retention": {"latest": 1, "hourly": 1, "daily": 1, "weekly": 1, "monthly": 1, "yearly": 1},
            "bind_mounts": {"mode": "all", "exclude": ["/a"], "include": ["/b"], "max_size": "1GiB"},
            "drill": {"probes": [{"exec": ["true"]}]},
        });
    });
    let mut keys = BTreeSet::new();
    keys_of(&world.kd(&["show-config", "--json"]).json(), "", &mut keys);
    let tables = [
        of_the_plan(),
        of_the_repository(),
        of_a_run(),
        of_a_start(),
        of_retention(),
    ];
    let mut proven: BTreeSet<String> = tables
        .iter()
        .flatten()
        .map(|key| key.path.to_owned())
        .collect();
    for (path, file, text) in PROVEN_ELSEWHERE {
        assert!(file.contains(text), "`{path}` has lost its proof");
        proven.insert(path.to_owned());
    }
    // Not a key: where the configuration was read from.
    keys.remove("_file");
    assert_eq!(keys, proven);
}
