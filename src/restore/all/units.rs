//! Which units are meant.

use std::collections::BTreeSet;

use crate::error::{Exit, Failure, Result};
use crate::model::UnitName;
use crate::points::choose::Which;
use crate::points::point::{Point, PointState};
use crate::restore::plan::doors::Doors;
use crate::restore::request::{BringUp, OtherImages};
use crate::restore::request::{Destination, Request, What};
use crate::restore::session::Session;

/// What the flags say of all units.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub which: Which,
    /// The host that made the points; `None` is this one.
    pub host: Option<String>,
    pub except: Vec<UnitName>,
    /// What refusals are opened, for each.
    pub doors: Doors,
    pub bring_up: bool,
    /// Where the saved images are not available.
    pub other_images: OtherImages,
    pub is_dry: bool,
    pub is_agreed: bool,
}

impl Wanted {
    /// One for each unit that the host has restore points of, by name.
    pub(super) fn requests(&self, session: &Session<'_>) -> Result<Vec<Request>> {
        let points = session.points();
        let identity = session.ground.repository.kopia.identity();
        let is_meant = |point: &&Point| {
            point.is_of_host(self.host.as_deref(), &identity)
                && point.state != PointState::Unfinished
        };
        let mut units: BTreeSet<&UnitName> = points
            .iter()
            .filter(is_meant)
            .map(|point| &point.unit)
            .collect();
        if units.is_empty() {
            return Err(self.nothing(&points).into());
        }
        for except in &self.except {
            if !units.remove(except) {
                return Err(Failure::new(
                    Exit::NothingMatched,
                    format!("there is no restore point of unit `{except}` to leave out"),
                )
                .hint("see `kopi-docka list --snapshots`")
                .into());
            }
        }
        let request = |unit: &UnitName| Request {
            unit: unit.clone(),
            which: self.which.clone(),
            what: What::Unit,
            to: Destination::InPlace,
            host: self.host.clone(),
            doors: self.doors.clone(),
            other_images: self.other_images,
            bring_up: if self.bring_up {
                BringUp::Yes
            } else {
                BringUp::No
            },
        };
        Ok(units.into_iter().map(request).collect())
    }

    fn nothing(&self, points: &[Point]) -> Failure {
        let by = match &self.host {
            Some(host) => format!("host `{host}`"),
            None => "this host".to_owned(),
        };
        let failure = Failure::new(
            Exit::NothingMatched,
            format!("there are no restore points made by {by}"),
        );
        let hosts: BTreeSet<&str> = points.iter().map(Point::host).collect();
        if hosts.is_empty() {
            return failure.hint("`kopi-docka repo-status` shows which repository this is");
        }
        let commands = hosts
            .iter()
            .map(|host| format!("`kopi-docka restore --all --host {host}`"));
        commands.fold(failure, |failure, command| {
            failure.hint(format!("{command} takes those of that host"))
        })
    }
}
