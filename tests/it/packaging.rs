//! What `make install` and the Debian package put on a machine, and what is left when they go.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::common::{Machine, Run, World};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kopi-docka");

/// Packages are made of the program that the tests have: a release build would take minutes.
fn make(target: &str) -> Run {
    let run = Run::new("make").args(["--no-print-directory", target]);
    run.arg(format!("BINARY={PROGRAM}"))
        .directory(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", crate::common::path())
}

/// The paths of all files below `folder`.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn make_install_puts_everything_in_its_place_and_uninstall_takes_it_away() {
    let world = World::new();
    let root = world.dir("root");
    let into = format!("DESTDIR={}", root.display());
    make("install").args([&into, "PREFIX=/opt/k"]).ok();
    let there = files(&root);
    for name in [
        "bin/kopi-docka",
        "share/man/man1/kopi-docka.1",
        "share/man/man5/kopi-docka.json.5",
        "share/man/man1/kopi-docka-restore.1",
        "share/bash-completion/completions/kopi-docka",
        "share/zsh/site-functions/_kopi-docka",
        "share/fish/vendor_completions.d/kopi-docka.fish",
        "lib/systemd/system/kopi-docka.service",
        "lib/systemd/system/kopi-docka.timer",
        "lib/systemd/system/kopi-docka-backup.service",
        "lib/systemd/system/kopi-docka-recover.service",
        "lib/systemd/system/kopi-docka-recover.timer",
        "lib/systemd/system/kopi-docka-recover-boot.service",
        "lib/systemd/system/kopi-docka-clean.service",
        "lib/systemd/system/kopi-docka-retry.service",
        "lib/systemd/system/kopi-docka-retry.timer",
        "lib/systemd/system/kopi-docka-notify.service",
        "lib/systemd/system/kopi-docka-drill.service",
        "lib/systemd/system/kopi-docka-drill.timer",
    ] {
        assert!(
            there.contains(&Path::new("opt/k").join(name)),
            "{name} is not in {there:#?}"
        );
    }
    for file in &there {
        let mode = fs::metadata(root.join(file)).unwrap().permissions().mode() & 0o7777;
        let wanted = if file.ends_with("bin/kopi-docka") {
            0o755
        } else {
            0o644
        };
        assert_eq!(mode, wanted, "{}", file.display());
    }
    let text = |name: &str| fs::read_to_string(root.join("opt/k").join(name)).unwrap();
    let unit = text("lib/systemd/system/kopi-docka-backup.service");
    assert!(unit.contains("ExecStart=:/opt/k/bin/kopi-docka "), "{unit}");
    assert!(text("share/man/man1/kopi-docka.1").contains(".TH kopi-docka 1"));
    assert!(text("share/zsh/site-functions/_kopi-docka").starts_with("#compdef kopi-docka"));
    let completions = root.join("opt/k/share/bash-completion/completions/kopi-docka");
    Run::new("bash")
        .arg("-n")
        .arg(completions)
        .env("PATH", crate::common::path())
        .ok();
    Run::new(root.join("opt/k/bin/kopi-docka"))
        .arg("version")
        .stdout("kopi-docka")
        .ok();

    make("uninstall").args([&into, "PREFIX=/opt/k"]).ok();
    assert_eq!(files(&root), BTreeSet::new());
}

#[test]
fn make_install_without_a_program_says_how_to_get_one() {
    let world = World::new();
    let into = format!("DESTDIR={}", world.path("root").display());
    make("install")
        .args([&into, "BINARY=/nonexistent/kopi-docka"])
        .stderr("there is no program /nonexistent/kopi-docka")
        .stderr("make build")
        .code(2);
    assert!(!world.path("root").exists());
}

/// A machine with the package, a configuration, and a container that has a restore point.
struct Host {
    app: String,
    // Dropped before the machine that its container is on.
    _world: World,
    machine: Machine,
    package: String,
}

impl Host {
    fn new() -> Self {
        let machine = Machine::bare();
        let world = World::on(&machine.engine);
        // Uncompressed: a debug build has a lot to compress.
        let package = make("deb")
            .arg(format!("OUTPUT={}", machine.shared("deb").display()))
            .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
            .text();
        let package = Path::new(&package).file_name().unwrap().to_str().unwrap();
        let package = format!("/machine/deb/{package}");
        let app = world.container("app", |s| s.volume("data", "/data").writer("/data"));
        Self {
            app,
            _world: world,
            machine,
            package,
        }
    }

    #[track_caller]
    fn install(&self) -> String {
        let run = self.machine.exec(&["dpkg", "--install", &self.package]);
        run.text()
    }

    /// A run that dies while the container is stopped.
    #[track_caller]
    fn die_in_the_window(&self) {
        let fault = "KOPI_DOCKA_FAULT=kill@read";
        let run = self
            .machine
            .exec(&["env", fault, "kopi-docka", "--quiet", "backup"]);
        assert_eq!(run.run().code, Some(137));
        assert!(!self.machine.is_running(&self.app));
    }

    fn stop_docker(&self) {
        let units = ["stop", "docker.socket", "docker.service"];
        self.machine.systemctl(&units).stderr_any().ok();
    }

