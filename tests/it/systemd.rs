//! Unattended, under a real systemd: the units as `write-units` writes them, with all of their hardening, on a machine that is booted,
//! rebooted, and loses its power.

use std::time::Duration;

use crate::common::{IMAGE, Machine, MachineInbox, Service, Tls, World, mount_xfs, until, within};
use serde_json::{Value, json};

const UNITS: [&str; 12] = [
    "kopi-docka.service",
    "kopi-docka-backup.service",
    "kopi-docka-recover.service",
    "kopi-docka-recover-boot.service",
    "kopi-docka-clean.service",
    "kopi-docka-recover.timer",
    "kopi-docka-retry.service",
    "kopi-docka-retry.timer",
    "kopi-docka-notify.service",
    "kopi-docka-drill.service",
    "kopi-docka-drill.timer",
    "kopi-docka.timer",
];
pub const BACKUP: &str = "kopi-docka-backup.service";
pub const DAEMON: &str = "kopi-docka.service";
const RECOVER: &str = "kopi-docka-recover.service";
const BOOT: &str = "kopi-docka-recover-boot.service";
const CLEAN: &str = "kopi-docka-clean.service";
const TIMER: &str = "kopi-docka.timer";
const RECOVER_TIMER: &str = "kopi-docka-recover.timer";
pub const RETRY: &str = "kopi-docka-retry.service";
const RETRY_TIMER: &str = "kopi-docka-retry.timer";
const NOTIFY: &str = "kopi-docka-notify.service";
const DRILL: &str = "kopi-docka-drill.service";
const DRILL_TIMER: &str = "kopi-docka-drill.timer";

/// The repository on the SFTP server of the machine.
const SFTP: &str = "sftp --host=127.0.0.1 --port=2222 --username=root --path=/srv/backups/r \
    --keyfile=/etc/kopi-docka.ssh/id --known-hosts=/etc/kopi-docka.ssh/known_hosts";

const PATIENCE: Duration = Duration::from_secs(120);

/// Stands still in the middle of the first volume that it reads.
const HUNG_TAR: &str = r#"#!/bin/sh
case "$*" in *--create*_data/_data*) head -c 3000000 /dev/zero; kill -STOP $$;; esac
exec /usr/bin/tar "$@"
"#;

/// Reads for longer than its patience before it writes its first byte, as one does that looks for the holes of a large file.
const SLOW_TAR: &str = r#"#!/bin/sh
case "$*" in *--create*_data/_data*)
    for second in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 1000000 /dev/zero >/dev/null; sleep 1; done;;
esac
exec /usr/bin/tar "$@"
"#;

/// A project whose files belong to a user, in that user's home.
const SHOP: &str = "/home/app/shop";

/// Made as the user would, with everything that a copy could not be given to its owner with.
const MAKE_SHOP: &str = r#"umask 022; mkdir -p "$1"/conf "$1"/secrets "$1"/web/conf.d; cd "$1"
    cat >compose.yaml <<'X'
services:
  web:
    image: "kopi-docka-test:1"
    user: "${APP_UID}"
    env_file: [app.env, {path: never.env, required: false}]
    build: ./web
secrets: {db: {file: ./secrets/db}}
configs: {tool: {file: ./conf/tool}}
X
    printf 'services: {web: {env_file: over.env}}\n' >compose.override.yaml
    echo A=1 >settings.env; ln -s settings.env .env; echo B=2 >app.env; echo C=3 >over.env
    echo geheim >secrets/db; echo tool >conf/tool; printf 'FROM scratch\nCOPY conf.d /\n' >web/Dockerfile; echo x >web/conf.d/x.conf
    chmod 640 secrets/db; chmod 600 settings.env; touch -d '2001-02-03 04:05:06.123456789' compose.yaml secrets/db
    chown -hR 1000:1001 "$1"; chmod 2770 secrets; chmod 2775 conf; chmod 4755 conf/tool"#;

/// All of it that counts. Times of directories change when something is put into them.
const SEE_SHOP: &str = r#"cd "$1"; find . -type d -printf '%p %m %U:%G\n' | sort
    find . ! -type d -printf '%p %y %m %U:%G %T@ %l\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum"#;

/// A machine with a configuration, a repository, the units, and a container with a volume.
pub struct Host {
    pub app: String,
    // Dropped before the machine that its container is on.
    world: World,
    pub machine: Machine,
}

impl Host {
    #[track_caller]
    fn new(edit: impl FnOnce(&mut Value)) -> Self {
        Self::on(Machine::start(), edit)
    }

    #[track_caller]
    pub fn on(machine: Machine, edit: impl FnOnce(&mut Value)) -> Self {
        let world = World::on(&machine.engine);
        let app = world.container("app", |s| s.volume("data", "/data"));
        machine.configure(|config| {
            // Points are counted: none goes meanwhile.
            config["retention"] = serde_json::json!({"latest": 100});
            edit(config);
        });
        let host = Self {
            app,
            world,
            machine,
        };
        host.write_units();
        host
    }

    /// What it says.
    #[track_caller]
    fn write_units(&self) -> String {
        let run = self.machine.exec(&["kopi-docka", "--quiet", "write-units"]);
        run.stdout_any().ok().stdout()
    }

    #[track_caller]
    pub fn drop_in(&self, unit: &str, text: &str) {
        let file = format!("/etc/systemd/system/{unit}.d/test.conf");
        self.machine.write(&file, "644", text);
        self.machine.systemctl(&["daemon-reload"]).ok();
    }

    fn data(&self) -> String {
        let id = self.world.id();
        format!("/var/lib/docker/volumes/{id}_data/_data")
    }

    /// Gives the volume something that a copy can lose.
    #[track_caller]
    pub fn fill(&self) {
        let script = r#"cd "$1"; rm -rf a; mkdir -p a/b; head -c 3000000 /dev/urandom >a/b/x; ln a/b/x a/y; ln -s x a/b/l
            setfattr -n trusted.seen -v 1 a/b/x; setfattr -n user.mine -v 2 a; chown 1234:77 a/b/x; chmod 4751 a/b/x
            mkfifo a/pipe; touch -d '2001-02-03 04:05:06.123456789' a/b"#;
        let run = self.machine.exec(&["sh", "-euc", script, "sh"]);
        run.arg(self.data()).ok();
    }

    /// All of it that counts, as text.
    #[track_caller]
    fn seen(&self) -> String {
        let script = r#"cd "$1"; find . -printf '%p %y %m %U:%G %n %s %T@ %l\n' | sort
            find . -type f -print0 | sort -z | xargs -0 sha256sum; getfattr --recursive --dump --match=- ."#;
        let run = self.machine.exec(&["sh", "-euc", script, "sh"]);
        run.arg(self.data()).text()
    }

    /// How many whole points there are.
    #[track_caller]
    pub fn points(&self) -> usize {
        let list = ["kopi-docka", "--quiet", "--json", "list", "--snapshots"];
        let points = self.machine.exec(&list).json();
        let points = points["points"].as_array().unwrap();
        points
            .iter()
            .filter(|point| point["state"] == "whole")
            .count()
    }

