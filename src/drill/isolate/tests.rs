//! Compose files and containers of whoever wrote them, with every way out that there is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::made::Own;
use super::*;
use crate::base::testing::odd;
use crate::model::unit::Condition;

const FOLDER: &str = "/backup/drills/web-drill-1";

fn place(path: &Path, is_read_only: bool) -> Placed {
    let below = |root: &str| path.strip_prefix(root).ok().map(Path::to_owned);
    if let Some(inside) = below("/srv/data") {
        let root = PathBuf::from(format!("{FOLDER}/binds/0"));
        let is_root = inside.as_os_str().is_empty();
        return Placed::At {
            path: if is_root {
                root.clone()
            } else {
                root.join(inside)
            },
            root: (!is_root).then_some(root),
        };
    }
    if path == Path::new("/etc/localtime") && is_read_only {
        let path = PathBuf::from(format!("{FOLDER}/host/0"));
        return Placed::At { path, root: None };
    }
    Placed::Dropped("the point does not hold it".to_owned())
}

fn isolated_with(configs: &[Value], variables: &BTreeMap<String, String>) -> Isolated {
    let names = configs
        .iter()
        .filter_map(|config| config["services"].as_object());
    let names: Vec<String> = names
        .flat_map(|services| services.keys().cloned())
        .collect();
    let left = left_out(configs, names.iter(), Path::new("/var/run/docker.sock"));
    let wanted = names
        .iter()
        .filter(|name| !left.iter().any(|left| left.service == **name))
        .map(|name| {
            let wanted = Wanted {
                image: format!("sha256:{name}"),
                image_labels: vec![
                    "traefik.enable".to_owned(),
                    "com.docker.compose.project".to_owned(),
                ],
                names: vec![format!("web-{name}-1")],
                unnamed: vec![("f".repeat(64), "/unnamed".to_owned(), false)],
                ..Wanted::default()
            };
            (name.clone(), wanted)
        })
        .collect();
    isolate(&Given {
        id: "1",
        project: "web-drill-1",
        folder: Path::new(FOLDER),
        configs,
        wanted: &wanted,
        holds: &|name| name == "web_db",
        place: &place,
        variables,
    })
}

fn isolated(config: Value) -> Isolated {
    isolated_with(&[config], &BTreeMap::new())
}

