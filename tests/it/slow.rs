//! Slow is not stuck; too slow is known.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{World, until};
use crate::held_output::many_snapshots;

const MOMENT: Duration = Duration::from_secs(60);

#[test]
fn the_time_of_a_source_covers_its_storing() {
    let world = World::new();
    let stack = world.web();
    world.config(|config| config["backup"]["task_timeout"] = 4.into());
    world.init();
    // It takes everything, and tells of progress for ever.
    let path = world.stand_in(
        "kopia",
        r#"case "$*" in *--stdin-file*) ;; *) exec "$REAL" "$@";; esac
echo "Snapshotting it ..." >&2
cat >/dev/null
n=0
while :; do n=$((n+1)); printf '\r %s hashed' $n >&2; sleep 1; done"#,
    );
    let done = world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .env("PATH", path)
        .stderr("`backup.task_timeout`")
        .code(3);
    assert!(done.took < Duration::from_secs(40), "{done}");
    stack.until_up();
    world.until_no_process_is_left();
}

#[test]
fn a_kopia_that_only_uploads_is_alive_and_one_that_only_speaks_is_not() {
    let world = World::new();
    let stack = world.web();
    world.config(|config| config["backup"]["stall_timeout"] = 4.into());
    world.init();
    // As the upload of a pack looks from outside: nothing is taken and the figures stand still.
    let uploads = |work: &str| {
        world.stand_in(
            "kopia",
            &format!(
                r#"case "$*" in *--stdin-file*) ;; *) exec "$REAL" "$@";; esac
exec perl -e '$| = 1; print STDERR "Snapshotting it ...\n";
for (1..40) {{ {work}; select(undef, undef, undef, 0.2); print STDERR "\r | 1 hashed" }}
exec @ARGV' "$REAL" "$@""#
            ),
        )
    };
    let backup = || {
        world
            .kd(&["--quiet", "backup", "--unit", stack.unit()])
            .stdout_any()
    };
    let path = uploads(r#"open F, ">", "/dev/null"; syswrite F, "x" x 60000; close F"#);
    backup().env("PATH", path).ok();
    let path = uploads("1");
    backup().env("PATH", path).stderr("kopia").code(3);
    stack.until_up();
}

#[test]
fn a_hundred_thousand_snapshots_are_listed_from_a_slow_storage_in_little_memory() {
    let world = World::new();
    world.init();
    let path = world.stand_in("kopia", &many_snapshots(50_000));
    let usage = world.path("usage");
    // It looks at all of them, and shows none.
    let shown = world
        .kd(&[
            "--json",
            "list",
            "--snapshots",
            "--all-hosts",
            "--unit",
            "other",
        ])
        .under(["python3", "-c", MEASURE, usage.to_str().unwrap()])
        .env("PATH", path)
        .timeout(Duration::from_secs(300))
        .stdout_any()
        .stderr("`other`")
        .code(4);
    assert!(shown.took < Duration::from_secs(240), "{shown}");
    let kibibytes: u64 = fs::read_to_string(usage).unwrap().trim().parse().unwrap();
    assert!(kibibytes < 200 << 10, "{} MiB\n{shown}", kibibytes >> 10);
}

/// Writes the memory that a program needed into a file.
const MEASURE: &str = "
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], 'w') as f:
    f.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
";

#[test]
fn a_listing_that_takes_long_but_goes_on_is_no_silence() {
    let world = World::new();
    world.init();
    let path = world.stand_in(
        "kopia",
        r#"case "$*" in *"snapshot list"*) ;; *) exec "$REAL" "$@";; esac
printf '['
for n in $(seq 70); do head -c 5000 /dev/zero | tr '\0' ' '; sleep 1; done
printf ']'"#,
    );
    let done = world
        .kd(&["--json", "list", "--snapshots"])
        .env("PATH", path)
        .stdout("\"points\": []")
        .ok();
    assert!(done.took > Duration::from_secs(65), "{done}");
}

#[test]
fn a_stream_that_took_long_and_lost_its_beginning_is_no_point() {
    let world = World::new();
    let stack = world.web();
    fs::write(stack.volume_path("data").join("bulk"), vec![7; 1 << 20]).unwrap();
    world.init();
    let before = packs(&world);
    let run = world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .env("KOPI_DOCKA_FAULT_LONG_STREAM_SECONDS", "0")
        .stderr("its beginning was removed from the repository");
    let held = world.hold("verify_stream", run);
    until("the packs of the stream", MOMENT, || {
        let new: Vec<_> = packs(&world)
            .into_iter()
            .filter(|pack| !before.contains(pack))
            .collect();
        new.iter().for_each(|pack| fs::remove_file(pack).unwrap());
        (!new.is_empty()).then_some(())
    });
    held.release().code(3);
    stack.until_up();
    assert_eq!(world.whole_points(), Vec::new());

    let stack = world
        .stack("other")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .env("KOPI_DOCKA_FAULT_LONG_STREAM_SECONDS", "0")
        .ok();
    assert_eq!(world.whole_points().len(), 1);
}

/// The files of the repository that hold what is in files.
fn packs(world: &World) -> Vec<PathBuf> {
    let mut folders = vec![world.path("repo")];
    let mut packs = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .strip_prefix(world.path("repo"))
                .unwrap()
                .to_string_lossy()
                .starts_with('p')
            {
                packs.push(path);
            }
        }
    }
    packs
}
