//! What is in a stream of tar, told by the headers while it passes: what was really stored, whatever was asked for.

use std::io::Read;

use anyhow::Context as _;
use tar::{EntryType, Header};

use crate::error::Result;

/// One member, as its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As it stands there (`./a/b`), without a slash at the end.
    pub name: Vec<u8>,
    pub kind: MemberKind,
    /// Of a file with its holes, not of what is stored of it.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i128,
    /// The 12 bits that `chmod` takes.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub has_attributes: bool,
    /// What is stored of a file with holes: where each piece begins, and its length. `None` of one that is stored whole.
    pub pieces: Option<Vec<(u64, u64)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    File,
    /// Another name of a member before it, which has the content.
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    Directory,
    Fifo,
    CharacterDevice,
    BlockDevice,
}

impl MemberKind {
    /// The bits of a mode that say what a file is.
    pub fn type_bits(&self) -> u32 {
        match self {
            Self::File | Self::HardLink(_) => 0o100_000,
            Self::Symlink(_) => 0o120_000,
            Self::Directory => 0o040_000,
            Self::Fifo => 0o010_000,
            Self::CharacterDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
        }
    }
}

/// As long as no sparse file has a million pieces.
const LONGEST_EXTENSION: u64 = 128 * 1024 * 1024;

/// Calls `each` with every member of `stream`, in order, and reads it to its end. What is no archive of ours is an error.
pub fn members(stream: &mut impl Read, mut each: impl FnMut(Member) -> Result<()>) -> Result<()> {
    while let Some((member, stored)) = next_member(stream)? {
        each(member)?;
        let skipped = std::io::copy(&mut stream.take(stored), &mut std::io::sink())
            .context("tar's stream cannot be read")?;
        if skipped != stored {
            return Err(ends_early().into());
        }
    }
    // What fills up the last record.
    std::io::copy(stream, &mut std::io::sink()).context("tar's stream cannot be read")?;
    Ok(())
}

/// The next member, and how many bytes follow that hold its content, in whole blocks; `None` at the end of the archive.
///
/// GNU tar must see the same members in the same stream: whatever it could take for something else is an error.
pub fn next_member(stream: &mut impl Read) -> Result<Option<(Member, u64)>> {
    let Some(mut header) = next_header(stream)? else {
        return Ok(None);
    };
    let mut extension = Extension::default();
    if header.entry_type() == EntryType::XHeader {
        extension = Extension::parse(&content(stream, size_of(&header)?)?)?;
        header = next_header(stream)?.context("tar's stream ends after an extended header")?;
    }
    let stored = extension
        .stored
        .map_or_else(|| size_of(&header), Ok)
        .map(blocks)?;
    let member = member(&header, extension)?;
    // Tar reads no content of these, whatever the header says.
    if stored > 0 && member.kind != MemberKind::File {
        anyhow::bail!("tar's stream has content where there can be none");
    }
    Ok(Some((member, stored)))
}

/// `None` at the end of the archive.
fn next_header(stream: &mut impl Read) -> Result<Option<Header>> {
    let mut header = Header::new_old();
    let block = header.as_mut_bytes();
    stream
        .read_exact(block)
        .context("tar's stream ends too early")?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    // The sum is over the block with blanks in its own place.
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum();
    let is_whole = octal(&header.as_old().cksum) == Some(sum.into());
    if !is_whole || header.as_ustar().is_none() {
        anyhow::bail!("tar's stream is not as it should be");
    }
    Ok(Some(header))
}

fn size_of(header: &Header) -> Result<u64> {
    octal(&header.as_old().size).context("a size that is none")
}

/// A number as tar writes one that is not too large. Other forms are not understood by all in the same way.
fn octal(field: &[u8]) -> Option<u64> {
    let end = field
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | 0))
        .map_or(0, |last| last + 1);
    let digits = field.get(..end)?;
    if digits.is_empty() || !digits.iter().all(|digit| matches!(digit, b'0'..=b'7')) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

