use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::testing::damaged_text;
use crate::error::render;

fn read(text: &str) -> Imported {
    import(text, Path::new("/etc/old/kopi-docka.conf"), "kopi-docka")
        .unwrap_or_else(|error| panic!("{}", render(&error)))
}

fn error(text: &str) -> String {
    let result = import(text, Path::new("/old.conf"), "kopi-docka");
    render(&result.err().unwrap())
}

/// The example of the second version's own README, with its comments.
const SECOND: &str = r#"
; kopi-docka.conf
[kopia]
repository_path = /backup/kopia repo
password = very=secret: 100%% # of it
compression = zstd-fastest
encryption = aes256
cache_directory = /var/cache/kopia

[backup]
backup_base_path = /backup/kopi-docka
parallel_workers = auto
stop_timeout: 30
start_timeout = 60
# comment
exclude_patterns = ["*.tmp", "*.cache", "lost+found"]
update_recovery_bundle = Yes
recovery_bundle_path = %(backup_base_path)s/recovery
recovery_bundle_retention = 3
database_backup = true
pre_backup_hook =

[retention]
daily = 7
weekly = 4
monthly = 12
yearly = 2

[logging]
level = WARNING
file =
"#;

#[test]
fn every_key_of_a_second_versions_file_has_its_place() {
    let imported = read(SECOND);
    let document = &imported.document;
    assert_eq!(
        document["kopia"],
        json!({
            "kopia_params": "filesystem --path '/backup/kopia repo'",
            "password": "very=secret: 100% # of it", "password_file": null,
            "profile": "kopi-docka", "host": null, "compression": "zstd-fastest",
            "encryption": "AES256-GCM-HMAC-SHA256", "hash": "BLAKE2B-256-128",
            "cache_directory": "/var/cache/kopia", "cache_size_mb": 500
        })
    );
    let backup = &document["backup"];
    assert_eq!(backup["base_path"], "/backup/kopi-docka");
    assert_eq!(
        backup["recovery_bundle_path"],
        "/backup/kopi-docka/recovery"
    );
    assert_eq!(backup["update_recovery_bundle"], true);
    assert_eq!(
        backup["exclude_patterns"],
        json!(["*.tmp", "*.cache", "lost+found"])
    );
    assert_eq!(document["retention"]["yearly"], 2);
    assert_eq!(document["logging"]["level"], "WARNING");
    assert_eq!(document["logging"]["file"], "/var/log/kopi-docka.log");
    let left_out: Vec<_> = imported.left_out.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(left_out, ["backup.database_backup"]);
    assert!(
        imported.notes.concat().contains("`%%`"),
        "{:?}",
        imported.notes
    );
    assert!(imported.has_password && imported.has_repository);
}

#[test]
fn a_later_json_file_is_taken_too_and_tells_what_it_loses() {
    let imported = read(
        r#"{"version": "7.9.0",
            "kopia": {"kopia_params": "s3 --bucket b --access-key id --secret-access-key hunter2",
                      "password_file": ".kopi-docka.password", "rclone_startup_timeout": "120s"},
            "backup": {"hooks": {"pre_backup": null}, "stop_timeout": 45, "backup_scope": "full"},
            "notifications": {"url": "tgram://x"}, "retention": {"annual": 3, "yearly": 4}}"#,
    );
    let kopia = &imported.document["kopia"];
    assert_eq!(kopia["kopia_params"], "s3 --bucket b");
    assert_eq!(kopia["password_file"], "/etc/old/.kopi-docka.password");
    let names: Vec<_> = imported.credentials.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    assert_eq!(imported.document["retention"]["yearly"], 4);
    let left_out: Vec<_> = imported.left_out.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(
        left_out,
        [
            "backup.backup_scope",
            "notifications.url",
            "retention.annual"
        ]
    );
}

