//! `make bench`: each figure is a ratio of medians against the same work done with bare tools, alternating, in one run.
//!
//! `cargo bench -- NAME…` runs the named ones: `backup`, `window`, `busy`, `units`, `discovery`, `list`, `restore`,
//! `bundle`, `changed`, `clones`, `streams`, `million`. All but the last four read everything. `adversary` takes hours, and is only done when it is
//! named: it shows that no restore point is wrong.
//! With `KOPI_DOCKA_BENCH_OTHER=BINARY` another build of the program takes the place of the bare tools in `units`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures, it does not serve"
)]

#[path = "../it/common/mod.rs"]
mod common;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Bed, World};
use serde_json::Value;

const ROUNDS: usize = 5;
const VOLUME_BYTES: usize = 1 << 30;
const CONTAINERS: usize = 50;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    for (name, bench) in [
        ("backup", backup as fn()),
        ("window", window),
        ("busy", busy),
        ("units", units),
        ("discovery", discovery),
        ("list", list),
        ("restore", restore),
        ("bundle", bundle),
        ("changed", changed),
        ("clones", clones),
        ("streams", streams),
        ("million", million),
        ("adversary", adversary),
    ] {
        if (wanted.is_empty() && name != "adversary") || wanted.iter().any(|wanted| wanted == name)
        {
            bench();
        }
    }
}

/// A world with a repository and a container on a volume of 1 GiB that cannot be compressed.
fn with_volume() -> (World, String, PathBuf) {
    let world = World::new();
    let container = world.container("app", |service| service.volume("data", "/data"));
    let path = world.volume_path(&format!("{}_data", world.id()));
    fill(&path);
    world.config(|config| config["backup"]["read"] = "everything".into());
    world.init();
    world
        .kd(&["backup", "--unit", &container])
        .stdout_any()
        .stderr_any()
        .ok();
    (world, container, path)
}

fn fill(folder: &Path) {
    let mut random = File::open("/dev/urandom").unwrap();
    for number in 0..64 {
        let mut file = File::create(folder.join(format!("file{number}"))).unwrap();
        std::io::copy(
            &mut std::io::Read::take(&mut random, (VOLUME_BYTES / 64) as u64),
            &mut file,
        )
        .unwrap();
    }
}

fn backup() {
    let (world, container, path) = with_volume();
    world.docker(&["stop", &container]).stdout_any().ok();
    let mut memory = 0;
    let (ours, bare) = alternate(
        || {
            let since = Instant::now();
            memory = memory.max(backup_peak_kib(&world, &container));
            since.elapsed()
        },
        || {
            time(&format!(
                "tar -cf - -C '{}' . | {}",
                path.display(),
                kopia_stdin(&world)
            ))
        },
    );
    verdict("backup of 1 GiB / tar | kopia", ours, bare, 1.05);
    println!(
        "{:52} {:.1} MB (wanted at most 25)",
        "peak memory of our own process",
        memory as f64 / 1000.0
    );
}

fn window() {
    windows("", 1.10);
}

/// While others keep both cores busy.
fn busy() {
    let busy = Busy::start();
    windows(", both cores busy", 1.25);
    drop(busy);
}

fn windows(how: &str, wanted: f64) {
    let (world, container, path) = with_volume();
    let docker = docker(&world);
    let tar = format!("tar -cf - -C '{}' .", path.display());
    let stop = format!("{docker} stop {container} >/dev/null");
    let start = format!("{docker} start {container} >/dev/null");
    let ours = || {
        world
            .kd(&["backup", "--unit", &container])
            .stdout_any()
            .stderr_any()
            .ok();
        Duration::from_secs_f64(
            world.report()["units"][0]["downtime_seconds"]
                .as_f64()
                .unwrap(),
        )
    };
    // GNU tar does not read at all when it writes to /dev/null itself.
    let (first, bare) = alternate(ours, || {
        time(&format!("{stop}; {tar} | cat >/dev/null; {start}"))
    });
    verdict(
        &format!("window / stop + tar | cat + start{how}"),
        first,
        bare,
        wanted,
    );
    let (second, bare) = alternate(ours, || {
        time(&format!("{stop}; {tar} | {}; {start}", kopia_stdin(&world)))
    });
    verdict(
        &format!("window / stop + tar | kopia + start{how}"),
        second,
        bare,
        0.4,
    );
}

