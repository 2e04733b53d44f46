//! What is missing here, what is another one, and what is in the way: asked before anything is touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::conflicts::{self, Conflict, Others, is_of_unit};
use super::differences::{Difference, differences};
use super::images::ImagePlan;
use super::ports::{Published, listeners};
use super::{ContainerPlan, Rebuild, Start, program_here};
use super::{agree, container, images, members, networks, promise, run_line};
use crate::base::blocking::{aside, looked_up};
use crate::base::text::printable;
use crate::base::yaml;
use crate::discovery::Discovery;
use crate::drivers::docker::ComposeUp;
use crate::drivers::docker::json::Json as _;
use crate::drivers::docker::{cli, neighbours};
use crate::error::{Exit, Failure, Result};
use crate::model::point::PointRecord;
use crate::model::point::REDACTED;
use crate::model::{BackupId, SourceKey, UnitKind, UnitName};
use crate::points::recipe::NewVolume;
use crate::points::recipe::{Recipe, SavedVolume};
use crate::points::saved::{Saved, container_name, fields, text, texts};
use crate::restore::plan::ground::Ground;
use crate::restore::plan::names::is_powerful;
use crate::restore::plan::places::Places;
use crate::restore::request::{BringUp, OtherImages};
use crate::restore::request::{Request, What};

