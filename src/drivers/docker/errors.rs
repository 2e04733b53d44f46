//! What can go wrong between us and the engine, as far as a caller acts on the difference.

use crate::error::{Exit, Failure};

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The socket is gone, refuses, or was closed in the middle of an answer: dockerd stopped or restarts.
    #[error("the connection to Docker was lost: {0}")]
    Lost(String),
    #[error("Docker did not answer within {seconds} s")]
    Silent { seconds: u64 },
    #[error("Docker answered with status {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("Docker's answer could not be understood: {0}")]
    Garbled(String),
}

impl EngineError {
    /// Whether a retry can help: there was no answer. What was asked may have been done all the same.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Silent { .. } => true,
            // What proxies in front of an engine say while it starts.
            Self::Refused { status, .. } => matches!(status, 502 | 503),
            Self::Garbled(_) => false,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Says what failed; a lost connection also brings the exit code and what to do about it.
    pub fn doing(self, what: impl Into<String>) -> anyhow::Error {
        let what = what.into();
        let is_lost = self.is_lost();
        let error = anyhow::Error::new(self).context(what);
        if !is_lost {
            return error;
        }
        Failure::new(Exit::Docker, "Docker cannot be reached any more")
            .hint("check `systemctl status docker`, then run the command again")
            .caused_by(error)
            .into()
    }
}

impl From<bollard::errors::Error> for EngineError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error as Bollard;
        match error {
            Bollard::DockerResponseServerError {
                status_code,
                message,
            } => Self::Refused {
                status: status_code,
                message,
            },
            Bollard::RequestTimeoutError => Self::Silent {
                seconds: super::engine::PATIENCE.as_secs(),
            },
            error @ (Bollard::SocketNotFoundError(_)
            | Bollard::IOError { .. }
            | Bollard::HyperResponseError { .. }
            | Bollard::HyperLegacyError { .. }) => Self::Lost(chain_of(&error)),
            error => Self::Garbled(chain_of(&error)),
        }
    }
}

impl From<hyper::Error> for EngineError {
    fn from(error: hyper::Error) -> Self {
        Self::Lost(chain_of(&error))
    }
}

/// The innermost cause is the one that tells: hyper's own text is `client error (Connect)`.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.iter().any(|seen| seen.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit_of;

    #[test]
    fn a_lost_connection_is_told_from_a_refusal_by_its_exit_code() {
        let lost = EngineError::Lost("broken pipe".into()).doing("container `a` cannot be stopped");
        assert_eq!(exit_of(&lost), Exit::Docker);
        let silent = EngineError::Silent { seconds: 3 }.doing("x").context("y");
        assert_eq!(exit_of(&silent), Exit::Docker);
        let refused = EngineError::Refused {
            status: 409,
            message: "conflict".into(),
        };
        let refused = refused.doing("container `a` cannot be started");
        assert_eq!(exit_of(&refused), Exit::Unexpected);
    }
}
