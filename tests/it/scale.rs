//! Units with many sources.

use std::fs;
use std::time::Duration;

use crate::common::World;

#[test]
fn a_unit_has_more_sources_than_a_process_may_have_files() {
    const SOURCES: usize = 110;
    let world = World::new();
    world.init();
    let dirs: Vec<_> = (0..SOURCES)
        .map(|n| world.dir(format!("many/{n}")))
        .collect();
    for dir in &dirs {
        fs::write(dir.join("file"), dir.to_str().unwrap()).unwrap();
    }
    let many = world
        .stack("many")
        .service("app", |s| {
            let with =
                |s: crate::common::Service, n: usize| s.bind(&dirs[n], &format!("/many/{n}"));
            (0..SOURCES).fold(s, with)
        })
        .up();
    world
        .kd(&["--quiet", "backup", "--unit", many.unit()])
        .under(["prlimit", "--nofile=100:100"])
        .timeout(Duration::from_secs(500))
        .stdout_any()
        .stderr_any()
        .ok();
    let report = world.report();
    let sources = report["units"][0]["sources"].as_array().unwrap();
    let paths = sources
        .iter()
        .map(|source| source["path"].as_str().unwrap());
    assert!(paths.clone().is_sorted(), "told in the order of their keys");
    assert_eq!(paths.count(), SOURCES);
    assert_eq!(world.points()["points"][0]["state"], "whole");
}
