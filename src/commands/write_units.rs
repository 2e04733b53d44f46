//! `write-units`: the systemd units, rendered from the configuration.

use std::path::PathBuf;

use crate::context::Context;
use crate::error::Result;
use crate::service::write::{self, Options};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the units to this directory and do nothing else, for packagers [default: /etc/systemd/system]
    ///
    /// They are rendered from the defaults, or from the file given with `--config`, not from the configuration of this host.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Program that the units start [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    let options = Options {
        output_dir: args.output_dir,
        program: args.program,
    };
    write::run(cx, options).await
}
