//! A part of a point, or all of it elsewhere: the real engine, the real Kopia, the real tar.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::common::{Run, Stack, World, oracle, torture};

/// A service with a volume of every kind of file and a bind mount, saved; `tree` is how the volume was then.
struct Saved {
    world: World,
    stack: Stack,
    volume: PathBuf,
    bind: PathBuf,
    tree: oracle::Manifest,
}

impl Saved {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let bind = world.dir("elsewhere/it's a bind");
        fs::write(bind.join("file"), "bound").unwrap();
        let stack = world
            .stack("web")
            .service("db", |s| s.volume("data", "/data").bind(&bind, "/bind"))
            .up();
        let volume = stack.volume_path("data");
        torture::plant(&volume);
        let deep = volume.join("deep/er");
        fs::create_dir_all(&deep).unwrap();
        fs::set_permissions(volume.join("deep"), fs::Permissions::from_mode(0o2750)).unwrap();
        fs::write(deep.join("*we[i]rd\\ \nname"), "weird").unwrap();
        fs::write(deep.join("other"), "other").unwrap();
        std::os::unix::fs::chown(volume.join("deep"), Some(1234), Some(4321)).unwrap();
        world.backup(&stack);
        Self {
            tree: oracle::manifest(&volume),
            volume,
            bind,
            stack,
            world,
        }
    }

    fn restore(&self, more: &[&str]) -> Run {
        self.world.restore_latest(self.stack.unit(), more)
    }

    fn data(&self) -> String {
        self.stack.volume("data")
    }
}

/// What a running stack shows of not having been stopped.
fn since(stack: &Stack) -> String {
    format!("{:?}", stack.started_at("db"))
}

#[test]
fn a_volume_becomes_a_plain_folder_with_exact_metadata_while_its_service_runs() {
    let saved = Saved::new();
    let since_before = since(&saved.stack);
    fs::write(saved.volume.join("later"), "x").unwrap();
    let target = saved.world.path("out/of/the way");
    let bind = saved.bind.to_str().unwrap();
    let to = ["--target", target.to_str().unwrap()];
    let data = saved.data();
    let more = [&["--volume", &data, "--volume", bind][..], &to].concat();
    saved.restore(&more).ok();
    let volume = target.join("volumes").join(&data);
    saved.tree.assert_same(&oracle::manifest(&volume));
    let bind = target.join("binds").join(bind.trim_start_matches('/'));
    assert_eq!(fs::read_to_string(bind.join("file")).unwrap(), "bound");
    assert_eq!(since(&saved.stack), since_before, "nothing was stopped");
    assert!(saved.volume.join("later").exists());

    // A second one must not touch what is there.
    fs::write(volume.join("mine"), "x").unwrap();
    saved
        .restore(&[&["--volume", &data][..], &to].concat())
        .stderr("already exists")
        .stderr("nothing was changed")
        .code(3);
    assert!(volume.join("mine").exists());
}

#[test]
fn single_files_come_with_the_folders_above_them_and_nothing_else() {
    let saved = Saved::new();
    let target = saved.world.path("out");
    let data = saved.data();
    let weird = "deep/er/*we[i]rd\\ \nname";
    let to = ["--target", target.to_str().unwrap(), "--volume", &data];
    saved.restore(&[&to[..], &["--path", weird]].concat()).ok();
    let out = target.join("volumes").join(&data);
    assert_eq!(fs::read_to_string(out.join(weird)).unwrap(), "weird");
    let mut found: Vec<PathBuf> = walk(&out);
    found.sort();
    assert_eq!(
        found,
        [out.join("deep"), out.join("deep/er"), out.join(weird)]
    );
    let (there, here) = (
        fs::metadata(out.join("deep")).unwrap(),
        fs::metadata(saved.volume.join("deep")).unwrap(),
    );
    assert_eq!(
        (there.mode(), there.uid(), there.gid(), there.mtime_nsec()),
        (here.mode(), here.uid(), here.gid(), here.mtime_nsec())
    );
    let elsewhere = saved.world.path("elsewhere-too");
    let to = ["--target", elsewhere.to_str().unwrap(), "--volume", &data];
    saved
        .restore(&[&to[..], &["--path", "deep/er/nothing"]].concat())
        .stderr("not all of these paths are in the restore point")
        .stderr("deep/er/nothing")
        .stderr_any()
        .code(4);
    assert!(!elsewhere.exists(), "nothing half done is left");
}

