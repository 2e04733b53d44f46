//! Several hooks in order, and what came of them.

use super::act::act;
use super::hook::{Ready, Told};
use crate::base::fault;
use crate::base::shutdown::Shutdown;
use crate::drivers::docker::Engine;
use crate::model::report::HookReport;
use crate::notify::Masks;

/// What all hooks of a run have in common.
pub struct Series<'a> {
    pub engine: Option<&'a Engine>,
    pub masks: &'a Masks,
    pub shutdown: &'a Shutdown,
}

/// What came of hooks.
#[derive(Default)]
pub struct Came {
    pub reports: Vec<HookReport>,
    /// Of those that failed, where that counts: a sentence each.
    pub wrong: Vec<String>,
    /// Where it does not.
    pub warnings: Vec<String>,
}

impl Came {
    pub fn add(&mut self, hook: &Ready, report: HookReport) {
        if let Some(error) = &report.error {
            let failed = format!(
                "the hook `{}` ({}) failed: {error}",
                report.what, report.when
            );
            match (hook.fails(), report.said.as_str()) {
                (false, _) => self.warnings.push(failed),
                (true, "") => self.wrong.push(failed),
                (true, said) => self.wrong.push(format!("{failed}: {said}")),
            }
        }
        self.reports.push(report);
    }
}

impl Series<'_> {
    /// Until one fails that must not, or a signal comes: true where all were done.
    pub async fn before(&self, hooks: &[Ready], told: &Told) -> (Came, bool) {
        let mut came = Came::default();
        for hook in hooks {
            if self.shutdown.is_asked() {
                return (came, false);
            }
            fault::reached("hook").await;
            let until = self.shutdown.asked();
            let report = Box::pin(act(hook, told, self.engine, self.masks, until)).await;
            came.add(hook, report);
            if !came.wrong.is_empty() {
                return (came, false);
            }
        }
        (came, true)
    }

    /// All of them, whatever comes.
    pub async fn after(&self, hooks: &[Ready], told: &Told) -> Came {
        let mut came = Came::default();
        for hook in hooks {
            let never = std::future::pending();
            let report = Box::pin(act(hook, told, self.engine, self.masks, never)).await;
            came.add(hook, report);
        }
        came
    }
}
