//! From a message to those who get it: all side by side, three tries each, within a time.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::info;

use super::mask::Masks;
use super::message::Message;
use super::recipient::{Recipient, name};
use crate::base::shutdown::Shutdown;
use crate::config::Target;
use crate::logging;

/// For one try.
const TRY: Duration = Duration::from_secs(10);
const TRIES: u32 = 3;
/// Before the second and the third.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// For all of it, whatever else takes time: with the looks before it a run is kept for 40 s at most.
const LIMIT: Duration = Duration::from_secs(35);

/// One message to one target.
pub struct Parcel<'a> {
    pub index: usize,
    pub target: &'a Target,
    pub message: Message,
}

/// Why it was not delivered, for each in their order. After a signal there is time for one more try, after a second one for none.
pub async fn deliver(
    parcels: &[Parcel<'_>],
    masks: &Masks,
    shutdown: &Shutdown,
) -> Vec<Result<(), String>> {
    let over = async {
        let after_signal = async {
            shutdown.asked().await;
            sleep(TRY).await;
        };
        tokio::select! {
            () = shutdown.hurried() => "a signal ended it",
            () = after_signal => "a signal ended it",
            () = sleep(LIMIT) => "there was no more time",
        }
    };
    let over = futures_util::FutureExt::shared(over);
    let sends = parcels.iter().map(|parcel| {
        let over = over.clone();
        async move {
            tokio::select! {
                biased;
                sent = send(parcel, masks) => sent,
                why = over => Err(why.to_owned()),
            }
        }
    });
    join_all(sends).await
}

async fn send(parcel: &Parcel<'_>, masks: &Masks) -> Result<(), String> {
    let name = name(parcel.index, parcel.target);
    let recipient = Recipient::of(parcel.target, masks).await;
    let recipient = recipient.map_err(|error| format!("{error:#}"))?;
    let mut pauses = PAUSES.into_iter();
    for tried in 1..=TRIES {
        let refused = match recipient.send(&parcel.message, TRY).await {
            Ok(()) => {
                info!(target: logging::FILE, "{name} was told: {}", parcel.message.title);
                return Ok(());
            }
            Err(refused) => refused,
        };
        info!(target: logging::FILE, "{name}, try {tried} of {TRIES}: {refused}");
        if !refused.may_pass {
            return Err(refused.why);
        }
        match pauses.next() {
            Some(pause) => sleep(pause).await,
            None => return Err(format!("{} ({TRIES} tries)", refused.why)),
        }
    }
    Ok(())
}
