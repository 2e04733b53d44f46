use std::path::PathBuf;

use serde_json::json;

use super::*;

fn rendered(config: serde_json::Value) -> Result<Vec<UnitFile>> {
    let config: Config = serde_json::from_value(config).unwrap();
    render(&Installation {
        config: &config,
        config_file: PathBuf::from("/etc/kopi-docka.json"),
        program: PathBuf::from("/usr/local/bin/kopi-docka"),
        paths: &Paths::standard(),
    })
}

fn unit(name: &str, config: serde_json::Value) -> String {
    let units = rendered(config).unwrap();
    let unit = units.into_iter().find(|unit| unit.name == name);
    unit.unwrap().text
}

#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|there| there == *line),
            "no line {line:?} in\n{text}"
        );
    }
}

#[test]
fn the_units_are_the_documented_ones() {
    let units = rendered(json!({})).unwrap();
    for unit in &units {
        let is_placeholder = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        };
        let left = unit.text.split('@').find(|word| is_placeholder(word));
        assert_eq!(left, None, "a placeholder in {}", unit.name);
    }
    assert_lines(
        &unit("kopi-docka.service", json!({})),
        &[
            "Type=notify",
            "NotifyAccess=main",
            "ExecStart=:/usr/local/bin/kopi-docka --config /etc/kopi-docka.json daemon",
            "ExecStopPost=-:/usr/local/bin/kopi-docka --config /etc/kopi-docka.json recover",
            "Restart=on-failure",
            "RestartSec=30",
            "WatchdogSec=300",
            "KillMode=mixed",
            "EnvironmentFile=-/etc/kopi-docka.env",
            "Environment=HOME=/root",
            "StateDirectory=kopi-docka",
            "RuntimeDirectory=kopi-docka",
            "RuntimeDirectoryPreserve=yes",
            "CacheDirectory=kopi-docka",
        ],
    );
    assert_lines(
        &unit("kopi-docka-backup.service", json!({})),
        &[
            "Type=oneshot",
            "TimeoutStartSec=infinity",
            "ExecStart=:/usr/local/bin/kopi-docka --config /etc/kopi-docka.json backup --wait=12h",
        ],
    );
    assert_lines(
        &unit("kopi-docka.timer", json!({})),
        &[
            "Unit=kopi-docka-backup.service",
            "OnCalendar=*-*-* 02:00:00",
            "Persistent=true",
            "RandomizedDelaySec=15m",
        ],
    );
    assert_lines(
        &unit("kopi-docka-recover.service", json!({})),
        &[
            "ExecStart=:/usr/local/bin/kopi-docka --config /etc/kopi-docka.json recover --no-messages",
            "ConditionDirectoryNotEmpty=|/var/lib/kopi-docka/stopped",
            "ConditionDirectoryNotEmpty=|/var/lib/kopi-docka/restoring",
            "ConditionDirectoryNotEmpty=|/var/lib/kopi-docka/drilling",
        ],
    );
    assert_lines(
        &unit("kopi-docka-retry.service", json!({})),
        &[
            "ExecStart=:/usr/local/bin/kopi-docka --config /etc/kopi-docka.json retry --start kopi-docka-backup.service",
            "ConditionDirectoryNotEmpty=/var/lib/kopi-docka/retry",
        ],
    );
    assert_lines(
        &unit("kopi-docka-notify.service", json!({})),
        &[
            "ExecStart=:/usr/local/bin/kopi-docka --config /etc/kopi-docka.json notify --due",
            "ConditionDirectoryNotEmpty=/var/lib/kopi-docka/notify",
        ],
    );
    assert_lines(
        &unit(
            "kopi-docka-drill.service",
            json!({"drill": {"directory": "/data/drills"}}),
        ),
        &[
            "ExecStart=:/usr/local/bin/kopi-docka --config /etc/kopi-docka.json drill --due",
            "ReadWritePaths=-/data/drills",
            "RestrictSUIDSGID=no",
        ],
    );
    assert_lines(
        &unit("kopi-docka-drill.timer", json!({})),
        &["Unit=kopi-docka-drill.service", "OnCalendar=*:45"],
    );
}

#[test]
fn what_the_configuration_names_is_writable_and_mounted() {
    let config = json!({
        "kopia": {
            "kopia_params": "filesystem --path '/mnt/my nas/100%'",
            "cache_directory": "/srv/cache"
        },
        "backup": {
            "base_path": "/srv/reports", "recovery_bundle_path": "/srv/bundles",
            "recovery_bundle_copy": "/mnt/stick",
            "spool": { "directory": "/fast/spool" }
        },
        "logging": { "file": "/var/log/apps/kopi.log" },
    });
    let text = unit("kopi-docka-backup.service", config);
    assert_lines(
        &text,
        &[
            "ReadWritePaths=\"-/mnt/my nas/100%%\"",
            "ReadWritePaths=-/srv/cache",
            "ReadWritePaths=-/srv/reports",
            "ReadWritePaths=-/srv/bundles",
            "ReadWritePaths=-/mnt/stick",
            "ReadWritePaths=-/fast/spool",
            "ReadWritePaths=-/var/log/apps",
            "ReadWritePaths=-/root/.config/kopia",
            "RequiresMountsFor=\"/mnt/my nas/100%%\"",
            "RequiresMountsFor=/srv/reports",
        ],
    );
    assert!(!text.contains("CacheDirectory="), "{text}");
    let remote =
        json!({ "kopia": { "kopia_params": "sftp --path=/srv/repo --host=h --username=u" } });
    let text = unit("kopi-docka-backup.service", remote);
    assert!(
        !text.contains("/srv/repo"),
        "a path of another host: {text}"
    );
}

#[test]
fn a_stop_may_take_longer_than_the_longest_grace() {
    let seconds = |config| {
        let text = unit("kopi-docka.service", config);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("TimeoutStopSec="));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(seconds(json!({})), 30 + 600 + 480);
    let slow = json!({ "backup": { "units": { "db": { "stop_timeout": 3000 } } } });
    assert_eq!(seconds(slow), 3000 + 600 + 480);
}

#[test]
fn a_path_that_would_be_another_line_of_the_unit_is_refused() {
    let config = json!({ "backup": { "base_path": "/srv/a\nExecStartPre=/bin/sh" } });
    let text = crate::error::render(&rendered(config).unwrap_err());
    assert!(
        text.contains("cannot be written in a systemd unit"),
        "{text}"
    );
}
