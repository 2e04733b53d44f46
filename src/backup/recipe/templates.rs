//! The texts of a compose file that hang on variables, each beside what the containers show that it became.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::environment::Environment;
use super::interpolate::interpolate;
use super::redact::is_telling;
use crate::discovery::place::clean;
use crate::drivers::docker::json::Json as _;

/// What Docker says of one container of each service.
pub type Shown<'a> = BTreeMap<String, &'a Value>;

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub text: String,
    /// `None` when it cannot be told.
    pub became: Option<String>,
    /// It is the value of something that has a telling name.
    pub is_secret: bool,
}

/// By where they stand: what an override says again replaces what was there.
pub type Templates = BTreeMap<String, Template>;

/// Files that [`references`](super::references) finds, and what has no effect on containers that are there.
const ELSEWHERE: &[&str] = &[
    "build",
    "env_file",
    "label_file",
    "extends",
    "profiles",
    "develop",
    "secrets",
    "configs",
    "credential_spec",
    "security_opt",
    "depends_on",
];

/// Adds the texts with a `$` of `document`, whose relative paths are relative to `base`, for services that `shown` has.
pub fn collect(
    document: &Value,
    base: &Path,
    known: &Environment,
    shown: &Shown<'_>,
    into: &mut Templates,
) {
    for (name, service) in document.at("services").as_object().into_iter().flatten() {
        if let Some(container) = shown.get(name) {
            let collector = Collector {
                base,
                known,
                container,
            };
            collector.service(name, service, into);
        }
    }
    for kind in ["volumes", "networks"] {
        walk(document.at(kind), kind, &mut |place, text| {
            into.insert(
                place,
                Template {
                    text,
                    became: None,
                    is_secret: false,
                },
            );
        });
    }
}

/// Calls `each` with every text with a `$` below `value`, and where it stands.
pub fn walk(value: &Value, place: &str, each: &mut impl FnMut(String, String)) {
    match value {
        Value::String(text) if text.contains('$') => each(place.to_owned(), text.clone()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{place}/{index}"), each);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                walk(field, &format!("{place}/{key}"), each);
            }
        }
        _ => {}
    }
}

struct Collector<'a> {
    base: &'a Path,
    known: &'a Environment,
    container: &'a Value,
}