/// Two processes that never wait; ended when dropped.
struct Busy(Vec<std::process::Child>);

impl Busy {
    fn start() -> Self {
        let spin = || {
            Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .spawn()
                .unwrap()
        };
        Self(vec![spin(), spin()])
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A whole run over 20 stacks of one small volume each, against the same done one after the other with bare tools, or by another build.
fn units() {
    let world = World::new();
    world.init();
    let stacks: Vec<_> = (0..20)
        .map(|number| {
            let stack = world.stack(&format!("s{number}"));
            let stack = stack.service("db", |s| s.volume("data", "/data")).up();
            for file in 0..20 {
                let path = stack.volume_path("data").join(format!("file{file}"));
                std::fs::write(path, random(50_000)).unwrap();
            }
            stack
        })
        .collect();
    let args: Vec<&str> = std::iter::once("backup")
        .chain(stacks.iter().flat_map(|stack| ["--unit", stack.unit()]))
        .collect();
    let run = |program: Option<&str>| {
        let mut run = world.kd(&args).stdout_any().stderr_any();
        if let Some(program) = program {
            run = run.program(program);
        }
        let since = Instant::now();
        run.ok();
        since.elapsed()
    };
    let docker = docker(&world);
    let other = std::env::var("KOPI_DOCKA_BENCH_OTHER").ok();
    let what = if other.is_some() {
        "20 small stacks / the other build"
    } else {
        "20 small stacks / stop + tar | kopia + start of each"
    };
    let (ours, theirs) = alternate(
        || run(None),
        || {
            match &other {
            Some(program) => run(Some(program)),
            None => time(
                &stacks
                    .iter()
                    .map(|stack| {
                        let container = stack.container("db");
                        let path = stack.volume_path("data");
                        format!(
                            "{docker} stop {container} >/dev/null; tar -cf - -C '{}' . | {}; {docker} start {container} >/dev/null",
                            path.display(),
                            kopia_stdin(&world)
                        )
                    })
                    .collect::<Vec<_>>()
                    .join("; "),
            ),
        }
        },
    );
    // Two starts of kopia for each; the bare tools need one, and record nothing.
    verdict(what, ours, theirs, if other.is_some() { 0.6 } else { 2.0 });
}

fn random(bytes: u64) -> Vec<u8> {
    use std::io::Read as _;
    let mut content = Vec::new();
    let random = File::open("/dev/urandom").unwrap();
    random.take(bytes).read_to_end(&mut content).unwrap();
    content
}

/// What a run over 200 stacks of one container each spends in looking, beyond one look at the host.
fn discovery() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    world.init();
    let stacks: Vec<_> = (0..200)
        .map(|number| {
            let stack = world.stack(&format!("s{number}"));
            stack.service("app", |s| s.volume("data", "/data")).up()
        })
        .collect();
    let looked = |args: &[&str]| {
        world.kd(args).stdout_any().stderr_any().ok();
        Duration::from_secs_f64(world.report()["discovery_seconds"].as_f64().unwrap())
    };
    let of_one = ["backup", "--unit", stacks[0].unit()];
    let one = median((0..ROUNDS).map(|_| looked(&of_one)).collect());
    let all = looked(&["backup"]);
    verdict(
        "discovery of a run over 200 stacks / over one",
        all,
        one,
        2.0,
    );
}

fn list() {
    let world = World::new();
    let names: Vec<String> = (0..CONTAINERS)
        .map(|number| {
            world.container(&format!("c{number}"), |service| {
                service.volume("data", "/data")
            })
        })
        .collect();
    world.init();
    let docker = docker(&world);
    let (ours, bare) = alternate(
        || {
            let since = Instant::now();
            world
                .kd(&["list", "--units"])
                .stdout_any()
                .stderr_any()
                .ok();
            since.elapsed()
        },
        || time(&format!("{docker} inspect {} >/dev/null", names.join(" "))),
    );
    verdict("list --units of 50 / docker inspect", ours, bare, 1.5);
}

fn restore() {
    let (world, container, path) = with_volume();
    let docker = docker(&world);
    let points = world.points();
    let recipe = points["points"][0]["recipe"].as_str().unwrap().to_owned();
    let record = world
        .kopia(&["show", &format!("{recipe}/recipe.json")])
        .json();
    let root = record["sources"][0]["parts"][0]["root"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = path.parent().unwrap().join("bare");
    let mut windows = Vec::new();
    let (ours, bare) = alternate(
        || {
            let since = Instant::now();
            let done = world
                .kd(&[
                    "--json",
                    "restore",
                    "--unit",
                    &container,
                    "--backup-id",
                    "latest",
                    "--yes",
                ])
                .stdout_any()
                .stderr_any()
                .ok();
            let took = since.elapsed();
            let last = done.json_lines().pop().unwrap();
            let downtime = last["report"]["downtime_seconds"].as_f64().unwrap();
            windows.push(Duration::from_secs_f64(downtime));
            remove_safety_copies(&path);
            took
        },
        || {
            let show = format!("{} show {root}/data", kopia(&world));
            let took = time(&format!(
                "mkdir '{0}'; {show} | tar -xpf - -C '{0}'; sync --file-system '{0}'",
                target.display()
            ));
            std::fs::remove_dir_all(&target).unwrap();
            took
        },
    );
    verdict(
        "restore of 1 GiB / kopia show | tar -x; sync",
        ours,
        bare,
        1.05,
    );
    let bare: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            time(&format!(
                "{docker} stop {container} >/dev/null; {docker} start {container} >/dev/null"
            ))
        })
        .collect();
    verdict(
        "window of a restore / stop + start",
        median(windows),
        median(bare),
        1.2,
    );
}

