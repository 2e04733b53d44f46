//! `check`, also called `doctor`: what is wrong on this host, and what to do about it.

use serde_json::json;

use crate::base::text;
use crate::context::Context;
use crate::doctor::{self, Finding, State};
use crate::error::{Failure, Result};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(cx: &Context, _args: Args) -> Result<u8> {
    cx.require_root("check")?;
    let findings = tokio::select! {
        biased;
        () = cx.shutdown.asked() => {
            return Err(Failure::new(cx.shutdown.exit(), "a signal ended it; nothing was changed").into());
        }
        findings = doctor::examine(cx) => findings,
    };
    let exit_code = doctor::verdict(&findings);
    let count = |state| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    let (warnings, failures) = (count(State::Warning), count(State::Failure));
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "exit_code": exit_code,
            "failures": failures,
            "warnings": warnings,
            "findings": findings,
        }));
        return Ok(exit_code);
    }
    for findings in findings.chunk_by(|one, other| one.area == other.area) {
        show_area(cx, findings);
    }
    if !cx.ui.quiet {
        let warnings = text::count(warnings, "warning");
        cx.ui.answer(match failures {
            0 => format!("\nNothing is wrong, {warnings}."),
            _ => format!("\n{}, {warnings}.", text::count(failures, "failure")),
        });
    }
    Ok(exit_code)
}

/// What is wrong first. Without `--verbose` what is good is a single line.
fn show_area(cx: &Context, findings: &[Finding]) {
    let (good, bad): (Vec<_>, Vec<_>) = findings
        .iter()
        .partition(|finding| finding.state == State::Ok);
    for finding in bad {
        show(cx, finding);
    }
    match good.as_slice() {
        _ if cx.ui.quiet => {}
        [first, _, ..] if !cx.ui.verbose => {
            let rest = good.len() - 1;
            let message = format!("{}, and {rest} more", first.message);
            show(cx, &Finding::ok(first.area, message));
        }
        good => good.iter().for_each(|finding| show(cx, finding)),
    }
}

fn show(cx: &Context, finding: &Finding) {
    let mark = match finding.state {
        State::Ok => "ok",
        State::Warning => "WARNING",
        State::Failure => "FAILURE",
    };
    let message = text::printable(&finding.message);
    cx.ui
        .answer(format!("{mark:<8} {:<15} {message}", finding.area));
    if let Some(remedy) = &finding.remedy {
        cx.ui
            .answer(format!("{:<24} -> {}", "", text::printable(remedy)));
    }
}