    /// A backup as the timer starts it, which must succeed; then the data is lost and comes back.
    #[track_caller]
    pub fn prove_a_backup(&self) {
        self.fill();
        let before = self.seen();
        let start = self.machine.systemctl(&["start", BACKUP]).run();
        if start.code != Some(0) {
            let log = self.machine.messages(&["--unit", BACKUP]);
            panic!("{start}\n{}", log.join("\n"));
        }
        assert!(self.machine.is_running(&self.app));
        let destroy = self.machine.exec(&["sh", "-euc", r#"rm -r "$1"/a"#, "sh"]);
        destroy.arg(self.data()).ok();
        let restore = ["kopi-docka", "--quiet", "restore", "--unit", &self.app];
        let restore = self.machine.exec(&restore);
        restore
            .args(["--backup-id", "latest", "--yes"])
            .stdout_any()
            .ok();
        assert_eq!(self.seen(), before);
    }

    /// What the journal can be asked about the last run; `result` and `exit_code` are those of its last record.
    #[track_caller]
    fn ask_journal(&self, result: &str, exit_code: &str) -> Vec<Value> {
        let of_unit = format!("UNIT={}", self.app);
        let of_unit = self.machine.journal(&[&of_unit, "OPERATION=backup"]);
        let id = of_unit.last().unwrap()["BACKUP_ID"].as_str().unwrap();
        let of_run = self.machine.journal(&[&format!("BACKUP_ID={id}")]);
        let last = of_run.last().unwrap();
        assert_eq!(last["RESULT"], result, "{last:#}");
        assert_eq!(last["EXIT_CODE"], exit_code, "{last:#}");
        let of_volume = format!("VOLUME={}_data", self.world.id());
        assert!(!self.machine.journal(&[&of_volume]).is_empty());
        of_run
    }

    /// A compose project of a user, which runs.
    #[track_caller]
    fn open_shop(&self) {
        let make = self.machine.exec(&["sh", "-euc", MAKE_SHOP, "sh", SHOP]);
        make.ok();
        let files = format!("{SHOP}/compose.yaml,{SHOP}/compose.override.yaml");
        let labels = [
            ("project", "shop"),
            ("service", "web"),
            ("container-number", "1"),
            ("oneoff", "False"),
            ("project.working_dir", SHOP),
            ("project.config_files", &files),
        ];
        let mut run = self.machine.engine.docker(&[
            "run",
            "--detach",
            "--name",
            "shop-web-1",
            "--user",
            "1000",
            "--restart",
            "always",
            "--network",
            "none",
            "--volume",
            "shop_data:/data",
        ]);
        for (label, value) in labels {
            run = run.args(["--label", &format!("com.docker.compose.{label}={value}")]);
        }
        run.args([
            IMAGE,
            "sh",
            "-c",
            "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        ])
        .text();
    }

    /// A container with data of users on a disk of its own, so that a restore cannot exchange the directory.
    #[track_caller]
    fn open_gallery(&self) {
        let script = r"mkdir -p /srv/disk /var/lib/docker/disk; mount --bind /var/lib/docker/disk /srv/disk; cd /srv/disk
            mkdir -p album/private; echo photo >album/photo; echo secret >album/private/x; chmod 4751 album/photo
            chown -R 1000:1001 album; chmod 2770 album/private; setfattr -n user.mine -v 1 album/private/x; chown 1000:1001 .; chmod 2775 .";
        self.machine.sh(script).ok();
        let run = self
            .machine
            .engine
            .docker(&["run", "--detach", "--name", "gallery"]);
        run.args(["--network", "none", "--volume", "/srv/disk:/photos", IMAGE])
            .text();
    }

    #[track_caller]
    fn see_gallery(&self) -> String {
        let script = r"cd /srv/disk; stat --format '%a %u:%g' .; find album -printf '%p %y %m %U:%G %n %s %T@ %l\n' | sort
            getfattr --recursive --dump --match=- album";
        self.machine.sh(script).text()
    }

    /// Its data is lost, and the restore of it ends in the middle of its exchange.
    #[track_caller]
    fn interrupt_a_restore_of_gallery(&self) {
        let script = r"rm -r /srv/disk/album/private; echo changed >/srv/disk/album/photo
            KOPI_DOCKA_FAULT=kill@restore_move_1 kopi-docka --quiet restore --unit gallery --backup-id latest --yes";
        self.machine.sh(script).stdout_any().stderr_any().code(137);
        assert!(!self.machine.is_running("gallery"));
        let left = "ls /var/lib/kopi-docka/restoring/*.json /var/lib/kopi-docka/stopped/*.json";
        self.machine.sh(left).stdout_any().ok();
    }

    #[track_caller]
    fn see_shop(&self) -> String {
        let see = self.machine.exec(&["sh", "-euc", SEE_SHOP, "sh", SHOP]);
        see.text()
    }

    /// Everything of the project is lost and comes back out of the newest point.
    #[track_caller]
    fn prove_the_shop_is_saved(&self, before: &str) {
        self.machine.exec(&["rm", "-r", SHOP]).ok();
        let restore = ["kopi-docka", "--quiet", "restore", "--unit", "shop"];
        let restore = self.machine.exec(&restore);
        restore
            .args(["--backup-id", "latest", "--yes"])
            .stdout_any()
            .stderr_any()
            .ok();
        assert_eq!(self.see_shop(), before);
    }

    /// Starts the daemon, for which a run is due, and returns when that has saved both units. It goes on running.
    #[track_caller]
    fn let_the_daemon_back_up(&self) {
        let interval = "daemon --interval-minutes 1440";
        let text = format!("[Service]\nExecStart=\nExecStart=/usr/bin/kopi-docka {interval}\n");
        self.drop_in(DAEMON, &text);
        // A run that it knows of is not long ago.
        self.machine
            .sh("rm -f /backup/kopi-docka/metadata/*.json")
            .ok();
        let wanted = self.points() + 2;
        self.machine.systemctl(&["start", DAEMON]).ok();
        self.until_points(DAEMON, wanted);
    }

    /// Waits until `unit` has made points, and shows what it says if it does not.
    #[track_caller]
    pub fn until_points(&self, unit: &str, wanted: usize) {
        let made = within(2 * PATIENCE, || (self.points() >= wanted).then_some(()));
        assert!(
            made.is_some(),
            "{wanted} points were not made:\n{}\n{}",
            self.machine
                .exec(&["kopi-docka", "--quiet", "list", "--snapshots"])
                .text(),
            self.machine.messages(&["--unit", unit]).join("\n")
        );
    }

    #[track_caller]
    fn last_report_of(&self, unit: &str) -> Value {
        let newest = "cat $(ls -t /backup/kopi-docka/metadata/*.json | head -n 1)";
        let report: Value = serde_json::from_str(&self.machine.sh(newest).text()).unwrap();
        let mut units = report["units"].as_array().unwrap().iter();
        units.find(|one| one["unit"] == unit).unwrap().clone()
    }

    /// What the last run says of a unit, but for what is of one moment.
    #[track_caller]
    fn told(&self, unit: &str) -> Value {
        let unit = self.last_report_of(unit);
        json!([
            unit["warnings"],
            unit["gaps"],
            unit["outcome"],
            unit["grade"],
            unit["errors"]
        ])
    }

    /// What the last run says of the volume of the container.
    fn told_of_volume(&self) -> Value {
        self.told_of_source(&self.app)
    }

    /// What it says of the only source of `unit`.
    #[track_caller]
    fn told_of_source(&self, unit: &str) -> Value {
        let unit = self.last_report_of(unit);
        unit["sources"][0].clone()
    }

    /// What the last run says of the project, and its recipe, but for what is of one moment.
    #[track_caller]
    fn told_of_shop(&self) -> (Value, String) {
        let told = self.told("shop");
        let script = r#"rm -rf /root/recipe; kopi-docka --quiet restore --unit shop --backup-id latest --recipe --target /root/recipe --yes >/dev/null
            cd /root/recipe/recipes/shop; find . -printf '%p %y %m %U:%G
' | sort
            find . -type f ! -name recipe.json ! -name documents.json ! -path './docker/containers/*' -print0 | sort -z | xargs -0 sha256sum"#;
        let files = self.machine.sh(script).stderr_any().text();
        let record = self.machine.sh("cat /root/recipe/recipes/shop/recipe.json");
        let mut record: Value = serde_json::from_str(&record.text()).unwrap();
        for key in ["backup_id", "started_at", "downtime_seconds"] {
            record.as_object_mut().unwrap().remove(key).unwrap();
        }
        for source in record["sources"].as_array_mut().unwrap() {
            assert!(source["file_system"]["id"].is_string(), "{source:#}");
            source.as_object_mut().unwrap().remove("parts").unwrap();
        }
        (
            told,
            format!(
                "{record:#}
{files}"
            ),
        )
    }

    /// Another repository, as for a new host, and the units that go with it.
    #[track_caller]
    pub fn move_to(&self, params: &str) {
        let machine = &self.machine;
        machine
            .sh("rm -r /root/.config/kopia /var/lib/kopi-docka")
            .ok();
        machine.configure(|config| config["kopia"]["kopia_params"] = json!(params));
        self.write_units();
    }

    #[track_caller]
    fn make_sftp_server(&self) {
        let script = r"mkdir -p -m 700 /etc/kopi-docka.ssh /srv/backups; cd /etc/kopi-docka.ssh
            ssh-keygen -q -t ed25519 -N '' -f id; ssh-keygen -A >/dev/null; mkdir -p /run/sshd -m 755 /root/.ssh
            cp id.pub /root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys
            for key in /etc/ssh/ssh_host_*.pub; do echo [127.0.0.1]:2222 $(cut -d' ' -f1,2 $key); done >known_hosts";
        self.machine.sh(script).ok();
    }

    #[track_caller]
    fn start_sftp_server(&self) {
        let script = r"systemd-run --quiet --unit=sftp /usr/sbin/sshd -D -p 2222 -o ListenAddress=127.0.0.1 -o PermitRootLogin=prohibit-password
            until ssh-keyscan -p 2222 127.0.0.1 2>/dev/null | grep -q .; do :; done";
        self.machine.sh(script).ok();
    }

    /// The repository is on a server that is down, and a backup ends without having stopped anything.
    #[track_caller]
    fn miss_the_server(&self, retry: &Value) {
        let machine = &self.machine;
        self.start_sftp_server();
        machine
            .sh("rm -rf /root/.config/kopia /var/lib/kopi-docka")
            .ok();
        machine.configure(|config| {
            config["kopia"]["kopia_params"] = json!(SFTP);
            config["backup"]["retry_when_reachable"] = retry.clone();
        });
        self.write_units();
        self.fill();
        machine.systemctl(&["stop", "sftp"]).ok();
        self.miss_a_backup();
    }

    /// A backup as the timer starts it, which does not reach the repository: nothing is stopped.
    #[track_caller]
    pub fn miss_a_backup(&self) {
        let before = self.started();
        let start = self.machine.systemctl(&["start", BACKUP]);
        start.stderr_any().code(1);
        assert_eq!(self.machine.property(BACKUP, "ExecMainStatus"), "17");
        assert_eq!(self.started(), before);
    }

    /// When the container was started last.
    #[track_caller]
    pub fn started(&self) -> String {
        let format = ["inspect", "--format", "{{.State.StartedAt}}", &self.app];
        self.machine.engine.docker(&format).text()
    }

    #[track_caller]
    pub fn shorten_the_retry(&self) {
        let often =
            "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=1ms\n";
        self.drop_in(RETRY_TIMER, often);
        self.machine.systemctl(&["restart", RETRY_TIMER]).ok();
    }

    pub fn is_pending(&self) -> bool {
        let file = "test -s /var/lib/kopi-docka/retry/kopi-docka.json";
        self.machine.sh(file).run().code == Some(0)
    }

    #[track_caller]
    fn hang_tar(&self) {
        self.machine.write("/usr/local/bin/tar", "755", HUNG_TAR);
    }

    /// Starts the one-shot and returns when tar stands still while the container is stopped.
    #[track_caller]
    fn start_and_hang(&self) {
        let start = ["reset-failed", BACKUP];
        self.machine.systemctl(&start).run();
        let start = ["start", "--no-block", BACKUP];
        self.machine.systemctl(&start).ok();
        until("tar to stand still", PATIENCE, || {
            let run = self
                .machine
                .exec(&["pgrep", "--runstates", "T", "-x", "tar"]);
            (run.run().code == Some(0)).then_some(())
        });
        assert!(!self.machine.is_running(&self.app));
    }
}

#[test]
fn the_units_are_sound_and_hardened_and_leave_the_operators_settings_alone() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    for unit in UNITS {
        let verify = machine.exec(&["systemd-analyze", "verify", "--man=no", unit]);
        verify.ok();
    }
    for (unit, limit) in [
        (BACKUP, 2.4),
        (DAEMON, 2.4),
        (RECOVER, 1.5),
        (BOOT, 1.7),
        (RETRY, 2.1),
        (DRILL, 2.9),
    ] {
        let analysis = machine.exec(&["systemd-analyze", "security", "--no-pager", unit]);
        let analysis = analysis.text();
        let line = analysis.lines().last().unwrap();
        let (_, rest) = line.split_once(&format!("{unit}: ")).unwrap();
        let exposure: f64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!(exposure <= limit, "{line}");
    }

    let enable = machine.systemctl(&["enable", "--now", TIMER]);
    enable.stderr_any().ok();
    let next = machine.property(TIMER, "NextElapseUSecRealtime");
    assert!(next.contains(" 02:0") || next.contains(" 02:1"), "{next}");
    let all = [TIMER, RECOVER, BOOT, RETRY_TIMER, DRILL_TIMER];
    let enabled = machine.systemctl(&["is-enabled"]).args(all);
    enabled.stdout_is("enabled\n".repeat(5)).ok();

    // Again: nothing changes, and what the operator added stays.
    let mine = "[Timer]\nOnCalendar=\nOnCalendar=Sun 04:00:00\n";
    host.drop_in(TIMER, mine);
    let said = host.write_units();
    assert!(
        said.contains("test.conf") && !said.contains(": changed"),
        "{said}"
    );
    let drop_in = machine.sh("cat /etc/systemd/system/kopi-docka.timer.d/test.conf");
    assert_eq!(drop_in.text(), mine.trim());
    let next = machine.property(TIMER, "NextElapseUSecRealtime");
    assert!(next.starts_with("Sun ") && next.contains(" 04:"), "{next}");

    // Another place to write to is one that the units let it write to.
    machine.configure(|config| {
        config["backup"]["base_path"] = json!("/srv/elsewhere");
    });
    let said = host.write_units();
    assert!(said.contains("+ ReadWritePaths=-/srv/elsewhere"), "{said}");
    machine.systemctl(&["start", BACKUP]).ok();
    machine
        .sh("ls /srv/elsewhere/metadata/*.json")
        .stdout(".json")
        .ok();
}

#[test]
fn a_hardened_run_saves_to_a_folder_what_a_restore_brings_back_and_the_timer_starts_the_next() {
    let host = Host::new(|config| {
        config["backup"]["update_recovery_bundle"] = json!(true);
        config["backup"]["recovery_bundle_path"] = json!("/srv/recovery");
        config["backup"]["recovery_bundle_copy"] = json!("/mnt/stick");
    });
    let machine = &host.machine;
    machine
        .sh("mkdir -p /mnt/stick && mount -t tmpfs none /mnt/stick && kopi-docka --quiet disaster-recovery >/dev/null 2>&1")
        .ok();
    host.prove_a_backup();
    assert_eq!(host.points(), 1);
    let told = host.ask_journal("success", "0");
    for step in ["stop", "read", "start", "store", "commit"] {
        let text = format!("step {step}");
        let is_step = |record: &&Value| record["MESSAGE"].as_str().unwrap().contains(&text);
        assert_eq!(told.iter().filter(is_step).count(), 1, "{step}");
    }
    host.drop_in(
        TIMER,
        "[Timer]\nOnCalendar=\nOnActiveSec=1s\nAccuracySec=1ms\nRandomizedDelaySec=0\nPersistent=no\n",
    );
    machine.systemctl(&["start", TIMER]).ok();
    until("the timer's backup", PATIENCE, || {
        (host.points() == 2).then_some(())
    });
    machine.until_property(BACKUP, "ActiveState", "inactive");
    assert_eq!(machine.property(BACKUP, "Result"), "success");
    assert!(machine.is_running(&host.app));
    // That by hand, and one of each run; the copies too.
    for place in ["/srv/recovery", "/mnt/stick"] {
        let bundles = machine.sh(&format!("ls {place}/*.enc | wc -l")).text();
        assert_eq!(bundles.trim(), "3", "{place}");
    }
    machine
        .sh("kopi-docka disaster-recovery --check $(ls /mnt/stick/*.enc | tail -1)")
        .stdout("is whole")
        .ok();
}

#[test]
fn the_drill_timer_boots_a_copy_under_its_hardening() {
    let host = Host::on(Machine::with_compose(), |config| {
        config["drill"] = json!({"every": "1d", "directory": "/srv/drills"});
    });
    let machine = &host.machine;
    let volume = host.world.volume_path(&format!("{}_data", host.world.id()));
    let give = format!(
        "cd {} && echo x >tool && chown 1234:5678 tool && chmod 4755 tool && setfattr -n user.a -v b tool",
        volume.display()
    );
    machine.sh(&give).ok();
    machine.systemctl(&["start", BACKUP]).ok();
    host.drop_in(
        DRILL_TIMER,
        "[Timer]\nOnCalendar=\nOnActiveSec=1s\nAccuracySec=1ms\nRandomizedDelaySec=0\n",
    );
    machine.systemctl(&["restart", DRILL_TIMER]).ok();
    let known = || {
        let read = machine
            .sh("cat /var/lib/kopi-docka/drills.json 2>/dev/null")
            .stdout_any();
        let text = read.run().stdout();
        serde_json::from_str::<Value>(&text).ok()
    };
    let known = until("the timer's drill", PATIENCE, known);
    let report = &known["drills"][0];
    assert_eq!(report["outcome"], "good", "{report:#}");
    assert_eq!(report["unit"], host.app.as_str());
    machine.until_property(DRILL, "ActiveState", "inactive");
    assert_eq!(machine.property(DRILL, "Result"), "success");
    machine
        .sh("docker ps --all --format '{{.Names}}'")
        .stdout_is(format!("{}\n", host.app))
        .ok();
    machine
        .sh("docker volume ls --quiet | wc -l")
        .stdout_is("1\n")
        .ok();
    machine
        .sh("ls -A /srv/drills /var/lib/kopi-docka/drilling")
        .stdout_is("/srv/drills:\n\n/var/lib/kopi-docka/drilling:\n")
        .ok();
    assert!(machine.is_running(&host.app));
    // It is not due again.
    machine.systemctl(&["start", DRILL]).ok();
    assert_eq!(
        machine
            .sh("ls /backup/kopi-docka/metadata/drill-*.json | wc -l")
            .text(),
        "1"
    );
    machine
        .exec(&["kopi-docka", "check", "--verbose"])
        .stdout("came back in a drill")
        .stderr_any()
        .run();

    // One that is cut off is seen to by the recovery.
    machine.configure(|config| config["drill"]["every"] = json!("1s"));
    let held =
        machine.sh("KOPI_DOCKA_FAULT=kill@drill-started kopi-docka drill --due || test $? = 137");
    held.stdout_any().stderr_any().ok();
    machine
        .sh("test -n \"$(docker ps --quiet --filter label=kopi-docka.drill)\"")
        .ok();
    machine.systemctl(&["start", RECOVER]).ok();
    assert_eq!(machine.property(RECOVER, "Result"), "success");
    machine
        .sh("docker ps --all --quiet --filter label=kopi-docka.drill")
        .stdout_is("")
        .ok();
}

#[test]
fn a_hardened_run_saves_a_stack_over_sftp_and_to_s3() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    host.make_sftp_server();
    host.start_sftp_server();
    host.open_shop();
    let shop = host.see_shop();
    host.move_to(SFTP);
    host.prove_a_backup();
    host.prove_the_shop_is_saved(&shop);
    assert_eq!(host.points(), 2);
    machine.sh("test -s /srv/backups/r/kopia.repository.f").ok();

    Tls::new(&machine.shared("tls"), "IP:127.0.0.1");
    let script = r"mkdir -p /srv/s3/iam /srv/s3/side /srv/s3/root/bucket
        systemd-run --quiet --unit=s3 --working-directory=/srv/s3 /usr/local/bin/versitygw --port 127.0.0.1:7070 \
            --access AKROOT --secret SKROOT-secret-of-s3 --region eu-test-1 --iam-dir /srv/s3/iam --quiet \
            --cert /machine/tls/server.pem --key /machine/tls/server.key posix --sidecar /srv/s3/side /srv/s3/root";
    machine.sh(script).ok();
    let keys = "AWS_ACCESS_KEY_ID=AKROOT\nAWS_SECRET_ACCESS_KEY=SKROOT-secret-of-s3\n";
    machine.write("/etc/kopi-docka.env", "600", keys);
    let listens = "until grep -q ':1B9E 00000000:0000 0A' /proc/net/tcp; do :; done";
    machine.sh(listens).ok();
    host.move_to(
        "s3 --bucket bucket --endpoint 127.0.0.1:7070 --region eu-test-1 --prefix hosts/ \
         --root-ca-pem-path /machine/tls/ca.pem",
    );
    host.prove_a_backup();
    host.prove_the_shop_is_saved(&shop);
    assert_eq!(host.points(), 2);
    machine
        .sh("test -s /srv/s3/root/bucket/hosts/kopia.repository")
        .ok();
}

#[test]
fn a_backup_that_did_not_reach_its_server_is_made_when_that_is_back() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    host.make_sftp_server();
    host.miss_the_server(&json!("6h"));
    assert!(host.is_pending());
    let told = "this backup is made when the repository answers";
    machine.until_journal(&["--unit", BACKUP], told);
    assert_eq!(machine.property(RETRY_TIMER, "ActiveState"), "active");
    let check = machine.exec(&["kopi-docka", "check"]).stderr_any();
    check.stdout("is tried again until ").code(17);

    // While it is down it is asked, and that is all. A system call that is refused would end it.
    host.drop_in(RETRY, "[Service]\nSystemCallErrorNumber=kill\n");
    host.shorten_the_retry();
    until("two looks", PATIENCE, || {
        let first = machine.property(RETRY, "ExecMainExitTimestampMonotonic");
        let next = || machine.property(RETRY, "ExecMainExitTimestampMonotonic") != first;
        (first != "0").then(|| until("the next look", PATIENCE, || next().then_some(())))
    });
    assert_eq!(machine.property(RETRY, "ExecMainStatus"), "0");
    assert!(host.is_pending());
    let nothing = Vec::<String>::new();
    assert_eq!(machine.messages(&["--unit", RETRY]), nothing);

    host.start_sftp_server();
    host.until_points(BACKUP, 1);
    machine.until_property(BACKUP, "ActiveState", "inactive");
    assert_eq!(machine.property(BACKUP, "Result"), "success");
    assert!(machine.is_running(&host.app));
    machine.until_journal(&["--unit", BACKUP], "makes up for that of ");
    assert!(!host.is_pending());
    // Nothing is left to do: it does not even start.
    machine.until_property(RETRY, "ConditionResult", "no");
    assert_eq!(host.points(), 1);
    assert_eq!(machine.messages(&["--unit", RETRY]), nothing);
    let log = machine.sh("cat /var/log/kopi-docka.log").text();
    assert!(log.contains(" retry["), "{log}");
}

#[test]
fn a_backup_that_never_reaches_its_server_is_given_up_and_said() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    host.make_sftp_server();
    host.miss_the_server(&json!("20s"));
    assert!(host.is_pending());
    host.shorten_the_retry();
    let said = "was not made: the repository did not answer until ";
    machine.until_journal(&["--unit", RETRY], said);
    machine
        .sh(&format!("grep -q '{said}' /var/log/kopi-docka.log"))
        .ok();
    assert!(!host.is_pending());
    assert_eq!(machine.property(RETRY, "ExecMainStatus"), "17");
    machine.until_property(RETRY, "ConditionResult", "no");
    assert_eq!(machine.property(RETRY, "ActiveState"), "failed");

