//! Where compose files are found, whoever ran compose.

use std::path::Path;

use super::build::{TestHost, container, gaps};
use crate::discovery::host::PathKind;

const FILES: &str = "com.docker.compose.project.config_files";
const FOLDER: &str = "com.docker.compose.project.working_dir";
const ENVIRONMENT: &str = "com.docker.compose.project.environment_file";

#[test]
fn files_keep_their_order_of_override() {
    let unit = TestHost::new()
        .with(
            container("a")
                .of("app", "a")
                .label(FILES, "/opt/app/z.yaml,/opt/app/a.yaml")
                .label(ENVIRONMENT, "/opt/app/prod.env"),
        )
        .with_path("/opt/app/z.yaml", PathKind::File)
        .with_path("/opt/app/a.yaml", PathKind::File)
        .with_path("/opt/app/prod.env", PathKind::File)
        .only();
    let compose = unit.compose.unwrap();
    assert_eq!(
        compose.files,
        [Path::new("/opt/app/z.yaml"), Path::new("/opt/app/a.yaml")]
    );
    assert_eq!(compose.env_files, [Path::new("/opt/app/prod.env")]);
    assert_eq!(compose.working_dir.as_deref(), Some(Path::new("/opt/app")));
}

#[test]
fn paths_inside_a_manager_are_found_through_its_deepest_mount() {
    let unit = TestHost::new()
        .with(
            container("web")
                .label("com.docker.compose.project", "blog")
                .label("com.docker.compose.service", "web")
                .label(FOLDER, "/data/compose/7")
                .label(FILES, "/data/compose/7/docker-compose.yml"),
        )
        .with(container("portainer").volume("portainer_data", "/data"))
        .with(container("other").bind("/srv/other", "/data"))
        .with(container("dockge").bind("/srv/elsewhere", "/data/compose"))
        .with_path("/data/compose/7", PathKind::Missing)
        .with_path("/data/compose/7/compose.yaml", PathKind::Missing)
        .with_path(
            "/var/lib/docker/volumes/portainer_data/_data/compose/7",
            PathKind::Directory,
        )
        .with_path(
            "/var/lib/docker/volumes/portainer_data/_data/compose/7/docker-compose.yml",
            PathKind::File,
        )
        .unit("blog");
    let compose = unit.compose.clone().unwrap();
    let folder = Path::new("/var/lib/docker/volumes/portainer_data/_data/compose/7");
    assert_eq!(compose.working_dir.as_deref(), Some(folder));
    assert_eq!(compose.files, [folder.join("docker-compose.yml")]);
    assert_eq!(gaps(&unit), Vec::<String>::new());
}

#[test]
fn a_file_that_is_nowhere_is_a_gap() {
    let unit = TestHost::new()
        .with(container("a").of("app", "a"))
        .with_path("/opt/app/compose.yaml", PathKind::Missing)
        .only();
    assert_eq!(
        unit.compose.clone().unwrap().missing,
        ["/opt/app/compose.yaml"]
    );
    assert_eq!(
        gaps(&unit),
        ["compose file `/opt/app/compose.yaml`: Recipe!"]
    );
}

#[test]
fn what_compose_read_from_its_standard_input_is_not_to_be_brought_back() {
    let unit = TestHost::new()
        .with(container("a").of("app", "a").label(FILES, "/opt/app/-"))
        .with_path("/opt/app/-", PathKind::Missing)
        .only();
    assert!(unit.gaps[0].detail.contains("(`-f -`)"), "{:?}", unit.gaps);
}

#[test]
fn a_project_without_file_labels_has_a_gap_and_a_relative_name_is_of_its_folder() {
    let old = container("a")
        .label("com.docker.compose.project", "old")
        .label(FOLDER, "/opt/old")
        .label(FILES, "docker-compose.yml");
    let host = TestHost::new()
        .with(old)
        .with(container("b").label("com.docker.compose.project", "bare"))
        .with_path("/opt/old/docker-compose.yml", PathKind::File);
    let compose = host.unit("old").compose.unwrap();
    assert_eq!(compose.files, [Path::new("/opt/old/docker-compose.yml")]);
    assert_eq!(gaps(&host.unit("bare")), ["compose files: Recipe!"]);
}

#[test]
fn after_a_move_the_newest_container_knows_the_way() {
    let unit = TestHost::new()
        .with(container("old").of("app", "old"))
        .with(
            container("new")
                .of("app", "new")
                .label(FOLDER, "/srv/app")
                .label(FILES, "/srv/app/compose.yaml")
                .set("Created", serde_json::json!("2025-06-01T00:00:00Z")),
        )
        .only();
    assert_eq!(
        unit.compose.unwrap().working_dir.as_deref(),
        Some(Path::new("/srv/app"))
    );
    assert!(
        unit.warnings[0].contains("`/srv/app` and `/opt/app`"),
        "{:?}",
        unit.warnings
    );
}
