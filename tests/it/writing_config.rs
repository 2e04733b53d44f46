//! What writes the configuration and the credentials beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::common::schema::assert_schema;
use crate::common::{PASSWORD, Run, World};
use serde_json::Value;

const PLANTED: &str = "planted-s3cret-value";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What lies beside the configuration under a name with the time.
fn copies(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.path("")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("kopi-docka.json.")
    };
    paths.filter(is_copy).collect()
}

#[track_caller]
fn import(world: &World, text: &str) -> Run {
    let old = world.path("kopi-docka.conf");
    write(&old, text, 0o600);
    fs::remove_file(world.config_path()).ok();
    world.kd(&["new-config", "--import"]).arg(old)
}

#[test]
fn a_file_of_the_second_version_is_taken_over_without_a_question() {
    let world = World::new();
    let repository = world.path("repo");
    let text = format!(
        "# kopi-docka\n[kopia]\nrepository_path = {}\npassword = {PASSWORD}\ncompression = zstd-fastest\nencryption = aes256\n\
         cache_directory = {}\n\n[backup]\nbackup_base_path: {}\nparallel_workers = auto\nstop_timeout = 45\n\
         exclude_patterns = [\"*.tmp\", \"lost+found\"]\nrecovery_bundle_retention = 5\ndatabase_backup = true\n\n\
         [retention]\ndaily = 3\nyearly = 2\n\n[logging]\nlevel = WARNING\nfile = {}\n",
        repository.display(),
        world.path("cache").display(),
        world.path("backup").display(),
        world.path("log").display(),
    );
    import(&world, &text)
        .stderr("Not carried over: `backup.database_backup`: databases are saved")
        .stderr("Next: `kopi-docka init`")
        .ok();
    assert_eq!(mode(&world.config_path()), 0o600);
    let shown = world.kd(&["show-config", "--json"]).json();
    assert_eq!(shown["kopia"]["compression"], "zstd-fastest");
    assert_eq!(shown["backup"]["stop_timeout"], 45);
    assert_eq!(shown["backup"]["exclude_patterns"][1], "lost+found");
    assert_eq!(shown["retention"]["daily"], 3);
    assert_eq!(shown["retention"]["monthly"], 12);
    assert_eq!(shown["logging"]["level"], "WARN");
    world.kd(&["init"]).stdout("Created a new repository").ok();
    world.kd(&["--quiet", "repo-status"]).stdout_any().ok();

    // A second one has to be wanted, and keeps the first.
    let old = world.path("kopi-docka.conf");
    world
        .kd(&["new-config", "--import"])
        .arg(&old)
        .stderr("already")
        .code(2);
    let again = world.kd(&["--json", "new-config", "--force", "--import"]);
    let answer = again.arg(&old).json();
    assert_schema("new-config", &answer);
    let copies = copies(&world);
    assert_eq!(copies.len(), 1);
    assert_eq!(mode(&copies[0]), 0o600);
}

#[test]
fn a_file_of_the_first_version_is_taken_over_and_its_secrets_go_where_they_belong() {
    let world = World::new();
    write(&world.path("old-password"), "from a file\n", 0o600);
    let text = format!(
        "[kopia]\nkopia_params = s3 --bucket b --endpoint s3.example --access-key AK --secret-access-key {PLANTED}\n\
         password_file = old-password\nrclone_startup_timeout = 120s\n[docker]\ndocker_socket = /run/docker.sock\n\
         prune_stopped_containers = false\n[retention]\nannual = 4\n"
    );
    import(&world, &text)
        .stderr("Credentials written to")
        .stderr("AWS_SECRET_ACCESS_KEY")
        .stderr("Not carried over: `docker.prune_stopped_containers`")
        .ok();
    let env = world.path("kopi-docka.env");
    let credentials = fs::read_to_string(&env).unwrap();
    assert_eq!(
        credentials,
        format!("AWS_ACCESS_KEY_ID=AK\nAWS_SECRET_ACCESS_KEY={PLANTED}\n")
    );
    assert_eq!(mode(&env), 0o600);
    let config = fs::read_to_string(world.config_path()).unwrap();
    assert!(!config.contains(PLANTED), "{config}");
    let shown = world.kd(&["show-config", "--json"]).json();
    assert_eq!(shown["retention"]["yearly"], 4);
    assert_eq!(shown["docker"]["socket"], "/run/docker.sock");
    let file = world.path("old-password");
    assert_eq!(shown["kopia"]["password_file"], file.to_str().unwrap());
}