#[test]
fn a_file_is_put_back_into_its_volume_and_the_rest_stays_as_it_is() {
    let saved = Saved::new();
    let data = saved.data();
    let (other, later) = (
        saved.volume.join("deep/er/other"),
        saved.volume.join("later"),
    );
    for is_gone in [false, true] {
        if is_gone {
            fs::remove_dir_all(saved.volume.join("deep")).unwrap();
        } else {
            fs::write(&other, "changed").unwrap();
        }
        fs::write(&later, "later").unwrap();
        let args = ["--volume", &data, "--path", "deep/er/other"];
        saved.restore(&args).stderr("is kept beside the files").ok();
        assert_eq!(fs::read_to_string(&other).unwrap(), "other");
        assert_eq!(fs::read_to_string(&later).unwrap(), "later");
        saved.stack.assert_running(&["db"]);
        if is_gone {
            let deep = fs::metadata(saved.volume.join("deep")).unwrap();
            assert_eq!((deep.mode() & 0o7777, deep.uid()), (0o2750, 1234));
            assert_eq!(walk(&saved.volume.join("deep")).len(), 2);
        } else {
            let kept: Vec<PathBuf> = walk(&saved.volume)
                .into_iter()
                .filter(|path| path.to_string_lossy().contains("kopi-docka-before"))
                .collect();
            assert_eq!(kept.len(), 1, "{kept:?}");
            assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "changed");
            fs::remove_file(&kept[0]).unwrap();
        }
    }
    // A link in the volume must not lead the way out of it.
    let outside = saved.world.dir("outside");
    fs::remove_dir_all(saved.volume.join("deep")).unwrap();
    std::os::unix::fs::symlink(&outside, saved.volume.join("deep")).unwrap();
    saved
        .restore(&["--volume", &data, "--path", "deep/er/other"])
        .stderr("is no directory")
        .stderr_any()
        .code(3);
    assert_eq!(walk(&outside).len(), 0);
}

#[test]
fn the_recipe_alone_puts_compose_files_back_and_touches_no_data() {
    let saved = Saved::new();
    let since_before = since(&saved.stack);
    let compose = saved.stack.dir().join("compose.yaml");
    let text = fs::read_to_string(&compose).unwrap();
    fs::remove_file(&compose).unwrap();
    fs::write(saved.volume.join("later"), "x").unwrap();
    saved.restore(&["--recipe"]).ok();
    assert_eq!(fs::read_to_string(&compose).unwrap(), text);
    assert!(saved.volume.join("later").exists());
    assert_eq!(since(&saved.stack), since_before);

    fs::remove_file(&compose).unwrap();
    let target = saved.world.path("out");
    let to = ["--recipe", "--target", target.to_str().unwrap()];
    saved.restore(&to).ok();
    let recipe = target.join("recipes").join(saved.stack.unit());
    let copy = format!("files{}", compose.display());
    assert_eq!(fs::read_to_string(recipe.join(copy)).unwrap(), text);
    assert!(recipe.join("recipe.json").exists());
    let mode = fs::metadata(&recipe).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o700, "it may hold secrets");
    assert!(!compose.exists(), "nothing else is touched");
    saved
        .restore(&to)
        .stderr("already exists")
        .stderr_any()
        .code(3);
}

/// A project of the real compose, with bind mounts inside and outside of its directory and a volume of each kind.
struct Project {
    world: World,
    stack: Stack,
    outside: PathBuf,
}

