use std::path::Path;

use super::*;
use crate::error::{Exit, exit_of, render};

fn parse(text: &str) -> KopiaParams {
    KopiaParams::parse(text).unwrap()
}

fn arguments(text: &str) -> Vec<String> {
    parse(text).split_secrets().unwrap().0
}

#[test]
fn a_folder_is_given_in_any_spelling() {
    for text in [
        "filesystem --path /b/k",
        "filesystem --path=/b/k",
        "filesystem /b/k",
        "  filesystem   '--path' \"/b/k\" ",
    ] {
        assert_eq!(parse(text).backend, Backend::Filesystem);
        assert_eq!(parse(text).flag("path"), Some("/b/k"), "{text}");
        assert_eq!(parse(text).local_path(), Some("/b/k".into()));
    }
    assert_eq!(
        arguments("filesystem /b/k --flat"),
        ["--path", "/b/k", "--flat"]
    );
    assert_eq!(
        parse("filesystem '/my repo'").masked(),
        "filesystem --path '/my repo'"
    );
}

#[test]
fn what_is_no_backend_or_no_flag_is_refused_without_repeating_it() {
    for text in [
        "",
        "  ",
        "hunter2 --path /x",
        "--path /x",
        "filesystem",
        "filesystem --path",
        "filesystem --path hunter2",
        "filesystem --path /x hunter2 hunter3",
        "filesystem '/hunter2",
        "filesystem -phunter2 --path /x",
        "s3 hunter2 --bucket b",
        "sftp --path hunter2",
        "sftp --path sftp://me:hunter2@nas/x",
        "webdav --url https://me:hunter2@cloud/dav",
    ] {
        let error = KopiaParams::parse(text).unwrap_err();
        assert!(!error.contains("hunter"), "{text}: {error}");
    }
    let error = KopiaParams::parse("ftp --path /x").unwrap_err();
    assert!(
        error.contains("filesystem, s3, b2, azure, gcs, sftp, rclone, webdav"),
        "{error}"
    );
}

#[test]
fn sftp_short_forms_become_flags_that_kopia_knows() {
    for text in [
        "sftp --path me@nas:/srv/k --keyfile /k",
        "sftp --path=me@nas:/srv/k --keyfile /k",
        "sftp me@nas:/srv/k --keyfile /k",
        "sftp --path sftp://me@nas:/srv/k --keyfile /k",
        "sftp --path sftp://me@nas/srv/k --keyfile /k",
        "tailscale --path me@nas:/srv/k --keyfile /k",
        "sftp --path /srv/k --host nas --username me --keyfile /k",
    ] {
        assert_eq!(parse(text).backend, Backend::Sftp);
        assert_eq!(
            arguments(text),
            [
                "--path",
                "/srv/k",
                "--host",
                "nas",
                "--username",
                "me",
                "--keyfile",
                "/k"
            ],
            "{text}"
        );
    }
    assert_eq!(
        arguments("sftp --path sftp://me@nas:2222/srv/k --keyfile /k"),
        [
            "--path",
            "/srv/k",
            "--host",
            "nas",
            "--username",
            "me",
            "--port",
            "2222",
            "--keyfile",
            "/k"
        ]
    );
    assert_eq!(
        parse("sftp --path nas:/k --username me").flag("host"),
        Some("nas")
    );
}

#[test]
fn sftp_without_a_user_or_with_two_hosts_is_refused() {
    for text in [
        "sftp --path nas:/k",
        "sftp --path me@nas:/k --host other",
        "sftp --path /k",
    ] {
        assert!(KopiaParams::parse(text).is_err(), "{text}");
    }
    assert!(KopiaParams::parse("sftp --path me@nas:/k --host nas").is_ok());
}

