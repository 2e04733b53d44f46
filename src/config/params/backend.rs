//! The kinds of storage that Kopia can keep a repository in.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Filesystem,
    S3,
    B2,
    Azure,
    Gcs,
    Sftp,
    Rclone,
    Webdav,
}

impl Backend {
    const ALL: [Self; 8] = [
        Self::Filesystem,
        Self::S3,
        Self::B2,
        Self::Azure,
        Self::Gcs,
        Self::Sftp,
        Self::Rclone,
        Self::Webdav,
    ];

    /// `tailscale` is SFTP over a tailnet.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "tailscale" {
            return Some(Self::Sftp);
        }
        Self::ALL
            .into_iter()
            .find(|backend| backend.as_str() == text)
    }

    /// As Kopia calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::S3 => "s3",
            Self::B2 => "b2",
            Self::Azure => "azure",
            Self::Gcs => "gcs",
            Self::Sftp => "sftp",
            Self::Rclone => "rclone",
            Self::Webdav => "webdav",
        }
    }

    pub(super) fn list() -> String {
        Self::ALL.map(Self::as_str).join(", ") + ", tailscale"
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
