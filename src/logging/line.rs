//! A record as one line: `2025-01-31T23:59:59.123Z  INFO backup[1234] run=2025-01-31T23-59-59Z unit=web: step read`.

use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};

use chrono::{SecondsFormat, Utc};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::log::Open;
use super::tail;
use crate::base::text::printable;

/// Gives every record to the log file, once there is one.
pub struct Lines {
    open: Arc<OnceLock<Open>>,
}

impl Lines {
    pub fn new(open: Arc<OnceLock<Open>>) -> Self {
        Self { open }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut words = Words::default();
            attributes.record(&mut words);
            span.extensions_mut().insert(words);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(open) = self.open.get() else {
            return;
        };
        let mut head = open.who.clone();
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(|scope| scope.from_root()) {
            if let Some(Words(words)) = span.extensions().get() {
                head.push_str(words);
            }
        }
        let mut message = Words::default();
        event.record(&mut message);
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let level = event.metadata().level();
        // One record, one line, whatever is in it.
        let text = printable(&format!("{head}:{}", message.0));
        let line = format!("{time} {level:>5} {text}\n");
        tail::note(&line);
        open.writer.write(line);
    }
}

/// Fields, each with a space before it; the message without its name. Those in capitals are for the journal.
#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Ok(()),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
