//! Restore points, from one listing of all snapshots: which are whole, and which say what they lack.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::legacy;
use crate::drivers::kopia::{Manifest, USER};
use crate::model::Identity;
use crate::model::point::Hold;
use crate::model::{Grade, MachineId, ObjectId, PointId, UnitKind, UnitName};

/// The snapshots of one unit and run of one machine and profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    pub unit: UnitName,
    pub backup_id: PointId,
    /// `user@host` that made it.
    pub identity: Identity,
    /// Which machine of that name. `None` for points of versions that did not tell, and of the Python tool; so with the next two.
    pub machine: Option<MachineId>,
    /// The configuration that it was made with.
    pub profile: Option<String>,
    pub kind: Option<UnitKind>,
    pub made_by: Tool,
    /// When the run began.
    pub time: DateTime<Utc>,
    pub state: PointState,
    /// `None` without a recipe.
    pub grade: Option<Grade>,
    /// Length of all its streams.
    pub bytes: u64,
    /// What makes it less than whole, one sentence each.
    pub problems: Vec<String>,
    /// The root object of the recipe.
    pub recipe: Option<ObjectId>,
    /// It is partial, and everything that the run meant to read is in it: what it lacks could not be read at all.
    #[serde(skip)]
    pub is_all_there_was: bool,
    /// Older points that retention keeps because of this one.
    #[serde(skip)]
    pub holds: Vec<Hold>,
    /// Ids of every snapshot with its tags, the recipe's too.
    pub snapshots: Vec<String>,
}

/// Whose format a point is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Tool {
    #[serde(rename = "kopi-docka")]
    KopiDocka,
    /// The Python program of the same name, up to its version 7.
    #[serde(rename = "kopi-docka (Python)")]
    Python,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PointState {
    /// Everything that the recipe names is there and complete.
    Whole,
    /// It has a recipe, and something is missing.
    Partial,
    /// No recipe: the run was interrupted. Never restored; retention removes it.
    Unfinished,
}

/// Groups what Kopia lists into points, the newest first. Snapshots of others are left alone.
pub fn points(manifests: &[Manifest]) -> Vec<Point> {
    let complete = complete_roots(manifests);
    let mut groups: BTreeMap<Maker, Vec<&Manifest>> = BTreeMap::new();
    for manifest in manifests {
        let (Some(unit), Some(id)) = (manifest.tag("unit"), manifest.tag("backup_id")) else {
            continue;
        };
        if let (Ok(unit), Ok(id)) = (UnitName::parse(unit), PointId::parse(id)) {
            let maker = Maker::of(manifest, id, unit);
            groups.entry(maker).or_default().push(manifest);
        }
    }
    let lent = lent_roots(&groups);
    let mut points: Vec<Point> = groups
        .into_iter()
        .rev()
        .filter_map(|(maker, mut group)| {
            let mut point = Point::new(maker);
            if point.made_by == Tool::KopiDocka && !group.iter().any(|one| is_recipe(one)) {
                group.retain(|one| !root_of(one).is_some_and(|root| lent.contains(root)));
                if group.is_empty() {
                    return None;
                }
            }
            point.snapshots = group.iter().map(|manifest| manifest.id.clone()).collect();
            match (point.made_by, group.iter().find(|one| is_recipe(one))) {
                (Tool::Python, _) => legacy::judge(&mut point, &group),
                (Tool::KopiDocka, Some(recipe)) => point.judge(recipe, &complete),
                (Tool::KopiDocka, None) => point
                    .problems
                    .push("the run that made it did not finish".to_owned()),
            }
            Some(point)
        })
        .collect();
    // Stable: those of one time stay in the order of their ids.
    points.sort_by_key(|point| std::cmp::Reverse(point.time));
    points
}

/// What points are made of that no snapshot of their own run has. Where it was stored there may be no point any more.
fn lent_roots<'a>(groups: &BTreeMap<Maker, Vec<&'a Manifest>>) -> HashSet<&'a str> {
    let mut lent = HashSet::new();
    for group in groups.values() {
        let own: HashSet<&str> = group.iter().filter_map(|one| root_of(one)).collect();
        let recipes = group.iter().filter(|one| is_recipe(one));
        let roots = recipes.filter_map(|recipe| recipe.roots()).flatten();
        lent.extend(roots.filter(|root| !own.contains(root)));
    }
    lent
}

fn root_of(manifest: &Manifest) -> Option<&str> {
    Some(manifest.root_entry.as_ref()?.obj.as_str())
}

/// The root objects that the repository has whole.
pub fn complete_roots(manifests: &[Manifest]) -> HashSet<&str> {
    manifests
        .iter()
        .filter(|manifest| manifest.is_complete())
        .filter_map(|manifest| manifest.root_entry.as_ref())
        .map(|root| root.obj.as_str())
        .collect()
}

/// What all snapshots of one point have in common. Two machines of one name may save at the same second.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Maker {
    backup_id: PointId,
    unit: UnitName,
    identity: Identity,
    machine: Option<MachineId>,
    profile: Option<String>,
    kind: Option<UnitKind>,
}

