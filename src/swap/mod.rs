//! One directory in the place of another, surviving a kill at any moment.
//!
//! Reading order: [`marks`] (names beside a target) → [`journal`] (what is written down before anything moves: [`held`], [`program`]) →
//! [`staging`] (where what comes is made) → [`exchange`] (the renames, and the way back; [`numbers`]) → [`within`] with [`holes`] and [`attributes`] (where
//! a target cannot be renamed) → [`changed`], [`flush`] → [`kept`] (what is kept of what was there). [`users`] tells whom a swap would pull the data
//! away from; [`beneath`] opens what no link leads to.
//!
//! Never here: a decision on which data goes where.

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
