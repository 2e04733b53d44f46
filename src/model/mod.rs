//! Plain data that every layer shares: no I/O, no behaviour beyond parsing and ordering.
//!
//! Reading order: [`ids`], [`identity`] → [`mod@unit`] (what is on the host) → [`source`] (what is read), [`exclude`] (and what in it is not) →
//! [`grade`] (how far it can be trusted) → [`point`] (what is in the repository) → [`report`] (what a run did), [`drill`] (what a copy that was booted came to).

pub mod drill;
pub mod exclude;
pub mod grade;
pub mod identity;
pub mod ids;
pub mod point;
pub mod report;
pub mod source;
pub mod unit;

pub use grade::Grade;
pub use identity::Identity;
pub use ids::{BackupId, MachineId, ObjectId, PointId, SnapshotId, UnitName};
pub use source::{Source, SourceKey};
pub use unit::{Container, ContainerState, Unit, UnitKind};
