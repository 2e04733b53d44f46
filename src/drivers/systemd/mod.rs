//! TODO

pub mod inhibit;
pub mod notify;
