//! What the compose files would make, compared with what the containers were: asked of compose itself, before anything is started.
//! A variable that is empty here puts a database on an empty directory, and says nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::members::{Member, What};
use crate::base::text::printable;
use crate::discovery::place::clean;
use crate::drivers::docker::ComposeUp;
use crate::drivers::docker::json::Json as _;
use crate::points::saved::{fields, text};

/// What compose understands of the files, for the containers that it would start.
pub struct Promise<'a> {
    /// As `docker compose config` prints it.
    pub config: &'a Value,
    /// The unit has containers here: compose takes volumes without a name over from them.
    pub is_here: bool,
    /// What images run as by themselves, by their names, where that is known.
    pub image_users: &'a BTreeMap<String, String>,
}

impl Promise<'_> {
    /// Each difference in a sentence; `members` are the containers that were saved.
    pub fn broken(&self, up: &ComposeUp, members: &[Member]) -> Vec<String> {
        let mut broken = Vec::new();
        for service in &up.services {
            let Some(definition) = self.config.at("services").get(service) else {
                broken.push(format!(
                    "service `{}` is not in the compose files",
                    printable(service)
                ));
                continue;
            };
            let ran = members.iter().filter(|member| {
                member.was_running
                    && !member.is_one_off
                    && matches!(&member.service, Some((name, _)) if name == service)
            });
            for member in ran {
                for what in self.member(definition, member) {
                    let what = format!("service `{}`: {what}", printable(service));
                    // Replicas are all the same.
                    if !broken.contains(&what) {
                        broken.push(what);
                    }
                }
            }
        }
        broken
    }

    fn member(&self, definition: &Value, member: &Member) -> Vec<String> {
        let mut broken = Vec::new();
        let image = text(definition.at("image"));
        let is_built = !definition.at("build").is_null();
        if !image.is_empty() && !is_built && !is_same_name(image, &member.image.image) {
            broken.push(format!(
                "its image was `{}`, the compose files say `{}`",
                printable(&member.image.image),
                printable(image)
            ));
        }
        let user = text(definition.at("user"));
        let by_image = self.image_users.get(&member.image.image);
        let is_lost = user.is_empty()
            && !member.user.is_empty()
            && by_image.is_some_and(|by_image| *by_image != member.user);
        if is_lost || (!user.is_empty() && user != member.user) {
            broken.push(format!(
                "it ran as user `{}`, the compose files say {}",
                printable(&member.user),
                if user.is_empty() {
                    "none".to_owned()
                } else {
                    format!("`{}`", printable(user))
                }
            ));
        }
        broken.extend(self.mounts(definition, member));
        broken
    }

    fn mounts(&self, definition: &Value, member: &Member) -> Vec<String> {
        let promised = self.promised(definition);
        let is_inherited = !definition.at("volumes_from").is_null();
        let mut broken = Vec::new();
        for mount in &member.mounts {
            let (at, was) = (mount.at.display(), describe(&mount.what));
            match (promised.get(&mount.at), &mount.what) {
                (Some(Some(now)), was_what) if is_same(now, was_what) => {}
                (Some(Some(now)), _) => broken.push(format!(
                    "`{at}` was {was}, the compose files say {}",
                    describe(now)
                )),
                // Compose takes it over from the container that is here.
                (None | Some(None), What::Volume { is_anonymous, .. })
                    if *is_anonymous && self.is_here => {}
                (None | Some(None), _) if is_inherited => {}
                (None | Some(None), _) => broken.push(format!(
                    "`{at}` was {was}, the compose files mount nothing of it"
                )),
            }
        }
        for (at, what) in &promised {
            let is_known = member.mounts.iter().any(|mount| mount.at == *at);
            if let (false, Some(what)) = (is_known, what) {
                broken.push(format!(
                    "the compose files mount {} at `{}`, where nothing was",
                    describe(what),
                    at.display()
                ));
            }
        }
        broken
    }

    /// By the place in the container; `None` for a volume without a name.
    fn promised(&self, definition: &Value) -> BTreeMap<PathBuf, Option<What>> {
        let mut promised = BTreeMap::new();
        let volumes = definition.at("volumes").as_array().into_iter().flatten();
        for volume in volumes {
            let source = text(volume.at("source"));
            let what = match text(volume.at("type")) {
                "bind" => Some(What::Bind(clean(Path::new(source)))),
                "volume" if source.is_empty() => None,
                "volume" => Some(What::Volume {
                    name: self.volume_name(source),
                    is_anonymous: false,
                }),
                _ => continue,
            };
            promised.insert(clean(Path::new(text(volume.at("target")))), what);
        }
        for (kind, folder) in [("secrets", "/run/secrets"), ("configs", "/")] {
            let used = definition.at(kind).as_array().into_iter().flatten();
            for one in used {
                let source = text(one.at("source"));
                let file = text(self.config.at(kind).at(source).at("file"));
                if file.is_empty() {
                    // Copied into the container, not mounted.
                    continue;
                }
                let target = match text(one.at("target")) {
                    "" => source,
                    target => target,
                };
                let at = Path::new(folder).join(target);
                promised.insert(clean(&at), Some(What::Bind(clean(Path::new(file)))));
            }
        }
        promised
    }

    fn volume_name(&self, key: &str) -> String {
        let name = text(self.config.at("volumes").at(key).at("name"));
        if name.is_empty() { key } else { name }.to_owned()
    }
}

