//! Reads what a point is made of, to the last byte, and keeps none of it.

use std::fs::File;

use anyhow::Context as _;

use crate::backup::Tar;
use crate::error::{Exit, Failure, Result};
use crate::kopia::{Activity, Kopia};
use crate::model::point::{Part, PartKind, PointRecord, SourceRecord};
use crate::restore::aside;
use crate::restore::feed::{Feed, said};
use crate::restore::points::Point;
use crate::restore::recipe;
use crate::tool::{Output, Spec, pipe};

pub struct Reader {
    pub feed: Feed,
    pub tar: Tar,
}

impl Reader {
    /// Reads every file of the recipe, and makes sense of its record.
    pub async fn recipe(&self, point: &Point) -> Result<PointRecord> {
        let read = async {
            let (root, record) = recipe::read(self.kopia(), point).await?;
            self.kopia().read_tree(&root, self.feed.stall).await?;
            Ok(record)
        };
        tokio::select! {
            biased;
            () = self.feed.shutdown.asked() => Err(self.feed.interrupted()),
            record = read => record,
        }
    }

    /// Reads every part of `source`: as long as the recipe says, and a tar from its beginning to its end.
    pub async fn source(&self, source: &SourceRecord, moved: &Activity) -> Result<()> {
        for part in &source.parts {
            self.part(part, moved).await?;
        }
        Ok(())
    }

    async fn part(&self, part: &Part, moved: &Activity) -> Result<()> {
        match part.kind {
            PartKind::Full => self.tar(part, moved).await,
        }
    }

    async fn tar(&self, part: &Part, moved: &Activity) -> Result<()> {
        let names = pipe()?;
        let read = aside::start(move || {
            let read = std::io::copy(&mut File::from(names.reader), &mut std::io::sink());
            read.context("tar's list can't be read")
        })?;
        let tar = list(&self.tar).output(Output::Pipe(names.writer));
        let tar = self.feed.run(part, tar, moved).await?;
        read.await.context("a thread ended in a panic")??;
        if tar.stderr.is_empty() {
            return Ok(());
        }
        Err(
            Failure::new(Exit::UnitsFailed, "its archive is not as it should be")
                .caused_by(said(&tar))
                .into(),
        )
    }

    fn kopia(&self) -> &Kopia {
        &self.feed.kopia
    }
}

/// Walks through an archive on stdin. Its names go to a pipe: when its output is `/dev/null` GNU tar takes short cuts.
fn list(tar: &Tar) -> Spec {
    Spec::new(tar.program())
        .args(["--list", "--file=-"])
        // As for a restore: odd times are no damage.
        .arg("--warning=no-timestamp")
}
