//! Unattended, under a real systemd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod common;

use common::{Machine, World};

#[test]
fn the_machine_of_a_test_boots_again_with_what_it_had() {
    let machine = Machine::start();
    let world = World::on(&machine.engine);
    let stack = world
        .stack("web")
        .service("app", |s| s.restart("always"))
        .up();
    machine.write("/run/gone", "600", "x");
    machine.write("/backup/kept", "600", "x");
    machine.reboot();
    stack.until_up();
    machine.cut_power();
    stack.until_up();
    machine.sh("test ! -e /run/gone; test -e /backup/kept").ok();
}
