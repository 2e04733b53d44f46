//! Runs a program that answers: to its end, with a deadline.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::child::{Child, Ended};
use super::spec::{Output, Spec};
use crate::base::{heartbeat, shutdown};
use crate::error::{Exit, Failure, Result};

/// More than any answer that we ask for; one that is longer is cut and will not parse.
const MAX_STDOUT_BYTES: u64 = 256 * 1024 * 1024;

/// In the chain of the error for a program that took too long.
#[derive(Debug, thiserror::Error)]
#[error("it may wait for a disk or a server that does not answer")]
pub struct NoAnswer;

#[derive(Debug)]
pub struct Finished {
    pub ended: Ended,
    pub stdout: Vec<u8>,
}

/// A child that has not ended after `deadline`, or at a signal to us, is killed; that is an error, any exit status is not.
pub async fn run(spec: Spec, deadline: Duration) -> Result<Finished> {
    let what = format!("`{}`", spec.display());
    shutdown::cut(&what, run_to_end(spec, deadline)).await
}

/// As [`run`], whatever signal comes to us meanwhile.
pub async fn run_to_end(spec: Spec, deadline: Duration) -> Result<Finished> {
    let _patience = heartbeat::allow(deadline);
    let display = spec.display();
    let mut child = Child::spawn(spec.output(Output::Captured))?;
    let stdout = child.take_stdout();
    let work = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            stdout
                .take(MAX_STDOUT_BYTES)
                .read_to_end(&mut bytes)
                .await?;
        }
        let ended = child.wait().await?;
        Ok(Finished {
            ended,
            stdout: bytes,
        })
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(finished) => finished,
        Err(_) => Err(Failure::new(
            Exit::Program,
            format!(
                "`{display}` gave no answer within {} s and was ended",
                deadline.as_secs()
            ),
        )
        .caused_by(NoAnswer)
        .into()),
    }
}
