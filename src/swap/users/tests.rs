use super::*;
use crate::error::render;
use crate::model::unit::Mount;
use crate::model::{UnitKind, UnitName};

const POLICY: Policy = Policy {
    shared: SharedVolumes::Stop,
    stop_timeout_seconds: 10,
};

fn container(name: &str, state: ContainerState, mounts: Vec<Mount>) -> Container {
    Container {
        id: name.to_owned(),
        name: name.to_owned(),
        image: String::new(),
        image_id: String::new(),
        state,
        project: None,
        service: None,
        number: None,
        auto_remove: false,
        stop_timeout_seconds: None,
        has_healthcheck: false,
        dependencies: Vec::new(),
        mounts,
        database: None,
        labels: Default::default(),
        started_at: String::new(),
        standing: Default::default(),
    }
}

fn volume(name: &str) -> Mount {
    Mount {
        kind: MountKind::Volume,
        name: name.to_owned(),
        source: format!("/docker/volumes/{name}/_data").into(),
        destination: "/d".to_owned(),
        read_write: false,
    }
}

fn bind(path: &str, read_write: bool) -> Mount {
    Mount {
        kind: MountKind::Bind,
        name: String::new(),
        source: path.into(),
        destination: "/d".to_owned(),
        read_write,
    }
}

fn unit(containers: Vec<Container>) -> Unit {
    Unit {
        name: UnitName::parse("u").unwrap(),
        kind: UnitKind::Stack,
        levels: containers
            .iter()
            .map(|container| vec![container.id.clone()])
            .collect(),
        containers,
        sources: Vec::new(),
        networks: Vec::new(),
        compose: None,
        gaps: Vec::new(),
        not_coverable: None,
        blocker: None,
        enabled: true,
        warnings: Vec::new(),
    }
}

fn swapped() -> Vec<Place> {
    vec![
        Place {
            key: SourceKey::Volume {
                name: "v".to_owned(),
            },
            path: "/docker/volumes/v/_data".into(),
        },
        Place {
            key: SourceKey::Bind {
                path: "/srv/link".into(),
            },
            path: "/srv/real".into(),
        },
    ]
}

fn found(members: Vec<Container>, others: Vec<Container>, policy: Policy) -> Result<Users> {
    let unit = unit(members.clone());
    let host = Discovery {
        units: vec![unit.clone()],
        orphan_volumes: Vec::new(),
        containers: members.into_iter().chain(others).collect(),
        ids: Default::default(),
    };
    let real = BTreeMap::from([(PathBuf::from("/srv/link"), PathBuf::from("/srv/real"))]);
    find(&host, Some(&unit), &swapped(), &real, policy)
}

fn names(users: &Users) -> Vec<&str> {
    users
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect()
}

use ContainerState::{Exited, Paused, Running};

#[test]
fn all_that_runs_of_the_unit_and_all_that_would_be_left_with_the_old_content_is_stopped() {
    let users = found(
        vec![
            container("db", Running, vec![volume("v")]),
            container("web", Running, Vec::new()),
            container("job", Exited, vec![volume("v")]),
        ],
        vec![
            container("reader", Running, vec![volume("v")]),
            container("by-link", Running, vec![bind("/srv/link", false)]),
            container("deeper", Running, vec![bind("/srv/real/a", false)]),
            container("above", Running, vec![bind("/srv", true)]),
            container("exporter", Running, vec![bind("/", false)]),
            container("stopped", Exited, vec![volume("v")]),
            container(
                "sibling",
                Running,
                vec![bind("/srv/realm", true), volume("vv")],
            ),
        ],
        POLICY,
    )
    .unwrap();
    assert_eq!(
        names(&users),
        ["db", "web", "reader", "by-link", "deeper", "above"]
    );
    assert_eq!(users.entries[1].level, 1);
    assert_eq!(users.entries[2].level, 3, "others are stopped first");
    assert_eq!(users.warnings.len(), 4);
}

#[test]
fn a_writer_above_is_let_be_when_the_operator_wants_so_but_never_one_that_holds_the_old_content() {
    let warn = Policy {
        shared: SharedVolumes::Warn,
        ..POLICY
    };
    let users = found(
        Vec::new(),
        vec![
            container("above", Running, vec![bind("/srv", true)]),
            container("holder", Running, vec![bind("/srv/real", false)]),
        ],
        warn,
    )
    .unwrap();
    assert_eq!(names(&users), ["holder"]);
    assert_eq!(users.tolerated, ["above"]);
}

#[test]
fn what_can_be_neither_stopped_nor_left_is_refused_with_a_remedy() {
    let mut removed = container("tmp", Running, vec![volume("v")]);
    removed.auto_remove = true;
    let paused = container("frozen", Paused, vec![volume("v")]);
    for (one, remedy) in [
        (removed, "docker stop tmp"),
        (paused, "docker unpause frozen"),
    ] {
        let member = found(vec![one.clone()], Vec::new(), POLICY).unwrap_err();
        let other = found(Vec::new(), vec![one], POLICY).unwrap_err();
        for error in [member, other] {
            let text = render(&error);
            assert!(
                text.contains(remedy) && text.contains("nothing was changed"),
                "{text}"
            );
        }
    }
    let mut bystander = container("tmp", Running, Vec::new());
    bystander.auto_remove = true;
    let users = found(vec![bystander], Vec::new(), POLICY).unwrap();
    assert_eq!((users.entries.len(), users.warnings.len()), (0, 1));
}
