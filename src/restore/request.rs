//! What is to be restored, whoever asks: the flags and the wizard end here.

use std::str::FromStr;

use crate::model::ids::InvalidId;
use crate::model::source::SourceKey;
use crate::model::{BackupId, UnitName};

#[derive(Clone, Debug)]
pub struct Request {
    pub unit: UnitName,
    pub which: Which,
    /// Names of volumes, or paths of bind mounts. Empty: the whole unit.
    pub only: Vec<String>,
    /// The host that made the point; `None` is this one.
    pub host: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest one that is whole.
    Latest,
    Id(BackupId),
}

impl FromStr for Which {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "latest" => Ok(Self::Latest),
            id => BackupId::parse(id).map(Self::Id),
        }
    }
}

/// A source as `--volume` names it.
pub fn handle(key: &SourceKey) -> String {
    match key {
        SourceKey::Volume { name } => name.clone(),
        SourceKey::Bind { path } => path.display().to_string(),
    }
}

impl Request {
    pub fn is_whole_unit(&self) -> bool {
        self.only.is_empty()
    }

    /// The command line that asks for `id` and `only`, to be copied from a hint.
    pub fn command(&self, id: BackupId, only: &[String]) -> String {
        let mut words = vec![
            "kopi-docka".to_owned(),
            "restore".to_owned(),
            "--unit".to_owned(),
            self.unit.to_string(),
            "--backup-id".to_owned(),
            id.to_string(),
        ];
        if let Some(host) = &self.host {
            words.extend(["--host".to_owned(), host.clone()]);
        }
        for name in only {
            words.extend(["--volume".to_owned(), name.clone()]);
        }
        shell_words::join(words)
    }
}
