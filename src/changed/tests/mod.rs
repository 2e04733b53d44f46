//! The rules in force, against the real tar: nights of an adversary, for each rule the smallest story that goes wrong without it, and how
//! much is read.

mod adversary;
mod budget;
mod dma;
mod flight;
mod nights;
mod oracle;
mod stories;
mod tree;
