//! Whether a container may run on this host, without a question to Docker: at boot that would start it.

use std::path::Path;

use anyhow::Context as _;

use crate::error::Result;

/// What runs containers, and what stays with each of them, as the kernel calls them (15 bytes). A runtime (`runc`) is no sign: it is called
/// by one of these, and where this host is a container itself, also for every command that is run in it from outside.
const ENGINES: [&str; 4] = ["dockerd", "containerd-shim", "conmon", "podman"];

/// The name of a process that runs containers or stays with one; `None` when there is none. Blocks.
pub fn engine_at_work() -> Result<Option<String>> {
    in_processes(Path::new("/proc"))
}

fn in_processes(proc: &Path) -> Result<Option<String>> {
    // A table that hides others' processes proves nothing.
    std::fs::read_to_string(proc.join("1/comm"))
        .context("the processes of this host cannot be seen")?;
    let processes = std::fs::read_dir(proc).context("the processes of this host cannot be seen")?;
    for process in processes {
        // One that ends meanwhile is no more.
        let Ok(name) = std::fs::read_to_string(process?.path().join("comm")) else {
            continue;
        };
        let name = name.trim_end();
        if ENGINES.iter().any(|engine| name.starts_with(engine)) {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_seen_by_its_processes_and_a_hidden_table_proves_nothing() {
        let proc = tempfile::tempdir().unwrap();
        let process = |id: &str, name: &str| {
            std::fs::create_dir(proc.path().join(id)).unwrap();
            std::fs::write(proc.path().join(id).join("comm"), format!("{name}\n")).unwrap();
        };
        assert!(in_processes(proc.path()).is_err());
        process("1", "systemd");
        process("2", "containerd");
        process("7", "runc:[2:INIT]");
        assert_eq!(in_processes(proc.path()).unwrap(), None);
        process("3", "containerd-shim");
        let found = in_processes(proc.path()).unwrap();
        assert_eq!(found.as_deref(), Some("containerd-shim"));
    }
}
