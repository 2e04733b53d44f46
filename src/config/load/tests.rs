use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;

use super::*;
use crate::error::{exit_of, render};

/// A host with a system directory and a home of its own.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("home/.config/kopi-docka")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn system(&self) -> PathBuf {
        self.path("kopi-docka.json")
    }

    fn user(&self) -> PathBuf {
        self.path("home/.config/kopi-docka/config.json")
    }

    fn write(&self, path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self, explicit: Option<&Path>) -> Result<Loaded> {
        let standard = [self.system(), self.user()];
        search(
            &standard,
            explicit,
            &self.path("home"),
            &Caller::of_this_process(),
        )
    }

    /// The error as people see it, the host's directory taken out.
    fn error(&self, explicit: Option<&Path>) -> String {
        let error = self.load(explicit).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Config);
        render(&error).replace(&self.folder.path().display().to_string(), "")
    }
}

#[test]
fn the_system_file_is_taken_before_the_users() {
    let host = Host::new();
    host.write(&host.user(), "{}", 0o644);
    assert_eq!(host.load(None).unwrap().path, host.user());
    host.write(&host.system(), "{}", 0o644);
    let loaded = host.load(None).unwrap();
    assert_eq!(loaded.path, host.system());
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn a_file_that_is_asked_for_is_the_only_one_looked_for() {
    let host = Host::new();
    host.write(&host.system(), "{}", 0o644);
    let shown = host.error(Some(&host.path("other.json")));
    assert!(
        shown.starts_with("error: the configuration `/other.json` does not exist\n"),
        "{shown}"
    );
    assert!(shown.contains("hint: run `kopi-docka setup`"), "{shown}");
}

#[test]
fn without_any_file_the_error_says_how_to_make_one() {
    let shown = Host::new().error(None);
    assert!(
        shown.starts_with(
            "error: there is no configuration, neither `/kopi-docka.json` nor \
             `/home/.config/kopi-docka/config.json`\nhint: run `kopi-docka setup`"
        ),
        "{shown}"
    );
}

#[test]
fn a_file_that_can_not_be_read_is_never_skipped() {
    let host = Host::new();
    host.write(&host.user(), "{}", 0o644);
    std::fs::create_dir(host.system()).unwrap();
    assert!(
        host.error(None)
            .contains("`/kopi-docka.json` is not a file")
    );
    std::fs::remove_dir(host.system()).unwrap();
    symlink(host.path("nowhere"), host.system()).unwrap();
    assert!(
        host.error(None)
            .contains("`/kopi-docka.json` cannot be read")
    );
    std::fs::remove_file(host.system()).unwrap();
    host.write(&host.system(), "{", 0o644);
    assert!(host.error(None).contains("line 1, column 1"));
}

#[test]
fn a_file_with_a_secret_is_refused_when_others_can_read_it() {
    let host = Host::new();
    for text in [
        r#"{"kopia": {"password": "hunter2"}}"#,
        r#"{"kopia": {"kopia_params": "b2 --bucket b --key hunter2"}}"#,
        r#"{"kopia": {"password": "hunter2"}, "backup": {"stop_timeout": "wrong"}}"#,
    ] {
        for mode in [0o640, 0o604] {
            host.write(&host.system(), text, mode);
            let shown = host.error(None);
            assert!(
                shown.contains("hint: run `chmod 600 /kopi-docka.json`"),
                "{shown}"
            );
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
    host.write(
        &host.system(),
        r#"{"kopia": {"password": "hunter2"}}"#,
        0o600,
    );
    assert_eq!(
        host.load(None).unwrap().config.password().unwrap().expose(),
        "hunter2"
    );
}

#[test]
fn a_link_is_judged_by_its_target() {
    let host = Host::new();
    host.write(
        &host.path("target"),
        r#"{"kopia": {"password": "x"}}"#,
        0o644,
    );
    symlink(host.path("target"), host.system()).unwrap();
    assert!(host.error(None).contains("chmod 600"));
    host.write(
        &host.path("target"),
        r#"{"kopia": {"password": "x"}}"#,
        0o600,
    );
    assert!(host.load(None).is_ok());
}

#[test]
fn the_profile_follows_the_file_unless_it_is_a_standard_one() {
    let host = Host::new();
    host.write(&host.path("my nas.json"), "{}", 0o644);
    host.write(&host.user(), "{}", 0o644);
    let profile = |explicit: Option<&Path>| {
        let config = host.load(explicit).unwrap().config;
        (config.profile().to_owned(), config.kopia_cache())
    };
    let (name, cache) = profile(Some(&host.path("my nas.json")));
    assert_eq!(name, "my_nas");
    assert_eq!(cache, Path::new("/var/cache/kopi-docka/my_nas"));
    assert_eq!(profile(None).0, "kopi-docka");
    assert_eq!(profile(Some(&host.user())).0, "kopi-docka");
    let detour = host.path("home/../home/.config/kopi-docka/config.json");
    assert_eq!(profile(Some(&detour)).0, "kopi-docka");
}

#[test]
fn a_relative_password_file_lies_beside_the_configuration() {
    let host = Host::new();
    host.write(
        &host.system(),
        r#"{"kopia": {"password_file": ".kopi-docka.password"}}"#,
        0o644,
    );
    host.write(&host.path(".kopi-docka.password"), "hunter2\n", 0o600);
    let config = host.load(None).unwrap().config;
    assert_eq!(
        config.kopia.password_file,
        Some(host.path(".kopi-docka.password"))
    );
    assert_eq!(config.password().unwrap().expose(), "hunter2");
}

#[test]
fn every_path_may_start_with_the_home_folder() {
    let host = Host::new();
    let mut document = Config::keys();
    document["kopia"]["password_file"] = json!("/etc/password");
    let text = document
        .to_string()
        .replace("\"/", "\"~/")
        .replace("path /", "path ~/");
    host.write(&host.system(), &text, 0o644);
    let shown = host.load(None).unwrap().document().to_string();
    assert!(!shown.contains('~'), "{shown}");
    let home = host.path("home").display().to_string();
    assert_eq!(
        shown.matches(&home).count(),
        text.matches("~/").count(),
        "{shown}"
    );
}

#[test]
fn the_document_shows_unknown_keys_and_no_secret() {
    let host = Host::new();
    let text = r#"{"kopia": {"password": "hunter2", "kopia_params": "b2 --bucket b --key hunter2", "odd": 1},
                   "extra": {"token": "hunter2", "x": true}, "backup": {"units": {"web": {"enabled": false, "y": 2}}}}"#;
    host.write(&host.system(), text, 0o600);
    let loaded = host.load(None).unwrap();
    let document = loaded.document();
    assert_eq!(document["kopia"]["password"], "***");
    assert_eq!(document["kopia"]["kopia_params"], "b2 --bucket b --key ***");
    assert_eq!(document["kopia"]["odd"], 1);
    assert_eq!(document["extra"], json!({"token": "***", "x": true}));
    assert_eq!(
        document["backup"]["units"]["web"],
        json!({"enabled": false, "y": 2})
    );
    assert_eq!(loaded.warnings.len(), 3, "{:?}", loaded.warnings);
    assert!(!format!("{loaded:?}").contains("hunter2"));
}
