//! A real database with running writers is saved, destroyed, and comes back sound.

use std::fs;
use std::time::Duration;

use crate::common::{Bed, Run, Service, Stack, World, until};

/// Enough for an index of several levels.
const ROWS: u64 = 3_000;

const FILL: &str = "create extension amcheck; create table rows (id bigserial primary key, payload text not null, sum text not null);
    insert into rows (payload, sum) select p, md5(p) from (select repeat(random()::text, 20) as p from generate_series(1, 3000)) as made";

fn sql(stack: &Stack, query: &str) -> Run {
    let psql = ["psql", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qAtc"];
    stack.exec("db", &psql).arg(query)
}

fn number(stack: &Stack, query: &str) -> u64 {
    sql(stack, query).text().parse().unwrap()
}

/// Inserts rows that hold their own checksum, each committed by itself, until its container is stopped.
fn start_writer(world: &World, stack: &Stack) {
    let writer = "while psql -U postgres -qc \"insert into rows (payload, sum)
        select p, md5(p) from (select repeat(random()::text, 1 + (random() * 200)::int) as p) as made\"; do :; done";
    let container = stack.container("db");
    world
        .docker(&["exec", "--detach", &container, "sh", "-c", writer])
        .ok();
}

/// Waits until there are more than `rows`.
fn until_more_than(stack: &Stack, rows: u64) {
    until("more rows", Duration::from_secs(60), || {
        (number(stack, "select count(*) from rows") > rows).then_some(())
    });
}

/// Every index fits its table, every page its checksum, every row its own.
fn assert_sound(stack: &Stack) {
    stack
        .exec(
            "db",
            &[
                "pg_amcheck",
                "-U",
                "postgres",
                "--database=postgres",
                "--heapallindexed",
            ],
        )
        .ok();
    assert_eq!(
        sql(
            stack,
            "select bt_index_parent_check('rows_pkey', true, true)"
        )
        .text(),
        ""
    );
    let broken = "select count(*) from rows where md5(payload) <> sum";
    assert_eq!(number(stack, broken), 0);
}

/// A PostgreSQL of `image` on a volume.
fn served(service: Service, image: &str) -> Service {
    service
        .image(image)
        .volume("data", "/var/lib/postgresql/data")
        .health("pg_isready -U postgres")
}

/// One that stops by what its own image would say, with rows in it.
fn filled(world: &World) -> Stack {
    let image = Bed::shared().postgres_image(15);
    let stack = world
        .stack("shop")
        .service("db", |s| {
            served(s, &image).arg("--stop-signal").arg("SIGINT")
        })
        .up();
    sql(&stack, FILL).ok();
    stack
}

#[test]
fn postgresql_with_running_writers_comes_back_sound_and_with_every_row_committed_before() {
    let world = World::new();
    world.init();
    let stack = filled(&world);
    for _ in 0..3 {
        start_writer(&world, &stack);
    }
    until_more_than(&stack, ROWS + 20);
    let before = number(&stack, "select count(*) from rows");
    let report = world.backup(&stack);
    assert_eq!(report["units"][0]["grade"], "ok");

    stack.until_up();
    sql(
        &stack,
        "update rows set sum = 'wrong'; drop index rows_pkey cascade",
    )
    .stderr_any()
    .run();
    sql(&stack, "truncate rows").ok();
    world
        .kd(&["--quiet", "restore", "--yes", "--backup-id", "latest"])
        .args(["--unit", stack.unit()])
        .ok();
    stack.until_up();
    assert_sound(&stack);
    assert!(number(&stack, "select count(*) from rows") >= before);
    // It goes on from there.
    start_writer(&world, &stack);
    let restored = number(&stack, "select count(*) from rows");
    until_more_than(&stack, restored + 20);
    assert_sound(&stack);
}

#[test]
fn postgresql_under_load_is_sound_after_ten_nights_of_reading_what_changed() {
    let world = World::new();
    world.config(|config| config["backup"]["read_pays"] = "0s".into());
    world.init();
    let stack = filled(&world);
    let mut points = Vec::new();
    let mut kept = 0;
    for _ in 0..10 {
        stack.until_up();
        start_writer(&world, &stack);
        let rows = number(&stack, "select count(*) from rows");
        until_more_than(&stack, rows + 20);
        let report = world.backup(&stack);
        let source = &report["units"][0]["sources"][0];
        assert_eq!(
            (&source["read"], &source["grade"]),
            (&"changed".into(), &"ok".into())
        );
        kept += source["kept_bytes"].as_u64().unwrap();
        points.push((report["backup_id"].as_str().unwrap().to_owned(), rows));
    }
    assert!(kept > 0, "everything was read in the windows");
    for (id, rows) in [&points[1], &points[5], &points[9]] {
        world.restore(stack.unit(), &["--backup-id", id]).ok();
        stack.until_up();
        assert_sound(&stack);
        assert!(number(&stack, "select count(*) from rows") > *rows);
    }
}

#[test]
fn postgresql_that_was_upgraded_in_place_goes_back_to_the_version_that_wrote_its_data() {
    let world = World::new();
    world.init();
    let [old, new] = [15, 17].map(|major| Bed::shared().postgres_image(major));
    let stack = world
        .stack("shop")
        .service("db", |s| served(s, &old).restart("always"))
        .up_with_compose();
    let compose = |args: &[&str]| {
        let run = stack.compose(args);
        run.stdout_any().stderr_any().ok();
    };
    let major = || number(&stack, "show server_version_num") / 10_000;
    stack.until_up();
    sql(&stack, FILL).ok();
    world.backup(&stack);
    stack.until_up();

    // As it is done: dumped by the old one, read by the new one into the same volume.
    let dump = stack.exec("db", &["pg_dump", "-U", "postgres", "postgres"]);
    let dump = dump.text();
    compose(&["stop"]);
    let volume = stack.volume_path("data");
    for entry in fs::read_dir(&volume).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let file = stack.dir().join("compose.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&old, &new)).unwrap();
    compose(&["up", "--detach"]);
    stack.until_up();
    fs::write(volume.join("dump.sql"), dump).unwrap();
    let load = ["psql", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qf"];
    let load = stack.exec("db", &load);
    load.arg("/var/lib/postgresql/data/dump.sql")
        .stdout_any()
        .ok();
    assert_sound(&stack);
    assert_eq!(
        (major(), number(&stack, "select count(*) from rows")),
        (17, ROWS)
    );
    // And then it is found to be broken.
    sql(&stack, "drop table rows").ok();

    let kd = |args: &[&str]| {
        let run = world.kd(&["--quiet", "restore", "--yes"]).args(args);
        run.args(["--unit", stack.unit()]).stdout_any().stderr_any()
    };
    kd(&["--backup-id", "latest", "--up"]).ok();
    stack.until_up();
    assert_eq!(
        (major(), number(&stack, "select count(*) from rows")),
        (15, ROWS)
    );
    assert_sound(&stack);
    let log = world.docker(&["logs", &stack.container("db")]).stderr_any();
    let log = log.stdout_any().ok();
    assert!(!log.stderr().contains("FATAL"), "{log}");

    kd(&["--undo", "latest"]).ok();
    stack.until_up();
    let left = number(
        &stack,
        "select count(*) from pg_tables where tablename = 'rows'",
    );
    assert_eq!((major(), left), (17, 0));
}
