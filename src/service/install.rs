//! Units in a folder: what would change there, and putting them in place. Drop-ins (`<unit>.d/`) are the operator's and are not touched.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::units::UnitFile;
use crate::base::files;
use crate::drivers::systemd::SYSTEM_FOLDER;
use crate::error::{Exit, Failure, Result};

/// Where systemd looks for a unit, the first wins; packages use the last two.
const SEARCH_PATH: [&str; 5] = [
    SYSTEM_FOLDER,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    New,
    Changed,
    Same,
}

/// A unit beside what is in its place.
#[derive(Debug)]
pub struct Place<'a> {
    pub unit: &'a UnitFile,
    pub path: PathBuf,
    pub state: State,
    /// Lines that go (`-`) and come (`+`).
    pub difference: Vec<String>,
    /// The operator's own settings, which stay.
    pub drop_ins: Vec<PathBuf>,
}

/// Compares `units` with what is in `folder`; changes nothing.
pub fn compare<'a>(folder: &Path, units: &'a [UnitFile]) -> Result<Vec<Place<'a>>> {
    units.iter().map(|unit| place(folder, unit)).collect()
}

fn place<'a>(folder: &Path, unit: &'a UnitFile) -> Result<Place<'a>> {
    let path = folder.join(unit.name);
    let old = read(&path)?;
    let (state, difference) = match &old {
        None => (State::New, Vec::new()),
        Some(old) if *old == unit.text => (State::Same, Vec::new()),
        Some(old) => (State::Changed, difference(old, &unit.text)),
    };
    Ok(Place {
        unit,
        state,
        difference,
        drop_ins: drop_ins(folder, unit.name)?,
        path,
    })
}

/// `None` when there is nothing. A link, such as the one to /dev/null of a masked unit, is a decision of the operator.
fn read(path: &Path) -> Result<Option<String>> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if !metadata.is_file() => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "`{}` is not a file: the unit is masked, or links to another one",
                    path.display()
                ),
            )
            .hint(format!(
                "run `systemctl unmask {name}`, or remove the link, then try again"
            ))
            .into());
        }
        _ => {}
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn drop_ins(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let folder = folder.join(format!("{name}.d"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten() {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What only the one has, and what only the other has, each in its order: enough to see what changes.
fn difference(old: &str, new: &str) -> Vec<String> {
    let lines_of = |text: &str, other: &str, sign: char| -> Vec<String> {
        let others: Vec<&str> = other.lines().collect();
        text.lines()
            .filter(|line| !line.is_empty() && !others.contains(line))
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    let mut lines = lines_of(old, new, '-');
    lines.extend(lines_of(new, old, '+'));
    lines
}

/// Writes what is new or changed, each file whole or not at all, readable by everybody.
pub fn write(folder: &Path, places: &[Place<'_>]) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create directory `{}`", folder.display()))?;
    for place in places.iter().filter(|place| place.state != State::Same) {
        files::write_public(&place.path, place.unit.text.as_bytes())?;
    }
    files::sync_folder(folder)
}

/// The files of installed units that are not as `units` says: the configuration has changed since, or the program. Empty when none is
/// installed.
pub fn stale(units: &[UnitFile]) -> Vec<PathBuf> {
    let folders = SEARCH_PATH.map(PathBuf::from);
    stale_in(&folders, units)
}

fn stale_in(folders: &[PathBuf], units: &[UnitFile]) -> Vec<PathBuf> {
    let installed = units.iter().filter_map(|unit| {
        let path = folders
            .iter()
            .map(|folder| folder.join(unit.name))
            .find(|path| path.is_file())?;
        let text = std::fs::read(&path).ok()?;
        (text != unit.text.as_bytes()).then_some(path)
    });
    installed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> [UnitFile; 1] {
        [UnitFile {
            name: "kopi-docka.timer",
            text: text.to_owned(),
        }]
    }

    #[test]
    fn a_unit_is_stale_when_the_file_that_systemd_would_read_differs() {
        let world = tempfile::tempdir().unwrap();
        let folders = ["etc", "lib"].map(|name| world.path().join(name));
        assert!(stale_in(&folders, &unit("new")).is_empty());
        for folder in &folders {
            std::fs::create_dir(folder).unwrap();
        }
        let packaged = folders[1].join("kopi-docka.timer");
        std::fs::write(&packaged, "old").unwrap();
        assert_eq!(stale_in(&folders, &unit("new")), [packaged]);
        let units = unit("new");
        write(&folders[0], &compare(&folders[0], &units).unwrap()).unwrap();
        assert!(stale_in(&folders, &unit("new")).is_empty());
    }

    #[test]
    fn the_difference_is_what_goes_and_what_comes() {
        let lines = difference(
            "[Timer]\nOnCalendar=a\n",
            "[Timer]\nOnCalendar=b\n\nUnit=c\n",
        );
        assert_eq!(lines, ["- OnCalendar=a", "+ OnCalendar=b", "+ Unit=c"]);
    }
}
