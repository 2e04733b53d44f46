//! Whether a bundle is whole, and what is in it. Writes nothing, on no disk.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::archive::{Member, sha256, unpack};
use super::contents::{STATUS, SavedUnit};
use super::name::{README, beside};
use super::origin::{self, Origin, Versions};
use super::seal::{self, Closed};
use super::texts::Label;
use crate::base::secret::Secret;
use crate::error::{Exit, Failure, Result};
use crate::model::MachineId;

/// Far more than any bundle.
const LARGEST: u64 = 256 << 20;

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

    pub fn open(&self, password: &Secret) -> Result<Checked> {
        let archive = seal::open(&self.bytes, password).map_err(|closed| self.refusal(closed))?;
        let members = unpack(&archive).map_err(|why| damaged(&self.path, &why))?;
        let origin: Origin = self.document(&members, origin::FILE)?;
        let sizes = members.iter().map(|member| MemberSize {
            name: member.name.clone(),
            bytes: member.content.len() as u64,
        });
        Ok(Checked {
            made_at: origin.made_at,
            host: origin.host,
            machine: origin.machine,
            repository: origin.repository.connect.join(" "),
            versions: origin.versions,
            units: self.document(&members, STATUS)?,
            members: sizes.collect(),
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
