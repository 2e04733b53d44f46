//! Where the data of a mount really is on this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::labels;
use crate::drivers::docker::Volume;
use crate::model::unit::{Mount, MountKind};
use crate::ui::unnamed::is_unnamed;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path that is there whether containers run or not.
    Path(PathBuf),
    /// Not on this host's own disks, or only while a container runs: why.
    Elsewhere(String),
    /// In memory: why.
    Memory(String),
    /// Nothing that a container could have changed.
    Nothing,
}

pub type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

/// Where `mount` keeps its data. `volumes` are all that the engine has, by name.
pub fn of_mount(mount: &Mount, volumes: &Volumes) -> Place {
    match mount.kind {
        MountKind::Bind => Place::Path(clean(&mount.source)),
        MountKind::Tmpfs => Place::Memory("a tmpfs is empty after every stop".to_owned()),
        MountKind::Volume => match volumes.get(mount.name.as_str()) {
            Some(volume) => of_volume(volume),
            // Made after the list was taken: then it has the shape of a local one.
            None if is_local_shape(&mount.source, &mount.name) => Place::Path(clean(&mount.source)),
            None => Place::Elsewhere("Docker does not list it: is its plugin running?".to_owned()),
        },
        // A read-only image, or a named pipe of Windows. A cluster volume is writable and not ours to find.
        MountKind::Other if mount.read_write => {
            Place::Elsewhere("this kind of mount cannot be read on the host".to_owned())
        }
        MountKind::Other => Place::Nothing,
    }
}

/// `…/volumes/<name>/_data`
fn is_local_shape(path: &Path, name: &str) -> bool {
    path.ends_with(Path::new("volumes").join(name).join("_data"))
}

/// The `local` driver takes the options of mount(8): `type`, `o`, `device`.
pub fn of_volume(volume: &Volume) -> Place {
    if volume.driver != "local" {
        return Place::Elsewhere(format!(
            "its driver is `{}`: Docker unmounts it when the last container stops",
            volume.driver
        ));
    }
    let option = |key: &str| volume.options.get(key).map_or("", |value| value.trim());
    let (kind, device) = (option("type"), option("device"));
    let is_bind = option("o")
        .split(',')
        .any(|flag| matches!(flag.trim(), "bind" | "rbind"));
    if is_bind && device.starts_with('/') {
        return Place::Path(clean(Path::new(device)));
    }
    match kind {
        "tmpfs" | "ramfs" => Place::Memory(format!("a {kind} is empty after every stop")),
        "" | "none" if device.is_empty() => Place::Path(clean(Path::new(&volume.mountpoint))),
        _ => Place::Elsewhere(format!(
            "it is a mount of `{device}` (type `{kind}`): Docker unmounts it when the last container stops"
        )),
    }
}

/// An anonymous volume.
pub fn is_anonymous(name: &str, volumes: &Volumes) -> bool {
    is_unnamed(name)
        || volumes
            .get(name)
            .is_some_and(|volume| volume.labels.contains_key(labels::ANONYMOUS_VOLUME))
}

/// Without `.`, `//` and a slash at the end; `..` goes up, as in Docker's own cleaning.
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(driver: &str, options: &[(&str, &str)]) -> Place {
        of_volume(&Volume {
            name: "v".into(),
            driver: driver.into(),
            mountpoint: "/var/lib/docker/volumes/v/_data".into(),
            options: options
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            ..Volume::default()
        })
    }

    fn path(path: &str) -> Place {
        Place::Path(path.into())
    }

    #[test]
    fn a_local_volume_is_at_its_mountpoint_or_at_the_device_it_binds() {
        let own = path("/var/lib/docker/volumes/v/_data");
        assert_eq!(place("local", &[]), own);
        assert_eq!(
            place("local", &[("size", "10G")]),
            own,
            "a quota is no mount"
        );
        let bind = |o| {
            place(
                "local",
                &[("type", "none"), ("o", o), ("device", "/srv//data/")],
            )
        };
        assert_eq!(bind("bind"), path("/srv/data"));
        assert_eq!(bind("rw,bind"), path("/srv/data"));
        assert_eq!(
            place("local", &[("o", "bind"), ("device", "/srv")]),
            path("/srv")
        );
    }

    #[test]
    fn what_docker_mounts_itself_is_elsewhere_or_in_memory() {
        let elsewhere = |place| matches!(place, Place::Elsewhere(_));
        assert!(elsewhere(place("rclone", &[])));
        assert!(elsewhere(place(
            "local",
            &[("type", "nfs"), ("o", "addr=nas,rw"), ("device", ":/x")]
        )));
        assert!(elsewhere(place(
            "local",
            &[("type", "cifs"), ("device", "//nas/x")]
        )));
        assert!(elsewhere(place(
            "local",
            &[("type", "ext4"), ("device", "/dev/sdb1")]
        )));
        assert!(matches!(
            place("local", &[("type", "tmpfs"), ("device", "tmpfs")]),
            Place::Memory(_)
        ));
    }

    #[test]
    fn paths_are_cleaned_as_docker_does() {
        assert_eq!(clean(Path::new("/a/./b//c/../d/")), Path::new("/a/b/d"));
        assert_eq!(clean(Path::new("/../a")), Path::new("/a"));
    }
}