fn member(header: &Header, extension: Extension) -> Result<Member> {
    let plain_link = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
    let link = extension.link.or_else(plain_link).unwrap_or_default();
    let plain_name = || header.path_bytes().into_owned();
    let mut name = extension.name.unwrap_or_else(plain_name);
    if name.contains(&0) || link.contains(&0) {
        anyhow::bail!("tar's stream has a name with a zero byte");
    }
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous => MemberKind::File,
        EntryType::Link => MemberKind::HardLink(link),
        EntryType::Symlink => MemberKind::Symlink(link),
        EntryType::Directory => MemberKind::Directory,
        EntryType::Fifo => MemberKind::Fifo,
        EntryType::Char => MemberKind::CharacterDevice,
        EntryType::Block => MemberKind::BlockDevice,
        other => anyhow::bail!("tar's stream has a member of the unknown type {other:?}"),
    };
    // To tar a file of such a name is a directory.
    if kind != MemberKind::Directory && name.last() == Some(&b'/') {
        anyhow::bail!("tar's stream has a file with the name of a directory");
    }
    while name.len() > 1 && name.last() == Some(&b'/') {
        name.pop();
    }
    let stored = extension.stored.map_or_else(|| size_of(header), Ok)?;
    extension.pieces.check(stored)?;
    let modified = match extension.modified {
        Some(modified) => modified,
        None => i128::from(header.mtime()?) * 1_000_000_000,
    };
    Ok(Member {
        name,
        kind,
        size: extension.real_size.unwrap_or(stored),
        modified,
        mode: header.mode()? & 0o7777,
        uid: extension.uid.map_or_else(|| header.uid(), Ok)?,
        gid: extension.gid.map_or_else(|| header.gid(), Ok)?,
        has_attributes: extension.has_attributes,
        pieces: extension.pieces.into_list(),
    })
}

/// What a member holds comes in whole blocks.
fn blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(512)
}

fn ends_early() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::UnexpectedEof,
        "tar's stream ends too early",
    )
}

fn content(stream: &mut impl Read, bytes: u64) -> Result<Vec<u8>> {
    if bytes > LONGEST_EXTENSION {
        anyhow::bail!("tar's stream has a header of {bytes} bytes");
    }
    let mut content = vec![0; usize::try_from(blocks(bytes))?];
    stream
        .read_exact(&mut content)
        .context("tar's stream ends too early")?;
    content.truncate(usize::try_from(bytes)?);
    Ok(content)
}

/// What the extended header before a member says beyond its own.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    stored: Option<u64>,
    real_size: Option<u64>,
    modified: Option<i128>,
    uid: Option<u64>,
    gid: Option<u64>,
    has_attributes: bool,
    pieces: Pieces,
}

/// What is stored of a file with holes.
#[derive(Default)]
struct Pieces {
    /// As many as were announced.
    announced: Option<u64>,
    list: Vec<(u64, u64)>,
    /// Where the next one begins.
    offset: Option<u64>,
    /// Each in whole blocks.
    stored: u64,
}

impl Pieces {
    fn announce(&mut self, count: u64) -> Result<()> {
        if self.announced.replace(count).is_some() || !self.list.is_empty() {
            anyhow::bail!("the pieces of a file are announced twice");
        }
        Ok(())
    }

    fn begin(&mut self, offset: u64) -> Result<()> {
        anyhow::ensure!(
            self.offset.replace(offset).is_none(),
            "a piece of a file has two places"
        );
        Ok(())
    }

    fn add(&mut self, bytes: u64) -> Result<()> {
        let offset = self
            .offset
            .take()
            .context("a piece of a file has no place")?;
        self.list.push((offset, bytes));
        self.stored = self.stored.saturating_add(blocks(bytes));
        Ok(())
    }

    fn into_list(self) -> Option<Vec<(u64, u64)>> {
        self.announced.map(|_| self.list)
    }

    /// Tar reads as much as they hold, whatever the length of the member is.
    fn check(&self, stored: u64) -> Result<()> {
        let Some(announced) = self.announced else {
            anyhow::ensure!(
                self.list.is_empty(),
                "the pieces of a file are not announced"
            );
            return Ok(());
        };
        let is_all = announced == self.list.len() as u64 && self.stored == blocks(stored);
        anyhow::ensure!(is_all, "the pieces of a file are not what is stored of it");
        Ok(())
    }
}

impl Extension {
    /// `25 ctime=1084839148.1212\n`: the length of the whole record, a key, a value of any bytes.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut extension = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, value);
            (key, value, rest) = record(rest).context("an extended header that is none")?;
            match key {
                b"path" => extension.name = Some(value.to_vec()),
                b"linkpath" => extension.link = Some(value.to_vec()),
                b"size" => extension.stored = Some(number(value)?),
                b"GNU.sparse.size" => extension.real_size = Some(number(value)?),
                b"uid" => extension.uid = Some(number(value)?),
                b"gid" => extension.gid = Some(number(value)?),
                b"mtime" => extension.modified = Some(time(value).context("a time that is none")?),
                b"GNU.sparse.numblocks" => extension.pieces.announce(number(value)?)?,
                b"GNU.sparse.numbytes" => extension.pieces.add(number(value)?)?,
                b"GNU.sparse.offset" => extension.pieces.begin(number(value)?)?,
                // Some of these say that the member is another one.
                key if key.starts_with(b"GNU.") => {
                    anyhow::bail!("an extended header of another kind of archive");
                }
                key => extension.has_attributes |= key.starts_with(b"SCHILY.xattr."),
            }
        }
        Ok(extension)
    }
}