#[test]
fn secrets_leave_the_command_line_for_the_environment() {
    for (text, expected) in [
        (
            "s3 --bucket b --access-key=id --secret-access-key -hunter2 --session-token hunter3",
            vec![
                ("AWS_ACCESS_KEY_ID", "id"),
                ("AWS_SECRET_ACCESS_KEY", "-hunter2"),
                ("AWS_SESSION_TOKEN", "hunter3"),
            ],
        ),
        (
            "b2 --bucket b --key-id id --key=hunter2",
            vec![("B2_KEY_ID", "id"), ("B2_KEY", "hunter2")],
        ),
        (
            "azure --bucket b --storage-key hunter2",
            vec![("AZURE_STORAGE_KEY", "hunter2")],
        ),
        (
            "azure --bucket b --sas-token=hunter2",
            vec![("AZURE_STORAGE_SAS_TOKEN", "hunter2")],
        ),
        (
            "webdav --bucket b --webdav-password hunter2",
            vec![("KOPIA_WEBDAV_PASSWORD", "hunter2")],
        ),
        ("s3 --bucket b", vec![]),
    ] {
        let params = parse(text);
        let (arguments, variables) = params.split_secrets().unwrap();
        assert_eq!(arguments, ["--bucket", "b"], "{text}");
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.expose()))
            .collect();
        assert_eq!(variables, expected, "{text}");
        assert_eq!(holds_secret(text), text.contains("hunter"), "{text}");
        for shown in [
            params.masked(),
            format!("{params:?}"),
            serde_json::to_string(&params).unwrap(),
        ] {
            assert!(!shown.contains("hunter"), "{shown}");
            assert_eq!(shown.contains("***"), text.contains("hunter"), "{shown}");
        }
    }
}

#[test]
fn a_secret_that_kopia_takes_from_its_command_line_alone_is_refused() {
    for text in [
        "sftp --path me@nas:/k --sftp-password hunter2",
        "sftp --path me@nas:/k --key-data=hunter2",
        "filesystem --path /k --password hunter2",
        "s3 --bucket b --new-api-token hunter2",
        "rclone --remote-path r:x --rclone-args=--sftp-pass=hunter2",
        "rclone --remote-path :s3,secret_access_key=hunter2:bucket",
    ] {
        let params = parse(text);
        assert!(holds_secret(text), "{text}");
        assert!(!params.masked().contains("hunter2"), "{}", params.masked());
        let error = params.split_secrets().unwrap_err();
        assert_eq!(exit_of(&error), Exit::Config);
        assert!(render(&error).contains("hint: ") && !render(&error).contains("hunter2"));
    }
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    for text in [
        "gcs --bucket b --credentials-file /c.json --embed-credentials",
        "azure --container c --azure-federated-token-file /t --client-id id",
        "sftp --path me@nas:/k --keyfile /k --known-hosts /h",
        "rclone --remote-path r:x --rclone-args=--config=/root/keys/rclone.conf",
        "webdav --url https://cloud:8443/dav --webdav-username me",
        "s3 --bucket b --disable-tls=false",
    ] {
        assert!(!holds_secret(text), "{text}");
        assert!(parse(text).split_secrets().unwrap().1.is_empty(), "{text}");
    }
    assert_eq!(
        arguments("s3 --bucket b --disable-tls=false"),
        ["--bucket", "b", "--disable-tls=false"]
    );
}

#[test]
fn a_secret_is_seen_even_in_text_that_can_not_be_parsed() {
    assert!(holds_secret("s3 --secret-access-key 'hunter2"));
    assert!(holds_secret("webdav --url https://me:hunter2@cloud/"));
}

#[test]
fn the_home_folder_is_filled_in_for_files_of_this_host_only() {
    let mut params = parse("sftp --path ~/k --host nas --username me --keyfile ~/.ssh/id");
    params.expand_home(Path::new("/root"));
    assert_eq!(params.flag("path"), Some("~/k"));
    assert_eq!(params.flag("keyfile"), Some("/root/.ssh/id"));
    let mut params = parse("filesystem ~/repository");
    params.expand_home(Path::new("/root"));
    assert_eq!(params.local_path(), Some("/root/repository".into()));
}
