//! The password of the repository: made, typed, or the one that it has already.

use rand::RngExt as _;

use super::backends::{self, Answers};
use crate::base::secret::Secret;
use crate::config::{self, Config};
use crate::context::Context;
use crate::drivers::kopia::Opens;
use crate::error::{Exit, Failure, Result};
use crate::ui::prompt;

/// 190 bits: more than anybody guesses, and all of it can be typed from paper.
const LENGTH: usize = 32;

/// How often the password of a repository that is there is asked for.
const TRIES: usize = 5;

pub enum Password {
    /// To be shown once.
    Made(Secret),
    Typed(Secret),
    /// Where it is in the configuration, it stays.
    Kept,
}

impl Password {
    pub fn to_set(&self) -> Option<&Secret> {
        match self {
            Self::Made(secret) | Self::Typed(secret) => Some(secret),
            Self::Kept => None,
        }
    }
}

/// That of a repository that is there is tried at once; notes of what could not be tried go to `answers`.
pub async fn ask_password(
    cx: &Context,
    config: &Config,
    answers: &mut Answers,
) -> Result<Password> {
    if !answers.has_repository {
        return ask_once(cx, config, false).await;
    }
    for _ in 0..TRIES {
        let password = ask_once(cx, config, true).await?;
        let secret = match password.to_set() {
            Some(secret) => secret.clone(),
            None => config.password()?,
        };
        cx.ui.say("Trying it …");
        match backends::opens(cx, config, answers, &secret).await {
            Ok(Opens::Yes) => {
                cx.ui.say("The repository opens with it.");
                return Ok(password);
            }
            Ok(Opens::No) => cx.ui.warn("the repository refused this password"),
            Ok(Opens::Half) => {
                answers.notes.push("a change of the repository's password was interrupted: `kopi-docka change-password` completes it".to_owned());
                return Ok(password);
            }
            Err(error) if cx.shutdown.is_asked() => return Err(error),
            Err(error) => {
                cx.ui.warn(format!(
                    "the password could not be tried, which does not mean that it is wrong: {}",
                    backends::told(&error)
                ));
                let note =
                    "the password of the repository was not tried: `kopi-docka init` will show";
                answers.notes.push(note.to_owned());
                return Ok(password);
            }
        }
    }
    Err(Failure::new(
        Exit::WrongPassword,
        format!("the repository refused the password {TRIES} times"),
    )
    .hint("look for the copy of it that was kept when the repository was made, then run this again")
    .note("nothing was written")
    .into())
}

/// `has_repository`: there is one, which has its password.
async fn ask_once(cx: &Context, config: &Config, has_repository: bool) -> Result<Password> {
    let shutdown = &cx.shutdown;
    let mut choices = Vec::new();
    if has_repository {
        cx.ui.say(
            "There is a repository already; it opens with the password that it was made with.",
        );
        choices.push(("Type its password", Choice::Known));
    } else {
        choices.push(("Generate a strong one, shown once", Choice::Make));
        choices.push(("Type one, twice", Choice::Type));
    }
    if config.password().is_ok() {
        choices.push(("Keep the one of the configuration", Choice::Keep));
    }
    let items = choices.iter().map(|(text, _)| (*text).to_owned()).collect();
    let chosen = prompt::select("Password of the repository", items, shutdown).await?;
    let check = |text: &str| config::check_new_password(text);
    match choices.get(chosen).map(|(_, choice)| choice) {
        Some(Choice::Keep) => Ok(Password::Kept),
        Some(Choice::Known) => prompt::known_secret("Its password", check, shutdown)
            .await
            .map(Password::Typed),
        Some(Choice::Type) => {
            let typed = prompt::secret("New password", "The same again", check, shutdown).await?;
            Ok(Password::Typed(Secret::new(typed)))
        }
        Some(Choice::Make) | None => Ok(Password::Made(make())),
    }
}

enum Choice {
    Make,
    Type,
    Known,
    Keep,
}

/// Letters and digits without those that look alike on paper.
fn make() -> Secret {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut random = rand::rng();
    let letters = (0..LENGTH).filter_map(|_| {
        let index = random.random_range(0..LETTERS.len());
        LETTERS.get(index).map(|letter| char::from(*letter))
    });
    Secret::new(letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_made_is_long_and_never_the_same() {
        let (one, other) = (make(), make());
        assert_eq!(one.expose().len(), LENGTH);
        assert!(one != other);
        assert_eq!(config::check_new_password(one.expose()), Ok(()));
    }
}
