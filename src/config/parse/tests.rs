use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::value::Workers;
use crate::error::Exit;

fn read(text: &str) -> Result<(Config, Vec<String>), String> {
    Document::parse(text.as_bytes(), "/c.json")
        .and_then(|document| document.into_config("kopi-docka"))
        .map_err(|failure| {
            assert_eq!(failure.exit, Exit::Config);
            failure.to_string()
        })
}

fn error(value: &Value) -> String {
    read(&value.to_string()).unwrap_err()
}

#[test]
fn an_empty_object_is_the_default_configuration() {
    assert_eq!(read("{}").unwrap(), (Config::default(), vec![]));
    assert_eq!(read("\u{feff} {}\n").unwrap().0, Config::default());
}

#[test]
fn values_are_read() {
    let (config, warnings) = read(
        r#"{"version": "3.1", "backup": {"stop_timeout": 5, "task_timeout": 7, "parallel_workers": 3},
            "logging": {"level": "warning", "file": null}, "metrics": {"textfile": "/m/k.prom"}}"#,
    )
    .unwrap();
    assert_eq!(config.backup.stop_timeout, Duration::from_secs(5));
    assert_eq!(config.backup.task_timeout, Some(Duration::from_secs(7)));
    assert!(matches!(config.backup.parallel_workers, Workers::Count(n) if n.get() == 3));
    assert_eq!(config.logging.level, crate::config::value::LogLevel::Warn);
    assert_eq!(config.logging.file, None);
    assert_eq!(config.metrics.textfile, Some("/m/k.prom".into()));
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_syntax_error_has_line_and_column() {
    assert_eq!(
        read("{\n  \"a\": 1\n  \"b\": 2\n}").unwrap_err(),
        "`/c.json` is not valid JSON: line 3, column 3: expected `,` or `}`"
    );
    assert_eq!(
        read("{}\n}").unwrap_err(),
        "`/c.json` is not valid JSON: line 2, column 1: trailing characters"
    );
    assert_eq!(read(" \n").unwrap_err(), "`/c.json` is empty");
    let utf16 = Document::parse(b"\xff\xfe{\0}\0", "/c.json").err().unwrap();
    assert_eq!(utf16.to_string(), "`/c.json` is not UTF-8 text");
}

#[test]
fn a_wrong_value_is_named_with_its_path_and_what_was_expected() {
    for (document, expected) in [
        (
            json!({"backup": {"stop_timeout": "abc"}}),
            "`backup.stop_timeout` is \"abc\", expected a whole number of seconds from 1 to 3600",
        ),
        (
            json!({"backup": {"stop_timeout": 0}}),
            "`backup.stop_timeout` is 0, expected a whole number of seconds from 1 to 3600",
        ),
        (
            json!({"backup": {"update_recovery_bundle": "yes"}}),
            "`backup.update_recovery_bundle` is \"yes\", expected true or false",
        ),
        (
            json!({"backup": {"exclude_patterns": "*.log"}}),
            "`backup.exclude_patterns` is \"*.log\", expected a list (`[ … ]`)",
        ),
        (
            json!({"backup": {"exclude_patterns": ["ok", "[a"]}}),
            "`backup.exclude_patterns[1]` is \"[a\", expected a glob pattern such as `*.log`; a `[` has no `]` (write `\\[` for the character itself)",
        ),
        (
            json!({"backup": {"units": {"my.app": {"stop_timeout": -1}}}}),
            "`backup.units[\"my.app\"].stop_timeout` is -1, expected a whole number of seconds from 1 to 3600",
        ),
        (
            json!({"backup": {"base_path": "backup"}}),
            "`backup.base_path` is \"backup\", expected an absolute path, or one that starts with `~/`",
        ),
        (
            json!({"backup": {"shared_volumes": "no"}}),
            "`backup.shared_volumes` is \"no\", expected \"stop\" or \"warn\"",
        ),
        (
            json!({"backup": {"bind_mounts": {"max_size": 0}}}),
            "`backup.bind_mounts.max_size` is 0, expected a size above 0 such as \"50GiB\", or null for no limit",
        ),
        (
            json!({"docker": ["/x", 3]}),
            "`docker` is a list, expected an object (`{ … }`)",
        ),
        (
            json!({"docker": {"socket": null}}),
            "`docker.socket` is null, expected an absolute path, or one that starts with `~/`",
        ),
        (json!({"version": 3}), "`version` is 3, expected a string"),
        (
            json!({"version": "4.0"}),
            "`version` is \"4.0\", expected a version of this program's format (3.x): a newer program, or another one, made this file",
        ),
        (
            json!({"kopia": {"profile": "../x"}}),
            "`kopia.profile` is \"../x\", expected a name of at most 100 letters, digits, `_`, `.` and `-`",
        ),
    ] {
        assert_eq!(error(&document), format!("`/c.json`: {expected}"));
    }
    assert_eq!(
        error(&json!([])),
        "`/c.json` is a list, expected an object (`{ … }`)"
    );
}

