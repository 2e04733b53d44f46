//! The points that retention decides on: those of this machine and profile, each with its kind.

use std::collections::{BTreeSet, HashSet};

use crate::drivers::kopia::Kopia;
use crate::model::{UnitKind, UnitName};
use crate::points::point::{Point, Tool};
use crate::points::recipe;
use crate::points::whose::Whose;

pub struct Own {
    pub points: Vec<Point>,
    /// Of each point, whether its kind is taken from the others of its unit.
    is_guessed: Vec<bool>,
}

impl Own {
    pub fn of(points: &[Point], whose: &Whose<'_>) -> Self {
        let own = || {
            points
                .iter()
                .filter(|point| point.made_by == Tool::KopiDocka && whose.is_own(point))
        };
        let with_kind = |point: &Point| Point {
            kind: whose.kind(point),
            ..point.clone()
        };
        Self {
            is_guessed: own()
                .map(|point| point.kind.is_none() && whose.kind(point).is_some())
                .collect(),
            points: own().map(with_kind).collect(),
        }
    }

    /// Before points of earlier versions go for newer ones of the same name, their recipe is asked whether they are of the same kind:
    /// a project may have taken the name of a container. `going` are snapshots. Whether a kind was another one.
    pub async fn prove_kinds(&mut self, kopia: &Kopia, going: &[String]) -> bool {
        let going: HashSet<&str> = going.iter().map(String::as_str).collect();
        let guessed = self.points.iter().zip(&self.is_guessed);
        let doubtful: BTreeSet<UnitName> = guessed
            .filter(|(point, is_guessed)| {
                let goes = || point.snapshots.iter().any(|id| going.contains(id.as_str()));
                **is_guessed && goes()
            })
            .map(|(point, _)| point.unit.clone())
            .collect();
        let mut is_changed = false;
        for unit in doubtful {
            let kind = self.recorded_kind(kopia, &unit).await;
            let guessed = self.points.iter_mut().zip(&self.is_guessed);
            for (point, _) in
                guessed.filter(|(point, is_guessed)| **is_guessed && point.unit == unit)
            {
                is_changed |= point.kind != kind;
                point.kind = kind;
            }
        }
        is_changed
    }

    /// `None` when it cannot be read: then they are a group of their own, of which the newest stay.
    async fn recorded_kind(&self, kopia: &Kopia, unit: &UnitName) -> Option<UnitKind> {
        let guessed = self.points.iter().zip(&self.is_guessed);
        let (newest, _) = guessed
            .filter(|(point, is_guessed)| {
                **is_guessed && point.unit == *unit && point.recipe.is_some()
            })
            .max_by_key(|(point, _)| point.time)?;
        let (_, record) = recipe::read(kopia, newest).await.ok()?;
        Some(record.kind)
    }
}
