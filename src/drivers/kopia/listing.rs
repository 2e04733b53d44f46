//! The list of all snapshots. It may be hundreds of megabytes of JSON, from a storage that is far away: it is read as it comes, one
//! snapshot after the other, and has a limit of silence instead of one of time.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use tokio::sync::oneshot;

use super::client::{ASK_DEADLINE, Kopia};
use super::failure;
use super::manifest::Manifest;
use super::watch;
use crate::base::{heartbeat, shutdown};
use crate::drivers::tool::{self, Child, Ended, NoAnswer, Output, Spec};
use crate::error::{Exit, Failure, Result};

impl Kopia {
    /// Every snapshot of every host in the repository, grouped by source, oldest first.
    pub async fn list(&self) -> Result<Vec<Manifest>> {
        Ok(list(self.list_command()).await?.0)
    }

    fn list_command(&self) -> Spec {
        // With --json Kopia lists all hosts whether told to or not; --all says that we know.
        self.command()
            .args(["snapshot", "list", "--all", "--json", "--no-retention"])
    }

    /// [`Kopia::list`] for who takes what is not listed for gone: Kopia leaves out what it cannot read, says so, and exits with 0.
    pub async fn list_without_gaps(&self) -> Result<Vec<Manifest>> {
        let (manifests, ended) = list(self.list_command()).await?;
        if ended.stderr.contains(UNREADABLE) {
            let what = "kopia could not read the manifest of every snapshot";
            return Err(Failure::new(Exit::Program, what)
                .hint("run `kopi-docka verify`; when it is said again and again, check the storage of the repository")
                .caused_by(anyhow::anyhow!("kopia said: {}", ended.stderr))
                .into());
        }
        Ok(manifests)
    }
}

/// As 0.23.1 begins the line.
const UNREADABLE: &str = "unable to parse snapshot manifest";

async fn list(spec: Spec) -> Result<(Vec<Manifest>, Ended)> {
    let _patience = heartbeat::allow(ASK_DEADLINE);
    let display = spec.display();
    let answer = tool::pipe()?;
    let mut child = Child::spawn(spec.output(Output::Pipe(answer.writer)))?;
    let parsed = parse_on_thread(answer.reader)?;
    let what = format!("`{display}`");
    let listed = watch::while_speaking(&mut child, ASK_DEADLINE);
    let Some(ended) = shutdown::cut(&what, listed).await? else {
        let seconds = ASK_DEADLINE.as_secs();
        let what = format!("`{display}` moved nothing for {seconds} s and was ended");
        let silent = Failure::new(Exit::Program, what).caused_by(NoAnswer);
        return Err(failure::unanswered(silent.into()));
    };
    if !ended.status.success() {
        return Err(failure::of(&ended));
    }
    let parsed = shutdown::cut(&what, async { Ok(parsed.await?) });
    let manifests = parsed.await?.map_err(|error| {
        let what = format!("the answer of `{display}` is not what this version knows");
        Failure::new(Exit::Program, what).caused_by(error)
    })?;
    Ok((manifests, ended))
}

/// Ends when the last writer has closed `answer`.
fn parse_on_thread(
    answer: OwnedFd,
) -> Result<oneshot::Receiver<serde_json::Result<Vec<Manifest>>>> {
    let (sender, parsed) = oneshot::channel();
    std::thread::Builder::new()
        .name("list".to_owned())
        .spawn(move || {
            let _ = sender.send(parse(File::from(answer)));
        })
        .context("no thread can be started")?;
    Ok(parsed)
}

fn parse(answer: impl std::io::Read) -> serde_json::Result<Vec<Manifest>> {
    let answer = BufReader::with_capacity(256 * 1024, answer);
    let mut json = serde_json::Deserializer::from_reader(answer);
    let mut manifests = json.deserialize_seq(Manifests)?;
    json.end()?;
    manifests.shrink_to_fit();
    Ok(manifests)
}

struct Manifests;

impl<'de> Visitor<'de> for Manifests {
    type Value = Vec<Manifest>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of snapshots")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut manifests = Vec::new();
        let mut known = HashSet::new();
        while let Some(mut manifest) = list.next_element::<Manifest>()? {
            manifest.share(&mut known);
            manifests.push(manifest);
        }
        Ok(manifests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_read_to_its_end_and_not_beyond() {
        let one = |id: u32| {
            format!(
                r#"{{"id":"{id}","source":{{"host":"h","userName":"u","path":"/p"}},"tags":{{"tag:unit":"web"}},"more":[{{"x":null}}]}}"#
            )
        };
        let text = format!("[\n {},\n {}\n]\n", one(1), one(2));
        let list = parse(text.as_bytes()).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[1].tag("unit"), Some("web"));
        assert_eq!(list[1].tag("uni"), None);
        assert!(parse(&b"[]"[..]).unwrap().is_empty());
        for wrong in ["", "[", "{}", &format!("[{}", one(1)), "[] []"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// A list that is cut off is never taken for a shorter one.
        #[test]
        fn what_is_not_a_whole_list_is_an_error(
            text in damaged_text(r#"[{"id":"1","source":{"host":"h","userName":"u","path":"/p"},"tags":{"tag:unit":"web"}}]"#),
        ) {
            let is_whole = serde_json::from_str::<Vec<serde_json::Value>>(&text).is_ok();
            prop_assert!(is_whole || parse(text.as_bytes()).is_err());
        }
    }
}
