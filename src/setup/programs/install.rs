//! Shows what would be run, asks, runs it where the operator sees it, and looks again.

use std::path::Path;

use anyhow::Context as _;

use super::distribution::Distribution;
use super::kopia_key;
use super::look::{self, Missing};
use super::plan::{ByHand, Plan, Step};
use crate::base::files;
use crate::config::Config;
use crate::context::Context;
use crate::drivers::tool::{self, Spec};
use crate::error::{Exit, Failure, Result};
use crate::ui::prompt;

/// Who agrees to what is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assent {
    /// The operator is asked, on a terminal.
    Ask,
    /// The operator said so on the command line.
    Given,
}

/// Brings what is `missing` and can be installed here. What only the operator can bring is said; it is a failure when nothing
/// works without it.
pub async fn install(
    cx: &Context,
    config: Option<&Config>,
    missing: &[Missing],
    assent: Assent,
) -> Result<()> {
    let plan = of_this_host(missing).1;
    show(cx, &plan);
    if !plan.steps.is_empty() {
        if assent == Assent::Ask {
            prompt::confirm("Run these commands now?", "--yes", &cx.shutdown).await?;
        }
        for step in &plan.steps {
            cx.ui.say(format!("# {}", step.display()));
            run(cx, step).await.map_err(|error| stopped(step, error))?;
        }
    }
    verify(config, &plan.by_hand).await
}

/// Where we are, and the commands for here.
pub fn of_this_host(missing: &[Missing]) -> (Distribution, Plan) {
    let distribution = Distribution::detect();
    let wanted: Vec<_> = missing.iter().map(|missing| missing.dependency).collect();
    let plan = super::plan(&distribution, &wanted, |program| {
        tool::find(program, "").is_ok()
    });
    (distribution, plan)
}

/// What would be run, and what is left to the operator; on stderr, since it belongs to the question.
fn show(cx: &Context, plan: &Plan) {
    if !plan.steps.is_empty() {
        cx.ui.say("This would be run:");
        for step in &plan.steps {
            cx.ui.say(indented(&step.display()));
        }
    }
    for by in &plan.by_hand {
        cx.ui.say(by.text());
    }
}

/// For a here-document too.
pub fn indented(text: &str) -> String {
    format!("    {}", text.replace('\n', "\n    "))
}

impl ByHand {
    pub fn text(&self) -> String {
        format!("install {} manually: {}", self.dependency.name(), self.how)
    }
}

async fn run(cx: &Context, step: &Step) -> Result<()> {
    match step {
        Step::Run(words) => command(cx, words).await,
        Step::CheckKey(file) => check_key(file).await,
        Step::Write(file, content) => files::write_public(file, content.as_bytes()),
    }
}

async fn command(cx: &Context, words: &[String]) -> Result<()> {
    let [program, args @ ..] = words else {
        return Ok(());
    };
    let found = tool::find(program, &format!("install `{program}`"))?;
    let status = tool::uninterrupted(Spec::new(&found).args(args)).await?;
    if cx.shutdown.is_asked() {
        let why = format!("a signal ended it after `{program}`");
        return Err(Failure::new(cx.shutdown.exit(), why).into());
    }
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Program,
        format!("`{}` ended with {status}", shell_words::join(words)),
    )
    .into())
}

async fn check_key(file: &Path) -> Result<()> {
    let gpg = tool::find("gpg", "install GnuPG")?;
    let spec = Spec::new(&gpg).args(["--show-keys", "--with-colons"]);
    let shown = tool::run(spec.arg(file), look::PATIENCE).await;
    if let Ok(shown) = &shown
        && shown.ended.status.success()
        && kopia_key::is_kopias_alone(&String::from_utf8_lossy(&shown.stdout))
    {
        return Ok(());
    }
    // Nothing refers to it yet.
    std::fs::remove_file(file).with_context(|| format!("cannot remove `{}`", file.display()))?;
    Err(Failure::new(
        Exit::Program,
        format!(
            "what `{}` sent is not the key of Kopia's packages: nothing was installed from there",
            kopia_key::URL
        ),
    )
    .note(format!(
        "that key is {}; the file was removed",
        kopia_key::FINGERPRINT
    ))
    .hint("see whether a proxy is in the way, and https://kopia.io/docs/installation/ for another way")
    .into())
}

fn stopped(step: &Step, error: anyhow::Error) -> anyhow::Error {
    let exit = crate::error::exit_of(&error);
    let exit = if exit == Exit::Unexpected {
        Exit::Program
    } else {
        exit
    };
    Failure::new(exit, "not everything could be installed")
        .note(format!("it ended at: {}", step.display()))
        .hint("fix that and run `kopi-docka install-deps` again: completed steps are skipped; or see `kopi-docka show-deps`")
        .caused_by(error)
        .into()
}

/// A package manager that is content is no proof.
async fn verify(config: Option<&Config>, by_hand: &[ByHand]) -> Result<()> {
    let left = look::missing(config).await;
    let needed: Vec<&Missing> = left.iter().filter(|left| left.is_required).collect();
    let [first, others @ ..] = needed.as_slice() else {
        return Ok(());
    };
    let name = |missing: &Missing| missing.dependency.name();
    let message = format!("{} is still not usable: {}", name(first), first.why);
    let mut failure = Failure::new(Exit::Program, message);
    for other in others {
        let note = format!("{} is still not usable either: {}", name(other), other.why);
        failure = failure.note(note);
    }
    let mut hint = "see what the package manager said above, and `kopi-docka show-deps`".to_owned();
    if let Some(by) = by_hand.iter().find(|by| by.dependency == first.dependency) {
        hint = by.text();
    }
    Err(failure.hint(hint).into())
}
