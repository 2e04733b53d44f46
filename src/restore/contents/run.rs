//! The whole answer: for people line by line, with `--json` an event each.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::watch;

use super::line::{Entry, Kind};
use super::reader::Reader;
use super::search::Search;
use crate::base::text;
use crate::context::Context;
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result};
use crate::model::Identity;
use crate::model::point::{PointRecord, SourceRecord};
use crate::model::{PointId, SourceKey, UnitName};
use crate::points::choose::{choose, unasked};
use crate::points::feed::Feed;
use crate::points::point::points;
use crate::points::{lists, recipe};
use crate::repository::Repository;
use crate::restore::request::{Request, handle, is_meant};
use crate::ui::Ui;

/// Lists what is in the point that `request` means and in the sources that it names, as far as it is searched for.
pub async fn run(cx: &Context, request: &Request, search: Search) -> Result<u8> {
    let config = cx.config()?.config;
    let repository = Repository::of(cx, &config)?;
    let kopia = &repository.kopia;
    let look = async {
        repository.open().await?;
        Ok((Tar::find().await?, kopia.list().await?))
    };
    let (tar, manifests) = cx.shutdown.cut("the list", look).await?;
    let all = points(&manifests);
    let point = choose(&all, &request.wanted(), kopia.me())?;
    if let Some(remark) = unasked(&all, point, &request.wanted(), kopia.me()) {
        cx.ui.warn(remark);
    }
    let read = async {
        let record = recipe::record(kopia, point, &manifests).await?;
        let mut sources = named(&record, request.what.names())?;
        lists::read_of(kopia, point, &record, &mut sources).await?;
        Ok((record, sources))
    };
    let (record, sources) = cx.shutdown.cut("the list", read).await?;
    // Nothing cancels it but a signal.
    let (_cancel, is_cancelled) = watch::channel(false);
    let reader = Reader {
        feed: Feed {
            kopia: kopia.clone(),
            stall: config.backup.stall_timeout,
            shutdown: cx.shutdown.clone(),
            is_cancelled,
            ahead: Arc::default(),
            what: "list",
        },
        tar,
        search,
    };
    line(
        &cx.ui,
        &Event::Started {
            unit: &record.unit,
            backup_id: &record.backup_id,
            identity: &record.identity,
        },
    );
    let mut failed = 0;
    let found = Arc::new(AtomicU64::new(0));
    if request.what.names().is_empty() {
        say_files(&cx.ui, &record, &reader.search, &found);
    }
    for source in &sources {
        let (ui, key, found) = (cx.ui.clone(), source.key.clone(), Arc::clone(&found));
        let is_headed = Arc::new(AtomicBool::new(false));
        let read = reader.source(source, move |entry| {
            found.fetch_add(1, Ordering::Relaxed);
            if ui.answers_people() && !is_headed.swap(true, Ordering::Relaxed) {
                ui.answer(text::printable(&format!("{key}:")));
            }
            say(&ui, &key, &entry);
        });
        if let Err(error) = read.await {
            if cx.shutdown.is_asked() {
                return Err(error);
            }
            failed += 1;
            let error = error.context(format!("{} could not be listed", source.key));
            cx.ui.error(&crate::error::render(&error));
        }
    }
    let found = found.load(Ordering::Relaxed);
    let exit_code = if failed > 0 {
        Exit::UnitsFailed.code()
    } else {
        0
    };
    line(
        &cx.ui,
        &Event::Finished {
            entries: found,
            exit_code,
        },
    );
    if found == 0 && failed == 0 {
        cx.ui.say("Nothing matches.");
    }
    Ok(exit_code)
}

/// The sources of `record` that `names` name; all when there are none.
fn named(record: &PointRecord, names: &[String]) -> Result<Vec<SourceRecord>> {
    if names.is_empty() {
        return Ok(record.sources.clone());
    }
    let find = |name: &String| {
        let mut sources = record.sources.iter();
        sources
            .find(|source| is_meant(&source.key, name))
            .cloned()
            .ok_or_else(|| {
                let there: Vec<String> = record
                    .sources
                    .iter()
                    .map(|source| format!("`{}`", text::printable(&handle(&source.key))))
                    .collect();
                Failure::new(
                    Exit::NothingMatched,
                    format!("`{name}` is not in {}", record.backup_id),
                )
                .hint(format!("it has {}", there.join(", ")))
                .into()
            })
    };
    names.iter().map(find).collect()
}

/// The compose files and what they name.
fn say_files(ui: &Ui, record: &PointRecord, search: &Search, found: &AtomicU64) {
    let files = record.files.iter().map(|file| &file.path);
    let files: Vec<_> = files
        .filter(|path| search.matches(&path.to_string_lossy()))
        .collect();
    if !files.is_empty() && ui.answers_people() {
        ui.answer("files of the project:");
    }
    for path in files {
        found.fetch_add(1, Ordering::Relaxed);
        if ui.json {
            line(ui, &Event::File { path });
        } else {
            ui.answer(format!(
                "{:>43}{}",
                "",
                text::printable(&path.to_string_lossy())
            ));
        }
    }
}

/// For programs. Unlike events none is ever dropped: they are the answer.
fn line(ui: &Ui, event: &Event<'_>) {
    if ui.json
        && let Ok(text) = serde_json::to_string(event)
    {
        ui.answer(text);
    }
}

#[derive(Serialize)]
#[serde(tag = "event")]
enum Event<'a> {
    #[serde(rename = "list_started")]
    Started {
        unit: &'a UnitName,
        backup_id: &'a PointId,
        identity: &'a Identity,
    },
    #[serde(rename = "list_file")]
    File { path: &'a Path },
    #[serde(rename = "list_entry")]
    Entry {
        source: &'a SourceKey,
        entry: &'a Entry,
    },
    #[serde(rename = "list_finished")]
    Finished { entries: u64, exit_code: u8 },
}

fn say(ui: &Ui, key: &SourceKey, entry: &Entry) {
    if ui.json {
        line(ui, &Event::Entry { source: key, entry });
        return;
    }
    let size = match entry.kind {
        Kind::File => text::bytes(entry.bytes),
        _ => String::new(),
    };
    let time = entry.modified.map_or_else(String::new, |time| {
        let local = time.with_timezone(&chrono::Local);
        local.format("%Y-%m-%d %H:%M:%S").to_string()
    });
    let slash = if entry.kind == Kind::Directory {
        "/"
    } else {
        ""
    };
    let link = entry
        .link
        .as_ref()
        .map_or_else(String::new, |link| format!(" -> {link}"));
    let name = text::printable(&format!("{}{slash}{link}", entry.path));
    ui.answer(format!("  {size:>18}  {time:19}  {name}"));
}
