//! One script: a head with what is known of the source, quoted for the shell, before the body that all of them share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::extraction::Extraction;
use crate::base::text::{bytes, printable};
use crate::discovery::place::{self, Place};
use crate::drivers::docker::Volume;
use crate::error::{Exit, Failure, Result};
use crate::model::point::{Part, PointRecord, REDACTED, SourceRecord};
use crate::model::source::SourceKey;
use crate::model::{ObjectId, UnitName};
use crate::points::point::Point;
use crate::points::recipe::SavedVolume;
use crate::points::rounds::rounds;

const BODY: &str = include_str!("body.sh");

/// Of the part of a file's name that says what it restores.
const LONGEST_NAME: usize = 80;

pub struct Script {
    unit: UnitName,
    /// Safe in a file's name.
    name: String,
    head: String,
}

/// What a script is about.
pub struct Described<'a> {
    pub point: &'a Point,
    pub record: &'a PointRecord,
    pub source: &'a SourceRecord,
    /// How the volume is made that the source is, if it is one.
    pub volume: Option<SavedVolume>,
    /// The directory that the volume is bound to, if it is.
    pub device: Option<PathBuf>,
    /// Containers that had it mounted.
    pub users: BTreeSet<String>,
    /// Places in it that are left to other sources.
    pub others: Vec<PathBuf>,
    pub profile: &'a Path,
    pub accepts_losses: bool,
}

impl Described<'_> {
    fn extraction(&self) -> Result<Extraction<'_>> {
        let recipe = self.point.recipe.as_ref();
        let mut sources = self.record.sources.iter();
        let place = sources.position(|source| source.key == self.source.key);
        Ok(Extraction {
            recipe: recipe.context("the recipe has no content")?,
            place: place.context("the recipe does not have the source")?,
            parts: &self.source.parts,
        })
    }

    /// What is read out of the repository.
    fn objects(&self) -> impl Iterator<Item = &ObjectId> {
        let has_lists = |part: &Part| part.deleted.is_some() || part.stripped.is_some();
        let recipe = self.source.parts.iter().any(has_lists);
        let recipe = self.point.recipe.iter().filter(move |_| recipe);
        self.source
            .parts
            .iter()
            .map(|part| &part.root)
            .chain(recipe)
    }

    /// What `body.sh` calls, for this source.
    fn functions(&self, volume_name: &str) -> Result<Vec<String>> {
        let mut functions = Vec::new();
        let mut extractions = Vec::new();
        let extraction = self.extraction()?;
        for round in rounds(&self.source.parts)? {
            extractions.extend(extraction.round(&round)?);
        }
        functions.push(function(
            "The snapshots that are needed.",
            "objects",
            self.objects().map(|root| format!("echo {root}")),
        ));
        functions.push(function(
            "The data, one part over the other.",
            "extract",
            extractions,
        ));
        functions.push(function(
            "The volume as it was.",
            "create_volume",
            self.volume.iter().map(|volume| create(volume_name, volume)),
        ));
        let others = self.others.iter().map(|path| text(path));
        let others: Vec<String> = others.collect::<Result<_>>()?;
        if let Some(odd) = others.iter().find(|path| path.contains('\n')) {
            anyhow::bail!(
                "`{}` has a line break, which no script can keep apart",
                printable(odd)
            );
        }
        functions.push(function(
            "Places in it that belong to other sources: what is there stays.",
            "others",
            others.iter().map(|path| format!("echo {}", quote(path))),
        ));
        let pattern: Vec<String> = self.users.iter().cloned().collect();
        let is_named = if pattern.is_empty() {
            "return 1".to_owned()
        } else {
            format!(
                "case $1 in {}) return 0 ;; esac; return 1",
                pattern.join(" | ")
            )
        };
        functions.push(function(
            "Did the container $1 have it mounted when it was saved?",
            "named",
            [is_named],
        ));
        Ok(functions)
    }
}

impl Script {
    pub fn of(described: &Described<'_>) -> Result<Self> {
        let Described {
            point,
            record,
            source,
            profile,
            ..
        } = described;
        let (kind, volume_name, name) = match &source.key {
            SourceKey::Volume { name } => ("volume", name.as_str(), name.clone()),
            SourceKey::Bind { path } => ("bind", "", path.display().to_string()),
        };
        let place = match (&source.key, &described.device) {
            (SourceKey::Bind { path }, _) => text(path)?,
            (SourceKey::Volume { .. }, Some(device)) => text(device)?,
            (SourceKey::Volume { .. }, None) => String::new(),
        };
        let accept_lost = if described.accepts_losses {
            "yes"
        } else {
            "no"
        };
        let total: u64 = source.parts.iter().map(|part| part.bytes).sum();
        let name = format!("{kind}-{}", slug(name.trim_start_matches('/')));
        let comment = comment(point, record, source, total);
        let mut lines = vec!["#!/bin/sh".to_owned()];
        lines.extend(
            comment
                .lines()
                .map(|line| format!("# {line}").trim_end().to_owned()),
        );
        lines.push(String::new());
        for (variable, value) in [
            ("UNIT", printable(record.unit.as_str())),
            ("POINT", record.backup_id.to_string()),
            ("WHAT", printable(&source.key.to_string())),
            ("NAME", format!("{}-{name}", slug(record.unit.as_str()))),
            ("KIND", kind.to_owned()),
            ("VOLUME", volume_name.to_owned()),
            ("PLACE", place),
            (
                "IS_FILE",
                if source.is_file { "yes" } else { "no" }.to_owned(),
            ),
            ("BYTES", total.to_string()),
            ("KOPIA_CONFIG", text(profile)?),
            ("ACCEPT_LOST", accept_lost.to_owned()),
            (
                "STRIPS",
                if source.parts.iter().any(|part| part.stripped.is_some()) {
                    "yes"
                } else {
                    "no"
                }
                .to_owned(),
            ),
        ] {
            lines.push(format!("{variable}={}", quote(&value)));
        }
        lines.extend(described.functions(volume_name)?);
        lines.push(BODY.to_owned());
        Ok(Self {
            unit: record.unit.clone(),
            name,
            head: lines.join("\n"),
        })
    }

