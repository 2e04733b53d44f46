//! Writes the systemd units, rendered from the configuration.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::install::{self, Place, State};
use super::units::{self, Installation};
use crate::base::files::make_private_folder;
use crate::base::paths::Paths;
use crate::config::{self, Config};
use crate::context::Context;
use crate::drivers::systemd::SYSTEM_FOLDER;
use crate::drivers::systemd::{is_booted, systemctl};
use crate::error::Result;

#[derive(Debug, Default)]
pub struct Options {
    /// Only there, for packagers; `None`: for systemd, which is told.
    pub output_dir: Option<PathBuf>,
    /// What the units start; `None`: the program that runs now.
    pub program: Option<PathBuf>,
}

/// Renders the units, shows how they differ from what is there, and writes them.
pub async fn run(cx: &Context, options: Options) -> Result<u8> {
    if options.output_dir.is_none() {
        cx.require_root("write-units")?;
    }
    let loaded = match options.output_dir {
        Some(_) => cx.config_if_named()?,
        None => cx.config_if_any()?,
    };
    let is_configured = loaded.is_some();
    let (config, config_file) = match loaded {
        Some(loaded) => (loaded.config, loaded.path),
        None => (Config::default(), config::SYSTEM_FILE.into()),
    };
    let program = match options.program {
        Some(program) => std::path::absolute(program)?,
        None => units::own_program()?,
    };
    let paths = paths_of_root(cx);
    let units = units::render(&Installation {
        config: &config,
        config_file,
        program: program.clone(),
        paths: &paths,
    })?;
    let folder = options
        .output_dir
        .as_deref()
        .unwrap_or(Path::new(SYSTEM_FOLDER));
    let places = install::compare(folder, &units)?;
    if !cx.ui.json {
        places.iter().for_each(|place| show(cx, place));
    }
    install::write(folder, &places)?;
    let mut is_reloaded = false;
    if options.output_dir.is_none() {
        warn_of_program(cx, &program);
        if is_configured {
            make_folders(&config)?;
        }
        is_reloaded = reload(cx).await;
    }
    if cx.ui.json {
        answer(cx, folder, &places, is_reloaded);
    } else if options.output_dir.is_none() {
        cx.ui.say(format!("Next: `{}`", units::ENABLE));
    }
    Ok(0)
}

/// The units run as root, whichever user writes them for a package.
fn paths_of_root(cx: &Context) -> Paths {
    let home = if rustix::process::geteuid().is_root() {
        cx.paths.home.clone()
    } else {
        PathBuf::from("/root")
    };
    Paths {
        home,
        ..cx.paths.clone()
    }
}

fn show(cx: &Context, place: &Place<'_>) {
    let what = match place.state {
        State::New => "new",
        State::Changed => "changed",
        State::Same => "unchanged",
    };
    cx.ui.answer(format!("{}: {what}", place.path.display()));
    for line in &place.difference {
        cx.ui.answer(format!("  {line}"));
    }
    for drop_in in &place.drop_ins {
        cx.ui.answer(format!("  kept: {}", drop_in.display()));
    }
}

fn answer(cx: &Context, folder: &Path, places: &[Place<'_>], is_reloaded: bool) {
    let units = places.iter().map(|place| {
        json!({
            "name": place.unit.name, "path": place.path, "state": place.state,
            "difference": place.difference, "drop_ins": place.drop_ins,
        })
    });
    cx.ui.answer_json(&json!({
        "folder": folder, "units": units.collect::<Vec<_>>(), "reloaded": is_reloaded, "next": units::ENABLE,
    }));
}

/// A unit that starts a program which a user can replace runs that as root.
fn warn_of_program(cx: &Context, program: &Path) {
    let places = ["/home", "/tmp", "/var/tmp"];
    if places.iter().any(|place| program.starts_with(place)) {
        cx.ui.warn(format!(
            "the units start `{}`, which may be gone, hidden from them or replaced one day: install it to /usr/local/bin and run \
             `kopi-docka write-units` from there",
            program.display()
        ));
    }
}

/// A unit can write only to directories that are there when it starts. That of the repository is for `init` to make.
fn make_folders(config: &Config) -> Result<()> {
    let repository = config.kopia.kopia_params.local_path();
    for folder in units::writable_folders(config) {
        if repository.as_deref() != Some(folder) {
            make_private_folder(folder)?;
        }
    }
    Ok(())
}

/// Tells systemd, where it runs.
async fn reload(cx: &Context) -> bool {
    if !is_booted() {
        cx.ui.say("systemd does not run here: nothing was reloaded");
        return false;
    }
    match systemctl(&["daemon-reload"]).await {
        Ok(()) => true,
        Err(error) => {
            cx.ui.warn(format!(
                "systemd was not reloaded: {error:#}; run `systemctl daemon-reload`"
            ));
            false
        }
    }
}
