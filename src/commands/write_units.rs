//! `write-units`: the systemd units, rendered from the configuration.

use std::path::PathBuf;

use crate::context::Context;
use crate::error::Result;
use crate::service::write::{self, Options};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write them into this folder and do nothing else, for packagers [default: /etc/systemd/system]
    ///
    /// They are rendered from the defaults, or from the file that `--config` names: this host's own configuration is not that of
    /// those who install the package.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// The program that the units start [default: the one that runs now]
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
