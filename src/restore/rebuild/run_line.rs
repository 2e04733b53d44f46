//! The `docker run` that makes a container, for people to read. Values of secrets are not in it: `--env NAME` takes them from
//! the environment of its user.

use std::collections::BTreeSet;

use serde_json::Value;

use super::container::{anonymous_volumes, clean, network_mode};
use crate::drivers::docker::json::Json as _;
use crate::model::point::REDACTED;
use crate::points::saved::{container_name, endpoints, fields, fixed_addresses, text, texts};

/// A whole file for `sh`.
pub fn script(inspect: &Value, secrets: &BTreeSet<&str>) -> String {
    let name = container_name(inspect);
    let mut lines = vec![
        "#!/bin/sh".to_owned(),
        "# How this container was made, as far as the common options of `docker run` go. Written by kopi-docka for reading: it".to_owned(),
        "# makes the container from everything that was saved, also from what is not here.".to_owned(),
    ];
    let mut hidden: Vec<&str> = variables(inspect)
        .filter(|(name, value)| is_hidden(name, *value, secrets))
        .map(|(name, _)| name)
        .collect();
    hidden.sort_unstable();
    if !hidden.is_empty() {
        let names: Vec<String> = hidden.iter().map(|name| one_line(name)).collect();
        lines.push(format!(
            "# Export these first, they are secrets: {}",
            names.join(" ")
        ));
    }
    lines.push(shell_words::join(words(inspect, secrets)));
    let first = network_mode(inspect);
    for (network, endpoint) in endpoints(inspect) {
        let is_first =
            *network == first || (network == "bridge" && matches!(first.as_str(), "default" | ""));
        if !is_first && !matches!(network.as_str(), "host" | "none") {
            let mut connect: Vec<String> =
                ["docker", "network", "connect"].map(str::to_owned).into();
            connect.extend(endpoint_words(endpoint, inspect, "--alias"));
            connect.extend([network.clone(), name.to_owned()]);
            lines.push(shell_words::join(connect));
        }
    }
    lines.join("\n") + "\n"
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Name and value; no value is one that the container inherits.
fn variables(inspect: &Value) -> impl Iterator<Item = (&str, Option<&str>)> {
    texts(inspect.at("Config").at("Env")).map(|variable| match variable.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (variable, None),
    })
}

fn is_hidden(name: &str, value: Option<&str>, secrets: &BTreeSet<&str>) -> bool {
    value == Some(REDACTED) || secrets.contains(name)
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn option(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.extend([name.to_owned(), value]);
        }
    }

    fn flag(&mut self, name: &str, is_set: &Value) {
        if *is_set == true {
            self.0.push(name.to_owned());
        }
    }

    fn list(&mut self, name: &str, values: &Value) {
        for value in texts(values) {
            self.option(name, value);
        }
    }

    fn map(&mut self, name: &str, values: &Value) {
        for (key, value) in fields(values) {
            self.option(name, format!("{key}={}", text(value)));
        }
    }

    /// 0 is Docker's own choice.
    fn number(&mut self, name: &str, value: &Value) {
        if let Some(number) = value.as_i64()
            && number != 0
        {
            self.option(name, number.to_string());
        }
    }
}

