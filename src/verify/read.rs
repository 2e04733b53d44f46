//! Reads what a point is made of, to the last byte, and keeps none of it.

use std::fs::File;

use anyhow::Context as _;

use super::seen::{Seen, is_damage};
use crate::base::activity::Activity;
use crate::base::blocking;
use crate::base::text::printable;
use crate::drivers::kopia::{Kopia, Manifest};
use crate::drivers::tar::Tar;
use crate::drivers::tool::{Output, Spec, pipe};
use crate::error::{Exit, Failure, Result};
use crate::model::point::{Part, PartKind, PointRecord, SourceRecord};
use crate::points::feed::{Feed, said};
use crate::points::gate::Gate;
use crate::points::point::Point;
use crate::points::rounds::{Round, rounds};
use crate::points::{lists, recipe};

pub struct Reader<'a> {
    pub feed: Feed,
    pub tar: Tar,
    /// Every snapshot of the repository.
    pub manifests: &'a [Manifest],
    pub seen: Seen,
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

    /// Reads every part of `source`, which is as `record` has it: as long as that says, and a tar from its beginning to its end.
    pub async fn source(
        &self,
        point: &Point,
        record: &PointRecord,
        source: &SourceRecord,
        moved: &Activity,
    ) -> Result<()> {
        let mut source = source.clone();
        let read = lists::read_of(
            self.kopia(),
            point,
            record,
            std::slice::from_mut(&mut source),
        );
        self.feed.shutdown.cut("the verify", read).await?;
        for round in rounds(&source.parts)? {
            let read = self.seen.once(&round, self.round(&round, moved));
            if let Err(error) = read.await {
                let also = self.also_in(point, &round);
                return Err(match is_damage(&error) && !also.is_empty() {
                    true => error.context(format!("the same data is in {}", also.join(", "))),
                    false => error,
                });
            }
        }
        Ok(())
    }

    async fn round(&self, round: &Round<'_>, moved: &Activity) -> Result<()> {
        match round {
            Round::One { part, is_first } => {
                let gate = (!is_first).then(|| Gate::later(None));
                self.part(part, gate.as_ref(), moved).await
            }
            Round::Group {
                folders, shards, ..
            } => {
                let gate = Gate::folders(None);
                self.part(folders, Some(&gate), moved).await?;
                for shard in *shards {
                    let gate = gate.shard(None);
                    self.part(shard, Some(&gate), moved).await?;
                }
                Ok(())
            }
        }
    }

    /// The other points that are made of something in `round`.
    fn also_in(&self, point: &Point, round: &Round<'_>) -> Vec<String> {
        let is_in = |manifest: &&Manifest| {
            let mut roots = manifest.roots().into_iter().flatten();
            manifest.tag("backup_id") != Some(&point.backup_id.to_string())
                && roots.any(|root| round.parts().any(|part| part.root.as_str() == root))
        };
        let others = self.manifests.iter().filter(is_in);
        let names = others.filter_map(|recipe| {
            let (id, unit) = (recipe.tag("backup_id")?, recipe.tag("unit")?);
            Some(printable(&format!("restore point {id} of unit `{unit}`")))
        });
        names.collect()
    }

    async fn part(&self, part: &Part, gate: Option<&Gate>, moved: &Activity) -> Result<()> {
        match part.kind {
            kind if kind.is_tar() => self.tar(part, gate, moved).await,
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

    async fn tar(&self, part: &Part, gate: Option<&Gate>, moved: &Activity) -> Result<()> {
        let names = pipe()?;
        let read = blocking::start(move || {
            let read = std::io::copy(&mut File::from(names.reader), &mut std::io::sink());
            read.context("tar's list cannot be read")
        })?;
        let tar = list(&self.tar).output(Output::Pipe(names.writer));
        let tar = self.feed.run(part, gate, tar, moved).await?;
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
