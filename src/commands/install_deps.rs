//! `install-deps`: brings the programs that are missing.

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::setup::programs::{self, Assent};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the commands and run nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask for confirmation
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("install-deps")?;
    cx.log_if_configured();
    // It says where Docker is and which backend it is; without one the usual ones count.
    let loaded = cx.config_again().ok();
    let config = loaded.as_ref().map(|loaded| &loaded.config);
    let missing = programs::missing(config).await;
    let (distribution, plan) = programs::of_this_host(&missing);
    let commands: Vec<String> = plan.steps.iter().map(programs::Step::display).collect();
    if !missing.is_empty() && !args.dry_run {
        let assent = if args.yes { Assent::Given } else { Assent::Ask };
        programs::install(cx, config, &missing, assent).await?;
    }
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "distribution": distribution,
            "missing": missing,
            "commands": commands,
            "by_hand": plan.by_hand,
            "is_done": !args.dry_run,
        }));
        return Ok(0);
    }
    if missing.is_empty() {
        cx.ui.answer("All required programs are installed.");
    } else if args.dry_run {
        cx.ui.answer(format!("On {}:", distribution.name));
        for missing in &missing {
            let rank = if missing.is_required {
                ""
            } else {
                ", optional"
            };
            let name = missing.dependency.name();
            cx.ui.answer(format!("  {name}: {}{rank}", missing.why));
        }
        if !commands.is_empty() {
            cx.ui.answer("This would be run:");
        }
        for command in &commands {
            cx.ui.answer(programs::indented(command));
        }
        for by in &plan.by_hand {
            cx.ui.answer(by.text());
        }
    } else if !commands.is_empty() {
        cx.ui.answer("Installed, and it works.");
    }
    Ok(0)
}
