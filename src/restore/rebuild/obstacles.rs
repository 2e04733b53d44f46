//! What keeps a unit from being started here and can be told before anything is changed. Its data is restored all the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::networks::NetworkAction;
use super::{Rebuild, Start, cards};
use crate::base::text::printable;
use crate::error::Result;
use crate::model::point::ProjectRecord;
use crate::points::recipe::Recipe;
use crate::restore::plan::ground::Ground;
use crate::restore::request::BringUp;

impl Ground<'_> {
    /// Networks on cards that this host does not have are not made.
    pub(super) async fn find_missing_cards(&self, plan: &mut Rebuild) {
        let Some(cards) = cards::cards(&self.engine).await else {
            return;
        };
        let new = plan
            .networks
            .iter_mut()
            .filter(|network| network.action == NetworkAction::Create);
        for network in new {
            let Some(card) = cards::missing(&network.request, &cards) else {
                continue;
            };
            network.action = NetworkAction::Skip;
            plan.obstacles.push(format!(
                "network `{}` needs the network card `{}`, which is not here: change `parent` in the compose files to one of this host's, or make the network with `docker network create`",
                printable(&network.name),
                printable(&card)
            ));
        }
    }

    /// Of a stack.
    pub(super) async fn find_obstacles(&self, recipe: &Recipe, plan: &mut Rebuild) -> Result<()> {
        let record = &recipe.record;
        let Some(project) = &record.project else {
            return Ok(());
        };
        if plan.start.is_none() && has_run(project, plan) {
            plan.obstacles.push(format!(
                "the point has no compose files of `{}`: they were not on the host when it was saved",
                record.unit
            ));
        }
        if let Some(volume) = self.missing_home(project).await? {
            plan.obstacles.push(format!(
                "the compose files of `{}` are in volume `{volume}`, which is not here: restore the unit that it belongs to first (its stack manager), then this one again",
                record.unit
            ));
        }
        if plan.start.is_none() && !has_run(project, plan) {
            plan.warnings.push(format!(
                "nothing of `{}` ran when it was saved, so nothing is started",
                record.unit
            ));
        }
        if let Some(Start::Compose(up)) = &plan.start {
            let hidden = up.hidden();
            if !hidden.is_empty() {
                plan.warnings.push(format!(
                    "compose also needs these variables, whose values are not shown: {}",
                    hidden.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// The volume that the project's files are in, when it does not exist: a stack manager keeps the files of its stacks in its own.
    async fn missing_home(&self, project: &ProjectRecord) -> Result<Option<String>> {
        let volumes = self.docker_root.join("volumes");
        let groups = project.groups.iter();
        let paths: Vec<&PathBuf> = project
            .compose_files
            .iter()
            .chain(&project.working_dir)
            .chain(groups.flat_map(|group| &group.compose_files))
            .collect();
        for path in paths {
            let Some(name) = volume_of(path, &volumes) else {
                continue;
            };
            if self.engine.volume(&name).await?.is_none() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

impl Rebuild {
    /// `kept_out` are files of the recipe that are not here and were not put back for lack of leave: without those that compose reads
    /// first, nothing can be started.
    pub(in crate::restore) fn needs_leave(&mut self, kept_out: &[PathBuf]) {
        let Some(Start::Compose(up)) = &self.start else {
            return;
        };
        let reads = |path: &&PathBuf| {
            up.each()
                .any(|up| up.files.contains(path) || up.env_files.contains(path))
        };
        let needed: Vec<&PathBuf> = kept_out.iter().filter(reads).collect();
        if needed.is_empty() {
            return;
        }
        let names = needed.iter().map(|path| format!("`{}`", path.display()));
        let names: Vec<String> = names.collect();
        let folders: BTreeSet<&Path> = needed.iter().filter_map(|path| path.parent()).collect();
        let options = folders.iter().map(|folder| {
            let folder = folder.to_string_lossy();
            format!("--allow-path {}", shell_words::quote(&folder))
        });
        let options: Vec<String> = options.collect();
        let obstacle = format!(
            "compose reads {}, which cannot be put back without leave: restore it again with `{}`",
            names.join(", "),
            options.join(" ")
        );
        if self.bring_up == BringUp::Ask {
            self.bring_up = BringUp::No;
        }
        self.warnings.push(obstacle.clone());
        self.obstacles.push(obstacle);
    }
}

fn volume_of(path: &Path, volumes: &Path) -> Option<String> {
    let mut below = path.strip_prefix(volumes).ok()?.components();
    let name = below.next()?.as_os_str().to_str()?;
    (below.next()?.as_os_str() == "_data").then(|| name.to_owned())
}

fn has_run(project: &ProjectRecord, plan: &Rebuild) -> bool {
    if project.services.is_empty() {
        return plan.members.iter().any(|member| member.was_running);
    }
    project.services.iter().any(|service| service.running > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::docker::ComposeUp;

    #[test]
    fn a_stack_is_not_started_without_the_files_that_were_not_put_back() {
        let rebuild = || Rebuild {
            start: Some(Start::Compose(Box::new(ComposeUp {
                files: vec!["/srv/conf/prod.yml".into()],
                env_files: vec!["/srv/conf/prod.env".into()],
                ..ComposeUp::default()
            }))),
            bring_up: BringUp::Ask,
            ..Rebuild::default()
        };
        let mut plan = rebuild();
        plan.needs_leave(&["/srv/conf/prod.env".into(), "/srv/conf/prod.yml".into()]);
        let told = &plan.obstacles[0];
        assert!(
            told.contains("`/srv/conf/prod.env`, `/srv/conf/prod.yml`"),
            "{told}"
        );
        assert!(told.ends_with("with `--allow-path /srv/conf`"), "{told}");
        assert_eq!(plan.bring_up, BringUp::No);
        let mut plan = rebuild();
        plan.needs_leave(&["/srv/other".into()]);
        assert!(plan.obstacles.is_empty() && plan.bring_up == BringUp::Ask);
    }

    #[test]
    fn files_in_a_volume_are_known_by_their_path() {
        let volumes = Path::new("/var/lib/docker/volumes");
        for (path, expected) in [
            (
                "/var/lib/docker/volumes/portainer/_data/compose/3/docker-compose.yml",
                Some("portainer"),
            ),
            ("/var/lib/docker/volumes/portainer/x", None),
            ("/var/lib/docker/volumes", None),
            ("/opt/app/compose.yaml", None),
        ] {
            assert_eq!(volume_of(Path::new(path), volumes).as_deref(), expected);
        }
    }
}
