//! Variables that no file gives: compose had them from a shell or a unit that this process knows nothing of. Their values
//! are taken from what the containers became, where that can be told.

use std::collections::BTreeSet;

use super::environment::Environment;
use super::interpolate::{interpolate, unknown, unset};
use super::solve::solve;
use super::templates::{Template, Templates};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inferred {
    /// With those that are proven to be empty.
    pub values: Environment,
    /// The names of those that only root may read.
    pub secret: BTreeSet<String>,
    /// Needed by a container that is there, and not told by any.
    pub unknown: BTreeSet<String>,
}

/// What `templates` tell beyond `known`. `guesses` are what is taken where nothing tells.
pub fn infer(templates: &Templates, known: &Environment, guesses: &Environment) -> Inferred {
    let mut all = known.clone();
    let mut inferred = Inferred::default();
    let solved = |template: &Template, all: &Environment| {
        let became = template.became.as_deref()?;
        if interpolate(&template.text, all) == became {
            return None;
        }
        match unset(&template.text, all).as_slice() {
            [name] => Some((name.clone(), solve(&template.text, name, all, became)?)),
            _ => None,
        }
    };
    // What one text tells may leave a single unknown in another.
    while let Some((name, value, is_secret)) = templates.values().find_map(|template| {
        let (name, value) = solved(template, &all)?;
        Some((name, value, template.is_secret))
    }) {
        all.insert(name.clone(), value.clone());
        if is_secret || super::redact::is_telling(&name) {
            inferred.secret.insert(name.clone());
        }
        inferred.values.insert(name, value);
    }
    for (name, value) in guesses {
        if !all.contains_key(name) {
            all.insert(name.clone(), value.clone());
        }
    }
    let is_explained = |template: &Template, all: &Environment| {
        template.became.as_deref() == Some(interpolate(&template.text, all).as_str())
    };
    // What is right without a value has none.
    for template in templates.values() {
        if is_explained(template, &all) {
            for name in unknown(&template.text, &all) {
                all.insert(name.clone(), String::new());
                inferred.values.insert(name, String::new());
            }
        }
    }
    for template in templates.values() {
        if !is_explained(template, &all) {
            inferred.unknown.extend(unknown(&template.text, &all));
        }
    }
    inferred
}