/// From the recovery bundle of a lost host to the stack that runs again on a new one, with 64 MiB of data.
fn bundle() {
    let world = World::new();
    let stack = world
        .stack("web")
        .service("app", |service| service.volume("data", "/data"))
        .up();
    let volume = stack.volume("data");
    let data = stack.volume_path("data");
    time(&format!(
        "head -c 64M /dev/urandom >'{}/file'",
        data.display()
    ));
    world.init();
    world.backup(&stack);
    let out = world.path("out");
    let out = out.to_str().unwrap();
    let made = world
        .kd(&["--json", "disaster-recovery", "--output", out])
        .stderr_any()
        .json();
    let file = made["path"].as_str().unwrap();
    let password = world.path("password");
    std::fs::copy(world.path("recovery-password"), &password).unwrap();
    let password = password.to_str().unwrap();
    let points = world.points();
    let recipe = points["points"][0]["recipe"].as_str().unwrap();
    let record = world
        .kopia(&["show", &format!("{recipe}/recipe.json")])
        .json();
    let root = record["sources"][0]["parts"][0]["root"].as_str().unwrap();
    let params = world.read_config()["kopia"]["kopia_params"].clone();
    let params = params.as_str().unwrap();
    let restore = ["--quiet", "disaster-recovery", "--restore", file];
    let (docker, kopia) = (docker(&world), kopia(&world));
    let container = stack.container("app");
    let (ours, bare) = alternate(
        || {
            world.lose_host(&stack);
            let since = Instant::now();
            let reach = world.kd(&[&restore[..], &["--password-file", password]].concat());
            reach.stdout_any().ok();
            let all = ["--quiet", "restore", "--all", "--up", "--yes"];
            world.kd(&all).stdout_any().stderr_any().ok();
            let took = since.elapsed();
            stack.assert_running(&["app"]);
            took
        },
        || {
            world.lose_host(&stack);
            let took = time(&format!(
                "openssl enc -d -aes-256-cbc -pbkdf2 -in '{file}' -pass file:'{password}' | tar -tz >/dev/null && \
                 {kopia} repository connect {params} --no-persist-credentials >/dev/null 2>&1 && \
                 {docker} volume create '{volume}' >/dev/null && \
                 {kopia} show {root}/data | tar -xpf - -C '{data}' && sync --file-system '{data}' && \
                 {docker} run --detach --network none --label '{label}={id}' --name '{container}' \
                     --volume '{volume}':/data {image} sleep 999999 >/dev/null",
                data = data.display(),
                label = common::LABEL,
                id = world.id(),
                image = common::IMAGE,
            ));
            time(&format!(
                "{docker} rm --force '{container}' >/dev/null; {docker} volume rm '{volume}' >/dev/null"
            ));
            took
        },
    );
    verdict(
        "from a bundle to a running stack / by hand",
        ours,
        bare,
        3.0,
    );
}

