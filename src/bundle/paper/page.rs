//! The page for the drawer: the recovery password, so that nobody misreads it, and what it opens. One sheet of A4 or Letter.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::qr;
use crate::base::secret::Secret;
use crate::base::text::{minute, printable};
use crate::bundle::file::name::BundleName;
use crate::bundle::file::newest::newest_here;
use crate::bundle::password;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::repository::identity;

/// Columns of a printer.
const WIDTH: usize = 80;

/// What stands where a person looks for it.
const INDENT: &str = "    ";

/// Characters of the password that stand together, and such groups in a line.
const GROUP: usize = 4;
const GROUPS: usize = 6;

/// For the name of a bundle when none is known.
const UNKNOWN: &str = "kopi-docka-recovery-DATE.tar.gz.enc";

pub struct Page {
    host: String,
    printed_at: DateTime<Utc>,
    password: Secret,
    /// The directories of the bundles, the first one first.
    folders: Vec<PathBuf>,
    newest: Option<BundleName>,
    /// Where the storage is, without secrets.
    repository: String,
}

impl Page {
    /// Asks neither Docker nor the repository.
    pub async fn of(cx: &Context) -> Result<Self> {
        let config = cx.config()?.config;
        let file = &cx.paths.recovery_password;
        let password = password::stored(file)?.ok_or_else(|| {
            let what = format!(
                "there is no recovery password yet: `{}` is missing",
                file.display()
            );
            Failure::new(Exit::Config, what).hint(
                "run `sudo kopi-docka disaster-recovery` first: it makes the password and a bundle",
            )
        })?;
        let backup = &config.backup;
        let mut folders = vec![backup.recovery_bundle_path.clone()];
        folders.extend(backup.recovery_bundle_copy.clone());
        let mut found = None;
        for folder in &folders {
            let there = newest_here(&cx.paths, &config, folder).await;
            found = found.max(there.and_then(|it| BundleName::of_file(&it.path)));
        }
        Ok(Self {
            host: identity(&cx.paths, &config).host,
            printed_at: Utc::now(),
            password,
            folders,
            newest: found,
            repository: config.kopia.kopia_params.masked(),
        })
    }

    /// With the password in it: for paper alone.
    pub fn text(&self) -> Secret {
        let mut lines = self.head();
        lines.extend(in_one_piece(self.password.expose()));
        lines.extend(paragraph(
            "The same again, with what it is below each character. A: capital letter, a: small letter, 9: digit, *: another sign.",
        ));
        lines.push(String::new());
        lines.extend(in_groups(self.password.expose()));
        match qr::lines(self.password.expose()) {
            // Its margin is the empty line.
            Some(code) => lines.extend(code.iter().map(|line| line.trim_end().to_owned())),
            None => lines.extend(paragraph("It is too long for a QR code.")),
        }
        lines.extend(self.places());
        lines.extend(self.commands());
        Secret::new(lines.join("\n"))
    }

    fn head(&self) -> Vec<String> {
        let title = format!("Recovery page of {}", self.host);
        let printed = minute(self.printed_at);
        let version = env!("CARGO_PKG_VERSION");
        let length = self.password.expose().chars().count();
        let mut lines = paragraph(&title);
        lines.extend(paragraph(&format!(
            "Printed {printed} by kopi-docka {version}. Keep it where this host is not, and apart from the bundles: a bundle and this page \
             open all backups. `disaster-recovery --new-password` makes this page out of date."
        )));
        lines.push(String::new());
        lines.extend(paragraph(&format!(
            "RECOVERY PASSWORD: {length} characters. Capital and small letters are different."
        )));
        lines.push(String::new());
        lines
    }

    fn places(&self) -> Vec<String> {
        let newest = match self.newest {
            Some(bundle) => bundle.file(),
            None => "none yet; `kopi-docka disaster-recovery` makes one".to_owned(),
        };
        let mut lines = field("Newest bundle", &newest);
        for (index, folder) in self.folders.iter().enumerate() {
            let name = if index == 0 {
                "Bundles"
            } else {
                "Their copies"
            };
            lines.extend(field(name, &folder.display().to_string()));
        }
        lines.extend(field("Repository", &self.repository));
        lines.push(String::new());
        lines
    }

    /// Those of the text beside a bundle, short enough to be typed from paper.
    fn commands(&self) -> Vec<String> {
        let name = self
            .newest
            .map_or_else(|| UNKNOWN.to_owned(), BundleName::file);
        let mut lines = paragraph(
            "ON A NEW HOST, as root, in the directory of the newest bundle of this host that you have (the `.README` beside it has these \
             commands too):",
        );
        let command = |text: &str| format!("{INDENT}$ {text}");
        lines.push(command(&format!("b=$PWD/{name}")));
        lines.extend(paragraph(
            "With kopi-docka and Kopia. This asks for the password, checks the bundle, connects, and lists the restore points:",
        ));
        lines.push(command("kopi-docka disaster-recovery --restore \"$b\""));
        lines.extend(paragraph(
            "Without kopi-docka, Kopia alone and any Linux with OpenSSL 1.1 or newer do the same:",
        ));
        lines.extend(
            [
                "umask 077; mkdir /dev/shm/kd && cd /dev/shm/kd",
                "openssl enc -d -aes-256-cbc -pbkdf2 -in \"$b\" -out b.tar.gz",
                "tar -xzf b.tar.gz && cd kopi-docka-recovery-* && sha256sum -c SHA256SUMS",
                "sh recover.sh",
            ]
            .map(command),
        );
        lines.extend(paragraph(
            "\"bad decrypt\": the password is another one, or the bundle is damaged. Both say what comes next: `kopi-docka restore --all`. When \
             all is back, remove what was decrypted, which holds every password:",
        ));
        lines.push(command("cd / && rm -r /dev/shm/kd"));
        lines
    }
}

