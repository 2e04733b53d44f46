//! Which hooks a run and a unit have, by configuration and labels.

use super::hook::{Action, Ready, word};
use crate::config::{Config, Hook, HookFailure, HookWhen};
use crate::discovery::labels;
use crate::model::unit::ContainerState;
use crate::model::{Container, Unit, UnitName};

/// What a label may take.
const TIMEOUT_OF_LABEL: u64 = 60;

/// Those of a unit, each list in the order in which they are done.
#[derive(Clone, Debug, Default)]
pub struct UnitHooks {
    pub before_stop: Vec<Ready>,
    pub after_start: Vec<Ready>,
    pub after_unit: Vec<Ready>,
    pub failed: Vec<Ready>,
}

impl UnitHooks {
    /// A line each.
    pub fn display(&self) -> Vec<String> {
        let all = [
            &self.before_stop,
            &self.after_start,
            &self.failed,
            &self.after_unit,
        ];
        let all = all.into_iter().flatten();
        all.map(|hook| format!("{}: {}", word(&hook.when), hook.display()))
            .collect()
    }
}

pub fn of_unit(config: &Config, unit: &Unit) -> UnitHooks {
    let of = |when| {
        let configured = of_name_at(config, when, Some(&unit.name));
        let mut all: Vec<Ready> = configured.flat_map(|hook| ready(hook, unit)).collect();
        all.extend(by_labels(when, unit));
        in_order(when, all)
    };
    UnitHooks {
        before_stop: of(HookWhen::BeforeStop),
        after_start: of(HookWhen::AfterStart),
        after_unit: of(HookWhen::AfterUnit),
        failed: of(HookWhen::Failed),
    }
}

/// Those of a unit of which nothing but the name is known: what is done on the host.
pub fn of_name(config: &Config, unit: &UnitName) -> UnitHooks {
    UnitHooks {
        after_unit: on_host(config, HookWhen::AfterUnit, Some(unit)),
        failed: on_host(config, HookWhen::Failed, Some(unit)),
        ..UnitHooks::default()
    }
}

/// Those of the run; with `failed` those that have no unit, for one that came to none.
pub fn of_run(config: &Config, when: HookWhen) -> Vec<Ready> {
    on_host(config, when, None)
}

fn on_host(config: &Config, when: HookWhen, unit: Option<&UnitName>) -> Vec<Ready> {
    let all = of_name_at(config, when, unit).filter_map(|hook| {
        let command = hook.run.clone()?;
        Some(made(hook, unit, Action::Run { command }))
    });
    in_order(when, all.collect())
}

/// Those that are for `unit`, or for all.
fn of_name_at<'a>(
    config: &'a Config,
    when: HookWhen,
    unit: Option<&'a UnitName>,
) -> impl Iterator<Item = &'a Hook> {
    let hooks = config.hooks.iter().filter(move |hook| hook.when == when);
    hooks.filter(move |hook| hook.unit.is_none() || hook.unit.as_ref() == unit)
}

/// What comes after takes back what came before, the last first.
fn in_order(when: HookWhen, mut all: Vec<Ready>) -> Vec<Ready> {
    let is_before = matches!(when, HookWhen::BeforeRun | HookWhen::BeforeStop);
    if !is_before {
        all.reverse();
    }
    all
}

fn made(hook: &Hook, unit: Option<&UnitName>, action: Action) -> Ready {
    Ready {
        when: hook.when,
        unit: unit.cloned(),
        action,
        timeout_seconds: hook.timeout().as_secs(),
        on_failure: hook.on_failure.unwrap_or(HookFailure::Fail),
    }
}

fn ready(hook: &Hook, unit: &Unit) -> Option<Ready> {
    let action = if let Some(command) = &hook.run {
        Action::Run {
            command: command.clone(),
        }
    } else {
        let exec = hook.exec.as_ref()?;
        let what = shell_words::join(&exec.command);
        let of_service =
            |container: &&Container| exec.service.is_none() || exec.service == container.service;
        let mut found: Vec<&Container> = unit.containers.iter().filter(of_service).collect();
        found.sort_by_key(|container| (!is_running(container), container.number, &container.name));
        let service = exec.service.as_deref();
        match (found.first(), service) {
            (None, _) => Action::Missing {
                what,
                why: format!(
                    "unit `{}` has no service `{}`",
                    unit.name,
                    service.unwrap_or_default()
                ),
            },
            (Some(_), None) if found.len() > 1 => Action::Missing {
                what,
                why: format!(
                    "unit `{}` has several containers: say which, with `exec.service`",
                    unit.name
                ),
            },
            (Some(container), _) => exec_in(container, exec.command.clone(), exec.user.clone()),
        }
    };
    Some(made(hook, Some(&unit.name), action))
}

fn exec_in(container: &Container, command: Vec<String>, user: Option<String>) -> Action {
    Action::Exec {
        id: container.id.clone(),
        name: container.name.clone(),
        command,
        user,
    }
}

fn is_running(container: &Container) -> bool {
    container.state == ContainerState::Running
}

/// A container's own, in the order of names. One that does not run is not asked.
fn by_labels(when: HookWhen, unit: &Unit) -> Vec<Ready> {
    let label = match when {
        HookWhen::BeforeStop => labels::EXEC_BEFORE_STOP,
        HookWhen::AfterStart => labels::EXEC_AFTER_START,
        _ => return Vec::new(),
    };
    let mut containers: Vec<&Container> = unit.containers.iter().collect();
    containers.sort_by_key(|container| &container.name);
    let containers = containers.into_iter().filter(|it| is_running(it));
    let hooks = containers.filter_map(|container| {
        let text = container.labels.get(label)?;
        let command = serde_json::from_str::<Vec<String>>(text).ok();
        let command = command.filter(|words| !words.is_empty());
        let in_shell = || vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()];
        Some(Ready {
            when,
            unit: Some(unit.name.clone()),
            action: exec_in(container, command.unwrap_or_else(in_shell), None),
            timeout_seconds: TIMEOUT_OF_LABEL,
            on_failure: HookFailure::Fail,
        })
    });
    hooks.collect()
}
