//! `docker compose … up -d` of a point, as far as that takes more than its record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::members::Member;
use crate::drivers::docker::ComposeUp;
use crate::error::Result;
use crate::restore::plan::places::Places;

impl ComposeUp {
    /// Of a point whose record does not tell what ran: by its containers.
    pub fn with_members(mut self, members: &[Member]) -> Self {
        if !self.services.is_empty() {
            return self;
        }
        let mut ran: BTreeMap<String, usize> = BTreeMap::new();
        for member in members
            .iter()
            .filter(|member| member.was_running && !member.is_one_off)
        {
            if let Some((service, _)) = &member.service {
                *ran.entry(service.clone()).or_default() += 1;
            }
        }
        self.services = ran.keys().cloned().collect();
        self.scale = ran.into_iter().filter(|(_, count)| *count != 1).collect();
        self
    }

    /// As it is in the unit's new home.
    pub fn relocated(self, places: &Places) -> Result<Self> {
        let all = |paths: Vec<PathBuf>| -> Result<Vec<PathBuf>> {
            paths.iter().map(|path| places.file(path)).collect()
        };
        let mut variables = self.variables;
        for value in variables.values_mut() {
            // `PWD` and what is made from it.
            if places.is_move() && places.inside(Path::new(value)).is_some() {
                *value = places.file(Path::new(value))?.display().to_string();
            }
        }
        let also = self.also.into_iter().map(|up| up.relocated(places));
        Ok(Self {
            project: places
                .project()
                .map_or(self.project, |project| project.to_string()),
            directory: self
                .directory
                .map(|directory| places.file(&directory))
                .transpose()?,
            files: all(self.files)?,
            env_files: all(self.env_files)?,
            variables,
            also: also.collect::<Result<_>>()?,
            ..self
        })
    }
}
