//! `kopia.kopia_params`: the backend and its flags, as they would follow `kopia repository create`.
//!
//! Reading order: [`kopia_params`] → [`backend`] → [`flag`] (words into flags) → [`sftp`] (the short forms of an address) →
//! [`secrets`] (which flags must not be seen, and where Kopia takes them from instead).
//!
//! There is no way to get the flags out with secrets among them: [`KopiaParams::split_secrets`] is what a
//! command line is made of, [`KopiaParams::masked`] is what is shown.

mod backend;
mod flag;
mod kopia_params;
mod secrets;
mod sftp;
#[cfg(test)]
mod tests;

pub use backend::Backend;
pub use kopia_params::KopiaParams;
pub use secrets::holds_secret;
