//! The kit of the integration tests: a real engine, a real Kopia, the real binary.
//!
//! - [`World`]: one per test, with directories, configuration, repository and Docker objects of its own, gone when it drops.
//!   Tests run in parallel on one engine; whatever a test makes there carries its world's id.
//! - [`World::kd`], [`World::kopia`], [`World::docker`]: run a program; **every stream that is not mentioned must be empty**.
//! - [`World::stack`]: containers like those of a compose project, without the plugin's start-up time.
//! - [`World::watch`]: what Docker did meanwhile, to the nanosecond.
//! - [`Machine`]: a Debian of a test's own, with systemd and an engine in it.
//! - [`World::stand_in`], [`World::hold`]: a program that does something else than the real one, a run that waits at a step.
//! - [`Hung`]: a file system that stops answering. [`Unread`]: a program whose output nobody reads.
//! - [`Inbox`]: a server that takes messages, by HTTP or as mail. [`Registry`]: a registry of images. [`Sshd`], [`S3`], [`Azure`], [`Gcs`]: a real storage server of a test's own, to be frozen and killed.
//! - [`Tailnet`]: machines of a real tailnet, for backups to another machine of one's own.
//! - [`writer`]: a service whose data shows whether it was copied cold.
//! - [`schema`]: holds what `--json` prints to its description.
//! - [`torture`]: a tree with everything that a copy can lose; [`oracle`]: finds what it lost.
//!
//! What is missing is a panic, never a skipped test. `KOPI_DOCKA_TEST_KEEP=1` leaves everything behind to be looked at.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses its part of the kit"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr
)]

pub mod azure;
mod bed;
mod ca;
mod causes;
mod disk;
mod events;
mod gcs;
mod held;
mod hung;
mod inbox;
mod poll;
mod refusals;
mod registry;
mod run;
mod server;
mod service;
mod sshd;
mod stack;
mod stand_in;
mod systemd;
mod tailnet;
mod template;
mod terminal;
mod unread;
mod world;

pub mod oracle;
pub mod s3;
pub mod schema;
pub mod torture;
pub mod writer;

pub use azure::Azure;
pub use bed::{Bed, IMAGE, OwnEngine, path};
pub use ca::Tls;
pub use disk::{mount, mount_btrfs, mount_ext4, mount_made, mount_xfs, unmount};
pub use events::{Event, Events, Watch};
pub use gcs::Gcs;
pub use held::Held;
pub use hung::{Hung, Reader};
pub use inbox::{Got, Inbox, MAIL_PASSWORD, MAIL_USER, MachineInbox};
pub use oracle::Manifest;
pub use poll::{until, within};
pub use registry::Registry;
pub use run::{Done, Run, Running};
pub use rustix::process::Signal;
pub use s3::S3;
pub use server::{Folder, Server, enlarge, free_port};
pub use service::{Service, Volume};
pub use sshd::{Sshd, make_key};
pub use stack::{Stack, StackBuilder};
pub use stand_in::Process;
pub use systemd::Machine;
pub use tailnet::{Joined, Member, Node, Tailnet};
pub use terminal::Terminal;
pub use unread::Unread;
pub use world::{LABEL, PASSWORD, World};
