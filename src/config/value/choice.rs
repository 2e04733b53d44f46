//! One of a few words.

use serde::{Deserialize, Deserializer, Serialize};

use super::read;

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $expected:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read(deserializer, $expected, |value| match value.as_str()? {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                })
            }
        }
    };
}

choice!(
    /// Which bind mounts are saved.
    BindMode, "\"all\", \"include\" or \"none\"" {
        All = "all",
        /// Only what an include names.
        Include = "include",
        None = "none",
    }
);

choice!(
    /// How much of a source is read.
    ReadMode, "\"changed\" or \"everything\"" {
        /// What is not proven to be as the last point holds it.
        Changed = "changed",
        Everything = "everything",
    }
);

choice!(
    /// What happens with running containers of other units that can write to what is read.
    SharedVolumes, "\"stop\" or \"warn\"" {
        /// They are stopped as well.
        Stop = "stop",
        /// They go on, and the source is graded accordingly.
        Warn = "warn",
    }
);

choice!(
    /// When a hook is run.
    HookWhen, "\"before_run\", \"before_stop\", \"after_start\", \"after_unit\", \"failed\" or \"after_run\"" {
        BeforeRun = "before_run",
        BeforeStop = "before_stop",
        AfterStart = "after_start",
        AfterUnit = "after_unit",
        Failed = "failed",
        AfterRun = "after_run",
    }
);

choice!(
    /// What a hook that failed means.
    HookFailure, "\"fail\" or \"warn\"" {
        Fail = "fail",
        Warn = "warn",
    }
);

choice!(
    /// What a message is sent to.
    MessageType, "\"healthchecks\", \"ntfy\", \"gotify\", \"webhook\" or \"email\"" {
        Healthchecks = "healthchecks",
        Ntfy = "ntfy",
        Gotify = "gotify",
        Webhook = "webhook",
        Email = "email",
    }
);

choice!(
    /// Which messages are sent.
    MessageWhen, "\"always\", \"problem\" or \"success\"" {
        Always = "always",
        /// What is wrong, and that it is so no more.
        Problem = "problem",
        Success = "success",
    }
);

choice!(
    /// How the way to a mail server is encrypted.
    MailTls, "\"starttls\", \"implicit\" or \"none\"" {
        StartTls = "starttls",
        Implicit = "implicit",
        None = "none",
    }
);