    // Switched off, none is ever pending.
    machine.systemctl(&["reset-failed"]).ok();
    host.miss_the_server(&json!(null));
    assert!(!host.is_pending());
}

#[test]
fn stopped_killed_or_hung_in_the_middle_of_a_window_the_container_is_up_again() {
    let host = Host::new(|config| config["backup"]["stall_timeout"] = json!(8));
    let machine = &host.machine;
    host.fill();
    host.hang_tar();

    // A shutdown of the host would wait, as long as the window is open and no longer.
    let inhibitors = ["systemd-inhibit", "--list", "--no-legend", "--no-pager"];
    let delays_shutdown = || {
        let list = machine.exec(&inhibitors).stdout_any().stderr_any().run();
        list.stdout().contains("kopi-docka")
    };
    host.start_and_hang();
    assert!(delays_shutdown());
    machine.systemctl(&["stop", BACKUP]).ok();
    assert!(!delays_shutdown());
    assert!(machine.is_running(&host.app));
    machine.until_property(BACKUP, "ActiveState", "inactive");

    // Nobody is left to start it but what systemd runs after the end.
    host.start_and_hang();
    machine
        .systemctl(&["kill", "--signal", "KILL", BACKUP])
        .ok();
    machine.until_property(BACKUP, "ActiveState", "failed");
    assert!(machine.is_running(&host.app));
    assert_eq!(machine.property(BACKUP, "Result"), "signal");
    let messages = machine.messages(&["--unit", BACKUP]);
    let said = |text: &str| messages.iter().any(|line| line.contains(text));
    assert!(
        said(&format!("Running again: {}", host.app)),
        "{messages:#?}"
    );

    // Nobody does anything: its patience ends.
    host.start_and_hang();
    machine.until_property(BACKUP, "ActiveState", "failed");
    assert!(machine.is_running(&host.app));
    assert_eq!(machine.property(BACKUP, "ExecMainStatus"), "3");
    assert_eq!(host.points(), 0);
    let told = host.ask_journal("partial", "3");
    assert!(told.iter().any(|record| record["PRIORITY"] == "3"));
    let last = machine.journal(&["OPERATION=backup"]).pop().unwrap();
    assert_eq!(last["EXIT_CODE"], "3", "{last:#}");
    let advice = last["MESSAGE"].as_str().unwrap();
    assert!(advice.contains("kopi-docka history --failed"), "{advice}");
    machine
        .sh("! ls /var/lib/kopi-docka/stopped/*.json")
        .stderr_any()
        .ok();

    // Docker is away when the end of the run would start it again, and everybody sleeps.
    assert_eq!(machine.property(RECOVER_TIMER, "ActiveState"), "active");
    host.start_and_hang();
    machine
        .systemctl(&["stop", "docker.socket", "docker.service"])
        .stderr_any()
        .ok();
    machine
        .systemctl(&["kill", "--signal", "KILL", BACKUP])
        .ok();
    machine.until_property(BACKUP, "ActiveState", "failed");
    machine.systemctl(&["start", "docker.service"]).ok();
    assert!(!machine.is_running(&host.app));
    machine
        .sh("ls /var/lib/kopi-docka/stopped/*.json")
        .stdout_any()
        .ok();
    host.drop_in(
        RECOVER_TIMER,
        "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1ms\n",
    );
    machine.systemctl(&["restart", RECOVER_TIMER]).ok();
    machine.until_running(&host.app);
    machine.until_journal(&["--unit", RECOVER], "Running again: ");
    machine.until_property(RECOVER, "ActiveState", "inactive");
    assert_eq!(machine.property(RECOVER, "Result"), "success");
    machine
        .sh("! ls /var/lib/kopi-docka/stopped/*.json")
        .stderr_any()
        .ok();

    // A tar that reads and reads has all the time that it wants: what it moves is seen under the unit too.
    machine.write("/usr/local/bin/tar", "755", SLOW_TAR);
    machine.systemctl(&["start", BACKUP]).ok();
    assert_eq!(host.points(), 1);

    // And when tar is well again, the next run is.
    machine.sh("rm /usr/local/bin/tar").ok();
    machine.systemctl(&["start", BACKUP]).ok();
    assert_eq!(host.points(), 2);
}

