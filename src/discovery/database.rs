//! Which database an image is, by its name: a hint for people, nothing depends on it.

/// Image names and what they are. The longest match in a name wins, so `mariadb` comes before what contains `db`.
const KNOWN: &[(&str, &str)] = &[
    ("postgres", "postgresql"),
    ("postgis", "postgresql"),
    ("pgvector", "postgresql"),
    ("timescaledb", "postgresql"),
    ("mariadb", "mariadb"),
    ("mysql", "mysql"),
    ("percona", "mysql"),
    ("mongo", "mongodb"),
    ("mongodb", "mongodb"),
    ("redis", "redis"),
    ("valkey", "redis"),
    ("keydb", "redis"),
    ("elasticsearch", "elasticsearch"),
    ("opensearch", "opensearch"),
    ("influxdb", "influxdb"),
    ("couchdb", "couchdb"),
    ("cassandra", "cassandra"),
    ("neo4j", "neo4j"),
    ("clickhouse", "clickhouse"),
    ("cockroach", "cockroachdb"),
    ("mssql", "mssql"),
    ("etcd", "etcd"),
    ("rethinkdb", "rethinkdb"),
    ("victoria-metrics", "victoriametrics"),
    ("prometheus", "prometheus"),
    ("meilisearch", "meilisearch"),
];

/// Names of things that are about a database, not one.
const ABOUT: &[&str] = &[
    "exporter",
    "admin",
    "backup",
    "commander",
    "express",
    "insight",
    "proxy",
    "pgbouncer",
    "ui",
    "dashboards",
];

/// `docker.io/library/postgres:16-alpine` → `postgresql`
pub fn of_image(image: &str) -> Option<&'static str> {
    let path = image
        .split('@')
        .next()
        .unwrap_or(image)
        .to_ascii_lowercase();
    // A colon after the last slash begins the tag; one before it is a registry's port.
    let (folders, last) = path.rsplit_once('/').unwrap_or(("", &path));
    let name = last.split(':').next().unwrap_or(last);
    if name
        .split(['-', '_', '.'])
        .any(|word| ABOUT.contains(&word))
    {
        return None;
    }
    // `mcr.microsoft.com/mssql/server`, `bitnami/postgresql`, `victoriametrics/victoria-metrics`
    let owner = folders.rsplit('/').next().unwrap_or("");
    KNOWN
        .iter()
        .filter(|(word, _)| name.starts_with(word) || (owner == *word && name == "server"))
        .max_by_key(|(word, _)| word.len())
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_known_by_any_spelling_of_their_image() {
        for (image, database) in [
            ("postgres", Some("postgresql")),
            (
                "registry.local:5000/library/postgres:16-alpine",
                Some("postgresql"),
            ),
            ("bitnami/postgresql@sha256:00", Some("postgresql")),
            ("mcr.microsoft.com/mssql/server:2022-latest", Some("mssql")),
            ("lscr.io/linuxserver/mariadb", Some("mariadb")),
            ("mongo:7", Some("mongodb")),
            ("ghcr.io/immich-app/postgres:14", Some("postgresql")),
            ("valkey/valkey:8", Some("redis")),
            ("prometheuscommunity/postgres-exporter", None),
            ("mongo-express", None),
            ("nginx", None),
            ("sha256:0123", None),
            ("", None),
        ] {
            assert_eq!(of_image(image), database, "{image}");
        }
    }
}
