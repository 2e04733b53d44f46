//! Makes what is missing, and starts the unit when that is wanted. The data is back by then: what fails here is told, and undoes
//! nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::container::clean_endpoint;
use super::images::ImagePlan;
use super::promise::{self, Promise};
use super::{Difference, Start};
use crate::base::blocking::aside;
use crate::base::files;
use crate::base::shutdown;
use crate::base::text::printable;
use crate::discovery;
use crate::drivers::docker::ComposeUp;
use crate::drivers::docker::cli;
use crate::drivers::docker::json::Json as _;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::model::Container;
use crate::points::recipe::Recipe;
use crate::points::saved::{endpoints, text};
use crate::quiesce::{self, Entry};
use crate::restore::apply::step::Step;
use crate::restore::apply::window::Window;
use crate::restore::plan::decision::Plan;
use crate::restore::plan::ground::Ground;
use crate::restore::request::BringUp;
use crate::swap::journal::JournalFile;
use crate::swap::program::aside_name;
use crate::ui::prompt;

/// A unit whose program comes back with its data.
pub struct Rebuilding<'r, 'a> {
    pub ground: &'r Ground<'a>,
    pub plan: &'r mut Plan,
    pub recipe: &'r Recipe,
    pub window: &'r mut Window<'a>,
    pub is_up: bool,
}

impl Rebuilding<'_, '_> {
    /// Networks, and volumes without data, before anything starts that could need them. A unit that is here may have
    /// containers that were on a network that is gone: they are put on the new one.
    pub async fn make_networks(&mut self, file: &mut JournalFile) -> Result<()> {
        let rebuild = &self.plan.rebuild;
        let requests: Vec<Value> = rebuild
            .new_networks()
            .iter()
            .map(|network| network.request.clone())
            .collect();
        let volumes = rebuild.volumes.clone();
        if requests.is_empty() && volumes.is_empty() {
            return Ok(());
        }
        self.window.enter(Step::Networks).await;
        let name_of = |request: &Value| text(request.at("Name")).to_owned();
        file.add(
            volumes.iter().map(|volume| volume.name.clone()).collect(),
            requests.iter().map(name_of).collect(),
        )?;
        let engine = &self.ground.engine;
        for volume in &volumes {
            let (options, labels) = (volume.saved.options.as_ref(), volume.saved.labels.as_ref());
            let making = engine.create_volume(&volume.name, &volume.saved.driver, options, labels);
            let made = shutdown::cut_soon("the restore", making).await;
            self.window.errors.extend(unless_lost(made.map(|_| ()))?);
        }
        let mut made = Vec::new();
        for request in &requests {
            let making = engine.create_network(request);
            let error = unless_lost(shutdown::cut_soon("the restore", making).await)?;
            if error.is_none() {
                made.push(name_of(request));
            }
            self.window.errors.extend(error);
        }
        self.join_again(&made).await
    }

    /// A container knows its networks by their ids: those of networks that were made anew are gone.
    async fn join_again(&mut self, made: &[String]) -> Result<()> {
        if made.is_empty() || !self.plan.rebuild.is_here {
            return Ok(());
        }
        let engine = &self.ground.engine;
        for container in self.containers().await? {
            let Some(inspect) = engine.raw_container(&container.id).await? else {
                continue;
            };
            for (network, endpoint) in endpoints(&inspect).filter(|(name, _)| made.contains(name)) {
                let endpoint = clean_endpoint(endpoint, &container.id);
                let joined = async {
                    engine.leave_network(network, &container.id).await?;
                    engine.join_network(network, &container.id, &endpoint).await
                };
                self.window.errors.extend(unless_lost(joined.await)?);
            }
        }
        Ok(())
    }

    /// Makes the container of a standalone unit, and starts the unit if that is wanted; whether it runs then.
    pub async fn bring_up(mut self) -> bool {
        if !self.ground.cx.shutdown.is_asked() {
            self.make_and_start().await;
        }
        let differences = &self.plan.rebuild.differences;
        if self.is_up || differences.is_empty() {
            return self.is_up;
        }
        let whom: Vec<String> = differences.iter().map(Difference::sentence).collect();
        self.window.errors.push(format!(
            "unit `{}` is restored and not started: {}",
            self.plan.unit,
            whom.join("; ")
        ));
        false
    }

