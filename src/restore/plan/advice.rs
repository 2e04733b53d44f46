//! What the operator should know of a point before it is restored.

use crate::model::point::{PointRecord, SourceRecord};
use crate::model::source::Gap;
use crate::points::choose::newer_but_not_whole;
use crate::points::point::Point;
use crate::swap::marks;

/// What the operator should know of the point before it is restored.
pub fn doubts(
    all: &[Point],
    point: &Point,
    record: &PointRecord,
    sources: &[SourceRecord],
) -> Vec<String> {
    let mut doubts: Vec<String> = newer_but_not_whole(all, point)
        .iter()
        .take(1)
        .map(|newer| {
            format!(
                "there is a newer point, {}, that is not whole: {}",
                newer.backup_id,
                newer.problems.join("; ")
            )
        })
        .collect();
    for source in sources {
        for reason in &source.reasons {
            doubts.push(format!("{} is {}: {reason}", source.key, source.grade));
        }
        let patterns: Vec<&str> = source
            .exclude_patterns
            .iter()
            .map(String::as_str)
            .filter(|pattern| !marks::is_pattern(pattern))
            .collect();
        if !patterns.is_empty() {
            doubts.push(format!(
                "{} was saved without what matches {}: that will only be in the safety copy",
                source.key,
                patterns.join(", ")
            ));
        }
    }
    let is_agreed = |gap: &Gap| {
        record
            .agreed
            .iter()
            .any(|agreement| agreement.what == gap.what)
    };
    for gap in record
        .gaps
        .iter()
        .filter(|gap| gap.is_loss || is_agreed(gap))
    {
        doubts.push(format!("not in this point: {}: {}", gap.what, gap.detail));
    }
    doubts
}
