//! Keys of earlier versions and of the Python tool of the same name.

/// What replaced the key at `path`, as the end of a sentence.
pub fn new_name(path: &str) -> Option<&'static str> {
    Some(match path {
        "retention.annual" => "it is now called `retention.yearly`",
        "kopia.repository_path" => {
            "write `\"kopia_params\": \"filesystem --path FOLDER\"` under `kopia`"
        }
        "kopia.rclone_startup_timeout" => {
            "write `--rclone-startup-timeout` into `kopia.kopia_params`"
        }
        "backup.backup_base_path" => "it is now called `backup.base_path`",
        "backup.database_backup" => {
            "databases are saved with their volumes, while they are stopped"
        }
        "backup.backup_scope" => {
            "every volume and bind mount of a unit is saved; see `backup.bind_mounts`"
        }
        "docker.prune_stopped_containers" => "containers are never removed",
        "docker.docker_socket" => "it is now called `docker.socket`",
        _ => return None,
    })
}
