//! How Kopia logs in to a server that it reaches by SSH, as the configuration says it.

use std::path::PathBuf;

use crate::config::KopiaParams;
use crate::drivers::ssh::{Login, Server};

/// `None` where Kopia leaves that to the host's `ssh`, or where the files are not named.
pub fn login(params: &KopiaParams) -> Option<Login> {
    if params.needs_ssh_program() {
        return None;
    }
    Some(Login {
        server: Server {
            host: params.ssh_host()?,
            port: params.flag("port").unwrap_or("22").parse().ok()?,
            user: params.flag("username")?.to_owned(),
        },
        key: PathBuf::from(params.flag("keyfile")?),
        known_hosts: PathBuf::from(params.flag("known-hosts")?),
    })
}
