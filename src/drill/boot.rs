//! From a compose file to services that are healthy: each is started when what it needs is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::isolate::made::Own;
use super::isolate::{Booting, Isolated};
use super::mask::Mask;
use super::record::Record;
use crate::base::{fault, files, heartbeat};
use crate::config::Config;
use crate::context::Context;
use crate::discovery::labels;
use crate::drivers::docker::json::Json as _;
use crate::drivers::docker::{ContainerState, Engine, HealthStatus, cli};
use crate::error::{Exit, Failure, Result};
use crate::model::drill::{DrilledService, ServiceState};
use crate::model::unit::Condition;
use crate::points::saved::text;

/// How long a service without a health check has to run to be taken for well.
const STEADY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(300);
/// Before one that ended is started again, doubled each time; as Docker does.
const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// Of the log of a service that failed.
const LOG_LINES: usize = 20;

pub struct Boot<'a> {
    pub cx: &'a Context,
    pub config: &'a Config,
    pub engine: &'a Engine,
    pub record: &'a Record,
    pub mask: &'a Mask,
}

/// What came of it.
pub struct Booted {
    pub services: Vec<DrilledService>,
    pub errors: Vec<String>,
    /// When the last service was started for the first time.
    pub all_started: Option<Instant>,
}

struct Service {
    id: String,
    how: Booting,
    /// The first time.
    began: Option<Instant>,
    /// The last time.
    started: Instant,
    restarts: u32,
    state: ServiceState,
    ready_after: Option<f64>,
    /// What others wait for.
    is_healthy: bool,
    why: String,
}

impl Boot<'_> {
    /// Makes containers and networks, and looks whether they are what was meant. Returns ids of containers by service.
    pub async fn create(&self, isolated: &Isolated) -> Result<BTreeMap<String, String>> {
        let file = self.record.folder.join("compose.json");
        files::write(&file, &serde_json::to_vec_pretty(&isolated.compose)?)?;
        let words = [
            "compose",
            "--project-name",
            &self.record.project,
            "--project-directory",
            &self.record.folder.to_string_lossy(),
            "-f",
            &file.to_string_lossy(),
            "create",
        ]
        .map(str::to_owned);
        let nothing = std::iter::empty();
        let limit = self.config.docker.compose_timeout;
        let run = cli::run(
            &self.config.docker.socket,
            &words,
            nothing,
            limit,
            &self.cx.shutdown,
            |_| {},
        );
        run.await
            .map_err(|error| match self.cx.shutdown.is_asked() {
                true => error,
                false => {
                    let why = self.mask.masked(&format!("{error:#}"));
                    Failure::new(
                        Exit::UnitsFailed,
                        format!("the copy could not be made: {why}"),
                    )
                    .into()
                }
            })?;
        fault::reached("drill-created").await;
        self.look_at_made(isolated).await
    }

    async fn look_at_made(&self, isolated: &Isolated) -> Result<BTreeMap<String, String>> {
        let found = self.engine.labelled(&self.record.label()).await?;
        let mut names = Vec::new();
        for network in &found.networks {
            let Some(inspect) = self.engine.raw_network(network).await? else {
                continue;
            };
            if inspect.at("Internal") != true {
                anyhow::bail!(
                    "network `{}` is not internal: nothing was started",
                    text(inspect.at("Name"))
                );
            }
            names.push(text(inspect.at("Name")).to_owned());
        }
        let own = Own {
            id: &self.record.id,
            folder: &self.record.folder,
            networks: &names,
            volumes: &found.volumes,
            containers: &found.containers,
        };
        let mut containers = BTreeMap::new();
        for id in &found.containers {
            let Some(inspect) = self.engine.raw_container(id).await? else {
                continue;
            };
            let ways = own.ways_out(&inspect);
            let service = text(inspect.at("Config").at("Labels").at(labels::SERVICE)).to_owned();
            if !ways.is_empty() {
                anyhow::bail!(
                    "service `{service}` of the copy is not isolated ({}): nothing was started",
                    ways.join(", ")
                );
            }
            containers.insert(service, id.clone());
        }
        if let Some(name) = isolated
            .booting
            .keys()
            .find(|name| !containers.contains_key(*name))
        {
            anyhow::bail!("compose made no container of service `{name}`");
        }
        Ok(containers)
    }

    /// Starts everything, and waits until it is well, one has failed for good, or `deadline` is over.
    pub async fn start(
        &self,
        isolated: &Isolated,
        containers: &BTreeMap<String, String>,
        deadline: Instant,
    ) -> Result<Booted> {
        let mut services: BTreeMap<&String, Service> = isolated
            .booting
            .iter()
            .filter_map(|(name, how)| Some((name, Service::new(containers.get(name)?, how))))
            .collect();
        let mut all_started = None;
        loop {
            heartbeat::beat();
            self.start_ready(&mut services).await?;
            if all_started.is_none() && services.values().all(|service| service.began.is_some()) {
                all_started = Some(Instant::now());
                fault::reached("drill-started").await;
            }
            for service in services
                .values_mut()
                .filter(|service| service.began.is_some())
            {
                service.look(self.engine).await?;
            }
            let is_over = services.values().all(Service::is_ready)
                || services
                    .values()
                    .any(|service| service.state == ServiceState::Failed)
                || Instant::now() >= deadline;
            if is_over {
                break;
            }
            sleep(PAUSE).await;
        }
        let mut booted = Booted {
            services: Vec::new(),
            errors: Vec::new(),
            all_started,
        };
        let has_failed = services
            .values()
            .any(|service| service.state == ServiceState::Failed);
        for (name, service) in services {
            // Where one has failed the others were not waited for.
            if service.state == ServiceState::Failed || (!service.is_ready() && !has_failed) {
                booted.errors.push(service.complaint(name));
            }
            let log = if service.is_ready() {
                Vec::new()
            } else {
                self.log_of(&service.id).await
            };
            booted.services.push(DrilledService {
                name: name.clone(),
                state: service.state,
                restarts: service.restarts,
                seconds: service.ready_after,
                log,
            });
        }
        Ok(booted)
    }

    async fn start_ready(&self, services: &mut BTreeMap<&String, Service>) -> Result<()> {
        let ready: Vec<String> = services
            .iter()
            .filter(|(_, service)| service.began.is_none())
            .filter(|(_, service)| {
                let mut needs = service.how.needs.iter();
                needs.all(|(on, condition)| {
                    services.get(on).is_none_or(|other| other.is_at(*condition))
                })
            })
            .map(|(name, _)| (*name).clone())
            .collect();
        for name in ready {
            let Some(service) = services.get_mut(&name) else {
                continue;
            };
            let now = Instant::now();
            service.began = Some(now);
            service.started = now;
            if let Err(error) = self.engine.start(&service.id).await {
                if crate::error::exit_of(&error) == Exit::Docker {
                    return Err(error);
                }
                service.state = ServiceState::Failed;
                service.why = self.mask.masked(&format!("{error:#}"));
            }
        }
        Ok(())
    }

    /// The last lines that a container wrote, masked.
    pub async fn log_of(&self, id: &str) -> Vec<String> {
        let lines = self
            .engine
            .last_words(id, LOG_LINES)
            .await
            .unwrap_or_default();
        lines.iter().map(|line| self.mask.masked(line)).collect()
    }
}

