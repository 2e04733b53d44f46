//! What is in a bundle.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::credentials::Credentials;
use super::kit::{self, Kit};
use super::origin::{self, Origin};
use super::{systemd, texts};
use crate::base::paths::Paths;
use crate::bundle::file::archive::Member;
use crate::bundle::file::name::BundleName;
use crate::config::{Config, Loaded};
use crate::error::Result;
use crate::model::report::RunReport;
use crate::model::{Grade, PointId, UnitName};
use crate::points::point::{Point, PointState, points};
use crate::points::whose::Whose;
use crate::reports::past::{self, Reports};
use crate::repository::Repository;

pub const STATUS: &str = "backup-status.json";

pub const CONFIG: &str = "kopi-docka.json";

const PASSWORD: &str = "kopia-password.txt";

/// How many reports are asked for what the repository does not tell.
const REPORTS: usize = 60;

/// The newest restore point of a unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedUnit {
    pub unit: UnitName,
    pub backup_id: PointId,
    pub time: DateTime<Utc>,
    pub grade: Option<Grade>,
    pub bytes: u64,
}

pub struct Contents {
    pub origin: Origin,
    pub members: Vec<Member>,
    /// What a new host needs and the bundle lacks: sentences.
    pub missing: Vec<String>,
}

pub async fn gather(
    paths: &Paths,
    loaded: &Loaded,
    repository: &Repository,
    bundle: BundleName,
) -> Result<Contents> {
    let config = &loaded.config;
    let kopia = &repository.kopia;
    let origin = Origin::of(loaded, repository, bundle).await?;
    let credentials = Credentials::of(config, paths, kopia);
    let mut missing = credentials.missing.clone();
    let saved = match newest(repository).await {
        Ok(saved) => saved,
        Err(error) => {
            missing.push(format!(
                "the restore points of the repository, which cannot be read; those of the last reports are listed instead: {error:#}"
            ));
            reported(config)?
        }
    };
    let config_file = read(&loaded.path)?;
    let connection = read(kopia.profile())?;
    let password = format!("{}\n", kopia.password.expose());
    let mut members = vec![
        Member::new(CONFIG, config_file.clone()),
        Member::new("repository.config", connection),
        Member::new(
            "kopia-repository.json",
            serde_json::to_vec_pretty(&origin.repository)?,
        ),
        Member::new(PASSWORD, password),
        Member::new(STATUS, serde_json::to_vec_pretty(&saved)?),
        Member::new(origin::FILE, serde_json::to_vec_pretty(&origin)?),
    ];
    members.extend(credentials.members());
    let systemd = systemd::members().await;
    let kit = Kit {
        config,
        config_text: &config_file,
        repository,
        origin: &origin,
        credentials: &credentials,
        is_timed: systemd.iter().any(kit::tells_timer),
    };
    members.extend(kit.members()?);
    members.extend(systemd);
    let readme = texts::inside(&origin, &saved, &missing);
    members.push(Member::new("README.txt", readme));
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Contents {
        origin,
        members,
        missing,
    })
}

/// A pipe would be read once, by whoever came first.
fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    anyhow::ensure!(
        is_file,
        "`{name}` is not a file that a recovery bundle could hold"
    );
    std::fs::read(path).with_context(|| format!("cannot read `{name}`"))
}

async fn newest(repository: &Repository) -> Result<Vec<SavedUnit>> {
    let points = points(&repository.kopia.list().await?);
    let whose = Whose::of(&points, repository.kopia.me(), None);
    Ok(newest_of(points.iter().filter(|point| whose.is_own(point))))
}

/// Of each unit the newest whole point, else the newest that is partial. `points` begin with the newest.
pub fn newest_of<'a>(points: impl Iterator<Item = &'a Point>) -> Vec<SavedUnit> {
    let mut saved: BTreeMap<&UnitName, &Point> = BTreeMap::new();
    for point in points {
        let is_better = saved.get(&point.unit).is_none_or(|known| {
            known.state != PointState::Whole && point.state == PointState::Whole
        });
        if point.state != PointState::Unfinished && is_better {
            saved.insert(&point.unit, point);
        }
    }
    let saved = saved.into_values().map(|point| SavedUnit {
        unit: point.unit.clone(),
        backup_id: point.backup_id.clone(),
        time: point.time,
        grade: point.grade,
        bytes: point.bytes,
    });
    saved.collect()
}

/// The same, as far as reports tell.
fn reported(config: &Config) -> Result<Vec<SavedUnit>> {
    let mut saved = BTreeMap::new();
    let reports = Reports::newest_first(&past::folder(config))?.take(REPORTS);
    for report in reports.filter_map(|(_, report)| report.ok()) {
        for unit in of_run(&report) {
            saved.entry(unit.unit.clone()).or_insert(unit);
        }
    }
    Ok(saved.into_values().collect())
}

fn of_run(report: &RunReport) -> impl Iterator<Item = SavedUnit> {
    let units = report.units.iter().filter(|unit| unit.grade.is_some());
    units.map(|unit| SavedUnit {
        unit: unit.unit.clone(),
        backup_id: report.backup_id.into(),
        time: report.started_at,
        grade: unit.grade,
        bytes: unit.sources.iter().map(|source| source.bytes).sum(),
    })
}
