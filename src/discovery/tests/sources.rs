//! What is read, what is not, and who could write to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::build::{TestHost, container, gaps, keys};
use crate::discovery::host::PathKind;
use crate::discovery::rules::{BindMode, BindRules, Rules};
use crate::discovery::{BindLimit, leave_out_too_large};
use crate::model::source::SourceKey;

#[test]
fn volumes_are_read_where_their_data_is() {
    let host = TestHost::new()
        .with(
            container("a")
                .volume("plain", "/p")
                .volume("bound", "/b")
                .volume("nas", "/n")
                .volume("plugin", "/x")
                .volume("scratch", "/s"),
        )
        .with_path("/srv/bound", PathKind::Directory)
        .with_volume(
            "bound",
            "local",
            json!({"type": "none", "o": "bind", "device": "/srv/bound"}),
        )
        .with_volume(
            "nas",
            "local",
            json!({"type": "nfs", "o": "addr=nas", "device": ":/x"}),
        )
        .with_volume("plugin", "sshfs", json!({}))
        .with_volume(
            "scratch",
            "local",
            json!({"type": "tmpfs", "device": "tmpfs"}),
        );
    let unit = host.only();
    let paths: Vec<&Path> = unit
        .sources
        .iter()
        .map(|source| source.path.as_path())
        .collect();
    assert_eq!(
        paths,
        [
            Path::new("/srv/bound"),
            Path::new("/var/lib/docker/volumes/plain/_data")
        ]
    );
    assert_eq!(
        gaps(&unit),
        [
            "volume `nas`: NotLocal!",
            "volume `scratch`: Ephemeral",
            "volume `plugin`: NotLocal!"
        ]
    );
    assert_eq!(unit.blocker, None);
}

#[test]
fn a_volume_that_this_process_cannot_see_blocks_its_unit_and_no_other() {
    for kind in [PathKind::Missing, PathKind::Denied, PathKind::Silent] {
        let host = TestHost::new()
            .with(container("a").volume("v", "/v"))
            .with(container("b").volume("w", "/w"))
            .with_path("/var/lib/docker/volumes/v/_data", kind);
        let unit = host.unit("a");
        assert!(unit.blocker.as_deref().unwrap().contains("volume `v`"));
        assert_eq!(gaps(&unit), ["volume `v`: Missing!"]);
        assert_eq!(host.unit("b").blocker, None);
    }
}

#[test]
fn what_is_no_data_is_left_out_with_its_reason() {
    let host = TestHost::new()
        .with(
            container("agent")
                .bind("/", "/host")
                .bind("/var/run/docker.sock", "/var/run/docker.sock")
                .bind("/proc", "/host/proc")
                .bind("/dev/dri", "/dev/dri")
                .bind("/etc/localtime", "/etc/localtime")
                .bind("/var/log", "/logs")
                .bind("/var/lib/docker/containers", "/containers")
                .bind("/var/lib/docker/volumes/x/_data", "/x")
                .bind("/var/lib", "/lib")
                .bind("/mnt/ram", "/transcode")
                .bind("/etc/letsencrypt", "/certs")
                .bind("/srv/pipe", "/pipe")
                .bind("/srv/gone", "/gone")
                .set("HostConfig/Tmpfs", json!({"/tmp": ""})),
        )
        .with_mount("/proc", "proc", 5)
        .with_mount("/mnt/ram", "tmpfs", 6)
        .with_path("/var/run/docker.sock", PathKind::Socket)
        .with_path("/dev/dri", PathKind::Device)
        .with_path("/srv/pipe", PathKind::Fifo)
        .with_path("/srv/gone", PathKind::Missing);
    let unit = host.only();
    assert_eq!(
        keys(&unit),
        [
            "bind mount `/etc/letsencrypt`",
            "bind mount `/var/lib/docker/volumes/x/_data`"
        ]
    );
    assert_eq!(
        gaps(&unit),
        [
            "tmpfs `/tmp` of container `agent`: Ephemeral",
            "bind mount `/`: OperatingSystem",
            "bind mount `/dev/dri`: Ephemeral",
            "bind mount `/etc/localtime`: OperatingSystem",
            "bind mount `/mnt/ram`: Ephemeral",
            "bind mount `/proc`: Ephemeral",
            "bind mount `/srv/gone`: Missing!",
            "bind mount `/srv/pipe`: Ephemeral",
            "bind mount `/var/lib`: OperatingSystem",
            "bind mount `/var/lib/docker/containers`: OperatingSystem",
            "bind mount `/var/log`: OperatingSystem",
            "bind mount `/var/run/docker.sock`: Ephemeral",
        ]
    );
}

