//! Secrets out of texts. None should be in one; what a server or a program says may repeat what it was given.

use url::Url;

use crate::base::secret::{MASK, Secret, is_secret_name};
use crate::config::Config;

/// Shorter ones would take words out of every text.
const SHORTEST: usize = 6;
/// A part of an address that is as long tells who may send; shorter ones are words.
const SHORTEST_PART: usize = 12;

#[derive(Clone, Default)]
pub struct Masks(Vec<String>);

impl Masks {
    /// What this process knows besides its targets: the password of the repository, and what its environment has for the storage.
    pub fn of(config: &Config) -> Self {
        let password = config.kopia.password.iter();
        let password = password.map(|password| password.expose().to_owned());
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let is_secret = is_secret_name(name.to_str()?);
            is_secret.then(|| value.into_string().ok()).flatten()
        });
        let mut masks = Self::default();
        for secret in password.chain(variables) {
            masks.add(&secret, SHORTEST);
        }
        masks
    }

    #[must_use]
    pub fn and(&self, secrets: &[Secret]) -> Self {
        let mut masks = self.clone();
        for secret in secrets {
            masks.add(secret.expose(), SHORTEST);
        }
        masks
    }

    /// All of an address that tells who may send.
    #[must_use]
    pub fn and_url(mut self, url: &Url) -> Self {
        self.add(url.as_str(), SHORTEST);
        self.add(url.password().unwrap_or_default(), SHORTEST);
        for part in url.path_segments().into_iter().flatten() {
            self.add(part, SHORTEST_PART);
        }
        for (_, value) in url.query_pairs() {
            self.add(&value, SHORTEST_PART);
        }
        self
    }

    fn add(&mut self, secret: &str, shortest: usize) {
        if secret.len() >= shortest {
            self.0.push(secret.to_owned());
            // What holds another one goes first.
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    pub fn apply(&self, text: &str) -> String {
        let replace = |text: String, secret: &String| text.replace(secret.as_str(), MASK);
        self.0.iter().fold(text.to_owned(), replace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_an_address_that_is_a_secret_is_left() {
        let url = "https://me:hunter22@host/ping/8f1e4f0a-secret?token=abcdefghijklm";
        let masks = Masks::default()
            .and(&[Secret::new("tk_topsecret"), Secret::new("a")])
            .and_url(&Url::parse(url).unwrap());
        let text = masks.apply(&format!(
            "{url} hunter22 /ping/8f1e4f0a-secret/start abcdefghijklm tk_topsecret a backup"
        ));
        assert_eq!(text, "*** *** /ping/***/start *** *** a backup");
    }
}
