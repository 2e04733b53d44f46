//! The ground: what knows nothing of backups, and what all others stand on.
//!
//! Files and places: [`paths`], [`files`] (there, whole, after a power cut), [`private_file`], [`work`], [`lock`]. Waiting: [`blocking`],
//! [`shutdown`] (signals), [`quiet`] (services are down), [`activity`] and [`heartbeat`] (signs of life). This host: [`memory`], [`space`], [`descriptors`]. Words: [`text`], [`secret`], [`yaml`].
//! The run: [`timeline`], and [`fault`] for tests that kill it.
//!
//! Never here: Docker, Kopia, a unit, or a message to the operator.

pub mod activity;
pub mod blocking;
pub mod descriptors;
pub mod fault;
pub mod files;
pub mod heartbeat;
pub mod lock;
pub mod memory;
pub mod paths;
pub mod private_file;
pub mod quiet;
pub mod secret;
pub mod shutdown;
pub mod space;
#[cfg(test)]
pub mod testing;
pub mod text;
pub mod timeline;
pub mod work;
pub mod yaml;
