//! File systems of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

use super::run::Run;
use super::world::World;

const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Below the world's directory, which unmounts what is in it when it drops.
pub fn mount(world: &World, name: &str, args: &[&str]) -> PathBuf {
    let path = world.dir(name);
    let run = Run::new("mount").env("PATH", SYSTEM_PATH).args(args);
    run.arg(&path).ok();
    path
}

pub fn unmount(path: &Path) {
    let run = Run::new("umount").env("PATH", SYSTEM_PATH);
    run.arg(path).ok();
}

/// The smallest that `mkfs.xfs` makes.
pub fn mount_xfs(world: &World, name: &str) -> PathBuf {
    mount_made(world, name, 310, &["mkfs.xfs", "-q"])
}

pub fn mount_ext4(world: &World, name: &str, mebibytes: u64) -> PathBuf {
    mount_made(
        world,
        name,
        mebibytes,
        &["mkfs.ext4", "-q", "-m0", "-b4096"],
    )
}

pub fn mount_btrfs(world: &World, name: &str) -> PathBuf {
    mount_made(world, name, 310, &["mkfs.btrfs", "-q"])
}

/// `make` makes the file system.
pub fn mount_made(world: &World, name: &str, mebibytes: u64, make: &[&str]) -> PathBuf {
    let image = world.path(format!("{name}.image"));
    let file = fs::File::create(&image).unwrap();
    file.set_len(mebibytes << 20).unwrap();
    let (program, args) = make.split_first().unwrap();
    let run = Run::new(program).env("PATH", SYSTEM_PATH).args(args);
    run.arg(&image).stdout_any().ok();
    mount(world, name, &["-o", "loop", image.to_str().unwrap()])
}
