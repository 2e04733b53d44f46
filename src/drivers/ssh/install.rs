//! Our public key onto a server, once, with the operator's own login: the program that asks for the password is ssh itself, on
//! the operator's terminal, and the password is never ours.

use super::key_pair::KeyPair;
use super::server::Login;
use crate::base::shutdown::Shutdown;
use crate::drivers::tool::{self, Spec};
use crate::error::Result;

/// Whether it was installed. Uses the operator's agent, keys and settings; the host keys are the pinned ones.
pub async fn install(login: &Login, key: &KeyPair, shutdown: &Shutdown) -> Result<bool> {
    let spec = Spec::new(&super::find("ssh")?)
        .args(login.pinned())
        .arg("-T")
        .arg("--")
        .arg(&login.server.host)
        .arg(remote_command(&key.public));
    Ok(tool::foreground(spec, shutdown).await?.success())
}

/// The line to install it manually.
pub fn manual(login: &Login, key: &KeyPair) -> String {
    format!(
        "add this line to ~/.ssh/authorized_keys of `{}` on {}:\n  {}",
        login.server.user, login.server.host, key.public
    )
}

/// Every shell of the other side reads it. Run twice it adds nothing; a last line without an end is ended first. The key holds
/// letters, digits and `+/=` alone.
fn remote_command(public: &str) -> String {
    format!(
        "exec sh -c 'cd && umask 077 && mkdir -p .ssh && f=.ssh/authorized_keys && touch $f && {{ grep -qxF \"{public}\" $f || \
         {{ test -z \"$(tail -c 1 $f)\" || echo >>$f; echo \"{public}\" >>$f; }}; }}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a shell plays the other side")]
    fn the_key_is_added_once_on_a_line_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        let run = || {
            let status = std::process::Command::new("sh")
                .args(["-c", &remote_command("ssh-ed25519 AAAA+/= kopi-docka")])
                .env("HOME", home.path())
                .status();
            assert!(status.unwrap().success());
            std::fs::read_to_string(&file).unwrap()
        };
        assert_eq!(run(), "ssh-ed25519 AAAA+/= kopi-docka\n");
        assert_eq!(run(), "ssh-ed25519 AAAA+/= kopi-docka\n");
        std::fs::write(&file, "other key").unwrap();
        assert_eq!(run(), "other key\nssh-ed25519 AAAA+/= kopi-docka\n");
    }
}
