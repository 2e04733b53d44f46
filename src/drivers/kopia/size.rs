//! How much the storage holds. Every object in it is listed for that, which takes its time where it is far away.

use std::time::Duration;

use serde::Serialize;

use super::client::Kopia;
use super::failure;
use crate::drivers::tool;
use crate::error::{Exit, Failure, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    pub objects: u64,
    pub bytes: u64,
}

impl Kopia {
    pub async fn size(&self, deadline: Duration) -> Result<Size> {
        let spec = self.command().args(["blob", "stats", "--raw"]);
        let finished = tool::run(spec, deadline).await?;
        if !finished.ended.status.success() {
            return Err(failure::of(&finished.ended));
        }
        parse(&String::from_utf8_lossy(&finished.stdout)).ok_or_else(|| {
            let what = "`kopia blob stats` did not tell what this version knows";
            Failure::new(Exit::Program, what).into()
        })
    }
}

fn parse(text: &str) -> Option<Size> {
    let number = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().parse().ok()
    };
    Some(Size {
        objects: number("Count:")?,
        bytes: number("Total:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_0_23_1_prints_is_read() {
        let recorded = "Count: 20\nTotal: 42393\nAverage: 2119\nHistogram:\n\n        0 between 0 and 10 (total 0)\n";
        let size = Size {
            objects: 20,
            bytes: 42393,
        };
        assert_eq!(parse(recorded), Some(size));
        assert_eq!(parse("Count: x\n"), None);
    }
}
