//! Cold means cold: what is read while nobody can write is called `ok`, and nothing else is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::common::{Bed, Run, Stack, World, until, writer};
use serde_json::Value;

const MOMENT: Duration = Duration::from_secs(30);

/// Extracts the stream of the snapshot with this root into `target`.
fn extract(world: &World, root: &str, target: &Path) {
    let shown = world
        .kopia(&["show", &format!("{root}/data")])
        .stdout_any()
        .ok();
    Run::new("tar")
        .args(["--extract", "--file=-", "--directory"])
        .arg(target)
        .env("PATH", "/bin:/usr/bin")
        .stdin(shown.stdout_bytes())
        .ok();
}

/// The root object of each snapshot of `volume`, by the run that made it.
fn roots(world: &World, volume: &str) -> BTreeMap<String, String> {
    let snapshots = world.kopia(&["snapshot", "list", "--json", "--all"]).json();
    snapshots
        .as_array()
        .unwrap()
        .iter()
        .filter(|snapshot| snapshot["tags"]["tag:volume"] == volume)
        .map(|snapshot| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&snapshot["tags"]["tag:backup_id"]),
                text(&snapshot["rootEntry"]["obj"]),
            )
        })
        .collect()
}

/// Waits until a writer has written since.
fn until_written(data: &Path) {
    let size = || fs::metadata(data.join("b.log")).map_or(0, |it| it.len());
    let before = size();
    until("the writer to write", MOMENT, || {
        (size() > before).then_some(())
    });
}

fn idle_stack(world: &World, name: &str) -> Stack {
    let with = |s: crate::common::Service| s.volume("data", "/data");
    world.stack(name).service("db", with).up()
}

fn writer_stack(world: &World, name: &str) -> Stack {
    let stack = world
        .stack(name)
        .service("db", |s| s.volume("data", "/data").writer("/data"))
        .up();
    until_written(&stack.volume_path("data"));
    stack
}

/// `--quiet backup` of `stack`, not yet run.
fn backup(world: &World, stack: &Stack) -> Run {
    world.kd(&["--quiet", "backup", "--unit", stack.unit()])
}

/// The grade of the only source of the only unit, in the report and in the listing.
#[track_caller]
fn assert_grade(world: &World, grade: &str) {
    let report = world.report();
    let unit = &report["units"][0];
    assert_eq!(unit["sources"][0]["grade"], grade, "{unit:#}");
    assert_eq!(unit["grade"], grade, "{unit:#}");
    let listed = world.whole_points();
    let id = report["backup_id"].as_str().unwrap().to_owned();
    assert!(listed.contains(&(id, grade.to_owned())), "{listed:?}");
}

#[test]
fn twenty_copies_of_a_busy_writer_all_end_at_a_clean_record() {
    let world = World::new();
    let stack = writer_stack(&world, "busy");
    let data = stack.volume_path("data");
    world.init();
    let mut ids = Vec::new();
    for _ in 0..20 {
        until_written(&data);
        let report = world.backup(&stack);
        assert_eq!(report["units"][0]["grade"], "ok", "{report:#}");
        ids.push(report["backup_id"].as_str().unwrap().to_owned());
    }
    let roots = roots(&world, &stack.volume("data"));
    let mut last = 0;
    for id in ids {
        let copy = world.dir(format!("copy-{id}"));
        extract(&world, &roots[&id], &copy);
        let records = writer::check_cold(&copy);
        assert!(records > last, "{records} records after {last}");
        last = records;
    }
    stack.assert_running(&["db"]);
}

// ---- another hand ----

