//! Which ids of the host stand for those that containers see.

use bollard::models::SystemInfo;

use crate::model::point::IdWorld;

/// How the engine that says `info` of itself maps ids.
pub fn id_world(info: &SystemInfo) -> IdWorld {
    let has = |name: &str| {
        let mut options = info.security_options.iter().flatten();
        options.any(|option| option.split(',').any(|part| part == name))
    };
    // With a map the engine keeps everything in a directory that is named after the first ids of the range.
    let root = info.docker_root_dir.as_deref().unwrap_or_default();
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
            let info = json!({"SecurityOptions": options, "DockerRootDir": root});
            id_world(&serde_json::from_value(info).unwrap())
        };
        let usual = world(
            &["name=seccomp,profile=builtin", "name=cgroupns"],
            "/var/lib/docker",
        );
        assert_eq!(usual, IdWorld::default());
        assert_eq!(id_world(&SystemInfo::default()), usual);
        let remapped = world(&["name=userns"], "/var/lib/docker/100000.100000");
        assert_eq!(remapped.remapped_to.as_deref(), Some("100000.100000"));
        let rootless = world(&["name=rootless"], "/home/me/.local/share/docker");
        assert!(rootless.is_rootless && rootless.remapped_to.is_none());
        assert!(rootless != usual && remapped != usual);
    }
}
