//! The integration tests: the real binary, a real engine, a real Kopia. One program, so that it is linked once and no file waits for
//! the slowest test of another. `common` is their kit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    // A test reads as the story that it is.
    clippy::too_many_lines
)]

mod common;

mod accept;
mod all;
mod backends;
mod backends_wizard;
mod bundle;
mod care;
mod changed;
mod clones;
mod cold;
mod comeback;
mod commands;
mod completion;
mod configuration;
mod contents;
mod daemon;
mod databases;
mod doctor;
mod documented;
mod doors;
mod drill;
mod every_key;
mod held_output;
mod hooks;
mod hosts;
mod hung;
mod inplace;
mod integrity;
mod interrupted;
mod kit;
mod legacy;
mod losses;
mod neighbours;
mod nested;
mod new_host;
mod notify;
mod packaging;
mod parts;
mod password;
mod patterns;
mod pieces;
mod pipeline;
mod program;
mod projects;
mod rebuild;
mod refusals;
mod restore;
mod retention;
mod safety;
mod scale;
mod schemas;
mod scripts;
mod setup;
mod signals;
mod slow;
mod storage_failures;
mod systemd;
mod tailnet;
mod tailnet_check;
mod tailnet_middle;
mod tailnet_units;
mod units;
mod verify;
mod window;
mod wizard;
mod writing_config;
