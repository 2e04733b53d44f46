//! Whether those who are told of problems can be told: what their targets name can be read. Nothing is sent.

use super::finding::Finding;
use crate::config::Config;
use crate::error::hints_of;
use crate::notify;

pub const AREA: &str = "messages";

/// Nothing is said where nobody is to be told. A message that is not delivered fails no backup, so it is a warning.
pub async fn check(config: Option<&Config>) -> Vec<Finding> {
    let targets = config.map(|config| config.notify.as_slice());
    let targets = targets.unwrap_or_default();
    let mut findings = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        if let Err(error) = notify::check(target).await {
            let message = format!("`notify[{index}]` cannot be told anything: {error:#}");
            let remedy = hints_of(&error).join("; ");
            findings.push(
                Finding::warning(AREA, message).remedy(if remedy.is_empty() {
                    "correct it with `kopi-docka edit-config`".to_owned()
                } else {
                    remedy
                }),
            );
        }
    }
    if findings.is_empty() && !targets.is_empty() {
        let told = crate::base::text::count(targets.len(), "target");
        findings.push(Finding::ok(
            AREA,
            format!("{told}; `kopi-docka notify --test` sends one message to each"),
        ));
    }
    findings
}
