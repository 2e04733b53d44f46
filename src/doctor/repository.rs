//! The repository: it opens, it is the right one, what is in it, who looks after it, and whether the clocks agree.

use std::time::Duration;

use chrono::Utc;

use super::finding::Finding;
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::drivers::kopia::{Kopia, Maintenance, Manifest, Status, clock_skew};
use crate::error::Exit;
use crate::points::point::{Point, PointState, points};
use crate::points::whose::{self, OtherProfile, Whose};
use crate::repository::Repository;
use crate::retention::maintenance;

pub const AREA: &str = "repository";

/// Storage that answers does so sooner, however far away it is.
const OPENING: Duration = Duration::from_secs(20);

/// A repository of many hosts takes its time to be listed.
const LISTING: Duration = Duration::from_secs(35);

pub async fn check(cx: &Context, config: Option<&Config>) -> Vec<Finding> {
    let Some(config) = config else {
        return Vec::new();
    };
    let repository = match Repository::of(cx, config) {
        Ok(repository) => repository,
        Err(error) => return vec![Finding::of_error(AREA, &error)],
    };
    let kopia = &repository.kopia;
    let opening = kopia.open(&repository.identity);
    let status = match tokio::time::timeout(OPENING, opening).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return vec![Finding::of_error(AREA, &error)],
        Err(_) => {
            let message = format!(
                "kopia did not open `{}` within {} s",
                kopia.location(),
                OPENING.as_secs()
            );
            let finding = Finding::failure(AREA, Exit::Storage, message);
            return vec![finding.remedy(
                "check that the storage is mounted or that its server answers, then run `kopi-docka repo-status`",
            )];
        }
    };
    let mut findings = vec![Finding::ok(AREA, about(kopia, &status))];
    if let Some(renamed) = repository.rename() {
        findings.push(Finding::of_error(AREA, &renamed.into()));
    }
    let asking = async { tokio::try_join!(kopia.list(), kopia.maintenance()) };
    match tokio::time::timeout(LISTING, asking).await {
        Ok(Ok((manifests, maintenance))) => {
            let points = points(&manifests);
            let whose = Whose::of(&points, kopia.me(), None);
            findings.push(counted(&points, &whose));
            findings.extend(doubted(&points, &whose));
            findings.extend(left_behind(&points, &whose, &kopia.me().profile));
            findings.extend(clock(&manifests));
            findings.push(maintained(kopia, &maintenance));
        }
        Ok(Err(error)) => findings.push(Finding::of_error(AREA, &error)),
        Err(_) => {
            let message = format!(
                "it opens, but could not be listed within {} s",
                LISTING.as_secs()
            );
            findings.push(
                Finding::warning(AREA, message)
                    .remedy("run `kopi-docka repo-status`, which waits longer"),
            );
        }
    }
    findings
}

fn about(kopia: &Kopia, status: &Status) -> String {
    let space = status.volume.map_or_else(String::new, |volume| {
        format!(", {} free", text::bytes(volume.available))
    });
    format!(
        "{} opens as `{}`, id {}{space}",
        status.location(),
        kopia.identity(),
        status.unique_id
    )
}

/// Another machine of our name, and points that may be another one's.
fn doubted(points: &[Point], whose: &Whose<'_>) -> Option<Finding> {
    if let Some(conflict) = whose.conflict(Utc::now()) {
        let finding = Finding::warning(AREA, conflict.sentence());
        return Some(finding.remedy(conflict.remedies().join("; ")));
    }
    let doubt = whose.doubt(points)?;
    Some(Finding::warning(AREA, doubt).remedy(whose::ADOPT))
}

fn left_behind(points: &[Point], whose: &Whose<'_>, profile: &str) -> Vec<Finding> {
    let others = whose.left_behind(points, Utc::now());
    let finding = |other: &OtherProfile| {
        Finding::warning(AREA, other.sentence(profile)).remedy(other.remedy())
    };
    others.iter().map(finding).collect()
}

fn counted(points: &[Point], whose: &Whose<'_>) -> Finding {
    let whole = points
        .iter()
        .filter(|point| point.state == PointState::Whole && whose.is_own(point));
    let newest = whole.clone().map(|point| point.time).max();
    let count = text::count(whole.count(), "whole restore point");
    Finding::ok(
        AREA,
        newest.map_or_else(
            || "no whole restore point of this host yet".to_owned(),
            |newest| format!("{count}, the newest {} old", text::age(newest, Utc::now())),
        ),
    )
}

fn clock(manifests: &[Manifest]) -> Option<Finding> {
    let ahead = clock_skew(manifests, Utc::now())?;
    Some(Finding::warning(AREA, text::clock_skew(ahead)).remedy(text::CLOCK_REMEDY))
}

fn maintained(kopia: &Kopia, info: &Maintenance) -> Finding {
    let last = info.last_task();
    let done = last.as_ref().map_or_else(
        || "maintenance was never done yet".to_owned(),
        |last| {
            format!(
                "maintenance was done {} ago",
                text::age(last.at, Utc::now())
            )
        },
    );
    if let Some(failed) = last.filter(|last| !last.success) {
        let message = format!("the last maintenance failed: {}", failed.error);
        return Finding::warning(AREA, message).remedy("run `kopi-docka repo-maintenance`");
    }
    if maintenance::is_overdue(info, Utc::now()) {
        return if maintenance::is_ours(kopia, info) {
            Finding::warning(AREA, format!("{done}, and is long due"))
                .remedy("run `kopi-docka repo-maintenance`")
        } else {
            Finding::warning(AREA, done).remedy(maintenance::not_ours(kopia, info))
        };
    }
    Finding::ok(AREA, format!("{done}, by `{}`", info.owner))
}
