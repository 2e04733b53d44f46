//! Programs of the operator, outside of the sandbox that our own units are in.

use std::time::Duration;

use crate::drivers::tool::{self, Spec};
use crate::error::Result;

/// Runs `command` as the service `unit` until its time is over; what it writes comes to us.
pub fn outside(
    unit: &str,
    command: &[String],
    variables: &[(&str, String)],
    limit: Duration,
) -> Result<Spec> {
    let program = tool::find("systemd-run", "install systemd")?;
    let variables = variables
        .iter()
        .map(|(name, value)| format!("--setenv={name}={value}"));
    // systemd puts a variable in the place of `$NAME`.
    let command = command.iter().map(|word| word.replace('$', "$$"));
    Ok(Spec::new(&program)
        .args(["--wait", "--pipe", "--collect", "--quiet"])
        .arg(format!("--unit={unit}"))
        .arg(format!(
            "--property=RuntimeMaxSec={}",
            limit.as_secs().max(1)
        ))
        .arg("--property=TimeoutStopSec=5")
        .args(variables)
        .arg("--")
        .args(command))
}

/// Ends what [`outside`] runs.
pub async fn end_outside(unit: &str) {
    let Ok(program) = tool::find("systemctl", "install systemd") else {
        return;
    };
    let stop = Spec::new(&program).args(["stop", "--no-block", unit]);
    // It has a time limit of its own.
    let _ = tool::run_to_end(stop, Duration::from_secs(3)).await;
}
