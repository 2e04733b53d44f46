//! A direct read from a slow disk with a mapped file as its buffer: its bytes arrive behind the back of everybody, after the hot read.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::nights::Nights;

const BYTES: usize = 64 * 1024;
/// A second, so that the read takes two.
const RATE: usize = BYTES / 2;

/// Touches the pages of the file $1, so that they may be stored to, and has $2 read into them.
const READER: &str = "
import mmap, os, sys
file = open(sys.argv[1], 'r+b')
memory = mmap.mmap(file.fileno(), 65536)
for page in range(0, 65536, 4096): memory[page] = 112
device = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECT)
print('reads', flush=True)
assert os.preadv(device, [memory], 0) == 65536
print('has read', flush=True)
";

#[expect(clippy::disallowed_methods, reason = "a test reads all that it says")]
fn said(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A disk full of `N` that gives so much a second to who is in `group`.
struct SlowDisk {
    device: String,
    group: PathBuf,
}

impl SlowDisk {
    fn new(folder: &Path) -> Self {
        let image = folder.join("image");
        fs::write(&image, vec![b'N'; 1 << 20]).unwrap();
        let device = said("losetup", &["--find", "--show", image.to_str().unwrap()]);
        let numbers = said(
            "lsblk",
            &["--nodeps", "--noheadings", "--output", "MAJ:MIN", &device],
        );
        let name = format!("kdt-{}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/blkio");
        let group = if old.exists() {
            old.join(name)
        } else {
            Path::new("/sys/fs/cgroup").join(name)
        };
        fs::create_dir(&group).unwrap();
        let limit = if old.exists() {
            (
                "blkio.throttle.read_bps_device",
                format!("{numbers} {RATE}"),
            )
        } else {
            ("io.max", format!("{numbers} rbps={RATE}"))
        };
        fs::write(group.join(limit.0), limit.1).unwrap();
        Self { device, group }
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        said("losetup", &["--detach", &self.device]);
        fs::remove_dir(&self.group).unwrap();
    }
}

/// Whether the point is right.
#[expect(clippy::disallowed_methods, reason = "a program of its own reads")]
fn try_with(margin: Duration) -> bool {
    let mut nights = Nights::new();
    let path = nights.source.join("db");
    fs::write(&path, [b'o'; BYTES]).unwrap();
    fs::write(nights.source.join("other"), "1").unwrap();
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let disk = SlowDisk::new(folder.path());
    let mut reader = Command::new("sh")
        .args([
            "-euc",
            r#"echo $$ >"$1"; shift; exec python3 -c "$@""#,
            "sh",
        ])
        .arg(disk.group.join("cgroup.procs"))
        .args([READER.as_ref(), path.as_os_str(), disk.device.as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "reads");
    std::thread::sleep(nights.rules.margin + Duration::from_millis(50));
    nights.rules.margin = margin;
    nights.hot(|| (), || ());
    let was_first = fs::read(&path).unwrap().iter().any(|byte| *byte != b'N');
    assert_eq!(lines.next().unwrap().unwrap(), "has read");
    assert!(reader.wait().unwrap().success());
    drop(disk);
    assert!(was_first, "the hot read was not over before it");
    assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == b'N'));
    nights.point().is_empty()
}

#[test]
fn what_a_disk_writes_into_a_mapped_file_is_read_in_the_window() {
    assert!(try_with(Duration::from_secs(60)));
    // Else this shows nothing.
    assert!(!try_with(Duration::ZERO));
}