impl Project {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let outside = world.dir("elsewhere/media");
        let inside = world.dir("stacks/web/conf");
        let stack = world
            .stack("web")
            .network()
            .service("db", |s| {
                s.volume("data", "/data")
                    .bind(&inside, "/conf:ro")
                    .bind(&outside, "/media")
            })
            .service("app", |s| s.depends_on("db", "service_started"))
            .up_with_compose();
        for folder in [&stack.volume_path("data"), &inside, &outside] {
            fs::write(folder.join("file"), "saved").unwrap();
        }
        world.backup(&stack);
        for folder in [&stack.volume_path("data"), &inside, &outside] {
            fs::write(folder.join("file"), "later").unwrap();
        }
        Self {
            world,
            stack,
            outside,
        }
    }

    fn docker(&self, args: &[&str]) -> String {
        self.world.docker(args).text()
    }

    /// What a container sees of the three.
    fn seen(&self, container: &str) -> String {
        let files = ["/data/file", "/conf/file", "/media/file"];
        self.docker(&[&["exec", container, "cat"][..], &files].concat())
    }

    fn containers(&self, project: &str) -> String {
        let label = format!("label=com.docker.compose.project={project}");
        let format = "{{.ID}} {{.Names}} {{.Status}}";
        self.docker(&["ps", "--no-trunc", "--filter", &label, "--format", format])
    }

    /// `docker compose up -d` as somebody would type it in `folder`, which must find nothing to do.
    fn assert_compose_is_content(&self, project: &str, folder: &Path) {
        let ids = |text: String| -> Vec<String> {
            let mut ids: Vec<String> = text
                .lines()
                .map(|line| line.split(' ').next().unwrap().to_owned())
                .collect();
            ids.sort();
            ids
        };
        let before = ids(self.containers(project));
        assert_eq!(before.len(), 2);
        let up = ["compose", "--project-name", project, "up", "-d"];
        let done = self.world.docker(&up).directory(folder).stderr_any().ok();
        let said = done.stderr().to_lowercase();
        assert!(!said.contains("warn"), "{said}");
        assert_eq!(ids(self.containers(project)), before, "{said}");
    }
}

#[test]
fn a_copy_lives_beside_its_original_and_shares_nothing_with_it() {
    let project = Project::new();
    let (world, stack) = (&project.world, &project.stack);
    let since_before = since(stack);
    let (name, folder) = (world.name("copy"), world.path("homes/copy"));
    let to = ["--target", folder.to_str().unwrap(), "--project", &name];
    world
        .restore_latest(stack.unit(), &[&to[..], &["--up"]].concat())
        .stderr_any()
        .ok();
    let copy = format!("{name}-db-1");
    assert_eq!(project.seen(&copy), "savedsavedsaved");
    assert_eq!(
        project.seen(&stack.container("db")),
        "laterlaterlater",
        "the original"
    );
    assert_eq!(since(stack), since_before);
    project.assert_compose_is_content(&name, &folder);
    // What the copy writes stays with the copy.
    world
        .docker(&["exec", &copy, "sh", "-c", "echo more >/media/more"])
        .ok();
    assert!(!project.outside.join("more").exists());
    // The name is taken now, and so is the directory.
    world
        .restore_latest(stack.unit(), &to)
        .stderr(format!("there are containers of `{name}`"))
        .stderr_any()
        .code(3);
    let fresh = world.path("homes/fresh");
    world
        .restore_latest(stack.unit(), &["--target", fresh.to_str().unwrap()])
        .stderr("there are containers of")
        .stderr("--project NAME")
        .stderr_any()
        .code(3);
    assert!(!fresh.exists());
}

#[test]
fn a_unit_moves_to_another_folder_with_all_that_it_has() {
    let project = Project::new();
    let (world, stack) = (&project.world, &project.stack);
    stack.wipe();
    fs::remove_dir_all(stack.dir()).unwrap();
    fs::remove_dir_all(&project.outside).unwrap();
    let folder = world.path("homes/moved");
    let target = ["--target", folder.to_str().unwrap()];
    world
        .restore_latest(stack.unit(), &[&target[..], &["--up"]].concat())
        .stderr_any()
        .ok();
    assert_eq!(project.seen(&stack.container("db")), "savedsavedsaved");
    assert!(!stack.dir().exists(), "the old directory is not made again");
    assert!(!project.outside.exists());
    project.assert_compose_is_content(stack.unit(), &folder);
    // The next backup and restore find it where it is now.
    world
        .kd(&["--quiet", "backup", "--unit", stack.unit()])
        .stderr("conf` is not saved any more: no container mounts it")
        .ok();
    fs::write(folder.join("conf/file"), "broken").unwrap();
    world.restore_latest(stack.unit(), &[]).stderr_any().ok();
    assert_eq!(project.seen(&stack.container("db")), "savedsavedsaved");
}