fn words(inspect: &Value, secrets: &BTreeSet<&str>) -> Vec<String> {
    let (config, host) = (inspect.at("Config"), inspect.at("HostConfig"));
    let mut words = Words::default();
    words
        .0
        .extend(["docker", "run", "--detach"].map(str::to_owned));
    words.option("--name", container_name(inspect));
    let hostname = text(config.at("Hostname"));
    if text(inspect.at("Id")).get(..12) != Some(hostname) {
        words.option("--hostname", hostname);
    }
    words.option("--domainname", text(config.at("Domainname")));
    words.option("--user", text(config.at("User")));
    words.option("--workdir", text(config.at("WorkingDir")));
    words.flag("--tty", config.at("Tty"));
    words.flag("--interactive", config.at("OpenStdin"));
    for (name, value) in variables(inspect) {
        match value {
            Some(value) if !is_hidden(name, Some(value), secrets) => {
                words.option("--env", format!("{name}={value}"));
            }
            _ => words.option("--env", name),
        }
    }
    words.map("--label", config.at("Labels"));
    networks(&mut words, inspect);
    mounts(&mut words, inspect);
    limits(&mut words, host);
    rights(&mut words, host);
    if !matches!(text(host.at("RestartPolicy").at("Name")), "" | "no") {
        let retries = host
            .at("RestartPolicy")
            .at("MaximumRetryCount")
            .as_i64()
            .unwrap_or_default();
        let name = text(host.at("RestartPolicy").at("Name"));
        let retries = if retries > 0 {
            format!(":{retries}")
        } else {
            String::new()
        };
        words.option("--restart", format!("{name}{retries}"));
    }
    words.flag("--rm", host.at("AutoRemove"));
    words.flag("--init", host.at("Init"));
    words.option("--log-driver", text(host.at("LogConfig").at("Type")));
    words.map("--log-opt", host.at("LogConfig").at("Config"));
    words.option("--stop-signal", text(config.at("StopSignal")));
    words.number("--stop-timeout", config.at("StopTimeout"));
    health(&mut words, config.at("Healthcheck"));
    command(&mut words, config);
    words.0
}

fn networks(words: &mut Words, inspect: &Value) {
    let (config, host) = (inspect.at("Config"), inspect.at("HostConfig"));
    let mode = network_mode(inspect);
    if !matches!(mode.as_str(), "" | "default" | "bridge") {
        words.option("--network", mode.clone());
    }
    if let Some((_, endpoint)) = endpoints(inspect).find(|(name, _)| **name == mode) {
        words
            .0
            .extend(endpoint_words(endpoint, inspect, "--network-alias"));
    }
    words.option("--mac-address", text(config.at("MacAddress")));
    for (port, bindings) in fields(host.at("PortBindings")) {
        for binding in bindings.as_array().into_iter().flatten() {
            let (address, number) = (text(binding.at("HostIp")), text(binding.at("HostPort")));
            let address = match address {
                "" => String::new(),
                v6 if v6.contains(':') => format!("[{v6}]:"),
                v4 => format!("{v4}:"),
            };
            words.option("--publish", format!("{address}{number}:{port}"));
        }
    }
    for (port, _) in fields(config.at("ExposedPorts")) {
        if host.at("PortBindings").get(port).is_none() {
            words.option("--expose", port.clone());
        }
    }
    words.flag("--publish-all", host.at("PublishAllPorts"));
    words.list("--dns", host.at("Dns"));
    words.list("--dns-search", host.at("DnsSearch"));
    words.list("--dns-option", host.at("DnsOptions"));
    words.list("--add-host", host.at("ExtraHosts"));
}

fn endpoint_words(endpoint: &Value, inspect: &Value, alias_option: &str) -> Vec<String> {
    let mut words = Words::default();
    for address in fixed_addresses(endpoint) {
        words.option(
            if address.contains(':') {
                "--ip6"
            } else {
                "--ip"
            },
            address,
        );
    }
    for alias in texts(endpoint.at("Aliases")) {
        if text(inspect.at("Id")).get(..12) != Some(alias) {
            words.option(alias_option, alias);
        }
    }
    words.0
}

