//! Who belongs together, in which order, and who is left alone.

use serde_json::json;

use super::build::{TestHost, container, gaps, keys};
use crate::discovery::rules::{Rules, UnitRules};
use crate::model::unit::{Condition, UnitKind};

const DEPENDS: &str = "com.docker.compose.depends_on";

#[test]
fn a_project_is_one_unit_with_its_stopped_members_and_levels() {
    let unit = TestHost::new()
        .with(
            container("web")
                .of("app", "web")
                .label(DEPENDS, "api:service_started:false"),
        )
        .with(container("api").of("app", "api").label(
            DEPENDS,
            "db:service_healthy:true,cache:service_started:true",
        ))
        .with(
            container("db")
                .of("app", "db")
                .set("State/Status", json!("exited"))
                .set("Config/Image", json!("postgres:16")),
        )
        .with(container("cache-1").of("app", "cache"))
        .with(
            container("cache-2")
                .of("app", "cache")
                .label(DEPENDS, "db:service_started:false"),
        )
        .with(
            container("vpn-user")
                .of("app", "v")
                .set("HostConfig/NetworkMode", json!("container:web")),
        )
        .only();
    assert_eq!((unit.name.as_str(), unit.kind), ("app", UnitKind::Stack));
    assert_eq!(
        unit.levels,
        [
            vec!["cache-1", "db"],
            vec!["cache-2"],
            vec!["api"],
            vec!["web"],
            vec!["vpn-user"]
        ]
    );
    let api = unit.containers.iter().find(|c| c.name == "api").unwrap();
    assert_eq!(
        api.dependencies.len(),
        3,
        "every replica is needed: {:?}",
        api.dependencies
    );
    assert_eq!(api.dependencies[0].condition, Condition::ServiceHealthy);
    let db = unit.containers.iter().find(|c| c.name == "db").unwrap();
    assert_eq!(db.database, Some("postgresql"));
    assert!(!db.state.is_up());
    assert_eq!((unit.warnings, unit.gaps.len()), (vec![], 0));
}

#[test]
fn a_container_without_labels_and_data_is_a_unit_too() {
    let host = TestHost::new().with(container("lone").set("State/Status", json!("created")));
    let unit = host.only();
    assert_eq!(
        (unit.kind, unit.levels.len(), unit.compose),
        (UnitKind::Standalone, 1, None)
    );
}

#[test]
fn a_container_named_like_a_project_gets_a_name_of_its_own() {
    let host = TestHost::new()
        .with(container("app"))
        .with(container("app-web-1").of("app", "web"));
    assert_eq!(host.unit("app").kind, UnitKind::Stack);
    let lone = host.unit("app.container");
    assert_eq!(lone.kind, UnitKind::Standalone);
    assert_eq!(lone.warnings.len(), 1);
}

#[test]
fn a_circle_is_told_with_its_members() {
    let unit = TestHost::new()
        .with(container("a").of("app", "a").label(DEPENDS, "b"))
        .with(container("b").of("app", "b").label(DEPENDS, "a"))
        .only();
    assert_eq!(unit.levels, [["a", "b"]]);
    assert!(
        unit.warnings[0].starts_with("a, b depend on each other"),
        "{:?}",
        unit.warnings
    );
}

#[test]
fn a_one_off_is_no_service_but_its_data_and_its_writing_count() {
    let one_off = container("app-run-1")
        .of("app", "web")
        .label("com.docker.compose.oneoff", "True")
        .volume("app_data", "/data")
        .volume("app_extra", "/extra");
    let unit = TestHost::new()
        .with(
            container("app-web-1")
                .of("app", "web")
                .volume("app_data", "/data"),
        )
        .with(one_off)
        .only();
    assert_eq!(unit.containers.len(), 1);
    assert_eq!(unit.levels, [["app-web-1"]]);
    assert_eq!(keys(&unit), ["volume `app_data`", "volume `app_extra`"]);
    assert_eq!(unit.sources[0].writers, ["app-run-1", "app-web-1"]);
}

#[test]
fn tasks_and_pods_are_listed_but_never_touched() {
    let host = TestHost::new()
        .with(
            container("blog_web.1.x")
                .label("com.docker.swarm.task.id", "x")
                .label("com.docker.swarm.service.name", "blog_web")
                .label("com.docker.stack.namespace", "blog")
                .volume("blog_data", "/data"),
        )
        .with(
            container("k8s_pause")
                .label("io.kubernetes.pod.name", "coredns")
                .label("io.kubernetes.pod.namespace", "kube-system"),
        )
        .with(container("reader").volume("blog_data", "/data"));
    let blog = host.unit("blog");
    assert!(blog.not_coverable.as_deref().unwrap().contains("Swarm"));
    assert_eq!(gaps(&blog), ["unit `blog`: NotCoverable!"]);
    assert!(host.unit("kube-system.coredns").not_coverable.is_some());
    let reader = host.unit("reader");
    assert_eq!(reader.not_coverable, None);
    assert_eq!(reader.sources[0].writers, ["blog_web.1.x", "reader"]);
}

