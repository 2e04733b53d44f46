//! A bundle on a new host: what goes where, and the proof that its repository can be reached, before anything is changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{SecondsFormat, Utc};
use serde_json::Value;

use super::place::Place;
use crate::base::paths::Paths;
use crate::base::secret::Secret;
use crate::bundle::check::Opened;
use crate::bundle::content::contents::{CONFIG, SavedUnit, newest_of};
use crate::bundle::content::credentials::{LIST, RCLONE, VARIABLES};
use crate::bundle::content::kit;
use crate::bundle::content::origin::Origin;
use crate::config::{self, Loaded};
use crate::drivers::systemd::SYSTEM_FOLDER;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::points::point::points;
use crate::repository::Repository;
use crate::repository::credentials::line;

/// What is asked for besides.
pub struct Wish {
    /// The address of the repository, in the place of the one in the bundle.
    pub at: Option<String>,
    /// This host replaces the one of the bundle.
    pub takes_over: bool,
    /// Where the configuration goes, in the place of where it was.
    pub config_file: Option<PathBuf>,
}

/// What this host gets.
pub struct Outfit<'a> {
    opened: &'a Opened,
    /// As it will be read.
    pub loaded: Loaded,
    /// Files of the storage and of systemd.
    pub files: Vec<Place>,
    /// Who this host is in the repository; `None` where it is known already.
    pub state: Option<Place>,
    /// The last one: from then on this host has a configuration.
    pub config: Place,
}

impl<'a> Outfit<'a> {
    pub fn of(paths: &Paths, opened: &'a Opened, wish: Wish) -> Result<Self> {
        let origin = &opened.origin;
        let text = config_text(opened, &wish)?;
        let file = wish
            .config_file
            .unwrap_or_else(|| origin.config_file.clone());
        let loaded = config::check(paths, &file, &text)?;
        let repository = Repository::to_connect(paths, &loaded.config)?;
        let is_known = repository.identity.unique_id()?.as_ref()
            == Some(&origin.repository.unique_id)
            && (!wish.takes_over || repository.identity.adopted()?.contains_key(&origin.machine));
        let state = (!is_known).then(|| state(opened, &repository, wish.takes_over));
        let mut files = host_files(opened)?;
        files.extend(drop_ins(opened));
        Ok(Self {
            opened,
            loaded,
            files,
            state: state.transpose()?,
            config: Place::private(file, text),
        })
    }

    pub fn origin(&self) -> &Origin {
        &self.opened.origin
    }

    /// All of them, in the order in which they are put.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.files.iter().chain(&self.state).chain([&self.config])
    }

    /// Connects to the repository with copies on a disk in memory. What it has of the host of the bundle.
    pub async fn prove(&self) -> Result<Vec<SavedUnit>> {
        let scratch = scratch()?;
        let paths = Paths {
            state: scratch.path().join("state"),
            runtime: scratch.path().join("run"),
            home: scratch.path().join("home"),
            credentials: scratch.path().join("env"),
            ..Paths::standard()
        };
        let copies = self.copy_files(scratch.path(), &paths)?;
        let moved = |path: &Path| copies.get(path).cloned();
        let mut config = self.loaded.config.clone();
        config.kopia.kopia_params.relocate(moved);
        config.kopia.cache_directory = scratch.path().join("cache");
        if let Some(file) = config.kopia.password_file.as_mut()
            && let Some(copy) = moved(file)
        {
            *file = copy;
        }
        let repository = Repository::to_connect(&paths, &config)?;
        repository.kopia.check_version().await?;
        let origin = &self.opened.origin;
        let known = async {
            repository.kopia.reach(&origin.repository.unique_id).await?;
            repository.kopia.list().await
        };
        let known = known.await.map_err(unreached)?;
        let points = points(&known);
        let theirs = points
            .iter()
            .filter(|point| point.identity.host == origin.host);
        Ok(newest_of(theirs))
    }

    /// Where each file is meanwhile.
    fn copy_files(&self, scratch: &Path, paths: &Paths) -> Result<BTreeMap<PathBuf, PathBuf>> {
        let mut copies = BTreeMap::new();
        for (number, place) in self.files.iter().enumerate() {
            let mut copy = place.clone();
            copy.path = if place.path.ends_with(RCLONE) {
                paths.home.join(RCLONE)
            } else {
                scratch.join(format!("files/{number}"))
            };
            copy.mode = 0o600;
            (copy.uid, copy.gid) = (0, 0);
            copy.put()?;
            copies.insert(place.path.clone(), copy.path);
        }
        let mut environment = text_of(self.opened.member(VARIABLES)?);
        for named in text_of(self.opened.member(kit::NAMED)?).lines() {
            if let Some((name, path)) = named.split_once('\t')
                && let Some(copy) = copies.get(Path::new(path))
            {
                // The last one of a name counts.
                environment.push_str(&line(name, &Secret::new(copy.to_string_lossy())));
            }
        }
        Place::private(paths.credentials.clone(), environment).put()?;
        Ok(copies)
    }
}

