//! What the window has cloned is read when services run again.

use std::sync::Arc;

use anyhow::Context as _;

use super::part::Feeding;
use crate::backup::read::{timed_out, too_long};
use crate::backup::run::Run;
use crate::backup::tags::Filing;
use crate::base::activity::Activity;
use crate::base::{blocking, fault};
use crate::changed::clones::{self, Clones};
use crate::drivers::kopia::Accepted;
use crate::error::Result;
use crate::model::Source;

/// Stores `clones` of `source`; returns the length of their stream too. None of them is there afterwards, whatever comes of it.
pub async fn store(
    run: &Run<'_>,
    filing: &Filing,
    source: &Source,
    clones: Clones,
) -> Result<(Accepted, u64)> {
    fault::reached("cloned").await;
    let bytes = clones::bytes(&clones);
    let new = filing.stream(source, bytes);
    let opened = run.shutdown.cut("the run", run.store.open(&new)).await?;
    let taken = Activity::default();
    run.reporter
        .track(&source.key, bytes, (taken.clone(), taken.clone()));
    let moved = taken.clone();
    let read = async |sink: Arc<_>| {
        let writing = blocking::start(move || clones::write(clones, &sink, &moved))?;
        let bytes = writing.await.context("a thread ended in a panic")??;
        Ok((bytes, ()))
    };
    let limit = run.config.backup.task_timeout;
    let over = async {
        timed_out(limit).await;
        too_long(limit).into()
    };
    let feeding = Feeding {
        run,
        when: "after the start",
        taken,
    };
    let (accepted, bytes, ()) = feeding.feed(opened, read, over).await?;
    Ok((accepted, bytes))
}
