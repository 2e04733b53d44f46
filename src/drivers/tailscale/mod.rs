//! Other machines of the tailnet, as places for a repository.
//!
//! Reading order: [`status`] (what `tailscale` tells) → [`mod@ping`] (how near each is).
//!
//! Names of peers are chosen by their owners: they are shown with care, and become a word of a command only when they are
//! nothing but a host's name.

mod ping;
mod status;

pub use ping::{Pong, ping};
#[cfg(test)]
pub use status::testing;
pub use status::{Peer, Tailnet, is_of_tailscale, tailnet};

use std::path::PathBuf;

use super::tool;
use crate::error::Result;

fn find() -> Result<PathBuf> {
    tool::find(
        "tailscale",
        "install Tailscale (https://tailscale.com/download) and run `sudo tailscale up`",
    )
}
