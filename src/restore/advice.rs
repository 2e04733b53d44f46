//! What the operator should know of a point before it is restored, and what comes after.

use super::choose::newer_but_not_whole;
use super::marks;
use super::points::Point;
use crate::discovery::Discovery;
use crate::model::point::{PointRecord, SourceRecord};

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
    for gap in record.gaps.iter().filter(|gap| gap.is_loss) {
        doubts.push(format!("not in this point: {}: {}", gap.what, gap.detail));
    }
    doubts
}

/// How the unit comes to life where it has no containers.
pub fn next_steps(host: &Discovery, record: &PointRecord) -> Vec<String> {
    let has_containers = host
        .units
        .iter()
        .any(|unit| unit.name == record.unit && !unit.containers.is_empty());
    if has_containers {
        return Vec::new();
    }
    let Some(project) = &record.project else {
        return vec![format!("make container `{}` again", record.unit)];
    };
    let mut words = vec!["docker".to_owned(), "compose".to_owned()];
    words.extend(["--project-name".to_owned(), record.unit.to_string()]);
    if let Some(folder) = &project.working_dir {
        words.extend([
            "--project-directory".to_owned(),
            folder.display().to_string(),
        ]);
    }
    for file in &project.compose_files {
        words.extend(["-f".to_owned(), file.display().to_string()]);
    }
    for file in &project.env_files {
        words.extend(["--env-file".to_owned(), file.display().to_string()]);
    }
    words.extend(["up".to_owned(), "-d".to_owned()]);
    vec![shell_words::join(words)]
}
