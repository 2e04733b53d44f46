//! The saved files of a project, in the drill's directory, each at its own path below `files`: there compose reads them, and nowhere else.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::base::files::make_private_folder;
use crate::base::yaml;
use crate::drivers::docker::ComposeUp;
use crate::drivers::docker::cli;
use crate::error::Result;
use crate::points::recipe::Recipe;

/// The directory of the mirror, in that of the drill.
fn mirror(folder: &Path) -> PathBuf {
    folder.join("files")
}

/// Where the mirror has what is at `path`; `None` for what is no plain path.
pub fn mirrored(folder: &Path, path: &Path) -> Option<PathBuf> {
    let inside = path.strip_prefix("/").ok()?;
    let is_plain = inside
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| mirror(folder).join(inside))
}

/// What `path`, which compose may have made from a path in the mirror, is on the host of the original.
pub fn original(folder: &Path, path: &Path) -> PathBuf {
    let clean = crate::discovery::place::clean(path);
    match clean.strip_prefix(mirror(folder)) {
        Ok(inside) => Path::new("/").join(inside),
        Err(_) => clean,
    }
}

/// Puts the files that `recipe` has brought into the mirror; returns their paths on the host of the original. Blocks.
pub fn lay_out(folder: &Path, recipe: &Recipe, warnings: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    make_private_folder(&mirror(folder))?;
    let mut laid = Vec::new();
    for record in &recipe.record.files {
        let path = &record.path;
        let put = || {
            let target = mirrored(folder, path).context("it is no plain path")?;
            put(recipe.file(path)?, &target)
        };
        match put() {
            Ok(()) => laid.push(path.clone()),
            Err(error) => warnings.push(format!(
                "`{}` is not in the copy: {error:#}",
                path.display()
            )),
        }
    }
    Ok(laid)
}

/// Compose files that name others by their absolute paths name those in the mirror: what is on this host now is not what was saved. Blocks.
pub fn lead_into_mirror(folder: &Path, laid: &[PathBuf]) -> Result<()> {
    let into = |path: &str| {
        let path = Path::new(path);
        let is_laid = path.is_absolute() && laid.iter().any(|known| known == path);
        is_laid.then(|| mirrored(folder, path)).flatten()
    };
    for file in laid.iter().filter(|file| {
        file.extension()
            .is_some_and(|ending| ending == "yaml" || ending == "yml")
    }) {
        let Some(copy) = mirrored(folder, file) else {
            continue;
        };
        let text = String::from_utf8_lossy(&std::fs::read(&copy)?).into_owned();
        // A tag would be lost on the way through JSON.
        let (Ok(mut document), false) = (
            yaml::parse(&text),
            text.contains("!reset") || text.contains("!override"),
        ) else {
            continue;
        };
        if rebase(&mut document, &into) {
            std::fs::write(&copy, document.to_string())?;
        }
    }
    Ok(())
}

/// Replaces what names a file for compose to read; whether there was any.
fn rebase(value: &mut Value, into: &impl Fn(&str) -> Option<PathBuf>) -> bool {
    let mut is_changed = false;
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                is_changed |= match key.as_str() {
                    "env_file" | "include" | "extends" => rebase_paths(value, into),
                    _ => rebase(value, into),
                };
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| is_changed |= rebase(value, into)),
        _ => {}
    }
    is_changed
}

/// A path, a list of them, or objects that have one.
fn rebase_paths(value: &mut Value, into: &impl Fn(&str) -> Option<PathBuf>) -> bool {
    match value {
        Value::String(text) => match into(text) {
            Some(path) => {
                *text = path.to_string_lossy().into_owned();
                true
            }
            None => false,
        },
        Value::Array(list) => list
            .iter_mut()
            .fold(false, |any, one| any | rebase_paths(one, into)),
        Value::Object(fields) => {
            let named = fields
                .iter_mut()
                .filter(|(key, _)| matches!(key.as_str(), "path" | "file" | "env_file"));
            named.fold(false, |any, (_, value)| any | rebase_paths(value, into))
        }
        _ => false,
    }
}