fn hostile() -> Value {
    let mut config = json!({
        "name": "web",
        "services": {"app": {
            "image": "app:1", "build": {"context": "/opt"}, "pull_policy": "always", "command": ["run", "$$X"],
            "container_name": "database", "restart": "always", "environment": {"A": "1", "OURS": null},
            "ports": [{"mode": "ingress", "host_ip": "0.0.0.0", "target": 80, "published": "8080", "protocol": "tcp"}],
            "networks": {"front": {"ipv4_address": "10.9.0.7", "aliases": ["shop"]}, "proxy": null},
                        "volumes": [
                {"type": "volume", "source": "db", "target": "/db", "volume": {"subpath": "a", "labels": {"x": "y"}}},
                {"type": "volume", "source": "nfs", "target": "/nfs"},
                {"type": "volume", "target": "/made"},
                {"type": "bind", "source": "/srv/data", "target": "/data", "bind": {"propagation": "rshared", "create_host_path": true}},
                {"type": "bind", "source": format!("{FOLDER}/files/srv/data/sub"), "target": "/sub", "read_only": true},
                {"type": "bind", "source": "/etc/localtime", "target": "/etc/localtime", "read_only": true},
                {"type": "bind", "source": "/etc/localtime", "target": "/writable"},
                {"type": "bind", "source": "/etc", "target": "/etc", "read_only": true},
                {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": "100"}},
                {"type": "cluster", "source": "c", "target": "/c"},
            ],
            "secrets": [{"source": "token", "target": "/run/token"}, {"source": "shell"}, {"source": "lost"}],
            "configs": [{"source": "conf", "target": "/etc/conf", "mode": "0440"}],
        }, "db": {"image": "pg", "read_only": true, "shm_size": "1", "network_mode": "host", "healthcheck": {"test": ["CMD", "x"]}}},
        "volumes": {
            "db": {"name": "web_db", "external": true},
            "nfs": {"name": "web_nfs", "driver": "local", "driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}},
        },
        "networks": {
            "front": {"name": "web_front", "ipam": {"config": [{"subnet": "10.9.0.0/24"}]}, "driver_opts": {"x": "y"}},
            "proxy": {"name": "proxy", "external": true},
        },
        "secrets": {"token": {"file": "/etc/localtime"}, "shell": {"environment": "TOKEN"}, "lost": {"environment": "LOST"}},
        "configs": {"conf": {"content": "a $$b"}},
    });
    let more = json!({
            "cap_add": ["SYS_NICE"], "security_opt": ["seccomp=unconfined"], "cgroup_parent": "/x", "userns_mode": "host",
            "runtime": "runc", "sysctls": {"net.core.somaxconn": "1"}, "logging": {"driver": "gelf"}, "ipc": "host", "uts": "host",
            "deploy": {"replicas": 3, "restart_policy": {"condition": "any"}}, "post_start": [{"command": ["x"]}],
            "external_links": ["other:db"], "extra_hosts": ["db=10.0.0.1"], "dns": ["10.0.0.1"], "mac_address": "02:42:00:00:00:01",
            "labels": {"traefik.http.routers.x.rule": "Host(`x`)", "kopi-docka.enable": "true"},
            "annotations": {"a": "b"}, "x-note": "n", "credential_spec": {"file": "x"}, "domainname": "d",
            "depends_on": {"db": {"condition": "service_healthy"}, "gone": {"condition": "service_started"}},
            "links": ["db:database"]
    });
    let app = config["services"]["app"].as_object_mut().unwrap();
    app.extend(more.as_object().unwrap().clone());
    config
}

#[test]
fn nothing_is_left_of_what_leads_out() {
    let variables = BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
    let isolated = isolated_with(&[hostile()], &variables);
    let expected = json!({
        "image": "sha256:app", "pull_policy": "never", "restart": "no", "command": ["run", "$$X"], "domainname": "d",
        "environment": {"A": "1"},
        "labels": {"kopi-docka.drill": "1", "traefik.enable": ""},
        "logging": {"driver": "json-file", "options": {"max-size": "10m"}},
        "networks": {"front": {"aliases": ["shop", "web-app-1"]}, "proxy": {"aliases": ["web-app-1"]}},
        "volumes": [
            {"type": "volume", "source": "web-drill-1_web_db", "target": "/db", "volume": {"subpath": "a"}},
            {"type": "volume", "source": "web-drill-1_web_nfs", "target": "/nfs"},
            {"type": "volume", "target": "/made"},
            {"type": "bind", "source": format!("{FOLDER}/binds/0"), "target": "/data", "bind": {"create_host_path": false}},
            {"type": "bind", "source": format!("{FOLDER}/binds/0/sub"), "target": "/sub", "bind": {"create_host_path": false}, "read_only": true},
            {"type": "bind", "source": format!("{FOLDER}/host/0"), "target": "/etc/localtime", "bind": {"create_host_path": false}, "read_only": true},
            {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": "100"}},
            {"type": "volume", "source": format!("web-drill-1_{}", "f".repeat(64)), "target": "/unnamed"},
        ],
        "secrets": [{"source": "token", "target": "/run/token"}, {"source": "shell"}],
        "configs": [{"source": "conf", "target": "/etc/conf"}],
    });
    assert_eq!(isolated.compose["services"]["app"], expected);
    let db = &isolated.compose["services"]["db"];
    assert_eq!(
        db["networks"],
        json!({"default": {"aliases": ["database", "web-db-1"]}})
    );
    assert_eq!(
        (&db["network_mode"], &db["read_only"]),
        (&Value::Null, &json!(true))
    );
    let internal = json!({"internal": true, "labels": {"kopi-docka.drill": "1"}});
    assert_eq!(
        isolated.compose["networks"],
        json!({"default": internal, "front": internal, "proxy": internal})
    );
    let volume = |name: &str| json!({"name": name, "external": true});
    assert_eq!(
        isolated.compose["volumes"]["web-drill-1_web_nfs"],
        volume("web-drill-1_web_nfs")
    );
    assert_eq!(isolated.volumes["web_db"], "web-drill-1_web_db");
    assert_eq!(
        isolated.compose["secrets"],
        json!({"token": {"file": format!("{FOLDER}/host/0")}, "shell": {"file": format!("{FOLDER}/made/secrets-0")}})
    );
    let made: Vec<&str> = isolated
        .made
        .iter()
        .map(|file| file.content.as_str())
        .collect();
    assert_eq!(made, ["s3cret", "a $b"]);
    let root = PathBuf::from(format!("{FOLDER}/binds/0"));
    assert_eq!(isolated.within, [(root.clone(), root.join("sub"))]);
}

#[test]
fn all_that_is_dropped_is_told() {
    let told: Vec<String> = isolated(hostile())
        .dropped
        .iter()
        .map(ToString::to_string)
        .collect();
    for part in [
        "`app`: published port 0.0.0.0:8080:80",
        "`app`: container_name database",
        "`app`: cap_add SYS_NICE",
        "`app`: security_opt seccomp=unconfined",
        "`app`: cgroup_parent /x",
        "`app`: userns_mode host",
        "`app`: runtime runc",
        "`app`: sysctls",
        "`app`: logging",
        "`app`: ipc host",
        "`app`: uts host",
        "`app`: deploy",
        "`app`: build",
        "`app`: post_start",
        "`app`: external_links other:db",
        "`app`: extra_hosts db=10.0.0.1",
        "`app`: dns 10.0.0.1",
        "`app`: mac_address 02:42:00:00:00:01",
        "`app`: annotations",
        "`app`: credential_spec",
        "`app`: 2 labels",
        "`app`: ipv4_address 10.9.0.7",
        "`app`: bind mount `/etc`: the point does not hold it",
        "`app`: bind mount `/etc/localtime`: the point does not hold it",
        "`app`: a mount of type cluster at `/c`",
        "`app`: secrets `lost`: the value of `LOST` is not known",
        "`app`: secrets `shell`: the value of `TOKEN` is not known",
        "`db`: the network of the host: it is on one of the drill",
        "external network `proxy`: the drill has one of its own in its place",
        "subnet 10.9.0.0/24 of network `front`",
        "the data of volume `web_nfs`, which the point does not hold: it is empty",
    ] {
        assert!(
            told.iter().any(|what| what == part),
            "{part} is not in {told:#?}"
        );
    }
}

#[test]
fn what_needs_the_host_is_left_out_with_what_lives_in_it() {
    let cases = [
        (
            json!({"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/x"}]}),
            "socket",
        ),
        (
            json!({"volumes": [{"type": "bind", "source": "/run/../run/docker.sock", "target": "/x", "read_only": true}]}),
            "socket",
        ),
        (
            json!({"volumes": [{"type": "bind", "source": "/var/run/", "target": "/x"}]}),
            "socket",
        ),
        (
            json!({"volumes": [{"type": "bind", "source": "/", "target": "/host"}]}),
            "socket",
        ),
        (json!({"use_api_socket": true}), "socket"),
        (json!({"privileged": true}), "privileged"),
        (json!({"devices": [{"source": "/dev/sda"}]}), "devices"),
        (json!({"device_cgroup_rules": ["c 1:* rwm"]}), "devices"),
        (json!({"gpus": [{"count": -1}]}), "GPU"),
        (
            json!({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}}),
            "GPU",
        ),
        (json!({"pid": "host"}), "process namespace"),
        (
            json!({"cap_add": ["CAP_SYS_ADMIN"]}),
            "capability CAP_SYS_ADMIN",
        ),
        (json!({"cap_add": ["net_admin"]}), "capability net_admin"),
        (json!({"network_mode": "container:abc"}), "not of the unit"),
        (json!({"ipc": "container:abc"}), "not of the unit"),
        (
            json!({"volumes_from": ["container:abc"]}),
            "volumes of another container",
        ),
        (json!({"provider": {"type": "x"}}), "program of the host"),
        (
            json!({"network_mode": "service:gone"}),
            "`gone`, which is left out",
        ),
    ];
    for (service, why) in cases {
        let config = json!({"services": {
            "a": {"image": "a", "network_mode": "service:b"}, "b": {"image": "b", "pid": "service:c"}, "c": service, "d": {"image": "d"},
        }});
        let names = ["a", "b", "c", "d", "lost"].map(str::to_owned);
        let left = left_out(
            std::slice::from_ref(&config),
            names.iter(),
            Path::new("/var/run/docker.sock"),
        );
        let names: Vec<&str> = left.iter().map(|left| left.service.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "lost"], "{service}");
        assert!(left[2].reason.contains(why), "{:?}", left[2]);
        let isolated = isolated(config);
        let services = isolated.compose["services"].as_object().unwrap();
        assert_eq!(services.keys().collect::<Vec<_>>(), ["d"]);
    }
}