impl Collector<'_> {
    fn service(&self, name: &str, service: &Value, into: &mut Templates) {
        let config = self.container.at("Config");
        for (key, value) in service.as_object().into_iter().flatten() {
            let place = format!("services/{name}/{key}");
            let one = |became: &Value| became.as_str().map(str::to_owned);
            match (key.as_str(), value) {
                (key, _) if ELSEWHERE.contains(&key) => {}
                ("user", Value::String(text)) => self.user(&place, text, config, into),
                ("image", Value::String(text)) => add(into, place, text, one(config.at("Image"))),
                ("hostname", Value::String(text)) => {
                    add(into, place, text, one(config.at("Hostname")))
                }
                ("working_dir", Value::String(text)) => {
                    add(into, place, text, one(config.at("WorkingDir")))
                }
                ("container_name", Value::String(text)) => {
                    let name = one(self.container.at("Name"));
                    add(
                        into,
                        place,
                        text,
                        name.map(|name| name.trim_start_matches('/').to_owned()),
                    );
                }
                ("environment", _) => self.environment(&place, value, into),
                ("labels", _) => {
                    for (label, text) in pairs(value) {
                        let became = one(config.at("Labels").at(&label));
                        add(
                            into,
                            format!("{place}/{label}"),
                            &text.unwrap_or_default(),
                            became,
                        );
                    }
                }
                ("volumes", Value::Array(mounts)) => {
                    for mount in mounts {
                        self.mount(&place, mount, into);
                    }
                }
                ("ports", Value::Array(ports)) => {
                    for port in ports {
                        self.port(&place, port, into);
                    }
                }
                ("command", Value::Array(words)) => {
                    let became = config
                        .at("Cmd")
                        .as_array()
                        .map(Vec::as_slice)
                        .unwrap_or_default();
                    for (index, word) in words.iter().enumerate() {
                        let became = (became.len() == words.len())
                            .then(|| became.get(index))
                            .flatten();
                        let place = format!("{place}/{index}");
                        add(
                            into,
                            place,
                            word.as_str().unwrap_or_default(),
                            became.and_then(one),
                        );
                    }
                }
                ("command", Value::String(text)) => self.command(place, text, config, into),
                _ => walk(value, &place, &mut |place, text| {
                    add(into, place, &text, None)
                }),
            }
        }
    }

    /// `user` or `user:group`, each told alone.
    fn user(&self, place: &str, text: &str, config: &Value, into: &mut Templates) {
        let became = config.at("User").as_str().unwrap_or_default();
        let (texts, values) = (split(text), split(became));
        if texts.len() != values.len() {
            return add(into, place.to_owned(), text, Some(became.to_owned()));
        }
        for (index, (text, value)) in texts.iter().zip(&values).enumerate() {
            add(
                into,
                format!("{place}/{index}"),
                text,
                Some((*value).to_owned()),
            );
        }
    }

    fn environment(&self, place: &str, value: &Value, into: &mut Templates) {
        let variables = self.container.at("Config").at("Env");
        let variable = |name: &str| {
            let mut all = variables
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            all.find_map(|variable| variable.split_once('=').filter(|(key, _)| *key == name))
                .map(|(_, value)| value.to_owned())
        };
        for (name, text) in pairs(value) {
            let became = variable(&name);
            // A name alone hands the variable on, if there is one.
            let (text, became) = match text {
                Some(text) => (text, became),
                None => (format!("${{{name}}}"), Some(became.unwrap_or_default())),
            };
            if text.contains('$') {
                let is_secret = is_telling(&name);
                into.insert(
                    format!("{place}/{name}"),
                    Template {
                        text,
                        became,
                        is_secret,
                    },
                );
            }
        }
    }

    /// The source of a mount, found by its destination.
    fn mount(&self, place: &str, mount: &Value, into: &mut Templates) {
        let (source, destination) = match mount.as_str().map(split) {
            Some(parts) => match parts.as_slice() {
                [source, destination, ..] => (*source, *destination),
                _ => return,
            },
            None => match (mount.at("source").as_str(), mount.at("target").as_str()) {
                (Some(source), Some(target)) => (source, target),
                _ => return,
            },
        };
        let destination = interpolate(destination, self.known);
        let cleaned = clean(Path::new(&destination));
        let mounts = self.container.at("Mounts").as_array().into_iter().flatten();
        let shown = mounts
            .filter(|shown| {
                shown
                    .at("Destination")
                    .as_str()
                    .is_some_and(|path| Path::new(path) == cleaned)
            })
            .find_map(|shown| match shown.at("Type").as_str() {
                Some("bind") => shown.at("Source").as_str(),
                _ => self.volume(shown.at("Name").as_str()?),
            });
        let text = self.absolute(source);
        add(
            into,
            format!("{place}/{destination}"),
            &text,
            shown.map(str::to_owned),
        );
    }

    /// As the compose file calls it: without the name of the project.
    fn volume<'v>(&self, name: &'v str) -> Option<&'v str> {
        let project = self.known.get("COMPOSE_PROJECT_NAME")?;
        name.strip_prefix(project.as_str())?.strip_prefix('_')
    }

    /// A path of the host as a text that begins with what Docker shows.
    fn absolute(&self, source: &str) -> String {
        let trimmed = match source.trim_end_matches('/') {
            "" => source,
            trimmed => trimmed,
        };
        if let Some(below) = trimmed.strip_prefix('~') {
            return format!("${{HOME}}{below}");
        }
        if !trimmed.starts_with('.') {
            return trimmed.to_owned();
        }
        let mut folder = self.base;
        let mut below = trimmed;
        loop {
            below = if let Some(rest) = below.strip_prefix("../") {
                folder = folder.parent().unwrap_or(folder);
                rest
            } else if let Some(rest) = below.strip_prefix("./") {
                rest
            } else {
                break;
            };
        }
        let folder = folder.display().to_string().replace('$', "$$");
        format!("{}/{below}", folder.trim_end_matches('/'))
    }

    /// The port of the host in `[address:]host:container[/protocol]`.
    fn port(&self, place: &str, port: &Value, into: &mut Templates) {
        let (host, container, protocol) = match port.as_str().map(split) {
            Some(parts) => match parts.as_slice() {
                [.., host, container] => {
                    let container = interpolate(container, self.known);
                    let (container, protocol) = match container.split_once('/') {
                        Some((container, protocol)) => (container.to_owned(), protocol.to_owned()),
                        None => (container, "tcp".to_owned()),
                    };
                    ((*host).to_owned(), container, protocol)
                }
                _ => return,
            },
            None => {
                let text = |key| match port.at(key) {
                    Value::String(text) => interpolate(text, self.known),
                    Value::Number(number) => number.to_string(),
                    _ => String::new(),
                };
                let host = port.at("published").as_str().unwrap_or_default().to_owned();
                let protocol = text("protocol");
                let protocol = if protocol.is_empty() {
                    "tcp".to_owned()
                } else {
                    protocol
                };
                (host, text("target"), protocol)
            }
        };
        let key = format!("{container}/{protocol}");
        let bindings = self.container.at("HostConfig").at("PortBindings").at(&key);
        // Of several, each shown once for IPv4 and IPv6, the one that is the same everywhere.
        let mut shown: Vec<&str> = bindings
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|binding| binding.at("HostPort").as_str())
            .collect();
        shown.sort_unstable();
        shown.dedup();
        let became = match shown.as_slice() {
            [one] => Some((*one).to_owned()),
            _ => None,
        };
        add(into, format!("{place}/{key}"), &host, became);
    }

    /// A whole command: only whether it is what it would be without more variables.
    fn command(&self, place: String, text: &str, config: &Value, into: &mut Templates) {
        let words = config
            .at("Cmd")
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let plain = interpolate(text, self.known);
        let is_same = shell_words::split(&plain).is_ok_and(|split| split == words);
        // Compose splits the text after the values are in it: what splits into the same words is as good.
        let became = if is_same {
            plain
        } else {
            shell_words::join(words)
        };
        add(into, place, text, Some(became));
    }
}

fn add(into: &mut Templates, place: String, text: &str, became: Option<String>) {
    let template = Template {
        text: text.to_owned(),
        became,
        is_secret: false,
    };
    if template.text.contains('$') {
        into.insert(place, template);
    } else {
        // What an override says without variables.
        into.remove(&place);
    }
}

/// A list of `NAME=value` or a mapping; without a value `None`.
fn pairs(value: &Value) -> Vec<(String, Option<String>)> {
    match value {
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .map(|item| match item.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (item.to_owned(), None),
            })
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Null => None,
                    Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                };
                (name.clone(), value)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// At colons, but not at those inside of `${…}`.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}