#[test]
fn after_a_power_cut_in_the_middle_of_a_window_the_boot_starts_the_container() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    machine.systemctl(&["enable", TIMER]).stderr_any().ok();
    host.fill();
    host.hang_tar();
    host.start_and_hang();
    machine.cut_power();
    machine.until_running(&host.app);
    machine.until_property(RECOVER, "Result", "success");
    machine.until_journal(&["--boot", "--unit", RECOVER], "Running again: ");
    machine
        .sh("! ls /var/lib/kopi-docka/stopped/*.json")
        .stderr_any()
        .ok();

    // Nothing to do the next time: it does not even start. And a backup at boot, as a timer may want it, of what Docker starts then.
    machine.sh("rm /usr/local/bin/tar").ok();
    host.open_shop();
    assert_eq!(host.points(), 0);
    host.drop_in(
        TIMER,
        "[Timer]\nOnCalendar=\nOnBootSec=5s\nRandomizedDelaySec=0\nAccuracySec=1s\n",
    );
    machine.reboot();
    assert_eq!(machine.property(RECOVER, "ConditionResult"), "no");
    host.until_points(BACKUP, 2);
    machine.until_property(BACKUP, "ActiveState", "inactive");
    assert_eq!(machine.property(BACKUP, "Result"), "success");
    assert_eq!(host.told("shop")[2], "saved");
    assert!(machine.is_running("shop-web-1"));
}

