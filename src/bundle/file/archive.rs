//! The members of a bundle as one archive, and back: nothing of it is believed before every byte was checked.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Component, Path};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

use super::name::BundleName;
use crate::base::text;
use crate::error::Result;

/// Lists the checksum of every other member, as `sha256sum` does.
const SUMS: &str = "SHA256SUMS";

/// Far more than a bundle ever holds.
pub const LARGEST: u64 = 256 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Below the directory of the bundle.
    pub name: String,
    pub content: Vec<u8>,
    pub is_executable: bool,
}

impl Member {
    pub fn new(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            content: content.into(),
            is_executable: false,
        }
    }
}

/// `tar` and `gzip` read it. `members` have no [`SUMS`] among them.
pub fn pack(bundle: &BundleName, members: &[Member]) -> Result<Vec<u8>> {
    let sums: String = members
        .iter()
        .map(|member| format!("{}  {}\n", sha256(&member.content), member.name))
        .collect();
    let sums = Member::new(SUMS, sums);
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for member in members.iter().chain([&sums]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if member.is_executable { 0o700 } else { 0o600 });
        header.set_mtime(bundle.id.time().timestamp().unsigned_abs());
        header.set_size(member.content.len() as u64);
        let path = format!("{}/{}", bundle.directory(), member.name);
        tar.append_data(&mut header, path, member.content.as_slice())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    Ok(gzip.finish()?)
}

/// The members, without [`SUMS`]; or what is wrong, in one sentence.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Member>, String> {
    let plain = decompress(bytes)?;
    let mut archive = Archive::new(plain.as_slice());
    let mut members = BTreeMap::new();
    let mut top = None;
    let unreadable = |error| format!("it holds no readable archive: {error}");
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let shown = path.display();
        if entry.header().entry_type() != EntryType::Regular {
            return Err(format!("it holds `{shown}`, which is not a file"));
        }
        let (directory, name) = split(&path).ok_or_else(|| {
            format!("it holds `{shown}`, which is not below the directory of a bundle")
        })?;
        if *top.get_or_insert_with(|| directory.clone()) != directory {
            return Err(format!("it holds `{shown}`, which is another bundle's"));
        }
        let is_executable = entry.header().mode().map_err(unreadable)? & 0o100 != 0;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(unreadable)?;
        let member = Member {
            name: name.clone(),
            content,
            is_executable,
        };
        if members.insert(name, member).is_some() {
            return Err(format!("it holds `{shown}` twice"));
        }
    }
    if archive.into_inner().iter().any(|byte| *byte != 0) {
        return Err("it holds something behind its end".to_owned());
    }
    compare(members)
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoder = GzDecoder::new(bytes).take(LARGEST + 1);
    let mut plain = Vec::new();
    decoder
        .read_to_end(&mut plain)
        .map_err(|error| format!("it is damaged: {error}"))?;
    if plain.len() as u64 > LARGEST {
        return Err("it is too large for a bundle".to_owned());
    }
    if !decoder.into_inner().into_inner().is_empty() {
        return Err("it holds something behind its end".to_owned());
    }
    Ok(plain)
}

/// `directory/a/b` as `directory` and `a/b`.
fn split(path: &Path) -> Option<(String, String)> {
    let mut parts = path.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let directory = parts.next()??.to_owned();
    BundleName::of_directory(&directory)?;
    let name = parts.collect::<Option<Vec<_>>>()?.join("/");
    (!name.is_empty()).then_some((directory, name))
}

/// Each member is listed with its checksum, and each listed one is there.
fn compare(mut members: BTreeMap<String, Member>) -> Result<Vec<Member>, String> {
    let sums = members
        .remove(SUMS)
        .ok_or_else(|| format!("it lacks `{SUMS}`"))?;
    let sums = String::from_utf8_lossy(&sums.content);
    let mut listed = BTreeMap::new();
    for line in sums.lines() {
        let (sum, name) = line
            .split_once("  ")
            .ok_or_else(|| format!("its `{SUMS}` is damaged"))?;
        listed.insert(name, sum);
    }
    for (name, sum) in &listed {
        let member = members.get(*name);
        let member = member.ok_or_else(|| format!("it lacks `{name}`"))?;
        if sha256(&member.content) != *sum {
            return Err(format!("`{name}` in it is damaged"));
        }
    }
    if let Some(name) = members
        .keys()
        .find(|name| !listed.contains_key(name.as_str()))
    {
        return Err(format!("it holds `{name}`, which it does not list"));
    }
    Ok(members.into_values().collect())
}

