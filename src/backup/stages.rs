//! The stages of a unit, each of which can only be made of the one before: prepared, ready for its window, taken.

use std::collections::BTreeSet;

use super::plan::UnitPlan;
use super::run::Run;
use super::saved::Saved;
use super::store::{Opened, Storing};
use super::unit::{Recipe, Saving};
use crate::model::report::UnitReport;

/// A unit whose window can open: its kopias wait for their input.
pub struct Ready<'a> {
    saving: Saving<'a>,
    recipe: Recipe,
    opened: Vec<Opened>,
}

/// A unit of which it is known what can be read before the stop. Nothing of it is in the repository yet.
pub struct Prepared<'a> {
    saving: Saving<'a>,
    recipe: Recipe,
    /// Of all sources, where none of them is read before the stop.
    opened: Option<Vec<Opened>>,
}

/// A unit whose window is over: its containers are up again, and what was read is being stored.
pub struct Taken<'a> {
    saving: Saving<'a>,
    recipe: Recipe,
    storing: Vec<Vec<Storing>>,
}

/// What comes first, and makes no use of the repository. The report is that of a unit that is over already.
pub async fn before<'a>(run: &'a Run<'a>, plan: UnitPlan) -> Result<Prepared<'a>, UnitReport> {
    let mut saving = Saving::new(run, plan);
    match saving.before().await {
        Ok((recipe, opened)) => Ok(Prepared {
            saving,
            recipe,
            opened,
        }),
        Err(error) => Err(saving.into_report(Err(error))),
    }
}

impl<'a> Prepared<'a> {
    /// Reads what can be read while services run, and opens what the window needs.
    pub async fn warmed(mut self) -> Result<Ready<'a>, UnitReport> {
        let opened = match self.opened {
            Some(opened) => Ok(opened),
            None => self.saving.warm().await,
        };
        let opened = match self.saving.expect(Saved::to_read).await {
            Ok(()) => opened,
            // A failure before says more.
            Err(error) => opened.and(Err(error)),
        };
        match opened {
            Ok(opened) => Ok(Ready {
                saving: self.saving,
                recipe: self.recipe,
                opened,
            }),
            Err(error) => Err(self.saving.into_report(Err(error))),
        }
    }
}

impl<'a> Ready<'a> {
    /// Ids of the containers that it stops.
    pub fn stops(&self) -> BTreeSet<String> {
        let entries = &self.saving.plan.entries;
        entries.iter().map(|entry| entry.id.clone()).collect()
    }

    /// What the spool has to take, as far as it is known.
    pub fn estimated_bytes(&self) -> Option<u64> {
        let plan = &self.saving.plan;
        let sizes = self.saving.sources.iter();
        sizes
            // Of a warm one little is left.
            .filter(|saved| saved.warm.is_none())
            .map(|saved| Some(plan.sizes.get(&saved.source.key)?.bytes))
            .sum()
    }

    /// With the hooks around it. Never dropped before it has come to its end: the containers are up again then, whatever came of it.
    pub async fn window(mut self) -> Result<Taken<'a>, UnitReport> {
        let storing = match Box::pin(self.saving.before_stop()).await {
            Ok(()) => self.saving.window(self.opened).await,
            Err(error) => Err(error),
        };
        // On the heap: it is a small part of what goes on here, and would be a large one of its future.
        Box::pin(self.saving.after_start()).await;
        match storing {
            Ok(storing) => Ok(Taken {
                saving: self.saving,
                recipe: self.recipe,
                storing,
            }),
            Err(error) => Err(self.saving.into_report(Err(error))),
        }
    }
}

impl Taken<'_> {
    /// Until the point is there. Every outcome, good or bad, is in the report.
    pub async fn after(mut self) -> UnitReport {
        let result = match self.saving.after(self.storing).await {
            Ok(()) => self.saving.commit(self.recipe).await,
            Err(error) => Err(error),
        };
        self.saving.into_report(result)
    }
}
