//! `new-config`: the wizard that writes the configuration, or one out of an old file.

use std::path::PathBuf;

use serde_json::json;

use crate::bundle;
use crate::context::Context;
use crate::error::Result;
use crate::setup::{self, Written};

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Replace an existing configuration, keeping a dated copy
    #[arg(long)]
    pub force: bool,

    /// Import the file of an earlier version: `kopi-docka.conf` of version 1 or 2, or a JSON file
    ///
    /// Prompts only for what is missing, and reports what is no longer supported.
    #[arg(long, value_name = "FILE")]
    pub import: Option<PathBuf>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("new-config")?;
    let written = match &args.import {
        Some(old) => setup::import(cx, old, args.force).await?,
        None => setup::new_configuration(cx, args.force).await?,
    };
    if cx.ui.json {
        cx.ui.answer_json(&answer(&written));
    } else {
        written.tell(cx);
    }
    written.show_password(cx);
    // It took the place of one that bundles are of.
    if written.copy.is_some()
        && let Ok(loaded) = cx.config_again()
        && bundle::are_of_interest(cx, &loaded).await
    {
        bundle::tell_outdated(cx, "do not have this configuration", None);
    }
    cx.ui.say(
        "Next: `kopi-docka init`, which creates the repository or connects to it; or `kopi-docka setup`, which goes on to the \
         first backup.",
    );
    Ok(0)
}

fn answer(written: &Written) -> serde_json::Value {
    json!({
        "path": written.path,
        "copy": written.copy,
        "credentials": written.credentials,
        "left_out": written.left_out,
        "notes": written.notes,
    })
}