#[test]
fn a_container_that_another_hand_starts_while_data_is_read_makes_it_hot() {
    let world = World::new();
    let stack = idle_stack(&world, "shop");
    let volume = stack.volume("data");
    let label = format!("kopi-docka-test={}", world.id());
    world.init();
    let start_member = || stack.start("db");
    let start_and_stop_member = || {
        stack.start("db");
        stack.stop("db");
    };
    let start_stranger = || {
        world.container("stranger", |s| s.external(&volume, "/x"));
    };
    let start_and_remove_stranger = || {
        world
            .docker(&["run", "--rm", "--network", "none", "--label", &label])
            .args(["--name", &world.name("brief"), "--volume"])
            .arg(format!("{volume}:/x"))
            .args([crate::common::IMAGE, "touch", "/x/written"])
            .text();
    };
    let copy_into_member = || {
        world
            .docker(&["cp", "/etc/hostname"])
            .arg(format!("{}:/data/copied", stack.container("db")))
            .text();
    };
    type Hand<'a> = (&'a str, &'a str, &'a dyn Fn());
    let hands: [Hand<'_>; 5] = [
        (&stack.container("db"), "was started", &start_member),
        (
            &stack.container("db"),
            "was started",
            &start_and_stop_member,
        ),
        (
            &stack.container("db"),
            "had files copied",
            &copy_into_member,
        ),
        (
            &world.name("brief"),
            "was started",
            &start_and_remove_stranger,
        ),
        (&world.name("stranger"), "was started", &start_stranger),
    ];
    for (container, what, act) in hands {
        let held = world.hold_backup(&[stack.unit()], "read", |run| {
            run.stdout_any()
                .stderr(format!("is hot: container `{container}` {what}"))
        });
        act();
        held.release().code(3);
        assert_eq!(world.report()["units"][0]["sources"][0]["grade"], "hot");
        stack.assert_running(&["db"]);
        assert_eq!(world.stop_records(), Vec::<Value>::new());
    }
    let grades: Vec<String> = world.whole_points().into_iter().map(|it| it.1).collect();
    assert_eq!(grades, ["hot"; 5]);
}

#[test]
fn a_container_that_can_t_write_to_it_may_start_while_data_is_read() {
    let world = World::new();
    let stack = idle_stack(&world, "shop");
    let label = format!("kopi-docka-test={}", world.id());
    world.init();
    let held = world.hold_backup(&[stack.unit()], "read", |run| run);
    world.container("reader", |s| s.external(&stack.volume("data"), "/x:ro"));
    world.container("other", |s| s.volume("own", "/x"));
    // At once, so that each keeps dockerd busy while the next ones come and go.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                world
                    .docker(&["run", "--rm", "--network", "none", "--label", &label])
                    .args([crate::common::IMAGE, "true"])
                    .text();
            });
        }
    });
    held.release().ok();
    assert_grade(&world, "ok");
}

#[test]
fn a_start_is_heard_of_however_much_else_happens() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    let stack = idle_stack(&world, "shop");
    let noisy = world.container("noisy", |s| s.sh("trap '' CONT; sleep 99999 & wait"));
    world.init();
    let held = world.hold_backup(&[stack.unit()], "read", |run| {
        run.stdout_any()
            .stderr(format!("container `{}` was started", stack.container("db")))
    });
    stack.start("db");
    stack.stop("db");
    // dockerd remembers 256 events.
    world
        .docker(&["kill", "--signal", "CONT"])
        .args(vec![noisy; 300])
        .text();
    held.release().code(3);
    assert_grade(&world, "hot");
    stack.assert_running(&["db"]);
}

// ---- what cannot be stopped ----

#[test]
fn a_paused_writer_stays_paused_and_makes_it_crash() {
    let world = World::new();
    let stack = idle_stack(&world, "shop");
    let container = stack.container("db");
    world.init();
    world.docker(&["pause", &container]).text();
    let watch = world.watch();
    backup(&world, &stack)
        .stdout_any()
        .stderr(format!("container `{container}` is paused"))
        .ok();
    watch.events().assert_untouched();
    assert_eq!(stack.status("db"), "paused");
    assert_grade(&world, "crash");

    // Thawed by another hand meanwhile.
    let held = world.hold_backup(&[stack.unit()], "read", |run| {
        run.stdout_any()
            .stderr(format!("container `{container}` was started"))
    });
    world.docker(&["unpause", &container]).text();
    held.release().code(3);
    assert_grade(&world, "hot");
    stack.assert_running(&["db"]);
}