/// As `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    text::hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::BackupId;

    fn bundle() -> BundleName {
        BundleName {
            id: BackupId::parse("2025-01-31T23-59-59Z").unwrap(),
        }
    }

    fn members() -> Vec<Member> {
        let mut script = Member::new("recover.sh", "#!/bin/sh\n");
        script.is_executable = true;
        vec![
            Member::new("credentials/files/1", vec![0, 255, 7]),
            Member::new("kopi-docka.json", "{}"),
            script,
        ]
    }

    /// As somebody else would make one.
    fn forged(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (path, kind, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o600);
            header.set_size(content.len() as u64);
            // Not by the crate, which refuses such names.
            let name = &mut header.as_old_mut().name;
            name.iter_mut()
                .zip(path.bytes())
                .for_each(|(to, from)| *to = from);
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn what_is_packed_comes_back() {
        let packed = pack(&bundle(), &members()).unwrap();
        assert_eq!(unpack(&packed).unwrap(), members());
    }

    #[test]
    fn tar_and_sha256sum_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.tar.gz");
        std::fs::write(&file, pack(&bundle(), &members()).unwrap()).unwrap();
        let script = "tar -xzf bundle.tar.gz && cd kopi-docka-recovery-* && sha256sum --strict -c SHA256SUMS && test -x recover.sh && test ! -x kopi-docka.json";
        #[expect(clippy::disallowed_methods, reason = "a test asks the real tools")]
        let done = std::process::Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    #[test]
    fn hostile_members_are_refused() {
        const TOP: &str = "kopi-docka-recovery-2025-01-31T23-59-59Z";
        let empty = sha256(b"");
        let sums = format!("{empty}  a\n");
        let (a, list) = (format!("{TOP}/a"), format!("{TOP}/SHA256SUMS"));
        let whole = (list.as_str(), EntryType::Regular, sums.as_bytes());
        let good = (a.as_str(), EntryType::Regular, &b""[..]);
        assert!(unpack(&forged(&[good, whole])).is_ok());
        let damaged = (a.as_str(), EntryType::Regular, &b"x"[..]);
        let above = format!("{TOP}/../a");
        let unlisted = format!("{TOP}/b");
        let elsewhere = "kopi-docka-recovery-2025-01-31T23-59-58Z/b";
        for (entries, why) in [
            (vec![good], "lacks `SHA256SUMS`"),
            (vec![whole], "lacks `a`"),
            (vec![damaged, whole], "`a` in it is damaged"),
            (vec![good, good, whole], "twice"),
            (
                vec![good, whole, (&unlisted, EntryType::Regular, b"")],
                "does not list",
            ),
            (vec![(&a, EntryType::Symlink, b""), whole], "is not a file"),
            (vec![(&a, EntryType::Link, b""), whole], "is not a file"),
            (
                vec![good, whole, (&above, EntryType::Regular, b"")],
                "not below",
            ),
            (
                vec![good, whole, ("/etc/passwd", EntryType::Regular, b"")],
                "not below",
            ),
            (
                vec![good, whole, ("other/a", EntryType::Regular, b"")],
                "not below",
            ),
            (
                vec![good, whole, (elsewhere, EntryType::Regular, b"")],
                "another bundle's",
            ),
        ] {
            let error = unpack(&forged(&entries)).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
        let mut longer = pack(&bundle(), &members()).unwrap();
        longer.push(0);
        assert!(unpack(&longer).unwrap_err().contains("behind its end"));
    }

    proptest! {
        #[test]
        fn no_damaged_byte_is_accepted(at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut packed = pack(&bundle(), &members()).unwrap();
            let at = at.index(packed.len());
            packed[at] ^= flip;
            // What gzip says of its own file, such as its time, is nothing of ours.
            if let Ok(read) = unpack(&packed) {
                prop_assert_eq!(read, members());
            }
        }

        #[test]
        fn nothing_that_is_cut_is_accepted(length in any::<prop::sample::Index>()) {
            let packed = pack(&bundle(), &members()).unwrap();
            prop_assert!(unpack(&packed[..length.index(packed.len())]).is_err());
        }
    }
}
