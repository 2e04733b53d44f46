//! The steps of a restore, in order.

use crate::base::timeline::{self, Step as _};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The journal goes to the disk, before anything else does.
    Journal,
    /// Missing directories and volumes are made.
    Create,
    /// Missing networks are made, and volumes that have no data in the point.
    Networks,
    /// Everything is extracted beside its target.
    Extract,
    /// What was extracted goes to the disk.
    Sync,
    /// The stop record goes to the disk.
    Record,
    Stop,
    ProveCold,
    /// The journal says that from now on the swaps are finished, not undone.
    Decide,
    Swap,
    /// What was there before gets the name it is kept under.
    Keep,
    /// The record of what is kept goes to the disk.
    Note,
    /// The journal goes.
    Forget,
    Start,
    /// Services get healthy.
    Settle,
    /// A unit that has no containers here gets them.
    Up,
}

pub type Timeline = timeline::Timeline<Step>;

impl timeline::Step for Step {
    fn name(self) -> &'static str {
        match self {
            Self::Journal => "restore_journal",
            Self::Create => "restore_create",
            Self::Networks => "restore_networks",
            Self::Extract => "restore_extract",
            Self::Sync => "restore_sync",
            Self::Record => "restore_record",
            Self::Stop => "restore_stop",
            Self::ProveCold => "restore_prove_cold",
            Self::Decide => "restore_decide",
            Self::Swap => "restore_swap",
            Self::Keep => "restore_keep",
            Self::Note => "restore_note",
            Self::Forget => "restore_forget",
            Self::Start => "restore_start",
            Self::Settle => "restore_settle",
            Self::Up => "restore_up",
        }
    }

    fn is_in_window(self) -> bool {
        !matches!(
            self,
            Self::Journal
                | Self::Create
                | Self::Networks
                | Self::Extract
                | Self::Sync
                | Self::Record
                | Self::Settle
                | Self::Up
        )
    }
}

impl Step {
    /// For people: `prove cold`.
    pub fn words(self) -> String {
        self.name().trim_start_matches("restore_").replace('_', " ")
    }
}