impl Service {
    fn new(id: &str, how: &Booting) -> Self {
        Self {
            id: id.to_owned(),
            how: how.clone(),
            began: None,
            started: Instant::now(),
            restarts: 0,
            state: ServiceState::NotReady,
            ready_after: None,
            is_healthy: false,
            why: String::new(),
        }
    }

    fn is_ready(&self) -> bool {
        !matches!(self.state, ServiceState::Failed | ServiceState::NotReady)
    }

    fn is_at(&self, condition: Condition) -> bool {
        match condition {
            Condition::ServiceStarted => self.began.is_some(),
            Condition::ServiceHealthy => self.is_healthy,
            Condition::ServiceCompletedSuccessfully => self.state == ServiceState::Done,
        }
    }

    async fn look(&mut self, engine: &Engine) -> Result<()> {
        if self.state == ServiceState::Failed {
            return Ok(());
        }
        let state = match engine.inspect(&self.id).await? {
            Some(container) => container.state.unwrap_or_default(),
            None => {
                self.fail("its container is gone".to_owned());
                return Ok(());
            }
        };
        let is_running = state.running.unwrap_or_default();
        self.is_healthy =
            is_running && health(&state).is_none_or(|health| health == HealthStatus::HEALTHY);
        let found = match (is_running, health(&state)) {
            (true, Some(HealthStatus::HEALTHY)) => ServiceState::Healthy,
            (true, Some(health)) => {
                self.why = format!("its health check says `{health}`");
                ServiceState::NotReady
            }
            (true, None) if self.how.is_job => ServiceState::NotReady,
            (true, None) if self.started.elapsed() >= steady() => ServiceState::Running,
            (true, None) => ServiceState::NotReady,
            (false, _) => return self.ended(engine, &state).await,
        };
        self.settle(found);
        Ok(())
    }

    async fn ended(&mut self, engine: &Engine, state: &ContainerState) -> Result<()> {
        let code = state.exit_code.unwrap_or_default();
        if self.how.is_job && code == 0 {
            self.settle(ServiceState::Done);
            return Ok(());
        }
        let why = format!("it ended with status {code}");
        if !self.how.is_restarted {
            self.fail(why);
            return Ok(());
        }
        self.why = format!("{why}, {} times", self.restarts + 1);
        self.settle(ServiceState::NotReady);
        let rest = FIRST_REST
            .saturating_mul(1 << self.restarts.min(10))
            .min(LONGEST_REST);
        if self.started.elapsed() >= rest {
            self.restarts += 1;
            self.started = Instant::now();
            // What keeps it from starting may be gone the next time.
            if let Err(error) = engine.start(&self.id).await {
                self.why = format!("{error:#}");
            }
        }
        Ok(())
    }

    fn settle(&mut self, state: ServiceState) {
        self.state = state;
        self.ready_after = match (self.is_ready(), self.ready_after, self.began) {
            (false, ..) => None,
            (true, Some(known), _) => Some(known),
            (true, None, began) => began.map(|began| began.elapsed().as_secs_f64()),
        };
    }

    fn fail(&mut self, why: String) {
        self.state = ServiceState::Failed;
        self.ready_after = None;
        self.why = why;
    }

    fn complaint(&self, name: &str) -> String {
        let why = if self.why.is_empty() {
            String::new()
        } else {
            format!(": {}", self.why)
        };
        match (self.state, self.began) {
            (ServiceState::Failed, _) => format!("service `{name}` failed{why}"),
            (_, None) => {
                format!("service `{name}` was not started: what it needs did not get ready")
            }
            _ => format!("service `{name}` did not get ready{why}"),
        }
    }
}

/// `None` for one that has no check.
fn health(state: &ContainerState) -> Option<HealthStatus> {
    let status = state.health.as_ref()?.status?;
    (!matches!(status, HealthStatus::NONE | HealthStatus::EMPTY)).then_some(status)
}

fn steady() -> Duration {
    fault::duration("steady").unwrap_or(STEADY)
}
