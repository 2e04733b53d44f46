//! Answers into `kopia_params`: typed flags, quoted, so that the configuration's parser reads the same back.

use std::fmt;

use crate::config::KopiaParams;
use crate::error::{Exit, Failure, Result};

/// A backend and its flags. No secret belongs in here.
#[derive(Clone, Debug)]
pub struct Params {
    words: Vec<String>,
}

impl Params {
    /// `backend` as Kopia calls it.
    pub fn of(backend: &str) -> Self {
        Self {
            words: vec![backend.to_owned()],
        }
    }

    /// `--name value`; nothing for an empty value, which no flag of a storage needs.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            return self;
        }
        // A value that begins with a dash would be taken for another flag.
        if value.starts_with('-') {
            self.words
                .push(format!("--{name}={}", shell_words::quote(value)));
        } else {
            self.words.push(format!("--{name}"));
            self.words.push(shell_words::quote(value).into_owned());
        }
        self
    }

    /// `--name` when it `is` so.
    pub fn switch(mut self, name: &str, is: bool) -> Self {
        if is {
            self.words.push(format!("--{name}"));
        }
        self
    }

    /// As the configuration will read it.
    pub fn parsed(&self) -> Result<KopiaParams> {
        KopiaParams::parse(&self.to_string())
            .map_err(|why| Failure::new(Exit::Usage, format!("`kopia.kopia_params` {why}")).into())
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of flags, values with whatever a shell or a parser might trip over.
    fn flags(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(&'static str, String)>> {
        let value = prop_oneof![
            "[ -~äß€\n\t]{1,12}",
            Just("-rf".to_owned()),
            Just("--bucket=x".to_owned()),
            Just("it's \"$HOME\" `x` \\".to_owned()),
        ];
        proptest::collection::vec(value, names.len())
            .prop_map(move |values| names.iter().copied().zip(values).collect())
    }

    fn built(backend: &str, flags: &[(&str, String)]) -> Params {
        let params = Params::of(backend);
        flags
            .iter()
            .fold(params, |params, (name, value)| params.flag(name, value))
    }

    #[track_caller]
    fn assert_same(backend: &str, flags: &[(&str, String)]) {
        let text = built(backend, flags).to_string();
        let read = KopiaParams::parse(&text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(read.backend.as_str(), backend);
        for (name, value) in flags {
            assert_eq!(read.flag(name), Some(value.as_str()), "{text}");
        }
        // Nothing of it counts as a secret, so the masked form is the whole of it.
        assert_eq!(read.masked(), text);
    }

    proptest! {
        #[test]
        fn whatever_is_answered_is_read_back_as_it_was(flags in flags(&["bucket", "prefix", "region", "endpoint", "root-ca-pem-path"])) {
            assert_same("s3", &flags);
        }

        #[test]
        fn so_it_is_for_every_other_backend(flags in flags(&["container", "storage-account", "prefix", "credentials-file"])) {
            for backend in ["b2", "azure", "gcs"] {
                assert_same(backend, &flags);
            }
        }

        #[test]
        fn an_absolute_path_is_never_taken_for_an_address(path in "/[ -~äß€]{0,20}", rest in flags(&["username", "keyfile", "known-hosts"])) {
            prop_assume!(!path.contains("://"));
            let mut flags = rest;
            flags.insert(0, ("host", "nas".to_owned()));
            flags.insert(0, ("path", path.clone()));
            assert_same("sftp", &flags);
            assert_same("filesystem", &[("path", path)]);
        }
    }

    #[test]
    fn what_was_left_empty_is_no_flag() {
        let params = Params::of("s3").flag("bucket", "b").flag("prefix", "");
        let params = params.switch("disable-tls", true).switch("x", false);
        assert_eq!(params.to_string(), "s3 --bucket b --disable-tls");
    }
}
