//! Asks for what the flags would say. It ends in a [`Request`] like theirs, and touches nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::Utc;

use super::plan::doors::Doors;
use super::request::{Destination, Request, What, handle, project_name};
use super::session::Session;
use crate::base::text;
use crate::error::{Exit, Failure, Result};
use crate::model::UnitName;
use crate::model::point::{PointRecord, SourceRecord};
use crate::model::unit::UnitKind;
use crate::points::choose::Which;
use crate::points::point::{Point, PointState};
use crate::restore::request::{BringUp, OtherImages};
use crate::ui::prompt;

/// Asks what of what is to be restored where. `unit` and `host` are what the flags have said of it already.
pub async fn ask(
    session: &Session<'_>,
    unit: Option<UnitName>,
    host: Option<&str>,
    (bring_up, other_images): (BringUp, OtherImages),
    doors: Doors,
) -> Result<Request> {
    let points = session.points();
    let unit = match unit {
        Some(unit) => unit,
        None => ask_unit(session, &points).await?,
    };
    let point = ask_point(session, &points, &unit, host).await?;
    let record = session.record(point).await?;
    let what = ask_what(session, point, &record).await?;
    let to = ask_where(session, &what, &record).await?;
    let what = match (&what, &to) {
        // Plain directories are pieces, all of them.
        (What::Unit, Destination::Folder(_)) => What::Sources(
            record
                .sources
                .iter()
                .map(|source| handle(&source.key))
                .collect(),
        ),
        _ => what,
    };
    Ok(Request {
        unit,
        which: Which::Id(point.backup_id.clone()),
        what,
        host: (!session.is_own(point)).then(|| host_of(point).to_owned()),
        to,
        doors,
        bring_up,
        other_images,
    })
}

async fn ask_unit(session: &Session<'_>, points: &[Point]) -> Result<UnitName> {
    let mut units: BTreeMap<&UnitName, Vec<&Point>> = BTreeMap::new();
    for point in points.iter().filter(|point| is_offered(point)) {
        units.entry(&point.unit).or_default().push(point);
    }
    if units.is_empty() {
        return Err(
            Failure::new(Exit::NothingMatched, "there are no restore points")
                .hint("`kopi-docka backup` creates one; `kopi-docka repo-status` shows which repository this is")
                .into(),
        );
    }
    let now = Utc::now();
    let items = units.iter().map(|(unit, points)| {
        let newest = points.iter().map(|point| point.time).max();
        let age = newest.map_or_else(String::new, |time| text::age(time, now));
        let elsewhere = points.iter().all(|point| !session.is_own(point));
        format!(
            "{unit}  ({}, the newest {age} old{})",
            text::count(points.len(), "restore point"),
            if elsewhere { ", of another host" } else { "" }
        )
    });
    let chosen = prompt::select("Unit to restore", items.collect(), shutdown(session)).await?;
    let names: Vec<&UnitName> = units.into_keys().collect();
    one_of(names, chosen).cloned()
}

async fn ask_point<'a>(
    session: &Session<'_>,
    points: &'a [Point],
    unit: &UnitName,
    host: Option<&str>,
) -> Result<&'a Point> {
    let mut offered: Vec<&Point> = points
        .iter()
        .filter(|point| point.unit == *unit && is_offered(point))
        .filter(|point| host.is_none_or(|host| host_of(point).eq_ignore_ascii_case(host)))
        .collect();
    if offered.is_empty() {
        return Err(Failure::new(
            Exit::NothingMatched,
            format!("there is no restore point of unit `{unit}`"),
        )
        .hint("see all points with `kopi-docka list --snapshots --all-hosts`")
        .into());
    }
    // Those of this host first, of this machine before them; the newest is what most want.
    let whose = session.whose(points);
    offered.sort_by_key(|point| {
        let is_last = (!session.is_own(point), !whose.is_own(point));
        (is_last, std::cmp::Reverse(point.time))
    });
    let now = Utc::now();
    let items = offered.iter().map(|point| {
        let grade = point.grade.map_or("-", |grade| grade.as_str());
        let mut item = format!(
            "{}  {} ago  {}  {grade}",
            point.backup_id,
            text::age(point.time, now),
            text::bytes(point.bytes),
        );
        if !session.is_own(point) {
            item.push_str(&format!("  of host {}", host_of(point)));
        }
        item.push_str(whose.label(point));
        if point.state == PointState::Partial {
            item.push_str(&format!("  PARTIAL: {}", point.problems.join("; ")));
        }
        text::printable(&item)
    });
    let chosen = prompt::select("Restore point", items.collect(), shutdown(session)).await?;
    one_of(offered, chosen)
}

