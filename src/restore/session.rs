//! What both doors, the flags and the wizard, go through: opened once, then it lists, plans and applies.

use super::plan::beside::Beside;
use super::plan::ground::Ground;
use super::plan::stages::{self, Planned};
use super::request::Request;
use crate::base::lock::Lock;
use crate::base::memory::Memory;
use crate::base::work;
use crate::context::Context;
use crate::discovery::Rules;
use crate::drivers::docker::Engine;
use crate::drivers::kopia::Manifest;
use crate::drivers::tar::Tar;
use crate::error::Result;
use crate::model::point::PointRecord;
use crate::points::point::{Point, points};
use crate::points::recipe;
use crate::points::whose::Whose;
use crate::recovery;
use crate::repository::Repository;

/// Holds the lock, an open repository and a connected engine.
pub struct Session<'a> {
    pub ground: Ground<'a>,
    pub tar: Tar,
    manifests: Vec<Manifest>,
    _lock: Lock,
}

impl<'a> Session<'a> {
    /// `is_dry` leaves what an earlier run left down to the next real one.
    pub async fn open(cx: &'a Context, is_dry: bool) -> Result<Self> {
        let config = cx.config()?.config;
        let lock = Lock::take(&cx.paths.runtime, "restore")?;
        work::remove_stale(&cx.paths.runtime)?;
        if !is_dry {
            // What does not come up may be the very unit that is restored.
            recovery::bring_up_or_tell(cx).await?;
        }
        let repository = Repository::of(cx, &config)?;
        let look = async {
            let tar = Tar::find().await?;
            let engine = Engine::connect(&config.docker.socket).await?;
            // At once, since each kopia costs the start of a process; what the status says comes first.
            let (status, docker_root, manifests) = tokio::join!(
                repository.open(),
                engine.root_folder(),
                repository.kopia.list()
            );
            status?;
            let (docker_root, manifests) = (docker_root?, manifests?);
            Ok((tar, engine, docker_root, manifests))
        };
        let (tar, engine, docker_root, manifests) = cx.shutdown.cut("the restore", look).await?;
        let ground = Ground {
            rules: Rules::of(&config, &cx.paths),
            cx,
            config,
            engine,
            docker_root,
            repository,
            beside: Beside::default(),
        };
        Ok(Self {
            ground,
            tar,
            manifests,
            _lock: lock,
        })
    }

    /// Of all hosts, the newest first.
    pub fn points(&self) -> Vec<Point> {
        points(&self.manifests)
    }

    /// Whether a host of this name made it.
    pub fn is_own(&self, point: &Point) -> bool {
        point.is_of_host(None, &self.ground.repository.kopia.identity())
    }

    /// Whose they are.
    pub fn whose<'p>(&'p self, points: &[Point]) -> Whose<'p> {
        Whose::of(points, self.ground.repository.kopia.me(), None)
    }

    /// What `point` holds.
    pub async fn record(&self, point: &Point) -> Result<PointRecord> {
        let record = recipe::record(&self.ground.repository.kopia, point, &self.manifests).await?;
        Ok(record)
    }

    pub async fn plan(&self, request: &Request) -> Result<Planned> {
        stages::plan(&self.ground, &self.manifests, request, 0).await
    }

    /// [`Session::plan`] for who carries it out at once: its streams are begun meanwhile.
    pub async fn plan_to_apply(&self, request: &Request) -> Result<Planned> {
        let streams = if request.is_whole_unit() {
            self.ground.config.workers(Memory::of_this_host())
        } else {
            0
        };
        stages::plan(&self.ground, &self.manifests, request, streams).await
    }
}
