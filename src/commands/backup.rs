//! `backup`: cold backup of every unit, or of the named ones.

use std::time::Duration;

use clap_complete::ArgValueCompleter;
use tracing::info;

use crate::backup::{Asked, preview_text};
use crate::base::lock::{Lock, Wait};
use crate::completion;
use crate::context::Context;
use crate::error::Result;
use crate::logging;
use crate::model::UnitName;
use crate::service::backup::back_up;
use crate::service::retry::Operator;
use crate::ui::prompt;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this unit (can be repeated)
    #[arg(long = "unit", value_name = "UNIT", add = ArgValueCompleter::new(completion::units_here))]
    units: Vec<UnitName>,

    /// Accept the losses of this unit: it counts as whole without them, and retention continues (can be repeated)
    #[arg(long = "accept-loss", value_name = "UNIT", conflicts_with = "dry_run", add = ArgValueCompleter::new(completion::units_here))]
    accepted: Vec<UnitName>,

    /// Read all files while services are down, as `backup.read` = `everything` does
    #[arg(long, conflicts_with = "dry_run")]
    read_everything: bool,

    /// Write a recovery bundle after the run, as `backup.update_recovery_bundle` does
    #[arg(long, conflicts_with = "dry_run")]
    update_recovery: bool,

    /// Wait for another run to end: without a limit, or up to 90s, 10m, 12h [default: exit with code 11]
    #[arg(
        long,
        value_name = "T",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = parse_wait,
        conflicts_with = "dry_run"
    )]
    wait: Option<Wait>,

    /// Show what would be done and change nothing, as `kopi-docka dry-run` does
    #[arg(long)]
    pub dry_run: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    if args.dry_run {
        return preview_text::show(cx, &args.units).await;
    }
    cx.require_root("backup")?;
    let loaded = cx.config()?;
    let wait = args.wait.unwrap_or(Wait::No);
    let tell = |why: &str| {
        cx.ui.say(format!("Waiting: {why}"));
        info!(target: logging::FILE, "waits: {why}");
    };
    let lock = Lock::take_after(&cx.paths.runtime, "backup", wait, &cx.shutdown, tell).await?;
    let loaded = match args.wait {
        // What was waited for may have been hours, or a change of the password.
        Some(_) => cx.config_again()?,
        None => loaded,
    };
    let asked = Asked {
        units: &args.units,
        accepted: &args.accepted,
        reads_everything: args.read_everything,
        update_recovery: args.update_recovery,
    };
    let operator = if prompt::is_at_terminal() {
        Operator::There
    } else {
        Operator::Away
    };
    let ran = back_up(cx, loaded, lock, asked, operator).await;
    Ok(ran?.exit_code)
}

/// A number of seconds, minutes, hours or days; nothing is as long as it takes.
fn parse_wait(text: &str) -> Result<Wait, String> {
    if text.is_empty() {
        return Ok(Wait::Forever);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_each = match text.strip_prefix(digits) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 86_400,
        _ => 0,
    };
    let seconds = digits.parse::<u32>().ok().filter(|_| seconds_each > 0);
    let seconds = seconds.ok_or("expected a time such as 90s, 10m, 12h or 1d")?;
    Ok(Wait::For(Duration::from_secs(
        u64::from(seconds) * seconds_each,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_time_with_its_unit() {
        let seconds = |text: &str| match parse_wait(text) {
            Ok(Wait::For(time)) => Some(time.as_secs()),
            _ => None,
        };
        assert_eq!(parse_wait(""), Ok(Wait::Forever));
        assert_eq!(seconds("0s"), Some(0));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("10m"), Some(600));
        assert_eq!(seconds("12h"), Some(43_200));
        assert_eq!(seconds("30d"), Some(2_592_000));
        for wrong in [
            "90",
            "s",
            "-1s",
            "1.5h",
            "1 h",
            "10ms",
            "99999999999s",
            "1h30m",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
