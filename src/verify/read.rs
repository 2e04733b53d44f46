//! Reads what a point is made of, to the last byte, and keeps none of it.

use std::fs::File;

use anyhow::Context as _;

use crate::base::activity::Activity;
use crate::base::blocking;
use crate::drivers::kopia::{Kopia, Manifest};
use crate::drivers::tar::Tar;
use crate::drivers::tool::{Output, Spec, pipe};
use crate::error::{Exit, Failure, Result};
use crate::model::point::{Part, PartKind, PointRecord, SourceRecord};
use crate::points::feed::{Feed, said};
use crate::points::point::Point;
use crate::points::recipe;

pub struct Reader<'a> {
    pub feed: Feed,
    pub tar: Tar,
    /// Every snapshot of the repository.
    pub manifests: &'a [Manifest],
}

impl Reader<'_> {
    /// Reads every file of the recipe, and makes sense of its record.
    pub async fn recipe(&self, point: &Point) -> Result<PointRecord> {
        let read = async {
            let record = recipe::record(self.kopia(), point, self.manifests).await?;
            if let Some(root) = &point.recipe {
                let files = self.kopia().read_tree(root, true, self.feed.stall);
                anyhow::ensure!(files.await? > 0, "the recipe is empty");
            }
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
            kind if kind.is_tar() => self.tar(part, moved).await,
            _ => {
                let is_folder = matches!(part.kind, PartKind::Tree(_));
                let read = self
                    .kopia()
                    .read_tree(&part.root, is_folder, self.feed.stall);
                tokio::select! {
                    biased;
                    () = self.feed.shutdown.asked() => return Err(self.feed.interrupted()),
                    read = read => { read?; }
                }
                moved.add(part.bytes);
                Ok(())
            }
        }
    }

    async fn tar(&self, part: &Part, moved: &Activity) -> Result<()> {
        let names = pipe()?;
        let read = blocking::start(move || {
            let read = std::io::copy(&mut File::from(names.reader), &mut std::io::sink());
            read.context("tar's list cannot be read")
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
