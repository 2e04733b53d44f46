//! How a run shows itself while it works: bars on a terminal, a line every ten seconds elsewhere, events under `--json`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Ui, text};
use crate::kopia::Activity;

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
    bars: Option<Bars>,
    headline: String,
    down_since: Option<Instant>,
    tracks: Vec<(Track, Option<ProgressBar>)>,
    spoke_at: Instant,
}

struct Bars {
    all: MultiProgress,
    headline: ProgressBar,
}

impl Progress {
    /// Must be made inside the runtime.
    pub fn new(ui: &Ui) -> Self {
        let shown = Arc::new(Mutex::new(Shown {
            bars: ui.is_live().then(Bars::new),
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
        let mut shown = lock(&self.shown);
        let bar = shown.bars.as_ref().map(|bars| bars.add(&track));
        shown.tracks.push((track, bar));
    }

    /// Takes a track away.
    pub fn finished(&self, label: &str) {
        let mut shown = lock(&self.shown);
        shown.tracks.retain(|(track, bar)| {
            let is_it = track.label == label;
            if let (true, Some(bar)) = (is_it, bar) {
                bar.finish_and_clear();
            }
            !is_it
        });
    }

    /// A line of the conversation, above the bars.
    pub fn say(&self, text: &str) {
        self.above(|| self.ui.say(text));
    }

    pub fn warn(&self, text: &str) {
        self.above(|| self.ui.warn(text));
    }

    pub fn error(&self, text: &str) {
        self.above(|| self.ui.error(text));
    }

    fn above(&self, print: impl FnOnce()) {
        let shown = lock(&self.shown);
        match &shown.bars {
            Some(bars) => bars.all.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.abort();
        }
        if let Some(bars) = &lock(&self.shown).bars {
            bars.headline.finish_and_clear();
            let _ = bars.all.clear();
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
        if let Some(bars) = &self.bars {
            bars.headline.set_message(headline);
            for (track, bar) in &self.tracks {
                if let Some(bar) = bar {
                    bar.set_length(track.estimated_bytes.max(track.read.total()));
                    bar.set_position(track.stored.total());
                }
            }
        } else if self.spoke_at.elapsed() >= LINE_EVERY {
            self.spoke_at = Instant::now();
            let tracks = self.tracks.iter().map(|(track, _)| {
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

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let headline = all.add(ProgressBar::new_spinner());
        headline.set_style(style("{spinner} {msg}"));
        headline.enable_steady_tick(REDRAW);
        Self { all, headline }
    }

    fn add(&self, track: &Track) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(track.estimated_bytes));
        bar.set_style(style(
            "  {msg:30} {bar:24} {binary_bytes:>10} / {binary_total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4}",
        ));
        bar.set_message(text::printable(&track.label));
        bar
    }
}

/// The templates are ours; one that were wrong would fall back to the default style.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
