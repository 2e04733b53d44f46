//! What the operator wants to be done around a backup.

use std::time::Duration;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::config::value::{HookFailure, HookWhen, optional_duration};
use crate::model::UnitName;

/// As long as nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(300);
const DAY: u64 = 86_400;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
pub struct Hook {
    /// `before_run`: before anything is looked at. `before_stop`: as the last thing before the containers of a unit are stopped. `after_start`: when they
    /// run again and are healthy. `after_unit`: when the unit is saved, or not. `failed`: then too, when it was not. `after_run`: at the end.
    ///
    /// Example: `"before_stop"`. Since: 0.1.
    pub when: HookWhen,
    /// For this unit alone. `null`: for every unit.
    ///
    /// Example: `"nextcloud"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<UnitName>,
    /// A program of this host and its arguments, as a list; no shell. It belongs to root, and nobody else can change it.
    ///
    /// Example: `["/usr/local/bin/quiet", "on"]`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<Vec<String>>,
    /// A command in a container of the unit, in place of `run`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exec: Option<HookExec>,
    /// How long it may take; then it is ended, and has failed. The default is `"5m"`.
    ///
    /// Example: `"60s"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        serialize_with = "optional_duration::serialize",
        deserialize_with = "optional_duration::deserialize::<{ DAY }, _>"
    )]
    pub timeout: Option<Duration>,
    /// `fail`, the default: after a `before_run` or `before_stop` that failed nothing is stopped; after another one the run ends with exit code 3. `warn`: it
    /// is a warning.
    ///
    /// Example: `"warn"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub on_failure: Option<HookFailure>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
pub struct HookExec {
    /// The service of the stack whose container it is. `null`: the unit is a single container.
    ///
    /// Example: `"app"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    /// The program in the container and its arguments, as a list.
    ///
    /// Example: `["php", "occ", "maintenance:mode", "--on"]`. Since: 0.1.
    #[serde(default)]
    pub command: Vec<String>,
    /// User in the container. `null`: the container's own.
    ///
    /// Example: `"www-data"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
}

impl Hook {
    /// A hook with every key at some value; it could not be used.
    pub fn filled() -> Self {
        Self {
            when: HookWhen::BeforeStop,
            unit: UnitName::parse("unit").ok(),
            run: Some(vec![String::new()]),
            exec: Some(HookExec {
                service: Some(String::new()),
                command: vec![String::new()],
                user: Some(String::new()),
            }),
            timeout: Some(TIMEOUT),
            on_failure: Some(HookFailure::Fail),
        }
    }

    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// The key that keeps it from being used, and why.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let is_of_run = matches!(self.when, HookWhen::BeforeRun | HookWhen::AfterRun);
        let problem = match (&self.run, &self.exec) {
            (None, None) => ("run", "is missing: say what is done, with `run` or `exec`"),
            (Some(_), Some(_)) => ("run", "cannot stand beside `exec`: make two hooks of it"),
            (Some(run), None) if !run.first().is_some_and(|program| program.starts_with('/')) => {
                ("run", "must begin with the absolute path of a program")
            }
            (None, Some(exec)) if exec.command.first().is_none_or(String::is_empty) => {
                ("exec", "has no command")
            }
            (None, Some(_)) if is_of_run => ("exec", "needs a unit, and a run has none"),
            _ if is_of_run && self.unit.is_some() => ("unit", "cannot be said of a run"),
            _ => return None,
        };
        Some((problem.0, problem.1.to_owned()))
    }
}
