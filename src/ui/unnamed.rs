//! Anonymous volumes, as they are shown to a person: by the container that has them and the place where it has them,
//! instead of by an id of 64 digits. What `--json` and scripts say keeps the id.
//!
//! Never here: what a command needs. `docker` takes no short ids of volumes; our own `--volume` does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Length of such an id.
const LONG: usize = 64;
/// What is left of it where it has to be named.
pub const SHORT: usize = 12;

/// By the id: the container, and where that has it mounted. The same all over the program, as the terminal is.
static KNOWN: Mutex<BTreeMap<String, (String, String)>> = Mutex::new(BTreeMap::new());

pub fn is_unnamed(name: &str) -> bool {
    name.len() == LONG && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// From now on volume `id` is told as that of `container` at `path`. What was learned first stays.
pub fn learn(id: &str, container: &str, path: &str) {
    if is_unnamed(id) {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let words = || (container.to_owned(), path.to_owned());
        known.entry(id.to_owned()).or_insert_with(words);
    }
}

/// What a table calls it; `None` for everything that has a name.
pub fn cell(text: &str) -> Option<String> {
    let id = text.trim_matches('`');
    is_unnamed(id).then(|| words(id))
}

/// `text` without these ids: where a volume is meant it is described, where our own flag names one it is shortened.
pub fn told(text: &str) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some(start) = first_id(rest) {
        let (before, after) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let (id, after) = after.split_at_checked(LONG).unwrap_or((after, ""));
        let quoted = before.strip_suffix('`').zip(after.strip_prefix('`'));
        let described = quoted.and_then(|(before, after)| {
            let before = before.strip_suffix("volume ")?;
            // "docker volume" and the like are commands.
            (!before.ends_with("docker ")).then_some((before, after))
        });
        rest = after;
        if let Some((before, after)) = described {
            told.push_str(before);
            told.push_str(&words(id));
            rest = after;
        } else if before.ends_with("--volume ") {
            told.push_str(before);
            told.push_str(id.get(..SHORT).unwrap_or(id));
        } else {
            told.push_str(before);
            told.push_str(id);
        }
    }
    told.push_str(rest);
    told
}

fn words(id: &str) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match known.get(id) {
        Some((container, path)) => format!("unnamed volume of `{container}` at `{path}`"),
        None => format!("unnamed volume `{}`", id.get(..SHORT).unwrap_or(id)),
    }
}

/// Where the first run of exactly 64 hexadecimal digits begins that is no part of a longer word.
fn first_id(text: &str) -> Option<usize> {
    let mut start = None;
    let end = std::iter::once((text.len(), ' '));
    for (index, c) in text.char_indices().chain(end) {
        match (c.is_ascii_alphanumeric(), start) {
            (true, None) => start = Some(index),
            (true, Some(_)) => {}
            (false, None) => {}
            (false, Some(begun)) => {
                if text.get(begun..index).is_some_and(is_unnamed) {
                    return Some(begun);
                }
                start = None;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_by_who_has_it_and_stays_where_a_command_needs_it() {
        let (known, unknown) = ("0a".repeat(32), "f".repeat(64));
        learn(&known, "web-db-1", "/data");
        learn("named", "web-db-1", "/other");
        let of_db = "unnamed volume of `web-db-1` at `/data`";
        assert_eq!(
            told(&format!("volume `{known}` is lost")),
            format!("{of_db} is lost")
        );
        assert_eq!(
            told(&format!(
                "volume `{unknown}` and volume `{known}`, volume `named`"
            )),
            format!("unnamed volume `ffffffffffff` and {of_db}, volume `named`")
        );
        assert_eq!(
            told(&format!("restore --unit u --volume {known} --target DIR")),
            "restore --unit u --volume 0a0a0a0a0a0a --target DIR"
        );
        for same in [
            format!("docker tag sha256:{known} db:1"),
            format!("docker volume `{known}`"),
            format!("/var/lib/docker/volumes/{known}/_data"),
            format!("volume `{known}0`"),
            "ä volume `short`".to_owned(),
        ] {
            assert_eq!(told(&same), same);
        }
        assert_eq!(cell(&known).unwrap(), of_db);
        assert_eq!(cell("named"), None);
    }
}
