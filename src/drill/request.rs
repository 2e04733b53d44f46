//! What is to be drilled.

use crate::points::choose::Wanted;

pub struct Request {
    pub wanted: Wanted,
    /// The copy is left running.
    pub is_kept: bool,
    /// Images that are not here are fetched.
    pub pulls: bool,
}
