//! The labels that are read: compose's, the orchestrators', and our own.

use std::collections::BTreeMap;

pub type Labels = BTreeMap<String, String>;

pub const PROJECT: &str = "com.docker.compose.project";
pub const SERVICE: &str = "com.docker.compose.service";
pub const NUMBER: &str = "com.docker.compose.container-number";
pub const ONE_OFF: &str = "com.docker.compose.oneoff";
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";

pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
pub const COMPOSE_VERSION: &str = "com.docker.compose.version";

pub const VOLUME: &str = "com.docker.compose.volume";

/// What compose writes anew with each version of itself. With a hash that is not its own it takes a volume for one that is to be made
/// again, empty; without one it takes it as it is.
pub const PASSING: [&str; 2] = [COMPOSE_VERSION, CONFIG_HASH];

pub const ANONYMOUS_VOLUME: &str = "com.docker.volume.anonymous";

pub const STACK: &str = "com.docker.stack.namespace";
pub const SWARM_SERVICE: &str = "com.docker.swarm.service.name";
pub const SWARM_TASK: &str = "com.docker.swarm.task.id";
pub const POD: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";

const ENABLE: &str = "kopi-docka.enable";
pub const STOP: &str = "kopi-docka.stop";
pub const EXCLUDE: &str = "kopi-docka.exclude";
pub const READ: &str = "kopi-docka.read";
pub const MAX_DOWNTIME: &str = "kopi-docka.max-downtime";
pub const EXEC_BEFORE_STOP: &str = "kopi-docka.exec.before-stop";
pub const EXEC_AFTER_START: &str = "kopi-docka.exec.after-start";
const BIND_INCLUDE: &str = "kopi-docka.bind.include";
const BIND_EXCLUDE: &str = "kopi-docka.bind.exclude";

/// What a drill made: no unit, and no writer. Its value is the id of the drill.
pub const DRILL: &str = "kopi-docka.drill";

/// `docker compose run`, not a service.
pub fn is_one_off(labels: &Labels) -> bool {
    labels
        .get(ONE_OFF)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Whether the container says that its data is not to be saved.
pub fn says_no(labels: &Labels) -> bool {
    is_off(labels, ENABLE)
}

/// Whether it wants to run on while its unit is saved.
pub fn wants_to_stay(labels: &Labels) -> bool {
    is_off(labels, STOP)
}

fn is_off(labels: &Labels, key: &str) -> bool {
    labels.get(key).is_some_and(|value| {
        ["false", "0", "no", "off"].contains(&value.trim().to_ascii_lowercase().as_str())
    })
}

/// Patterns of what is not read, as they were written.
pub fn excludes(labels: &Labels) -> impl Iterator<Item = &str> {
    list(labels, EXCLUDE)
}

pub fn bind_includes(labels: &Labels) -> impl Iterator<Item = &str> {
    list(labels, BIND_INCLUDE)
}

pub fn bind_excludes(labels: &Labels) -> impl Iterator<Item = &str> {
    list(labels, BIND_EXCLUDE)
}

/// The parts of a comma-separated label, without empty ones.
pub fn list<'a>(labels: &'a Labels, key: &str) -> impl Iterator<Item = &'a str> {
    labels
        .get(key)
        .map_or("", String::as_str)
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_absent_or_true_says_nothing() {
        let with = |value: &str| Labels::from([(ENABLE.to_owned(), value.to_owned())]);
        assert!(!says_no(&Labels::new()));
        assert!(!says_no(&with("true")));
        for value in ["false", " False ", "0", "no", "off"] {
            assert!(says_no(&with(value)), "{value:?}");
        }
    }

    #[test]
    fn lists_are_trimmed() {
        let labels = Labels::from([(EXCLUDE.to_owned(), " *.log , ,cache/* ".to_owned())]);
        assert_eq!(excludes(&labels).collect::<Vec<_>>(), ["*.log", "cache/*"]);
    }
}
