//! A new password: whatever ends the change, the repository opens with one that is known, and the next run finishes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::common::schema::assert_schema;
use crate::common::{PASSWORD, Run, World};
use serde_json::json;

const NEW: &str = "a new \"one\" of 2026";

/// A file of the operator with the new password.
fn new_file(world: &World) -> PathBuf {
    let file = world.path("new-password");
    fs::write(&file, format!("{NEW}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn change(world: &World) -> Run {
    world
        .kd(&["--quiet", "change-password", "--new-password-file"])
        .arg(new_file(world))
}

/// Asks the storage itself, past Kopia's cache and past the program.
fn opens(world: &World, password: &str) -> bool {
    let scratch = world.dir("scratch");
    let path = world.path("repo");
    let run = Run::new("kopia")
        .arg(format!("--config-file={}", scratch.join("c").display()))
        .arg(format!("--log-dir={}", scratch.join("l").display()))
        .args(["repository", "connect", "filesystem", "--path"])
        .arg(path)
        .arg(format!(
            "--cache-directory={}",
            scratch.join("cache").display()
        ))
        .arg("--disable-repository-format-cache")
        .env("PATH", crate::common::path())
        .env("HOME", &scratch)
        .env("KOPIA_CHECK_FOR_UPDATES", "false")
        .env("KOPIA_PASSWORD", password)
        .run();
    fs::remove_dir_all(scratch).unwrap();
    run.code == Some(0)
}

/// The repository opens with the configured password and no other, and nothing is left to finish.
#[track_caller]
fn assert_settled(world: &World, password: &str) {
    let other = if password == NEW { PASSWORD } else { NEW };
    assert!(opens(world, password));
    assert!(!opens(world, other));
    assert_eq!(world.read_config()["kopia"]["password"], password);
    world.kd(&["--quiet", "repo-status"]).stdout_any().ok();
    let journals = world.path("state/password-change");
    assert_eq!(fs::read_dir(journals).map_or(0, Iterator::count), 0);
}

#[test]
fn the_repository_gets_the_new_password_and_the_configuration_keeps_all_else() {
    let world = World::new();
    world.init();
    world.config(|config| config["mine"] = json!({"z": 1, "a": [2]}));
    let seen = world.path("seen");
    let script = format!(
        r#"printf '%s\n' "$*" >>'{}'; exec "$REAL" "$@""#,
        seen.display()
    );
    let path = world.stand_in("kopia", &script);
    let run = change(&world)
        .env("PATH", path)
        .stdout("The password of the repository in filesystem ");
    let done = run
        .stderr("warning: `mine` is ignored: no such key is known")
        .ok();
    assert!(!done.to_string().contains(NEW));
    let seen = fs::read_to_string(seen).unwrap();
    assert!(
        seen.contains("change-password") && !seen.contains(NEW),
        "{seen}"
    );
    world.config(|config| {
        assert_eq!(
            config
                .as_object_mut()
                .unwrap()
                .remove("mine")
                .unwrap()
                .to_string(),
            r#"{"z":1,"a":[2]}"#
        );
    });
    let mode = fs::metadata(world.config_path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_settled(&world, NEW);
}

#[test]
fn bundles_with_the_old_password_are_told_and_replaced() {
    let world = World::new();
    world.init();
    let file = new_file(&world);
    let change = |new: &str| {
        fs::write(&file, format!("{new}\n")).unwrap();
        let change = world.kd(&["change-password", "--new-password-file"]);
        change.arg(&file).stdout_any()
    };
    change("one of 2025")
        .stderr("recovery bundles made before cannot open the repository any more")
        .stderr("make a new one: `sudo kopi-docka disaster-recovery`")
        .ok();
    world.config(|config| config["backup"]["update_recovery_bundle"] = json!(true));
    // The password is changed all the same.
    change("one of 2026")
        .stderr("error: no recovery bundle was written: there is no recovery password yet")
        .code(3);
    assert_eq!(world.read_config()["kopia"]["password"], "one of 2026");
    world
        .kd(&["--quiet", "disaster-recovery"])
        .stdout_any()
        .stderr_any()
        .ok();
    let old = fs::read(world.config_path()).unwrap();
    fs::write(&file, format!("{NEW}\n")).unwrap();
    let answer = world
        .kd(&["--json", "change-password", "--new-password-file"])
        .arg(&file)
        .json();
    assert_schema("change-password", &answer);
    assert_settled(&world, NEW);
    assert_ne!(fs::read(world.config_path()).unwrap(), old);
    // It holds the new one: that is asked of the bundle itself.
    let bundle = answer["recovery_bundle"]["path"].as_str().unwrap();
    let open = format!(
        "openssl enc -d -aes-256-cbc -pbkdf2 -in {bundle} -pass file:recovery-password | tar -xzO --wildcards '*/kopia-password.txt'"
    );
    let held = world.shell(&open).directory(world.path("")).text();
    assert_eq!(held.trim_end(), NEW);
}

#[test]
fn it_is_typed_twice_on_a_terminal_and_goes_into_the_password_file_behind_its_link() {
    let world = World::new();
    let file = world.path("secret");
    fs::write(&file, PASSWORD).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let link = world.path("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    world.config(|config| {
        config["kopia"]["password_file"] = json!(link);
        config["kopia"].as_object_mut().unwrap().remove("password");
    });
    world.init();
    let config = fs::read(world.config_path()).unwrap();
    let mut terminal = world.kd(&["change-password"]).terminal();
    terminal.answer("New password", " x");
    terminal.see("begins or ends with white space");
    terminal.answer("New password", "one");
    terminal.answer("The same again", "another");
    terminal.see("these are not the same");
    terminal.answer("New password", "one more");
    terminal.answer("The same again", "one more");
    terminal.see("is changed, and stored in");
    let rest = terminal.code(0);
    assert!(!rest.contains("one more"), "{rest}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "one more\n");
    assert!(link.is_symlink());
    assert_eq!(fs::read(world.config_path()).unwrap(), config);
    assert!(opens(&world, "one more"));
    world.kd(&["--quiet", "repo-status"]).stdout_any().ok();
}

#[test]
fn killed_at_any_step_the_next_run_finds_the_password_and_finishes() {
    for (step, password, said) in [
        (
            "password_journal",
            PASSWORD,
            "is undone: the repository has the old one",
        ),
        (
            "password_changed",
            NEW,
            "is finished now: the repository has the new one",
        ),
        (
            "password_stored",
            NEW,
            "is finished now: the repository has the new one",
        ),
    ] {
        let world = World::new();
        world.init();
        let killed = change(&world)
            .env("KOPI_DOCKA_FAULT", format!("kill@{step}"))
            .run();
        assert_eq!(killed.signal, Some(9), "{killed}");
        let journal = world.path("state/password-change/kopi-docka.json");
        let mode = fs::metadata(&journal).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        world
            .kd(&["--quiet", "repo-status"])
            .stdout_any()
            .stderr(said)
            .ok();
        assert_settled(&world, password);
    }
}

#[test]
fn the_same_command_again_finishes_what_was_interrupted() {
    let world = World::new();
    world.init();
    change(&world)
        .env("KOPI_DOCKA_FAULT", "kill@password_changed")
        .run();
    change(&world).stdout_any().stderr("is finished now").ok();
    assert_settled(&world, NEW);
}

/// Kopia writes two objects, one after the other: this one ends between them.
fn half_a_kopia(world: &World, then: &str) -> std::ffi::OsString {
    let repo = world.path("repo");
    let script = format!(
        r#"case " $* " in *' change-password '*|*' change-password') ;; *) exec "$REAL" "$@";; esac
cd '{}' && cp -p kopia.repository.f ../format && "$REAL" "$@" && cp -p ../format kopia.repository.f
{then}"#,
        repo.display()
    );
    world.stand_in("kopia", &script)
}

#[test]
fn a_change_that_ends_between_two_writes_is_undone() {
    let world = World::new();
    world.init();
    let path = half_a_kopia(&world, "exit 1");
    let run = change(&world)
        .env("PATH", path)
        .stderr("is undone: the repository has the old one");
    run.stderr("error: kopia failed").code(15);
    assert_settled(&world, PASSWORD);

    // And when nobody is left to undo it.
    let path = half_a_kopia(&world, "kill -9 $PPID; sleep 60");
    let killed = change(&world).env("PATH", path).run();
    assert_eq!(killed.signal, Some(9));
    assert!(!opens(&world, PASSWORD) && !opens(&world, NEW));
    world
        .kd(&["--quiet", "init"])
        .stdout_any()
        .stderr("is undone")
        .ok();
    assert_settled(&world, PASSWORD);
    // Such a repository takes a new password as any other.
    change(&world).stdout_any().ok();
    assert_settled(&world, NEW);
}

#[test]
fn what_can_not_be_changed_is_refused_before_anything_is() {
    let world = World::new();
    world.init();
    let file = new_file(&world);
    let with = |text: &str| {
        fs::write(&file, text).unwrap();
        world
            .kd(&["--quiet", "change-password", "--new-password-file"])
            .arg(&file)
    };
    with(PASSWORD)
        .stderr("the new password is the old one")
        .code(2);
    with(" x")
        .stderr("begins or ends with white space")
        .code(16);
    with("CHANGE_ME")
        .stderr("is still the placeholder")
        .code(16);
    world
        .kd(&["change-password"])
        .stderr("--new-password-file")
        .code(2);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    with("hunter2").stderr("chmod 600").code(16);
    assert_settled(&world, PASSWORD);
    // A wrong old one.
    world.config(|config| config["kopia"]["password"] = json!("wrong"));
    change(&world)
        .stderr("the repository refused the password")
        .code(12);
    world.config(|config| config["kopia"]["password"] = json!(PASSWORD));
    assert_settled(&world, PASSWORD);
}

#[test]
fn a_change_that_was_interrupted_is_not_finished_on_another_repository() {
    let world = World::new();
    world.init();
    change(&world)
        .env("KOPI_DOCKA_FAULT", "kill@password_changed")
        .run();
    let here = world.read_config()["kopia"]["kopia_params"].clone();
    world.config(|config| {
        config["kopia"]["kopia_params"] = json!(format!(
            "filesystem --path {}",
            world.path("other").display()
        ));
    });
    let run = world
        .kd(&["--quiet", "init"])
        .stderr("and the configuration names");
    let refused = run.code(16);
    assert!(!refused.to_string().contains(NEW));
    world.config(|config| config["kopia"]["kopia_params"] = here);
    world
        .kd(&["--quiet", "init"])
        .stdout_any()
        .stderr("is finished now")
        .ok();
    assert_settled(&world, NEW);
}