impl Maker {
    fn of(manifest: &Manifest, backup_id: PointId, unit: UnitName) -> Self {
        let identity = manifest.identity();
        let mut maker = Self {
            backup_id,
            unit,
            identity,
            machine: None,
            profile: None,
            kind: None,
        };
        if Tool::of(&maker.backup_id, &maker.identity) == Tool::KopiDocka {
            maker.machine = manifest
                .tag("machine")
                .and_then(|id| MachineId::parse(id).ok());
            maker.kind = manifest.tag("kind").and_then(UnitKind::parse);
            maker.profile = profile_of(&manifest.source.path);
        }
        maker
    }
}

/// `/<profile>/<unit>/…`
fn profile_of(path: &str) -> Option<String> {
    let mut components = path.strip_prefix('/')?.split('/');
    let profile = components.next()?;
    components.next()?;
    Some(profile.to_owned())
}

fn is_recipe(manifest: &Manifest) -> bool {
    manifest.tag("type") == Some("recipe") && manifest.is_complete()
}

impl Tool {
    /// `identity`, and whether it is of the other tool.
    pub fn sign(self, identity: &Identity) -> String {
        match self {
            Self::KopiDocka => identity.to_string(),
            Self::Python => format!("{identity} (Python)"),
        }
    }

    /// Early versions of the Python tool had ids like ours, and were whatever user ran them.
    fn of(id: &PointId, identity: &Identity) -> Self {
        match id {
            PointId::Run(_) if identity.user == USER => Self::KopiDocka,
            _ => Self::Python,
        }
    }
}