    /// `number` is from 1.
    pub fn file_name(&self, number: usize) -> String {
        format!(
            "restore-{}-{number:02}-{}.sh",
            slug(self.unit.as_str()),
            self.name
        )
    }

    pub fn text(self) -> String {
        self.head
    }
}

fn comment(point: &Point, record: &PointRecord, source: &SourceRecord, total: u64) -> String {
    let what = printable(&source.key.to_string());
    let unit = printable(record.unit.as_str());
    let mut text = format!(
        "Restores {what} of unit `{unit}`\n\
         from restore point {} (grade {}), made by {}: {} in tar format.\n\
         \n\
         In this order:\n  \
           1. It checks what it needs, shows what it will do, and asks.\n  \
           2. It reads the data out of the repository into a new directory beside the old data. Everything still runs.\n  \
           3. It stops the containers that have the data mounted, swaps old and new, and starts those that ran.\n  \
           4. It makes a tar archive of what was there before, in `safety/` beside this script.\n\
         Whatever fails before the swap leaves the old data in place, and what ran runs again; Ctrl-C too.\n\
         Killed with SIGKILL, or by a power cut, in step 3: `docker start` the containers that it named, and look for\n\
         `….kopi-docka-before-…` beside the data: that is what was there before.\n\
         \n\
         Needs: root, Docker, GNU tar, {}kopia connected to the repository (README.md says how).\n\
         \n\
         Usage: sh THIS_SCRIPT [-y]\n  \
           -y                 do not ask\n  \
           KOPIA_PASSWORD     the password of the repository; asked for when it is missing\n  \
           KOPIA_CONFIG_PATH  the connection that kopia uses, when it is not the one of kopi-docka",
        record.backup_id,
        record.grade,
        printable(&point.identity.to_string()),
        bytes(total),
        if source.parts.iter().any(|part| part.stripped.is_some()) {
            "getfattr and setfattr (package attr), "
        } else {
            ""
        },
    );
    for reason in &source.reasons {
        text.push_str(&format!("\n\nMind: {}", printable(reason)));
    }
    text
}

fn function(comment: &str, name: &str, commands: impl IntoIterator<Item = String>) -> String {
    let mut body: Vec<String> = commands
        .into_iter()
        .map(|command| format!("    {command}"))
        .collect();
    if body.is_empty() {
        body.push("    :".to_owned());
    }
    format!("\n# {comment}\n{name}() {{\n{}\n}}", body.join("\n"))
}

fn create(name: &str, volume: &SavedVolume) -> String {
    let mut words = vec![
        "docker".to_owned(),
        "volume".to_owned(),
        "create".to_owned(),
    ];
    words.extend(["--driver".to_owned(), volume.driver.clone()]);
    for (flag, values) in [("--opt", &volume.options), ("--label", &volume.labels)] {
        for (key, value) in values.iter().flatten() {
            words.extend([flag.to_owned(), format!("{key}={value}")]);
        }
    }
    words.push(name.to_owned());
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    words.join(" ")
}

/// The directory that a volume is bound to; `None` for one that Docker has in its own place.
pub fn device(name: &str, saved: &SavedVolume) -> Result<Option<PathBuf>> {
    let options: BTreeMap<String, String> = saved.options.clone().unwrap_or_default();
    if options.values().any(|value| value.contains(REDACTED)) {
        return Err(Failure::new(
            Exit::UnitsFailed,
            format!("volume `{name}` was made with a secret in its options, which belongs in no script"),
        )
        .hint("make it by hand, then restore without `--scripts`; or name the other volumes with `--volume`")
        .into());
    }
    let volume = Volume {
        name: name.to_owned(),
        driver: saved.driver.clone(),
        mountpoint: "/".to_owned(),
        options: options.into_iter().collect(),
        ..Volume::default()
    };
    match place::of_volume(&volume) {
        Place::Path(path) if path == Path::new("/") => Ok(None),
        Place::Path(path) => Ok(Some(path)),
        Place::Elsewhere(why) | Place::Memory(why) => Err(Failure::new(
            Exit::UnitsFailed,
            format!("there can be no script for volume `{name}`: {why}"),
        )
        .hint("name the others: `--volume` (can be repeated)")
        .into()),
        Place::Nothing => anyhow::bail!("volume `{name}` was not found"),
    }
}

fn text(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("`{}` is not valid UTF-8", path.display()))?;
    Ok(text.to_owned())
}

pub(super) fn quote(text: &str) -> String {
    shell_words::quote(text).into_owned()
}

/// What is easy to type, and has no meaning in a shell.
fn slug(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let plain = text.chars().map(|c| if is_plain(c) { c } else { '_' });
    plain.take(LONGEST_NAME).collect()
}
