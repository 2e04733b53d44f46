//! Credentials of a storage: those that are known already, or typed.

use super::{Credential, check};
use crate::base::secret::Secret;
use crate::context::Context;
use crate::error::Result;
use crate::repository::credentials;
use crate::ui::prompt;

/// What is asked for: the variable that Kopia reads, and what the provider calls it.
pub struct Wanted {
    pub name: &'static str,
    pub question: &'static str,
    /// Names of keys are shown while typed, keys are not.
    pub is_secret: bool,
}

/// Kept ones are handed back too: one that only this shell knows would be missing when the timer runs.
pub async fn ask(cx: &Context, wanted: &[Wanted]) -> Result<Vec<Credential>> {
    if let Some(known) = known(cx, wanted)? {
        let names: Vec<_> = known.iter().map(|credential| credential.name).collect();
        let question = format!("Keep the credentials that are set ({})?", names.join(", "));
        if prompt::is_wanted_or(&question, true, &cx.shutdown).await? {
            return Ok(known);
        }
    }
    let mut credentials = Vec::new();
    for Wanted {
        name,
        question,
        is_secret,
    } in wanted
    {
        let value = if *is_secret {
            // Pasted ones often come with a space.
            let check = |text: &str| check::word(text.trim());
            let typed = prompt::known_secret(question, check, &cx.shutdown).await?;
            Secret::new(typed.expose().trim())
        } else {
            Secret::new(prompt::text(question, check::word, &cx.shutdown).await?)
        };
        credentials.push(Credential { name, value });
    }
    Ok(credentials)
}

/// All of them, from the environment or the file of credentials; `None` when one is missing.
fn known(cx: &Context, wanted: &[Wanted]) -> Result<Option<Vec<Credential>>> {
    let environment = credentials::environment(&cx.paths.credentials)?;
    let known = wanted.iter().map(|wanted| {
        let (_, value) = environment.iter().find(|(name, _)| name == wanted.name)?;
        Some(Credential {
            name: wanted.name,
            value: value.clone(),
        })
    });
    Ok(known.collect())
}
