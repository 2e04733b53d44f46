//! A server that is reached by SSH: its host keys, our key pair, and the proof that both do.
//!
//! Reading order: [`server`] (where, and as whom) → [`host_keys`] (scanned, shown, pinned) → [`key_pair`] → [`sftp`] (what is
//! done there unattended) → [`mod@install`] (our key, with the operator's own login); [`mod@disk_free`] for a server that is only looked at.
//!
//! Everything is as Kopia will do it: no agent, no configuration of the user, no host key that was not pinned. Only
//! [`mod@install`] and [`mod@disk_free`] use what the operator has.

mod disk_free;
mod host_keys;
mod install;
mod key_pair;
mod server;
mod sftp;

pub use disk_free::disk_free;
pub use host_keys::{HostKeys, scan};
pub use install::{install, manual};
pub use key_pair::{KeyPair, check_file};
pub use server::{Login, Server, listens};
pub use sftp::{Refusal, check_folder, free, prove, try_folder};

use std::path::{Path, PathBuf};

use super::tool;
use crate::error::Result;

const REMEDY: &str = "install OpenSSH's client (`openssh-client` or `openssh-clients`)";

fn find(program: &str) -> Result<PathBuf> {
    tool::find(program, REMEDY)
}

/// Where our own keys and known hosts are.
fn folder(home: &Path) -> PathBuf {
    home.join(".ssh")
}
