//! Words into flags. Kopia's storage commands take no words of their own, so what follows a flag is its value.

use super::secrets;

/// Not `Debug`: the value may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// Without dashes.
    pub name: String,
    pub value: Option<String>,
    /// Written as `--name=value`. Kept as it was: a switch takes its value no other way (`--disable-tls=false`).
    pub joined: bool,
}

impl Flag {
    pub fn new(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            // Kopia would take it for another flag.
            joined: value.starts_with('-'),
        }
    }

    pub fn arguments(&self) -> Vec<String> {
        let name = format!("--{}", self.name);
        match &self.value {
            None => vec![name],
            Some(value) if self.joined => vec![format!("{name}={value}")],
            Some(value) => vec![name, value.clone()],
        }
    }
}

/// The flags among `words`, and the words that belong to none.
pub fn parse(words: &[String]) -> Result<(Vec<Flag>, Vec<String>), String> {
    let mut flags = Vec::new();
    let mut others = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if let Some(word) = word.strip_prefix("--") {
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            if !is_name(name) {
                return Err("holds a flag without a valid name".to_owned());
            }
            let value = joined.map(str::to_owned).or_else(|| {
                let takes_any = secrets::is_secret(name);
                let next = words.next_if(|next| takes_any || !next.starts_with('-'))?;
                Some(next.clone())
            });
            flags.push(match (joined, value) {
                (None, Some(value)) => Flag::new(name, &value),
                (_, value) => Flag {
                    name: name.to_owned(),
                    value,
                    joined: joined.is_some(),
                },
            });
        } else if word.starts_with('-') {
            return Err(
                "holds a flag with a single dash; spell it out (`--name value`)".to_owned(),
            );
        } else {
            others.push(word.clone());
        }
    }
    Ok((flags, others))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
