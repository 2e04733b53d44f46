//! What is wrong, and who was told: one file a profile, so that each hears of it once, and once that it is gone.
//!
//! Several processes use it. Each holds the lock while it reads and writes, and never while it sends: what is about to be sent is
//! written down before, so that no other one sends it too.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::cause::{Cause, Known, Problem};
use crate::base::files;
use crate::base::paths::Paths;
use crate::config::{MessageWhen, Target};
use crate::error::Result;

/// Who holds the lock does so for a moment.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// How long it is tried to tell that something is gone.
const GONE_FOR: TimeDelta = TimeDelta::days(1);

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Content {
    /// When the last backup was begun.
    pub began: Option<DateTime<Utc>>,
    /// When it was first looked whether one is.
    pub watched: Option<DateTime<Utc>>,
    causes: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    known: Known,
    /// `None`: it is there.
    gone: Option<DateTime<Utc>>,
    /// By target.
    told: BTreeMap<String, Told>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Told {
    /// When it was tried last.
    at: DateTime<Utc>,
    is_done: bool,
    /// It is about the end of it.
    is_of_end: bool,
}

/// What a target is to be told.
#[derive(Clone, Debug, Default)]
pub struct Due {
    pub new: Vec<Known>,
    pub gone: Vec<Known>,
}

impl Due {
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty()
    }
}

/// Ours alone until it is dropped.
pub struct Ledger {
    path: PathBuf,
    pub content: Content,
    _lock: File,
}

impl Ledger {
    /// What cannot be read is empty: then something is told twice.
    pub async fn open(paths: &Paths, profile: &str) -> Result<Self> {
        let lock = lock(paths, profile).await?;
        let path = paths.notify().join(format!("{profile}.json"));
        let bytes = std::fs::read(&path).unwrap_or_default();
        Ok(Self {
            content: serde_json::from_slice(&bytes).unwrap_or_default(),
            path,
            _lock: lock,
        })
    }

    pub fn save(self) -> Result<()> {
        files::write(&self.path, &serde_json::to_vec_pretty(&self.content)?)
    }
}

async fn lock(paths: &Paths, profile: &str) -> Result<File> {
    files::make_private_folder(&paths.notify())?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(paths.notify().join(format!("{profile}.lock")))?;
    let locked = async {
        while fs2::FileExt::try_lock_exclusive(&file).is_err() {
            tokio::time::sleep(POLL).await;
        }
    };
    let locked = tokio::time::timeout(PATIENCE, locked).await;
    locked.map_err(|_| anyhow::anyhow!("another process has held its lock for too long"))?;
    Ok(file)
}

impl Content {
    /// Takes down what was `found`, and that of the rest what `settles` speaks for is gone.
    pub fn update(
        &mut self,
        found: &[Problem],
        settles: impl Fn(&Cause) -> bool,
        now: DateTime<Utc>,
    ) {
        for entry in &mut self.causes {
            let is_found = found.iter().any(|it| it.cause == entry.known.cause);
            if entry.gone.is_none() && !is_found && settles(&entry.known.cause) {
                entry.gone = Some(now);
            }
        }
        for problem in found {
            self.add(problem, now);
        }
    }

    /// Takes down one more.
    pub fn add(&mut self, problem: &Problem, now: DateTime<Utc>) {
        let there = self
            .causes
            .iter_mut()
            .find(|entry| entry.known.cause == problem.cause);
        match there {
            Some(entry) if entry.gone.is_none() => entry.known.text.clone_from(&problem.text),
            there => {
                let entry = Entry {
                    known: Known {
                        cause: problem.cause.clone(),
                        text: problem.text.clone(),
                        since: now,
                        run: problem.run.clone(),
                    },
                    gone: None,
                    told: BTreeMap::new(),
                };
                match there {
                    // It is back before all had heard that it was gone.
                    Some(old) => *old = entry,
                    None => self.causes.push(entry),
                }
            }
        }
    }

