//! What has been done so far, and when.

use std::fmt;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::fault;
use crate::model::report::StepTime;

/// A step of some work. Entering one is the only way to record its time, and a fault point: a step without one cannot
/// be written.
pub trait Step: Copy + fmt::Debug {
    /// Unique over the whole program: faults name it.
    fn name(self) -> &'static str;

    /// Services are down during it.
    fn is_in_window(self) -> bool;
}

#[derive(Debug)]
pub struct Timeline<S> {
    done: Vec<StepTime>,
    current: Option<(S, DateTime<Utc>, Instant)>,
}

impl<S> Default for Timeline<S> {
    fn default() -> Self {
        Self {
            done: Vec::new(),
            current: None,
        }
    }
}

impl<S: Step> Timeline<S> {
    /// Ends the step before.
    pub async fn enter(&mut self, step: S) {
        self.end();
        self.current = Some((step, Utc::now(), Instant::now()));
        tracing::info!("step {}", step.name());
        fault::reached(step.name()).await;
    }

    pub fn end(&mut self) {
        if let Some((step, started_at, since)) = self.current.take() {
            self.done.push(StepTime {
                step: step.name().to_owned(),
                in_window: step.is_in_window(),
                started_at,
                seconds: since.elapsed().as_secs_f64(),
            });
        }
    }

    pub fn into_steps(mut self) -> Vec<StepTime> {
        self.end();
        self.done
    }
}