#[test]
fn a_writer_that_a_stop_would_delete_keeps_its_unit_from_being_saved_and_nothing_is_touched() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("job", |s| s.volume("data", "/data").arg("--rm"))
        .up();
    world.init();
    let watch = world.watch();
    backup(&world, &stack)
        .stdout_any()
        .stderr(format!("container `{}`", stack.container("job")))
        .stderr("--rm")
        .code(3);
    watch.events().assert_untouched();
    stack.assert_running(&["db", "job"]);
    assert_eq!(world.report()["units"][0]["outcome"], "failed");
    assert_eq!(world.whole_points(), []);
}

#[test]
fn a_member_that_a_stop_would_delete_goes_on_when_it_can_t_write() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("job", |s| s.volume("data", "/data:ro").arg("--rm"))
        .up();
    world.init();
    let watch = world.watch();
    let report = world.backup(&stack);
    let events = watch.events();
    assert_eq!(events.order("die"), ["db"], "{events}");
    stack.assert_running(&["db", "job"]);
    assert_grade(&world, "ok");
    assert_eq!(report["units"][0]["gaps"][0]["reason"], "auto_remove");
}

// ---- other units ----

#[test]
fn a_container_of_another_unit_that_writes_too_is_stopped_and_comes_back() {
    let world = World::new();
    let stack = idle_stack(&world, "shop");
    let other = world.container("other", |s| {
        s.external(&stack.volume("data"), "/x")
            .volume("own", "/own")
    });
    let bystander = world.container("bystander", |s| s.volume("own", "/own"));
    world.init();
    let watch = world.watch();
    backup(&world, &stack)
        .stdout_any()
        .stderr(format!("container `{other}` of another unit writes to"))
        .ok();
    let events = watch.events();
    assert_eq!(events.order("die"), [&other, "db"], "{events}");
    assert_eq!(events.order("start"), ["db", &other], "{events}");
    assert_eq!(world.inspect(&bystander)["State"]["Running"], true);
    assert_grade(&world, "ok");

    world.config(|c| c["backup"]["shared_volumes"] = "warn".into());
    backup(&world, &stack)
        .stdout_any()
        .stderr(format!("container `{other}` went on running"))
        .ok();
    let events = watch.events();
    assert_eq!(events.order("die"), [&other, "db", "db"], "{events}");
    assert_grade(&world, "hot");
}

// ---- order ----

#[test]
fn levels_stop_from_the_top_and_start_from_the_bottom_each_at_once() {
    const SLOW: &str = "trap 'usleep 300000; exit 0' TERM; sleep 99999 & wait";
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| {
            // Healthy only half a second after its start.
            s.volume("data", "/data")
                .health("test -e /tmp/ready")
                .sh("trap 'usleep 300000; exit 0' TERM; rm -f /tmp/ready; usleep 500000; touch /tmp/ready; sleep 99999 & wait")
        })
        .service("cache", |s| s.sh(SLOW))
        .service("app", |s| {
            s.depends_on("db", "service_healthy")
                .depends_on("cache", "service_started")
                .sh(SLOW)
        })
        .service("web", |s| s.depends_on("app", "service_started").sh(SLOW))
        .service("worker", |s| {
            s.depends_on("app", "service_started").sh(SLOW)
        })
        .up();
    world.init();
    let watch = world.watch();
    let report = world.backup(&stack);
    let events = watch.events();
    assert_eq!(report["units"][0]["grade"], "ok", "{report:#}");

    let levels = [["db", "cache"], ["app", "app"], ["web", "worker"]];
    for [a, b] in levels {
        // Both were asked before either had ended, and the second did not wait for the first to start.
        for (asked, ended) in [(a, b), (b, a)] {
            assert!(
                events.at(asked, "kill") < events.at(ended, "die"),
                "{events}"
            );
        }
    }
    for pair in levels.windows(2) {
        for lower in pair[0] {
            for upper in pair[1] {
                assert!(
                    events.at(upper, "die") < events.at(lower, "kill"),
                    "{events}"
                );
                assert!(
                    events.at(lower, "start") < events.at(upper, "start"),
                    "{events}"
                );
            }
        }
    }
    assert!(
        events.at("db", "health_status: healthy") < events.at("app", "start"),
        "{events}"
    );
    let apart = |a: &str, b: &str| {
        let (a, b) = (events.at(a, "start"), events.at(b, "start"));
        a.max(b) - a.min(b)
    };
    assert!(
        apart("db", "cache") < Duration::from_millis(500),
        "{events}"
    );
}

