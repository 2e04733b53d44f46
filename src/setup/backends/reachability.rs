//! Whether the storage that was described answers. Asked through Kopia itself, with a connection that is thrown away: what
//! works here works later.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::params::Params;
use super::{Answers, Credential};
use crate::base::secret::Secret;
use crate::config::{Config, KopiaParams};
use crate::context::Context;
use crate::drivers::kopia::made::Made;
use crate::drivers::kopia::{Kopia, Me, Opens, Probed, Settings};
use crate::error::{Exit, Failure, Result};
use crate::repository::credentials;
use crate::repository::machine::Machine;
use crate::ui::prompt;

/// A storage that is there answers within seconds; Kopia itself would go on trying for minutes.
const DEADLINE: Duration = Duration::from_secs(45);

/// A random password: an existing repository refuses it, and so shows that it exists.
const NO_PASSWORD: &str = "kopi-docka only knocks";

/// The finished answers once the storage has answered, or the operator takes it as it is; `None` to ask the questions again.
pub async fn settle(
    cx: &Context,
    config: &Config,
    params: &Params,
    credentials: Vec<Credential>,
) -> Result<Option<Answers>> {
    loop {
        cx.ui.say("Connecting to the storage …");
        let mut answers = Answers {
            kopia_params: params.to_string(),
            credentials: Vec::new(),
            notes: Vec::new(),
            has_repository: false,
        };
        match probe(cx, config, params, &credentials).await {
            Ok(probed) => {
                answers.has_repository = probed == Probed::Repository;
                cx.ui.say(match probed {
                    Probed::Repository => "Connected: it holds a repository.",
                    Probed::Empty => "Connected: it holds no repository yet.",
                });
                answers.credentials = credentials;
                return Ok(Some(answers));
            }
            Err(_) if cx.shutdown.is_asked() => {
                return Err(
                    Failure::new(cx.shutdown.exit(), "a signal ended the questions").into(),
                );
            }
            Err(why) => cx.ui.warn(super::told(&why)),
        }
        let items = [
            "Change the answers",
            "Try again",
            "Keep the answers as they are",
        ];
        let items = items.map(str::to_owned).to_vec();
        match prompt::select("What now?", items, &cx.shutdown).await? {
            0 => return Ok(None),
            1 => {}
            _ => {
                let note =
                    "the storage did not answer when it was described: `kopi-docka init` will show";
                answers.notes.push(note.to_owned());
                answers.credentials = credentials;
                return Ok(Some(answers));
            }
        }
    }
}

async fn probe(
    cx: &Context,
    config: &Config,
    params: &Params,
    given: &[Credential],
) -> Result<Probed> {
    let cache = tempfile::tempdir()?;
    let kopia = stranger(cx, config, params.parsed()?, given, cache.path())?;
    answer(cx, kopia.probe()).await
}

/// Whether the storage of `answers` has a repository that `password` opens.
pub async fn opens(
    cx: &Context,
    config: &Config,
    answers: &Answers,
    password: &Secret,
) -> Result<Opens> {
    let parsed = KopiaParams::parse(&answers.kopia_params)
        .map_err(|why| Failure::new(Exit::Usage, format!("`kopia.kopia_params` {why}")))?;
    let cache = tempfile::tempdir()?;
    let kopia = stranger(cx, config, parsed, &answers.credentials, cache.path())?;
    let kopia = kopia.with_password(password);
    answer(cx, kopia.opens()).await
}

/// A temporary connection, with `cache` for all that it keeps.
fn stranger(
    cx: &Context,
    config: &Config,
    parsed: KopiaParams,
    given: &[Credential],
    cache: &Path,
) -> Result<Kopia> {
    let mut environment = credentials::environment(&cx.paths.credentials)?;
    environment.retain(|(name, _)| !given.iter().any(|given| given.name == name));
    let (flags, _) = parsed.split_secrets()?;
    let settings = Settings {
        storage_args: std::iter::once(parsed.backend.to_string())
            .chain(flags)
            .collect(),
        environment,
        storage_env: given
            .iter()
            .map(|given| (given.name, given.value.clone()))
            .collect(),
        compression: config.kopia.compression.clone(),
        encryption: config.kopia.encryption.clone(),
        hash: config.kopia.hash.clone(),
        cache_size_mb: 1,
        me: Me {
            host: "kopi-docka-probe".to_owned(),
            machine: Machine::of(&cx.paths)?.id,
            adopted: BTreeMap::new(),
            made: Made::default(),
            adopted_profiles: BTreeMap::new(),
            profile: "kopi-docka-probe".to_owned(),
        },
    };
    Kopia::new(
        "kopi-docka-probe",
        cache.join("cache"),
        cx.paths.home.clone(),
        Secret::new(NO_PASSWORD),
        settings,
    )
}

/// What `asked` returns while the operator waits at the terminal.
async fn answer<T>(cx: &Context, asked: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        answered = tokio::time::timeout(DEADLINE, asked) => answered.unwrap_or_else(|_| {
            let why = format!("the storage gave no answer within {} s", DEADLINE.as_secs());
            Err(Failure::new(Exit::Storage, why)
                .hint("check the address, and whether a firewall is in the way")
                .into())
        }),
        () = cx.shutdown.asked() => Err(Failure::new(cx.shutdown.exit(), "a signal ended the questions").into()),
    }
}