#[test]
fn what_holds_the_backups_is_not_backed_up() {
    let rules = Rules {
        repository: Some("/backup/repo".into()),
        own_paths: vec!["/var/lib/kopi-docka".into(), "/mnt/cache".into()],
        ..Rules::default()
    };
    let host = TestHost::new()
        .with(
            container("a")
                .bind("/backup", "/backup")
                .bind("/backup/repo/p", "/p")
                .bind("/var/lib/kopi-docka", "/state")
                .bind("/var/lib/kopi-docka-web", "/web")
                .bind("/mnt/cache/below", "/below")
                .volume("repo", "/repo"),
        )
        .with_volume(
            "repo",
            "local",
            json!({"type": "none", "o": "bind", "device": "/backup/repo"}),
        )
        .with_path("/backup/repo", PathKind::Directory)
        .with_rules(rules);
    let unit = host.only();
    assert_eq!(
        keys(&unit),
        [
            "bind mount `/mnt/cache/below`",
            "bind mount `/var/lib/kopi-docka-web`"
        ]
    );
    assert_eq!(
        gaps(&unit),
        [
            "volume `repo`: OwnState",
            "bind mount `/backup`: OwnState!",
            "bind mount `/backup/repo/p`: OwnState",
            "bind mount `/var/lib/kopi-docka`: OwnState",
        ]
    );
}

#[test]
fn a_link_to_the_repository_does_not_hide_it() {
    let host = TestHost::new()
        .with(container("a").bind("/srv/link", "/data"))
        .with_link("/srv/link", "/backup")
        .with_rules(Rules {
            repository: Some("/backup/repo".into()),
            ..Rules::default()
        });
    assert_eq!(gaps(&host.only()), ["bind mount `/srv/link`: OwnState!"]);
}

#[test]
fn a_bind_is_known_by_its_name_and_read_at_its_real_path() {
    let host = TestHost::new()
        .with(container("a").bind("/srv/link", "/data"))
        .with_link("/srv/link", "/mnt/disk/data");
    let unit = host.only();
    assert_eq!(keys(&unit), ["bind mount `/srv/link`"]);
    assert_eq!(unit.sources[0].path, Path::new("/mnt/disk/data"));
}

#[test]
fn one_place_is_read_once_whoever_mounts_it() {
    let host = TestHost::new()
        .with(
            container("a")
                .of("app", "a")
                .bind("/srv/data", "/data")
                .bind("/srv/data/", "/again"),
        )
        .with(
            container("b")
                .of("app", "b")
                .bind("/srv/data", "/b")
                .read_only()
                .bind("/srv/data/sub", "/sub"),
        )
        .with(
            container("c")
                .of("app", "c")
                .bind("/srv/alias", "/c")
                .volume("v", "/v"),
        )
        .with(
            container("d")
                .of("app", "d")
                .bind("/var/lib/docker/volumes/v/_data/x", "/x"),
        )
        .with_link("/srv/alias", "/srv/data");
    let unit = host.only();
    assert_eq!(keys(&unit), ["volume `v`", "bind mount `/srv/alias`"]);
    let data = &unit.sources[1];
    let covered: Vec<String> = data
        .covers
        .iter()
        .map(|source| source.key.to_string())
        .collect();
    assert_eq!(
        covered,
        ["bind mount `/srv/data`", "bind mount `/srv/data/sub`"]
    );
    assert_eq!(data.covers[0].destinations, ["/again", "/b", "/data"]);
    assert_eq!(data.writers, ["a", "b", "c"]);
    assert_eq!(unit.sources[0].writers, ["c", "d"]);
    assert_eq!(unit.gaps, []);
}

