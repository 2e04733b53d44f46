//! How this host starts its backups: which of our units are enabled, when the timer fires, and the drop-ins of the operator.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::bundle::file::archive::Member;
use crate::drivers::systemd::{SYSTEM_FOLDER, asked, is_booted};

pub const STATE: &str = "systemd/state.txt";

const TIMER: &str = "kopi-docka.timer";

/// The line of [`STATE`] about a timer that starts backups.
pub const TIMER_ENABLED: &str = "kopi-docka.timer: enabled";

/// The units that an operator enables.
const ENABLED: [&str; 2] = [TIMER, "kopi-docka.service"];

pub async fn members() -> Vec<Member> {
    let mut members = drop_ins(Path::new(SYSTEM_FOLDER));
    if is_booted() {
        members.push(Member::new(STATE, state().await));
    }
    members
}

async fn state() -> String {
    let mut text = String::new();
    for unit in ENABLED {
        let enabled = asked(&["is-enabled", unit]).await;
        let enabled = enabled.unwrap_or_else(|| "unknown".to_owned());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{unit}: {enabled}");
    }
    let timer = ["show", "--property=TimersCalendar", TIMER];
    if let Some(calendar) = asked(&timer).await {
        let _ = writeln!(text, "{calendar}");
    }
    text
}

/// What cannot be read is none.
fn drop_ins(folder: &Path) -> Vec<Member> {
    let files = drop_in_files(folder).into_iter();
    let members = files.filter_map(|(member, path)| {
        let content = std::fs::read(path).ok()?;
        Some(Member::new(member, content))
    });
    let mut members: Vec<Member> = members.collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

/// `kopi-docka*.d/*` below `folder`, each with its name in a bundle.
pub fn drop_in_files(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for unit in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = unit.file_name();
        let Some(unit_name) = name.to_str() else {
            continue;
        };
        if !unit_name.starts_with("kopi-docka") || !unit_name.ends_with(".d") {
            continue;
        }
        let files = std::fs::read_dir(unit.path())
            .into_iter()
            .flatten()
            .flatten();
        found.extend(files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            Some((format!("systemd/{unit_name}/{name}"), file.path()))
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_of_our_units_are_taken_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("kopi-docka.timer.d/override.conf", "[Timer]\n"),
            ("kopi-docka-backup.service.d/tmp.conf", "[Service]\n"),
            ("ssh.service.d/override.conf", "[Service]\n"),
        ] {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        std::fs::write(folder.path().join("kopi-docka.timer"), "").unwrap();
        assert_eq!(
            drop_ins(folder.path()),
            [
                Member::new(
                    "systemd/kopi-docka-backup.service.d/tmp.conf",
                    "[Service]\n"
                ),
                Member::new("systemd/kopi-docka.timer.d/override.conf", "[Timer]\n"),
            ]
        );
        assert!(drop_ins(&folder.path().join("missing")).is_empty());
    }
}
