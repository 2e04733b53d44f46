//! How a run shows itself while it works: bars on a terminal, a line every ten seconds elsewhere, events under `--json`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bars::{Drawn, Picture};
use super::{Ui, printer};
use crate::base::activity::Activity;
use crate::base::text;

const REDRAW: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Something whose bytes are counted while it is read and stored.
#[derive(Clone, Debug)]
pub struct Track {
    pub label: String,
    pub estimated_bytes: u64,
    /// Bytes read so far.
    pub read: Activity,
    /// Bytes stored so far.
    pub stored: Activity,
}

/// Shows until dropped.
pub struct Progress {
    ui: Ui,
    shown: Arc<Mutex<Shown>>,
    ticker: Option<JoinHandle<()>>,
}

struct Shown {
    has_bars: bool,
    headline: String,
    down_since: Option<Instant>,
    tracks: Vec<Track>,
    spoke_at: Instant,
}

impl Progress {
    /// Must be made inside the runtime.
    pub fn new(ui: &Ui) -> Self {
        let shown = Arc::new(Mutex::new(Shown {
            has_bars: ui.is_live(),
            headline: String::new(),
            down_since: None,
            tracks: Vec::new(),
            spoke_at: Instant::now(),
        }));
        let ticker = ui.is_watched().then(|| {
            let (ui, shown) = (ui.clone(), Arc::clone(&shown));
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(REDRAW).await;
                    lock(&shown).tick(&ui);
                }
            })
        });
        Self {
            ui: ui.clone(),
            shown,
            ticker,
        }
    }

    /// What is being done. `is_down` starts and stops the clock of the downtime.
    pub fn headline(&self, text: String, is_down: bool) {
        let mut shown = lock(&self.shown);
        shown.headline = text;
        shown.down_since = match (is_down, shown.down_since) {
            (true, None) => Some(Instant::now()),
            (true, since) => since,
            (false, _) => None,
        };
    }

    pub fn track(&self, track: Track) {
        lock(&self.shown).tracks.push(track);
    }

    /// Takes a track away.
    pub fn finished(&self, label: &str) {
        let mut shown = lock(&self.shown);
        shown.tracks.retain(|track| track.label != label);
    }

    /// A line of the conversation, above the bars.
    pub fn say(&self, text: &str) {
        self.ui.say(text);
    }

    pub fn warn(&self, text: &str) {
        self.ui.warn(text);
    }

    pub fn error(&self, text: &str) {
        self.ui.error(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.abort();
        }
        if lock(&self.shown).has_bars {
            printer::show(None);
        }
    }
}

impl Shown {
    fn tick(&mut self, ui: &Ui) {
        if self.headline.is_empty() {
            return;
        }
        let down = self.down_since.map(|since| {
            format!(
                ", down for {}",
                text::seconds(since.elapsed().as_secs_f64())
            )
        });
        let headline = format!("{}{}", self.headline, down.unwrap_or_default());
        if self.has_bars {
            let tracks = self.tracks.iter().map(|track| Drawn {
                label: track.label.clone(),
                length: track.estimated_bytes.max(track.read.total()),
                position: track.stored.total(),
            });
            let tracks = tracks.collect();
            printer::show(Some(Picture { headline, tracks }));
        } else if self.spoke_at.elapsed() >= LINE_EVERY {
            self.spoke_at = Instant::now();
            let tracks = self.tracks.iter().map(|track| {
                let read = text::bytes(track.read.total());
                let stored = text::bytes(track.stored.total());
                if track.read.is(&track.stored) {
                    format!("; {}: {read}", track.label)
                } else {
                    format!("; {}: read {read}, stored {stored}", track.label)
                }
            });
            ui.say(format!("{headline}{}", tracks.collect::<String>()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
