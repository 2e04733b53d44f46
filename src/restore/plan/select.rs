//! Which sources of a point a request means, and why some cannot be had.

use std::collections::HashSet;

use crate::error::{Exit, Failure, Result};
use crate::model::point::{PointRecord, SourceRecord};
use crate::restore::request::{Destination, Request, What, handle, is_meant};

/// `lacks` is what the point lacks beside data, one sentence each.
pub fn select(
    record: &PointRecord,
    lacks: &[String],
    request: &Request,
    complete: &HashSet<&str>,
) -> Result<Vec<SourceRecord>> {
    let is_there = |source: &SourceRecord| {
        source
            .parts
            .iter()
            .all(|part| complete.contains(part.root.as_str()))
    };
    if request.what == What::Recipe {
        if record.files.is_empty() && !lacks.is_empty() {
            return Err(not_whole(record, request, lacks, std::iter::empty()).into());
        }
        return Ok(Vec::new());
    }
    if request.is_whole_unit() {
        let lost = record.sources.iter().filter(|source| !is_there(source));
        let lacks: Vec<String> = record
            .missing
            .iter()
            .map(|missing| format!("it lacks {}: {}", missing.key, missing.reason))
            .chain(lost.map(|source| format!("it lacks {}: its snapshot is gone", source.key)))
            .chain(lacks.iter().cloned())
            .collect();
        if lacks.is_empty() {
            return Ok(record.sources.clone());
        }
        let has = record.sources.iter().filter(|source| is_there(source));
        return Err(not_whole(
            record,
            request,
            &lacks,
            has.map(|source| handle(&source.key)),
        )
        .into());
    }
    request
        .what
        .names()
        .iter()
        .map(|name| {
            let source = record
                .sources
                .iter()
                .find(|source| is_meant(&source.key, name))
                .ok_or_else(|| not_in_it(record, name))?;
            if is_there(source) {
                return Ok(source.clone());
            }
            Err(Failure::new(
                Exit::UnitsFailed,
                format!(
                    "{} of {}: its snapshot is gone from the repository",
                    source.key, record.backup_id
                ),
            )
            .into())
        })
        .collect()
}

fn not_whole(
    record: &PointRecord,
    request: &Request,
    lacks: &[String],
    has: impl Iterator<Item = String>,
) -> Failure {
    let mut failure = Failure::new(
        Exit::UnitsFailed,
        format!(
            "restore point {} of unit `{}` is not whole, so it is not restored as a whole",
            record.backup_id, record.unit
        ),
    );
    for lack in lacks {
        failure = failure.note(lack.clone());
    }
    let has: Vec<String> = has.collect();
    failure = if has.is_empty() {
        failure.hint("it has no data that could be restored: take another point")
    } else {
        failure.hint(format!(
            "what it has is restored by `{}`",
            request.command(&record.backup_id, &has)
        ))
    };
    let is_copy = matches!(
        request.to,
        Destination::Moved {
            project: Some(_),
            ..
        }
    );
    if record.files.is_empty() || is_copy {
        return failure;
    }
    let recipe = request.command(&record.backup_id, &[]);
    failure.hint(format!(
        "its compose files and what they name come back with `{recipe} --recipe`"
    ))
}

fn not_in_it(record: &PointRecord, name: &str) -> Failure {
    let missing = record
        .missing
        .iter()
        .find(|missing| handle(&missing.key) == name);
    let failure = Failure::new(
        Exit::NothingMatched,
        match missing {
            Some(missing) => format!(
                "{} is not in restore point {}: {}",
                missing.key, record.backup_id, missing.reason
            ),
            None => format!(
                "restore point {} has no volume or bind mount `{name}`",
                record.backup_id
            ),
        },
    );
    let names: Vec<String> = record
        .sources
        .iter()
        .map(|source| format!("`{}`", handle(&source.key)))
        .collect();
    if names.is_empty() {
        failure.hint("it has none at all")
    } else {
        failure.hint(format!("it has {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::doors::Doors;
    use super::*;
    use crate::error::{exit_of, render};
    use crate::model::{PointId, UnitName};
    use crate::points::choose::Which;
    use crate::points::recipe::parse;
    use crate::points::recipe::tests::record;
    use crate::restore::request::Destination;
    use crate::restore::request::{BringUp, OtherImages};

    fn request(only: &[&str]) -> Request {
        Request {
            unit: UnitName::parse("web").unwrap(),
            which: Which::Id(PointId::parse("2026-01-02T03-04-05Z").unwrap()),
            what: What::of_flags(
                only.iter().map(|name| (*name).to_owned()).collect(),
                Vec::new(),
                false,
            )
            .unwrap(),
            host: None,
            to: Destination::InPlace,
            doors: Doors::default(),
            bring_up: BringUp::No,
            other_images: OtherImages::No,
        }
    }

    #[test]
    fn what_is_not_whole_says_what_it_lacks_and_how_to_get_the_rest() {
        let mut partial = record();
        partial["missing"] =
            json!([{"type": "volume", "name": "web_files", "reason": "disk error"}]);
        let partial = parse(partial.to_string().as_bytes()).unwrap();
        let complete = HashSet::from(["k1"]);
        let error = select(&partial, &[], &request(&[]), &complete).unwrap_err();
        let text = render(&error);
        assert!(
            text.contains("it lacks volume `web_files`: disk error"),
            "{text}"
        );
        assert!(
            text.contains(
                "`kopi-docka restore --unit web --backup-id 2026-01-02T03-04-05Z --volume web_db`"
            ),
            "{text}"
        );
        assert_eq!(
            select(&partial, &[], &request(&["web_db"]), &complete)
                .unwrap()
                .len(),
            1
        );
        let error = select(&partial, &[], &request(&["web_files"]), &complete).unwrap_err();
        assert_eq!(exit_of(&error), Exit::NothingMatched);
        assert!(render(&error).contains("disk error"), "{error}");

        let whole = parse(record().to_string().as_bytes()).unwrap();
        let nothing = HashSet::new();
        let text = render(&select(&whole, &[], &request(&[]), &nothing).unwrap_err());
        assert!(text.contains("its snapshot is gone"), "{text}");
        assert!(select(&whole, &[], &request(&["web_db"]), &nothing).is_err());
    }
}
