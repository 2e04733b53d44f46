//! A repository that is made once and copied for each world that wants nothing special: four starts of Kopia less a test.
//!
//! Its keys are derived in the cheapest of the ways that Kopia has, so that every later start costs less too. What `init` itself
//! does is tested by the tests of `init`, which do not come here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::bed;
use super::run::Run;
use super::world::{PASSWORD, World};

const CHEAPEST: [&str; 2] = ["testing-only-insecure", "pbkdf2-sha256-600000"];

/// What `init` makes of it below a world's directory.
const MADE: [&str; 4] = ["repo", "home/.config", "state", "cache"];

/// Puts a repository into `world` as `kopi-docka init` would, if its configuration is the kit's own.
pub fn put_into(world: &World) -> bool {
    if MADE.iter().any(|name| world.path(name).exists()) || !world.is_plain() {
        return false;
    }
    let template = template(world);
    for name in MADE {
        copy(&template.join(name), &world.path(name), &|text| {
            let (from, to) = (template.display(), world.path("").display().to_string());
            text.replace(&from.to_string(), to.trim_end_matches('/'))
        });
    }
    true
}

/// Gone with the directory of temporary files, which is the test run's own.
fn template(of: &World) -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let world = World::on(&of.bed);
        // The first is of the test bed's own build alone.
        let made = CHEAPEST
            .iter()
            .find(|derivation| create(&world, derivation));
        assert!(made.is_some(), "kopia knows none of {CHEAPEST:?}");
        world.init_for_real();
        let root = world.path("");
        let kept = root.with_file_name(format!("kdt-template-{}", std::process::id()));
        fs::create_dir(&kept).unwrap();
        for name in MADE {
            let from = root.display().to_string();
            copy(&root.join(name), &kept.join(name), &|text| {
                text.replace(from.trim_end_matches('/'), &kept.display().to_string())
            });
        }
        kept
    })
}

/// With keys that are derived by `derivation`; false when this Kopia does not know it.
fn create(world: &World, derivation: &str) -> bool {
    let path = |name: &str| world.path(name).display().to_string();
    let done = Run::new("kopia")
        .arg(format!("--config-file={}", path("first.config")))
        .arg(format!("--log-dir={}", path("logs")))
        .args(["repository", "create", "filesystem"])
        .arg(format!("--path={}", path("repo")))
        .arg(format!("--cache-directory={}", path("first")))
        .arg(format!(
            "--format-block-key-derivation-algorithm={derivation}"
        ))
        .args([
            "--block-hash=BLAKE2B-256-128",
            "--encryption=AES256-GCM-HMAC-SHA256",
            "--no-persist-credentials",
            // The owner of maintenance is whoever creates it.
            "--override-username=kopi-docka",
        ])
        .arg(format!("--override-hostname={}", host()))
        .env("PATH", bed::path())
        .env("HOME", world.path("home"))
        .env("KOPIA_PASSWORD", PASSWORD)
        .env("KOPIA_CHECK_FOR_UPDATES", "false")
        .run();
    let is_unknown = done.stderr().contains("enum value must be one of");
    assert!(done.code == Some(0) || is_unknown, "{done}");
    done.code == Some(0)
}

/// As the program calls this host.
fn host() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase();
    name.split('.').next().unwrap().to_owned()
}

/// With the modes; `change` is asked about what is JSON.
fn copy(from: &Path, to: &Path, change: &dyn Fn(String) -> String) {
    let metadata = fs::symlink_metadata(from)
        .unwrap_or_else(|error| panic!("{} is not there: {error}", from.display()));
    if metadata.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name), change);
        }
    } else {
        let bytes = fs::read(from).unwrap();
        let is_ours = to
            .extension()
            .is_some_and(|extension| extension == "json" || extension == "config");
        let bytes = if is_ours {
            change(String::from_utf8(bytes).unwrap()).into_bytes()
        } else {
            bytes
        };
        fs::write(to, bytes).unwrap();
    }
    let mode = metadata.permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
}