#[test]
fn other_file_systems_inside_a_source_are_told_unless_they_are_sources() {
    let host = TestHost::new()
        .with(
            container("a")
                .bind("/srv", "/srv")
                .bind("/srv/disk2/app", "/app"),
        )
        .with_mount("/srv/disk1", "xfs", 11)
        .with_mount("/srv/disk2", "xfs", 12)
        .with_mount("/srv/disk2/app", "xfs", 13)
        .with_mount("/srv/again", "ext4", 1)
        .with_mount("/srv/ns", "nsfs", 14);
    let unit = host.only();
    assert_eq!(
        keys(&unit),
        ["bind mount `/srv`", "bind mount `/srv/disk2/app`"]
    );
    assert_eq!(
        gaps(&unit),
        [
            "`/srv/disk1` inside bind mount `/srv`: OtherFileSystem!",
            "`/srv/disk2` inside bind mount `/srv`: OtherFileSystem!",
            "`/srv/ns` inside bind mount `/srv`: Ephemeral",
        ]
    );
}

#[test]
fn a_place_behind_another_file_system_is_read_for_itself() {
    let host = TestHost::new()
        .with(
            container("a")
                .bind("/srv", "/srv")
                .bind("/srv/disk/back/x", "/x"),
        )
        .with_mount("/srv/disk", "xfs", 11)
        .with_mount("/srv/disk/back", "ext4", 1);
    assert_eq!(
        keys(&host.only()),
        ["bind mount `/srv`", "bind mount `/srv/disk/back/x`"]
    );
}

#[test]
fn every_container_that_could_write_counts_wherever_it_belongs() {
    let host = TestHost::new()
        .with(
            container("own")
                .volume("v", "/v")
                .bind("/srv/app/data", "/data"),
        )
        .with(container("above").bind("/srv", "/srv"))
        .with(container("below").bind("/srv/app/data/x/y", "/y"))
        .with(container("beside").bind("/srv/app/data2", "/d"))
        .with(container("reader").volume("v", "/v").read_only())
        .with(container("root").bind("/", "/host"))
        .with(container("by-path").bind("/var/lib/docker/volumes", "/volumes"))
        .with(
            container("off")
                .label("kopi-docka.enable", "false")
                .volume("v", "/v"),
        )
        .with(
            container("stopped")
                .volume("v", "/v")
                .set("State/Status", json!("exited")),
        );
    let unit = host.unit("own");
    let writers = |key: &str| {
        let source = unit
            .sources
            .iter()
            .find(|source| source.key.to_string() == key)
            .unwrap();
        source.writers.clone()
    };
    assert_eq!(
        writers("volume `v`"),
        ["by-path", "off", "own", "root", "stopped"]
    );
    assert_eq!(
        writers("bind mount `/srv/app/data`"),
        ["above", "below", "own", "root"]
    );
}

#[test]
fn excludes_of_every_rank_reach_tar() {
    let mut host = TestHost::new().with(
        container("a")
            .volume("v", "/v")
            .label("kopi-docka.exclude", "*.log,*.tmp"),
    );
    host.rules.exclude_patterns = vec!["*.tmp".into()];
    host.rules
        .units
        .entry("a".into())
        .or_default()
        .exclude_patterns = vec!["cache".into()];
    assert_eq!(
        host.only().sources[0].exclude_patterns,
        ["*.tmp", "cache", "*.log"]
    );
}

