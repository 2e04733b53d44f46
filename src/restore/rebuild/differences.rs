//! Whether the containers that are here run the program that wrote the data of the point. After an upgrade they do not: a newer
//! version would migrate the restored data at once, or refuse it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::images::is_same;
use super::members::Member;
use crate::base::text::printable;
use crate::discovery::{Discovery, labels};
use crate::drivers::docker::{Engine, ImageRecord};
use crate::error::Result;
use crate::model::unit::MountKind;
use crate::model::{Container, SourceKey, UnitName};

/// A container that is here and that is another one than the saved one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub container: String,
    pub reason: Reason,
    /// In a sentence.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was made from another image.
    Image,
    /// Compose made it from another definition of its service.
    Definition,
    /// The point has no such container, and it has data of the point mounted.
    NotSaved,
}

/// How the containers of `unit` that are here differ from `members`, those of a point that holds `sources`.
pub async fn differences(
    engine: &Engine,
    host: &Discovery,
    unit: &UnitName,
    members: &[Member],
    sources: &[SourceKey],
) -> Result<Vec<Difference>> {
    let here = host.units.iter().find(|known| known.name == *unit);
    let here = here.map_or(&[][..], |unit| &unit.containers);
    let ids: BTreeSet<String> = here
        .iter()
        .map(|container| container.image_id.clone())
        .collect();
    let images = engine.image_records(&ids).await?;
    Ok(compare(members, here, &images, sources))
}

/// `images` are those of `here`. Nothing is known without members, so nothing differs.
fn compare(
    members: &[Member],
    here: &[Container],
    images: &[ImageRecord],
    sources: &[SourceKey],
) -> Vec<Difference> {
    if members.is_empty() {
        return Vec::new();
    }
    let judge = |container: &Container| {
        let image = images.iter().find(|image| image.id == container.image_id);
        let (reason, detail) = match members.iter().find(|member| member.is(container)) {
            Some(member) => changed(member, container, image)?,
            None if container.state.is_up() && has_data(container, sources) => (
                Reason::NotSaved,
                "it was not there when the point was made, and uses its data".to_owned(),
            ),
            None => return None,
        };
        Some(Difference {
            container: container.name.clone(),
            reason,
            detail,
        })
    };
    here.iter().filter_map(judge).collect()
}

fn changed(
    member: &Member,
    container: &Container,
    image: Option<&ImageRecord>,
) -> Option<(Reason, String)> {
    let saved = &member.image;
    let is_other_image = match image {
        _ if saved.id.is_empty() => !saved.image.is_empty() && saved.image != container.image,
        Some(image) => !is_same(saved, image),
        None => saved.id != container.image_id,
    };
    if is_other_image {
        let (then, now) = (printable(&saved.image), printable(&container.image));
        let detail = if then == now {
            format!("it runs another image that is called `{now}` too")
        } else {
            format!("it runs image `{now}`, the data is of `{then}`")
        };
        return Some((Reason::Image, detail));
    }
    let label = |name: &str| container.labels.get(name).map_or("", String::as_str);
    let hash = label(labels::CONFIG_HASH);
    // Each version of compose has its own way to make one, and a file that a restore adds to the others changes it.
    let is_comparable = !hash.is_empty()
        && !member.config_hash.is_empty()
        && label(labels::COMPOSE_VERSION) == member.compose_version
        && label(labels::CONFIG_FILES) == member.config_files;
    (is_comparable && hash != member.config_hash).then(|| {
        (
            Reason::Definition,
            "its service was defined otherwise when the point was made".to_owned(),
        )
    })
}

fn has_data(container: &Container, sources: &[SourceKey]) -> bool {
    let written = container.mounts.iter().filter(|mount| mount.read_write);
    written.into_iter().any(|mount| {
        sources.iter().any(|source| match source {
            SourceKey::Volume { name } => mount.kind == MountKind::Volume && mount.name == *name,
            SourceKey::Bind { path } => {
                mount.kind == MountKind::Bind
                    && (mount.source.starts_with(path) || path.starts_with(&mount.source))
            }
        })
    })
}

impl Difference {
    /// ``container `db`: it runs …``
    pub fn sentence(&self) -> String {
        format!("container `{}`: {}", self.container, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::testing::labelled;
    use crate::points::saved::SavedImage;

    fn saved(hash: &str, version: &str) -> Member {
        Member {
            name: "db".to_owned(),
            image: SavedImage {
                image: "pg:16".to_owned(),
                id: "sha256:1".to_owned(),
                digests: vec!["pg@sha256:d".to_owned()],
                platform: String::new(),
            },
            config_hash: hash.to_owned(),
            compose_version: version.to_owned(),
            ..Member::default()
        }
    }

    fn here(image_id: &str, hash: &str) -> Container {
        let mut container = labelled("db", &[]);
        container.image = "pg:17".to_owned();
        container.image_id = image_id.to_owned();
        let labels = [
            (labels::CONFIG_HASH, hash),
            (labels::COMPOSE_VERSION, "2.26.1"),
        ];
        container.labels = labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        container
    }

    fn reason(member: &Member, container: Container, digests: &[&str]) -> Option<Reason> {
        let image = ImageRecord {
            id: container.image_id.clone(),
            tags: Vec::new(),
            digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
            platform: String::new(),
        };
        let found = compare(std::slice::from_ref(member), &[container], &[image], &[]);
        found.first().map(|difference| difference.reason)
    }

    #[test]
    fn images_are_compared_by_what_they_are_and_definitions_by_one_version_of_compose() {
        let member = saved("a", "2.26.1");
        assert_eq!(reason(&member, here("sha256:1", "a"), &[]), None);
        // Another kind of image store.
        assert_eq!(
            reason(&member, here("sha256:9", "a"), &["pg@sha256:d"]),
            None
        );
        assert_eq!(
            reason(&member, here("sha256:2", "a"), &[]),
            Some(Reason::Image)
        );
        assert_eq!(
            reason(&member, here("sha256:1", "b"), &[]),
            Some(Reason::Definition)
        );
        assert_eq!(
            reason(&saved("a", "2.40.3"), here("sha256:1", "b"), &[]),
            None
        );
        assert_eq!(
            reason(&saved("", "2.26.1"), here("sha256:1", "b"), &[]),
            None
        );
    }

    #[test]
    fn a_container_that_was_not_saved_counts_when_it_writes_to_the_data() {
        use crate::model::unit::{ContainerState, Mount};
        let mut new = labelled("migrator", &[]);
        new.state = ContainerState::Running;
        new.mounts = vec![Mount {
            kind: MountKind::Volume,
            name: "x_data".to_owned(),
            source: "/v/x_data".into(),
            destination: "/data".to_owned(),
            read_write: true,
        }];
        let source = |name: &str| SourceKey::Volume {
            name: name.to_owned(),
        };
        let members = [saved("", "")];
        let found = compare(
            &members,
            std::slice::from_ref(&new),
            &[],
            &[source("x_data")],
        );
        assert_eq!(found[0].reason, Reason::NotSaved);
        assert!(
            compare(
                &members,
                std::slice::from_ref(&new),
                &[],
                &[source("other")]
            )
            .is_empty()
        );
        assert!(compare(&[], &[new], &[], &[source("x_data")]).is_empty());
    }
}
