//! What the point holds, brought back for the copy: volumes into new ones of Docker, binds into the drill's directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use super::places::bind_folder;
use super::record::Record;
use crate::base::activity::Activity;
use crate::base::files::make_private_folder;
use crate::base::memory::Memory;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::labels;
use crate::drivers::docker::Engine;
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result};
use crate::model::SourceKey;
use crate::model::point::SourceRecord;
use crate::points::ahead::Ahead;
use crate::points::feed::{Cancelled, Feed};
use crate::repository::Repository;
use crate::restore::apply::extract::{Extractor, move_only_file};
use crate::restore::apply::space::Floors;
use crate::restore::plan::decision::Space;

pub struct Data<'a> {
    pub cx: &'a Context,
    pub config: &'a Config,
    pub engine: &'a Engine,
    pub repository: &'a Repository,
    pub tar: &'a Tar,
    pub record: &'a Record,
}

impl Data<'_> {
    /// Makes `volumes`, the names of the drill by those of the original, each plain, local and empty.
    pub async fn make_volumes(
        &self,
        volumes: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let label = BTreeMap::from([(labels::DRILL.to_owned(), self.record.id.clone())]);
        let mut made = BTreeMap::new();
        for (original, name) in volumes {
            let volume = self
                .engine
                .create_volume(name, "local", None, Some(&label))
                .await?;
            if volume.labels.get(labels::DRILL) != Some(&self.record.id) {
                anyhow::bail!("there is a volume `{name}` already, which is not of this drill");
            }
            made.insert(original.clone(), PathBuf::from(volume.mountpoint));
        }
        Ok(made)
    }

    /// Extracts all `sources`; volumes are at `mounts`. The first failure ends the others.
    pub async fn restore(
        &self,
        sources: &[SourceRecord],
        mounts: &BTreeMap<String, PathBuf>,
        spaces: &[Space],
    ) -> Result<()> {
        let (cancel, is_cancelled) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(self.config.workers(Memory::of_this_host())));
        let extractor = Extractor {
            feed: Feed {
                kopia: self.repository.kopia.clone(),
                stall: self.config.backup.stall_timeout,
                shutdown: self.cx.shutdown.clone(),
                is_cancelled,
                ahead: Arc::new(Ahead::default()),
                what: "drill",
            },
            tar: self.tar.clone(),
            accepts_losses: false,
            slots: Arc::clone(&slots),
            cancel: cancel.clone(),
        };
        make_private_folder(&self.record.folder.join("binds"))?;
        let all = sources.iter().enumerate().map(|(number, source)| {
            let (extractor, slots, cancel) = (&extractor, Arc::clone(&slots), &cancel);
            async move {
                let _slot = slots.acquire_owned().await?;
                let result = self.one(extractor, number, source, mounts).await;
                if result.is_err() {
                    cancel.send_replace(true);
                }
                result
            }
        });
        let mut all = pin!(join_all(all));
        let floors = Floors::of(spaces);
        let (results, shortage) = tokio::select! {
            results = &mut all => (results, None),
            shortage = floors.run_out() => {
                cancel.send_replace(true);
                (all.await, Some(shortage))
            }
        };
        if let Some(shortage) = shortage {
            return Err(shortage);
        }
        let (cancelled, real): (Vec<_>, Vec<_>) = results
            .into_iter()
            .filter_map(Result::err)
            .partition(|error: &anyhow::Error| error.is::<Cancelled>());
        real.into_iter().chain(cancelled).next().map_or(Ok(()), Err)
    }

    async fn one(
        &self,
        extractor: &Extractor,
        number: usize,
        source: &SourceRecord,
        mounts: &BTreeMap<String, PathBuf>,
    ) -> Result<()> {
        let target = match &source.key {
            SourceKey::Volume { name } => mounts
                .get(name)
                .cloned()
                .context("its volume was not made")?,
            SourceKey::Bind { .. } => bind_folder(&self.record.folder, number),
        };
        let filled = async {
            if source.is_file {
                let unpacked = target.with_extension("unpacked");
                self.fill(extractor, source, &unpacked, true).await?;
                return move_only_file(&unpacked, &target);
            }
            let is_new = matches!(source.key, SourceKey::Bind { .. });
            self.fill(extractor, source, &target, is_new).await
        };
        filled.await.map_err(|error| match error.is::<Cancelled>() {
            true => error,
            false => error.context(format!("{} could not be read back", source.key)),
        })
    }

    async fn fill(
        &self,
        extractor: &Extractor,
        source: &SourceRecord,
        folder: &Path,
        is_new: bool,
    ) -> Result<()> {
        if is_new {
            std::fs::create_dir(folder)
                .with_context(|| format!("cannot create `{}`", folder.display()))?;
        } else if !folder.is_dir() {
            return Err(Failure::new(
                Exit::UnitsFailed,
                format!(
                    "Docker's volumes are not on this host: `{}` is not there",
                    folder.display()
                ),
            )
            .into());
        }
        let moved = Activity::default();
        extractor
            .fill(&source.parts, folder, &self.record.folder, &moved)
            .await
    }
}
