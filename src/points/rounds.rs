//! In which order the parts of a source are extracted.

use crate::error::{Exit, Failure, Result};
use crate::model::point::{Part, PartKind};

/// What is extracted at once.
#[derive(Debug, PartialEq)]
pub enum Round<'a> {
    One {
        part: &'a Part,
        /// Nothing is there before it.
        is_first: bool,
    },
    /// The directories, then what is in them, side by side; then the directories once more, for their times.
    Group {
        folders: &'a Part,
        shards: &'a [Part],
        is_first: bool,
    },
}

impl Round<'_> {
    pub fn is_first(&self) -> bool {
        match self {
            Self::One { is_first, .. } | Self::Group { is_first, .. } => *is_first,
        }
    }

    /// All of them, each once.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let (one, others) = match self {
            Self::One { part, .. } => (*part, &[][..]),
            Self::Group {
                folders, shards, ..
            } => (*folders, *shards),
        };
        std::iter::once(one).chain(others)
    }
}

/// The rounds of a source's `parts`; an error where they make no sense.
pub fn rounds(parts: &[Part]) -> Result<Vec<Round<'_>>> {
    let mut rounds = Vec::new();
    let mut seen = Vec::new();
    for chunk in parts.chunk_by(|one, next| one.group.is_some() && one.group == next.group) {
        let is_first = rounds.is_empty();
        let round = match (chunk, chunk.first().and_then(|part| part.group)) {
            ([part], None) if part.kind != PartKind::Folders => Round::One { part, is_first },
            ([folders, shards @ ..], Some(number))
                if folders.kind == PartKind::Folders
                    && shards.iter().all(is_shard)
                    && !seen.contains(&number) =>
            {
                seen.push(number);
                Round::Group {
                    folders,
                    shards,
                    is_first,
                }
            }
            _ => return Err(refused("its parts are not in an order that makes sense").into()),
        };
        rounds.push(round);
    }
    if rounds.len() > 1 && parts.iter().any(|part| !is_stream(part)) {
        return Err(refused("a part of it is no stream of this program").into());
    }
    Ok(rounds)
}

/// What is extracted beside others changes nothing but what it holds.
fn is_shard(part: &Part) -> bool {
    is_stream(part)
        && part.kind != PartKind::Folders
        && part.deleted.is_none()
        && part.stripped.is_none()
}

fn is_stream(part: &Part) -> bool {
    part.kind.is_tar() && part.kind != PartKind::OnlyFile
}

fn refused(why: &str) -> Failure {
    Failure::new(Exit::UnitsFailed, format!("the recipe is damaged: {why}"))
        .hint("take another restore point")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::point::PathList;
    use crate::model::{ObjectId, SnapshotId};

    fn part(kind: PartKind, group: Option<u32>) -> Part {
        let id = SnapshotId::parse("ab").unwrap();
        let root = ObjectId::parse("k1").unwrap();
        Part {
            group,
            ..Part::only(kind, id, root, "data".to_owned(), 1)
        }
    }

    #[test]
    fn parts_of_one_number_are_one_round() {
        use PartKind::{Base, Final, Folders, Full, Increment};
        let parts = [
            part(Folders, Some(0)),
            part(Base, Some(0)),
            part(Base, Some(0)),
            part(Increment, None),
            part(Folders, Some(1)),
            part(Increment, Some(1)),
            part(Final, None),
        ];
        let found = rounds(&parts).unwrap();
        let lengths: Vec<usize> = found.iter().map(|round| round.parts().count()).collect();
        assert_eq!(lengths, [3, 1, 2, 1]);
        let first: Vec<bool> = found.iter().map(Round::is_first).collect();
        assert_eq!(first, [true, false, false, false]);
        assert!(rounds(&[]).unwrap().is_empty());
        assert_eq!(rounds(&[part(Full, None)]).unwrap().len(), 1);
    }

    #[test]
    fn parts_that_make_no_sense_are_refused() {
        use PartKind::{Base, Folders, Increment, OnlyFile};
        let lists = Part {
            deleted: Some(PathList {
                paths: 1,
                sha256: String::new(),
            }),
            ..part(Base, Some(0))
        };
        for parts in [
            vec![part(Folders, None)],
            vec![part(Base, Some(0)), part(Folders, Some(0))],
            vec![part(Folders, Some(0)), part(Folders, Some(0))],
            vec![part(Folders, Some(0)), lists],
            vec![
                part(Folders, Some(0)),
                part(Increment, None),
                part(Folders, Some(0)),
            ],
            vec![part(OnlyFile, None), part(Increment, None)],
        ] {
            assert!(rounds(&parts).is_err(), "{parts:?}");
        }
    }
}
