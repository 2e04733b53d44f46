//! TODO

pub mod metrics;
pub mod past;