#[test]
fn a_daemon_that_stands_still_is_ended_by_the_watchdog_and_starts_again() {
    let host = Host::new(|config| config["backup"]["stall_timeout"] = json!(20));
    let machine = &host.machine;
    host.fill();
    machine
        .systemctl(&["enable", "--now", DAEMON])
        .stderr_any()
        .ok();
    assert_eq!(machine.property(DAEMON, "ActiveState"), "active");
    let status = machine.property(DAEMON, "StatusText");
    assert!(status.starts_with("Idle"), "{status}");
    machine.systemctl(&["reload", DAEMON]).ok();
    machine.until_journal(&["--unit", DAEMON], "configuration was read again");
    machine.systemctl(&["stop", DAEMON]).ok();
    assert_eq!(machine.property(DAEMON, "Result"), "success");

    // A run that no longer moves, in the middle of the window.
    let held = "KOPI_DOCKA_FAULT=hold@read=/run/kopi-docka/held";
    host.drop_in(
        DAEMON,
        &format!(
            "[Service]\nExecStart=\nExecStart=/usr/bin/kopi-docka daemon --interval-minutes 1440\n\
             Environment={held}\nWatchdogSec=10\nRestartSec=1\n"
        ),
    );
    machine.systemctl(&["start", DAEMON]).ok();
    let down = || (!machine.is_running(&host.app)).then_some(());
    until("the window to open", PATIENCE, down);
    machine.until_journal(&["--unit", DAEMON], "Watchdog timeout");
    machine.until_running(&host.app);
    machine.until_property(DAEMON, "NRestarts", "1");
    machine.until_property(DAEMON, "ActiveState", "active");
    assert!(machine.is_running(&host.app));
    machine.systemctl(&["stop", DAEMON]).ok();
    assert!(machine.is_running(&host.app));
}