/// As it was, but for another address, and for the name of a host that lives on.
fn config_text(opened: &Opened, wish: &Wish) -> Result<Vec<u8>> {
    let text = opened.member(CONFIG)?;
    let document = config::document_of(text)?;
    let names_host = document
        .pointer("/kopia/host")
        .is_some_and(|host| !host.is_null());
    match &wish.at {
        Some(at) => {
            config::KopiaParams::parse(at)
                .map_err(|why| Failure::new(Exit::Usage, format!("the address of `--at` {why}")))?;
            config::text_of(&kit::elsewhere(document, at))
        }
        None if names_host && !wish.takes_over => config::text_of(&kit::unnamed(document)),
        None => Ok(text.to_vec()),
    }
}

fn state(opened: &Opened, repository: &Repository, takes_over: bool) -> Result<Place> {
    let (member, host) = if takes_over {
        (kit::STATE_TAKEN_OVER, &opened.origin.host)
    } else {
        (kit::STATE, &repository.kopia.me().host)
    };
    let mut state: Value = serde_json::from_slice(opened.member(member)?)
        .with_context(|| format!("`{member}` of the bundle cannot be read"))?;
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let location = repository.kopia.location();
    fill(
        &mut state,
        &[
            (kit::HOST, host),
            (kit::LOCATION, &location),
            (kit::NOW, &now),
        ],
    );
    let file = repository.identity.file().to_owned();
    Ok(Place::private(file, config::text_of(&state)?))
}

/// Values in the place of their marks.
fn fill(value: &mut Value, marks: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            if let Some((_, filled)) = marks.iter().find(|(mark, _)| mark == text) {
                (*filled).clone_into(text);
            }
        }
        Value::Object(object) => object.values_mut().for_each(|value| fill(value, marks)),
        Value::Array(array) => array.iter_mut().for_each(|value| fill(value, marks)),
        _ => {}
    }
}

/// Those that `files.tsv` lists.
fn host_files(opened: &Opened) -> Result<Vec<Place>> {
    let list = text_of(opened.member(LIST)?);
    let files = list.lines().map(|line| {
        let mut fields = line.split('\t');
        let mut next = || {
            let unreadable = || format!("`{LIST}` of the bundle cannot be read");
            fields.next().with_context(unreadable)
        };
        let (member, path, mode) = (next()?, next()?, next()?);
        let owner = next()?.split_once(':');
        let (uid, gid) = owner.with_context(|| format!("no owner of `{path}`"))?;
        Ok(Place {
            path: path.into(),
            content: opened.member(member)?.to_vec(),
            mode: u32::from_str_radix(mode, 8)?,
            uid: uid.parse()?,
            gid: gid.parse()?,
        })
    });
    files.collect()
}

fn drop_ins(opened: &Opened) -> impl Iterator<Item = Place> + '_ {
    opened.members().filter_map(|member| {
        let below = member.name.strip_prefix("systemd/")?;
        // `state.txt` is no drop-in.
        below.contains('/').then(|| Place {
            path: Path::new(SYSTEM_FOLDER).join(below),
            mode: 0o644,
            ..Place::private(PathBuf::new(), member.content.clone())
        })
    })
}

/// Whether the timer of the lost host was enabled.
pub fn is_timed(opened: &Opened) -> bool {
    opened.members().any(kit::tells_timer)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// In memory where there is such a disk, and for us alone.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = ["/dev/shm", "/run"].map(Path::new);
    let memory = memory.into_iter().find(|folder| folder.is_dir());
    let memory = memory.unwrap_or(Path::new("/tmp"));
    tempfile::Builder::new()
        .prefix("kopi-docka-recover-")
        .tempdir_in(memory)
        .with_context(|| format!("no directory can be made in `{}`", memory.display()))
}

/// With what helps on a new host.
fn unreached(error: anyhow::Error) -> anyhow::Error {
    let failure = Failure::new(
        exit_of(&error),
        "the repository of the bundle cannot be used",
    );
    let failure = match exit_of(&error) {
        Exit::WrongPassword => {
            failure.hint("its password was changed after the bundle was made: use a newer bundle")
        }
        Exit::Storage | Exit::NoRepository | Exit::Unexpected => failure.hint(
            "check that the right disk is mounted; where the repository is elsewhere now, name it with `--at 'filesystem --path /mnt/x'`",
        ),
        _ => failure,
    };
    failure.hint("nothing was changed").caused_by(error).into()
}
