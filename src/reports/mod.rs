//! What runs leave on this host: reports, read back by [`past`]; what they tell of the next run ([`history`]), and [`metrics`] for monitors;
//! [`drills`]: whether copies came back; [`status`]: one look at all of it.
//!
//! Never here: anything that a later run depends on. A report may be deleted at any time.

pub mod drills;
pub mod history;
pub mod metrics;
pub mod past;
pub mod status;
