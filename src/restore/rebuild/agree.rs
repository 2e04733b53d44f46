//! What has to be agreed to, and fetched, before anything is touched: whether the saved program takes the place of the one that is here, and
//! that its images are available.

use super::Rebuilding;
use super::Start;
use super::images::ImagePlan;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::restore::request::{BringUp, OtherImages};
use crate::ui::prompt;

/// What is wrong with `image`, and the door.
pub fn lost(image: &ImagePlan) -> String {
    let remedy = image.remedy.as_deref().unwrap_or_default();
    format!(
        "the saved image `{}` is not here: {remedy}; `--other-images` takes another one of that name",
        image.image
    )
}

impl Rebuilding<'_, '_> {
    /// Services run meanwhile, however long an image takes to arrive. An error means that nothing was touched.
    pub async fn agree(&mut self) -> Result<()> {
        self.ask_about_the_program().await?;
        if !self.has_images() {
            return Ok(());
        }
        let wanted: Vec<ImagePlan> = self.plan.rebuild.wanted_images().cloned().collect();
        for image in wanted {
            let lost = match image.digest() {
                None if image.fetch.is_empty() => None,
                // It is here under another name.
                None => continue,
                Some(digest) if self.ground.engine.image(digest).await?.is_some() => {
                    continue;
                }
                Some(digest) => match self.pull(digest, None).await {
                    Ok(()) => continue,
                    Err(error) => Some(error),
                },
            };
            self.window.refuse_when_asked_to_end()?;
            if let Err(error) = self.accept_another(&image, lost).await {
                let exit = exit_of(&error);
                return Err(Failure::new(exit, self.plan.not_restored())
                    .hint("omit `--up` to restore the data only")
                    .note("nothing was changed")
                    .caused_by(error)
                    .into());
            }
        }
        Ok(())
    }

    /// Whether images matter now: something is made or started with them.
    fn has_images(&self) -> bool {
        let rebuild = &self.plan.rebuild;
        let is_made = rebuild.container.as_ref().is_some_and(|container| {
            container.refusal.is_none()
                && (container.replaces.is_none() || rebuild.bring_up == BringUp::Yes)
        });
        let is_started = rebuild.bring_up == BringUp::Yes
            && rebuild.obstacles.is_empty()
            && matches!(rebuild.start, Some(Start::Compose(_)));
        is_made || is_started
    }

    async fn ask_about_the_program(&mut self) -> Result<()> {
        let rebuild = &mut self.plan.rebuild;
        if !rebuild.holds() || rebuild.bring_up != BringUp::Ask {
            return Ok(());
        }
        let what = match &rebuild.start {
            Some(Start::Compose(up)) => format!("run `{}` from the restored files", up.command()),
            _ => {
                "make and start the saved container in the place of the one that is here".to_owned()
            }
        };
        let question = format!(
            "The containers of `{}` that are here are not those of this point (an upgrade?), so they are not started on its data. \
             Go back to the saved ones: {what}? (no: they stay down)",
            self.plan.unit
        );
        self.window.reporter.rest();
        let shutdown = &self.ground.cx.shutdown;
        let answer = prompt::is_wanted(&question, shutdown).await;
        self.window.reporter.resume();
        rebuild.bring_up = if answer? { BringUp::Yes } else { BringUp::No };
        Ok(())
    }

    /// The saved one is not available. Another one of its name, or nothing.
    pub(super) async fn accept_another(
        &mut self,
        image: &ImagePlan,
        error: Option<anyhow::Error>,
    ) -> Result<()> {
        let is_accepted = match self.plan.rebuild.other_images {
            OtherImages::Yes => true,
            OtherImages::No => false,
            OtherImages::Ask => {
                let why = error.as_ref().map_or_else(
                    || "no registry is known to have it".to_owned(),
                    |error| format!("{error:#}"),
                );
                let question = format!(
                    "The saved image `{}` is not available: {why}. Take another image of that name? It may be of another version than the data",
                    image.image
                );
                self.window.reporter.rest();
                let answer = prompt::is_wanted(&question, &self.ground.cx.shutdown).await;
                self.window.reporter.resume();
                answer?
            }
        };
        if !is_accepted {
            let mut failure = Failure::new(
                Exit::UnitsFailed,
                format!(
                    "the saved image `{}` is not available (`--other-images` takes another one of that name)",
                    image.image
                ),
            )
            .hint("with `--other-images` it may be of another version than the data: look into its notes on upgrades first");
            if let Some(error) = error {
                failure = failure.caused_by(error);
            }
            return Err(failure.into());
        }
        self.window.warnings.push(format!(
            "image `{}` is another one than the data was saved with",
            image.image
        ));
        for known in &mut self.plan.rebuild.images {
            if known.name == image.name {
                known.is_given_up = true;
            }
        }
        // For a container compose does not fetch it.
        if matches!(
            self.plan.rebuild.start,
            Some(Start::Container { .. }) | None
        ) && image.here.is_none()
        {
            self.pull(&image.name, None).await?;
        }
        Ok(())
    }
}
