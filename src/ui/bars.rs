//! Bars on a terminal. Made, drawn and taken away on the printing thread alone: drawing is writing, and may never come back.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::base::text;

/// What the bars show.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub headline: String,
    pub tracks: Vec<Drawn>,
}

#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub label: String,
    pub length: u64,
    pub position: u64,
}

/// On the terminal until dropped.
pub(super) struct Bars {
    all: MultiProgress,
    headline: ProgressBar,
    tracks: std::cell::RefCell<Vec<(String, ProgressBar)>>,
}

impl Bars {
    pub fn new() -> Self {
        let all = MultiProgress::new();
        let headline = all.add(ProgressBar::new_spinner());
        headline.set_style(style("{spinner} {msg}"));
        Self {
            all,
            headline,
            tracks: std::cell::RefCell::default(),
        }
    }

    pub fn draw(&self, picture: &Picture) {
        let mut tracks = self.tracks.borrow_mut();
        tracks.retain(|(label, bar)| {
            let stays = picture.tracks.iter().any(|drawn| drawn.label == *label);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for drawn in &picture.tracks {
            let known = tracks.iter().find(|(label, _)| *label == drawn.label);
            let bar = match known {
                Some((_, bar)) => bar.clone(),
                None => {
                    let bar = self.add(drawn);
                    tracks.push((drawn.label.clone(), bar.clone()));
                    bar
                }
            };
            bar.set_length(drawn.length);
            bar.set_position(drawn.position);
        }
        self.headline.set_message(picture.headline.clone());
        self.headline.tick();
    }

    /// Does what prints lines, so that they come above the bars.
    pub fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    fn add(&self, drawn: &Drawn) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(drawn.length));
        bar.set_style(style(
            "  {msg:30} {bar:24} {binary_bytes:>10} / {binary_total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4}",
        ));
        bar.set_message(text::printable(&drawn.label));
        bar
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.headline.finish_and_clear();
        let _ = self.all.clear();
    }
}

/// The templates are ours; one that were wrong would fall back to the default style.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
