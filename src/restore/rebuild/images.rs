//! Whether the images that the unit ran are here: the same, others under the same names, or none.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::text::printable;
use crate::drivers::docker::{Engine, ImageRecord};
use crate::error::Result;
use crate::points::saved::{Saved, SavedImage};

#[derive(Clone, Debug, Serialize)]
pub struct ImagePlan {
    /// As the containers name it.
    pub image: String,
    pub containers: Vec<String>,
    pub state: ImageState,
    /// What brings the saved one here; `None` when it is here.
    pub remedy: Option<String>,
    /// The same for us: what `docker` is to be told, one after the other.
    #[serde(skip)]
    pub fetch: Vec<Vec<String>>,
    /// Compose builds it here when it is missing.
    pub is_built: bool,
    /// As [`Self::image`], to be handed to Docker.
    #[serde(skip)]
    pub name: String,
    /// The id of what has the name here.
    #[serde(skip)]
    pub here: Option<String>,
    /// It was agreed that another one of that name will do.
    #[serde(skip)]
    pub is_given_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    Same,
    /// Another one has the name.
    Different,
    Missing,
}

/// One for each image. `built` are the containers whose images compose builds.
pub async fn plan(
    engine: &Engine,
    saved: &Saved,
    built: &BTreeSet<String>,
) -> Result<Vec<ImagePlan>> {
    let mut by_image: BTreeMap<(&str, &str), (&SavedImage, Vec<String>)> = BTreeMap::new();
    for (container, image) in &saved.images {
        by_image
            .entry((&image.image, &image.id))
            .or_insert_with(|| (image, Vec::new()))
            .1
            .push(container.clone());
    }
    let mut plans = Vec::new();
    for (image, containers) in by_image.into_values() {
        if image.image.is_empty() || image.image.starts_with('-') {
            continue;
        }
        let here = engine.image(&image.image).await?;
        let elsewhere = match &here {
            Some(here) if is_same(image, here) => None,
            _ if image.id.is_empty() => None,
            _ => engine.image(&image.id).await?,
        };
        let platform = image.asked_platform(&saved.engine);
        let is_built = containers.iter().any(|container| built.contains(container));
        let images = (here.as_ref(), elsewhere.as_ref());
        plans.push(judge(image, platform, images, containers, is_built));
    }
    Ok(plans)
}

/// Images that were the native ones of a host of another kind: this one takes its own builds of them.
pub fn of_another_platform(saved: &Saved, engine: &str) -> Vec<String> {
    let mut told: Vec<String> = saved
        .images
        .values()
        .filter(|image| {
            !image.platform.is_empty()
                && image.platform == saved.engine.platform
                && image.platform != engine
        })
        .map(|image| {
            format!(
                "image `{}` was built for {}, this host is {engine}: its own build of it is taken, if there is one",
                printable(&image.image),
                printable(&image.platform)
            )
        })
        .collect();
    told.sort_unstable();
    told.dedup();
    told
}

pub fn is_same(saved: &SavedImage, here: &ImageRecord) -> bool {
    // Another kind of image store has other ids for the same image.
    here.id == saved.id
        || here
            .digests
            .iter()
            .any(|digest| saved.digests.contains(digest))
}

/// `elsewhere` is the saved image under another name, `platform` what was asked for besides its name.
fn judge(
    saved: &SavedImage,
    platform: Option<&str>,
    (here, elsewhere): (Option<&ImageRecord>, Option<&ImageRecord>),
    containers: Vec<String>,
    is_built: bool,
) -> ImagePlan {
    let state = match here {
        Some(here) if is_same(saved, here) => ImageState::Same,
        Some(_) => ImageState::Different,
        None => ImageState::Missing,
    };
    let is_plain = |digest: &&String| !digest.starts_with('-');
    let from = match elsewhere {
        Some(same) => Some(&same.id),
        None => saved.digests.iter().find(is_plain),
    };
    let mut fetch = Vec::new();
    if let (false, Some(from)) = (state == ImageState::Same, from) {
        if elsewhere.is_none() {
            let mut pull = vec!["pull".to_owned()];
            if let Some(platform) = platform {
                pull.extend(["--platform", platform].map(str::to_owned));
            }
            pull.push(from.clone());
            fetch.push(pull);
        }
        // A name that is a digest or an id cannot be given.
        if !saved.image.contains("sha256:") {
            fetch.push(["tag", from, &saved.image].map(str::to_owned).into());
        }
    }
    let remedy = match state {
        ImageState::Same => None,
        _ if fetch.is_empty() && is_built => {
            Some("compose builds it here when there is none".to_owned())
        }
        _ if fetch.is_empty() && state == ImageState::Missing => Some(printable(&format!(
            "no registry is known to have it: build it here, or `docker pull {}`, which may be another one",
            saved.image
        ))),
        _ if fetch.is_empty() => {
            Some("no registry is known to have the saved one: build it here".to_owned())
        }
        _ => {
            let commands = fetch
                .iter()
                .map(|args: &Vec<String>| format!("`docker {}`", shell_words::join(args)));
            Some(printable(&commands.collect::<Vec<_>>().join(", then ")))
        }
    };
    ImagePlan {
        image: printable(&saved.image),
        containers,
        state,
        remedy,
        fetch,
        is_built,
        name: saved.image.clone(),
        here: here.map(|here| here.id.clone()),
        is_given_up: false,
    }
}

