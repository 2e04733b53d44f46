//! TODO

pub mod attributes;
pub mod beneath;
pub mod changed;
pub mod exchange;
pub mod flush;
pub mod held;
pub mod holes;
pub mod journal;
pub mod kept;
pub mod marks;
mod numbers;
pub mod program;
pub mod staging;
pub mod users;
mod within;
