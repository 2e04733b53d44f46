//! Where each old key is now. Names of version 1, 2 and of the Python tool up to 7.9.

/// How a text becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    NumberOrAuto,
    Switch,
    List,
    Level,
    Encryption,
    PasswordFile,
    Repository,
}

pub enum Place {
    /// Our key.
    Carried(&'static str, Kind),
    /// The reason.
    Dropped(&'static str),
    /// Nothing that anybody would miss.
    Silent,
}

pub fn place(path: &str) -> Place {
    use Kind::{
        Encryption, Level, List, Number, NumberOrAuto, PasswordFile, Repository, Switch, Text,
    };
    use Place::{Carried, Dropped, Silent};
    match path {
        "kopia.kopia_params" | "kopia.repository_path" => Carried("kopia.kopia_params", Repository),
        "kopia.password" => Carried("kopia.password", Text),
        "kopia.password_file" => Carried("kopia.password_file", PasswordFile),
        "kopia.profile" => Carried("kopia.profile", Text),
        "kopia.compression" => Carried("kopia.compression", Text),
        "kopia.encryption" => Carried("kopia.encryption", Encryption),
        "kopia.hash" => Carried("kopia.hash", Text),
        "kopia.cache_directory" => Carried("kopia.cache_directory", Text),
        "kopia.cache_size_mb" => Carried("kopia.cache_size_mb", Number),
        "backup.base_path" | "backup.backup_base_path" => Carried("backup.base_path", Text),
        "backup.parallel_workers" => Carried("backup.parallel_workers", NumberOrAuto),
        "backup.stop_timeout" => Carried("backup.stop_timeout", Number),
        "backup.start_timeout" => Carried("backup.start_timeout", Number),
        "backup.task_timeout" => Carried("backup.task_timeout", Number),
        "backup.exclude_patterns" => Carried("backup.exclude_patterns", List),
        "backup.update_recovery_bundle" => Carried("backup.update_recovery_bundle", Switch),
        "backup.recovery_bundle_path" => Carried("backup.recovery_bundle_path", Text),
        "backup.recovery_bundle_retention" => Carried("backup.recovery_bundle_retention", Number),
        "docker.socket" | "docker.docker_socket" => Carried("docker.socket", Text),
        "docker.compose_timeout" => Carried("docker.compose_timeout", Number),
        "retention.latest" => Carried("retention.latest", Number),
        "retention.hourly" => Carried("retention.hourly", Number),
        "retention.daily" => Carried("retention.daily", Number),
        "retention.weekly" => Carried("retention.weekly", Number),
        "retention.monthly" => Carried("retention.monthly", Number),
        "retention.yearly" | "retention.annual" => Carried("retention.yearly", Number),
        "logging.level" => Carried("logging.level", Level),
        "logging.file" => Carried("logging.file", Text),
        "logging.max_size_mb" => Carried("logging.max_size_mb", Number),
        "logging.backup_count" => Carried("logging.backup_count", Number),
        // Of the parameters of the storage, if it is rclone's.
        "version" | "kopia.rclone_startup_timeout" => Silent,
        "backup.database_backup" => {
            Dropped("databases are saved with their volumes, while they are stopped")
        }
        "backup.backup_scope" => {
            Dropped("every volume and bind mount of a unit is saved; see `backup.bind_mounts`")
        }
        "docker.prune_stopped_containers" => Dropped("containers are never removed"),
        "backup.hooks" | "backup.pre_backup_hook" | "backup.post_backup_hook" => {
            Dropped("there are no hooks; the old tool never ran them either")
        }
        _ if path.starts_with("notifications.") || path.starts_with("alerting.") => {
            Dropped("there are no notifications; watch the exit code of the run, or its report")
        }
        _ if path.starts_with("credentials.") => {
            Dropped("credentials of the storage belong into `/etc/kopi-docka.env`")
        }
        _ => Dropped("no such key is known"),
    }
}

/// Whether a newer name is for the same thing, and counts when both are there.
pub fn is_older_name(path: &str) -> bool {
    matches!(
        path,
        "kopia.repository_path"
            | "backup.backup_base_path"
            | "docker.docker_socket"
            | "retention.annual"
    )
}