#[test]
fn what_lives_in_another_service_of_the_copy_does_so_again_and_starts_after_it() {
    let isolated = isolated(json!({"services": {
        "vpn": {"image": "v", "restart": "unless-stopped"},
        "app": {"image": "a", "network_mode": "service:vpn", "pid": "service:vpn", "ipc": "shareable",
            "depends_on": {"vpn": {"condition": "service_healthy"}}},
    }}));
    let app = &isolated.compose["services"]["app"];
    assert_eq!(
        (&app["network_mode"], &app["networks"]),
        (&json!("service:vpn"), &Value::Null)
    );
    assert_eq!(
        (&app["pid"], &app["ipc"]),
        (&json!("service:vpn"), &json!("shareable"))
    );
    let needs = &isolated.booting["app"].needs;
    assert!(
        needs.contains(&("vpn".to_owned(), Condition::ServiceHealthy)),
        "{needs:?}"
    );
    assert!(isolated.booting["vpn"].is_restarted && !isolated.booting["app"].is_restarted);
}

#[test]
fn a_container_becomes_what_compose_would_have_said() {
    let inspect = json!({
        "Id": "0123456789abcdef", "Name": "/cache",
        "Config": {
            "Hostname": "0123456789ab", "Cmd": ["run", "$HOME"], "Env": ["A=b$c", "TOKEN=***REDACTED***"], "User": "5", "WorkingDir": "/w",
            "Healthcheck": {"Test": ["CMD", "ok"], "Interval": 5_000_000_000_u64, "Retries": 3}, "Labels": {"traefik.enable": "true"},
        },
        "HostConfig": {
            "NetworkMode": "bridge", "RestartPolicy": {"Name": "always"}, "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "CapAdd": ["SYS_NICE"], "Tmpfs": {"/t": "size=1m"}, "ShmSize": 67_108_864, "IpcMode": "private", "ReadonlyRootfs": true,
        },
        "Mounts": [
            {"Type": "volume", "Name": "web_db", "Source": "/x", "Destination": "/db", "RW": true},
            {"Type": "bind", "Source": "/srv/data", "Destination": "/data", "RW": false},
        ],
        "NetworkSettings": {"Networks": {"bridge": {"Aliases": null}, "shop": {"Aliases": ["cache", "0123456789ab"]}}},
    });
    let secrets = BTreeMap::from([(
        "cache".to_owned(),
        BTreeMap::from([("TOKEN".to_owned(), "x".to_owned())]),
    )]);
    let containers = BTreeMap::from([("cache".to_owned(), &inspect)]);
    let isolated = isolated(config_of(&containers, &secrets, &["host"]));
    let expected = json!({
        "image": "sha256:cache", "pull_policy": "never", "restart": "no", "command": ["run", "$$HOME"], "user": "5", "working_dir": "/w",
        "environment": {"A": "b$$c", "TOKEN": "x"}, "tmpfs": ["/t:size=1m"], "shm_size": "67108864", "read_only": true,
        "healthcheck": {"test": ["CMD", "ok"], "interval": "5000000000ns", "retries": 3},
        "labels": {"kopi-docka.drill": "1", "traefik.enable": ""},
        "logging": {"driver": "json-file", "options": {"max-size": "10m"}},
        "networks": {"default": {"aliases": ["web-cache-1"]}, "shop": {"aliases": ["cache", "web-cache-1"]}},
        "volumes": [
            {"type": "volume", "source": "web-drill-1_web_db", "target": "/db"},
            {"type": "bind", "source": format!("{FOLDER}/binds/0"), "target": "/data", "bind": {"create_host_path": false}, "read_only": true},
            {"type": "volume", "source": format!("web-drill-1_{}", "f".repeat(64)), "target": "/unnamed"},
        ],
    });
    assert_eq!(isolated.compose["services"]["cache"], expected);
    assert!(isolated.booting["cache"].is_restarted);
    let told: Vec<String> = isolated.dropped.iter().map(ToString::to_string).collect();
    assert!(
        told.contains(&"`cache`: published port 8080:80/tcp".to_owned()),
        "{told:?}"
    );
}

