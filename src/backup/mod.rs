//! stub

pub mod recipe;
