//! The name of a host.

use serde::Deserializer;

use super::read_or_null;

/// The longest that a host name may be.
const LONGEST: usize = 253;

/// In lower case, since Kopia lowers it and two spellings would be one host; or null.
pub fn optional_host<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    read_or_null(
        deserializer,
        "a host name of lower-case letters, digits, `-` and `.`, or null",
        |value| {
            value
                .as_str()
                .filter(|text| is_host(text))
                .map(str::to_owned)
        },
    )
}

fn is_host(text: &str) -> bool {
    text.len() <= LONGEST
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_one_that_kopia_keeps_as_it_is() {
        for good in ["web", "web-2", "web.a.example", "10"] {
            assert!(is_host(good), "{good:?}");
        }
        let long = "a".repeat(64);
        for wrong in [
            "", "Web", "a b", "-web", "web-", "a..b", ".a", "a@b", "a:b", "a/b", &long,
        ] {
            assert!(!is_host(wrong), "{wrong:?}");
        }
    }
}
