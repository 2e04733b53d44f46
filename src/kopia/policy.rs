//! The policy of our own sources. Set for this host's identity alone: others who share the repository keep theirs.

use std::io::Write as _;

use serde_json::json;

use super::client::{ASK_DEADLINE, Kopia};
use super::failure;
use super::identity::Identity;
use crate::error::Result;
use crate::tool::{self, Input, pipe};

impl Kopia {
    /// Imports the policy again when the configuration has changed since.
    pub async fn refresh_policy(&self, identity: &Identity) -> Result<()> {
        if !identity.has_compression(&self.settings.compression)? {
            self.import_policy().await?;
            identity.set_compression(&self.settings.compression)?;
        }
        Ok(())
    }

    /// Compression as configured; Kopia expires nothing by itself, since it would drop a volume and keep its sibling;
    /// no ignore rule of anybody drops a stream.
    pub(super) async fn import_policy(&self) -> Result<()> {
        let keep_everything = json!({
            "keepLatest": 0, "keepHourly": 0, "keepDaily": 0, "keepWeekly": 0, "keepMonthly": 0, "keepAnnual": 0
        });
        let policy = json!({ self.identity(): {
            "retention": keep_everything,
            "compression": { "compressorName": self.settings.compression },
            // A list that isn't empty replaces the inherited one.
            "files": { "ignore": ["/.kopi-docka-never"], "ignoreDotFiles": [".kopi-docka-never"], "ignoreCacheDirs": false },
            "errorHandling": { "ignoreFileErrors": false, "ignoreDirectoryErrors": false },
        }});
        let stdin = pipe()?;
        // Far less than a pipe holds: this can't block.
        std::fs::File::from(stdin.writer).write_all(&serde_json::to_vec(&policy)?)?;
        let spec = self
            .command()
            .args(["policy", "import"])
            .input(Input::Pipe(stdin.reader));
        let finished = tool::run(spec, ASK_DEADLINE).await?;
        if finished.ended.status.success() {
            Ok(())
        } else {
            Err(failure::of(&finished.ended))
        }
    }
}