/// Key and value of the first record, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(bytes.get(..blank)?).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let pair = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let key = pair.get(..equals)?;
    // Tar leaves out what is in front of a key, and sees nothing after a zero byte.
    if matches!(key.first(), Some(b' ' | b'\t')) || key.contains(&0) {
        return None;
    }
    Some((key, pair.get(equals + 1..)?, rest))
}

fn number(value: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(value).ok();
    // No sign.
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .context("a number that is none")
}

/// `-12.345` in nanoseconds.
fn time(value: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(value).ok()?;
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let seconds: i128 = seconds.parse::<u64>().ok()?.into();
    Some(sign * (seconds * 1_000_000_000 + i128::from(digits.parse::<u32>().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged;
    use crate::drivers::tar::tests::stream_of;
    use proptest::prelude::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn list(stream: &[u8]) -> Result<Vec<Member>> {
        let mut list = Vec::new();
        members(&mut &*stream, |member| {
            list.push(member);
            Ok(())
        })?;
        Ok(list)
    }

    #[tokio::test]
    async fn headers_tell_all_of_what_tar_stored() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("folder")).unwrap();
        let long = format!("{}\nnew line", "x".repeat(200));
        std::fs::write(root.join(&long), "content").unwrap();
        let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"not \xff utf");
        std::fs::write(root.join("folder").join(odd), vec![b'y'; 1000]).unwrap();
        std::fs::hard_link(root.join(&long), root.join("z")).unwrap();
        symlink("/etc/\npasswd", root.join("link")).unwrap();
        let hole = std::fs::File::create(root.join("hole")).unwrap();
        hole.set_len(9 << 30).unwrap();
        std::fs::set_permissions(root.join("hole"), std::fs::Permissions::from_mode(0o4750))
            .unwrap();
        // With a line break in its value, and in front of the time in the header.
        let attribute = b"a\n\nb";
        let flags = rustix::fs::XattrFlags::empty();
        let has = rustix::fs::setxattr(root.join("folder"), "user.x", attribute, flags).is_ok();
        let old = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1_500);
        hole.set_modified(old).unwrap();

        let found = list(&stream_of(root).await).unwrap();
        let names: Vec<&[u8]> = found.iter().map(|member| &*member.name).collect();
        let long = format!("./{long}");
        let wanted: [&[u8]; 7] = [
            b".",
            b"./folder",
            b"./folder/not \xff utf",
            b"./hole",
            b"./link",
            long.as_bytes(),
            b"./z",
        ];
        assert_eq!(names, wanted);
        let of = |name: &[u8]| found.iter().find(|member| member.name == name).unwrap();
        for (name, path) in [
            (&b"./folder"[..], "folder"),
            (b"./hole", "hole"),
            (b"./z", "z"),
            (b"./link", "link"),
        ] {
            let metadata = root.join(path).symlink_metadata().unwrap();
            let member = of(name);
            let modified =
                i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            assert_eq!(member.modified, modified, "{path}");
            assert_eq!(
                member.kind.type_bits(),
                metadata.mode() & 0o170_000,
                "{path}"
            );
            assert_eq!(
                (member.uid, member.gid),
                (metadata.uid().into(), metadata.gid().into())
            );
            assert!(
                metadata.is_symlink() || member.mode == metadata.mode() & 0o7777,
                "{path}"
            );
        }
        assert_eq!(of(b"./hole").size, 9 << 30);
        assert_eq!(of(b"./folder/not \xff utf").size, 1000);
        assert_eq!(
            of(b"./z").kind,
            MemberKind::HardLink(long.clone().into_bytes())
        );
        assert_eq!(
            of(b"./link").kind,
            MemberKind::Symlink(b"/etc/\npasswd".to_vec())
        );
        assert_eq!(of(b"./folder").has_attributes, has);
        assert!(!of(b"./hole").has_attributes);
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_is_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), vec![1; 2000]).unwrap();
        let stream = stream_of(folder.path()).await;
        for length in [0, 100, 512, 1024, 2048, 3000] {
            assert!(list(&stream[..length]).is_err(), "{length}");
        }
        let mut other = stream.clone();
        other[3] ^= 1;
        assert!(list(&other).is_err(), "the sum tells it");
    }

    /// A block with the right sum, as the real tar wrote it but for what `edit` makes of it.
    fn forged(stream: &[u8], at: usize, edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut forged = stream.to_vec();
        let block = &mut forged[at..at + 512];
        edit(block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        forged
    }

    #[tokio::test]
    async fn what_tar_could_take_for_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "content").unwrap();
        let stream = stream_of(folder.path()).await;
        // The extended header of the root, what it holds, the root; and so on.
        let header = stream.len() - stream.len() / 512 * 512 + 3 * 512;
        assert_eq!(stream[header + 156], b'x');
        let file = header + 1024;
        assert_eq!(&stream[file..file + 4], b"./a\0");
        assert_eq!(list(&forged(&stream, file, |_| {})).unwrap().len(), 2);
        type Edit = fn(&mut [u8]);
        let edits: [(&str, Edit); 9] = [
            ("a size in another notation", |block| block[124] = b'+'),
            ("a size in base 256", |block| block[124] = 0x80),
            ("content of a directory", |block| block[156] = b'5'),
            ("content of a hard link", |block| block[156] = b'1'),
            ("a long name of GNU", |block| block[156] = b'L'),
            ("a header for all that follows", |block| block[156] = b'g'),
            ("another version", |block| block[263] = b'x'),
            ("another format", |block| {
                block[257..265].copy_from_slice(b"ustar  \0")
            }),
            ("a file with a slash", |block| block[3] = b'/'),
        ];
        for (what, edit) in edits {
            assert!(list(&forged(&stream, file, edit)).is_err(), "{what}");
        }
        let twice = forged(&stream, file, |block| block[156] = b'x');
        assert!(list(&twice).is_err(), "two extended headers");
    }

    #[test]
    fn extended_headers_that_are_read_in_two_ways_are_refused() {
        let line = |text: &str| {
            let length = (text.len() + 3..).find(|all| format!("{all} {text}\n").len() == *all);
            format!("{} {text}\n", length.unwrap())
        };
        let parse = |lines: &[&str]| {
            let text: String = lines.iter().map(|text| line(text)).collect();
            Extension::parse(text.as_bytes())
        };
        for good in [
            &["path=./a"][..],
            &["GNU.sparse.size=5", "GNU.sparse.numblocks=0"],
        ] {
            assert!(parse(good).is_ok(), "{good:?}");
        }
        for bad in [
            &["GNU.sparse.name=./b"][..],
            &["GNU.sparse.map=0,1"],
            &["GNU.sparse.major=1"],
            &["GNU.dumpdir=x"],
            &["GNU.volume.size=1"],
            &[" path=./a"],
            &["\tpath=./a"],
            &["pa\0th=./a"],
            &["size=+5"],
            &["size= 5"],
            &["GNU.sparse.numblocks=1", "GNU.sparse.numblocks=2"],
            &["GNU.sparse.numblocks=1", "GNU.sparse.numbytes=5"],
            &["GNU.sparse.offset=1", "GNU.sparse.offset=2"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(Extension::parse(b"+11 path=a\n").is_err());
        let pieces = |lines: &[&str], stored| parse(lines).unwrap().pieces.check(stored);
        let one = [
            "GNU.sparse.numblocks=1",
            "GNU.sparse.offset=0",
            "GNU.sparse.numbytes=512",
        ];
        pieces(&one, 512).unwrap();
        assert!(pieces(&one, 1024).is_err() && pieces(&one[1..], 512).is_err());
        assert!(pieces(&["GNU.sparse.numblocks=2", one[1], one[2]], 512).is_err());
    }

    #[test]
    fn times_before_1970_and_short_fractions_are_understood() {
        assert_eq!(time(b"-1.5"), Some(-1_500_000_000));
        assert_eq!(time(b"12"), Some(12_000_000_000));
        assert_eq!(time(b"1.0000000019"), Some(1_000_000_001));
        assert_eq!(time(b"x"), None);
    }

    proptest! {
        #[test]
        fn no_stream_breaks_it(bytes in damaged(b"30 mtime=1.5\n25 path=./a\n")) {
            let _ = list(&bytes);
            let _ = Extension::parse(&bytes);
        }
    }
}
