//! A real database with running writers is saved, destroyed, and comes back sound.

use std::time::Duration;

use crate::common::{Bed, Run, Stack, World, until};

/// Enough for an index of several levels.
const ROWS: u64 = 3_000;

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

#[test]
fn postgresql_with_running_writers_comes_back_sound_and_with_every_row_committed_before() {
    let world = World::new();
    world.init();
    let image = Bed::shared().postgres_image();
    let stack = world
        .stack("shop")
        .service("db", |s| {
            s.image(image)
                .volume("data", "/var/lib/postgresql/data")
                .health("pg_isready -U postgres")
                .arg("--stop-signal")
                .arg("SIGINT")
        })
        .up();
    sql(
        &stack,
        "create extension amcheck; create table rows (id bigserial primary key, payload text not null, sum text not null);
         insert into rows (payload, sum) select p, md5(p) from (select repeat(random()::text, 20) as p from generate_series(1, 3000)) as made",
    )
    .ok();
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
