//! From nothing to the first backup, with somebody at the terminal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::common::{Bed, PASSWORD, Terminal, World};

const MENU: &str = "Where should the repository be stored?";
const FOLDER: &str = "Directory of the repository";
const KIND: &str = "Password of the repository";

/// Answers the questions for a repository in a directory of the world.
fn choose_folder(world: &World, wizard: &mut Terminal, folder: &Path) {
    wizard.choose(MENU, 0);
    wizard.answer(FOLDER, folder.to_str().unwrap());
    // Without a configuration that can be believed it asks the engine at the usual place.
    let is_believed = world.config_path().exists() && mode(&world.config_path()) == 0o600;
    let root = if is_believed {
        let info = world.docker(&["info", "--format", "{{.DockerRootDir}}"]);
        info.text()
    } else {
        "/var/lib/docker".to_owned()
    };
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    if device(Path::new(&root)) == device(&world.path("home")) {
        wizard.see("Use this directory anyway?");
        wizard.press("y");
    }
}

/// Systemd is this machine's own, whatever the world.
fn decline_the_timer(setup: &mut Terminal) {
    if Path::new("/run/systemd/system").is_dir() {
        setup.see("start the timer");
        setup.press("n");
    }
}

const BUNDLE: &str = "Make the first recovery bundle?";
/// The question after it.
const EACH: &str = "Make a new one after each backup?";

fn decline_the_bundle(setup: &mut Terminal) {
    setup.see(BUNDLE);
    setup.press("n");
}

