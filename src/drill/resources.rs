//! Whether a copy fits beside what is at work on this host: asked before anything of it is made.

use std::path::{Path, PathBuf};

use crate::base::blocking::aside;
use crate::base::memory::Memory;
use crate::base::text;
use crate::discovery::labels;
use crate::discovery::mount_table::MountTable;
use crate::drivers::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::model::point::PointRecord;
use crate::model::{SourceKey, UnitKind};
use crate::restore::plan::decision::{Space, space};
use crate::restore::plan::pool::Pool;

/// The space that the data needs: volumes where Docker has them, binds in `folder`, which need not be there. Too little is an error.
pub async fn check_space(
    record: &PointRecord,
    docker_root: &Path,
    folder: &Path,
) -> Result<Vec<Space>> {
    let mut needs: Vec<(PathBuf, u64)> = vec![(docker_root.to_owned(), 0), (folder.to_owned(), 0)];
    for source in &record.sources {
        let bytes: u64 = source.parts.iter().map(|part| part.bytes).sum();
        let index = usize::from(matches!(source.key, SourceKey::Bind { .. }));
        if let Some(need) = needs.get_mut(index) {
            need.1 = need.1.saturating_add(bytes);
        }
    }
    let spaces = aside(move || {
        let mounts = MountTable::read();
        let mut pools = Vec::new();
        for (path, bytes) in needs {
            let there = path
                .ancestors()
                .find(|path| path.exists())
                .unwrap_or(Path::new("/"));
            let there = std::fs::canonicalize(there)?;
            pools.push((Pool::of(&there, &mounts)?, bytes, there));
        }
        let needs = pools
            .iter()
            .map(|(pool, bytes, path)| (pool, *bytes, path.as_path()));
        Ok(space(needs))
    })
    .await?;
    let short: Vec<String> = spaces
        .iter()
        .filter(|space| space.is_short())
        .map(Space::lack)
        .collect();
    if short.is_empty() {
        return Ok(spaces);
    }
    Err(Failure::new(Exit::UnitsFailed, short.join("; "))
        .hint("free space there, or let `drill.directory` be on another disk (volumes are where Docker has them)")
        .note("nothing was made")
        .into())
}

/// What the originals use now must be there once more. Those that do not run tell nothing.
pub async fn check_memory(engine: &Engine, record: &PointRecord) -> Result<()> {
    let originals = match record.kind {
        UnitKind::Stack => {
            engine
                .labelled(&format!("{}={}", labels::PROJECT, record.unit))
                .await?
                .containers
        }
        UnitKind::Standalone => vec![record.unit.to_string()],
    };
    let used =
        futures_util::future::join_all(originals.iter().map(|id| engine.memory_of(id))).await;
    let needed: u64 = used.into_iter().flatten().sum();
    let available = available();
    if needed <= available {
        return Ok(());
    }
    Err(Failure::new(
        Exit::UnitsFailed,
        format!(
            "unit `{}` uses {} of memory, and {} are available for a copy",
            record.unit,
            text::bytes(needed),
            text::bytes(available)
        ),
    )
    .hint("drill when less is at work, or on another host")
    .note("nothing was made")
    .into())
}

fn available() -> u64 {
    crate::base::fault::bytes("memory").unwrap_or_else(|| Memory::of_this_host().available)
}
