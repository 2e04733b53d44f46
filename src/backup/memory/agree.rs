//! What the operator agreed not to have in the backup.

use chrono::{DateTime, Utc};

use crate::model::point::Agreement;
use crate::model::source::Gap;

/// Takes the losses among `gaps` that the operator agreed to, earlier or with `accepts` in this run, for no loss. The agreements that still
/// hold are returned: what is back is forgotten.
pub fn settle(
    gaps: &mut [Gap],
    agreed: &[Agreement],
    accepts: bool,
    now: DateTime<Utc>,
) -> Vec<Agreement> {
    let mut still: Vec<Agreement> = Vec::new();
    for gap in gaps.iter_mut().filter(|gap| gap.is_loss) {
        let known = agreed.iter().find(|agreement| agreement.what == gap.what);
        let agreement = match known {
            Some(known) => known.clone(),
            None if accepts => Agreement {
                what: gap.what.clone(),
                since: now,
            },
            None => continue,
        };
        gap.is_loss = false;
        gap.detail = format!(
            "{}; by your agreement of {}",
            gap.detail,
            agreement.since.format("%Y-%m-%d")
        );
        if !still.contains(&agreement) {
            still.push(agreement);
        }
    }
    still
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::GapReason;

    fn loss(what: &str) -> Gap {
        Gap {
            what: what.to_owned(),
            reason: GapReason::Missing,
            detail: "nothing is there".to_owned(),
            is_loss: true,
        }
    }

    #[test]
    fn an_agreement_is_about_one_thing_and_ends_when_that_is_back() {
        let [first, second]: [DateTime<Utc>; 2] =
            ["2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z"].map(|time| time.parse().unwrap());
        let mut gaps = [loss("a")];
        assert_eq!(settle(&mut gaps, &[], false, first), []);
        assert!(gaps[0].is_loss);

        let agreed = settle(&mut gaps, &[], true, first);
        assert!(!gaps[0].is_loss);
        assert!(gaps[0].detail.ends_with("by your agreement of 2026-01-01"));

        let mut gaps = [loss("a"), loss("b")];
        assert_eq!(settle(&mut gaps, &agreed, false, second), agreed);
        assert_eq!(gaps.map(|gap| gap.is_loss), [false, true]);

        assert_eq!(settle(&mut [loss("b")], &agreed, false, second), []);
    }
}
