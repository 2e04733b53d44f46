//! The steps of a unit, in order.

use crate::base::timeline;

/// A step of saving one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Recipe, sizes, space.
    Prepare,
    /// What is not proven to be as the last point holds it is read while services run.
    ReadHot,
    /// Kopia processes start and open the repository.
    Open,
    /// What the operator wants to be done before the stop.
    Hooks,
    /// The stop record goes to the disk.
    Record,
    Stop,
    ProveCold,
    Read,
    /// No container was started in the meantime.
    ProveStillCold,
    Start,
    /// What the operator wants to be done when containers run again.
    AfterStart,
    /// Services get healthy while kopia stores the rest; each snapshot is accepted or rejected.
    Store,
    /// The recipe: with it the point exists.
    Commit,
}

pub type Timeline = timeline::Timeline<Step>;

impl timeline::Step for Step {
    fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::ReadHot => "read_hot",
            Self::Open => "open",
            Self::Hooks => "hooks",
            Self::Record => "record",
            Self::Stop => "stop",
            Self::ProveCold => "prove_cold",
            Self::Read => "read",
            Self::ProveStillCold => "prove_still_cold",
            Self::Start => "start",
            Self::AfterStart => "after_start",
            Self::Store => "store",
            Self::Commit => "commit",
        }
    }

    fn is_in_window(self) -> bool {
        matches!(
            self,
            Self::Stop | Self::ProveCold | Self::Read | Self::ProveStillCold | Self::Start
        )
    }
}