fn remove_safety_copies(path: &Path) {
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap().flatten() {
        if entry.path() != path && entry.path().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

const LARGE: usize = 500;
const SMALL: usize = 50_000;

/// 2 GiB in 500 files and 50,000 small ones, some of which change before each night, beside a database of 200 MiB that is written to
/// until the stop.
struct Changing {
    world: World,
    container: String,
    path: PathBuf,
    night: Cell<usize>,
    /// What was expected of each window, and what came.
    forecasts: RefCell<Vec<(f64, f64)>>,
}

impl Changing {
    fn new() -> Self {
        let world = World::new();
        // It ends when it is asked to, so that the stop costs what a stop costs.
        let script = "trap 'exit 0' TERM; i=0; while :; do dd if=/dev/zero of=/data/db bs=1M count=1 seek=$((i % 200)) conv=notrunc 2>/dev/null; i=$((i + 1)); done";
        let container = world.container("app", |service| {
            service
                .volume("data", "/data")
                .command(["sh", "-c", script])
        });
        let path = world.volume_path(&format!("{}_data", world.id()));
        let made = Self {
            world,
            container,
            path,
            night: Cell::new(0),
            forecasts: RefCell::default(),
        };
        std::fs::write(made.path.join("db"), random(200 << 20)).unwrap();
        (0..LARGE).for_each(|number| made.write_large(number));
        (0..SMALL).for_each(|number| made.write_small(number));
        made.world.init();
        made
    }

    fn write_large(&self, number: usize) {
        self.write(format!("large/{number}"), 4 << 20);
    }

    fn write_small(&self, number: usize) {
        self.write(format!("small/{}/{number}", number % 100), 1000);
    }

    fn write(&self, name: String, bytes: u64) {
        let file = self.path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, random(bytes)).unwrap();
    }

    /// One of so many files.
    fn change(&self, one_of: usize) {
        self.night.set(self.night.get() + 1);
        let ours = |of: usize| (self.night.get() % one_of..of).step_by(one_of);
        ours(LARGE).for_each(|number| self.write_large(number));
        ours(SMALL).for_each(|number| self.write_small(number));
    }

    /// All of it into an empty repository.
    fn first_run(&self) {
        let first = |more: &[&str]| {
            begin_anew(&self.world);
            let since = Instant::now();
            self.backup(more);
            since.elapsed()
        };
        let (changed, plain) = alternate(|| first(&[]), || first(&["--read-everything"]));
        verdict(
            "first run / of everything in the window",
            changed,
            plain,
            1.1,
        );
        begin_anew(&self.world);
        self.backup(&[]);
        self.forecasts.borrow_mut().clear();
    }

    /// How long the container did not run, the last time that it was stopped.
    fn was_down(&self) -> Duration {
        let format = "{{.State.FinishedAt}} {{.State.StartedAt}}";
        let inspect = ["inspect", "--format", format, &self.container];
        let times = self.world.docker(&inspect).text();
        let mut times = times
            .split_whitespace()
            .map(|time| chrono::DateTime::parse_from_rfc3339(time).unwrap());
        let (ended, started) = (times.next().unwrap(), times.next().unwrap());
        (started - ended).to_std().unwrap()
    }

    /// How long a window was, and the report of the source.
    fn backup(&self, more: &[&str]) -> (Duration, Value) {
        let run = [&["backup", "--unit", &self.container], more].concat();
        self.world.kd(&run).stdout_any().stderr_any().ok();
        let report = self.world.report()["units"][0].clone();
        let downtime = report["downtime_seconds"].as_f64().unwrap();
        let expected = report["expected_downtime_seconds"].as_f64().unwrap();
        self.forecasts.borrow_mut().push((expected, downtime));
        (
            Duration::from_secs_f64(downtime),
            report["sources"][0].clone(),
        )
    }
}

fn changed() {
    let nights = Changing::new();
    let (world, container, data) = (&nights.world, &nights.container, nights.path.display());
    let docker = docker(world);
    nights.first_run();
    let mut read = Vec::new();
    let (ours, bare) = alternate(
        || {
            nights.change(99);
            let (downtime, source) = nights.backup(&[]);
            assert_eq!(source["read"], "changed", "{source:#}");
            read.push(["window_bytes", "before_bytes"].map(|key| source[key].as_u64().unwrap()));
            downtime
        },
        || {
            time(&format!(
                "{docker} stop {container} >/dev/null; find '{data}' -printf '%C@' >/dev/null; tar -cf - -C '{data}' db | cat >/dev/null; {docker} start {container} >/dev/null"
            ))
        },
    );
    verdict(
        "window of what changed / stop + walk + tar of it + start",
        ours,
        bare,
        1.15,
    );
    let (whole, _) = nights.backup(&["--read-everything"]);
    let short = median((0..3).map(|_| nights.backup(&[]).0).collect());
    verdict("window of what changed / of everything", short, whole, 0.25);
    let index = Command::new("find")
        .arg(world.path("state/index"))
        .args(["-type", "f", "-name", "index", "-printf", "%s"])
        .output()
        .unwrap();
    let index: f64 = String::from_utf8(index.stdout).unwrap().parse().unwrap();
    println!(
        "{:52} {:.1} bytes a path (wanted at most 25)",
        "index",
        index / (LARGE + SMALL + 103) as f64
    );
    for [window, before] in read {
        println!(
            "{:52} {:.1} MB in the window, {:.1} MB before",
            "bytes of a night",
            window as f64 / 1e6,
            before as f64 / 1e6
        );
    }
    against_python(&nights);
    // The first ones have no runs to go by.
    let known = nights
        .forecasts
        .borrow()
        .iter()
        .skip(3)
        .copied()
        .collect::<Vec<_>>();
    let is_near = |(expected, came): &&(f64, f64)| (expected / came - 1.0).abs() <= 0.3;
    println!(
        "{:52} {} of {} (wanted 9 of 10)",
        "forecasts within 30 % of the window",
        known.iter().filter(is_near).count(),
        known.len()
    );
}

/// An empty repository, and nothing known.
fn begin_anew(world: &World) {
    for known in ["repo", "state", "cache", "home"] {
        let _ = std::fs::remove_dir_all(world.path(known));
    }
    world.init_for_real();
}

/// A file of 8 GiB that is written to all the time, on a file system that clones: so large that reading it is worth a clone.
fn clones() {
    let world = World::new();
    let disk = common::mount_made(&world, "disk", 30 << 10, &["mkfs.xfs", "-q"]);
    let data = disk.join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = File::open("/dev/urandom").unwrap();
    let mut file = File::create(data.join("db")).unwrap();
    std::io::copy(&mut std::io::Read::take(&mut noise, 8 << 30), &mut file).unwrap();
    drop(file);
    let script = "trap 'exit 0' TERM; i=0; while :; do dd if=/dev/urandom of=/data/db bs=64k count=1 seek=$((i * 37 % 131072)) conv=notrunc 2>/dev/null; i=$((i + 1)); sleep 0.01; done";
    let container = world.container("app", |service| {
        service.bind(&data, "/data").command(["sh", "-c", script])
    });
    world.init();
    let mut windows = [Vec::new(), Vec::new()];
    for night in 0..6 {
        let is_cloning = night % 2 == 1;
        world.config(|config| config["backup"]["clones"] = is_cloning.into());
        let run = world.kd(&["backup", "--unit", &container]);
        run.stdout_any().stderr_any().ok();
        let unit = world.report()["units"][0].clone();
        let is_cloned = unit["sources"][0]["after_bytes"] != 0;
        assert_eq!(is_cloned, is_cloning, "{unit:#}");
        let seconds = unit["downtime_seconds"].as_f64().unwrap();
        windows[usize::from(is_cloning)].push(Duration::from_secs_f64(seconds));
    }
    let [reading, cloning] = windows.map(median);
    verdict("window with clones / with reading", cloning, reading, 0.25);
}

/// A thousand points of trees that are attacked, on each file system, by the program and the real Kopia.
fn adversary() {
    let world = World::new();
    for make in [
        &["mkfs.ext4", "-q"][..],
        &["mkfs.xfs", "-q"],
        &["mkfs.btrfs", "-q"],
    ] {
        let place = common::mount_made(&world, make[0], 8 << 10, make);
        let test = "a_tree_that_is_attacked_until_the_stop_comes_back_exactly";
        let status = Command::new("cargo")
            .args([
                "test",
                "--locked",
                "--test",
                "it",
                "--",
                "--nocapture",
                test,
            ])
            .env("KOPI_DOCKA_ADVERSARY", "200")
            .env("KOPI_DOCKA_TREES", place)
            .status();
        println!("{:52} {}", make[0], status.unwrap());
    }
}

/// The same nights with the Python tool itself, as it is installed.
fn against_python(nights: &Changing) {
    let Some(python) = Python::install(nights) else {
        println!("the Python tool cannot be installed: nothing is compared with it");
        return;
    };
    for (what, one_of) in [("unchanged", None), ("1 %", Some(99)), ("10 %", Some(10))] {
        let change = || one_of.iter().for_each(|one_of| nights.change(*one_of));
        let (mut ours, mut its) = (Vec::new(), Vec::new());
        let (our_window, its_window) = alternate(
            || {
                change();
                let since = Instant::now();
                nights.backup(&[]);
                ours.push(since.elapsed());
                nights.was_down()
            },
            || {
                change();
                its.push(time(&python.command("backup --unit", &nights.container)));
                nights.was_down()
            },
        );
        let [our_night, its_night] = [ours, its].map(|mut all| median(all.split_off(1)));
        let against = "the Python tool";
        verdict(
            &format!("window, {what} / {against}"),
            our_window,
            its_window,
            1.0,
        );
        verdict(
            &format!("night, {what} / {against}"),
            our_night,
            its_night,
            1.0,
        );
    }
}

/// The Python tool, with a repository of its own.
struct Python {
    program: PathBuf,
    config: PathBuf,
    home: PathBuf,
    host: String,
}

impl Python {
    /// `None` where Python or the package cannot be had.
    fn install(nights: &Changing) -> Option<Self> {
        let world = &nights.world;
        let (place, home) = (world.path("python"), world.dir("python-home"));
        let script = r#"python3 -m venv "$1" && "$1"/bin/pip install --quiet kopi-docka==7.9.0"#;
        let made = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&place)
            .status();
        made.ok().filter(std::process::ExitStatus::success)?;
        let config = serde_json::json!({
            "version": "7.9.0",
            "kopia": {
                "kopia_params": format!("filesystem --path {}", world.path("python-repository").display()),
                "profile": "python",
                "password": "a password for the bench",
                "cache_directory": world.path("python-cache"),
                "cache_size_mb": 500,
            },
            "backup": {
                "base_path": world.path("python-backup"), "backup_scope": "standard", "stop_timeout": 30, "start_timeout": 60,
                "exclude_patterns": [], "hooks": {},
            },
            "docker": {"socket": world.bed.host().trim_start_matches("unix://"), "compose_timeout": 300},
            "retention": {"latest": 10, "hourly": 0, "daily": 7, "weekly": 4, "monthly": 12, "annual": 3},
            "logging": {"level": "WARNING", "file": world.path("python.log")},
            "notifications": {"enabled": false},
        });
        let file = world.path("python.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let made = Self {
            program: place.join("bin/kopi-docka"),
            config: file,
            home,
            host: world.bed.host(),
        };
        time(&made.command("advanced repo init", ""));
        Some(made)
    }

    fn command(&self, words: &str, unit: &str) -> String {
        format!(
            "DOCKER_HOST='{}' HOME='{}' KOPI_DOCKA_CONFIG='{}' '{}' {words} {unit} </dev/null >/dev/null 2>&1",
            self.host,
            self.home.display(),
            self.config.display(),
            self.program.display()
        )
    }
}