/// With owner and mode; what lies above it is for all to enter that see it.
fn put(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().unwrap_or(to);
    std::fs::create_dir_all(parent)?;
    std::fs::copy(from, to)?;
    let metadata = std::fs::metadata(from)?;
    std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    std::fs::set_permissions(
        to,
        std::fs::Permissions::from_mode(metadata.mode() & 0o7777),
    )?;
    Ok(())
}

/// What compose makes of the files of the mirror, one for each set of them.
pub async fn resolve(folder: &Path, up: &ComposeUp) -> Result<Vec<Value>> {
    let mut configs = Vec::new();
    for one in up.each() {
        let mut one = in_mirror(folder, one)?;
        // Nothing is fetched to find out what would be booted.
        for name in [
            "COMPOSE_EXPERIMENTAL_GIT_REMOTE",
            "COMPOSE_EXPERIMENTAL_OCI_REMOTE",
        ] {
            one.variables.insert(name.to_owned(), "false".to_owned());
        }
        let config = cli::compose_config(&one).await;
        configs.push(config.context("compose does not understand the saved files")?);
    }
    Ok(configs)
}

fn in_mirror(folder: &Path, up: &ComposeUp) -> Result<ComposeUp> {
    let here = |path: &PathBuf| {
        mirrored(folder, path).with_context(|| format!("`{}` is no plain path", path.display()))
    };
    let directory = match &up.directory {
        Some(directory) => here(directory)?,
        None => mirror(folder),
    };
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create `{}`", directory.display()))?;
    Ok(ComposeUp {
        directory: Some(directory),
        files: up.files.iter().map(here).collect::<Result<_>>()?,
        env_files: up.env_files.iter().map(here).collect::<Result<_>>()?,
        also: Vec::new(),
        ..up.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compose_reads_by_absolute_paths_is_read_from_the_mirror() {
        let folder = tempfile::tempdir().unwrap();
        let laid = [
            "/opt/x/compose.yaml",
            "/etc/x.env",
            "/opt/common.yml",
            "/opt/x/kept.yaml",
        ]
        .map(PathBuf::from);
        let write = |path: &Path, text: &str| {
            let there = mirrored(folder.path(), path).unwrap();
            std::fs::create_dir_all(there.parent().unwrap()).unwrap();
            std::fs::write(there, text).unwrap();
        };
        let compose = "include: [/opt/common.yml, {path: [/etc/other.yml], env_file: /etc/x.env}]\nservices:\n  a: {env_file: [/etc/x.env, rel.env, {path: /etc/x.env}], extends: {file: /opt/common.yml, service: b}, command: [/etc/x.env]}\n";
        write(&laid[0], compose);
        for file in &laid[1..] {
            write(file, "services: {a: {env_file: !reset [/etc/x.env]}}\n");
        }
        lead_into_mirror(folder.path(), &laid).unwrap();
        let read =
            |path: &Path| std::fs::read_to_string(mirrored(folder.path(), path).unwrap()).unwrap();
        let at = |path: &str| mirrored(folder.path(), Path::new(path)).unwrap();
        let document: Value = serde_json::from_str(&read(&laid[0])).unwrap();
        let (env, common) = (at("/etc/x.env"), at("/opt/common.yml"));
        let expected = serde_json::json!({
            "include": [common, {"path": ["/etc/other.yml"], "env_file": env}],
            "services": {"a": {
                "env_file": [env, "rel.env", {"path": env}], "extends": {"file": common, "service": "b"}, "command": ["/etc/x.env"],
            }},
        });
        assert_eq!(document, expected);
        assert!(read(&laid[3]).contains("!reset"), "a tag stays");
    }

    #[test]
    fn a_path_has_one_place_in_the_mirror_and_comes_back_from_it() {
        let folder = Path::new("/drills/x");
        for path in ["/opt/web/compose.yaml", "/etc/x", "/"] {
            let there = mirrored(folder, Path::new(path)).unwrap();
            assert!(there.starts_with("/drills/x/files"));
            assert_eq!(original(folder, &there), Path::new(path));
        }
        for odd in ["relative", "/a/../../b", ""] {
            assert_eq!(mirrored(folder, Path::new(odd)), None, "{odd}");
        }
        // What compose makes of `../../../../srv` leads out of the mirror, and is as it says.
        assert_eq!(
            original(folder, Path::new("/drills/x/files/../../../srv")),
            Path::new("/srv")
        );
    }
}
