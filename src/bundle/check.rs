//! Whether a bundle is whole, and what is in it. Writes nothing, on no disk.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::content::contents::{STATUS, SavedUnit};
use super::content::origin::{self, Origin, Versions};
use super::content::texts::Label;
use super::file::archive::{LARGEST, Member, sha256, unpack};
use super::file::name::{README, beside};
use super::file::seal::{self, Closed};
use crate::base::secret::Secret;
use crate::error::{Exit, Failure, Result};
use crate::model::MachineId;

/// One that is as it was written, as far as can be told without its password.
pub struct Sealed {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The text beside it has its checksum.
    pub is_proven: bool,
}

/// What is in one. No secret.
#[derive(Debug, Serialize)]
pub struct Checked {
    pub made_at: DateTime<Utc>,
    pub host: String,
    pub machine: MachineId,
    pub repository: String,
    pub versions: Versions,
    pub units: Vec<SavedUnit>,
    pub members: Vec<MemberSize>,
}

#[derive(Debug, Serialize)]
pub struct MemberSize {
    pub name: String,
    pub bytes: u64,
}

/// A whole bundle, in memory.
pub struct Opened {
    pub origin: Origin,
    pub units: Vec<SavedUnit>,
    members: Vec<Member>,
}

impl Opened {
    /// What may be shown of it.
    pub fn shown(&self) -> Checked {
        let origin = self.origin.clone();
        let sizes = self.members.iter().map(|member| MemberSize {
            name: member.name.clone(),
            bytes: member.content.len() as u64,
        });
        Checked {
            made_at: origin.made_at,
            host: origin.host,
            machine: origin.machine,
            repository: origin.repository.connect.join(" "),
            versions: origin.versions,
            units: self.units.clone(),
            members: sizes.collect(),
        }
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Fails for one that is not there: the bundle of an older version.
    pub fn member(&self, name: &str) -> Result<&[u8]> {
        let member = self.members.iter().find(|member| member.name == name);
        let lacks = || {
            let what = format!(
                "this recovery bundle has no `{name}`: its version of kopi-docka did not put it there"
            );
            Failure::new(Exit::Config, what).hint("open it by hand, as its `.README` says")
        };
        Ok(&member.ok_or_else(lacks)?.content)
    }
}

impl Sealed {
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let unreadable = |error: std::io::Error| {
            Failure::new(
                Exit::Config,
                format!("the recovery bundle `{name}` cannot be read"),
            )
            .caused_by(error)
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let text = std::fs::read_to_string(beside(path, README)).ok();
        let label = text.and_then(|text| Label::parse(&text));
        let is_proven = label.is_some();
        if label.is_some_and(|label| label.sha256 != sha256(&bytes)) {
            let why = format!("its checksum is not the one in `{name}{README}`");
            return Err(damaged(path, &why).into());
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            is_proven,
        })
    }

    pub fn open(&self, password: &Secret) -> Result<Opened> {
        let archive = seal::open(&self.bytes, password).map_err(|closed| self.refusal(closed))?;
        let members = unpack(&archive).map_err(|why| damaged(&self.path, &why))?;
        Ok(Opened {
            origin: self.document(&members, origin::FILE)?,
            units: self.document(&members, STATUS)?,
            members,
        })
    }

    fn refusal(&self, closed: Closed) -> Failure {
        let name = self.path.display();
        match closed {
            Closed::NotSealed => damaged(&self.path, "it is not an encrypted archive"),
            Closed::Damaged => damaged(&self.path, "its end does not fit"),
            Closed::Password if self.is_proven => Failure::new(
                Exit::WrongPassword,
                format!("this password does not open the recovery bundle `{name}`"),
            )
            .hint("each bundle keeps the password that it was made with: an older one may be on an older sheet of paper"),
            Closed::Password => Failure::new(
                Exit::WrongPassword,
                format!("the password is wrong, or the recovery bundle `{name}` is damaged"),
            )
            .hint(format!(
                "put `{name}{README}` beside it, which has its checksum: then damage is told from a wrong password"
            )),
        }
    }