#[test]
fn a_stack_of_a_user_is_saved_by_the_units_as_it_is_from_a_shell() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    host.open_shop();
    let shop = host.see_shop();
    let backup = ["kopi-docka", "--quiet", "backup", "--unit", "shop"];
    machine.exec(&backup).stdout_any().stderr_any().ok();
    let in_a_shell = host.told_of_shop();

    // The one-shot, as the timer starts it.
    let start = machine.systemctl(&["start", BACKUP]).run();
    let log = machine.messages(&["--unit", BACKUP]);
    assert_eq!(start.code, Some(0), "{start}\n{}", log.join("\n"));
    let under_the_unit = host.told_of_shop();
    assert_eq!(under_the_unit.0, in_a_shell.0);
    assert_eq!(under_the_unit.1, in_a_shell.1);

    // The daemon.
    host.let_the_daemon_back_up();
    machine.systemctl(&["stop", DAEMON]).ok();
    let under_the_daemon = host.told_of_shop();
    assert_eq!(under_the_daemon.0, in_a_shell.0);
    assert_eq!(under_the_daemon.1, in_a_shell.1);
    host.prove_the_shop_is_saved(&shop);

    // A disk that is unmounted under a container: Docker could not start it again as it is.
    let script = r"mkdir -p /srv/disk /var/lib/docker/disk; mount --bind /var/lib/docker/disk /srv/disk; echo x >/srv/disk/photo";
    machine.sh(script).ok();
    let bind = |service: Service| service.bind("/srv/disk", "/photos");
    let gallery = host.world.container("gallery", bind);
    machine.sh("umount /srv/disk").ok();
    let backup = ["kopi-docka", "--quiet", "backup", "--unit", &gallery];
    machine.exec(&backup).stdout_any().stderr_any().code(3);
    let in_a_shell = host.told(&gallery);
    assert!(
        in_a_shell
            .to_string()
            .contains("was a disk mounted or unmounted"),
        "{in_a_shell:#}"
    );
    machine.systemctl(&["start", BACKUP]).stderr_any().code(1);
    assert_eq!(machine.property(BACKUP, "ExecMainStatus"), "3");
    assert_eq!(host.told(&gallery), in_a_shell);
    assert!(machine.is_running(&gallery));
}

#[test]
fn the_units_read_only_what_changed_and_a_clean_shutdown_is_marked() {
    let host = Host::new(|config| config["backup"]["read_pays"] = json!("0s"));
    let machine = &host.machine;
    host.drop_in(BACKUP, "[Service]\nSystemCallErrorNumber=kill\n");
    host.prove_a_backup();
    let first = host.told_of_volume();
    assert_eq!(first["read"], "changed", "{first:#}");
    host.fill();
    let nothing = Vec::<String>::new();
    assert_eq!(machine.trace(BACKUP, "backup").refused(), nothing);
    host.prove_a_backup();
    let third = host.told_of_volume();
    assert_eq!(third["read"], "changed", "{third:#}");
    assert_eq!(third["window_bytes"], 0, "{third:#}");
    // What was brought back is another tree.
    machine.systemctl(&["start", BACKUP]).ok();
    let script = r#"echo more >"$1"/more"#;
    machine
        .exec(&["sh", "-euc", script, "sh"])
        .arg(host.data())
        .ok();
    machine.systemctl(&["start", BACKUP]).ok();
    let last = host.told_of_volume();
    let kept = last["kept_bytes"].as_u64().unwrap();
    assert!(kept >= 3_000_000, "{last:#}");
    assert!(
        last["before_bytes"].as_u64().unwrap() < 1_000_000,
        "{last:#}"
    );

    let starts = || machine.sh("cat /var/lib/kopi-docka/starts").json();
    machine
        .systemctl(&["enable", "--now", CLEAN])
        .stderr_any()
        .ok();
    assert_eq!(starts()["is_shut_down"], false);
    // Stopped by hand: services go on.
    machine.systemctl(&["stop", CLEAN]).ok();
    assert_eq!(starts()["is_shut_down"], false);
    machine.systemctl(&["start", CLEAN]).ok();
    machine.cut_power();
    assert_eq!(starts()["is_shut_down"], false);
    assert_eq!(machine.property(CLEAN, "ActiveState"), "active");
    // With nobody to take note of the next start it can be seen.
    machine.systemctl(&["disable", CLEAN]).stderr_any().ok();
    machine.reboot();
    assert_eq!(starts()["is_shut_down"], true);
}