#[test]
fn a_circle_of_dependencies_is_stopped_and_started_at_once() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("a", |s| {
            s.volume("data", "/data").depends_on("b", "service_started")
        })
        .service("b", |s| s.depends_on("a", "service_started"))
        .up();
    world.init();
    let watch = world.watch();
    backup(&world, &stack).stdout_any().stderr("circle").ok();
    stack.assert_running(&["a", "b"]);
    let events = watch.events();
    assert!(events.window() < Duration::from_secs(10), "{events}");
}

// ---- downtime ----

#[test]
fn the_reported_downtime_is_what_docker_saw() {
    let world = World::new();
    let stack = world
        .stack("shop")
        .service("db", |s| s.volume("data", "/data"))
        .service("app", |s| s.depends_on("db", "service_started"))
        .up();
    world.init();
    let mut excesses = Vec::new();
    for _ in 0..5 {
        let watch = world.watch();
        let report = world.backup(&stack);
        let events = watch.events();
        let reported = report["units"][0]["downtime_seconds"].as_f64().unwrap();
        let seen = events.window().as_secs_f64();
        // Never less than it was.
        assert!(
            reported > seen - 0.002,
            "reported {reported:.3} s, seen {seen:.3} s\n{events}{report:#}"
        );
        excesses.push(reported - seen);
    }
    // Between our clock and Docker's is a request, which a busy machine can delay.
    let least = excesses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least < 0.05, "{excesses:?}");
    assert!(excesses.iter().all(|excess| *excess < 1.0), "{excesses:?}");
}

// ---- units ----

#[test]
fn a_unit_without_running_containers_is_saved_without_touching_anything() {
    let world = World::new();
    let stack = writer_stack(&world, "shop");
    stack.stop("db");
    world.init();
    let watch = world.watch();
    let report = world.backup(&stack);
    watch.events().assert_untouched();
    stack.assert_running(&[]);
    assert_eq!(report["units"][0]["downtime_seconds"], 0.0);
    assert_grade(&world, "ok");
    let id = report["backup_id"].as_str().unwrap();
    let copy = world.dir("copy");
    extract(&world, &roots(&world, &stack.volume("data"))[id], &copy);
    writer::check_cold(&copy);
}

#[test]
fn a_unit_that_fails_does_not_keep_the_next_from_being_saved() {
    let world = World::new();
    let broken_data = world.dir("broken");
    let broken = world
        .stack("a-broken")
        .service("db", |s| s.bind(&broken_data, "/data"))
        .up();
    let good = idle_stack(&world, "b-good");
    world.init();
    let held = world.hold_backup(&[broken.unit(), good.unit()], "read", |run| {
        run.stdout_any()
            .stderr(format!("unit `{}` was not backed up", broken.unit()))
            .stderr("Cannot open")
            .stderr("is running again")
    });
    fs::rename(&broken_data, world.path("elsewhere")).unwrap();
    let held = held.release_until_next();
    fs::rename(world.path("elsewhere"), &broken_data).unwrap();
    broken.assert_running(&["db"]);
    held.release().code(3);
    good.assert_running(&["db"]);
    let report = world.report();
    let outcomes: Vec<&Value> = report["units"]
        .as_array()
        .unwrap()
        .iter()
        .map(|unit| &unit["outcome"])
        .collect();
    assert_eq!(outcomes, ["failed", "saved"]);
    assert_eq!(world.whole_points().len(), 1);
    assert_eq!(world.stop_records(), Vec::<Value>::new());
}
