//! Bringing restore points back.

pub mod points;
