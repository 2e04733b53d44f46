//! Backblaze B2: through its S3 interface, unless the operator insists on the backend that Kopia deprecates.

use super::credentials::Wanted;
use super::params::Params;
use super::s3::{self, S3};
use super::{Answers, check, credentials, reachability};
use crate::config::Config;
use crate::context::Context;
use crate::error::Result;
use crate::ui::prompt;

const KEYS: [Wanted; 2] = [
    Wanted {
        name: "B2_KEY_ID",
        question: "Key id",
        is_secret: false,
    },
    Wanted {
        name: "B2_KEY",
        question: "Application key",
        is_secret: true,
    },
];

pub async fn ask(cx: &Context, config: &Config) -> Result<Answers> {
    cx.ui.say(
        "Kopia calls its own backend for B2 deprecated and will remove it. B2 speaks S3 as well: \
         the key id is the access key id, the application key the secret access key. It takes no master application key, so make one \
         for this bucket, and no bucket that was made before 4 May 2020.",
    );
    let question = "Use B2 through S3?";
    if prompt::is_wanted_or(question, true, &cx.shutdown).await? {
        let question = "Region of the bucket, as in its endpoint s3.<region>.backblazeb2.com";
        let region = prompt::text_or(question, "us-west-004", region, &cx.shutdown).await?;
        return s3::ask(cx, config, S3::at(&endpoint(&region), &region)).await;
    }
    let (mut bucket, mut prefix) = (String::new(), String::new());
    loop {
        bucket = prompt::text_or("Bucket", &bucket, check::bucket, &cx.shutdown).await?;
        prefix = check::ask_prefix(&prefix, &cx.shutdown).await?;
        let keys = credentials::ask(cx, &KEYS).await?;
        if let Some(answers) =
            reachability::settle(cx, config, &params(&bucket, &prefix), keys).await?
        {
            return Ok(answers);
        }
    }
}

fn region(text: &str) -> Result<(), String> {
    check::word(text)?;
    check::name(text)
}

fn endpoint(region: &str) -> String {
    format!("s3.{region}.backblazeb2.com")
}

fn params(bucket: &str, prefix: &str) -> Params {
    Params::of("b2")
        .flag("bucket", bucket)
        .flag("prefix", prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_flags() {
        assert_eq!(
            params("backups", "host/").to_string(),
            "b2 --bucket backups --prefix host/"
        );
        assert_eq!(params("backups", "").to_string(), "b2 --bucket backups");
    }
}
