//! What the operator has answered, and what is said to an answer that will not do.

use crate::base::secret::Secret;
use crate::error;

/// What the operator wants.
#[derive(Debug, Default)]
pub struct Answers {
    /// As `kopia.kopia_params` holds it: quoted, without secrets.
    pub kopia_params: String,
    /// For `/etc/kopi-docka.env`; none for what is there already.
    pub credentials: Vec<Credential>,
    /// What is to be said when all is done.
    pub notes: Vec<String>,
    /// There is a repository in the storage, so its password is needed, not a new one.
    pub has_repository: bool,
}

#[derive(Debug)]
pub struct Credential {
    /// The variable that Kopia reads.
    pub name: &'static str,
    pub value: Secret,
}

/// What went wrong, with its remedy, for the operator, who is asked again.
pub fn told(why: &anyhow::Error) -> String {
    let text = error::render(why);
    text.trim_start_matches("error: ").trim_end().to_owned()
}
