//! What a run would read of a source now. Nothing is written out and nobody is asked for a lease, so that less may be proven then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::site::{self, Host, Wanted};
use crate::backup::plan::UnitPlan;
use crate::base::blocking::aside;
use crate::changed::Look;
use crate::error::Result;
use crate::model::Source;

/// At least so much.
pub struct Ahead {
    /// Before the stop.
    pub before_bytes: u64,
    /// Of files that are as an earlier part has them.
    pub kept_bytes: u64,
    /// How long the look took.
    pub walk: Duration,
}

/// An error says why the source would be read whole.
pub async fn look_ahead(
    host: &Host<'_>,
    plan: &UnitPlan,
    source: &Source,
    stall: Duration,
) -> Result<Ahead> {
    let wanted = Wanted::of(host, plan, source, &plan.reading_of(&source.key));
    let site = aside(move || wanted.look().map(Arc::new)).await?;
    let at = Arc::clone(&site);
    let look = aside(move || {
        let since = Instant::now();
        let index = at.index();
        let folder = std::env::temp_dir();
        let look = at.with_lists_in(&folder, |ground| Look::at(ground, index.as_ref()))?;
        Ok(Ahead {
            before_bytes: look.new_bytes,
            kept_bytes: look.kept_bytes.iter().sum(),
            walk: since.elapsed(),
        })
    });
    let look = site::alive(&site, stall, look);
    host.shutdown.cut("it", look).await
}