    /// What `target` is to be told now; from then on it counts as tried. What was tried within `patience` in vain is left for later.
    pub fn claim(&mut self, target: &Target, now: DateTime<Utc>, patience: TimeDelta) -> Due {
        let mut due = Due::default();
        let id = id(target);
        for entry in self
            .causes
            .iter_mut()
            .filter(|entry| concerns(target, entry))
        {
            let told = entry.told.get(&id).copied();
            let is_of_end = entry.gone.is_some();
            let is_wanted = match told {
                // Who never heard of it need not hear that it is gone.
                None => !is_of_end,
                Some(told) if told.is_of_end == is_of_end => {
                    !told.is_done && now - told.at >= patience
                }
                Some(told) => told.is_done,
            };
            if is_wanted {
                let told = Told {
                    at: now,
                    is_done: false,
                    is_of_end,
                };
                entry.told.insert(id.clone(), told);
                let list = if is_of_end {
                    &mut due.gone
                } else {
                    &mut due.new
                };
                list.push(entry.known.clone());
            }
        }
        due
    }

    /// `target` was told all of `due`.
    pub fn confirm(&mut self, target: &Target, due: &Due) {
        let id = id(target);
        for (list, is_of_end) in [(&due.new, false), (&due.gone, true)] {
            for known in list {
                let mut entries = self.causes.iter_mut();
                let entry = entries
                    .find(|it| it.known.cause == known.cause && it.known.since == known.since);
                let told = entry.and_then(|entry| entry.told.get_mut(&id));
                if let Some(told) = told.filter(|told| told.is_of_end == is_of_end) {
                    told.is_done = true;
                }
            }
        }
    }

    /// Forgets what is gone and was told to all of `targets` that knew of it.
    pub fn forget(&mut self, targets: &[Target], now: DateTime<Utc>) {
        self.causes.retain(|entry| {
            let Some(gone) = entry.gone else {
                return true;
            };
            let waits = |target: &Target| {
                let told = entry.told.get(&id(target));
                told.is_some_and(|told| told.is_of_end != told.is_done)
            };
            now - gone < GONE_FOR && targets.iter().any(waits)
        });
    }
}

/// Whether `target` hears of it at all.
fn concerns(target: &Target, entry: &Entry) -> bool {
    let cause = &entry.known.cause;
    let is_about_it = match &target.unit {
        None => true,
        Some(_) if cause.is_of_all_units() => true,
        unit => *unit == cause.unit,
    };
    target.when() != MessageWhen::Success && is_about_it
}

