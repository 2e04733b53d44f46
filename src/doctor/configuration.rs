//! The configuration, and who may read and change what root relies on.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::finding::Finding;
use crate::config::Loaded;
use crate::context::Context;
use crate::drivers::kopia;
use crate::error::{Exit, Result};

pub const AREA: &str = "configuration";

pub async fn check(cx: &Context, loaded: &Result<Loaded>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match loaded {
        Err(error) => findings.push(Finding::of_error(AREA, error)),
        Ok(loaded) => {
            let path = loaded.path.display();
            match loaded.config.password() {
                Ok(_) => findings.push(Finding::ok(AREA, format!("`{path}` is valid"))),
                Err(error) => findings.push(Finding::of_error(AREA, &error)),
            }
            for warning in &loaded.warnings {
                let finding = Finding::warning(AREA, warning.clone());
                findings.push(finding.remedy(format!("correct it in `{path}`")));
            }
            let profile = kopia::profile_file(&cx.paths.home, loaded.config.profile());
            findings.extend(private(
                &profile,
                "600",
                "it says how the storage is reached",
            ));
        }
    }
    let secrets = "it holds what was stopped, and secrets of unfinished work";
    findings.extend(private(&cx.paths.state, "700", secrets));
    findings.extend(private(&cx.paths.runtime, "700", secrets));
    findings
}

/// Says so when others than its owner can use it. What is not there yet is made with the right mode.
fn private(path: &Path, mode: &str, why: &str) -> Option<Finding> {
    let metadata = path.metadata().ok()?;
    let open = metadata.mode() & 0o077;
    let name = path.display();
    let quoted = shell_words::quote(&path.to_string_lossy()).into_owned();
    if metadata.uid() != 0 && rustix::process::geteuid().is_root() {
        let message = format!(
            "`{name}` belongs to another user (uid {}), and {why}",
            metadata.uid()
        );
        let finding = Finding::failure(AREA, Exit::Config, message);
        return Some(finding.remedy(format!("chown root {quoted}")));
    }
    // Write access decides what root starts; read access only reveals it.
    let message = format!(
        "`{name}` is open to other users of this host (mode {:04o}), and {why}",
        metadata.mode() & 0o7777
    );
    let finding = match open {
        0 => return None,
        open if open & 0o022 != 0 => Finding::failure(AREA, Exit::Config, message),
        _ => Finding::warning(AREA, message),
    };
    Some(finding.remedy(format!("chmod {mode} {quoted}")))
}