#[test]
fn the_backup_unit_clones_what_is_large() {
    let world = World::new();
    let disk = mount_xfs(&world, "disk");
    let machine = Machine::with_volume(&disk, "/srv/disk");
    let host = Host::on(machine, |config| {
        config["backup"]["read_pays"] = json!("0s")
    });
    let machine = &host.machine;
    host.drop_in(
        BACKUP,
        "[Service]\nSystemCallErrorNumber=kill\nEnvironment=KOPI_DOCKA_FAULT_WORTH_CLONING_BYTES=1 KOPI_DOCKA_FAULT_ROOM_TO_SPARE_BYTES=1\n",
    );
    machine.sh("mkdir /srv/disk/data").ok();
    let bind = |service: Service| {
        let write = "dd if=/dev/urandom of=/data/large bs=1M count=12 2>/dev/null";
        let script = format!("trap '{write}; exit 0' TERM; {write}; while :; do sleep 0.1; done");
        service.bind("/srv/disk/data", "/data").sh(&script)
    };
    let db = host.world.container("db", bind);
    machine.systemctl(&["start", BACKUP]).ok();
    machine.systemctl(&["start", BACKUP]).ok();
    let source = host.told_of_source(&db);
    assert!(
        source["after_bytes"].as_u64().unwrap() > 12 << 20,
        "{source:#}"
    );
    assert!(machine.is_running(&db));
}

#[test]
fn hooks_work_outside_of_the_sandbox_and_are_done_after_a_kill() {
    let host = Host::new(|config| {
        let hook = |when: &str, word: &str| {
            let script = format!(
                "echo {word} $KOPI_DOCKA_HOOK >>/srv/hooks; id -u >>/srv/hooks; date '+%%'"
            );
            json!({"when": when, "run": ["/bin/sh", "-c", script]})
        };
        config["hooks"] = json!([
            hook("before_stop", "a"),
            hook("after_start", "b"),
            hook("after_run", "c")
        ]);
    });
    let machine = &host.machine;
    host.fill();
    machine.systemctl(&["start", BACKUP]).ok();
    let noted = || machine.sh("cat /srv/hooks; rm -f /srv/hooks").text();
    assert_eq!(
        noted(),
        "a before_stop\n0\nb after_start\n0\nc after_run\n0"
    );
    // `ExecStopPost=` does what follows.
    host.drop_in(
        BACKUP,
        "[Service]\nEnvironment=KOPI_DOCKA_FAULT=kill@read\n",
    );
    machine.systemctl(&["start", BACKUP]).stderr_any().code(1);
    machine.until_running(&host.app);
    assert_eq!(
        noted(),
        "a before_stop\n0\nb after_start\n0\nc after_run\n0"
    );
    assert_eq!(machine.sh("ls /var/lib/kopi-docka/hooks").text(), "");
}

#[test]
fn no_unit_makes_a_system_call_that_its_filter_refuses() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    host.open_shop();
    host.fill();
    // What is refused ends the program, or the child that made the call, instead of being an error that may be swallowed.
    for unit in [BACKUP, DAEMON, RECOVER] {
        let strict = "[Service]\nSystemCallErrorNumber=kill\n";
        let file = format!("/etc/systemd/system/{unit}.d/strict.conf");
        machine.write(&file, "644", strict);
    }
    machine.systemctl(&["daemon-reload"]).ok();
    // The filter is at work.
    let chown = "--property=SystemCallFilter=~@chown --property=SystemCallErrorNumber=kill";
    let refused = format!("! systemd-run --quiet --wait --collect {chown} chown 1 /srv");
    machine.sh(&refused).stderr_any().ok();

    let start = machine.systemctl(&["start", BACKUP]).run();
    let log = machine.messages(&["--unit", BACKUP]);
    assert_eq!(start.code, Some(0), "{start}\n{}", log.join("\n"));
    host.let_the_daemon_back_up();
    machine.systemctl(&["reload", DAEMON]).ok();
    machine.systemctl(&["stop", DAEMON]).ok();
    assert_eq!(machine.property(DAEMON, "Result"), "success");

    // What stores the data yields to what reads it, under the unit as well.
    host.hang_tar();
    host.start_and_hang();
    let script = r#"for stat in /proc/[0-9]*/stat; do
            tr '\0' ' ' <"${stat%stat}cmdline" | sed "s|^|$(sed 's/.*) //' "$stat" | cut -d' ' -f17) |"; echo
        done 2>/dev/null | grep -E ' (kopia|[^ ]*/kopia|tar|[^ ]*/tar) '"#;
    let niceness = machine.sh(script).text();
    let of = |word: &str| -> Vec<&str> {
        let lines = niceness.lines().filter(|line| line.contains(word));
        lines.filter_map(|line| line.split(' ').next()).collect()
    };
    assert!(!of("--stdin-file").is_empty(), "{niceness}");
    assert!(
        of("--stdin-file").iter().all(|nice| *nice == "10"),
        "{niceness}"
    );
    assert!(of("--create").iter().all(|nice| *nice == "0"), "{niceness}");

    // `recover`, after the end of the backup and at boot.
    machine
        .systemctl(&["kill", "--signal", "KILL", BACKUP])
        .ok();
    machine.until_property(BACKUP, "ActiveState", "failed");
    assert!(machine.is_running(&host.app));
    assert_eq!(machine.property(BACKUP, "Result"), "signal");
    machine.systemctl(&["enable", TIMER]).stderr_any().ok();
    host.start_and_hang();
    machine.cut_power();
    machine.until_running(&host.app);
    machine.until_property(RECOVER, "Result", "success");
    machine.until_journal(&["--boot", "--unit", RECOVER], "Running again: ");

    // What a missing capability refuses may be an error to nobody but who looks on.
    machine.sh("rm /usr/local/bin/tar").ok();
    host.open_gallery();
    let seen = host.see_gallery();
    // Strace sees it.
    let no_files_of_others = "CapabilityBoundingSet=~CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE";
    host.drop_in(BACKUP, &format!("[Service]\n{no_files_of_others}\n"));
    let refused = machine.trace(BACKUP, "dry-run").refused();
    let is_of_gallery = |call: &String| call.contains("album/private") && call.contains("EACCES");
    assert!(refused.iter().any(is_of_gallery), "{refused:#?}");
    machine
        .sh("rm /etc/systemd/system/kopi-docka-backup.service.d/test.conf")
        .ok();
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["reset-failed", BACKUP]).ok();
    let nothing = Vec::<String>::new();
    assert_eq!(machine.trace(BACKUP, "backup").refused(), nothing);
    assert_eq!(machine.property(BACKUP, "Result"), "success");
    // Nothing tells the daemon of a run that is not long ago.
    let forget = "rm -f /backup/kopi-docka/metadata/*.json /var/lib/kopi-docka/daemon.json /run/kopi-docka/daemon.json";
    machine.sh(forget).ok();
    let wanted = host.points() + 3;
    let daemon = machine.trace(DAEMON, "daemon --interval-minutes 1440");
    host.until_points(DAEMON, wanted);
    machine.systemctl(&["stop", DAEMON]).ok();
    assert_eq!(daemon.refused(), nothing);
    assert_eq!(machine.property(DAEMON, "Result"), "success");
    host.interrupt_a_restore_of_gallery();
    assert_eq!(machine.trace(RECOVER, "recover").refused(), nothing);
    machine.until_property(RECOVER, "ActiveState", "inactive");
    assert_eq!(machine.property(RECOVER, "Result"), "success");
    assert!(machine.is_running("gallery"));
    assert_eq!(host.see_gallery(), seen);

    for unit in [BACKUP, DAEMON, RECOVER] {
        for line in machine.messages(&["--unit", unit]) {
            let is_refused = [
                "Operation not permitted",
                "EPERM",
                "SIGSYS",
                "status=31",
                "code=dumped",
            ]
            .iter()
            .any(|word| line.contains(word));
            assert!(!is_refused, "{unit}: {line}");
        }
    }
}

