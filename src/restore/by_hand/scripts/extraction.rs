//! The calls of `body.sh` that bring the parts of a source, one over the other.

use super::script::quote;
use crate::error::Result;
use crate::model::ObjectId;
use crate::model::point::{ListEnding, Part, PartKind, PathList, list_file};
use crate::points::rounds::Round;

pub struct Extraction<'a> {
    /// The root object.
    pub recipe: &'a ObjectId,
    /// Of the source in its record.
    pub place: usize,
    pub parts: &'a [Part],
}

impl Extraction<'_> {
    pub fn round(&self, round: &Round<'_>) -> Result<Vec<String>> {
        let mut calls = Vec::new();
        match round {
            Round::One { part, is_first } => {
                calls.extend(self.before(part));
                if !is_first {
                    calls.push(inspect("later", part));
                }
                calls.push(extract(part)?);
            }
            // One after the other is the same as side by side.
            Round::Group {
                folders, shards, ..
            } => {
                calls.extend(self.before(folders));
                calls.push(inspect("folders", folders));
                calls.push(format!("{} --no-xattrs", extract(folders)?));
                for shard in *shards {
                    calls.push(inspect("shard", shard));
                    calls.push(extract(shard)?);
                }
                calls.push(extract(folders)?);
            }
        }
        Ok(calls)
    }

    /// What is deleted and stripped.
    fn before(&self, part: &Part) -> Vec<String> {
        let number = self.parts.iter().position(|one| std::ptr::eq(one, part));
        let call = |verb: &str, list: &Option<PathList>, ending| {
            let (list, number) = (list.as_ref()?, number?);
            let file = format!("{}/{}", self.recipe, list_file(self.place, number, ending));
            Some(format!("{verb} {} {}", quote(&file), quote(&list.sha256)))
        };
        let deleted = call("drop", &part.deleted, ListEnding::Delete);
        let stripped = call("strip", &part.stripped, ListEnding::Strip);
        deleted.into_iter().chain(stripped).collect()
    }
}

fn inspect(rule: &str, part: &Part) -> String {
    format!("inspect {rule} {}", quote(&stream(part)))
}

fn extract(part: &Part) -> Result<String> {
    if !part.kind.is_tar() || part.kind == PartKind::OnlyFile {
        anyhow::bail!("a script cannot read the data of other tools");
    }
    Ok(format!("part {} {}", quote(&stream(part)), part.bytes))
}

fn stream(part: &Part) -> String {
    format!("{}/{}", part.root, part.file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SnapshotId;
    use crate::points::rounds::rounds;

    fn part(kind: PartKind, root: &str) -> Part {
        let id = SnapshotId::parse("ab").unwrap();
        let root = ObjectId::parse(root).unwrap();
        Part::only(kind, id, root, "data".to_owned(), 7)
    }

    #[test]
    fn each_part_is_cleared_for_looked_at_and_extracted() {
        let list = Some(PathList {
            paths: 1,
            sha256: "f0".to_owned(),
        });
        let mut parts = vec![part(PartKind::Base, "k1"), part(PartKind::Folders, "k2")];
        parts.extend([
            part(PartKind::Increment, "k3"),
            part(PartKind::Increment, "k4"),
        ]);
        parts.push(part(PartKind::Final, "k5"));
        for grouped in &mut parts[1..4] {
            grouped.group = Some(1);
        }
        parts[1].deleted.clone_from(&list);
        parts[4].deleted.clone_from(&list);
        parts[4].stripped = list;
        let recipe = ObjectId::parse("k9").unwrap();
        let extraction = Extraction {
            recipe: &recipe,
            place: 3,
            parts: &parts,
        };
        let rounds = rounds(&parts).unwrap();
        let calls: Vec<String> = rounds
            .iter()
            .flat_map(|round| extraction.round(round).unwrap())
            .collect();
        assert_eq!(
            calls,
            [
                "part k1/data 7",
                "drop k9/parts/3/1.delete f0",
                "inspect folders k2/data",
                "part k2/data 7 --no-xattrs",
                "inspect shard k3/data",
                "part k3/data 7",
                "inspect shard k4/data",
                "part k4/data 7",
                "part k2/data 7",
                "drop k9/parts/3/4.delete f0",
                "strip k9/parts/3/4.strip f0",
                "inspect later k5/data",
                "part k5/data 7",
            ]
        );
    }
}
