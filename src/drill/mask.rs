//! What containers say may hold their secrets: these are masked before anything is shown or kept.

use crate::base::secret::MASK;
use crate::base::text::printable;
use crate::points::saved::Saved;

/// Shorter values are no secrets, and would take letters out of every word.
const SHORTEST: usize = 4;

pub struct Mask {
    /// The longest first: one may be in another one.
    secrets: Vec<String>,
}

impl Mask {
    pub fn of(saved: &Saved) -> Self {
        let values = saved.secrets.values().flat_map(|values| values.values());
        let mut secrets: Vec<String> = values
            .filter(|value| value.len() >= SHORTEST)
            .cloned()
            .collect();
        secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// `text` for people: without secrets, and without control characters.
    pub fn masked(&self, text: &str) -> String {
        let masked = self
            .secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
        printable(&masked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown_and_no_word_is_torn() {
        let secrets = [("db", [("A", "hunter2"), ("B", "hunter22"), ("C", "no")])];
        let secrets = secrets.map(|(name, values)| {
            let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
            (name.to_owned(), values.into())
        });
        let saved = Saved {
            secrets: secrets.into(),
            ..Saved::default()
        };
        let masked = Mask::of(&saved).masked("hunter22 is no hunter2\x1b[31m");
        assert_eq!(masked, format!("{MASK} is no {MASK}\\u{{1b}}[31m"));
    }
}