#[test]
fn after_a_power_cut_in_the_middle_of_a_restore_no_container_starts_on_half_of_it() {
    let host = Host::new(|_| {});
    let machine = &host.machine;
    machine.systemctl(&["enable", TIMER]).stderr_any().ok();
    // Docker starts it by itself at boot, and it says what it sees then.
    let says = "echo saw $(cat /a/x /b/x); trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let run = machine
        .engine
        .docker(&["run", "--detach", "--name", "pair"]);
    run.args(["--restart", "always", "--network", "none"])
        .args(["--volume", "pair_a:/a", "--volume", "pair_b:/b", IMAGE])
        .args(["sh", "-c", says])
        .text();
    let write = |script: &str| {
        let run = machine
            .engine
            .docker(&["exec", "pair", "sh", "-ec", script]);
        run.ok();
    };
    let said = || {
        let run = machine.engine.docker(&["logs", "pair"]).stderr_any();
        let text = run.text();
        text.lines().last().unwrap_or_default().to_owned()
    };
    let kill_restore = || {
        let fault = "KOPI_DOCKA_FAULT=kill@restore_swap_2";
        let restore = ["env", fault, "kopi-docka", "--quiet", "restore", "--yes"];
        let run = machine.exec(&restore).args(["--unit", "pair"]);
        let run = run.args(["--backup-id", "latest"]).stdout_any();
        assert_eq!(run.stderr_any().run().code, Some(137));
    };
    write("echo saved >/a/x; echo saved >/b/x");
    let backup = ["kopi-docka", "--quiet", "backup", "--unit", "pair"];
    machine.exec(&backup).stdout_any().stderr_any().ok();
    write("echo changed >/a/x; echo changed >/b/x");

    kill_restore();
    machine.cut_power();
    machine.until_running("pair");
    machine.until_journal(&["--boot", "--unit", BOOT], "Finished: ");
    assert_eq!(machine.property(BOOT, "Result"), "success");
    machine.until_property(RECOVER, "Result", "success");
    until("it to have started", PATIENCE, || {
        (said() == "saw saved saved").then_some(())
    });

    // Before the power went somebody had started it on what was half done.
    write("echo changed >/a/x; echo changed >/b/x");
    kill_restore();
    machine.engine.docker(&["start", "pair"]).text();
    write("echo since >/a/since; echo since >/b/since");
    machine.cut_power();
    machine.until_running("pair");
    machine.until_journal(&["--boot", "--unit", BOOT], "is taken back");
    until("it to have started again", PATIENCE, || {
        (said() == "saw changed changed").then_some(())
    });
    machine.until_property(RECOVER, "Result", "success");
    machine
        .sh("cat /var/lib/docker/volumes/pair_*/*/since; ls /var/lib/docker/volumes/pair_*/")
        .stdout("since\nsince\n")
        .stdout(".kopi-docka-since-")
        .ok();
    machine
        .sh("! ls /var/lib/kopi-docka/restoring/*.json /var/lib/kopi-docka/stopped/*.json")
        .stderr_any()
        .ok();
}

// ---- messages ----

#[test]
fn who_is_told_hears_of_a_backup_of_the_timer_of_one_that_was_killed_and_of_none() {
    let host = Host::new(|config| {
        let url = |path: &str| format!("http://localhost:{}{path}", MachineInbox::PORT);
        config["notify"] = json!([
            {"type": "healthchecks", "url_file": "/etc/kopi-docka.healthchecks"},
            {"type": "webhook", "url": url("/hook")},
        ]);
    });
    let machine = &host.machine;
    let inbox = MachineInbox::start(machine);
    let check = format!("http://localhost:{}/ping\n", MachineInbox::PORT);
    machine.write("/etc/kopi-docka.healthchecks", "600", &check);
    host.fill();
    // Nobody was told anything yet: it does not even start.
    machine.systemctl(&["start", NOTIFY]).ok();
    assert_eq!(machine.property(NOTIFY, "ConditionResult"), "no");

    // As the timer starts it, with all of the hardening. A system call that is refused would end it.
    for unit in [BACKUP, NOTIFY] {
        host.drop_in(unit, "[Service]\nSystemCallErrorNumber=kill\n");
    }
    let now = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1ms\n";
    host.drop_in(TIMER, now);
    machine.systemctl(&["start", TIMER]).ok();
    inbox.until_path("/ping/0?rid=");
    machine.systemctl(&["stop", TIMER]).ok();
    machine.until_property(BACKUP, "ActiveState", "inactive");
    inbox.until_path("/ping/start?rid=");
    assert!(inbox.got().iter().all(|got| got.path != "/hook"));

    // Killed with nobody left that could say it: the recover timer has it said, by a unit that reaches the network.
    host.drop_in(BACKUP, "[Service]\nExecStopPost=\n");
    let often = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=1ms\n";
    host.drop_in(RECOVER_TIMER, often);
    machine.systemctl(&["stop", RECOVER_TIMER]).ok();
    host.hang_tar();
    host.start_and_hang();
    machine
        .systemctl(&["kill", "--signal", "KILL", BACKUP])
        .ok();
    machine.until_property(BACKUP, "ActiveState", "failed");
    machine.systemctl(&["start", RECOVER_TIMER]).ok();
    inbox.until_path("/ping/fail?rid=");
    machine.until_running(&host.app);
    let hook = inbox.until_path("/hook").json();
    assert_eq!(hook["problems"][0]["what"], "killed");

    // And that none comes.
    host.drop_in(
        NOTIFY,
        "[Service]\nEnvironment=KOPI_DOCKA_FAULT_INTERVAL_SECONDS=1\n",
    );
    until("it to be late", PATIENCE, || {
        let hooks = inbox.got().into_iter().filter(|got| got.path == "/hook");
        hooks
            .map(|got| got.json()["problems"][0]["what"].clone())
            .any(|what| what == "no_run")
            .then_some(())
    });
    machine.systemctl(&["stop", RECOVER_TIMER]).ok();
    machine.until_property(NOTIFY, "ActiveState", "inactive");
    assert_eq!(machine.property(NOTIFY, "Result"), "success");
    let of_one = |what: &str| {
        let mut hooks = inbox.got().into_iter().filter(|got| got.path == "/hook");
        hooks.any(|got| got.json()["problems"][0]["what"] == what)
    };
    assert!(of_one("killed") && of_one("no_run"));
    let hooks = inbox.got().iter().filter(|got| got.path == "/hook").count();
    assert_eq!(hooks, 2, "{:#?}", inbox.got());
}
