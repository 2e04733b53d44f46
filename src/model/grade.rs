//! How far what was read can be trusted.

use serde::{Deserialize, Serialize};

/// The quality of a source or of a whole restore point, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Read while every writer was proven stopped, after a clean stop.
    Ok,
    /// Read cold, but a writer did not stop cleanly (killed, out of memory, paused): as after a power cut.
    Crash,
    /// Read after a stop that was not verified: the Python tool proves nothing. Never the grade of what this program saves.
    Unproven,
    /// Something may have written while it was read.
    Hot,
    /// A restore point that lacks sources it should have. Never the grade of a single source.
    Partial,
}

impl Grade {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Crash => "crash",
            Self::Unproven => "unproven",
            Self::Hot => "hot",
            Self::Partial => "partial",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Ok,
            Self::Crash,
            Self::Unproven,
            Self::Hot,
            Self::Partial,
        ]
        .into_iter()
        .find(|grade| grade.as_str() == text)
    }
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_grade_is_the_greatest() {
        assert_eq!(
            [Grade::Hot, Grade::Ok, Grade::Crash].into_iter().max(),
            Some(Grade::Hot)
        );
        assert_eq!(Grade::parse("partial"), Some(Grade::Partial));
        assert_eq!(Grade::parse("OK"), None);
    }
}
