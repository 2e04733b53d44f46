//! The steps of a unit, in order, and when each was.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::fault;
use crate::model::report::StepTime;

/// A step of saving one unit. Entering one is the only way to record its time, and a fault point: a step without one
/// can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Recipe, sizes, space.
    Prepare,
    /// Kopia processes start and open the repository.
    Open,
    /// The stop record goes to the disk.
    Record,
    Stop,
    ProveCold,
    Read,
    /// Nobody was started meanwhile.
    ProveStillCold,
    Start,
    /// Services get healthy while kopia stores the rest; each snapshot is accepted or rejected.
    Store,
    /// The recipe: with it the point exists.
    Commit,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Open => "open",
            Self::Record => "record",
            Self::Stop => "stop",
            Self::ProveCold => "prove_cold",
            Self::Read => "read",
            Self::ProveStillCold => "prove_still_cold",
            Self::Start => "start",
            Self::Store => "store",
            Self::Commit => "commit",
        }
    }

    /// Services are down during it.
    pub fn is_in_window(self) -> bool {
        matches!(
            self,
            Self::Stop | Self::ProveCold | Self::Read | Self::ProveStillCold | Self::Start
        )
    }
}

/// What has been done so far, and when.
#[derive(Debug, Default)]
pub struct Timeline {
    done: Vec<StepTime>,
    current: Option<(Step, DateTime<Utc>, Instant)>,
}

impl Timeline {
    /// Ends the step before.
    pub async fn enter(&mut self, step: Step) {
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
