//! Does one hook, within its time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tracing::info;

use super::hook::{Action, Ready, Told, word};
use crate::base::{heartbeat, text};
use crate::drivers::docker::Engine;
use crate::drivers::docker::inside::Command;
use crate::drivers::systemd;
use crate::drivers::tool::{self, Spec};
use crate::error::Result;
use crate::model::report::HookReport;
use crate::notify::Masks;

/// What is kept of what it says: the end.
const KEPT: usize = 4096;

/// Does it to its end, to the end of its time, or until `given_up` resolves: then it is ended.
pub async fn act(
    hook: &Ready,
    told: &Told,
    engine: Option<&Engine>,
    masks: &Masks,
    given_up: impl Future<Output = ()>,
) -> HookReport {
    let since = Instant::now();
    let _patience = heartbeat::allow(hook.timeout() + ENDING);
    let done = match &hook.action {
        Action::Run { command } => on_host(hook, command, told, given_up).await,
        Action::Exec {
            id, command, user, ..
        } => {
            let work = in_container(hook, (id, command, user.as_deref()), told, engine);
            tokio::select! {
                biased;
                done = work => done,
                () = given_up => Ok((String::new(), Some(A_SIGNAL.to_owned()))),
            }
        }
        Action::Missing { why, .. } => Err(anyhow::anyhow!("{why}")),
    };
    let (said, error) = match done {
        Ok((said, error)) => (said, error),
        Err(error) => (String::new(), Some(format!("{error:#}"))),
    };
    let masked = |text: &str| text::printable(masks.apply(text).trim());
    let took = since.elapsed();
    let error = error.map(|error| {
        if took < hook.timeout() {
            return error;
        }
        format!(
            "it took longer than {} s, and was ended",
            hook.timeout_seconds
        )
    });
    let report = HookReport {
        when: word(&hook.when),
        what: masked(&hook.display()),
        seconds: took.as_secs_f64(),
        error: error.map(|error| masked(&error)),
        said: masked(end_of(&said)),
    };
    let how = report.error.as_deref().unwrap_or("done");
    info!(
        "hook `{}` ({}): {how}; {}",
        report.what, report.when, report.said
    );
    report
}

/// What it said, and why it counts as failed.
type Done = (String, Option<String>);

const A_SIGNAL: &str = "a signal ended it";
/// How much longer systemd may take to end a program whose time is over.
const ENDING: Duration = Duration::from_secs(15);

async fn on_host(
    hook: &Ready,
    command: &[String],
    told: &Told,
    given_up: impl Future<Output = ()>,
) -> Result<Done> {
    let variables = environment(hook, told);
    let (program, args) = command.split_first().context("it has no command")?;
    let outside = systemd::is_booted();
    let (spec, limit) = if outside {
        // Else it would have what a unit of ours has: no capabilities, and a file system that it cannot write to.
        let spec = systemd::outside(&unit(hook), command, &variables, hook.timeout())?;
        (spec, hook.timeout() + ENDING)
    } else {
        let spec = Spec::new(program.as_ref()).args(args);
        let spec = variables
            .iter()
            .fold(spec, |spec, (name, value)| spec.env(name, value));
        (spec, hook.timeout())
    };
    let ended = tokio::select! {
        biased;
        ended = tool::run_to_end(spec, limit) => ended?,
        () = given_up => {
            if outside {
                systemd::end_outside(&unit(hook)).await;
            }
            return Ok((String::new(), Some(A_SIGNAL.to_owned())));
        }
    };
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.ended.stderr;
    let status = ended.ended.status;
    let error = match status.code() {
        Some(0) => None,
        Some(code) => Some(format!("it ended with status {code}")),
        None => Some("it was ended by a signal".to_owned()),
    };
    Ok((said, error))
}

/// Of our own environment these alone: it holds the keys of the storage.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

fn environment(hook: &Ready, told: &Told) -> Vec<(&'static str, String)> {
    let own = PASSED_ON.into_iter();
    let own = own.filter_map(|name| Some((name, std::env::var(name).ok()?)));
    own.chain(told.variables(hook)).collect()
}

/// What systemd calls it: one at a time is done by each of our processes.
fn unit(hook: &Ready) -> String {
    let when = word(&hook.when).replace('_', "-");
    format!("kopi-docka-hook-{when}-{}.service", std::process::id())
}

async fn in_container(
    hook: &Ready,
    (id, command, user): (&str, &[String], Option<&str>),
    told: &Told,
    engine: Option<&Engine>,
) -> Result<Done> {
    let engine = engine.context("Docker does not answer")?;
    let variables = told.variables(hook);
    let variables: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let asked = Command {
        words: command,
        user,
        variables: &variables,
    };
    let ended = engine.execute(id, &asked, hook.timeout()).await?;
    let error = (ended.exit_code != 0).then(|| format!("it ended with status {}", ended.exit_code));
    Ok((ended.said, error))
}

fn end_of(text: &str) -> &str {
    let mut from = text.len().saturating_sub(KEPT);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default()
}