#[test]
fn an_old_file_that_is_odd_or_incomplete_makes_nothing() {
    let world = World::new();
    let cases = [
        (format!("[kopia]\n{PLANTED}\n"), "line 2", 16),
        (
            format!("[backup]\nstop_timeout = {PLANTED}\n"),
            "line 2",
            16,
        ),
        (
            format!("[kopia]\nrepository_path = {PLANTED}\n"),
            "line 2",
            16,
        ),
        (
            format!("[kopia]\npassword = {PLANTED}\n"),
            "has no repository",
            2,
        ),
        (
            "[kopia]\nrepository_path = /srv/x\n".to_owned(),
            "has no password",
            2,
        ),
    ];
    for (text, says, code) in cases {
        let done = import(&world, &text).stderr(says).code(code);
        assert!(!done.stderr().contains(PLANTED), "{done}");
        assert!(!world.config_path().exists());
        assert!(!world.path("kopi-docka.env").exists());
    }
}

/// `edit-config` with a script for an editor; its argument is the file.
fn edit(world: &World, script: &str) -> crate::common::Terminal {
    let editor = world.path("editor.sh");
    fs::write(&editor, script).unwrap();
    let command = format!("sh {}", editor.display());
    world.kd(&["edit-config", "--editor", &command]).terminal()
}

/// The answer under `--json`, among what a terminal shows besides.
fn document(shown: &str) -> Value {
    let (from, to) = (shown.find('{').unwrap(), shown.rfind('}').unwrap());
    serde_json::from_str(&shown[from..=to]).unwrap()
}

/// No draft of an editor is left.
#[track_caller]
fn assert_tidy(world: &World) {
    for entry in fs::read_dir(world.path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with(".kopi-docka"), "{name}");
    }
}

#[test]
fn what_an_editor_changes_counts_when_it_is_valid() {
    let world = World::new();
    world.config(|config| config["mine"] = "kept".into());
    let script = r#"stat -c '%a' "$1" >"$0.mode"; sed -i 's/"stop_timeout": 10/"stop_timeout": 77/' "$1"; touch "$1~""#;
    let rest = edit(&world, script).code(0);
    assert!(rest.contains("is changed"), "{rest}");
    let config = world.read_config();
    assert_eq!(config["backup"]["stop_timeout"], 77);
    assert_eq!(config["mine"], "kept");
    assert_eq!(mode(&world.config_path()), 0o600);
    let seen = fs::read_to_string(world.path("editor.sh.mode")).unwrap();
    assert_eq!(seen.trim(), "600");
    assert_tidy(&world);

    let rest = edit(&world, "true").code(0);
    assert!(rest.contains("Nothing was changed"), "{rest}");
    let told = world.kd(&["--json", "edit-config", "--editor", "true"]);
    assert_schema("edit-config", &document(&told.terminal().code(0)));
    let rest = edit(
        &world,
        r#"sed -i 's/"password": "[^"]*"/"password": "other"/' "$1""#,
    )
    .code(0);
    assert!(rest.contains("change-password"), "{rest}");
    // The spelling of the first version, and the variable.
    let editor = format!("sh {}", world.path("editor.sh").display());
    let old = world.kd(&["config", "--edit"]).env("EDITOR", editor);
    let rest = old.terminal().code(0);
    assert!(rest.contains("Nothing was changed"), "{rest}");
}

