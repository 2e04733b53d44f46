//! A member that we write ourselves, of a file that has no name by which tar could read it.

use std::io::{Read, Write};

use anyhow::Context as _;
use tar::{EntryType, Header};

use crate::error::Result;

/// What stands before the content of a file.
pub struct NewMember<'a> {
    /// As tar would write it (`./a/b`).
    pub name: &'a [u8],
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// The 12 bits that `chmod` takes.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub attributes: &'a [(Vec<u8>, Vec<u8>)],
}

const BLOCK: u64 = 512;
/// What one of 12 octal digits and one of 8 can hold.
const LARGEST_SIZE: u64 = 0o777_7777_7777;
const LARGEST_ID: u32 = 0o777_7777;
/// What tar's programs take for the end.
const END: [u8; 1024] = [0; 1024];

impl NewMember<'_> {
    /// In whole blocks, its content excluded.
    pub fn header(&self) -> Result<Vec<u8>> {
        let extension = self.extension();
        let mut out = Vec::new();
        let mut header = plain(EntryType::XHeader, b"PaxHeaders/file");
        header.set_size(extension.len() as u64);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&extension);
        let filled = usize::try_from((extension.len() as u64).next_multiple_of(BLOCK))?;
        out.resize(usize::try_from(BLOCK)? + filled, 0);
        // The extension has the name, whatever its length and whatever is in it.
        let mut header = plain(EntryType::Regular, b"file");
        let or_zero = |id: u32| u64::from(if id > LARGEST_ID { 0 } else { id });
        header.set_size(if self.size > LARGEST_SIZE {
            0
        } else {
            self.size
        });
        header.set_uid(or_zero(self.uid));
        header.set_gid(or_zero(self.gid));
        header.set_mode(self.mode);
        header.set_mtime(u64::try_from(self.modified / SECOND).unwrap_or(0));
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        Ok(out)
    }

    fn extension(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, b"path", self.name);
        put(&mut out, b"mtime", seconds(self.modified).as_bytes());
        if self.size > LARGEST_SIZE {
            put(&mut out, b"size", self.size.to_string().as_bytes());
        }
        for (key, id) in [(b"uid", self.uid), (b"gid", self.gid)] {
            if id > LARGEST_ID {
                put(&mut out, key, id.to_string().as_bytes());
            }
        }
        for (name, value) in self.attributes {
            put(
                &mut out,
                &[b"SCHILY.xattr.", name.as_slice()].concat(),
                value,
            );
        }
        out
    }
}

/// Writes what fills up the last block of `size` bytes.
pub fn fill_up(out: &mut impl Write, size: u64) -> std::io::Result<()> {
    let missing = size.next_multiple_of(BLOCK) - size;
    std::io::copy(&mut std::io::repeat(0).take(missing), out).map(|_| ())
}

/// Writes the end of an archive; returns its length.
pub fn end(out: &mut impl Write) -> Result<u64> {
    out.write_all(&END)
        .context("the end of an archive cannot be written")?;
    Ok(END.len() as u64)
}

fn plain(kind: EntryType, name: &[u8]) -> Header {
    let mut header = Header::new_ustar();
    header
        .as_old_mut()
        .name
        .iter_mut()
        .zip(name)
        .for_each(|(to, from)| *to = *from);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

const SECOND: i64 = 1_000_000_000;

fn seconds(time: i64) -> String {
    let sign = if time < 0 { "-" } else { "" };
    let time = time.unsigned_abs();
    let second = SECOND.unsigned_abs();
    format!("{sign}{}.{:09}", time / second, time % second)
}

/// `25 ctime=1084839148.1212\n`: the length of the whole record stands at its beginning.
fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + b" =\n".len();
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::{Member, MemberKind, members};
    use super::*;
    use std::os::unix::fs::MetadataExt as _;
    use std::process::{Command, Stdio};

    fn archive(new: &NewMember<'_>, content: &[u8]) -> Vec<u8> {
        let mut out = new.header().unwrap();
        out.extend_from_slice(content);
        fill_up(&mut out, new.size).unwrap();
        end(&mut out).unwrap();
        out
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the real tar extracts it")]
    fn what_is_written_is_read_and_extracted_as_it_was() {
        let long = format!("./{}\nnew line = %41", "x".repeat(200));
        for (modified, size, id, attributes) in [
            (1_700_000_000_123_456_789, 5, 70_000, vec![]),
            (
                -1_500_000_000,
                512,
                LARGEST_ID + 1,
                vec![
                    (b"user.a".to_vec(), b"line\nbreak\0zero=equals".to_vec()),
                    (b"user.long".to_vec(), vec![7; 1000]),
                ],
            ),
        ] {
            let new = NewMember {
                name: long.as_bytes(),
                size,
                modified,
                mode: 0o640,
                uid: id,
                gid: id + 1,
                attributes: &attributes,
            };
            let content = vec![b'c'; usize::try_from(size).unwrap()];
            let archive = archive(&new, &content);
            let mut seen = Vec::new();
            members(&mut &*archive, |member| {
                seen.push(member);
                Ok(())
            })
            .unwrap();
            let wanted = Member {
                name: long.clone().into_bytes(),
                kind: MemberKind::File,
                size,
                modified: modified.into(),
                mode: 0o640,
                uid: id.into(),
                gid: (id + 1).into(),
                has_attributes: !attributes.is_empty(),
                pieces: None,
            };
            assert_eq!(seen, [wanted]);
            let folder = tempfile::tempdir().unwrap();
            let mut tar = Command::new("tar")
                .args([
                    "-x",
                    "--numeric-owner",
                    "--xattrs",
                    "--xattrs-include=*",
                    "-C",
                ])
                .arg(folder.path())
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            tar.stdin.take().unwrap().write_all(&archive).unwrap();
            assert!(tar.wait().unwrap().success());
            let path = folder.path().join(&long[2..]);
            let found = path.symlink_metadata().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
            let time = found.mtime() * SECOND + found.mtime_nsec();
            assert_eq!((time, found.mode() & 0o7777), (modified, 0o640));
            if rustix::process::geteuid().is_root() {
                assert_eq!((found.uid(), found.gid()), (id, id + 1));
            }
            for (name, value) in &attributes {
                let mut buffer = [0; 2000];
                let length = rustix::fs::lgetxattr(&path, name.as_slice(), &mut buffer);
                assert_eq!(&buffer[..length.unwrap()], value);
            }
        }
    }

    #[test]
    fn a_file_of_more_than_eight_gibibytes_has_its_size_in_the_extension() {
        let new = NewMember {
            name: b"./large",
            size: LARGEST_SIZE + 1,
            modified: 0,
            mode: 0o600,
            uid: 0,
            gid: 0,
            attributes: &[],
        };
        let header = new.header().unwrap();
        let (member, stored) = super::super::next_member(&mut &*header).unwrap().unwrap();
        assert_eq!((member.size, stored), (new.size, new.size));
    }
}
