//! Other containers that one needs to exist: it shares a namespace or volumes with them, or is linked to them.

use serde_json::Value;

use super::json::Json as _;

const PREFIX: &str = "container:";

/// What a namespace of its is asked to be, where that can be another container's.
const MODES: [&str; 3] = ["NetworkMode", "IpcMode", "PidMode"];

/// As `inspect` names them, by name or id.
pub fn neighbours(inspect: &Value) -> Vec<String> {
    let host = inspect.at("HostConfig");
    let texts = |key: &str| {
        let texts = host.at(key).as_array().into_iter().flatten();
        texts.filter_map(Value::as_str)
    };
    let shared = MODES
        .into_iter()
        .filter_map(|key| host.at(key).as_str()?.strip_prefix(PREFIX));
    let volumes = texts("VolumesFrom").map(first);
    // `/db:/web/alias` is how it shows what `db:alias` asked for.
    let links = texts("Links").map(|link| first(link).trim_start_matches('/'));
    shared
        .chain(volumes)
        .chain(links)
        .map(str::to_owned)
        .collect()
}

/// Puts in the place of each container's name or id in `inspect` what `renamed` says, if it says anything.
pub fn rename_neighbours(inspect: &mut Value, renamed: impl Fn(&str) -> Option<String>) {
    for key in MODES {
        if let Some(Value::String(mode)) = inspect.pointer_mut(&format!("/HostConfig/{key}"))
            && let Some(name) = mode.strip_prefix(PREFIX).and_then(&renamed)
        {
            *mode = format!("{PREFIX}{name}");
        }
    }
    let Some(Value::Array(volumes)) = inspect.pointer_mut("/HostConfig/VolumesFrom") else {
        return;
    };
    for volume in volumes {
        let Some(text) = volume.as_str() else {
            continue;
        };
        let named = first(text);
        if let Some(name) = renamed(named) {
            let rest = text.get(named.len()..).unwrap_or_default();
            *volume = format!("{name}{rest}").into();
        }
    }
}

fn first(text: &str) -> &str {
    text.split(':').next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_neighbour_is_found_and_named() {
        let mut inspect = json!({"HostConfig": {
            "NetworkMode": "container:0123456789ab", "IpcMode": "shareable", "PidMode": "container:vpn",
            "VolumesFrom": ["0123456789ab:ro", "other"], "Links": ["/db:/web/base"],
        }});
        let found = ["0123456789ab", "vpn", "0123456789ab", "other", "db"];
        assert_eq!(neighbours(&inspect), found);
        rename_neighbours(&mut inspect, |named| {
            (named == "0123456789ab").then(|| "gluetun".to_owned())
        });
        let host = &inspect["HostConfig"];
        assert_eq!(host["NetworkMode"], "container:gluetun");
        assert_eq!(host["PidMode"], "container:vpn");
        assert_eq!(host["VolumesFrom"], json!(["gluetun:ro", "other"]));
        assert_eq!(neighbours(&Value::Null), Vec::<String>::new());
    }
}