#[test]
fn a_container_that_a_stop_would_delete_is_told() {
    let host = TestHost::new()
        .with(container("web").volume("data", "/data"))
        .with(
            container("job")
                .volume("data", "/d")
                .set("HostConfig/AutoRemove", json!(true)),
        )
        .with(container("tool").set("HostConfig/AutoRemove", json!(true)))
        .with(
            container("ended")
                .volume("data", "/d")
                .set("HostConfig/AutoRemove", json!(true))
                .set("State/Status", json!("exited")),
        );
    assert_eq!(gaps(&host.unit("web")), ["container `job`: AutoRemove!"]);
    assert_eq!(gaps(&host.unit("tool")), ["container `tool`: AutoRemove"]);
}

#[test]
fn a_label_on_one_service_keeps_only_its_own_data_out() {
    let host = TestHost::new()
        .with(
            container("web")
                .of("app", "web")
                .volume("data", "/d")
                .volume("shared", "/s"),
        )
        .with(
            container("cache")
                .of("app", "cache")
                .label("kopi-docka.enable", "false")
                .volume("cache", "/c")
                .volume("shared", "/s"),
        );
    let unit = host.only();
    assert!(unit.enabled);
    let told = unit.warnings.iter().filter(|warning| {
        warning.contains("kopi-docka.enable=false")
            && warning.contains(&format!("unit `{}`", unit.name))
    });
    assert_eq!(told.count(), 1, "{:?}", unit.warnings);
    assert_eq!(keys(&unit), ["volume `data`", "volume `shared`"]);
    assert_eq!(gaps(&unit), ["volume `cache`: ExcludedByOperator"]);
    assert_eq!(
        unit.containers.len(),
        2,
        "it is still stopped with the others"
    );
}

#[test]
fn a_disabled_unit_is_listed_with_all_that_it_has() {
    let rules = |enabled| Rules {
        units: [(
            "app".to_owned(),
            UnitRules {
                enabled,
                ..UnitRules::default()
            },
        )]
        .into(),
        ..Rules::default()
    };
    let host = || {
        TestHost::new().with(
            container("app")
                .label("kopi-docka.enable", "false")
                .volume("data", "/d"),
        )
    };
    let by_label = host().only();
    assert!(!by_label.enabled);
    assert_eq!(keys(&by_label), ["volume `data`"]);
    assert!(host().with_rules(rules(Some(true))).only().enabled);
    let by_rules = TestHost::new()
        .with(container("app"))
        .with_rules(rules(Some(false)));
    assert!(!by_rules.only().enabled);
}

#[test]
fn a_neighbour_whose_network_is_used_is_told_on() {
    let host = TestHost::new()
        .with(container("vpn"))
        .with(container("torrent").set("HostConfig/NetworkMode", json!("container:vpn")));
    let unit = host.unit("torrent");
    assert!(unit.containers[0].dependencies.is_empty());
    assert!(
        unit.warnings[0].contains("uses the network of `vpn`"),
        "{:?}",
        unit.warnings
    );
}

#[test]
fn networks_of_the_engine_are_not_a_units() {
    let networks = json!({"bridge": {}, "app_default": {}, "none": {}, "host": {}});
    let unit = TestHost::new()
        .with(container("a").set("NetworkSettings/Networks", networks))
        .only();
    assert_eq!(unit.networks, ["app_default"]);
}

#[test]
fn a_volume_that_nobody_uses_is_told_for_the_host() {
    let host = TestHost::new()
        .with(container("a").volume("used", "/d"))
        .with_volume("forgotten", "local", json!({}))
        .with_volume(&"0".repeat(64), "local", json!({}))
        .with_volume("far", "local", json!({"type": "nfs", "device": ":/x"}));
    let orphans = host.orphans();
    let names: Vec<(&str, bool, bool)> = orphans
        .iter()
        .map(|volume| {
            (
                volume.name.as_str(),
                volume.is_anonymous,
                volume.path.is_some(),
            )
        })
        .collect();
    let hash = "0".repeat(64);
    assert_eq!(
        names,
        [
            (hash.as_str(), true, true),
            ("far", false, false),
            ("forgotten", false, true)
        ]
    );
}
