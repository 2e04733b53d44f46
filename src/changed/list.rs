//! Lists of paths with what is known of each, on a disk and read from the beginning: a source has more of them than fit into memory.
//!
//! The order is that in which tar takes a tree with `--sort=name`: a directory, then what is in it by the bytes of the names. Two lists
//! are compared by going through both at once. A path is stored as what it does not share with the one before.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::io::{BufRead, Read as _, Write};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::error::Result;

/// What a list has of a path.
pub trait Item: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut &[u8]) -> Option<Self>;
}

impl Item for () {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

/// No name has a zero in it, so a directory comes before all that begins with its name.
pub fn order(a: &[u8], b: &[u8]) -> Ordering {
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Whether `path` lies in `directory`.
pub fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// `./a/b` as a path below the source.
pub fn below(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path.strip_prefix(b"./").unwrap_or(path)))
}

/// The directory that `path` is in; `None` for the root, `.`.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    path.get(..slash)
}

pub struct Writer<W> {
    out: W,
    last: Vec<u8>,
    body: Vec<u8>,
    pub count: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            last: Vec::new(),
            body: Vec::new(),
            count: 0,
        }
    }

    /// In order, or the list is none.
    pub fn add(&mut self, path: &[u8], item: &impl Item) -> Result<()> {
        if self.count > 0 && order(&self.last, path) != Ordering::Less {
            anyhow::bail!(
                "`{}` comes after `{}`",
                String::from_utf8_lossy(path),
                String::from_utf8_lossy(&self.last)
            );
        }
        let same = self.last.iter().zip(path).take_while(|(a, b)| a == b);
        let shared = same.count();
        let own = path.get(shared..).unwrap_or_default();
        self.body.clear();
        let mut head = Vec::with_capacity(own.len() + 96);
        put_number(&mut head, shared as u64);
        put_number(&mut head, own.len() as u64);
        head.extend_from_slice(own);
        item.put(&mut self.body);
        put_number(&mut head, self.body.len() as u64);
        head.extend_from_slice(&self.body);
        self.out
            .write_all(&head)
            .context("a list of paths cannot be written")?;
        self.last.truncate(shared);
        self.last.extend_from_slice(own);
        self.count += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Result<W> {
        self.out
            .flush()
            .context("a list of paths cannot be written")?;
        Ok(self.out)
    }
}

/// Stands at one path of a list after the other.
pub struct Reader<R, T> {
    input: R,
    path: Vec<u8>,
    item: Option<T>,
    body: Vec<u8>,
    what: PhantomData<T>,
}

impl<R: BufRead, T: Item> Reader<R, T> {
    /// At the first one.
    pub fn new(input: R) -> Result<Self> {
        let mut reader = Self {
            input,
            path: Vec::new(),
            item: None,
            body: Vec::new(),
            what: PhantomData,
        };
        reader.advance()?;
        Ok(reader)
    }

    /// `None` at the end.
    pub fn at(&self) -> Option<(&[u8], &T)> {
        Some((&self.path, self.item.as_ref()?))
    }

    pub fn advance(&mut self) -> Result<()> {
        self.item = self.next().context("a list of paths cannot be read")?;
        Ok(())
    }

    /// Goes on to `path`, or behind where it would be, and calls `passed` with each before it.
    pub fn go_to(
        &mut self,
        path: &[u8],
        mut passed: impl FnMut(&[u8], &T) -> Result<()>,
    ) -> Result<Option<&T>> {
        while let Some((at, item)) = self.at() {
            match order(at, path) {
                Ordering::Less => passed(at, item)?,
                Ordering::Equal => break,
                Ordering::Greater => return Ok(None),
            }
            self.advance()?;
        }
        Ok(self.item.as_ref())
    }

    /// What is known of `path`, which is passed too; as [`Self::go_to`].
    pub fn take(
        &mut self,
        path: &[u8],
        passed: impl FnMut(&[u8], &T) -> Result<()>,
    ) -> Result<Option<T>> {
        if self.go_to(path, passed)?.is_none() {
            return Ok(None);
        }
        let found = self.item.take();
        self.advance()?;
        Ok(found)
    }

    /// Calls `each` with all that are left.
    pub fn rest(&mut self, mut each: impl FnMut(&[u8], &T) -> Result<()>) -> Result<()> {
        while let Some((path, item)) = self.at() {
            each(path, item)?;
            self.advance()?;
        }
        Ok(())
    }

