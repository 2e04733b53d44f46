//! Secrets and configs: files of the drill, wherever the original has them from.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::given::{Given, MadeFile, Placed, escaped, plain};
use crate::drivers::docker::json::Json as _;
use crate::model::drill::Dropped;
use crate::points::saved::text;

/// `secrets` or `configs`, as far as services of the copy use them.
pub struct Files<'g, 'a> {
    given: &'g Given<'a>,
    kind: &'static str,
    pub section: Map<String, Value>,
    pub made: Vec<MadeFile>,
}

impl<'g, 'a> Files<'g, 'a> {
    pub fn new(given: &'g Given<'a>, kind: &'static str) -> Self {
        Self {
            given,
            kind,
            section: Map::new(),
            made: Vec::new(),
        }
    }

    /// What a service has of them.
    pub fn of_service(
        &mut self,
        name: &str,
        service: &Value,
        config: &Value,
        dropped: &mut Vec<Dropped>,
    ) -> Vec<Value> {
        let mut uses = Vec::new();
        for asked in service.at(self.kind).as_array().into_iter().flatten() {
            let source = match asked {
                Value::String(source) => source.as_str(),
                asked => text(asked.at("source")),
            };
            match self.file(source, config.at(self.kind).at(source)) {
                Ok(()) => uses.push(match text(asked.at("target")) {
                    "" => json!({ "source": source }),
                    target => json!({"source": source, "target": target}),
                }),
                Err(why) => dropped.push(Dropped {
                    service: Some(name.to_owned()),
                    what: format!("{} `{source}`: {why}", self.kind),
                }),
            }
        }
        uses
    }

    fn file(&mut self, source: &str, definition: &Value) -> Result<(), String> {
        if self.section.contains_key(source) {
            return Ok(());
        }
        let path = if let Some(content) = definition.at("content").as_str() {
            self.make(plain(content))
        } else if let Some(variable) = definition.at("environment").as_str() {
            let value = self.given.variable(variable);
            let value = value.ok_or_else(|| format!("the value of `{variable}` is not known"))?;
            self.make(value.to_owned())
        } else if let Some(file) = definition.at("file").as_str() {
            let file = plain(file);
            let original = super::super::saved_files::original(self.given.folder, Path::new(&file));
            match (self.given.place)(&original, true) {
                Placed::At { path, root: None } => path.to_string_lossy().into_owned(),
                Placed::At { .. } => return Err("it lies in other data".to_owned()),
                Placed::Dropped(why) => return Err(why),
            }
        } else {
            return Err("the compose files do not have it".to_owned());
        };
        self.section
            .insert(source.to_owned(), json!({ "file": escaped(&path) }));
        Ok(())
    }

    fn make(&mut self, content: String) -> String {
        let name = format!("{}-{}", self.kind, self.made.len());
        let path = self.given.folder.join("made").join(name);
        let text = path.to_string_lossy().into_owned();
        self.made.push(MadeFile { path, content });
        text
    }
}
