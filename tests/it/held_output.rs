//! Output that is not read holds nothing: services come up, signals are heard, the program ends. Output that is read late is whole.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Signal, Unread, World, until};

const MOMENT: Duration = Duration::from_secs(60);

/// A signal is answered within a second; the rest is for a machine that is busy.
const ANSWERED: Duration = Duration::from_secs(3);

#[test]
fn a_run_whose_output_nobody_reads_saves_everything_and_ends() {
    let world = World::new();
    let stack = world.web();
    world.init();
    for args in [&["backup"][..], &["--json", "backup"], &["-v", "backup"]] {
        let args = [args, &["--unit", stack.unit()]].concat();
        let mut run = world.kd(&args).unread();
        run.code(0, MOMENT);
        let unit = &world.report()["units"][0];
        assert_eq!(unit["grade"], "ok", "{args:?}: {unit}");
        let downtime = unit["downtime_seconds"].as_f64().unwrap();
        assert!(downtime < 8.0, "{args:?}: {downtime}");
    }
    stack.until_up();
}

#[test]
fn a_signal_is_heard_by_a_run_whose_output_nobody_reads() {
    let world = World::new();
    let stack = world.web();
    world.init();
    let file = world.path("held");
    let fault = format!("hold@read={}", file.display());
    let mut run = world
        .kd(&["--json", "backup", "--unit", stack.unit()])
        .env("KOPI_DOCKA_FAULT", fault)
        .unread();
    until("the window", MOMENT, || file.exists().then_some(()));
    run.signal(Signal::TERM);
    std::fs::remove_file(&file).unwrap();
    run.code(143, MOMENT);
    stack.until_up();
    assert_eq!(world.report()["exit_code"], 143);
}

#[test]
fn a_terminal_that_was_stopped_keeps_no_service_down() {
    let world = World::new();
    let stack = world.web();
    world.init();
    let file = world.path("held");
    let fault = format!("hold@read={}", file.display());
    let mut terminal = world
        .kd(&["backup", "--unit", stack.unit()])
        .env("KOPI_DOCKA_FAULT", fault)
        .terminal();
    until("the window", MOMENT, || file.exists().then_some(()));
    // Ctrl-S
    terminal.press("\u{13}");
    std::fs::remove_file(&file).unwrap();
    until("the report", MOMENT, || {
        world.reports().first().map(|report| {
            assert_eq!(report["units"][0]["grade"], "ok", "{report}");
        })
    });
    stack.until_up();
    terminal.terminate();
    let began = Instant::now();
    terminal.code(0);
    assert!(began.elapsed() < ANSWERED, "{:?}", began.elapsed());
}

#[test]
fn an_answer_waits_for_its_reader_and_is_whole() {
    let world = World::new();
    world.init();
    let path = world.stand_in("kopia", &many_snapshots(4_000));
    let list = || world.kd(&["--json", "list", "--snapshots", "--all-hosts"]);
    let mut run = list().env("PATH", &path).unread();
    // Longer than a run waits for its reader.
    stays(&mut run, Duration::from_secs(12));
    let (stdout, stderr) = run.read();
    run.code(0, MOMENT);
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        answer["points"].as_array().unwrap().len(),
        4_000,
        "{stderr}"
    );
    let mut run = list().env("PATH", &path).unread();
    stays(&mut run, Duration::from_secs(4));
    run.signal(Signal::INT);
    let took = run.code(0, MOMENT);
    assert!(took < ANSWERED, "{took:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    world.init();
    let path = world.stand_in("kopia", &many_snapshots(4_000));
    let script = "\"$@\" | head -n 3";
    let shown = world
        .kd(&["--json", "list", "--snapshots", "--all-hosts"])
        .under(["bash", "-o", "pipefail", "-c", script, "bash"])
        .env("PATH", &path)
        .stdout_any()
        .ok();
    assert_eq!(shown.stdout().lines().count(), 3);
}

#[track_caller]
fn stays(run: &mut Unread, time: Duration) {
    let began = Instant::now();
    until("some time to pass", MOMENT, || {
        assert!(run.is_running());
        (began.elapsed() >= time).then_some(())
    });
}

/// A kopia that lists as many points, of one source and its recipe each.
pub fn many_snapshots(points: u32) -> String {
    format!(
        r#"case "$*" in
*"snapshot list"*)
  exec awk -v n={points} 'BEGIN {{
    s = "\"startTime\":\"2025-01-31T23:59:59Z\",\"endTime\":\"2025-01-31T23:59:59Z\",\"stats\":{{\"totalSize\":100000000,\"excludedTotalSize\":0,\"fileCount\":1,\"cachedFiles\":0,\"nonCachedFiles\":1,\"dirCount\":1,\"excludedFileCount\":0,\"excludedDirCount\":0,\"ignoredErrorCount\":0,\"errorCount\":0}}"
    r = "\"type\":\"d\",\"mode\":\"0777\",\"mtime\":\"1754-08-30T22:43:41.128654848Z\",\"summ\":{{\"size\":100000000,\"files\":1,\"symlinks\":0,\"dirs\":1,\"maxTime\":\"2026-11-22T06:02:46.030386458Z\",\"numFailed\":0}}"
    printf "["
    for (i = 0; i < n; i++) {{
      id = sprintf("%04d-%02d-%02dT%02d-%02d-%02dZ", 1970 + i / 31104000, 1 + i / 2592000 % 12, 1 + i / 86400 % 28, i / 3600 % 24, i / 60 % 60, i % 60)
      t = sprintf("\"tag:format\":\"1\",\"tag:unit\":\"web\",\"tag:backup_id\":\"%s\",\"tag:timestamp\":\"2025-01-31T23:59:59Z\"", id)
      printf "%s{{\"id\":\"%032xa\",\"source\":{{\"host\":\"h\",\"userName\":\"kopi-docka\",\"path\":\"/kd/web/volumes/web_data\"}},%s,\"rootEntry\":{{\"obj\":\"k%032xa\",%s}},\"tags\":{{\"tag:type\":\"volume\",\"tag:volume\":\"web_data\",%s}}}},\n", i ? ",\n" : "", i, s, i, r, t
      printf "{{\"id\":\"%032xb\",\"source\":{{\"host\":\"h\",\"userName\":\"kopi-docka\",\"path\":\"/kd/web/recipe\"}},%s,\"rootEntry\":{{\"obj\":\"k%032xb\",%s}},\"tags\":{{\"tag:type\":\"recipe\",\"tag:grade\":\"ok\",\"tag:roots\":\"k%032xa\",\"tag:size_bytes\":\"5\",%s}}}}", i, s, i, r, i, t
    }}
    print "]"
  }}' ;;
esac
exec "$REAL" "$@""#
    )
}