#[test]
fn an_operator_can_leave_out_and_take_in() {
    let rules = Rules {
        binds: BindRules {
            exclude: vec!["/mnt/media".into()],
            include: vec!["/var/log".into(), "/".into()],
            ..BindRules::default()
        },
        ..Rules::default()
    };
    let host = TestHost::new()
        .with(
            container("a")
                .bind("/mnt/media/films", "/films")
                .bind("/var/log", "/log")
                .bind("/", "/host")
                .bind("/srv", "/srv")
                .bind("/srv/cache", "/cache")
                .label("kopi-docka.bind.exclude", "cache"),
        )
        .with_rules(rules);
    let unit = host.only();
    assert_eq!(keys(&unit), ["bind mount `/srv`", "bind mount `/var/log`"]);
    assert_eq!(
        gaps(&unit),
        [
            "bind mount `/`: OperatingSystem",
            "bind mount `/mnt/media/films`: ExcludedByOperator",
            "bind mount `/srv/cache`: ExcludedByOperator",
        ]
    );
    assert_eq!(unit.warnings.len(), 1);
    assert!(
        unit.warnings[0].contains("is read with it"),
        "{:?}",
        unit.warnings
    );

    let mut none = TestHost::new()
        .with(
            container("a")
                .bind("/srv", "/srv")
                .volume("v", "/v")
                .volume("bound", "/b"),
        )
        .with_path("/opt/bound", PathKind::Directory)
        .with_volume(
            "bound",
            "local",
            json!({"type": "none", "o": "bind", "device": "/opt/bound"}),
        );
    none.rules.binds.mode = BindMode::None;
    assert_eq!(keys(&none.only()), ["volume `bound`", "volume `v`"]);
}

#[test]
fn a_glob_that_is_none_is_told_and_leaves_nothing_out() {
    let host = TestHost::new().with(
        container("a")
            .bind("/srv", "/srv")
            .label("kopi-docka.bind.exclude", "/a/["),
    );
    let unit = host.only();
    assert_eq!(keys(&unit), ["bind mount `/srv`"]);
    assert!(
        unit.warnings[0].contains("`/a/[` is not a glob"),
        "{:?}",
        unit.warnings
    );
}

#[test]
fn when_a_large_bind_goes_the_small_ones_inside_it_stay() {
    let rules = Rules {
        binds: BindRules {
            max_bytes: Some(100),
            include: vec!["/opt/wanted".into()],
            ..BindRules::default()
        },
        ..Rules::default()
    };
    let host = TestHost::new()
        .with(
            container("a")
                .bind("/mnt/media", "/media")
                .bind("/mnt/media/config", "/config")
                .bind("/mnt/media/config/deep", "/deep")
                .bind("/opt/wanted", "/wanted")
                .bind("/srv", "/srv")
                .volume("v", "/v"),
        )
        .with_rules(rules.clone());
    let mut unit = host.only();
    let bind = |path: &str| SourceKey::Bind {
        path: PathBuf::from(path),
    };
    let sizes = BTreeMap::from([
        (bind("/mnt/media"), 101),
        (bind("/opt/wanted"), 1000),
        (SourceKey::Volume { name: "v".into() }, 1000),
    ]);
    let limit = BindLimit::new(&unit, &rules);
    let unmeasured = BTreeSet::from([bind("/srv"), SourceKey::Volume { name: "v".into() }]);
    let patience = Duration::from_secs(9);
    leave_out_too_large(&mut unit, &limit, &sizes, &unmeasured, patience);
    assert_eq!(
        keys(&unit),
        [
            "volume `v`",
            "bind mount `/mnt/media/config`",
            "bind mount `/opt/wanted`",
        ]
    );
    assert_eq!(unit.sources[1].covers.len(), 1);
    unit.gaps.sort_by(|a, b| a.what.cmp(&b.what));
    assert_eq!(
        gaps(&unit),
        [
            "bind mount `/mnt/media`: TooLarge!",
            "bind mount `/srv`: TooLarge!"
        ]
    );
    let details = [&unit.gaps[0].detail, &unit.gaps[1].detail];
    assert!(details[0].contains("more than the 100 B"), "{details:?}");
    assert!(details[1].contains("within 9 s"), "{details:?}");
}