fn mounts(words: &mut Words, inspect: &Value) {
    let host = inspect.at("HostConfig");
    words.list("--volume", host.at("Binds"));
    let anonymous = anonymous_volumes(inspect);
    for mount in host.at("Mounts").as_array().into_iter().flatten() {
        let target = text(mount.at("Target"));
        let mut source = text(mount.at("Source"));
        let at = clean(target);
        if let Some(volume) = anonymous.iter().find(|volume| volume.at == at) {
            source = &volume.name;
        }
        let mut parts = vec![format!("type={}", text(mount.at("Type")))];
        if !source.is_empty() {
            parts.push(csv(&format!("source={source}")));
        }
        parts.push(csv(&format!("target={target}")));
        if mount.at("ReadOnly") == true {
            parts.push("readonly".to_owned());
        }
        words.option("--mount", parts.join(","));
    }
    let mounted: Vec<String> = host
        .at("Mounts")
        .as_array()
        .into_iter()
        .flatten()
        .map(|mount| clean(text(mount.at("Target"))))
        .collect();
    for volume in anonymous
        .iter()
        .filter(|volume| !mounted.contains(&volume.at))
    {
        words.option("--volume", volume.bind());
    }
    for (at, options) in fields(host.at("Tmpfs")) {
        let options = text(options);
        words.option(
            "--tmpfs",
            if options.is_empty() {
                at.clone()
            } else {
                format!("{at}:{options}")
            },
        );
    }
    words.list("--volumes-from", host.at("VolumesFrom"));
}

/// `--mount` reads its parts as CSV.
fn csv(part: &str) -> String {
    if part.contains([',', '"']) {
        format!("\"{}\"", part.replace('"', "\"\""))
    } else {
        part.to_owned()
    }
}

fn limits(words: &mut Words, host: &Value) {
    words.number("--memory", host.at("Memory"));
    words.number("--memory-reservation", host.at("MemoryReservation"));
    words.number("--memory-swap", host.at("MemorySwap"));
    words.number("--cpu-shares", host.at("CpuShares"));
    if let Some(nano) = host.at("NanoCpus").as_i64()
        && nano > 0
    {
        words.option(
            "--cpus",
            format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000),
        );
    }
    words.option("--cpuset-cpus", text(host.at("CpusetCpus")));
    words.number("--pids-limit", host.at("PidsLimit"));
    if host.at("ShmSize").as_i64() != Some(64 << 20) {
        words.number("--shm-size", host.at("ShmSize"));
    }
    words.number("--oom-score-adj", host.at("OomScoreAdj"));
    for limit in host.at("Ulimits").as_array().into_iter().flatten() {
        words.option(
            "--ulimit",
            format!(
                "{}={}:{}",
                text(limit.at("Name")),
                limit.at("Soft"),
                limit.at("Hard")
            ),
        );
    }
    words.map("--sysctl", host.at("Sysctls"));
}

fn rights(words: &mut Words, host: &Value) {
    words.flag("--privileged", host.at("Privileged"));
    words.flag("--read-only", host.at("ReadonlyRootfs"));
    words.list("--cap-add", host.at("CapAdd"));
    words.list("--cap-drop", host.at("CapDrop"));
    words.list("--security-opt", host.at("SecurityOpt"));
    words.list("--group-add", host.at("GroupAdd"));
    for device in host.at("Devices").as_array().into_iter().flatten() {
        let parts =
            ["PathOnHost", "PathInContainer", "CgroupPermissions"].map(|key| text(device.at(key)));
        words.option("--device", parts.join(":"));
    }
    words.option("--pid", text(host.at("PidMode")));
    words.option("--uts", text(host.at("UTSMode")));
    words.option("--userns", text(host.at("UsernsMode")));
    if !matches!(text(host.at("IpcMode")), "private" | "shareable") {
        words.option("--ipc", text(host.at("IpcMode")));
    }
    if !matches!(text(host.at("Runtime")), "runc") {
        words.option("--runtime", text(host.at("Runtime")));
    }
}

fn health(words: &mut Words, check: &Value) {
    let mut test = texts(check.at("Test"));
    match test.next() {
        Some("NONE") => words.0.push("--no-healthcheck".to_owned()),
        Some("CMD-SHELL") => words.option("--health-cmd", test.next().unwrap_or_default()),
        Some("CMD") => words.option("--health-cmd", shell_words::join(test)),
        _ => return,
    }
    for (name, key) in [
        ("--health-interval", "Interval"),
        ("--health-timeout", "Timeout"),
        ("--health-start-period", "StartPeriod"),
    ] {
        if let Some(nano) = check.at(key).as_i64()
            && nano > 0
        {
            words.option(name, format!("{nano}ns"));
        }
    }
    words.number("--health-retries", check.at("Retries"));
}