impl Point {
    /// One of which nothing is known but its name.
    fn new(maker: Maker) -> Self {
        Self {
            made_by: Tool::of(&maker.backup_id, &maker.identity),
            time: match &maker.backup_id {
                PointId::Run(id) => id.time(),
                PointId::Foreign(_) => DateTime::UNIX_EPOCH,
            },
            unit: maker.unit,
            backup_id: maker.backup_id,
            identity: maker.identity,
            machine: maker.machine,
            profile: maker.profile,
            kind: maker.kind,
            state: PointState::Unfinished,
            grade: None,
            bytes: 0,
            problems: Vec::new(),
            recipe: None,
            is_all_there_was: false,
            holds: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// Whether it is of `host`; of the host of `identity`, which is ours, where none is named. The Python tool saved under
    /// the name of the user who ran it.
    pub fn is_of_host(&self, host: Option<&str>, identity: &Identity) -> bool {
        let Identity { user, host: at } = &self.identity;
        (self.made_by == Tool::Python || *user == identity.user)
            && at.eq_ignore_ascii_case(host.unwrap_or(&identity.host))
    }

    /// The name of the host that made it.
    pub fn host(&self) -> &str {
        &self.identity.host
    }

    fn judge(&mut self, recipe: &Manifest, complete: &HashSet<&str>) {
        self.grade = recipe.tag("grade").and_then(Grade::parse);
        self.bytes = recipe
            .tag("size_bytes")
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(0);
        self.recipe = recipe
            .root_entry
            .as_ref()
            .and_then(|root| ObjectId::parse(&root.obj).ok());
        self.holds = recipe.tag("holds").map(Hold::parse).unwrap_or_default();
        let roots = recipe.roots().into_iter().flatten();
        let lost = roots.filter(|root| !complete.contains(root)).count();
        if lost > 0 {
            self.problems
                .push(format!("{lost} of its snapshots are gone or not complete"));
        }
        self.is_all_there_was =
            lost == 0 && self.grade == Some(Grade::Partial) && recipe.tag("missing") == Some("0");
        match self.grade {
            Some(Grade::Partial) if self.is_all_there_was => self
                .problems
                .push("it lacks something that the unit mounts or needs".to_owned()),
            Some(Grade::Partial) => self
                .problems
                .push("some sources could not be saved".to_owned()),
            None => self
                .problems
                .push("its recipe has no grade that this version knows".to_owned()),
            Some(_) => {}
        }
        if recipe.roots().is_none() {
            self.problems
                .push("its recipe does not name its snapshots".to_owned());
        }
        self.state = if self.problems.is_empty() {
            PointState::Whole
        } else {
            PointState::Partial
        };
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::model::BackupId;

    /// One of ours, of a day of January 2026.
    pub fn point(unit: &str, day: u32, identity: &str, state: PointState) -> Point {
        let backup_id = BackupId::parse(&format!("2026-01-{day:02}T00-00-00Z")).unwrap();
        Point {
            unit: UnitName::parse(unit).unwrap(),
            backup_id: backup_id.into(),
            identity: identity.into(),
            machine: None,
            profile: None,
            kind: None,
            made_by: Tool::KopiDocka,
            time: backup_id.time(),
            state,
            grade: Some(Grade::Ok),
            bytes: 1,
            problems: vec!["it lacks something".to_owned()],
            recipe: None,
            is_all_there_was: false,
            holds: Vec::new(),
            snapshots: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::testing::odd;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn snapshot(kind: &str, root: &str, extra: &[(&str, &str)]) -> Value {
        let mut tags =
            json!({"tag:type": kind, "tag:unit": "web", "tag:backup_id": "2026-01-02T03-04-05Z"});
        for (name, value) in extra {
            tags[format!("tag:{name}")] = json!(value);
        }
        json!({
            "id": "ab", "source": {"host": "h", "userName": "kopi-docka", "path": "/p"},
            "startTime": "2026-01-02T03:04:05Z",
            "rootEntry": {"obj": root, "summ": {"size": 5, "files": 1, "numFailed": 0}},
            "tags": tags
        })
    }

    fn state(list: Vec<Value>) -> PointState {
        let manifests: Vec<Manifest> = serde_json::from_value(Value::Array(list)).unwrap();
        points(&manifests)[0].state
    }

    #[test]
    fn only_a_point_with_its_recipe_and_all_that_it_names_is_whole() {
        let recipe = || snapshot("recipe", "k9", &[("grade", "ok"), ("roots", "k1,k2")]);
        let one = || snapshot("volume", "k1", &[]);
        let two = || snapshot("volume", "k2", &[]);
        assert_eq!(state(vec![one(), two(), recipe()]), PointState::Whole);
        assert_eq!(state(vec![one(), two()]), PointState::Unfinished);
        assert_eq!(state(vec![one(), recipe()]), PointState::Partial);
        let mut cancelled = two();
        cancelled["incomplete"] = json!("canceled");
        assert_eq!(state(vec![one(), cancelled, recipe()]), PointState::Partial);
        let mut failed = two();
        failed["rootEntry"]["summ"]["numFailed"] = json!(1);
        assert_eq!(state(vec![one(), failed, recipe()]), PointState::Partial);
        let mut cancelled = recipe();
        cancelled["incomplete"] = json!("checkpoint");
        assert_eq!(state(vec![one(), two(), cancelled]), PointState::Unfinished);
        let partial = snapshot("recipe", "k9", &[("grade", "partial"), ("roots", "k1")]);
        assert_eq!(state(vec![one(), partial]), PointState::Partial);
        let silent = snapshot("recipe", "k9", &[("grade", "ok")]);
        assert_eq!(state(vec![silent]), PointState::Partial);
    }

    #[test]
    fn what_only_younger_points_are_made_of_is_no_unfinished_point() {
        let of = |run: &str, mut one: Value| {
            one["tags"]["tag:backup_id"] = json!(run);
            one
        };
        let (old, new) = ("2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z");
        let recipe = snapshot("recipe", "k9", &[("grade", "ok"), ("roots", "k1,k2")]);
        let base = of(old, snapshot("volume", "k1", &[]));
        let other = of(old, snapshot("volume", "k3", &[]));
        let end = of(new, snapshot("volume", "k2", &[]));
        let found = |list: Vec<Value>| -> Vec<PointState> {
            let manifests: Vec<Manifest> = serde_json::from_value(Value::Array(list)).unwrap();
            let points = points(&manifests);
            points.iter().map(|point| point.state).collect()
        };
        let recipe = of(new, recipe);
        let all = vec![base.clone(), end.clone(), recipe.clone()];
        assert_eq!(found(all), [PointState::Whole]);
        let unused = vec![base.clone(), other, end.clone(), recipe.clone()];
        assert_eq!(found(unused), [PointState::Whole, PointState::Unfinished]);
        // An interrupted run that stored the same as a point has itself is one.
        let same = of(old, snapshot("volume", "k2", &[]));
        let twice = vec![base.clone(), same, end, recipe];
        assert_eq!(found(twice), [PointState::Whole, PointState::Unfinished]);
        assert_eq!(found(vec![base]), [PointState::Unfinished]);
    }

    #[test]
    fn hosts_do_not_mix_and_snapshots_of_others_are_left_alone() {
        let mine = snapshot("volume", "k1", &[]);
        let mut theirs = snapshot("volume", "k2", &[]);
        theirs["source"]["host"] = json!("other");
        let foreign = json!({"id": "cd", "source": {"host": "h", "userName": "u", "path": "/p"}, "startTime": "2026-01-02T03:04:05Z"});
        let manifests: Vec<Manifest> =
            serde_json::from_value(json!([mine, theirs, foreign])).unwrap();
        let points = points(&manifests);
        assert_eq!(points.len(), 2);
        assert_ne!(points[0].identity, points[1].identity);
    }

    proptest! {
        /// Others write into the repository too.
        #[test]
        fn no_list_of_snapshots_breaks_it_and_a_whole_point_has_a_recipe(
            list in odd(json!([
                snapshot("recipe", "k9", &[("grade", "ok"), ("snapshots", "ab")]), snapshot("volume", "f1", &[("volume", "v")]),
            ])),
        ) {
            let list = list.as_array().cloned().unwrap_or_default();
            let manifests: Vec<Manifest> = list.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect();
            for point in points(&manifests) {
                prop_assert!(point.state != PointState::Whole || point.recipe.is_some());
            }
        }
    }
}
