//! Which ids of the host stand for those that containers see.

use serde_json::Value;

use super::engine::Engine;
use super::json::Json as _;
use crate::error::Result;
use crate::model::point::IdWorld;

impl Engine {
    /// How the engine maps ids.
    pub async fn id_world(&self) -> Result<IdWorld> {
        match self.get_json("/info").await {
            Ok(info) => Ok(of(&info.unwrap_or_default())),
            Err(error) => Err(error.doing("Docker cannot be asked how it maps ids")),
        }
    }
}

fn of(info: &Value) -> IdWorld {
    let options = info.at("SecurityOptions").as_array();
    let has = |name: &str| {
        let mut options = options.into_iter().flatten().filter_map(Value::as_str);
        options.any(|option| option.split(',').any(|part| part == name))
    };
    // With a map the engine keeps everything in a directory that is named after the first ids of the range.
    let root = info.at("DockerRootDir").as_str().unwrap_or_default();
    let range = root.rsplit('/').next().filter(|name| {
        let parts: Vec<&str> = name.split('.').collect();
        parts.len() == 2 && parts.iter().all(|part| part.parse::<u32>().is_ok())
    });
    IdWorld {
        is_rootless: has("name=rootless"),
        remapped_to: range.filter(|_| has("name=userns")).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_map_of_an_engine_is_told_by_what_it_says_of_itself() {
        let world = |options: &[&str], root: &str| {
            of(&json!({"SecurityOptions": options, "DockerRootDir": root}))
        };
        let usual = world(
            &["name=seccomp,profile=builtin", "name=cgroupns"],
            "/var/lib/docker",
        );
        assert_eq!(usual, IdWorld::default());
        assert_eq!(of(&Value::Null), usual);
        let remapped = world(&["name=userns"], "/var/lib/docker/100000.100000");
        assert_eq!(remapped.remapped_to.as_deref(), Some("100000.100000"));
        let rootless = world(&["name=rootless"], "/home/me/.local/share/docker");
        assert!(rootless.is_rootless && rootless.remapped_to.is_none());
        assert!(rootless != usual && remapped != usual);
    }
}