impl Ground<'_> {
    /// What has to be made besides the data; an error when it is to be started and cannot be for certain.
    pub(in crate::restore) async fn rebuild(
        &self,
        host: &Discovery,
        recipe: &Recipe,
        saved: &Saved,
        request: &Request,
        places: &Places,
        id: BackupId,
    ) -> Result<Rebuild> {
        let record = &recipe.record;
        let name = places.project().unwrap_or(&record.unit);
        let is_here = host
            .units
            .iter()
            .any(|unit| unit.name == *name && !unit.containers.is_empty());
        if !request.is_whole_unit() {
            let mut plan = Rebuild {
                is_here,
                is_elsewhere: places.folder().is_some(),
                ..Rebuild::default()
            };
            if is_here && !plan.is_elsewhere && matches!(request.what, What::Sources(_)) {
                self.warn_of_other_images(host, recipe, &mut plan).await?;
            }
            return Ok(plan);
        }
        let (listed, networks_here) =
            tokio::try_join!(self.engine.raw_containers(), self.engine.raw_networks())?;
        let mut plan = Rebuild {
            is_here,
            members: members::members(saved, places),
            bring_up: request.bring_up,
            other_images: request.other_images,
            warnings: saved.problems.clone(),
            ..Rebuild::default()
        };
        plan.networks = networks::plan(
            saved,
            &networks_here,
            &mut plan.warnings,
            &mut plan.conflicts,
        );
        self.find_missing_cards(&mut plan).await;
        let built = built(recipe, &plan.members);
        plan.images = images::plan(&self.engine, saved, &built).await?;
        if is_here && places.folder().is_none() {
            plan.differences = self.differences(host, record, &plan.members).await?;
        }
        if plan.holds() {
            let program = program_here(host, name, &plan.images);
            plan.before = Some(program);
        }
        plan.warnings
            .extend(plan.images.iter().filter_map(ImagePlan::warning));
        plan.warnings
            .extend(images::of_another_platform(saved, self.engine.platform()));
        plan.volumes = self
            .volumes(
                recipe,
                saved,
                places,
                &mut plan.warnings,
                &mut plan.obstacles,
            )
            .await?;
        let mut others = others(record.kind, name, saved, listed).await?;
        plan.needs = needs(saved, &others);
        others.coming.clone_from(&self.beside.containers);
        plan.conflicts.extend(conflicts::find(saved, &others));
        match record.kind {
            UnitKind::Stack => {
                if record.identity != self.repository.kopia.identity() {
                    plan.warnings.extend(powers_of_stack(name, saved));
                }
                let up = ComposeUp::of(record).map(|up| up.relocated(places));
                let secrets = saved.secrets.get("project:variables");
                let up = up.transpose()?.map(|up| {
                    let is_built = plan.images.iter().any(ImagePlan::is_to_be_built);
                    up.with_members(&plan.members)
                        .with_secrets(secrets)
                        .with_build(is_built)
                });
                plan.start = up.map(Box::new).map(Start::Compose);
                self.find_obstacles(recipe, &mut plan).await?;
            }
            UnitKind::Standalone => self.plan_container(record, saved, &others, id, &mut plan),
        }
        self.settle_start(record, &mut plan)?;
        if plan.bring_up == BringUp::Yes && matches!(plan.start, Some(Start::Compose(_))) {
            cli::check_compose().await?;
        }
        Ok(plan)
    }

    /// How the containers of the unit that are here differ from those of the point.
    pub(in crate::restore) async fn differences(
        &self,
        host: &Discovery,
        record: &PointRecord,
        members: &[super::Member],
    ) -> Result<Vec<Difference>> {
        let sources = record.sources.iter().map(|source| source.key.clone());
        let sources: Vec<SourceKey> = sources.collect();
        if sources.is_empty() {
            // Any program may run on no data.
            return Ok(Vec::new());
        }
        differences(&self.engine, host, &record.unit, members, &sources).await
    }

    /// A part is restored under whatever is here: that it is of another version is said.
    async fn warn_of_other_images(
        &self,
        host: &Discovery,
        recipe: &Recipe,
        plan: &mut Rebuild,
    ) -> Result<()> {
        let images = recipe.images(&self.repository.kopia).await?;
        let members = members::of_images(images);
        let found = differences(&self.engine, host, &recipe.record.unit, &members, &[]).await?;
        plan.warnings.extend(found.iter().map(|differs| {
            format!(
                "{}; it is started on it all the same, since only a part of the unit is restored",
                differs.sentence()
            )
        }));
        Ok(())
    }

    /// Volumes that containers have mounted and that no data was saved of: those of other drivers, excluded ones.
    async fn volumes(
        &self,
        recipe: &Recipe,
        saved: &Saved,
        places: &Places,
        warnings: &mut Vec<String>,
        obstacles: &mut Vec<String>,
    ) -> Result<Vec<NewVolume>> {
        let has_data = |name: &str| {
            let keys = recipe.record.sources.iter().map(|source| &source.key);
            keys.into_iter()
                .any(|key| matches!(key, SourceKey::Volume { name: other } if other == name))
        };
        let mounts = saved.containers.iter().flat_map(|container| {
            let mounts = container.at("Mounts").as_array().into_iter().flatten();
            mounts.filter(|mount| text(mount.at("Type")) == "volume")
        });
        let names: BTreeSet<&str> = mounts.map(|mount| text(mount.at("Name"))).collect();
        let mut volumes = Vec::new();
        for name in names
            .into_iter()
            .filter(|name| !name.is_empty() && !has_data(name))
        {
            if places.project().is_none() && self.engine.volume(name).await?.is_some() {
                continue;
            }
            let Some(mut volume) = recipe.volume(&self.repository.kopia, name).await? else {
                continue;
            };
            if places.project().is_some() {
                // Compose makes those of a copy by itself, under the copy's name.
                obstacles.extend(is_shared(name, &volume));
                continue;
            }
            let secret = saved.secrets.get(&format!("volume:{name}"));
            for (key, value) in volume.options.iter_mut().flatten() {
                if let Some(whole) = secret.and_then(|secret| secret.get(key)) {
                    value.clone_from(whole);
                }
            }
            let has_lost = volume
                .options
                .iter()
                .flatten()
                .any(|(_, value)| value.contains(REDACTED));
            if has_lost {
                warnings.push(format!(
                    "volume `{}` is not made: the password in its options was not saved; make it with `docker volume create`",
                    printable(name)
                ));
                continue;
            }
            volumes.push(NewVolume {
                name: name.to_owned(),
                saved: volume,
            });
        }
        Ok(volumes)
    }

    fn plan_container(
        &self,
        record: &PointRecord,
        saved: &Saved,
        others: &Others,
        id: BackupId,
        plan: &mut Rebuild,
    ) {
        let name = record.unit.as_str();
        let start = Start::Container {
            name: name.to_owned(),
        };
        if plan.is_here && !plan.holds() {
            plan.start = Some(start);
            return;
        }
        let Some(inspect) = saved.container(name) else {
            return;
        };
        if record.identity != self.repository.kopia.identity() {
            let powers = powers(inspect);
            if !powers.is_empty() {
                plan.warnings.push(format!(
                    "container `{name}` comes from another host and has power over this one once it is started: {}",
                    powers.join(", ")
                ));
            }
        }
        let secrets = saved.secrets.get(name);
        let hidden: BTreeSet<&str> = secrets
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let old_host = record.identity.host.as_str();
        let inspect = &container::without_given(inspect, &[&saved.engine.name, old_host]);
        let (request, refusal) =
            match container::request(inspect, secrets, self.engine.api_number()) {
                Ok(mut request) => {
                    request.platform = saved.asked_platform(name).map(str::to_owned);
                    (request, refusal(inspect, plan, others))
                }
                Err(lost) => {
                    let lost: Vec<String> = lost.iter().map(|name| printable(name)).collect();
                    let why = format!("the point has no value for {}", lost.join(", "));
                    (container::Request::default(), Some(why))
                }
            };
        let script = self.script_path(name, id);
        let did_run = plan.members.iter().all(|member| member.was_running);
        match &refusal {
            None if did_run => plan.start = Some(start),
            None => plan.warnings.push(format!(
                "container `{name}` did not run when it was saved, so it is not started"
            )),
            Some(why) => plan.conflicts.push(Conflict::certain(
                format!("container `{name}` cannot be created again: {why}"),
                format!(
                    "make it by hand, with what will be in `{}`",
                    script.display()
                ),
            )),
        }
        plan.container = Some(ContainerPlan {
            name: name.to_owned(),
            script_text: run_line::script(inspect, &hidden),
            script,
            refusal,
            replaces: plan
                .before
                .as_ref()
                .and_then(|before| Some(before.container.as_ref()?.id.clone())),
            request,
        });
    }

    /// Beside the reports of runs: it survives the restore, belongs to root, and no unit has its data there.
    fn script_path(&self, name: &str, id: BackupId) -> PathBuf {
        let folder = self.config.backup.base_path.join("metadata");
        folder.join(format!("docker-run-{name}-{id}.sh"))
    }

    /// Whether it can be started, and whether that may be asked.
    fn settle_start(&self, record: &PointRecord, plan: &mut Rebuild) -> Result<()> {
        let is_up = plan.is_here && !plan.holds();
        let cannot = plan.start.is_none() || !plan.obstacles.is_empty();
        if plan.bring_up == BringUp::Ask && (is_up || cannot) {
            plan.bring_up = BringUp::No;
        }
        plan.warnings.extend(plan.obstacles.iter().cloned());
        plan.warnings.extend(plan.differences.iter().map(|differs| {
            format!(
                "{}: it is not started on the data of the point",
                differs.sentence()
            )
        }));
        if plan.bring_up != BringUp::Yes {
            plan.warnings
                .extend(plan.conflicts.iter().map(ToString::to_string));
            return Ok(());
        }
        let (certain, rest): (Vec<&Conflict>, Vec<&Conflict>) = plan
            .conflicts
            .iter()
            .partition(|conflict| conflict.is_certain);
        if !certain.is_empty() {
            let mut failure = Failure::new(
                Exit::UnitsFailed,
                format!(
                    "unit `{}` could not be started here, so nothing is restored",
                    record.unit
                ),
            );
            for conflict in certain {
                failure = failure
                    .note(conflict.what.clone())
                    .hint(conflict.remedy.clone());
            }
            return Err(failure
                .hint("omit `--up` to restore the data only")
                .note("nothing was changed")
                .into());
        }
        let rest: Vec<String> = rest.into_iter().map(ToString::to_string).collect();
        plan.warnings.extend(rest);
        Ok(())
    }
}

