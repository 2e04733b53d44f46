//! A repository that is made once and copied for each world that wants nothing special: four starts of Kopia less a test.
//!
//! Its keys are derived in the cheaper of the two ways that Kopia has, so that every later start costs less too. What `init` itself
//! does is tested by the tests of `init`, which don't come here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::bed::path;
use super::run::Run;
use super::world::{PASSWORD, World};

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
        Run::new("kopia")
            .arg(format!(
                "--config-file={}",
                world.path("first.config").display()
            ))
            .arg(format!("--log-dir={}", world.path("logs").display()))
            .args(["repository", "create", "filesystem"])
            .arg(format!("--path={}", world.path("repo").display()))
            .arg(format!(
                "--cache-directory={}",
                world.path("first").display()
            ))
            .args([
                "--format-block-key-derivation-algorithm=pbkdf2-sha256-600000",
                "--block-hash=BLAKE2B-256-128",
                "--encryption=AES256-GCM-HMAC-SHA256",
                "--no-persist-credentials",
                // The owner of maintenance is whoever creates it.
                "--override-username=kopi-docka",
            ])
            .arg(format!("--override-hostname={}", host()))
            .env("PATH", path())
            .env("HOME", world.path("home"))
            .env("KOPIA_PASSWORD", PASSWORD)
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .stdout_any()
            .stderr_any()
            .ok();
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