/// Adds what only the files tell: a service of which one ran, and of which they want several; whether they want images pulled again.
pub fn settle(up: &mut ComposeUp, config: &Value) {
    for service in &up.services {
        let definition = config.at("services").at(service);
        let wanted = definition
            .at("deploy")
            .at("replicas")
            .as_u64()
            .or_else(|| definition.at("scale").as_u64());
        if wanted.is_some_and(|wanted| wanted != 1) {
            up.scale.entry(service.clone()).or_insert(1);
        }
        let policy = text(definition.at("pull_policy"));
        if !matches!(
            policy,
            "" | "missing" | "if_not_present" | "never" | "build"
        ) {
            up.keeps_images = true;
        }
    }
}

fn is_same(now: &What, was: &What) -> bool {
    match (now, was) {
        (What::Volume { name: now, .. }, What::Volume { name: was, .. }) => now == was,
        (What::Bind(now), What::Bind(was)) => {
            now == was
                || matches!((now.canonicalize(), was.canonicalize()), (Ok(now), Ok(was)) if now == was)
        }
        _ => false,
    }
}

fn describe(what: &What) -> String {
    match what {
        What::Bind(path) => format!("`{}`", printable(&path.to_string_lossy())),
        What::Volume {
            is_anonymous: true, ..
        } => "a volume without a name".to_owned(),
        What::Volume { name, .. } => format!("volume `{}`", printable(name)),
    }
}

/// `pg`, `pg:latest` and `docker.io/library/pg:latest` are one.
fn is_same_name(a: &str, b: &str) -> bool {
    let plain = |name: &str| {
        let name = name
            .strip_prefix("docker.io/")
            .or_else(|| name.strip_prefix("index.docker.io/"))
            .unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        let last = name.rsplit('/').next().unwrap_or(name);
        if last.contains([':', '@']) {
            name.to_owned()
        } else {
            format!("{name}:latest")
        }
    };
    // Docker shows the id where a container was made by one, or where its image lost its name.
    plain(a) == plain(b) || b.starts_with("sha256:")
}

