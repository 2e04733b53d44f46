//! A backup with what is around it, whoever begins it: the messages of it, and whether it is made up for later.

use std::panic::AssertUnwindSafe;

use chrono::Utc;
use futures_util::FutureExt as _;

use super::retry::{Operator, settle};
use crate::backup::{self, Asked};
use crate::base::lock::Lock;
use crate::config::Loaded;
use crate::context::Context;
use crate::error::Result;
use crate::model::report::RunReport;
use crate::notify::{self, Kind, Messages};

/// Backs up what was asked for. A message that is not delivered changes nothing.
pub async fn back_up(
    cx: &Context,
    loaded: Loaded,
    lock: Lock,
    asked: Asked<'_>,
    operator: Operator,
) -> Result<RunReport> {
    let config = loaded.config.clone();
    let started_at = Utc::now();
    let messages = Messages::begin(cx, &config, Kind::Backup, asked.units).await;
    // On the heap: its state is large, and would be part of that of every caller on the stack.
    let ran = Box::pin(backup::run(cx, loaded, lock, asked)).await;
    // Another one of some units would be another backup.
    let is_of_all = asked.units.is_empty();
    let is_pending = is_of_all && settle(cx, &config, operator, &ran);
    if let Some(messages) = messages {
        let telling = async {
            let ended =
                notify::of_backup(cx, &config, asked.units, &ran, started_at, is_pending).await;
            messages.end(ended).await;
        };
        // Not even a bug in there.
        if AssertUnwindSafe(telling).catch_unwind().await.is_err() {
            cx.ui.warn("how the backup ended was not told to everybody");
        }
    }
    ran
}
