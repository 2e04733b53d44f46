//! `new-config`: the wizard that writes the configuration, or one out of an old file.

use std::path::PathBuf;

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::setup::{self, Written};

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Replace the configuration that is there; a copy of it is kept
    #[arg(long)]
    pub force: bool,

    /// Take over the file of an earlier version: `kopi-docka.conf` of version 1 or 2, or a later JSON file
    ///
    /// Asks only for what is missing there, and says what has no place any more.
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
