//! A shutdown or a suspend waits, as long as logind lets it, while containers are stopped. logind's delay is short
//! (`InhibitDelayMaxSec=`, 5 s); what it does not cover, the stop record does.
//!
//! It must never keep a window from opening or from closing: where there is no logind, or it says no, there is no lock and no error.

use std::os::fd::OwnedFd;
use std::path::Path;

use tracing::debug;

use crate::drivers::tool::{self, Child, Input, Spec};
use crate::error::Result;

/// Held until dropped.
pub struct Inhibitor {
    _child: Child,
    /// `cat` ends when it is closed, also when we are killed: the lock cannot outlive us.
    _stdin: OwnedFd,
}

/// While `unit` is down. `None` where there is no logind.
pub fn while_down(unit: &str) -> Option<Inhibitor> {
    // systemd runs, and logind answers for it.
    let is_there = ["/run/systemd/system", "/run/systemd/inhibit"];
    if !is_there.iter().all(|path| Path::new(path).is_dir()) {
        return None;
    }
    take(unit)
        .inspect_err(|error| debug!("no inhibitor lock: {error:#}"))
        .ok()
}

/// The program asks logind as it should be asked, whatever its version.
fn take(unit: &str) -> Result<Inhibitor> {
    let program = tool::find("systemd-inhibit", "install systemd")?;
    let stdin = tool::pipe()?;
    let spec = Spec::new(&program)
        .args(["--what=shutdown:sleep", "--mode=delay", "--who=kopi-docka"])
        .arg(format!(
            "--why=the containers of {unit} are stopped for a backup"
        ))
        .arg("cat")
        .input(Input::Pipe(stdin.reader));
    Ok(Inhibitor {
        _child: Child::spawn(spec)?,
        _stdin: stdin.writer,
    })
}