/// To be compared as a whole, and copied from a screen.
fn in_one_piece(password: &str) -> Vec<String> {
    let mut lines = broken(&printable(password), WIDTH - 2 * INDENT.len());
    for line in &mut lines {
        line.insert_str(0, INDENT);
    }
    lines.push(String::new());
    lines
}

/// Each character apart, in groups, with what it is below it; an empty line after each row but the last.
fn in_groups(password: &str) -> Vec<String> {
    let characters: Vec<char> = printable(password).chars().collect();
    let mut lines = Vec::new();
    for row in characters.chunks(GROUP * GROUPS) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(spaced(row, |c| if c == ' ' { '␣' } else { c }));
        lines.push(spaced(row, kind));
    }
    lines
}

fn spaced(row: &[char], show: impl Fn(char) -> char) -> String {
    let groups = row.chunks(GROUP).map(|group| {
        let shown = group.iter().map(|c| show(*c).to_string());
        shown.collect::<Vec<_>>().join(" ")
    });
    format!("{INDENT}{}", groups.collect::<Vec<_>>().join("   "))
}

fn kind(c: char) -> char {
    match c {
        _ if c.is_uppercase() => 'A',
        _ if c.is_lowercase() => 'a',
        _ if c.is_ascii_digit() => '9',
        _ => '*',
    }
}

/// `name` and what it is, which may take several lines.
fn field(name: &str, value: &str) -> Vec<String> {
    const NAME: usize = 15;
    let mut names = std::iter::once(name).chain(std::iter::repeat(""));
    broken(&printable(value), WIDTH - NAME)
        .iter()
        .map(|line| format!("{:<NAME$}{line}", names.next().unwrap_or_default()))
        .collect()
}

/// Words in lines; one that is too long for a line is broken.
fn paragraph(text: &str) -> Vec<String> {
    let text = printable(text);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        for piece in broken(word, WIDTH) {
            match lines.last_mut() {
                Some(line) if width(line) + 1 + width(&piece) <= WIDTH => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

/// `text` in lines of `columns`.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let lines = characters.chunks(columns);
    lines.map(|line| line.iter().collect()).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BackupId;

    /// A capital i, a small L, a capital o, a zero.
    const ALIKE: &str = "IlO0";

    fn page(password: &str, newest: Option<&str>) -> Page {
        Page {
            host: "web1.example.org".to_owned(),
            printed_at: "2025-02-01T12:30:00Z".parse().unwrap(),
            password: Secret::new(password),
            folders: vec!["/backup/recovery".into(), "/mnt/stick".into()],
            newest: newest.map(|id| BundleName {
                id: BackupId::parse(id).unwrap(),
            }),
            repository: "filesystem --path /backup/repository".to_owned(),
        }
    }

    fn own() -> String {
        ALIKE.repeat(12)
    }

    /// The drawing of a page, which is all that is made of blocks.
    fn drawing(text: &str) -> Vec<&str> {
        let is_drawn =
            |line: &&str| line.contains(['█', '▀', '▄']) && !line.contains(char::is_alphanumeric);
        text.lines().filter(is_drawn).collect()
    }

    #[test]
    fn it_fits_one_sheet() {
        let text = page(&own(), Some("2025-01-31T23-59-59Z")).text();
        let lines: Vec<&str> = text.expose().lines().collect();
        assert!(
            lines.len() <= 60,
            "{} lines:\n{}",
            lines.len(),
            text.expose()
        );
        // Of whatever host, and with whatever password.
        let mut long = page(&"wide ".repeat(30), None);
        long.host = "h".repeat(253);
        long.folders.push("/long".repeat(60).into());
        let long = long.text();
        for line in lines.into_iter().chain(long.expose().lines()) {
            assert!(width(line) <= WIDTH, "{line}");
        }
    }

    #[test]
    fn the_code_is_the_password_and_nothing_else() {
        for password in [own(), "a password of my own, ä".to_owned()] {
            let text = page(&password, None).text();
            assert_eq!(qr::read(&drawing(text.expose())), password);
        }
        let text = page(&"x".repeat(3000), None).text();
        assert!(text.expose().contains("too long for a QR code"));
    }

    #[test]
    fn each_character_is_told_from_those_that_look_like_it() {
        let text = page(&own(), None).text();
        assert!(text.expose().contains(&format!("\n    {}\n", own())));
        let group = ("I l O 0", "A a A 9");
        let row = |group: &str| format!("    {}", [group; 6].join("   "));
        let rows = [row(group.0), row(group.1)].join("\n");
        assert_eq!(text.expose().matches(&rows).count(), 2, "{}", text.expose());
        assert_eq!(
            in_groups("a .\u{1b}"),
            ["    a ␣ . \\   u { 1 b   }", "    a * * *   a * 9 a   *",]
        );
    }

    #[test]
    fn it_says_what_the_password_opens() {
        let text = page(&own(), Some("2025-01-31T23-59-59Z")).text();
        for said in [
            "Recovery page of web1.example.org",
            "2025-02-01 12:30 UTC",
            "kopi-docka-recovery-2025-01-31T23-59-59Z.tar.gz.enc",
            "/backup/recovery",
            "/mnt/stick",
            "filesystem --path /backup/repository",
            "restore --all",
        ] {
            assert!(text.expose().contains(said), "{said}: {}", text.expose());
        }
        let none = page(&own(), None).text();
        assert!(none.expose().contains("none yet"), "{}", none.expose());
    }
}