#[test]
fn a_change_that_older_recovery_bundles_lack_is_told_and_saved_in_a_new_one() {
    let world = World::new();
    world.init();
    let timeout = |from: u32, to: u32| {
        edit(
            &world,
            &format!(r#"sed -i 's/"stop_timeout": {from}/"stop_timeout": {to}/' "$1""#),
        )
    };
    let note = "recovery bundles made before do not have this change";
    let rest = timeout(10, 71).code(0);
    assert!(!rest.contains(note), "there are no bundles: {rest}");
    world
        .kd(&["--quiet", "disaster-recovery"])
        .stdout_any()
        .stderr_any()
        .ok();
    let rest = timeout(71, 72).code(0);
    assert!(rest.contains(note), "{rest}");
    assert!(rest.contains("make a new one"), "{rest}");
    let bundles = || {
        let entries = fs::read_dir(world.path("recovery")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".enc")).count()
    };
    assert_eq!(bundles(), 1);
    world.config(|config| config["backup"]["update_recovery_bundle"] = true.into());
    let rest = timeout(72, 73).code(0);
    assert!(rest.contains("wrote a new one: "), "{rest}");
    assert_eq!(bundles(), 2);
    // One that does not open the repository must not push out one that does.
    let script = r#"sed -i 's/"password": "[^"]*"/"password": "other"/' "$1""#;
    let rest = edit(&world, script).code(3);
    assert!(rest.contains("no recovery bundle was written"), "{rest}");
    assert_eq!(bundles(), 2);
}