#[test]
fn what_the_flags_can_not_mean_is_said() {
    let world = World::new();
    world.init();
    let id = ["restore", "--unit", "web", "--backup-id", "latest"];
    for (more, expected) in [
        (&["--path", "x"][..], "--volume"),
        (&["--volume", "v", "--path", "../x"], "is no path inside"),
        (
            &["--volume", "v", "--path", "/etc/passwd"],
            "is no path inside",
        ),
        (
            &["--volume", "a", "--volume", "b", "--path", "x"],
            "of one volume",
        ),
        (&["--project", "copy"], "--target"),
        (&["--project", "Copy", "--target", "/x"], "lower case"),
        (
            &["--volume", "v", "--project", "c", "--target", "/x"],
            "whole unit",
        ),
        (&["--recipe", "--volume", "v"], "cannot be used with"),
    ] {
        world
            .kd(&[&id[..], more].concat())
            .stderr(expected)
            .stderr_any()
            .code(2);
    }
    world
        .kd(&["restore", "--target", "/x"])
        .stderr("which restore point?")
        .stderr_any()
        .code(2);
    world
        .kd(&["restore"])
        .stderr("what should be restored?")
        .stderr_any()
        .code(2);
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

/// The program as it would run on a host of another name, with the same repository and engine.
fn on_host(world: &World, host: &str, args: &[&str]) -> Run {
    let line = world.kd(args).to_string();
    let script = format!("hostname {host} && exec {line}");
    let run = Run::new("unshare").args(["--uts", "sh", "-c", &script]);
    let home = world.dir(format!("hosts/{host}"));
    run.env("PATH", crate::common::path())
        .env("HOME", &home)
        .env("KOPI_DOCKA_STATE_DIRECTORY", home.join("state"))
        .env("KOPI_DOCKA_RUNTIME_DIRECTORY", world.path("run"))
}

#[test]
fn points_of_two_hosts_with_a_unit_of_one_name_never_mix() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up();
    let file = stack.volume_path("data").join("file");
    fs::write(&file, "here").unwrap();
    world.backup(&stack);
    fs::write(&file, "there").unwrap();
    on_host(&world, "there", &["--quiet", "init"])
        .stdout_any()
        .ok();
    on_host(
        &world,
        "there",
        &["--quiet", "backup", "--unit", stack.unit()],
    )
    .stdout_any()
    .ok();
    fs::write(&file, "later").unwrap();

    let hosts = |run: Run| -> Vec<String> {
        let points = run.json();
        let points = points["points"].as_array().unwrap();
        let host = |point: &serde_json::Value| {
            let identity = point["identity"].as_str().unwrap();
            identity.split_once('@').unwrap().1.to_owned()
        };
        points.iter().map(host).collect()
    };
    let list = ["--json", "list", "--snapshots"];
    let own = hosts(world.kd(&list));
    assert_eq!(own.len(), 1);
    assert_ne!(own[0], "there");
    assert_eq!(hosts(on_host(&world, "there", &list)), ["there"]);
    assert_eq!(
        hosts(world.kd(&[&list[..], &["--all-hosts"]].concat())).len(),
        2
    );

    world.restore_latest(stack.unit(), &[]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "here");
    world
        .restore_latest(stack.unit(), &["--host", "there"])
        .stderr_any()
        .ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "there");
    world
        .restore_latest(stack.unit(), &["--host", "nobody"])
        .stderr("there is no restore point")
        .stderr("`there` made some of this unit")
        .stderr_any()
        .code(4);
}
