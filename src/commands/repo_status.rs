//! `repo-status`: where the repository is, whose, what is in it, who looks after it, how much free space it has.

use chrono::{TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use crate::base::text;
use crate::context::Context;
use crate::drivers::kopia::{Maintenance, Size, Status, clock_skew};
use crate::error::{Result, render};
use crate::points::point::{Point, PointState, points};
use crate::points::whose::{ADOPT, Conflict, Owner, Whose};
use crate::repository::Repository;
use crate::repository::password;
use crate::retention::maintenance::{self, Remembered};

#[derive(Debug, clap::Args)]
pub struct Args {}

/// How many points of this host there are, and how many that only others could have made.
#[derive(Debug, Default, Serialize)]
struct Counts {
    whole: usize,
    partial: usize,
    unfinished: usize,
    of_other_hosts: usize,
    /// Under our name, and not provably of this machine.
    of_other_machines: usize,
    /// Of this machine, with other configurations.
    of_other_profiles: usize,
}

struct Seen {
    status: Status,
    counts: Counts,
    conflict: Option<Conflict>,
    doubt: Option<String>,
    maintenance: Maintenance,
    last_here: Option<Remembered>,
    size: Option<Size>,
    clock_skew: Option<TimeDelta>,
}

pub async fn run(cx: &Context, _args: Args) -> Result<u8> {
    cx.require_root("repo-status")?;
    let config = password::settle(cx, None, cx.config()?)
        .await?
        .loaded
        .config;
    let repository = Repository::of(cx, &config)?;
    let kopia = &repository.kopia;
    let status = repository.open().await?;
    let size = async {
        if cx.ui.verbose {
            kopia.size(config.backup.stall_timeout).await.map(Some)
        } else {
            Ok(None)
        }
    };
    let (manifests, maintenance, size) = tokio::try_join!(kopia.list(), kopia.maintenance(), size)?;
    let points = points(&manifests);
    let whose = Whose::of(&points, kopia.me(), None);
    let seen = Seen {
        status,
        counts: counts(&points, &whose),
        conflict: whose.conflict(Utc::now()),
        doubt: whose.doubt(&points),
        maintenance,
        last_here: maintenance::remembered(&cx.paths, config.profile()),
        size,
        clock_skew: clock_skew(&manifests, Utc::now()),
    };
    if cx.ui.json {
        show_json(cx, &repository, &seen);
    } else {
        show(cx, &repository, &seen);
    }
    Ok(0)
}

fn counts(points: &[Point], whose: &Whose<'_>) -> Counts {
    let mut counts = Counts::default();
    for point in points {
        let count = match (whose.owner(point), point.state) {
            (Owner::OtherHost, _) => &mut counts.of_other_hosts,
            (Owner::OtherMachine | Owner::Unproven, _) => &mut counts.of_other_machines,
            (Owner::OtherProfile, _) => &mut counts.of_other_profiles,
            (Owner::Own, PointState::Whole) => &mut counts.whole,
            (Owner::Own, PointState::Partial) => &mut counts.partial,
            (Owner::Own, PointState::Unfinished) => &mut counts.unfinished,
        };
        *count += 1;
    }
    counts
}

fn show_json(cx: &Context, repository: &Repository, seen: &Seen) {
    let status = &seen.status;
    cx.ui.answer_json(&json!({
        "location": status.location(),
        "storage_type": status.storage.kind,
        "unique_id": status.unique_id,
        "identity": repository.kopia.identity(),
        "machine": repository.kopia.me().machine,
        "conflict": seen.conflict,
        "profile": repository.kopia.profile(),
        "hash": status.content_format.hash,
        "encryption": status.content_format.encryption,
        "capacity_bytes": status.volume.map(|volume| volume.capacity),
        "available_bytes": status.volume.map(|volume| volume.available),
        "size": seen.size,
        "points": seen.counts,
        "clock_skew_seconds": seen.clock_skew.map(|ahead| ahead.num_seconds()),
        "maintenance": {
            "owner": seen.maintenance.owner,
            "is_ours": maintenance::is_ours(&repository.kopia, &seen.maintenance),
            "last": seen.maintenance.last_task(),
            "next_full": seen.maintenance.next_full(),
            "last_here": seen.last_here,
        },
    }));
}

fn show(cx: &Context, repository: &Repository, seen: &Seen) {
    let status = &seen.status;
    let free_space = status.volume.map_or_else(
        || "not reported by the storage".to_owned(),
        |volume| {
            format!(
                "{} of {} free",
                text::bytes(volume.available),
                text::bytes(volume.capacity)
            )
        },
    );
    let mut rows = vec![
        ("Repository", status.location()),
        ("Unique id", status.unique_id.clone()),
        ("Identity", repository.kopia.identity().to_string()),
        ("Machine", repository.kopia.me().machine.to_string()),
        ("Profile", repository.kopia.profile().display().to_string()),
        (
            "Format",
            format!(
                "{}, {}",
                status.content_format.encryption, status.content_format.hash
            ),
        ),
        ("Free space", free_space),
    ];
    if let Some(size) = seen.size {
        let objects = text::count(
            usize::try_from(size.objects).unwrap_or(usize::MAX),
            "object",
        );
        rows.push(("Size", format!("{} in {objects}", text::bytes(size.bytes))));
    }
    rows.push(("Points", points_text(&seen.counts)));
    rows.push(("Maintenance", maintenance_text(&seen.maintenance)));
    for (what, value) in rows {
        cx.ui
            .answer(format!("{what:<11} {}", text::printable(&value)));
    }
    if let Some(ahead) = seen.clock_skew {
        let (what, remedy) = (text::clock_skew(ahead), text::CLOCK_REMEDY);
        cx.ui.warn(format!("{what}; {remedy}"));
    }
    if let Some(conflict) = &seen.conflict {
        cx.ui.warn(conflict.warning());
    } else if let Some(doubt) = &seen.doubt {
        cx.ui.warn(format!("{doubt}; {ADOPT}"));
    }
    if let Some(renamed) = repository.rename() {
        cx.ui.warn(render(&renamed.into()));
    }
    if !maintenance::is_ours(&repository.kopia, &seen.maintenance) {
        cx.ui.say(format!(
            "note: {}",
            maintenance::not_ours(&repository.kopia, &seen.maintenance)
        ));
    }
}

fn points_text(counts: &Counts) -> String {
    let mut text = format!("{} whole", counts.whole);
    for (count, what) in [
        (counts.partial, "partial"),
        (counts.unfinished, "unfinished"),
        (counts.of_other_profiles, "of other profiles"),
        (counts.of_other_machines, "of other machines of this name"),
        (counts.of_other_hosts, "of other hosts"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn maintenance_text(info: &Maintenance) -> String {
    let last = info.last_task().map_or_else(
        || "never done".to_owned(),
        |last| {
            let age = text::age(last.at, Utc::now());
            if last.success {
                format!("{age} ago")
            } else {
                format!("{age} ago, and FAILED: {}", last.error)
            }
        },
    );
    format!("{last}, by {}", info.owner)
}