/// Tells a target from others, whatever its place in the list is: a new address has heard of nothing. A hash, since the address is a secret.
fn id(target: &Target) -> String {
    use sha2::{Digest as _, Sha256};
    let url = target.url.as_ref().map(|url| url.url().as_str());
    let Target {
        kind,
        url_file,
        unit,
        to,
        ..
    } = target;
    let text = format!("{kind:?} {url:?} {url_file:?} {unit:?} {to:?}");
    crate::base::text::hex(Sha256::digest(text).get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::cause::What;
    use super::*;
    use crate::model::UnitName;

    fn target(more: serde_json::Value) -> Target {
        let mut target = json!({"type": "webhook", "url": "http://host/x"});
        for (key, value) in more.as_object().unwrap() {
            target[key] = value.clone();
        }
        serde_json::from_value(target).unwrap()
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn hot(unit: &str) -> Problem {
        let unit = UnitName::parse(unit).unwrap();
        Problem::new(Cause::of_unit(What::Hot, &unit), "hot")
    }

    const NOW: TimeDelta = TimeDelta::zero();
    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn counts(
        content: &mut Content,
        target: &Target,
        minutes: i64,
        patience: TimeDelta,
    ) -> (usize, usize) {
        let due = content.claim(target, at(minutes), patience);
        (due.new.len(), due.gone.len())
    }

    #[test]
    fn each_hears_once_of_a_cause_and_once_that_it_is_gone() {
        let mut content = Content::default();
        let (one, web) = (target(json!({})), target(json!({"unit": "web"})));
        for minutes in 0..3 {
            content.update(&[hot("web"), hot("db")], |_| true, at(minutes));
            let due = content.claim(&one, at(minutes), NOW);
            assert_eq!(due.new.len(), if minutes == 0 { 2 } else { 0 });
            content.confirm(&one, &due);
        }
        let due = content.claim(&web, at(3), NOW);
        assert_eq!(due.new.len(), 1);
        content.confirm(&web, &due);
        // What a run of another unit says nothing of stays.
        content.update(
            &[],
            |cause| cause.unit != Some(UnitName::parse("web").unwrap()),
            at(4),
        );
        assert_eq!(counts(&mut content, &web, 4, NOW), (0, 0));
        let due = content.claim(&one, at(4), NOW);
        assert_eq!((due.new.len(), due.gone.len()), (0, 1));
        content.confirm(&one, &due);
        content.forget(&[one.clone(), web.clone()], at(4));
        assert_eq!(content.causes.len(), 1);
        // It comes again.
        content.update(&[hot("db")], |_| false, at(5));
        assert_eq!(counts(&mut content, &one, 5, NOW), (1, 0));
    }

    #[test]
    fn what_could_not_be_told_is_tried_again_but_not_all_the_time() {
        let mut content = Content::default();
        let one = target(json!({}));
        content.update(&[hot("web")], |_| true, at(0));
        assert_eq!(counts(&mut content, &one, 0, HOUR), (1, 0));
        assert_eq!(counts(&mut content, &one, 5, HOUR), (0, 0));
        assert_eq!(counts(&mut content, &one, 60, HOUR), (1, 0));
        assert_eq!(counts(&mut content, &one, 61, NOW), (1, 0));
        // Gone before anybody heard of it: nothing is to be said.
        content.update(&[], |_| true, at(62));
        assert_eq!(counts(&mut content, &one, 62, NOW), (0, 0));
        content.forget(&[one], at(62));
        assert!(content.causes.is_empty());
    }

    #[test]
    fn who_wants_to_hear_of_success_hears_of_no_cause() {
        let mut content = Content::default();
        content.update(&[hot("web")], |_| true, at(0));
        let success = target(json!({"when": "success"}));
        assert_eq!(counts(&mut content, &success, 0, NOW), (0, 0));
        let of_other = target(json!({"unit": "db"}));
        assert_eq!(counts(&mut content, &of_other, 0, NOW), (0, 0));
        // A target with another address is another one.
        assert_eq!(counts(&mut content, &target(json!({})), 0, NOW), (1, 0));
        // So is one for somebody else at the same server.
        let mail = |to: &str| target(json!({"type": "email", "url": "smtp://host", "to": [to]}));
        assert_eq!(counts(&mut content, &mail("a@b.org"), 0, NOW), (1, 0));
        assert_eq!(counts(&mut content, &mail("c@b.org"), 0, NOW), (1, 0));
        let moved = target(json!({"url": "http://host/y"}));
        assert_eq!(counts(&mut content, &moved, 0, NOW), (1, 0));
    }

    #[tokio::test]
    async fn it_is_on_the_disk_and_one_process_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: folder.path().to_owned(),
            ..Paths::standard()
        };
        let mut ledger = Ledger::open(&paths, "nas").await.unwrap();
        ledger.content.update(&[hot("web")], |_| true, at(0));
        assert_eq!(
            counts(&mut ledger.content, &target(json!({})), 0, NOW),
            (1, 0)
        );
        assert!(
            tokio::time::timeout(Duration::from_millis(200), Ledger::open(&paths, "nas"))
                .await
                .is_err()
        );
        ledger.save().unwrap();
        let mut ledger = Ledger::open(&paths, "nas").await.unwrap();
        assert_eq!(
            counts(&mut ledger.content, &target(json!({})), 1, HOUR),
            (0, 0)
        );
        let other = Ledger::open(&paths, "other").await.unwrap();
        assert!(other.content.causes.is_empty());
    }
}