#[test]
fn an_old_address_becomes_parameters() {
    for (old, new) in [
        ("/srv/a", "filesystem --path /srv/a"),
        ("file:///srv/a", "filesystem --path /srv/a"),
        ("s3://b/p/q", "s3 --bucket b --prefix p/q/"),
        ("b2://b", "b2 --bucket b"),
        ("azure://c/p/", "azure --container c --prefix p/"),
        ("gs://b", "gcs --bucket b"),
        ("filesystem --path=/srv/a", "filesystem '--path=/srv/a'"),
    ] {
        let imported = read(&format!("[kopia]\nrepository_path = {old}\n"));
        let params = &imported.document["kopia"]["kopia_params"];
        let parse = |text: &str| KopiaParams::parse(text).unwrap().masked();
        assert_eq!(parse(params.as_str().unwrap()), parse(new));
    }
    let sftp = read("[kopia]\nrepository_path = sftp://root@nas/srv/a");
    let params = sftp.document["kopia"]["kopia_params"]
        .as_str()
        .unwrap()
        .to_owned();
    let params = KopiaParams::parse(&params).unwrap();
    assert_eq!(
        (params.flag("host"), params.flag("path")),
        (Some("nas"), Some("/srv/a"))
    );
}

#[test]
fn what_is_odd_is_named_with_its_line_and_never_repeated() {
    for (text, says) in [
        ("password = hunter2", "line 1 is before the first section"),
        ("[kopia]\nhunter2\n", "line 2 is neither"),
        ("[kopia]\n= hunter2\n", "line 2 has no name"),
        ("[kopia]\na = 1\nA : hunter2\n", "line 3 has a key that"),
        ("[kopia]\n[backup]\n[kopia]\n", "line 3 begins a section"),
        ("[]\n", "line 1"),
        ("[kopia]\npassword = hunter2\0\n", "line 2 has a NUL"),
        (
            "[backup]\n\nstop_timeout = hunter2",
            "line 3: `backup.stop_timeout`: expected a whole number",
        ),
        (
            "[backup]\nstop_timeout = 0",
            "line 2: `backup.stop_timeout`: expected",
        ),
        (
            "[backup]\nexclude_patterns = [hunter2",
            "line 2: `backup.exclude_patterns`: expected a list",
        ),
        (
            "[kopia]\nrepository_path = hunter2",
            "line 2: `kopia.repository_path`: expected",
        ),
        (
            "[kopia]\ncache_directory = hunter2",
            "line 2: `kopia.cache_directory`: expected",
        ),
        ("{\"kopia\": [}", "line 1, column"),
    ] {
        let shown = error(text);
        assert!(shown.contains(says), "{text}: {shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_file_is_read_as_python_reads_it() {
    let text = "[DEFAULT]\nroot = /srv\n[backup]\nbase_path: %(root)s/x\nexclude_patterns =\n  *.tmp\n\n  # no value\n  a b\n\
                 \x20 [c]\nstop_timeout=5\n[kopia]\nPassword = 50% %(nothing)s\n";
    let imported = read(text);
    assert_eq!(imported.document["backup"]["base_path"], "/srv/x");
    assert_eq!(
        imported.document["backup"]["exclude_patterns"],
        json!(["*.tmp", "a b", "[c]"])
    );
    assert_eq!(imported.document["backup"]["stop_timeout"], 5);
    assert_eq!(imported.document["kopia"]["password"], "50% %(nothing)s");
    // A loop is what Python refuses.
    let looped = read("[kopia]\npassword = %(x)s\nx = %(password)s\n[backup]\n");
    assert_eq!(looped.document["kopia"]["password"], "%(x)s");
}

proptest! {
    /// An old file is whatever its owner made of it; an error never repeats its password.
    #[test]
    fn no_old_file_breaks_it_and_no_error_has_its_password(text in damaged_text(SECOND)) {
        if let Err(error) = import(&text, Path::new("/old.conf"), "kopi-docka") {
            let told = render(&error);
            prop_assert!(!told.contains("very=secret"), "{}", told);
        }
    }
}
