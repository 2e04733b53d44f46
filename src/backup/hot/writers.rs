//! Who has a file open for writing although all that may are stopped: a program of the host.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::blocking::aside;

/// One sentence for each of `paths`.
pub async fn tell(paths: Vec<PathBuf>) -> Vec<String> {
    if paths.is_empty() {
        return Vec::new();
    }
    let found = aside(move || Ok(paths.iter().map(|path| sentence(path)).collect()));
    found.await.unwrap_or_default()
}

fn sentence(path: &Path) -> String {
    let who = path.symlink_metadata().ok().and_then(|file| writer(&file));
    let who = who.unwrap_or_else(|| "the kernel (an NFS server?)".to_owned());
    format!("{who} has `{}` open for writing", path.display())
}

/// The first process that has `file` open or mapped for writing.
fn writer(file: &Metadata) -> Option<String> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut processes = processes.filter(|process| {
        let name = process.file_name();
        name.to_string_lossy()
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    });
    processes.find_map(|process| {
        let folder = process.path();
        let has_it = has_open(&folder, file) || has_mapped(&folder, file);
        has_it.then(|| name(&folder))
    })
}

fn has_open(process: &Path, file: &Metadata) -> bool {
    let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten();
    descriptors.flatten().any(|descriptor| {
        let is_it = std::fs::metadata(descriptor.path()).is_ok_and(|open| is_same(&open, file));
        is_it && may_write(&process.join("fdinfo").join(descriptor.file_name()))
    })
}

/// `flags:` is octal, the two lowest bits are how it was opened.
fn may_write(info: &Path) -> bool {
    let info = std::fs::read_to_string(info).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 3 != 0)
}

/// `7f1c-7f1d rw-s 00000000 08:01 1234 /path`.
fn has_mapped(process: &Path, file: &Metadata) -> bool {
    let maps = std::fs::read(process.join("maps")).unwrap_or_default();
    let inode = file.ino().to_string();
    maps.split(|byte| *byte == b'\n').any(|line| {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split_whitespace().skip(1);
        let rights = fields.next().unwrap_or_default();
        rights.contains('w') && rights.contains('s') && fields.nth(2) == Some(&*inode)
    })
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// What people call it: the container that it is of, else its name and number.
fn name(process: &Path) -> String {
    let groups = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut words = groups.split(|c: char| !c.is_ascii_alphanumeric());
    if let Some(id) = words.find(is_id) {
        return format!("container `{}`", id.get(..12).unwrap_or(id));
    }
    let program = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let number = process.file_name().unwrap_or_default().to_string_lossy();
    format!("`{}` (process {number})", program.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_of_the_host_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = std::fs::File::create(&path).unwrap();
        let told = tell(vec![path.clone()]).await;
        let own = format!("process {}", std::process::id());
        assert!(
            told[0].contains(&own) || told[0].contains("container"),
            "{told:?}"
        );
        drop(file);
        let reader = std::fs::File::open(&path).unwrap();
        let told = tell(vec![path]).await;
        assert!(told[0].contains("kernel"), "{told:?}");
        drop(reader);
    }
}
