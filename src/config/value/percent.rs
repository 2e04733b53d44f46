//! A part of a whole: `"50%"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::read;

/// From 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u8);

impl Percent {
    pub const HALF: Self = Self(50);

    /// Whether `now` is less than `before` by more than this part of it.
    pub fn is_exceeded(self, before: u64, now: u64) -> bool {
        let lost = u128::from(before.saturating_sub(now));
        lost * 100 > u128::from(before) * u128::from(self.0)
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a part from \"1%\" to \"100%\", such as \"50%\"";
        read(deserializer, expected, |value| {
            let digits = value.as_str()?.trim().strip_suffix('%')?.trim_end();
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let percent: u8 = digits.parse().ok().filter(|_| is_plain)?;
            (1..=100).contains(&percent).then_some(Self(percent))
        })
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_written_with_its_sign() {
        let read = |text: &str| serde_json::from_str::<Percent>(text).ok();
        assert_eq!(read("\"50%\""), Some(Percent::HALF));
        assert_eq!(
            read("\" 100 % \"").map(|part| part.to_string()),
            Some("100%".to_owned())
        );
        for wrong in [
            "\"0%\"", "\"101%\"", "\"50\"", "50", "0.5", "\"+5%\"", "\"-5%\"", "null",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_exceeded_by_more_than_it_says() {
        assert!(!Percent::HALF.is_exceeded(1000, 500));
        assert!(Percent::HALF.is_exceeded(1000, 499));
        assert!(!Percent(100).is_exceeded(u64::MAX, 0));
        assert!(!Percent::HALF.is_exceeded(0, 0));
        assert!(!Percent::HALF.is_exceeded(1, u64::MAX));
    }
}
