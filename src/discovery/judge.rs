//! Whether the data at a path is saved, and why not.

use std::path::Path;

use super::host::PathKind;
use super::policy::Wish;
use super::scene::Scene;
use super::system_paths::{self, Ownership};
use crate::model::source::GapReason;

pub enum Verdict {
    Save,
    Leave {
        reason: GapReason,
        detail: String,
        is_loss: bool,
    },
}

fn leave(reason: GapReason, is_loss: bool, detail: impl Into<String>) -> Verdict {
    Verdict::Leave {
        reason,
        detail: detail.into(),
        is_loss,
    }
}

/// A path of the host that a container has mounted: a bind, or a volume that is one by its options. What the
/// operator says about binds is not about volumes. `is_written`: some container may write to it.
pub fn host_path(scene: &Scene, wish: Wish, path: &Path, is_written: bool) -> Verdict {
    use GapReason::{Ephemeral, ExcludedByOperator, Missing, OperatingSystem};
    let facts = scene.host.facts(path);
    match facts.kind {
        PathKind::Socket => return leave(Ephemeral, false, "a socket holds no data"),
        PathKind::Fifo => return leave(Ephemeral, false, "a named pipe holds no data"),
        PathKind::Device => return leave(Ephemeral, false, "a device is not a file"),
        _ => {}
    }
    if facts.real == Path::new("/") {
        return leave(OperatingSystem, false, "it is the whole host");
    }
    let file_system = scene.host.mounts.of(&facts.real);
    if let Some(on) = file_system
        && system_paths::is_pseudo(&on.fs_type)
        && on.point != Path::new("/")
    {
        let detail = format!("it is on a {} file system, which keeps nothing", on.fs_type);
        return leave(Ephemeral, false, detail);
    }
    if wish == Wish::Exclude {
        return leave(
            ExcludedByOperator,
            false,
            "label or configuration leaves it out",
        );
    }
    if wish != Wish::Include {
        for path in [path, &facts.real] {
            match system_paths::ownership(path, is_written) {
                Ownership::Ephemeral => {
                    return leave(Ephemeral, false, "what is there does not outlive a boot");
                }
                Ownership::System => {
                    return leave(OperatingSystem, false, "it belongs to the operating system");
                }
                Ownership::Operator => {}
            }
        }
    }
    let ours = own_state(scene, &facts.real).or_else(|| docker_state(scene, &facts.real));
    if let Some(verdict) = ours {
        return verdict;
    }
    match facts.kind {
        PathKind::Missing => leave(Missing, true, "nothing is there on this host"),
        PathKind::Denied => leave(Missing, true, "this user has no permission to read it"),
        PathKind::Silent => leave(Missing, true, "its file system does not answer"),
        _ => Verdict::Save,
    }
}

/// What holds the backups cannot be part of them: it would grow by itself with every run.
pub fn own_state(scene: &Scene, real: &Path) -> Option<Verdict> {
    let rules = scene.rules;
    let repository = rules
        .repository
        .as_deref()
        .map(|path| scene.host.real(path));
    if repository
        .as_deref()
        .is_some_and(|own| real.starts_with(own))
    {
        let detail = "it is part of the backup repository";
        return Some(leave(GapReason::OwnState, false, detail));
    }
    let inside = rules
        .own_paths
        .iter()
        .map(|path| scene.host.real(path))
        .chain(repository)
        .find(|own| own.starts_with(real))?;
    Some(if inside == real {
        leave(GapReason::OwnState, false, "it is kopi-docka's own state")
    } else {
        let detail = format!(
            "it contains kopi-docka's own `{}`: mount a smaller directory, or move that one",
            inside.display()
        );
        leave(GapReason::OwnState, true, detail)
    })
}

/// Docker's own files; a volume's data among them is an operator's all the same.
fn docker_state(scene: &Scene, real: &Path) -> Option<Verdict> {
    let root = scene.docker_root();
    if root.starts_with(real) && root != real {
        let detail = format!("it contains Docker's own data, `{}`", root.display());
        return Some(leave(GapReason::OperatingSystem, true, detail));
    }
    let below = real.strip_prefix(&root).ok()?;
    let mut names = below.iter();
    let is_volume = names.next().is_some_and(|name| name == "volumes")
        && names.next().is_some()
        && names.next().is_some_and(|name| name == "_data");
    (!is_volume).then(|| leave(GapReason::OperatingSystem, false, "it is Docker's own data"))
}
