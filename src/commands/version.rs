//! `version`: which program this is.

use serde_json::json;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Args {}

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn run(cx: &Context, _args: Args) -> Result<u8> {
    if cx.ui.json {
        cx.ui
            .answer_json(&json!({"name": NAME, "version": VERSION, "target": target()}));
        return Ok(0);
    }
    cx.ui.answer(format!("{NAME} {VERSION}"));
    if cx.ui.verbose {
        cx.ui.answer(format!("target: {}", target()));
    }
    Ok(0)
}

/// What it was built for, such as `x86_64-linux-musl`.
fn target() -> String {
    let libc = if cfg!(target_env = "musl") {
        "musl"
    } else {
        "gnu"
    };
    format!("{}-{}-{libc}", std::env::consts::ARCH, std::env::consts::OS)
}
