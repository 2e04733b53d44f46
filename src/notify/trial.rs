//! One message to each target, to see whether it arrives.

use serde::Serialize;
use serde_json::Value;

use super::deliver::{Parcel, deliver};
use super::ledger::Due;
use super::mask::Masks;
use super::message::{self, Message, Ping};
use super::recipient::{kind_of, name};
use crate::config::Config;
use crate::context::Context;

/// What became of one. Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct Tried {
    /// For people.
    #[serde(skip)]
    pub name: String,
    pub index: usize,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Masked; `null` where it is in a file.
    pub url: Option<String>,
    pub ok: bool,
    /// Why it was not delivered.
    pub error: Option<String>,
}

/// Whatever `when` they have. A check notes it, and is no other than before.
pub async fn trial(cx: &Context, config: &Config) -> Vec<Tried> {
    let text = format!(
        "This is a test: messages of kopi-docka on {} (profile {}) arrive here.",
        message::host(config),
        config.profile()
    );
    let parcel = |(index, target)| Parcel {
        index,
        target,
        message: Message {
            ping: Ping::Log,
            run: None,
            title: message::title(config, "a test"),
            text: text.clone(),
            log: String::new(),
            is_bad: false,
            document: message::document(config, "test", &Due::default(), Value::Null, &Value::Null),
        },
    };
    let parcels: Vec<_> = config.notify.iter().enumerate().map(parcel).collect();
    let sent = deliver(&parcels, &Masks::of(config), &cx.shutdown).await;
    let tried = parcels.iter().zip(sent).map(|(parcel, sent)| Tried {
        name: name(parcel.index, parcel.target),
        index: parcel.index,
        kind: kind_of(parcel.target),
        url: parcel.target.url.as_ref().map(|url| url.masked()),
        ok: sent.is_ok(),
        error: sent.err(),
    });
    tried.collect()
}
