//! The only place that prints. stdout is the answer, stderr the conversation. [`printer`] writes both, in the order in which they
//! were said, and no caller waits for it.
//!
//! Reading order: [`output`] (for whom) → [`printer`] with [`stream`] → [`progress`] with [`bars`], [`prompt`]; [`table`], [`unnamed`] and [`color`] say how it looks.
//!
//! A reader that goes away (`| head`) is no error: what cannot be written is dropped.

mod bars;
mod color;
mod output;
pub mod printer;
pub mod progress;
pub mod prompt;
mod stream;
pub mod table;
pub mod unnamed;

pub use color::ColorChoice;
pub use output::{Options, Ui};
