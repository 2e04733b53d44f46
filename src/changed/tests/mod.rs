//! The rules in force, against the real tar: nights of an adversary, and for each rule the smallest story that goes wrong without it.

mod adversary;
mod nights;
mod oracle;
mod stories;
mod tree;