impl ImagePlan {
    /// The saved one is not here under its name; one that compose builds is only wanted when it is available.
    pub fn is_wanted(&self) -> bool {
        self.state != ImageState::Same && (!self.is_built || !self.fetch.is_empty())
    }

    /// What has its name was built later, so that compose would take that for it.
    pub fn is_to_be_built(&self) -> bool {
        self.state == ImageState::Different && self.is_built && self.fetch.is_empty()
    }

    /// The name in a registry under which exactly the saved one is found.
    pub fn digest(&self) -> Option<&str> {
        self.fetch.iter().find_map(|args| match args.as_slice() {
            [word, name] if word == "pull" => Some(name.as_str()),
            _ => None,
        })
    }

    /// What an operator types to have the saved one under its name.
    pub fn commands(&self) -> Vec<String> {
        let command = |args: &Vec<String>| {
            let words = std::iter::once("docker").chain(args.iter().map(String::as_str));
            shell_words::join(words)
        };
        self.fetch.iter().map(command).collect()
    }

    /// What has to be said loudly: the unit may run on another image than its data was written by.
    pub fn warning(&self) -> Option<String> {
        let what = match self.state {
            ImageState::Different => "is another one here than the saved one",
            ImageState::Missing if self.fetch.is_empty() => "is not here",
            _ => return None,
        };
        Some(format!(
            "image `{}` {what}: {}",
            self.image,
            self.remedy.as_deref()?
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::saved::SavedEngine;

    fn record(id: &str, digests: &[&str]) -> ImageRecord {
        ImageRecord {
            id: id.to_owned(),
            tags: Vec::new(),
            digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
            platform: String::new(),
        }
    }

    #[test]
    fn same_different_and_missing_are_told_apart_each_with_its_remedy() {
        let saved = SavedImage {
            image: "pg:16".to_owned(),
            id: "sha256:1".to_owned(),
            digests: vec!["pg@sha256:d".to_owned()],
            platform: "linux/arm64".to_owned(),
        };
        let built = SavedImage {
            digests: Vec::new(),
            ..saved.clone()
        };
        let judge =
            |saved: &SavedImage, here: Option<&ImageRecord>, elsewhere: Option<&ImageRecord>| {
                let plan = judge(saved, None, (here, elsewhere), Vec::new(), false);
                (
                    plan.state,
                    plan.warning().is_some(),
                    plan.remedy.unwrap_or_default(),
                )
            };
        let (same, moved) = (record("sha256:1", &[]), record("sha256:2", &[]));
        assert_eq!(judge(&saved, Some(&same), None).0, ImageState::Same);
        let other_store = record("sha256:9", &["pg@sha256:d"]);
        assert_eq!(judge(&saved, Some(&other_store), None).0, ImageState::Same);
        let (state, is_warned, remedy) = judge(&saved, Some(&moved), None);
        assert!(
            state == ImageState::Different
                && is_warned
                && remedy.contains("docker pull pg@sha256:d")
        );
        let (state, is_warned, remedy) = judge(&saved, None, None);
        assert!(
            state == ImageState::Missing
                && !is_warned
                && remedy.contains("docker pull pg@sha256:d")
        );
        let (_, is_warned, remedy) = judge(&built, None, None);
        assert!(is_warned && remedy.contains("build it here"));
        let (_, _, remedy) = judge(&built, Some(&moved), Some(&same));
        assert_eq!(remedy, "`docker tag sha256:1 pg:16`");
    }

    #[test]
    fn a_platform_that_was_asked_for_is_asked_for_again() {
        let saved = SavedImage {
            image: "pg:16".to_owned(),
            digests: vec!["pg@sha256:d".to_owned()],
            platform: "linux/arm64".to_owned(),
            ..SavedImage::default()
        };
        let pull = |engine: &str| {
            let engine = SavedEngine {
                platform: engine.to_owned(),
                ..SavedEngine::default()
            };
            judge(
                &saved,
                saved.asked_platform(&engine),
                (None, None),
                Vec::new(),
                false,
            )
            .fetch
            .remove(0)
        };
        assert_eq!(
            pull("linux/amd64"),
            ["pull", "--platform", "linux/arm64", "pg@sha256:d"]
        );
        let there = |platform: &str| Saved {
            engine: SavedEngine {
                platform: platform.to_owned(),
                ..SavedEngine::default()
            },
            images: [("db".to_owned(), saved.clone())].into(),
            ..Saved::default()
        };
        let told = |from: &str, here: &str| of_another_platform(&there(from), here).len();
        assert_eq!(told("linux/arm64", "linux/amd64"), 1);
        assert_eq!(told("linux/arm64", "linux/arm64"), 0);
        assert_eq!(told("linux/amd64", "linux/amd64"), 0);
        // It was the host's own, or nothing is known: what is right here is for this engine to say.
        assert_eq!(pull("linux/arm64"), ["pull", "pg@sha256:d"]);
        assert_eq!(pull(""), ["pull", "pg@sha256:d"]);
    }
}
