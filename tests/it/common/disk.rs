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
    let image = world.path(format!("{name}.image"));
    fs::File::create(&image)
        .unwrap()
        .set_len(310 << 20)
        .unwrap();
    let run = Run::new("mkfs.xfs").env("PATH", SYSTEM_PATH).arg("-q");
    run.arg(&image).ok();
    mount(world, name, &["-o", "loop", image.to_str().unwrap()])
}

pub fn mount_ext4(world: &World, name: &str, mebibytes: u64) -> PathBuf {
    let image = world.path(format!("{name}.image"));
    fs::File::create(&image)
        .unwrap()
        .set_len(mebibytes << 20)
        .unwrap();
    Run::new("mkfs.ext4")
        .env("PATH", SYSTEM_PATH)
        .args(["-q", "-m0", "-b4096"])
        .arg(&image)
        .ok();
    mount(world, name, &["-o", "loop", image.to_str().unwrap()])
}
