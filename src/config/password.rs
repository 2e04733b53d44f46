//! The repository's password. It is read when a command needs it, so that one that only looks at the
//! configuration works without.

use std::io::Read as _;
use std::path::Path;

use super::permissions::{self, Caller};
use super::schema::Config;
use crate::base::secret::Secret;
use crate::error::{Exit, Failure, Result};

/// Far more than anybody's password, far less than a wrong file could hold.
const LARGEST_FILE: u64 = 64 * 1024;

/// Whether `text` is what a new configuration holds before anybody chose a password.
pub fn is_placeholder(text: &str) -> bool {
    text.starts_with("CHANGE_ME")
}

impl Config {
    /// From the password file if there is one, else from the configuration itself.
    pub fn password(&self) -> Result<Secret> {
        match (&self.kopia.password_file, &self.kopia.password) {
            (Some(file), _) => read_file(file),
            (None, Some(password)) => {
                check(password.expose(), "in `kopia.password`")?;
                Ok(password.clone())
            }
            (None, None) => Err(refusal("no password for the repository is set").into()),
        }
    }
}

/// The password in `file`, which only its owner may read.
pub fn read_file(file: &Path) -> Result<Secret> {
    let text = read(file, &Caller::of_this_process(), &OF_REPOSITORY)?;
    check(&text, &format!("in `{}`", file.display()))?;
    Ok(Secret::new(text))
}

/// For one that is typed: why it cannot be the password.
pub fn check_new(text: &str) -> Result<(), String> {
    problem(text).map_or(Ok(()), |problem| Err(format!("it {problem}")))
}

/// What a file with a secret is, for errors.
struct What<'a> {
    name: &'a str,
    holds: &'a str,
    hint: &'a str,
}

const OF_REPOSITORY: What<'_> = What {
    name: "password file",
    holds: "it holds the repository's password",
    hint: "make it readable for root, or correct `kopia.password_file`",
};

/// The secret in the file that `key` names, which only its owner may read.
pub fn read_secret_file(file: &Path, key: &str) -> Result<Secret> {
    let what = What {
        name: "file",
        holds: &format!("`{key}` says that it holds a secret"),
        hint: &format!("make it readable for root, or correct `{key}`"),
    };
    let text = read(file, &Caller::of_this_process(), &what)?;
    if text.is_empty() {
        let message = format!("the file `{}` (`{key}`) is empty", file.display());
        return Err(Failure::new(Exit::Config, message).into());
    }
    Ok(Secret::new(text))
}

/// The text of `file` without the newline that editors and `echo` end it with.
fn read(file: &Path, caller: &Caller, what: &What<'_>) -> Result<String> {
    let unreadable = |error: std::io::Error| {
        let failure = Failure::new(
            Exit::Config,
            format!("the {} `{}` cannot be read", what.name, file.display()),
        );
        failure.caused_by(error).hint(what.hint)
    };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    permissions::check_secret(&opened, file, what.holds, caller)?;
    let mut bytes = Vec::new();
    opened
        .take(LARGEST_FILE)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let mut text = String::from_utf8(bytes).map_err(|_| {
        let message = format!("the {} `{}` is not UTF-8 text", what.name, file.display());
        Failure::new(Exit::Config, message).hint(what.hint)
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn check(password: &str, place: &str) -> Result<()> {
    match problem(password) {
        Some(problem) => Err(refusal(&format!("the password {place} {problem}")).into()),
        None => Ok(()),
    }
}

fn problem(password: &str) -> Option<&'static str> {
    if password.is_empty() {
        Some("is empty")
    } else if is_placeholder(password) {
        Some("is still the placeholder")
    } else if password.trim() != password {
        // Kopia cuts it off without a word: the repository would have another password than the file.
        Some("begins or ends with white space")
    } else if password.contains(['\n', '\0']) {
        Some("has more than one line")
    } else {
        None
    }
}

fn refusal(message: &str) -> Failure {
    Failure::new(Exit::Config, message).hint(
        "write the password into a file with mode 0600 and name it in `kopia.password_file` (or set \
         `kopia.password`); a good one: `openssl rand -base64 32`",
    )
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::error::{exit_of, render};

    fn with_password(text: &str) -> Config {
        let mut config = Config::default();
        config.kopia.password = Some(Secret::new(text));
        config
    }

    fn with_file(content: &[u8], mode: u32) -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let mut config = with_password("inline");
        config.kopia.password_file = Some(file);
        (folder, config)
    }

    fn error(config: &Config) -> String {
        let error = config.password().unwrap_err();
        assert_eq!(exit_of(&error), Exit::Config);
        render(&error)
    }

    #[test]
    fn the_file_wins_and_loses_its_last_newline() {
        for content in ["hunter2", "hunter2\n", "hunter2\r\n"] {
            let (_folder, config) = with_file(content.as_bytes(), 0o600);
            assert_eq!(config.password().unwrap().expose(), "hunter2");
        }
        assert_eq!(
            with_password("hunter 2").password().unwrap().expose(),
            "hunter 2"
        );
    }

    #[test]
    fn a_password_that_is_none_is_refused_with_a_remedy() {
        for text in [
            "",
            " hunter2",
            "hunter2\n",
            "hunter2\u{a0}",
            "a\nhunter2",
            "CHANGE_ME_hunter2",
        ] {
            let shown = error(&with_password(text));
            assert!(shown.contains("hint: write the password"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        for content in ["", "\n", "hunter2\n\n", " hunter2\n"] {
            let (_folder, config) = with_file(content.as_bytes(), 0o600);
            assert!(!error(&config).contains("hunter2"));
        }
        let (_folder, config) = with_file(b"\xff\xfe", 0o600);
        assert!(error(&config).contains("not UTF-8"));
        let mut config = with_password("");
        config.kopia.password = None;
        assert!(error(&config).contains("no password"));
        assert!(error(&Config::default()).contains("placeholder"));
    }

    #[test]
    fn a_password_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        for mode in [0o640, 0o604, 0o660] {
            let (_folder, config) = with_file(b"hunter2\n", mode);
            let file = config.kopia.password_file.clone().unwrap();
            let shown = error(&config);
            assert!(
                shown.contains(&format!("chmod 600 {}", file.display())),
                "{shown}"
            );
        }
        let (_folder, config) = with_file(b"hunter2\n", 0o400);
        assert!(config.password().is_ok());
    }

    #[test]
    fn a_missing_password_file_is_an_error_and_never_the_inline_password() {
        let mut config = with_password("inline");
        config.kopia.password_file = Some("/nowhere/password".into());
        assert!(error(&config).contains("`/nowhere/password` cannot be read"));
    }
}
