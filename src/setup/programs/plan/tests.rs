use super::*;

/// The commands for everything, on a host that has no other program than systemd's.
fn commands(os_release: &str) -> Vec<String> {
    let plan = planned(os_release);
    plan.steps.iter().map(Step::display).collect()
}

fn planned(os_release: &str) -> Plan {
    plan(
        &Distribution::parse(os_release),
        &Dependency::ALL,
        |program| program == "systemctl",
    )
}

fn by_hand(os_release: &str) -> Vec<Dependency> {
    let plan = planned(os_release);
    plan.by_hand.iter().map(|by| by.dependency).collect()
}

const DEBIAN_12: &str = "ID=debian\nVERSION_ID=\"12\"\n";

#[test]
fn debian_gets_kopia_from_a_repository_that_is_believed_by_its_key() {
    let key = kopia_key::FINGERPRINT;
    let check = format!(
        "gpg --show-keys --with-colons /etc/apt/keyrings/kopia.asc.new   # must be the key {key}, and no other"
    );
    assert_eq!(
        commands(DEBIAN_12),
        [
            "apt-get update",
            "apt-get install -y tar docker.io openssl openssh-client curl gnupg",
            "install -d -m 0755 /etc/apt/keyrings",
            "curl -fsSL --proto '=https' -o /etc/apt/keyrings/kopia.asc.new https://kopia.io/signing-key",
            &check,
            "chmod 0644 /etc/apt/keyrings/kopia.asc.new",
            "mv -f /etc/apt/keyrings/kopia.asc.new /etc/apt/keyrings/kopia.asc",
            "cat >/etc/apt/sources.list.d/kopia.list <<'END'\n\
             deb [signed-by=/etc/apt/keyrings/kopia.asc] https://packages.kopia.io/apt/ stable main\nEND",
            "apt-get update",
            "apt-get install -y kopia",
        ]
    );
    // There it is version 1.
    assert_eq!(by_hand(DEBIAN_12), [Dependency::Compose]);
}

#[test]
fn each_distribution_gets_its_own_names_and_its_own_package_manager() {
    for (os_release, expected, left) in [
        (
            "ID=debian\nVERSION_ID=\"13\"\n",
            "apt-get install -y tar docker.io docker-compose openssl openssh-client curl gnupg",
            &[][..],
        ),
        (
            "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n",
            "apt-get install -y tar docker.io docker-compose-v2 openssl openssh-client curl gnupg",
            &[],
        ),
        (
            "ID=fedora\nVERSION_ID=41\n",
            "dnf install -y tar moby-engine docker-compose openssl openssh-clients curl gnupg2",
            &[],
        ),
        (
            "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n",
            "dnf install -y tar openssl openssh-clients curl gnupg2",
            &[Dependency::Docker, Dependency::Compose],
        ),
        (
            "ID=arch\n",
            "pacman -S --needed --noconfirm tar docker docker-compose openssl openssh",
            &[Dependency::Kopia],
        ),
        (
            "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n",
            "zypper --non-interactive install tar docker docker-compose openssl openssh-clients curl gpg2",
            &[],
        ),
    ] {
        let commands = commands(os_release);
        assert!(
            commands.iter().any(|command| command == expected),
            "{os_release}: {commands:#?}"
        );
        assert_eq!(by_hand(os_release), left, "{os_release}");
    }
}

#[test]
fn packages_from_kopias_rpm_repository_are_checked_against_the_key_on_disk() {
    for (os_release, file) in [
        ("ID=fedora\n", "/etc/yum.repos.d/kopia.repo"),
        ("ID=opensuse-leap\n", "/etc/zypp/repos.d/kopia.repo"),
    ] {
        let commands = commands(os_release).join("\n");
        assert!(commands.contains("rpm --import /etc/pki/rpm-gpg/RPM-GPG-KEY-kopia"));
        assert!(commands.contains(file), "{commands}");
        assert!(commands.contains("gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-kopia"));
        assert!(commands.contains("systemctl enable --now docker"));
    }
}

#[test]
fn nothing_is_ever_piped_into_a_shell() {
    for family in Family::ALL {
        let plan = plan(&family.example(), &Dependency::ALL, |_| false);
        for step in plan.steps {
            let text = step.display();
            assert!(!text.contains('|'), "{text}");
            assert!(!text.starts_with("sh ") && !text.contains("bash"), "{text}");
        }
    }
}

#[test]
fn only_what_is_missing_is_brought_and_an_unknown_distribution_gets_nothing_run() {
    let debian = Distribution::parse(DEBIAN_12);
    let plan_of = |missing: &[Dependency]| plan(&debian, missing, |_| true);
    let steps = plan_of(&[Dependency::Openssl]).steps;
    let texts: Vec<String> = steps.iter().map(Step::display).collect();
    assert_eq!(texts, ["apt-get update", "apt-get install -y openssl"]);
    let kopia = plan_of(&[Dependency::Kopia]).steps;
    // What fetches and checks the key is there.
    assert_eq!(kopia[0].display(), "install -d -m 0755 /etc/apt/keyrings");
    assert!(plan_of(&[]).steps.is_empty());
    let alpine = Distribution::parse("ID=alpine\n");
    let plan = plan(&alpine, &[Dependency::Kopia, Dependency::Tar], |_| false);
    assert!(plan.steps.is_empty());
    assert_eq!(plan.by_hand.len(), 2);
}
