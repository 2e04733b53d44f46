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

impl Series<'_> {
    /// Until one fails that must not. The error is what went wrong; those that were begun are told all the same.
    pub async fn before(&self, hooks: &[Ready], told: &Told) -> (Vec<HookReport>, Option<String>) {
        let mut reports = Vec::new();
        for hook in hooks {
            if self.shutdown.is_asked() {
                return (reports, Some("a signal ended the run".to_owned()));
            }
            fault::reached("hook").await;
            let until = self.shutdown.asked();
            let report = Box::pin(act(hook, told, self.engine, self.masks, until)).await;
            let wrong = is_wrong(hook, &report);
            reports.push(report);
            if let Some(wrong) = wrong {
                return (reports, Some(wrong));
            }
        }
        (reports, None)
    }

    /// All of them, whatever comes.
    pub async fn after(&self, hooks: &[Ready], told: &Told) -> Vec<(Ready, HookReport)> {
        let mut done = Vec::new();
        for hook in hooks {
            let never = std::future::pending();
            let report = Box::pin(act(hook, told, self.engine, self.masks, never)).await;
            done.push((hook.clone(), report));
        }
        done
    }
}

/// A sentence, where it failed and that counts.
pub fn is_wrong(hook: &Ready, report: &HookReport) -> Option<String> {
    let error = report.error.as_ref().filter(|_| hook.fails())?;
    let said = if report.said.is_empty() {
        String::new()
    } else {
        format!(": {}", report.said)
    };
    Some(format!(
        "the hook `{}` ({}) failed: {error}{said}",
        report.what, report.when
    ))
}

/// A sentence, where it failed and that does not count.
pub fn warning(hook: &Ready, report: &HookReport) -> Option<String> {
    let error = report.error.as_ref().filter(|_| !hook.fails())?;
    Some(format!(
        "the hook `{}` ({}) failed: {error}",
        report.what, report.when
    ))
}