#[test]
fn an_error_never_repeats_what_may_be_a_secret() {
    for document in [
        json!({"kopia": {"password": 47_114_711}}),
        json!({"kopia": {"password": ["47114711"]}}),
        json!({"kopia": {"kopia_params": "47114711 --path /x"}}),
        json!({"kopia": {"kopia_params": 47_114_711}}),
        json!({"kopia": {"kopia_params": "s3 '47114711"}}),
    ] {
        let shown = error(&document);
        assert!(!shown.contains("47114711"), "{shown}");
        assert!(shown.starts_with("`/c.json`: `kopia."), "{shown}");
    }
}

#[test]
fn every_range_has_both_ends() {
    let at = |keys: &[&str], value: Value| {
        keys.iter()
            .rev()
            .fold(value, |value, key| json!({ *key: value }))
    };
    for (keys, good, wrong) in [
        (["kopia", "cache_size_mb"], [0, 1_000_000], [-1, 1_000_001]),
        (["backup", "stop_timeout"], [1, 3600], [0, 3601]),
        (["backup", "start_timeout"], [1, 3600], [0, 3601]),
        (["backup", "task_timeout"], [0, 2_592_000], [-1, 2_592_001]),
        (["backup", "stall_timeout"], [1, 86_400], [0, 86_401]),
        (
            ["backup", "retry_when_reachable"],
            [0, 2_592_000],
            [-1, 2_592_001],
        ),
        (["backup", "parallel_workers"], [1, 64], [0, 65]),
        (
            ["backup", "recovery_bundle_retention"],
            [1, 1000],
            [0, 1001],
        ),
        (["docker", "compose_timeout"], [1, 86_400], [0, 86_401]),
        (["retention", "hourly"], [0, 100_000], [-1, 100_001]),
        (["logging", "max_size_mb"], [1, 100_000], [0, 100_001]),
        (["logging", "backup_count"], [0, 1000], [-1, 1001]),
    ] {
        for value in good {
            let document = at(&keys, json!(value));
            assert!(read(&document.to_string()).is_ok(), "{document}");
        }
        for value in wrong
            .map(|value| json!(value))
            .into_iter()
            .chain([json!(1.5), json!("1x")])
        {
            let document = at(&keys, value);
            let shown = error(&document);
            assert!(
                shown.contains(&format!("`{}`", KeyPath::of(&keys))),
                "{shown}"
            );
        }
    }
}

#[test]
fn the_profile_of_the_file_wins_over_the_derived_one() {
    let profile = |text: &str| {
        let document = Document::parse(text.as_bytes(), "/c.json").unwrap();
        document.into_config("nas").unwrap().0.kopia.profile
    };
    assert_eq!(profile("{}"), "nas");
    assert_eq!(profile(r#"{"kopia": {"profile": null}}"#), "nas");
    assert_eq!(profile(r#"{"kopia": {"profile": "mine"}}"#), "mine");
}

#[test]
fn a_password_file_takes_the_place_of_the_password() {
    let (config, warnings) = read(r#"{"kopia": {"password_file": "/p"}}"#).unwrap();
    assert_eq!(config.kopia.password, None);
    assert_eq!(warnings, Vec::<String>::new());
    let (_, warnings) = read(r#"{"kopia": {"password_file": "/p", "password": "x"}}"#).unwrap();
    assert_eq!(
        warnings,
        ["`kopia.password` is ignored: `kopia.password_file` is set"]
    );
}

#[test]
fn what_holds_a_secret_is_known_before_its_values_are_read() {
    let holds = |value: Value| {
        let text = value.to_string();
        Document::parse(text.as_bytes(), "/c.json")
            .unwrap()
            .holds_secret()
    };
    assert!(holds(json!({"kopia": {"password": "x"}})));
    assert!(holds(
        json!({"kopia": {"kopia_params": "b2 --bucket b --key x"}})
    ));
    assert!(holds(json!({"notifications": {"secret": "x"}})));
    assert!(!holds(json!({})));
    assert!(!holds(
        json!({"kopia": {"password": "CHANGE_ME_NOW", "password_file": "/p"}})
    ));
    assert!(!holds(
        json!({"kopia": {"kopia_params": "s3 --bucket b"}, "extra": "x"})
    ));
}

#[test]
fn an_old_version_and_a_name_that_never_resolves_are_warned_about() {
    let (_, warnings) = read(
        r#"{"version": "2.0", "kopia": {"kopia_params": "sftp --path sftp://root@nas.tailnet:/b"}}"#,
    )
    .unwrap();
    assert!(warnings[0].contains("`version` is 2.0"), "{warnings:?}");
    assert!(warnings[1].contains("`nas.tailnet`"), "{warnings:?}");
}
