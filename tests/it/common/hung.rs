//! A file system that shows a file and never gives its content.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::world::World;

/// The name of its one file.
const FILE: &str = "file";
const ROOT_ID: u64 = 1;
const FILE_ID: u64 = 2;
const SIZE: u64 = 1 << 20;

/// What becomes of who reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Hangs in the kernel where no signal reaches it, as with a disk that is dying.
    Immortal,
    /// Hangs until it is killed, as with a hard NFS mount whose server is gone. Once one does, nothing else is answered either.
    Mortal,
}

/// Answers again, with errors, when it is dropped.
pub struct Hung {
    pub point: PathBuf,
    reads: Arc<AtomicUsize>,
}

impl Hung {
    #[track_caller]
    pub fn mount(world: &World, name: &str, reader: Reader) -> Self {
        let point = world.dir(name);
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        // The kernel takes the descriptor of the process that mounts, and that is its stdin.
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o"])
            .arg("fd=0,rootmode=40755,user_id=0,group_id=0,allow_other")
            .args(["hung", point.to_str().unwrap()])
            .stdin(Stdio::from(device.try_clone().unwrap()))
            .status()
            .unwrap();
        assert!(mounted.success());
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        std::thread::spawn(move || serve(device, reader, &counted));
        Self { point, reads }
    }

    pub fn file(&self) -> PathBuf {
        self.point.join(FILE)
    }

    /// How many have begun to read it.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        abort(&self.point);
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}

/// Ends all requests, those that hang too.
fn abort(point: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table
        .lines()
        .find(|line| line.split(' ').nth(4) == point.to_str());
    let device = line.and_then(|line| line.split(' ').nth(2));
    let minor = device.and_then(|device| device.split_once(':'));
    if let Some((_, minor)) = minor {
        // Only where it is mounted; else the end of this process does it.
        let connections = Path::new("/sys/fs/fuse/connections");
        if !connections.join(minor).exists() {
            let _ = Command::new("mount")
                .args(["-t", "fusectl", "fusectl"])
                .arg(connections)
                .status();
        }
        let _ = fs::write(connections.join(minor).join("abort"), "1");
    }
}

fn serve(mut device: File, reader: Reader, reads: &AtomicUsize) {
    let mut request = vec![0; 1 << 20];
    while let Ok(length) = device.read(&mut request) {
        let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
        let (code, unique, node) = (number(4), long(8), long(16));
        let answer = match code {
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => continue,
            // READ
            15 => {
                reads.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            // LOOKUP
            1 if request[40..length].starts_with(FILE.as_bytes()) => Ok(entry()),
            1 => Err(2),
            // GETATTR
            3 => Ok([long_answer(&[60, 0]), attributes(node)].concat()),
            // OPEN, OPENDIR
            14 | 27 => Ok(long_answer(&[0, 0])),
            // READDIR
            28 if long(48) == 0 => Ok(listing()),
            28 => Ok(Vec::new()),
            // STATFS
            17 => Ok(vec![0; 80]),
            // RELEASE, FLUSH, RELEASEDIR
            18 | 25 | 29 => Ok(Vec::new()),
            // INIT
            26 => Ok(init()),
            _ => Err(38),
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error, Vec::new()),
        };
        let mut reply = Vec::new();
        reply.extend_from_slice(&u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
        reply.extend_from_slice(&i32::to_ne_bytes(error));
        reply.extend_from_slice(&unique.to_ne_bytes());
        reply.extend_from_slice(&body);
        // A request that was interrupted meanwhile is not to be answered.
        let _ = device.write(&reply);
        if code == 1 && error == 0 && reader == Reader::Mortal {
            reads.fetch_add(1, Ordering::SeqCst);
            // An opening that nobody has taken from the device can be given up; the closing after it could not. The device is open for
            // as long as the test runs.
            std::mem::forget(device);
            return;
        }
    }
}

fn long_answer(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_ne_bytes())
        .collect()
}

fn init() -> Vec<u8> {
    let numbers = [7_u32, 31, 0, 0, 0, 4096, 1];
    let mut answer: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
    answer.resize(64, 0);
    answer
}

fn attributes(node: u64) -> Vec<u8> {
    let (mode, size) = if node == ROOT_ID {
        (0o40755_u32, 0)
    } else {
        (0o100_644, SIZE)
    };
    let mut answer = long_answer(&[
        node,
        size,
        size / 512,
        1_700_000_000,
        1_700_000_000,
        1_700_000_000,
    ]);
    for number in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        answer.extend_from_slice(&u32::to_ne_bytes(number));
    }
    answer
}

fn entry() -> Vec<u8> {
    [long_answer(&[FILE_ID, 0, 60, 60, 0]), attributes(FILE_ID)].concat()
}

fn listing() -> Vec<u8> {
    let mut answer = long_answer(&[FILE_ID, 1]);
    answer.extend_from_slice(&u32::try_from(FILE.len()).unwrap().to_ne_bytes());
    answer.extend_from_slice(&8_u32.to_ne_bytes());
    answer.extend_from_slice(FILE.as_bytes());
    answer.resize(answer.len().next_multiple_of(8), 0);
    answer
}
