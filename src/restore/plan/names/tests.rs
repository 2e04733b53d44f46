use super::*;
use crate::error::render;

fn hostile() -> Trust {
    Trust {
        working_dirs: vec!["/opt/app".into()],
        ..Trust::default()
    }
}

fn data(trust: &Trust, path: &str) -> Result<Option<Consent>> {
    Ok(trust
        .data(Path::new(path), false)?
        .map(|power| power.consent))
}

fn file(trust: &Trust, path: &str) -> Result<Option<Consent>> {
    Ok(trust.file(Path::new(path))?.map(|power| power.consent))
}

#[test]
fn no_leave_opens_what_is_no_place() {
    let mut trust = hostile();
    trust.allowed = vec!["/".into()];
    (trust.is_own, trust.can_ask) = (true, true);
    for path in [
        "/",
        "",
        "srv/data",
        "../x",
        "/srv/../etc/passwd",
        "/srv/../etc/cron.d",
        "/srv/..",
        "/proc/self",
        "/dev/sda",
    ] {
        trust.mounted = vec![path.into()];
        let error = data(&trust, path).unwrap_err();
        assert!(
            error.to_string().contains("nothing is restored to"),
            "{path}: {error}"
        );
        assert!(file(&trust, path).is_err(), "{path}");
    }
}

#[test]
fn what_has_power_is_restored_only_by_leave() {
    for path in [
        "/etc/cron.d",
        "/etc/kopi-docka.json",
        "/root/.docker",
        "/root/.ssh",
        "/run/x",
        "/home/me/.config/syncthing",
        "/usr/local/bin",
        "/etc/traefik",
    ] {
        let text = render(&data(&hostile(), path).unwrap_err());
        assert!(text.contains(&format!("--allow-path {path}")), "{text}");
        let with = |change: &dyn Fn(&mut Trust)| {
            let mut trust = hostile();
            change(&mut trust);
            data(&trust, path).ok().flatten()
        };
        let allowed: PathBuf = Path::new(path).parent().unwrap().to_owned();
        assert_eq!(
            with(&|trust| trust.allowed = vec![allowed.clone()]),
            Some(Consent::Allowed)
        );
        assert_eq!(with(&|trust| trust.can_ask = true), Some(Consent::Asked));
        assert_eq!(with(&|trust| trust.is_own = true), None);
        assert_eq!(
            with(&|trust| (trust.is_own, trust.can_ask) = (true, true)),
            Some(Consent::OwnHost)
        );
    }
    let mut trust = hostile();
    trust.mounted = vec![
        "/etc/traefik".into(),
        "/etc/localtime".into(),
        "/usr/bin".into(),
    ];
    assert_eq!(
        data(&trust, "/etc/traefik").unwrap(),
        Some(Consent::Container)
    );
    assert!(data(&trust, "/etc/traefik/more").is_err());
    // Borrowed from the system.
    assert!(data(&trust, "/etc/localtime").is_err() && data(&trust, "/usr/bin").is_err());
    assert_eq!(data(&trust, "/srv/data").unwrap(), None);
}

#[test]
fn what_the_operator_included_is_restored_on_this_host_alone() {
    let mut trust = hostile();
    let path = Path::new("/usr/share/foo");
    assert!(trust.data(path, true).is_err(), "another host says so");
    trust.is_own = true;
    let power = trust.data(path, true).unwrap().unwrap();
    assert_eq!(power.consent, Consent::Included);
    assert!(trust.data(path, false).is_err());
}

#[test]
fn files_of_a_recipe_are_put_into_the_project_and_nowhere_else_unasked() {
    let trust = hostile();
    for fine in ["/opt/app/compose.yaml", "/opt/app/sub/.env"] {
        assert_eq!(file(&trust, fine).unwrap(), None, "{fine}");
    }
    for outside in [
        "/opt/other/x",
        "/srv/x.env",
        "/etc/cron.d/x",
        "/opt/apple/x",
        "/usr/local/bin/docker",
    ] {
        assert!(file(&trust, outside).is_err(), "{outside}");
    }
    // A recipe says itself where its project is.
    for folder in ["/etc", "/usr/local/bin", "/root", "/"] {
        let trust = Trust {
            working_dirs: vec![folder.into()],
            ..Trust::default()
        };
        for path in [
            "/etc/cron.d/x",
            "/usr/local/bin/docker",
            "/root/.bashrc",
            "/root/.x/y",
        ] {
            assert!(file(&trust, path).is_err(), "{path} of {folder}");
        }
    }
    let trust = Trust {
        labelled: vec!["/etc/stacks/web/compose.yaml".into(), "/srv/web".into()],
        mounted: vec!["/srv/conf/x".into()],
        ..Trust::default()
    };
    let known = Some(Consent::Container);
    assert_eq!(file(&trust, "/etc/stacks/web/compose.yaml").unwrap(), known);
    for fine in ["/srv/web/.env", "/srv/conf/x"] {
        assert_eq!(file(&trust, fine).unwrap(), None, "{fine}");
    }
    assert!(file(&trust, "/etc/stacks/web/other").is_err());
}

#[test]
fn our_own_files_are_powerful_wherever_they_are() {
    let trust = Trust {
        own_files: vec!["/srv/conf/kopi-docka.json".into()],
        ..Trust::default()
    };
    for path in ["/srv/conf/kopi-docka.json", "/srv/conf"] {
        let text = render(&data(&trust, path).unwrap_err());
        assert!(text.contains("own configuration"), "{text}");
    }
    assert_eq!(data(&trust, "/srv/conf2").unwrap(), None);
}

/// A repository that another host has taken over names each place that has power here, as data and as a file, with its project there.
#[test]
fn a_hostile_repository_gets_into_no_class_of_powerful_places() {
    let mut seen = 0;
    for place in crate::restore::plan::power::one_of_each() {
        let below = place.join("x");
        // What is below a home, `/var`, `/usr/local` or its `share` is a user's data, as long as no class has it.
        let is_open = [
            "/var",
            "/var/lib",
            "/home",
            "/home/me",
            "/root",
            "/usr/local",
            "/usr/local/share",
        ]
        .iter()
        .any(|open| place == Path::new(open));
        let paths = if is_open {
            vec![place.clone()]
        } else {
            vec![place.clone(), below]
        };
        for path in paths {
            let name = path.to_str().unwrap();
            let trust = Trust {
                // Its own word, which counts for nothing.
                working_dirs: vec![place.clone(), path.parent().unwrap().to_owned()],
                ..Trust::default()
            };
            for refused in [data(&trust, name), file(&trust, name)] {
                let text = render(&refused.expect_err(name));
                assert!(text.contains(&format!("--allow-path {name}")), "{text}");
            }
            assert!(
                trust.data(&path, true).is_err(),
                "{name}: it says that it was included"
            );
            let asked = Trust {
                can_ask: true,
                ..trust.clone()
            };
            let allowed = Trust {
                allowed: vec![place.clone()],
                ..trust
            };
            for (trust, consent) in [(asked, Consent::Asked), (allowed, Consent::Allowed)] {
                assert_eq!(data(&trust, name).unwrap(), Some(consent), "{name}");
                assert_eq!(file(&trust, name).unwrap(), Some(consent), "{name}");
            }
            seen += 1;
        }
    }
    assert!(seen > 150, "{seen}");
}