async fn ask_what(session: &Session<'_>, point: &Point, record: &PointRecord) -> Result<What> {
    #[derive(Clone, Copy)]
    enum Choice {
        Unit,
        Sources,
        Files,
        Recipe,
    }
    let mut choices = Vec::new();
    if point.state == PointState::Whole {
        choices.push((
            Choice::Unit,
            "the whole unit: data, files, networks (an upgrade went wrong: go back to before it)",
        ));
    }
    if !record.sources.is_empty() {
        choices.push((Choice::Sources, "some volumes or bind mounts"));
        choices.push((Choice::Files, "some files or directories of one of them"));
    }
    if !record.files.is_empty() {
        choices.push((Choice::Recipe, "the compose files alone, no data"));
    }
    if choices.is_empty() {
        return Err(Failure::new(
            Exit::NothingMatched,
            format!("{} holds nothing that could be restored", point.backup_id),
        )
        .into());
    }
    let items = choices.iter().map(|(_, text)| (*text).to_owned());
    let chosen = prompt::select("What of it", items.collect(), shutdown(session)).await?;
    match one_of(choices, chosen)?.0 {
        Choice::Unit => Ok(What::Unit),
        Choice::Recipe => Ok(What::Recipe),
        Choice::Sources => {
            let chosen =
                prompt::select_some("Which of them", source_items(record), shutdown(session))
                    .await?;
            let names = chosen
                .into_iter()
                .filter_map(|index| record.sources.get(index))
                .map(|source| handle(&source.key));
            Ok(What::Sources(names.collect()))
        }
        Choice::Files => {
            let chosen =
                prompt::select("Files of", source_items(record), shutdown(session)).await?;
            let source: &SourceRecord = one_of(record.sources.iter().collect(), chosen)?;
            let check = |text: &str| split_paths(text).map(|_| ());
            let question = "Paths in it, relative to its root (quote blanks)";
            let paths = prompt::text(question, check, shutdown(session)).await?;
            let paths = split_paths(&paths).map_err(anyhow::Error::msg)?;
            What::of_flags(vec![handle(&source.key)], paths, false)
        }
    }
}

async fn ask_where(
    session: &Session<'_>,
    what: &What,
    record: &PointRecord,
) -> Result<Destination> {
    #[derive(Clone, Copy)]
    enum Choice {
        InPlace,
        Folder,
        Move,
        Copy,
    }
    let mut choices = vec![(
        Choice::InPlace,
        "in place: what is there now is kept beside it",
    )];
    choices.push((
        Choice::Folder,
        if *what == What::Unit {
            "its data as plain directories in a directory: nothing else is touched"
        } else {
            "as plain files in a directory: nothing else is touched"
        },
    ));
    if *what == What::Unit {
        choices.push((
            Choice::Move,
            "the unit moves to another directory (it must have no containers here)",
        ));
        if record.kind == UnitKind::Stack {
            choices.push((
                Choice::Copy,
                "as another project, a copy beside the original",
            ));
        }
    }
    let items = choices.iter().map(|(_, text)| (*text).to_owned());
    let chosen = prompt::select("Where to", items.collect(), shutdown(session)).await?;
    let choice = one_of(choices, chosen)?.0;
    if matches!(choice, Choice::InPlace) {
        return Ok(Destination::InPlace);
    }
    let project = if matches!(choice, Choice::Copy) {
        let check = |text: &str| {
            project_name(text)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let name = prompt::text("Name of the new project", check, shutdown(session)).await?;
        Some(project_name(&name)?)
    } else {
        None
    };
    let folder = prompt::text("Directory", check_folder, shutdown(session)).await?;
    let folder = PathBuf::from(folder);
    Ok(match choice {
        Choice::Move | Choice::Copy => Destination::Moved { folder, project },
        _ => Destination::Folder(folder),
    })
}

fn check_folder(text: &str) -> Result<(), String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("an absolute path, such as /srv/restored".to_owned());
    }
    super::plan::new_home::check(path, false).map_err(|error| format!("{error:#}"))
}

/// Words as a shell splits them, each a path inside a source.
fn split_paths(text: &str) -> Result<Vec<PathBuf>, String> {
    let words = shell_words::split(text).map_err(|error| error.to_string())?;
    if words.is_empty() {
        return Err("at least one path".to_owned());
    }
    let paths: Vec<PathBuf> = words.into_iter().map(PathBuf::from).collect();
    What::of_flags(vec![String::new()], paths.clone(), false)
        .map_err(|error| format!("{error:#}"))?;
    Ok(paths)
}

fn source_items(record: &PointRecord) -> Vec<String> {
    let item = |source: &SourceRecord| {
        let bytes = source.parts.iter().map(|part| part.bytes).sum();
        text::printable(&format!("{}  {}", source.key, text::bytes(bytes)))
    };
    record.sources.iter().map(item).collect()
}

/// An unfinished one is no restore point.
fn is_offered(point: &Point) -> bool {
    point.state != PointState::Unfinished
}

fn host_of(point: &Point) -> &str {
    point.host()
}

fn shutdown<'a>(session: &'a Session<'_>) -> &'a crate::base::shutdown::Shutdown {
    &session.ground.cx.shutdown
}

fn one_of<T>(items: Vec<T>, index: usize) -> Result<T> {
    items
        .into_iter()
        .nth(index)
        .ok_or_else(|| anyhow::anyhow!("the answer is none of those that were offered"))
}