#[test]
fn what_docker_made_is_looked_at() {
    let names =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let (networks, volumes, containers) = (names(&["x_default"]), names(&["x_db"]), names(&["c1"]));
    let own = Own {
        id: "1",
        folder: Path::new(FOLDER),
        networks: &networks,
        volumes: &volumes,
        containers: &containers,
    };
    let made = json!({
        "Config": {"Labels": {"kopi-docka.drill": "1"}},
        "HostConfig": {
            "NetworkMode": "container:c1", "IpcMode": "private", "RestartPolicy": {"Name": "no"}, "CapAdd": null, "Devices": [],
            "PortBindings": {}, "Binds": ["x_db:/db:rw"], "SecurityOpt": ["no-new-privileges:true"], "CgroupnsMode": "host",
            "Mounts": [{"Type": "bind", "Source": format!("{FOLDER}/binds/0")}],
        },
        "NetworkSettings": {"Networks": {"x_default": {}}},
        "Mounts": [
            {"Type": "volume", "Name": "x_db", "Driver": "local"}, {"Type": "volume", "Name": "a".repeat(64), "Driver": "local"},
            {"Type": "bind", "Source": format!("{FOLDER}/binds/0")},
        ],
    });
    assert_eq!(own.ways_out(&made), Vec::<String>::new());
    let wrong = [
        ("/HostConfig/Privileged", json!(true)),
        ("/HostConfig/PublishAllPorts", json!(true)),
        ("/HostConfig/CapAdd", json!(["ALL"])),
        ("/HostConfig/Devices", json!([{}])),
        ("/HostConfig/PortBindings", json!({"80/tcp": []})),
        ("/HostConfig/NetworkMode", json!("host")),
        ("/HostConfig/NetworkMode", json!("container:original")),
        ("/HostConfig/PidMode", json!("host")),
        ("/HostConfig/VolumesFrom", json!(["original"])),
        ("/HostConfig/SecurityOpt", json!(["apparmor=unconfined"])),
        ("/HostConfig/RestartPolicy/Name", json!("always")),
        ("/HostConfig/Binds", json!(["/srv/data:/data"])),
        (
            "/HostConfig/Mounts/0/Source",
            json!("/backup/drills/web-drill-12/x"),
        ),
        ("/Mounts/0/Name", json!("web_db")),
        ("/Mounts/0/Driver", json!("nfs")),
        ("/Mounts/2/Source", json!("/srv/data")),
        ("/NetworkSettings/Networks", json!({"proxy": {}})),
        ("/Config/Labels", json!({})),
    ];
    for (at, value) in wrong {
        let mut made = made.clone();
        let (parent, key) = at.rsplit_once('/').unwrap();
        match made.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            place => place[key] = value,
        }
        assert!(!own.ways_out(&made).is_empty(), "{at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Who can write into the repository can write anything into a compose file.
    #[test]
    fn whatever_the_files_say_only_what_is_allowed_comes_out(config in odd(hostile())) {
        let isolated = isolated(config);
        let top: Vec<&String> = isolated.compose.as_object().unwrap().keys().collect();
        prop_assert_eq!(top, ["name", "services", "networks", "volumes", "secrets", "configs"].iter().collect::<Vec<_>>());
        for (_, network) in isolated.compose["networks"].as_object().unwrap() {
            prop_assert_eq!(network, &json!({"internal": true, "labels": {"kopi-docka.drill": "1"}}));
        }
        for (key, volume) in isolated.compose["volumes"].as_object().unwrap() {
            prop_assert!(key.starts_with("web-drill-1_"));
            prop_assert_eq!(volume, &json!({"name": key, "external": true}));
        }
        for (_, service) in isolated.compose["services"].as_object().unwrap() {
            for key in ["ports", "privileged", "devices", "cap_add", "build", "container_name", "extra_hosts", "volumes_from", "runtime"] {
                prop_assert!(service.get(key).is_none(), "{}", key);
            }
            prop_assert_eq!(&service["restart"], "no");
            prop_assert_eq!(&service["pull_policy"], "never");
            for mount in service["volumes"].as_array().into_iter().flatten() {
                let source = mount["source"].as_str().unwrap_or_default();
                match mount["type"].as_str().unwrap() {
                    "bind" => prop_assert!(source.starts_with(FOLDER), "{}", source),
                    "volume" => prop_assert!(source.is_empty() || source.starts_with("web-drill-1_"), "{}", source),
                    kind => prop_assert_eq!(kind, "tmpfs"),
                }
            }
        }
    }
}
