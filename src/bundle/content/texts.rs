//! What a reader needs: beside the bundle to open it, and in it for what comes then. A command is a line that begins with four spaces and
//! `$`, complete as it stands.

use super::contents::SavedUnit;
use super::origin::Origin;
use crate::base::text;
use crate::bundle::file::name::BundleName;
use crate::model::MachineId;
use crate::points::by_hand::{COMMANDS, EXPLAINED};

const HOST: &str = "Host:     ";
const MACHINE: &str = "Machine:  ";
const SUM: &str = "SHA-256:  ";

/// What the text beside a bundle says of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    pub host: String,
    pub machine: MachineId,
    /// Of the whole file.
    pub sha256: String,
}

impl Label {
    /// `None` when it is not one of ours, or damaged.
    pub fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name))
        };
        Some(Self {
            host: value(HOST)?.to_owned(),
            machine: MachineId::parse(value(MACHINE)?).ok()?,
            sha256: value(SUM)?.to_owned(),
        })
    }
}

/// For beside the bundle.
pub fn outside(bundle: BundleName, origin: &Origin, sha256: &str) -> String {
    let (file, directory) = (bundle.file(), bundle.directory());
    let Origin {
        host,
        machine,
        made_at,
        versions,
        ..
    } = origin;
    let made = made_at.format("%Y-%m-%d %H:%M:%S UTC");
    let version = &versions.kopi_docka;
    format!(
        r#"Recovery bundle of kopi-docka

Bundle:   {file}
Made:     {made}, by kopi-docka {version}
{HOST}{host}
{MACHINE}{machine}
{SUM}{sha256}

The bundle holds everything that a new host needs to reach the backups: the configuration, the connection and the password of the
repository, and the credentials of the storage. It is encrypted with the recovery password of this host. Keep this file beside it.

With kopi-docka, check it like this:

    $ kopi-docka disaster-recovery --check {file}

Without kopi-docka, open it on any Linux system with OpenSSL 1.1 or newer, as root, in the directory of this file. First see that
it is not damaged:

    $ echo '{sha256}  {file}' | sha256sum -c -

Then decrypt it into memory. This asks for the recovery password, checks every file, goes to its directory, and shows what comes next:

    $ umask 077; d=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /run)") && openssl enc -d -aes-256-cbc -pbkdf2 -in {file} -out "$d/{directory}.tar.gz" && tar -xzf "$d/{directory}.tar.gz" -C "$d" && cd "$d/{directory}" && sha256sum -c SHA256SUMS && pwd && cat README.txt || {{ rm -rf "$d"; false; }}

If it says "bad decrypt", the password is wrong, or the bundle is damaged.
"#
    )
}

/// For inside.
pub fn inside(origin: &Origin, saved: &[SavedUnit], missing: &[String]) -> String {
    let Origin { host, versions, .. } = origin;
    let quoted_host = shell_words::quote(host);
    let config_file = shell_words::quote(&origin.config_file.to_string_lossy()).into_owned();
    let connect = shell_words::join(&origin.repository.connect);
    let kopia_config = shell_words::quote(&origin.kopia_config_file.to_string_lossy()).into_owned();
    let docker = versions.docker.as_deref().unwrap_or("unknown");
    let points: String = saved.iter().map(point).collect();
    let lacks: String = missing.iter().map(|what| format!("  - {what}\n")).collect();
    let lacks = if lacks.is_empty() {
        String::new()
    } else {
        format!("\nNOT in this bundle:\n{lacks}")
    };
    let by_hand: String = COMMANDS.iter().map(|line| format!("  {line}\n")).collect();
    let (kopi_docka, kopia) = (&versions.kopi_docka, &versions.kopia);
    let unique_id = &origin.repository.unique_id;
    format!(
        r#"How to bring the backups of `{host}` back on a new host

Run everything as root, in the directory of this file. The new host needs:

  Kopia       {kopia} or newer   https://kopia.io/docs/installation/
  kopi-docka  {kopi_docka} or newer, from step 2 on
  Docker      {docker} or newer  https://docs.docker.com/engine/install/, from step 2 on
{lacks}
1. Reach the repository. This tries the connection first, then puts the files of this bundle where they were, and lists the restore
   points. It replaces nothing that differs, and can be run again:

    $ sh recover.sh

   `sh recover.sh --help` tells more: when the repository has another address now (`--at`), when a file is in the way (`--force`),
   and when `{host}` is gone for good and this host takes its place (`--take-over`).

   The repository: {connect}
   Its unique id:  {unique_id}
   The newest restore points when this bundle was made:
{points}
2. See what would be restored, and then do it:

    $ kopi-docka --config {config_file} restore --all --host {quoted_host} --up --dry-run
    $ kopi-docka --config {config_file} restore --all --host {quoted_host} --up --yes

Where there is kopi-docka already, it does step 1 out of the encrypted bundle, and offers step 2:

  kopi-docka disaster-recovery --restore BUNDLE

Without kopi-docka, Kopia alone reaches the data after step 1. This lists all snapshots:

    $ set -a; . ./credentials/env-vars.txt; KOPIA_PASSWORD=$(cat kopia-password.txt); set +a; kopia --config-file {kopia_config} snapshot list --all

A restore point is a snapshot whose path ends with `/recipe`. {EXPLAINED}

{by_hand}
Remove this directory and the archive beside it when you are done: they hold every password.
"#
    )
}

fn point(saved: &SavedUnit) -> String {
    let grade = saved.grade.map_or("-", |grade| grade.as_str());
    format!(
        "     {}  {}  {grade}  {}\n",
        saved.unit,
        saved.backup_id,
        text::bytes(saved.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_from_the_text_beside_a_bundle() {
        let text = "Recovery bundle\nHost:     web1\nMachine:  0123456789abcdef0123456789abcdef\nSHA-256:  ab\n";
        let label = Label::parse(text).unwrap();
        assert_eq!((label.host.as_str(), label.sha256.as_str()), ("web1", "ab"));
        assert_eq!(Label::parse("Host:     web1\n"), None);
        assert_eq!(Label::parse(""), None);
    }
}
