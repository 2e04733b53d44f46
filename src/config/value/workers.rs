//! How many sources are saved at the same time.

use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::read;

const MOST: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// By memory and CPUs.
    Auto,
    /// As told, whatever the host has.
    Count(NonZeroUsize),
}

impl Workers {
    /// At least 1. Every worker is a kopia process with its own caches: it is the memory that limits them.
    pub fn resolve(self, total_ram_bytes: u64, cpus: usize) -> usize {
        const GIB: u64 = 1 << 30;
        match self {
            Self::Count(count) => count.get(),
            Self::Auto => {
                // In GiB: what Linux calls the total is a little less than what was bought.
                let by_memory = match total_ram_bytes {
                    ram if ram <= 2 * GIB => 1,
                    ram if ram <= 4 * GIB => 2,
                    ram if ram <= 8 * GIB => 4,
                    ram if ram <= 16 * GIB => 8,
                    _ => 12,
                };
                by_memory.min(cpus).max(1)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = format!("\"auto\" or a whole number from 1 to {MOST}");
        read(deserializer, &expected, |value| match value.as_str() {
            Some("auto") => Some(Self::Auto),
            _ => value
                .as_u64()
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count <= MOST)
                .and_then(NonZeroUsize::new)
                .map(Self::Count),
        })
    }
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => count.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_workers_follow_memory_but_never_exceed_the_cpus() {
        let gib = |count: u64| count << 30;
        for (ram, cpus, expected) in [
            (gib(1), 8, 1),
            (gib(2), 8, 1),
            (gib(2) + 1, 8, 2),
            (gib(4), 8, 2),
            (gib(8), 8, 4),
            (gib(16), 32, 8),
            (gib(64), 32, 12),
            (gib(64), 2, 2),
            (gib(64), 0, 1),
            (0, 0, 1),
        ] {
            assert_eq!(Workers::Auto.resolve(ram, cpus), expected, "{ram} {cpus}");
        }
    }

    #[test]
    fn a_number_of_workers_is_taken_as_told() {
        let workers: Workers = serde_json::from_str("6").unwrap();
        assert_eq!(workers.resolve(0, 1), 6);
        for wrong in ["0", "65", "-1", "1.5", "\"6\"", "\"AUTO\"", "null"] {
            assert!(serde_json::from_str::<Workers>(wrong).is_err(), "{wrong}");
        }
    }
}