/// Services of a compose file, read without compose, that are built where they run.
pub fn built_services(document: &Value) -> Vec<String> {
    fields(document.at("services"))
        .filter(|(_, service)| !service.at("build").is_null())
        .map(|(name, _)| name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::points::saved::SavedImage;
    use crate::restore::rebuild::members::Mounted;

    fn up() -> ComposeUp {
        ComposeUp {
            services: vec!["db".to_owned()],
            ..ComposeUp::default()
        }
    }

    fn bind(at: &str, path: &str) -> Mounted {
        Mounted {
            at: at.into(),
            what: What::Bind(path.into()),
        }
    }

    fn volume(at: &str, name: &str, is_anonymous: bool) -> Mounted {
        Mounted {
            at: at.into(),
            what: What::Volume {
                name: name.to_owned(),
                is_anonymous,
            },
        }
    }

    fn member(mounts: Vec<Mounted>) -> Member {
        Member {
            name: "x-db-1".to_owned(),
            service: Some(("db".to_owned(), Some(1))),
            was_running: true,
            image: SavedImage {
                image: "pg:16".to_owned(),
                ..SavedImage::default()
            },
            user: "1000:1000".to_owned(),
            mounts,
            ..Member::default()
        }
    }

    fn broken(definition: Value, member: Member, is_here: bool) -> Vec<String> {
        let config = json!({
            "services": {"db": definition},
            "volumes": {"data": {"name": "x_data"}},
            "secrets": {"token": {"file": "/srv/token"}},
        });
        let image_users = BTreeMap::from([("pg:16".to_owned(), String::new())]);
        let promise = Promise {
            config: &config,
            is_here,
            image_users: &image_users,
        };
        promise.broken(&up(), &[member])
    }

    #[test]
    fn what_is_as_it_was_is_no_difference() {
        let definition = json!({
            "image": "docker.io/library/pg:16", "user": "1000:1000",
            "volumes": [
                {"type": "volume", "source": "data", "target": "/data/"},
                {"type": "bind", "source": "/srv/db", "target": "/db"},
                {"type": "volume", "target": "/cache"},
                {"type": "tmpfs", "target": "/tmp"},
            ],
            "secrets": [{"source": "token"}],
        });
        let member = member(vec![
            volume("/data", "x_data", false),
            bind("/db", "/srv/db"),
            volume("/cache", "abc", true),
            bind("/run/secrets/token", "/srv/token"),
        ]);
        assert_eq!(broken(definition, member, true), Vec::<String>::new());
    }

    #[test]
    fn an_empty_variable_is_seen_in_what_it_made() {
        let definition = json!({
            "image": "pg:16", "user": ":",
            "volumes": [{"type": "bind", "source": "/db", "target": "/db"}],
        });
        let found = broken(definition, member(vec![bind("/db", "/srv/big/db")]), false);
        assert_eq!(
            found,
            [
                "service `db`: it ran as user `1000:1000`, the compose files say `:`",
                "service `db`: `/db` was `/srv/big/db`, the compose files say `/db`",
            ]
        );
        // Without any user at all it would be the image's own.
        let found = broken(json!({"image": "pg:17"}), member(Vec::new()), false);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`pg:17`") && found[1].contains("say none"));
    }

    #[test]
    fn data_that_nothing_mounts_is_a_difference_on_a_bare_host() {
        let definition = json!({"image": "pg:16", "user": "1000:1000"});
        let anonymous = || member(vec![volume("/index", "abc", true)]);
        assert_eq!(broken(definition.clone(), anonymous(), true).len(), 0);
        let found = broken(definition.clone(), anonymous(), false);
        assert!(found[0].contains("`/index` was a volume without a name"));
        let named = member(vec![volume("/data", "x_data", false)]);
        assert_eq!(broken(definition, named, true).len(), 1);
        let more = json!({"image": "pg:16", "user": "1000:1000", "volumes": [{"type": "bind", "source": "/x", "target": "/x"}]});
        let found = broken(more, member(Vec::new()), true);
        assert!(found[0].contains("where nothing was"), "{found:?}");
    }

    #[test]
    fn a_service_that_the_files_have_several_of_gets_its_own_count() {
        let config =
            json!({"services": {"db": {"deploy": {"replicas": 3}, "pull_policy": "always"}}});
        let mut up = up();
        settle(&mut up, &config);
        assert!(up.keeps_images);
        assert_eq!(
            up.args().join(" "),
            "compose --project-name  up -d --pull missing --no-deps --scale db=1 db"
        );
    }
}