    fn document<T: DeserializeOwned>(&self, members: &[Member], name: &str) -> Result<T> {
        let member = members.iter().find(|member| member.name == name);
        let document = member.and_then(|member| serde_json::from_slice(&member.content).ok());
        let why = || damaged(&self.path, &format!("it has no readable `{name}`"));
        Ok(document.ok_or_else(why)?)
    }
}

fn damaged(path: &Path, why: &str) -> Failure {
    Failure::new(
        Exit::Config,
        format!("`{}` is not a whole recovery bundle: {why}", path.display()),
    )
    .hint("use another copy of it, or an older bundle")
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::bundle::file::archive::pack;
    use crate::bundle::file::name::BundleName;
    use crate::error::exit_of;
    use crate::model::BackupId;

    const PASSWORD: &str = "hunter2";

    fn name() -> BundleName {
        BundleName {
            id: BackupId::parse("2025-01-31T23-59-59Z").unwrap(),
        }
    }

    /// Once: to derive a key takes time.
    static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let origin = serde_json::json!({
            "format": 1, "made_at": "2025-01-31T23:59:59Z", "host": "web1", "machine": "1".repeat(32),
            "config_file": "/etc/kopi-docka.json", "profile": "kopi-docka", "kopia_config_file": "/root/k",
            "repository": {"unique_id": "ab", "connect": ["filesystem", "--path", "/r"], "variables": []},
            "versions": {"kopi_docka": "0.1.0", "kopia": "0.23.1", "docker": null}
        });
        let members = [
            Member::new(STATUS, "[]"),
            Member::new(origin::FILE, origin.to_string()),
        ];
        let archive = pack(&name(), &members).unwrap();
        seal::seal(&archive, &Secret::new(PASSWORD))
    });

    /// As this program writes it, in `folder`.
    fn bundle(folder: &Path) -> (PathBuf, Vec<u8>) {
        let path = folder.join(name().file());
        let readme = format!(
            "Host:     web1\nMachine:  {}\nSHA-256:  {}\n",
            "1".repeat(32),
            sha256(&SEALED)
        );
        std::fs::write(beside(&path, README), readme).unwrap();
        std::fs::write(&path, &*SEALED).unwrap();
        (path, SEALED.clone())
    }

    fn check(path: &Path, password: &str) -> Result<Checked> {
        let opened = Sealed::read(path)?.open(&Secret::new(password))?;
        Ok(opened.shown())
    }

    #[test]
    fn a_wrong_password_is_told_from_damage_by_the_text_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sealed) = bundle(folder.path());
        assert_eq!(check(&path, PASSWORD).unwrap().host, "web1");
        let wrong = check(&path, "hunter3").unwrap_err();
        assert_eq!(exit_of(&wrong), Exit::WrongPassword);
        assert!(wrong.to_string().starts_with("this password"), "{wrong}");
        let mut damaged = sealed.clone();
        damaged[20] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let refused = check(&path, PASSWORD).unwrap_err();
        assert_eq!(exit_of(&refused), Exit::Config);
        std::fs::remove_file(beside(&path, README)).unwrap();
        let refused = check(&path, PASSWORD).unwrap_err();
        assert_eq!(exit_of(&refused), Exit::WrongPassword);
        assert!(
            refused.to_string().contains("or the recovery bundle"),
            "{refused}"
        );
    }

    #[test]
    fn nothing_that_is_cut_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sealed) = bundle(folder.path());
        for text in [true, false] {
            for tenth in 0..10 {
                let cut = sealed.get(..sealed.len() * tenth / 10).unwrap();
                std::fs::write(&path, cut).unwrap();
                assert!(check(&path, PASSWORD).is_err(), "{tenth} tenths");
            }
            if text {
                std::fs::remove_file(beside(&path, README)).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn no_damaged_byte_is_accepted(
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
            // Without it a key is derived each time.
            with_text in prop::bool::weighted(0.9),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (path, mut sealed) = bundle(folder.path());
            let at = at.index(sealed.len());
            sealed[at] ^= flip;
            std::fs::write(&path, &sealed).unwrap();
            if !with_text {
                std::fs::remove_file(beside(&path, README)).unwrap();
            }
            prop_assert!(check(&path, PASSWORD).is_err());
        }
    }
}