    async fn make_and_start(&mut self) {
        if let Err(error) = self.make_container().await {
            let error = format!("{error:#}");
            self.plan.rebuild.start = None;
            if let Some(container) = &mut self.plan.rebuild.container {
                container.refusal = Some(error.clone());
            }
            self.window.errors.push(error);
            self.plan.next_steps = self.plan.rebuild.next_steps(&self.recipe.record);
        }
        if self.plan.rebuild.bring_up == BringUp::Yes && !self.plan.rebuild.obstacles.is_empty() {
            self.window.errors.push(format!(
                "unit `{}` is restored, but was not started: {}",
                self.plan.unit,
                self.plan.rebuild.obstacles.join("; ")
            ));
            return;
        }
        let Some(start) = self.plan.rebuild.start.clone() else {
            return;
        };
        if !self.is_wanted(&start).await {
            return;
        }
        self.window.enter(Step::Up).await;
        let result = match start {
            Start::Compose(up) => match self.runs_already().await {
                Ok(true) => Ok(()),
                Ok(false) => self.compose_up(*up).await,
                Err(error) => Err(error),
            },
            Start::Container { name } => self.ground.engine.start(&name).await.map(|_| ()),
        };
        match result {
            Ok(()) => {
                self.is_up = true;
                self.plan.next_steps.clear();
                if let Err(error) = self.see_it_settle().await {
                    self.window.errors.push(format!("{error:#}"));
                }
            }
            Err(error) => {
                let unit = self.plan.name();
                self.window.errors.push(format!(
                    "unit `{unit}` is restored, but was not started: {error:#}"
                ));
                self.plan.next_steps = self.plan.rebuild.next_steps(&self.recipe.record);
                if let Some(Start::Compose(up)) = &self.plan.rebuild.start
                    && self.plan.next_steps.is_empty()
                {
                    self.plan.next_steps = up.commands();
                }
            }
        }
    }

    /// What ran when it was saved runs, in the containers that were here before.
    async fn runs_already(&self) -> Result<bool> {
        let rebuild = &self.plan.rebuild;
        if !rebuild.is_here || rebuild.holds() {
            return Ok(false);
        }
        let containers = self.containers().await?;
        let ran = rebuild
            .members
            .iter()
            .filter(|member| member.was_running && !member.is_one_off);
        Ok(ran.into_iter().all(|member| {
            let mut here = containers.iter();
            here.any(|container| member.is(container) && container.state.is_up())
        }))
    }

    /// With the saved images, and only when compose would make what was saved.
    async fn compose_up(&mut self, up: ComposeUp) -> Result<()> {
        let mut checked = Vec::new();
        for one in up.each() {
            let mut one = ComposeUp {
                also: Vec::new(),
                ..one.clone()
            };
            let config = cli::compose_config(&one)
                .await
                .map_err(|error| error.context("compose does not understand the restored files"))?;
            self.check(&one, &config).await?;
            promise::settle(&mut one, &config);
            checked.push((one, config));
        }
        let wanted: Vec<ImagePlan> = self.plan.rebuild.wanted_images().cloned().collect();
        for image in wanted.iter().filter(|image| !image.is_given_up) {
            let fetched = if image.fetch.is_empty() {
                Err(None)
            } else {
                self.fetch(image).await.map_err(Some)
            };
            if let Err(error) = fetched {
                self.accept_another(image, error).await?;
            }
        }
        for (one, config) in &checked {
            self.fetch_for(one, config).await?;
        }
        for (one, _) in checked {
            self.window.docker(&one.args(), one.environment()).await?;
        }
        Ok(())
    }

    /// An error when compose would make something else than what was saved.
    async fn check(&self, up: &ComposeUp, config: &Value) -> Result<()> {
        let members = self.plan.rebuild.members.clone();
        let mut image_users = BTreeMap::new();
        for member in &members {
            let image = &member.image;
            // By its id: another one may have the name.
            let known = [&image.id, &image.image];
            let Some(known) = known.into_iter().find(|known| !known.is_empty()) else {
                continue;
            };
            if let Some(user) = self.ground.engine.image_user(known).await? {
                image_users.insert(image.image.clone(), user);
            }
        }
        let (up, config) = (up.clone(), config.clone());
        let is_here = self.plan.rebuild.is_here;
        let broken = aside(move || {
            let promise = Promise {
                config: &config,
                is_here,
                image_users: &image_users,
            };
            Ok(promise.broken(&up, &members))
        })
        .await?;
        if broken.is_empty() {
            return Ok(());
        }
        let failure = Failure::new(
            Exit::UnitsFailed,
            format!(
                "the compose files would not make what was saved: {}",
                broken.join("; ")
            ),
        );
        Err(failure.into())
    }

