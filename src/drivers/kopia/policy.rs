//! The policy of our own sources. Set for this host's identity alone: others who share the repository keep theirs.

use std::io::Write as _;

use serde_json::json;

use super::client::{ASK_DEADLINE, Kopia};
use super::failure;
use super::identity::{Policy, RepositoryIdentity};
use crate::drivers::tool::{self, Input, pipe};
use crate::error::Result;

/// Counted up when the policy below changes.
const VERSION: u32 = 1;

impl Kopia {
    /// Imports the policy again when what it depends on has changed since: a policy of another identity has no effect on ours.
    pub async fn refresh_policy(&self, identity: &RepositoryIdentity) -> Result<()> {
        if !self.has_policy(identity)? {
            self.import_policy().await?;
            identity.set_policy(self.policy())?;
        }
        Ok(())
    }

    /// Whether the one in force is that of the configuration, as far as this host knows.
    pub fn has_policy(&self, identity: &RepositoryIdentity) -> Result<bool> {
        identity.has_policy(&self.policy())
    }

    pub fn policy(&self) -> Policy {
        Policy {
            identity: self.identity().to_string(),
            version: VERSION,
            compression: self.settings.compression.clone(),
        }
    }

    /// Compression as configured; Kopia expires nothing by itself, since it would drop a volume and keep its sibling;
    /// no ignore rule of anybody drops a stream.
    pub async fn import_policy(&self) -> Result<()> {
        let identity = self.identity();
        let keep_everything = json!({
            "keepLatest": 0, "keepHourly": 0, "keepDaily": 0, "keepWeekly": 0, "keepMonthly": 0, "keepAnnual": 0
        });
        let compression = json!({ "compressorName": self.settings.compression });
        let policy = json!({
            identity.to_string(): {
                "retention": keep_everything,
                "compression": compression,
                // A list that is not empty replaces the inherited one.
                "files": { "ignore": ["/.kopi-docka-never"], "ignoreDotFiles": [".kopi-docka-never"], "ignoreCacheDirs": false },
                "errorHandling": { "ignoreFileErrors": false, "ignoreDirectoryErrors": false },
            },
            // Another profile of this host may want another compression, under the same identity.
            format!("{identity}:/{}", self.settings.me.profile): { "compression": compression },
        });
        let stdin = pipe()?;
        // Far less than a pipe holds: this cannot block.
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
