//! What this command has read already: points share what they are made of.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Mutex;

use super::verdict::{Verdict, verdict};
use crate::error::Result;
use crate::model::ObjectId;
use crate::points::feed::Cancelled;
use crate::points::rounds::Round;

/// What was found by the streams that are read together, by whether there was something under them.
#[derive(Default)]
pub struct Seen(RefCell<HashMap<Key, Rc<Mutex<Found>>>>);

type Key = (bool, Vec<(ObjectId, String, u64)>);

#[derive(Default)]
enum Found {
    #[default]
    Nothing,
    Good,
    Damaged(String),
}

impl Seen {
    /// Does `read` unless it is known what comes of it. What could not be read says nothing, and is read again.
    pub async fn once(
        &self,
        round: &Round<'_>,
        read: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let streams = round
            .parts()
            .map(|part| (part.root.clone(), part.file.clone(), part.bytes));
        let key = (round.is_first(), streams.collect());
        let found = Rc::clone(self.0.borrow_mut().entry(key).or_default());
        let mut found = found.lock().await;
        match &*found {
            Found::Nothing => {}
            Found::Good => return Ok(()),
            Found::Damaged(text) => anyhow::bail!("{text}"),
        }
        let done = read.await;
        match &done {
            Ok(()) => *found = Found::Good,
            Err(error) if is_damage(error) => *found = Found::Damaged(format!("{error:#}")),
            Err(_) => {}
        }
        done
    }
}

pub fn is_damage(error: &anyhow::Error) -> bool {
    !error.is::<Cancelled>() && verdict(error) == Verdict::Damaged
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::{Exit, Failure};
    use crate::model::SnapshotId;
    use crate::model::point::{Part, PartKind};

    #[tokio::test]
    async fn what_is_known_is_not_read_again_and_what_was_not_read_is() {
        let part = |root: &str| {
            let id = SnapshotId::parse("ab").unwrap();
            let root = ObjectId::parse(root).unwrap();
            Part::only(PartKind::Full, id, root, "data".to_owned(), 1)
        };
        let (good, bad, away) = (part("k1"), part("k2"), part("k3"));
        let seen = Seen::default();
        let reads = Cell::new(0);
        for _ in 0..2 {
            for part in [&good, &bad, &away] {
                let round = Round::One {
                    part,
                    is_first: true,
                };
                let read = async {
                    reads.set(reads.get() + 1);
                    match part.root.as_str() {
                        "k1" => Ok(()),
                        "k2" => Err(anyhow::anyhow!("broken")),
                        _ => Err(Failure::new(Exit::Storage, "no answer").into()),
                    }
                };
                let done = seen.once(&round, read).await;
                assert_eq!(done.is_ok(), part == &good);
                assert_eq!(
                    done.is_err_and(|error| is_damage(&error) && format!("{error:#}") == "broken"),
                    part == &bad
                );
            }
        }
        assert_eq!(reads.get(), 4);
        let later = Round::One {
            part: &good,
            is_first: false,
        };
        seen.once(&later, async {
            reads.set(5);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(reads.get(), 5, "it is held to more there");
    }
}
