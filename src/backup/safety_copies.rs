//! What restores left inside a source: it is the data of an earlier day, not of this one.

use std::time::Duration;

use crate::base::blocking::aside;
use crate::model::source::{Gap, GapReason};
use crate::model::{Source, Unit};
use crate::swap::marks;

/// Leaves the safety copies out that are there now, by their whole names, and says so.
pub async fn leave_out(unit: &mut Unit, patience: Duration) {
    for source in unit.sources.iter_mut().filter(|source| !source.is_file) {
        for name in own_folders(source, patience).await {
            source.exclude_patterns.push(marks::pattern(&name));
            unit.gaps.push(Gap {
                what: format!("`{name}` in {}", source.key),
                reason: GapReason::OwnState,
                detail: "it is what a restore keeps of the time before".to_owned(),
                is_loss: false,
            });
        }
    }
}

/// None where nothing can be listed: the reader of the source reports it.
async fn own_folders(source: &Source, patience: Duration) -> Vec<String> {
    let path = source.path.clone();
    let listing = aside(move || marks::own_folders(&path));
    match tokio::time::timeout(patience, listing).await {
        Ok(Ok(own)) => own,
        _ => Vec::new(),
    }
}
