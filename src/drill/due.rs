//! Whose turn it is.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Rules};
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::UnitName;
use crate::points::point::{PointState, points};
use crate::points::whose::Whose;
use crate::reports::drills::Drills;
use crate::repository::Repository;

/// Whether one is to be made now by itself: the last one is longer ago than `drill.every`.
pub fn is_due(config: &Config, drills: &Drills, now: DateTime<Utc>) -> bool {
    let Some(every) = config
        .drill
        .every
        .and_then(|every| TimeDelta::from_std(every).ok())
    else {
        return false;
    };
    // A clock that was ahead must not put it off for ever.
    drills
        .newest()
        .is_none_or(|newest| now - newest >= every || newest > now + every)
}

/// The unit that is backed up on this host, has a whole point, and whose last drill is oldest.
pub async fn next(cx: &Context, config: &Config) -> Result<Option<UnitName>> {
    let repository = Repository::of(cx, config)?;
    repository.open().await?;
    let engine = Engine::connect(&config.docker.socket).await?;
    let rules = Rules::of(config, &cx.paths);
    let (manifests, host) = tokio::try_join!(
        repository.kopia.list(),
        discovery::discover(&engine, &rules)
    )?;
    let all = points(&manifests);
    let whose = Whose::of(&all, repository.kopia.me(), None);
    let has_point = |unit: &UnitName| {
        let mut of_unit = all
            .iter()
            .filter(|point| point.unit == *unit && whose.is_own(point));
        of_unit.any(|point| point.state == PointState::Whole)
    };
    let units = host
        .units
        .into_iter()
        .filter(|unit| unit.enabled && unit.not_coverable.is_none())
        .map(|unit| unit.name)
        .filter(has_point);
    Ok(oldest(units, &Drills::load(&cx.paths.drills())))
}

fn oldest(units: impl Iterator<Item = UnitName>, drills: &Drills) -> Option<UnitName> {
    units.min_by_key(|unit| (drills.last(unit).map(|last| last.started_at), unit.clone()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reports::drills::tests::report;

    fn drills(known: &[(&str, &str)]) -> Drills {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drills.json");
        for (unit, at) in known {
            Drills::remember(&path, &report(unit, "1", "not_good", at)).unwrap();
        }
        Drills::load(&path)
    }

    #[test]
    fn the_one_that_was_never_drilled_comes_first_and_then_the_oldest() {
        let names = |names: &[&str]| {
            let names: Vec<UnitName> = names
                .iter()
                .map(|name| UnitName::parse(name).unwrap())
                .collect();
            names.into_iter()
        };
        let known = drills(&[("a", "2026-01-02T00:00:00Z"), ("b", "2026-01-01T00:00:00Z")]);
        let next = |units: &[&str]| oldest(names(units), &known).map(|unit| unit.to_string());
        assert_eq!(next(&["a", "b", "d", "c"]).as_deref(), Some("c"));
        assert_eq!(next(&["a", "b"]).as_deref(), Some("b"));
        assert_eq!(next(&[]), None);
    }

    #[test]
    fn it_is_due_when_the_last_one_of_all_is_long_ago() {
        let mut config = Config::default();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let known = drills(&[("a", "2026-01-02T00:00:00Z"), ("b", "2026-01-01T00:00:00Z")]);
        assert!(
            !is_due(&config, &known, at("2030-01-01T00:00:00Z")),
            "never by itself"
        );
        config.drill.every = Some(Duration::from_secs(7 * 86_400));
        assert!(!is_due(&config, &known, at("2026-01-08T23:59:59Z")));
        assert!(is_due(&config, &known, at("2026-01-09T00:00:00Z")));
        assert!(is_due(
            &config,
            &Drills::default(),
            at("2026-01-01T00:00:00Z")
        ));
        assert!(
            is_due(&config, &known, at("2025-12-01T00:00:00Z")),
            "the clock was ahead"
        );
    }
}