/// A million small files, of which none changes.
fn million() {
    const FOLDERS: usize = 1000;
    let world = World::new();
    let container = world.container("app", |service| service.volume("data", "/data"));
    let path = world.volume_path(&format!("{}_data", world.id()));
    for folder in 0..FOLDERS {
        let folder = path.join(format!("{folder}"));
        std::fs::create_dir(&folder).unwrap();
        (0..1000).for_each(|file| std::fs::write(folder.join(format!("{file}")), "small").unwrap());
    }
    world.init();
    let docker = docker(&world);
    let mut peak = 0;
    let mut run = || {
        peak = peak.max(backup_peak_kib(&world, &container));
        let report = world.report()["units"][0].clone();
        assert_eq!(report["outcome"], "saved", "{report:#}");
        Duration::from_secs_f64(report["downtime_seconds"].as_f64().unwrap())
    };
    run();
    let (ours, bare) = alternate(&mut run, || {
        time(&format!(
            "{docker} stop {container} >/dev/null; find '{}' -printf '%C@' >/dev/null; {docker} start {container} >/dev/null",
            path.display()
        ))
    });
    verdict(
        "window of a million files / stop + find + start",
        ours,
        bare,
        1.3,
    );
    println!(
        "{:52} {:.1} MiB (wanted at most 25)",
        "memory",
        peak as f64 / 1024.0
    );
}

