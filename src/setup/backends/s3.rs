//! AWS S3, and everything that speaks its protocol.

use std::path::Path;

use super::credentials::Wanted;
use super::params::Params;
use super::{Answers, check, credentials, reachability};
use crate::config::Config;
use crate::context::Context;
use crate::error::Result;
use crate::ui::prompt;

const AWS: &str = "s3.amazonaws.com";

const KEYS: [Wanted; 2] = [
    Wanted {
        name: "AWS_ACCESS_KEY_ID",
        question: "Access key id",
        is_secret: false,
    },
    Wanted {
        name: "AWS_SECRET_ACCESS_KEY",
        question: "Secret access key",
        is_secret: true,
    },
];

/// What was answered so far: the defaults of the next round.
#[derive(Clone, Debug)]
pub struct S3 {
    bucket: String,
    prefix: String,
    endpoint: String,
    region: String,
    has_tls: bool,
    authority: String,
}

impl Default for S3 {
    fn default() -> Self {
        Self::at(AWS, "")
    }
}

impl S3 {
    pub fn at(endpoint: &str, region: &str) -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: endpoint.to_owned(),
            region: region.to_owned(),
            has_tls: true,
            authority: String::new(),
        }
    }

    async fn questions(self, cx: &Context) -> Result<Self> {
        let shutdown = &cx.shutdown;
        let bucket = prompt::text_or("Bucket", &self.bucket, check::bucket, shutdown).await?;
        let prefix = check::ask_prefix(&self.prefix, shutdown).await?;
        let question = "Endpoint, such as minio.example.org:9000";
        let endpoint = prompt::text_or(question, &self.endpoint, check::endpoint, shutdown).await?;
        let question = "Region (empty: as the server reports)";
        let region = prompt::text_or(question, &self.region, check::name, shutdown).await?;
        let has_tls = prompt::is_wanted_or("Encrypted with TLS?", self.has_tls, shutdown).await?;
        let authority = if has_tls && !endpoint.ends_with("amazonaws.com") {
            let question =
                "File with the server's own CA (PEM; empty when its certificate is a public one)";
            prompt::text_or(question, &self.authority, certificate, shutdown).await?
        } else {
            String::new()
        };
        Ok(Self {
            bucket,
            prefix,
            endpoint,
            region,
            has_tls,
            authority,
        })
    }

    fn params(&self) -> Params {
        Params::of("s3")
            .flag("bucket", &self.bucket)
            .flag("prefix", &self.prefix)
            .flag(
                "endpoint",
                if self.endpoint == AWS {
                    ""
                } else {
                    &self.endpoint
                },
            )
            .flag("region", &self.region)
            .switch("disable-tls", !self.has_tls)
            .flag("root-ca-pem-path", &self.authority)
    }
}

pub async fn ask(cx: &Context, config: &Config, mut known: S3) -> Result<Answers> {
    loop {
        known = known.questions(cx).await?;
        let keys = credentials::ask(cx, &KEYS).await?;
        if let Some(answers) = reachability::settle(cx, config, &known.params(), keys).await? {
            return Ok(answers);
        }
    }
}

fn certificate(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    check::absolute(path)?;
    let text =
        std::fs::read(Path::new(path)).map_err(|error| format!("it cannot be read: {error}"))?;
    if String::from_utf8_lossy(&text).contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err("this is not a PEM certificate".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_aws_becomes_a_flag() {
        let mut s3 = S3 {
            bucket: "backups".to_owned(),
            ..S3::default()
        };
        assert_eq!(s3.params().to_string(), "s3 --bucket backups");
        s3.prefix = "host 1/".to_owned();
        s3.endpoint = "nas:9000".to_owned();
        s3.region = "eu-1".to_owned();
        s3.has_tls = false;
        assert_eq!(
            s3.params().to_string(),
            "s3 --bucket backups --prefix 'host 1/' --endpoint nas:9000 --region eu-1 --disable-tls"
        );
        s3.has_tls = true;
        s3.authority = "/etc/ca.pem".to_owned();
        assert!(
            s3.params()
                .to_string()
                .ends_with("--root-ca-pem-path /etc/ca.pem")
        );
    }

    #[test]
    fn a_ca_is_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let path = file.to_str().unwrap();
        assert_eq!(certificate(""), Ok(()));
        assert!(certificate(path).is_err());
        std::fs::write(&file, "-----BEGIN PRIVATE KEY-----").unwrap();
        assert!(certificate(path).is_err());
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert_eq!(certificate(path), Ok(()));
    }
}