    /// What is known of `path` itself; those before it are skipped.
    pub fn find(&mut self, path: &[u8]) -> Result<Option<&T>> {
        self.go_to(path, |_, _| Ok(()))
    }

    fn next(&mut self) -> Result<Option<T>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let shared = usize::try_from(self.number()?)?;
        let own = self.number()?;
        self.path.truncate(shared);
        if self.path.len() < shared {
            anyhow::bail!("it is damaged");
        }
        let had = self.path.len() as u64;
        (&mut self.input).take(own).read_to_end(&mut self.path)?;
        let length = self.number()?;
        self.body.clear();
        (&mut self.input).take(length).read_to_end(&mut self.body)?;
        let mut body = self.body.as_slice();
        let is_whole = self.path.len() as u64 == had + own && body.len() as u64 == length;
        let item = T::take(&mut body).filter(|_| is_whole && body.is_empty());
        item.context("it is damaged").map(Some)
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        anyhow::bail!("it is damaged")
    }
}

/// Seven bits a byte, the lowest first.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub fn number(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Small ones are short, whatever their sign.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(
        out,
        (value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned(),
    );
}

pub fn signed(from: &mut &[u8]) -> Option<i64> {
    let value = number(from)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged;
    use proptest::prelude::*;

    struct Number(u64);

    impl Item for Number {
        fn put(&self, out: &mut Vec<u8>) {
            put_number(out, self.0);
        }

        fn take(from: &mut &[u8]) -> Option<Self> {
            number(from).map(Self)
        }
    }

    fn written(paths: &[&[u8]]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (path, number) in paths.iter().zip(1..) {
            writer.add(path, &Number(number << 40)).unwrap();
        }
        writer.finish().unwrap()
    }

    const PATHS: [&[u8]; 6] = [b".", b"./a", b"./a/z", b"./a-b", b"./a.b/c", b"./\xff\n"];

    #[test]
    fn what_was_added_is_read_and_found() {
        let bytes = written(&PATHS);
        let mut reader: Reader<_, Number> = Reader::new(&*bytes).unwrap();
        for (path, number) in PATHS.iter().zip(1..) {
            let (at, item) = reader.at().unwrap();
            assert_eq!((at, item.0), (*path, number << 40));
            reader.advance().unwrap();
        }
        assert!(reader.at().is_none());

        let mut reader: Reader<_, Number> = Reader::new(&*bytes).unwrap();
        let mut passed = Vec::new();
        let found = reader.go_to(b"./a-b", |path, _| {
            passed.push(path.to_vec());
            Ok(())
        });
        assert!(found.unwrap().is_some());
        assert_eq!(passed, &PATHS[..3]);
        assert!(reader.find(b"./a-c").unwrap().is_none());
        assert!(reader.find(b"./\xff\n").unwrap().is_some());
        assert!(reader.find(b"./\xff\n\n").unwrap().is_none());
    }

    #[test]
    fn a_list_that_is_out_of_order_is_refused() {
        let mut writer = Writer::new(Vec::new());
        writer.add(b"./a-b", &()).unwrap();
        assert!(writer.add(b"./a/b", &()).is_err());
        assert!(writer.add(b"./a-b", &()).is_err());
    }

    #[test]
    fn a_directory_is_above_what_is_in_it_and_above_no_namesake() {
        assert!(is_below(b"./a/b", b"./a") && is_below(b"./a", b"."));
        assert!(!is_below(b"./ab", b"./a") && !is_below(b"./a", b"./a"));
        assert_eq!(parent(b"./a/b"), Some(&b"./a"[..]));
        assert_eq!(parent(b"./a"), Some(&b"."[..]));
        assert_eq!(parent(b"."), None);
    }

    proptest! {
        #[test]
        fn numbers_come_back(value: i64) {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            put_number(&mut bytes, value.cast_unsigned());
            let mut rest = bytes.as_slice();
            prop_assert_eq!(signed(&mut rest), Some(value));
            prop_assert_eq!(number(&mut rest), Some(value.cast_unsigned()));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn the_order_is_that_of_paths(a in "[./ab\u{1}]{0,6}", b in "[./ab\u{1}]{0,6}") {
            let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(order(a.as_bytes(), b.as_bytes()), parts(&a).cmp(&parts(&b)));
        }

        #[test]
        fn no_list_breaks_it(bytes in damaged(written(&PATHS).leak())) {
            let Ok(mut reader) = Reader::<_, Number>::new(&*bytes) else {
                return Ok(());
            };
            while reader.at().is_some() && reader.advance().is_ok() {}
        }
    }
}