/// `--entrypoint` takes one word: the others become the first ones of the command.
fn command(words: &mut Words, config: &Value) {
    let mut entry = texts(config.at("Entrypoint"));
    if let Some(first) = entry.next() {
        words.option("--entrypoint", first);
    }
    words.0.push(text(config.at("Image")).to_owned());
    words
        .0
        .extend(entry.chain(texts(config.at("Cmd"))).map(str::to_owned));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_is_quoted_and_holds_no_secret() {
        let inspect = json!({
            "Id": "0123456789abcdef", "Name": "/my app",
            "Config": {
                "Hostname": "0123456789ab", "Image": "i:1", "Env": ["A=it's $HOME", "TOKEN=***REDACTED***", "PW=plain", "INHERITED"],
                "Entrypoint": ["sh", "-c"], "Cmd": ["echo \"$X\""], "Healthcheck": {"Test": ["CMD", "a", "b c"], "Interval": 200_000_000, "Retries": 3},
                "Volumes": {"/anon": {}}, "Labels": {"a": "b"}
            },
            "HostConfig": {
                "NetworkMode": "front", "Binds": ["/srv/x y:/x:ro"], "PortBindings": {"80/tcp": [{"HostIp": "::1", "HostPort": "8080"}]},
                "CapAdd": ["NET_ADMIN"], "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}], "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
                "NanoCpus": 1_500_000_000, "Mounts": [{"Type": "bind", "Source": "/a,b", "Target": "/m"}]
            },
            "Mounts": [{"Type": "volume", "Name": "aaaa", "Destination": "/anon", "RW": true}],
            "NetworkSettings": {"Networks": {
                "front": {"IPAMConfig": {"IPv4Address": "10.1.0.7"}, "Aliases": ["web"]},
                "back": {"IPAMConfig": {"IPv6Address": "fd00::7"}, "Aliases": ["other", "0123456789ab"]}
            }}
        });
        let script = script(&inspect, &BTreeSet::from(["PW"]));
        assert!(!script.contains("plain"), "{script}");
        assert!(
            script.contains("Export these first, they are secrets: PW TOKEN\n"),
            "{script}"
        );
        let lines: Vec<&str> = script
            .lines()
            .filter(|line| line.starts_with("docker"))
            .collect();
        assert_eq!(
            lines[1],
            "docker network connect --ip6 fd00::7 --alias other back 'my app'"
        );
        let words = shell_words::split(lines[0]).unwrap();
        let expected = [
            "docker",
            "run",
            "--detach",
            "--name",
            "my app",
            "--env",
            "A=it's $HOME",
            "--env",
            "TOKEN",
            "--env",
            "PW",
            "--env",
            "INHERITED",
            "--label",
            "a=b",
            "--network",
            "front",
            "--ip",
            "10.1.0.7",
            "--network-alias",
            "web",
            "--publish",
            "[::1]:8080:80/tcp",
            "--volume",
            "/srv/x y:/x:ro",
            "--mount",
            "type=bind,\"source=/a,b\",target=/m",
            "--volume",
            "aaaa:/anon",
            "--cpus",
            "1.500000000",
            "--ulimit",
            "nofile=100:200",
            "--cap-add",
            "NET_ADMIN",
            "--restart",
            "on-failure:3",
            "--health-cmd",
            "a 'b c'",
            "--health-interval",
            "200000000ns",
            "--health-retries",
            "3",
            "--entrypoint",
            "sh",
            "i:1",
            "-c",
            "echo \"$X\"",
        ];
        assert_eq!(words, expected);
    }
}