    /// What is in the repository, to the byte.
    fn repository(&self) -> String {
        self.machine
            .sh("cd /backup/repository && find . -type f -print0 | sort -z | xargs -0 sha256sum")
            .text()
    }
}

#[test]
fn the_package_upgrades_and_goes_without_losing_what_it_must_keep() {
    let host = Host::new();
    let machine = &host.machine;
    let said = host.install();
    assert!(
        said.contains("systemctl enable --now kopi-docka.timer"),
        "{said}"
    );
    machine.exec(&["dpkg", "--verify", "kopi-docka"]).ok();
    for unit in [
        "kopi-docka.service",
        "kopi-docka.timer",
        "kopi-docka-recover.service",
        "kopi-docka-recover.timer",
        "kopi-docka-recover-boot.service",
        "kopi-docka-clean.service",
        "kopi-docka-retry.timer",
        "kopi-docka-drill.timer",
    ] {
        let run = machine.systemctl(&["is-enabled", unit]);
        run.stdout_is("disabled\n").code(1);
        assert_eq!(machine.property(unit, "ActiveState"), "inactive");
    }
    machine.configure(|_| {});
    machine
        .exec(&["kopi-docka", "--quiet", "backup"])
        .stdout_any()
        .ok();

    // Over itself.
    let config = machine.sh("cat /etc/kopi-docka.json").text();
    let enable = machine.systemctl(&["enable", "--now", "kopi-docka.timer"]);
    enable.stderr_any().ok();
    host.install();
    machine
        .systemctl(&["is-enabled", "kopi-docka.timer"])
        .stdout_is("enabled\n")
        .ok();
    assert_eq!(
        machine.property("kopi-docka.timer", "ActiveState"),
        "active"
    );
    assert_eq!(
        machine.property("kopi-docka.service", "ActiveState"),
        "inactive"
    );
    assert_eq!(machine.sh("cat /etc/kopi-docka.json").text(), config);

    // Removed while a container is down that a dead run stopped: it comes up first.
    host.die_in_the_window();
    machine
        .exec(&["dpkg", "--remove", "kopi-docka"])
        .stdout_any()
        .stderr_any()
        .ok();
    machine.until_running(&host.app);
    machine
        .sh("test ! -e /usr/bin/kopi-docka; ! systemctl --quiet is-active kopi-docka.timer")
        .ok();
    assert_eq!(machine.sh("cat /etc/kopi-docka.json").text(), config);

    // Where it cannot be started, the record waits for the next installation.
    let said = host.install();
    assert!(
        said.contains("kopi-docka.timer is enabled, but does not run"),
        "{said}"
    );
    host.die_in_the_window();
    host.stop_docker();
    let remove = machine.exec(&["dpkg", "--remove", "kopi-docka"]);
    remove
        .stdout_any()
        .stderr("some containers are still stopped")
        .ok();
    machine
        .sh("ls /var/lib/kopi-docka/stopped/*.json")
        .stdout(".json")
        .ok();
    host.install();
    machine.systemctl(&["start", "docker.service"]).ok();
    machine
        .exec(&["kopi-docka", "--quiet", "recover"])
        .stdout_any()
        .ok();
    machine.until_running(&host.app);
}

#[test]
fn a_purge_takes_configuration_and_state_and_leaves_repository_and_password() {
    let host = Host::new();
    let machine = &host.machine;
    host.install();
    machine.configure(|_| {});
    machine
        .exec(&["kopi-docka", "--quiet", "backup"])
        .stdout_any()
        .ok();
    machine
        .systemctl(&["enable", "kopi-docka.timer"])
        .stderr_any()
        .ok();
    host.die_in_the_window();
    let config = machine.sh("cat /etc/kopi-docka.json").text();
    let repository = host.repository();
    host.stop_docker();
    machine
        .exec(&["dpkg", "--remove", "kopi-docka"])
        .stdout_any()
        .stderr_any()
        .ok();
    let purge = machine.exec(&["dpkg", "--purge", "kopi-docka"]);
    purge
        .stdout("is kept in /var/backups/kopi-docka.json")
        .stderr(&*host.app)
        .ok();
    let left = "find / -xdev -name '*kopi-docka*' -not -path '/machine/*' -not -path '/proc/*' -not -path '/backup/*'";
    let mut left: Vec<String> = machine.sh(left).text().lines().map(str::to_owned).collect();
    left.retain(|path| !path.starts_with("/var/lib/dpkg/"));
    assert_eq!(left, ["/var/backups/kopi-docka.json"]);
    let kept = machine
        .sh("stat --format %a:%U /var/backups/kopi-docka.json; cat /var/backups/kopi-docka.json");
    assert_eq!(kept.text(), format!("600:root\n{config}"));
    assert_eq!(host.repository(), repository);

    // With both of them everything is there again.
    machine.systemctl(&["start", "docker.service"]).ok();
    host.install();
    machine
        .sh("cp --preserve /var/backups/kopi-docka.json /etc/ && kopi-docka --quiet init")
        .stdout_any()
        // The machine's own id went with the state.
        .stderr("`kopi-docka init --adopt-points`")
        .ok();
    let points = machine
        .exec(&["kopi-docka", "--json", "list", "--snapshots"])
        .json();
    assert_eq!(points["points"].as_array().unwrap().len(), 1);
}
