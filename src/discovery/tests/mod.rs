//! Hosts as they are found in the wild, decided about without one.

mod build;
mod compose;
mod engine;
mod sources;
mod units;