    async fn is_wanted(&mut self, start: &Start) -> bool {
        match self.plan.rebuild.bring_up {
            BringUp::No => false,
            BringUp::Yes => true,
            BringUp::Ask => {
                let what = match start {
                    Start::Compose(up) => {
                        format!("start it (`{}`)", up.commands().join("`, then `"))
                    }
                    Start::Container { .. } => "start its container".to_owned(),
                };
                let question = format!("The data of `{}` is back. Now {what}?", self.plan.name());
                self.window.reporter.rest();
                // No answer is a no: nothing is lost by that.
                let shutdown = &self.ground.cx.shutdown;
                let answer = prompt::confirm(&question, "--up", shutdown).await;
                self.window.reporter.resume();
                answer.is_ok()
            }
        }
    }

    async fn make_container(&mut self) -> Result<()> {
        let Some(container) = &self.plan.rebuild.container else {
            return Ok(());
        };
        files::write(&container.script, container.script_text.as_bytes())?;
        if container.replaces.is_some() && self.plan.rebuild.bring_up != BringUp::Yes {
            return Ok(());
        }
        if let Some(why) = &container.refusal {
            anyhow::bail!(
                "container `{}` was not made again: {why}; `{}` says how it was made",
                container.name,
                container.script.display()
            );
        }
        for image in self.plan.rebuild.wanted_images() {
            if !image.is_given_up {
                self.fetch(image).await?;
            }
        }
        if let Some(id) = &container.replaces {
            let name = aside_name(&container.name, self.plan.restore_id);
            self.ground.engine.rename_container(id, &name).await?;
        }
        let engine = &self.ground.engine;
        let made = engine
            .create_container(
                &container.name,
                container.request.platform.as_deref(),
                &container.request.body,
            )
            .await?;
        for warning in made.warnings {
            self.window.warnings.push(format!(
                "Docker says of container `{}`: {}",
                container.name,
                printable(&warning)
            ));
        }
        for (network, endpoint) in &container.request.more {
            if let Err(error) = engine.join_network(network, &made.id, endpoint).await {
                // A later restore would take it for whole.
                engine.remove_container(&made.id).await?;
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) async fn docker(&self, args: &[String]) -> Result<()> {
        self.window.docker(args, std::iter::empty()).await
    }

    /// Those of the unit that are here now.
    async fn containers(&self) -> Result<Vec<Container>> {
        let host = discovery::discover(&self.ground.engine, &self.ground.rules).await?;
        let name = self.plan.name();
        let unit = host.units.into_iter().find(|unit| unit.name == *name);
        Ok(unit.map(|unit| unit.containers).unwrap_or_default())
    }

    /// Waits for those that ran when they were saved, and tells which are missing.
    async fn see_it_settle(&mut self) -> Result<()> {
        let containers = self.containers().await?;
        let mut entries = Vec::new();
        for member in self
            .plan
            .rebuild
            .members
            .iter()
            .filter(|member| member.was_running)
        {
            let name = printable(&member.name);
            match containers.iter().find(|container| member.is(container)) {
                Some(container) => entries.push(Entry {
                    // It was made just now: no health of it is from before.
                    has_healthcheck: container.has_healthcheck,
                    ..Entry::new(container, 0, 0)
                }),
                None if member.is_one_off => self.window.warnings.push(format!(
                    "container `{name}` ran when it was saved and is not made again: it is one of `docker compose run`"
                )),
                None => self.window.errors.push(format!(
                    "container `{name}` ran when it was saved, and is not here now"
                )),
            }
        }
        let patience = self.ground.config.backup.start_timeout;
        let unhealthy = quiesce::start::settle(&self.ground.engine, &entries, patience).await;
        self.window.errors.extend(unhealthy);
        Ok(())
    }
}

impl Window<'_> {
    /// Runs `docker`, with `variables` in its environment.
    pub async fn docker<'v>(
        &self,
        args: &[String],
        variables: impl Iterator<Item = (&'v str, &'v str)>,
    ) -> Result<()> {
        cli::run(
            self.engine.socket(),
            args,
            variables,
            self.config.docker.compose_timeout,
            &self.cx.shutdown,
            |line| self.reporter.say(line),
        )
        .await
    }
}

/// What Docker refused, as a sentence; an engine that is gone is an error.
fn unless_lost(result: Result<()>) -> Result<Option<String>> {
    match result {
        Ok(()) => Ok(None),
        Err(error)
            if matches!(
                exit_of(&error),
                Exit::Docker | Exit::Interrupted | Exit::Terminated
            ) =>
        {
            Err(error)
        }
        Err(error) => Ok(Some(format!("{error:#}"))),
    }
}
