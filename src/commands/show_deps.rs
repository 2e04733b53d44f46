//! `show-deps`: how what is needed is installed by hand. Looks at nothing but the name of the distribution, so anybody may ask.

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::setup::programs::{self, Dependency, Distribution};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(cx: &Context, _args: Args) -> Result<u8> {
    let here = Distribution::detect();
    let guide = programs::guide(&here);
    if cx.ui.json {
        let needed: Vec<_> = Dependency::ALL
            .into_iter()
            .map(|dependency| {
                json!({
                    "dependency": dependency,
                    "name": dependency.name(),
                    "minimum": dependency.minimum(),
                    "purpose": dependency.purpose(),
                })
            })
            .collect();
        cx.ui
            .answer_json(&json!({"distribution": here, "needed": needed, "guide": guide}));
        return Ok(0);
    }
    cx.ui.answer("kopi-docka needs:");
    for dependency in Dependency::ALL {
        let minimum = dependency
            .minimum()
            .map_or_else(String::new, |minimum| format!(" {minimum} or newer"));
        cx.ui.answer(format!(
            "  {}{minimum}: {}",
            dependency.name(),
            dependency.purpose()
        ));
    }
    for part in guide {
        cx.ui.answer("");
        let here = if part.is_this_host {
            " (this host)"
        } else {
            ""
        };
        cx.ui
            .answer(format!("{}{here}, as root:", part.distribution));
        for command in &part.commands {
            cx.ui.answer(programs::indented(command));
        }
        for by in &part.by_hand {
            cx.ui.answer(format!("    # {}", by.text()));
        }
    }
    cx.ui.answer("");
    cx.ui
        .answer("`sudo kopi-docka install-deps` runs what is missing of it, `kopi-docka check` looks at the result.");
    Ok(0)
}
