//! TODO

pub mod credentials;
pub mod machine;
pub mod open;
pub mod password;