/// Why Docker would not make the container, besides lost secrets.
fn refusal(inspect: &Value, plan: &Rebuild, others: &Others) -> Option<String> {
    let lost = plan
        .images
        .iter()
        .find(|image| image.is_wanted() && image.fetch.is_empty());
    if let (Some(image), OtherImages::No) = (lost, plan.other_images) {
        return Some(agree::lost(image));
    }
    if let Some(obstacle) = plan.obstacles.first() {
        return Some(obstacle.clone());
    }
    if others.has_name(container_name(inspect)) {
        return Some("another container has its name".to_owned());
    }
    let needed = neighbours(inspect);
    let gone = needed.iter().find(|needed| !others.knows(needed))?;
    Some(format!(
        "it needs container `{}`, which is not here",
        printable(gone)
    ))
}

/// The containers whose images compose builds, by the saved compose files.
fn built(recipe: &Recipe, members: &[super::Member]) -> BTreeSet<String> {
    let project = recipe.record.project.iter();
    let groups = project.clone().flat_map(|project| &project.groups);
    let files = project
        .flat_map(|project| &project.compose_files)
        .chain(groups.flat_map(|group| &group.compose_files));
    let services: BTreeSet<String> = files
        .filter_map(|path| std::fs::read(recipe.file(path).ok()?).ok())
        .filter_map(|text| yaml::parse(&String::from_utf8_lossy(&text)).ok())
        .flat_map(|document| promise::built_services(&document))
        .collect();
    members
        .iter()
        .filter(|member| {
            let service = member.service.as_ref();
            service.is_some_and(|(service, _)| services.contains(service))
        })
        .map(|member| member.name.clone())
        .collect()
}