/// A first backup of 2.5 GiB, and its restore, in two streams and in one.
fn streams() {
    let world = World::new();
    let container = world.container("app", |service| service.volume("data", "/data"));
    let volume = format!("{}_data", world.id());
    let path = world.volume_path(&volume);
    for folder in ["one", "two", "three"] {
        std::fs::create_dir(path.join(folder)).unwrap();
        fill(&path.join(folder));
    }
    // Two and a half.
    (0..32)
        .for_each(|number| std::fs::remove_file(path.join(format!("three/file{number}"))).unwrap());
    let target = world.path("out");
    let target_text = target.display().to_string();
    let restores = [const { RefCell::new(Vec::new()) }; 2];
    let first = |workers: usize| {
        world.config(|config| config["backup"]["parallel_workers"] = workers.into());
        begin_anew(&world);
        let since = Instant::now();
        world
            .kd(&["backup", "--unit", &container])
            .stdout_any()
            .stderr_any()
            .ok();
        let took = since.elapsed();
        let report = world.report();
        let parts = report["units"][0]["sources"][0]["parts"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(parts, if workers == 1 { 1 } else { 3 }, "{report:#}");
        let since = Instant::now();
        world
            .kd(&[
                "restore",
                "--unit",
                &container,
                "--backup-id",
                "latest",
                "--yes",
            ])
            .args(["--volume", &volume, "--target", &target_text])
            .stdout_any()
            .stderr_any()
            .ok();
        restores[workers - 1].borrow_mut().push(since.elapsed());
        std::fs::remove_dir_all(&target).unwrap();
        took
    };
    let (two, one) = alternate(|| first(2), || first(1));
    verdict("first backup in two streams / in one", two, one, 0.85);
    let [one, two] = restores.map(|times| median(times.into_inner()));
    verdict("restore of two streams / of one", two, one, 0.85);
}

fn docker(world: &World) -> String {
    format!("docker -H {}", world.bed.host())
}

/// The bare kopia on the world's profile.
fn kopia(world: &World) -> String {
    format!(
        "KOPIA_PASSWORD='{}' KOPIA_CACHE_DIRECTORY='{}' kopia --config-file='{}' --log-dir='{}' --no-auto-maintenance --no-progress",
        common::PASSWORD,
        world.path("cache/kopi-docka").display(),
        world
            .path("home/.config/kopia/repository-kopi-docka.config")
            .display(),
        world.path("kopia-logs").display(),
    )
}

fn kopia_stdin(world: &World) -> String {
    format!(
        "{} snapshot create /bare --stdin-file=data >/dev/null 2>&1",
        kopia(world)
    )
}

fn time(script: &str) -> Duration {
    let since = Instant::now();
    let status = Command::new("sh")
        .args(["-c", script])
        .env("PATH", common::path())
        .stderr(Stdio::inherit())
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
    since.elapsed()
}

/// Medians of both, run in turn so that a machine that gets slower slows both; one round of each is not counted.
fn alternate(
    mut a: impl FnMut() -> Duration,
    mut b: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (time_a, time_b) = (a(), b());
        if round > 0 {
            all_a.push(time_a);
            all_b.push(time_b);
        }
    }
    (median(all_a), median(all_b))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn verdict(what: &str, ours: Duration, bare: Duration, wanted: f64) {
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!(
        "{what:52} {ratio:.2} (wanted at most {wanted}; {:.3} s / {:.3} s)",
        ours.as_secs_f64(),
        bare.as_secs_f64()
    );
    let _ = std::io::stdout().flush();
}

/// `VmHWM` of a process: its own memory, without that of its children.
/// Backs `unit` up, and says how much memory our own process took at most.
fn backup_peak_kib(world: &World, unit: &str) -> u64 {
    let mut peak = 0;
    let mut run = world
        .kd(&["backup", "--unit", unit])
        .timeout(Duration::from_secs(1800))
        .stdout_any()
        .stderr_any()
        .spawn();
    while run.is_running() {
        peak = peak.max(peak_kib(run.pid()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    run.ok();
    peak
}

fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
