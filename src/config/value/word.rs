//! Names that Kopia knows, such as an algorithm's.

use serde::Deserializer;

use super::read;

/// One word that can be an argument of its own. Which words are known is Kopia's to say: new versions add some.
pub fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    read(
        deserializer,
        "a name of letters, digits, `-`, `_`, `.` and `+`",
        |value| {
            value
                .as_str()
                .filter(|text| {
                    !text.is_empty()
                        && !text.starts_with('-')
                        && text
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
                })
                .map(str::to_owned)
        },
    )
}