/// Who and what is here besides the unit.
async fn others(
    kind: UnitKind,
    unit: &UnitName,
    saved: &Saved,
    listed: Vec<Value>,
) -> Result<Others> {
    let is_stack = kind == UnitKind::Stack;
    let unit = unit.as_str();
    // What a container publishes, ours or theirs, is no process of the host.
    let published: Vec<Published> = listed.iter().flat_map(Published::of_listed).collect();
    let wanted: Vec<Published> = saved
        .containers
        .iter()
        .flat_map(Published::of_saved)
        .filter(|wanted| !published.iter().any(|port| port.collides(wanted)))
        .collect();
    let listeners = if wanted.is_empty() {
        Vec::new()
    } else {
        looked_up(aside(move || Ok(listeners(&wanted)))).await?
    };
    Ok(Others {
        containers: listed
            .into_iter()
            .filter(|container| !is_of_unit(container, unit, is_stack))
            .collect(),
        listeners,
        coming: BTreeSet::new(),
    })
}

/// What of others its containers need and is not here.
fn needs(saved: &Saved, others: &Others) -> Vec<String> {
    let own: BTreeSet<&str> = saved.containers.iter().map(container_name).collect();
    let all = saved.containers.iter().flat_map(neighbours);
    let needs: BTreeSet<String> = all
        .filter(|name| !own.contains(name.as_str()) && !others.knows(name))
        .collect();
    needs.into_iter().collect()
}

/// Said of a volume without saved data that the compose files of a copy lead to where the original's is.
fn is_shared(name: &str, saved: &SavedVolume) -> Option<String> {
    let options = saved.options.as_ref()?;
    let device = options.get("device").filter(|device| !device.is_empty())?;
    let is_memory = options.get("type").is_some_and(|kind| kind == "tmpfs");
    (!is_memory).then(|| {
        format!(
            "volume `{}` is a mount of `{}`, which the copy would share with the original: change its `driver_opts` in the compose files of the copy",
            printable(name),
            printable(device)
        )
    })
}

/// Said of a stack that another host made.
fn powers_of_stack(unit: &UnitName, saved: &Saved) -> Option<String> {
    let mighty = saved.containers.iter().filter_map(|container| {
        let powers = powers(container);
        let name = printable(container_name(container));
        (!powers.is_empty()).then(|| format!("`{name}`: {}", powers.join(", ")))
    });
    let mighty: Vec<String> = mighty.collect();
    (!mighty.is_empty()).then(|| {
        format!(
            "containers of `{unit}` come from another host and have power over this one once they are started: {}",
            mighty.join("; ")
        )
    })
}

/// What of it gives the container control over the host.
fn powers(inspect: &Value) -> Vec<String> {
    let host = inspect.at("HostConfig");
    let mut powers = Vec::new();
    if host.at("Privileged") == true {
        powers.push("it is privileged".to_owned());
    }
    for (mode, power) in [
        ("PidMode", "it sees the processes of the host"),
        ("NetworkMode", "it is in the network of the host"),
        ("IpcMode", "it shares memory with processes of the host"),
        ("UTSMode", "it can rename the host"),
    ] {
        if text(host.at(mode)) == "host" {
            powers.push(power.to_owned());
        }
    }
    powers.extend(texts(host.at("CapAdd")).map(|name| format!("capability {}", printable(name))));
    let mounts = inspect.at("Mounts").as_array().into_iter().flatten();
    let sources = mounts
        .filter(|mount| text(mount.at("Type")) == "bind")
        .map(|mount| text(mount.at("Source")));
    for source in sources.filter(|source| is_powerful(source.as_ref())) {
        powers.push(format!("it has `{}` mounted", printable(source)));
    }
    let devices = fields(host).filter(|(key, _)| *key == "Devices");
    if devices
        .into_iter()
        .any(|(_, list)| list.as_array().is_some_and(|list| !list.is_empty()))
    {
        powers.push("it has devices of the host".to_owned());
    }
    powers
}
