//! TODO

pub mod activity;
pub mod blocking;
pub mod descriptors;
pub mod fault;
pub mod files;
pub mod lock;
pub mod memory;
pub mod paths;
pub mod private_file;
pub mod pulse;
pub mod secret;
pub mod shutdown;
pub mod text;
pub mod timeline;
pub mod work;
pub mod yaml;