#[test]
fn what_is_not_valid_is_edited_again_or_discarded() {
    let world = World::new();
    let before = fs::read(world.config_path()).unwrap();
    let script = r#"if [ -e "$0.again" ]; then sed -i 's/"soon"/78/' "$1"; else
        touch "$0.again"; sed -i 's/"stop_timeout": 10/"stop_timeout": "soon"/' "$1"; fi"#;
    let mut editor = edit(&world, script);
    editor.see("backup.stop_timeout");
    editor.choose("The edited configuration is not valid", 0);
    editor.code(0);
    assert_eq!(world.read_config()["backup"]["stop_timeout"], 78);
    fs::write(world.config_path(), &before).unwrap();

    let mut editor = edit(&world, r#"echo '{' >"$1""#);
    editor.see("not valid JSON");
    editor.choose("The edited configuration is not valid", 1);
    editor.code(5);
    let mut editor = edit(&world, r#"echo '{' >"$1""#);
    editor.see("The edited configuration is not valid");
    editor.press("\x03");
    editor.code(130);
    let rest = edit(&world, r#"echo '{' >"$1"; exit 3"#).code(15);
    assert!(rest.contains("nothing was changed"), "{rest}");
    edit(&world, r#"kill -9 $$"#).code(15);
    edit(&world, r#"rm "$1""#).code(15);
    assert_eq!(fs::read(world.config_path()).unwrap(), before);
    assert_tidy(&world);
    // One that is broken can be fixed.
    fs::write(world.config_path(), "{").unwrap();
    edit(&world, r#"echo '{}' >"$1""#).code(0);
    assert_eq!(world.read_config(), serde_json::json!({}));
}

#[test]
fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
    let world = World::new();
    let script = format!(
        r#"sed -i 's/"stop_timeout": 10/"stop_timeout": 79/' "$1"; sed -i 's/"stop_timeout": 10/"stop_timeout": 80/' {}"#,
        world.config_path().display()
    );
    let rest = edit(&world, &script).code(16);
    assert!(rest.contains("someone else"), "{rest}");
    assert_eq!(world.read_config()["backup"]["stop_timeout"], 80);
    let copies = copies(&world);
    let [copy] = &copies[..] else {
        panic!("{copies:?}")
    };
    assert!(rest.contains(copy.to_str().unwrap()), "{rest}");
    assert_eq!(mode(copy), 0o600);
    assert!(fs::read_to_string(copy).unwrap().contains("79"));
    assert_tidy(&world);
}

#[test]
fn a_reset_keeps_a_copy_and_says_what_it_is_for() {
    let world = World::new();
    world.init();
    let before = fs::read(world.config_path()).unwrap();
    world
        .kd(&["reset-config"])
        .stderr("no terminal")
        .stderr_any()
        .code(2);
    let mut reset = world.kd(&["reset-config"]).terminal();
    reset.answer("Type DELETE", "delete");
    reset.code(5);
    let mut reset = world.kd(&["reset-config"]).terminal();
    reset.see("Type DELETE");
    reset.press("\x03");
    reset.code(130);
    assert_eq!(fs::read(world.config_path()).unwrap(), before);

    let mut reset = world.kd(&["--json", "reset-config"]).terminal();
    reset.answer("Type DELETE", "DELETE");
    assert_schema("reset-config", &document(&reset.code(0)));
    assert!(!world.config_path().exists());
    fs::rename(&copies(&world)[0], world.config_path()).unwrap();

    let mut reset = world.kd(&["reset-config"]).terminal();
    reset.see("It stays as it is");
    reset.answer("Type DELETE", "DELETE");
    let rest = reset.code(0);
    assert!(rest.contains("the only key"), "{rest}");
    assert!(!rest.contains(PASSWORD), "{rest}");
    assert!(!world.config_path().exists());
    let copies = copies(&world);
    assert_eq!(fs::read(&copies[0]).unwrap(), before);
    assert_eq!(mode(&copies[0]), 0o600);
    fs::rename(&copies[0], world.config_path()).unwrap();
    world.kd(&["--quiet", "repo-status"]).stdout_any().ok();
}

#[test]
fn kopia_gets_the_credentials_and_nothing_else_of_the_environment() {
    let world = World::new();
    let env = world.path("kopi-docka.env");
    let text = format!(
        "# mine\nexport AWS_SECRET_ACCESS_KEY=\"{PLANTED} $\\\"\"\nAWS_REGION=from-the-file\nB2_APPLICATION_KEY_ID='id'\n\
         B2_APPLICATION_KEY=key\nLD_PRELOAD=/nowhere.so\nPATH=/nowhere\nKOPIA_PASSWORD=wrong\nOTHER=1\n"
    );
    write(&env, &text, 0o600);
    let dump = format!(
        r#"env >{}/seen.$$; exec "$REAL" "$@""#,
        world.dir("seen").display()
    );
    let path = world.stand_in("kopia", &dump);
    let with = |args: &[&str]| {
        let run = world.kd(args).env("PATH", &path);
        run.env("AWS_REGION", "from-the-process")
            .env("SECRET_OF_OTHERS", "x")
    };
    let mut said = String::new();
    for args in [
        &["init"][..],
        &["repo-status", "--verbose", "--log-level", "trace"],
        &["show-config", "--json"],
        &["repo-which-config"],
    ] {
        let done = with(args).stdout_any().stderr_any().ok();
        said.push_str(&done.stdout());
        said.push_str(&done.stderr());
    }
    said.push_str(&fs::read_to_string(world.path("kopi-docka.log")).unwrap_or_default());
    assert!(!said.contains(PLANTED), "{said}");
    let mut calls = 0;
    for entry in fs::read_dir(world.path("seen")).unwrap() {
        let seen = fs::read_to_string(entry.unwrap().path()).unwrap();
        if !seen.contains("KOPIA_PASSWORD=") {
            continue; // `kopia --version`
        }
        calls += 1;
        let has = |line: &str| seen.lines().any(|found| found == line);
        assert!(
            has(&format!("AWS_SECRET_ACCESS_KEY={PLANTED} $\"")),
            "{seen}"
        );
        assert!(has("AWS_REGION=from-the-process"), "{seen}");
        assert!(has("B2_KEY_ID=id") && has("B2_KEY=key"), "{seen}");
        assert!(has(&format!("KOPIA_PASSWORD={PASSWORD}")), "{seen}");
        for name in [
            "OTHER=",
            "LD_PRELOAD=",
            "SECRET_OF_OTHERS=",
            "B2_APPLICATION",
        ] {
            assert!(!seen.contains(name), "{name}: {seen}");
        }
    }
    assert!(calls > 0);
}

#[test]
fn credentials_that_are_open_or_broken_are_refused_and_never_repeated() {
    let world = World::new();
    let env = world.path("kopi-docka.env");
    for (text, mode, says) in [
        (format!("B2_KEY={PLANTED}\n"), 0o644, "chmod 600"),
        (format!("B2_KEY={PLANTED}\n"), 0o620, "chmod 600"),
        (format!("A=1\n\n{PLANTED}\n"), 0o600, "line 3 "),
        (format!("A=1\nB2_KEY='{PLANTED}\n"), 0o600, "line 2 "),
        (format!("{PLANTED}=1\n"), 0o600, "line 1 "),
    ] {
        write(&env, &text, mode);
        for command in ["init", "repo-status"] {
            let done = world
                .kd(&["--log-level", "trace", command])
                .stderr(says)
                .stderr(env.to_str().unwrap())
                .code(16);
            assert!(!done.stderr().contains(PLANTED), "{done}");
        }
        // Who only looks at the configuration needs none.
        world.kd(&["show-config"]).stdout_any().ok();
        fs::remove_file(&env).unwrap();
    }
}
