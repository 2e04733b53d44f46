//! Whether what Docker made of a copy is what was meant: looked at before anything of it starts.

use std::path::Path;

use serde_json::Value;

use crate::discovery::labels::DRILL;
use crate::drivers::docker::json::Json as _;
use crate::points::saved::{endpoints, fields, text, texts};

/// What all containers of a drill may have in common.
pub struct Own<'a> {
    pub id: &'a str,
    pub folder: &'a Path,
    /// Names of its networks and volumes.
    pub networks: &'a [String],
    pub volumes: &'a [String],
    /// Ids of its containers.
    pub containers: &'a [String],
}

impl Own<'_> {
    /// What a container of the drill could touch outside of it, as `docker inspect` has it; nothing, if all is well.
    pub fn ways_out(&self, inspect: &Value) -> Vec<String> {
        let host = inspect.at("HostConfig");
        let mut ways = Vec::new();
        for key in ["Privileged", "PublishAllPorts"] {
            if host.at(key) == true {
                ways.push(key.to_owned());
            }
        }
        let empty = [
            "CapAdd",
            "DeviceCgroupRules",
            "DeviceRequests",
            "Devices",
            "Dns",
            "ExtraHosts",
            "PortBindings",
            "Sysctls",
            "VolumesFrom",
        ];
        ways.extend(
            empty
                .iter()
                .filter(|key| !is_empty(host.at(key)))
                .map(|key| (*key).to_owned()),
        );
        for key in ["NetworkMode", "IpcMode", "PidMode", "UTSMode", "UsernsMode"] {
            let mode = text(host.at(key));
            let is_foreign = match mode.strip_prefix("container:") {
                Some(other) => !self.containers.iter().any(|id| id == other),
                None => mode == "host",
            };
            if is_foreign {
                ways.push(format!("{key} {mode}"));
            }
        }
        let networks = endpoints(inspect).map(|(name, _)| name);
        let foreign = networks.filter(|name| *name != "none" && !self.networks.contains(name));
        ways.extend(foreign.map(|name| format!("network {name}")));
        for mount in inspect.at("Mounts").as_array().into_iter().flatten() {
            ways.extend(self.way_by(mount));
        }
        let asked = host.at("Mounts").as_array().into_iter().flatten();
        let asked = asked.filter(|mount| text(mount.at("Type")) == "bind");
        let binds = texts(host.at("Binds")).filter_map(|bind| bind.split(':').next());
        let binds = binds.filter(|source| source.starts_with('/'));
        let sources = asked.map(|mount| text(mount.at("Source"))).chain(binds);
        let foreign = sources.filter(|source| !Path::new(source).starts_with(self.folder));
        ways.extend(foreign.map(|source| format!("bind mount {source}")));
        let options =
            texts(host.at("SecurityOpt")).filter(|option| !option.starts_with("no-new-privileges"));
        ways.extend(options.map(str::to_owned));
        if !matches!(text(host.at("RestartPolicy").at("Name")), "" | "no") {
            ways.push("RestartPolicy".to_owned());
        }
        if text(inspect.at("Config").at("Labels").at(DRILL)) != self.id {
            ways.push("no label of the drill".to_owned());
        }
        ways
    }

    fn way_by(&self, mount: &Value) -> Option<String> {
        let (kind, name, source) = (
            text(mount.at("Type")),
            text(mount.at("Name")),
            text(mount.at("Source")),
        );
        let is_own = match kind {
            "tmpfs" => true,
            "volume" => {
                // Docker makes those that an image asks for.
                let is_made = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
                let is_local = matches!(text(mount.at("Driver")), "" | "local");
                is_local && (is_made || self.volumes.iter().any(|volume| volume == name))
            }
            "bind" => Path::new(source).starts_with(self.folder),
            _ => false,
        };
        (!is_own).then(|| format!("{kind} {name}{source}"))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        value => fields(value).next().is_none() && value.is_object(),
    }
}