/// Every file of the world but the lock, with its content.
fn files(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![world.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("run/kopi-docka.lock") {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn setup_goes_from_the_first_question_to_what_a_backup_needs() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    fs::write(stack.volume_path("data").join("file"), "saved").unwrap();
    world.config(|config| config["retention"]["daily"] = 9.into());
    let repository = world.path("another repo");

    let mut setup = world.kd(&["setup", "--force"]).terminal();
    setup.see("Programs");
    choose_folder(&world, &mut setup, &repository);
    setup.choose(KIND, 0);
    setup.see("Written: ");
    setup.see("kept as");
    setup.see("Created a new repository in");
    setup.see("A new connection to it works");
    let shown = setup.see("Nothing was changed.");
    assert!(shown.contains(stack.unit()), "{shown}");
    decline_the_timer(&mut setup);
    decline_the_bundle(&mut setup);
    setup.see("The password of the repository:");
    let shown = setup.see("Keep a copy of it");
    let rest = setup.code(0);
    assert!(rest.contains("Next: `kopi-docka backup`"), "{rest}");
    let config = world.read_config();
    let password = config["kopia"]["password"].as_str().unwrap();
    assert_eq!(shown.trim(), password);
    assert!(!rest.contains(password), "it is shown once");
    assert_eq!(mode(&world.config_path()), 0o600);
    assert_eq!(config["retention"]["daily"], 9, "what is not asked stays");

    let mut setup = world.kd(&["setup"]).terminal();
    setup.see("is there and valid");
    setup.see("Already connected");
    decline_the_timer(&mut setup);
    decline_the_bundle(&mut setup);
    let rest = setup.code(0);
    assert!(!rest.contains(password), "{rest}");

    world.kd(&["--quiet", "backup"]).stdout_any().ok();
    world.kd(&["list", "--snapshots"]).stdout(stack.unit()).ok();
    world
        .kd(&["restore", "--unit", stack.unit(), "--backup-id", "latest"])
        .arg("--dry-run")
        .stdout(stack.volume("data"))
        .stderr_any()
        .ok();
    let log = fs::read_to_string(world.path("kopi-docka.log")).unwrap();
    assert!(!log.contains(password));
}

#[test]
fn the_first_recovery_bundle_is_offered_until_there_is_one() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let recovery = world.path("recovery");
    world.init();
    let setup = || {
        let mut setup = world.kd(&["setup", "--skip-deps"]).terminal();
        setup.see("What a backup will save");
        decline_the_timer(&mut setup);
        setup
    };
    let mut declined = setup();
    decline_the_bundle(&mut declined);
    let rest = declined.code(0);
    assert!(
        rest.contains("Later: `kopi-docka disaster-recovery`"),
        "{rest}"
    );
    assert!(!world.path("recovery-password").exists() && !recovery.exists());

    // What cannot be made is told, and ends nothing.
    fs::write(&recovery, "no directory").unwrap();
    let mut failing = setup();
    failing.see(BUNDLE);
    failing.press("y");
    failing.see(EACH);
    failing.press("n");
    failing.see("no recovery bundle was made");
    let rest = failing.code(0);
    assert!(rest.contains("backup.recovery_bundle_path"), "{rest}");
    assert!(rest.contains("Next: `kopi-docka backup`"), "{rest}");
    fs::remove_file(&recovery).unwrap();
    fs::remove_file(world.path("recovery-password")).unwrap();

    let before = world.read_config();
    let mut agreed = setup();
    agreed.see(BUNDLE);
    agreed.press("y");
    agreed.see(EACH);
    agreed.press("y");
    agreed.see("`backup.update_recovery_bundle` is on");
    agreed.see("It is shown once:");
    let shown = agreed.see("Write it on paper");
    agreed.see("Wrote ");
    agreed.see("disaster-recovery --print");
    let rest = agreed.code(0);
    let password = fs::read_to_string(world.path("recovery-password")).unwrap();
    assert_eq!(shown.trim(), password.trim());
    assert!(!rest.contains(password.trim()), "it is shown once: {rest}");
    let mut expected = before;
    expected["backup"]["update_recovery_bundle"] = true.into();
    assert_eq!(world.read_config(), expected, "nothing else changes");
    assert_eq!(mode(&world.config_path()), 0o600);
    assert_eq!(fs::read_dir(&recovery).unwrap().count(), 2);

    let rest = setup().code(0);
    assert!(rest.contains("The newest is "), "{rest}");
    assert!(!rest.contains(BUNDLE), "{rest}");
    assert_eq!(fs::read_dir(&recovery).unwrap().count(), 2);
    let log = fs::read_to_string(world.path("kopi-docka.log")).unwrap();
    assert!(!log.contains(password.trim()));
}

#[test]
fn a_setup_that_fails_in_the_middle_goes_on_when_it_is_run_again() {
    let world = World::new();
    let fails = r#"case "$*" in *"repository create"*) echo "no space left on device" >&2; exit 1;; esac; exec "$REAL" "$@""#;
    let mut setup = world
        .kd(&["setup", "--force", "--skip-deps"])
        .env("PATH", world.stand_in("kopia", fails))
        .terminal();
    choose_folder(&world, &mut setup, &world.path("repo"));
    setup.choose(KIND, 1);
    setup.answer("New password", "typed by hand");
    setup.answer("The same again", "typed by hand");
    let rest = setup.code(17);
    assert!(!rest.contains("typed by hand"), "{rest}");
    assert_eq!(world.read_config()["kopia"]["password"], "typed by hand");
    assert!(
        !world
            .path("home/.config/kopia")
            .join("repository-kopi-docka.config")
            .exists()
    );

    let mut setup = world.kd(&["setup", "--skip-deps"]).terminal();
    setup.see("is there and valid");
    setup.see("Created a new repository in");
    setup.see("What a backup will save");
    drop(setup);
    world.kd(&["--quiet", "repo-status"]).stdout_any().ok();
}

#[test]
fn a_password_that_was_made_is_shown_even_when_a_later_step_fails() {
    let world = World::new();
    let mut setup = world
        .kd(&["setup", "--force", "--skip-deps"])
        .env("PATH", world.stand_in("kopia", "exit 1"))
        .terminal();
    choose_folder(&world, &mut setup, &world.path("repo"));
    setup.choose(KIND, 0);
    setup.see("The password of the repository:");
    let shown = setup.see("Keep a copy of it");
    setup.code(15);
    assert_eq!(world.read_config()["kopia"]["password"], shown.trim());
}

#[test]
fn a_new_configuration_has_every_default_and_is_for_root_alone() {
    let world = World::new();
    fs::remove_file(world.config_path()).unwrap();
    let repository = world.path("repo");
    let mut wizard = world.kd(&["new-config"]).terminal();
    choose_folder(&world, &mut wizard, &repository);
    wizard.choose(KIND, 0);
    wizard.see("The password of the repository:");
    let password = wizard.see("Keep a copy of it").trim().to_owned();
    let rest = wizard.code(0);
    assert!(rest.contains("Next: `kopi-docka init`"), "{rest}");
    assert_eq!(mode(&world.config_path()), 0o600);
    assert!(!world.path("kopi-docka.env").exists());
    let config = world.read_config();
    assert_eq!(
        config["kopia"]["kopia_params"],
        format!("filesystem --path {}", repository.display())
    );
    assert_eq!(config["kopia"]["password"], password.as_str());
    assert_eq!(config["kopia"]["profile"], "kopi-docka");
    assert_eq!(config["retention"]["daily"], 7);
    let mut shown = world.kd(&["show-config", "--json"]).json();
    shown.as_object_mut().unwrap().shift_remove("_file");
    let mut written = config.clone();
    written["kopia"]["password"] = "***".into();
    assert_eq!(shown, written);

    world
        .kd(&["new-config"])
        .stderr("the configuration already exists")
        .stderr("edit-config")
        .code(2);
    assert_eq!(world.read_config(), config);
}

#[test]
fn a_repository_that_is_there_is_asked_for_its_password() {
    let world = World::new();
    world.init();
    let mut wizard = world.kd(&["new-config", "--force"]).terminal();
    choose_folder(&world, &mut wizard, &world.path("repo"));
    wizard.see("There is a repository already");
    wizard.choose(KIND, 0);
    let before = world.read_config();
    for _ in 0..4 {
        wizard.answer("Its password", "wrong");
        wizard.see("the repository refused this password");
        wizard.choose(KIND, 0);
    }
    wizard.answer("Its password", "wrong");
    wizard.see("refused the password 5 times");
    wizard.code(12);
    assert_eq!(world.read_config(), before);
    let mut wizard = world.kd(&["new-config", "--force"]).terminal();
    choose_folder(&world, &mut wizard, &world.path("repo"));
    wizard.choose(KIND, 0);
    wizard.answer("Its password", "wrong");
    wizard.see("the repository refused this password");
    wizard.choose(KIND, 0);
    wizard.answer("Its password", PASSWORD);
    wizard.see("The repository opens with it.");
    wizard.code(0);
    world.kd(&["init"]).stdout("connected").ok();
    // Kept, wherever it is.
    let before = world.read_config();
    let mut wizard = world.kd(&["new-config", "--force"]).terminal();
    choose_folder(&world, &mut wizard, &world.path("repo"));
    wizard.choose(KIND, 1);
    wizard.code(0);
    assert_eq!(world.read_config(), before);
}

#[test]
fn whatever_ends_a_question_leaves_nothing_behind() {
    let world = World::new();
    fs::remove_file(world.config_path()).unwrap();
    world.dir("run");
    let before = files(&world);
    for stage in 0..5 {
        let mut wizard = world.kd(&["new-config"]).terminal();
        if stage == 0 {
            wizard.see(MENU);
        } else if stage == 1 {
            wizard.choose(MENU, 0);
            wizard.see(FOLDER);
        } else {
            choose_folder(&world, &mut wizard, &world.path("repo"));
            if stage == 2 {
                wizard.see(KIND);
            } else {
                wizard.choose(KIND, 1);
                wizard.see("New password");
                if stage == 4 {
                    wizard.press("a password\r");
                    wizard.see("The same again");
                }
            }
        }
        wizard.press("\x03");
        wizard.code(130);
        assert_eq!(files(&world), before, "stage {stage}");
    }
    let mut wizard = world.kd(&["setup", "--skip-deps"]).terminal();
    wizard.choose(MENU, 0);
    wizard.see(FOLDER);
    wizard.terminate();
    wizard.code(143);
    assert_eq!(files(&world), before);
}

#[test]
fn without_a_terminal_it_says_how_to_do_it_by_hand() {
    let world = World::new();
    fs::remove_file(world.config_path()).unwrap();
    for command in [&["new-config"][..], &["setup", "--skip-deps"]] {
        world
            .kd(command)
            .stderr("no terminal")
            .stderr("install -m 600")
            .stderr("kopia_params")
            .stderr_any()
            .code(2);
    }
    world
        .kd(&["list", "--units"])
        .stderr("kopi-docka setup")
        .stderr("new-config")
        .code(16);
    let missing = world.path("no directory/kopi-docka.json");
    world
        .kd(&["new-config"])
        .arg("--config")
        .arg(missing)
        .stderr("no configuration can be written")
        .code(16);
}

#[test]
fn a_configuration_that_can_not_be_used_is_said_and_kept() {
    let world = World::new();
    world.config(|config| config["kopia"]["password"] = "CHANGE_ME_TO_A_SECURE_PASSWORD".into());
    let before = fs::read(world.config_path()).unwrap();
    let rest = world.kd(&["setup", "--skip-deps"]).terminal().code(16);
    assert!(rest.contains("placeholder"), "{rest}");
    assert!(rest.contains("setup --force"), "{rest}");
    assert_eq!(fs::read(world.config_path()).unwrap(), before);
    // What others could have written is not taken over.
    fs::set_permissions(world.config_path(), fs::Permissions::from_mode(0o666)).unwrap();
    let mut wizard = world.kd(&["new-config", "--force"]).terminal();
    wizard.see("cannot be read, so a new one is made");
    choose_folder(&world, &mut wizard, &world.path("repo"));
    wizard.choose(KIND, 0);
    wizard.code(0);
    assert_eq!(world.read_config()["retention"]["daily"], 7);
    assert_eq!(mode(&world.config_path()), 0o600);
}
