//! A call that began before everything was written out, and goes on after the hot read: nothing moves when its bytes arrive.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::nights::Nights;

const PAGE: usize = 4096;
const PAGES: usize = 16;
/// The first of those that do not come until they are let.
const FIRST: usize = 8;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Fill {
    to: u64,
    from: u64,
    length: u64,
    mode: u64,
    copied: i64,
}

/// Memory of which the second half is not there yet: who reads it waits.
struct Slow {
    faults: OwnedFd,
    /// Where it begins.
    memory: usize,
}

#[expect(unsafe_code, reason = "no library lets a page of memory come late")]
impl Slow {
    fn new() -> Self {
        let length = PAGES * PAGE;
        // SAFETY: plain calls; the mapping is ours, and lives as long as the process.
        unsafe {
            let faults = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
            assert!(faults >= 0, "{}", std::io::Error::last_os_error());
            let faults = OwnedFd::from_raw_fd(i32::try_from(faults).unwrap());
            let mut api = Api {
                api: 0xaa,
                features: 0,
                ioctls: 0,
            };
            assert_eq!(
                libc::ioctl(faults.as_raw_fd(), 0xc018_aa3f, &raw mut api),
                0
            );
            let (read_write, private) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            );
            let memory = libc::mmap(std::ptr::null_mut(), length, read_write, private, -1, 0);
            assert_ne!(memory, libc::MAP_FAILED);
            let memory = memory.cast::<u8>();
            memory.write_bytes(b'N', FIRST * PAGE);
            let mut register = Register {
                start: memory.add(FIRST * PAGE) as u64,
                length: ((PAGES - FIRST) * PAGE) as u64,
                mode: 1,
                ioctls: 0,
            };
            let registered = libc::ioctl(faults.as_raw_fd(), 0xc020_aa00, &raw mut register);
            assert_eq!(registered, 0);
            Self {
                faults,
                memory: memory.addr(),
            }
        }
    }

    /// Writes all of it in one call.
    fn write_to(&self, file: &File) {
        // SAFETY: the mapping is as long as that.
        let written = unsafe {
            libc::pwrite(
                file.as_raw_fd(),
                self.memory as *const libc::c_void,
                PAGES * PAGE,
                0,
            )
        };
        assert_eq!(written, (PAGES * PAGE).cast_signed());
    }

    fn let_come(&self) {
        let page = [b'N'; PAGE];
        for number in FIRST..PAGES {
            let mut fill = Fill {
                to: (self.memory + number * PAGE) as u64,
                from: page.as_ptr() as u64,
                length: PAGE as u64,
                mode: 0,
                copied: 0,
            };
            // SAFETY: the kernel copies one page into one that is not there.
            let filled =
                unsafe { libc::ioctl(self.faults.as_raw_fd(), 0xc028_aa03, &raw mut fill) };
            assert_eq!(filled, 0, "{}", std::io::Error::last_os_error());
        }
    }
}

/// How long a reader is kept waiting by a file system that has one lock for both.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the point is right, and whether the hot read was over before the call.
fn try_with(margin: Duration) -> (bool, bool) {
    let mut nights = Nights::new();
    let path = nights.source.join("db");
    std::fs::write(&path, [b'o'; PAGES * PAGE]).unwrap();
    std::fs::write(nights.source.join("other"), "1").unwrap();
    std::thread::sleep(nights.rules.margin + Duration::from_millis(50));
    nights.rules.margin = margin;
    let (slow, is_read) = (Slow::new(), AtomicBool::new(false));
    let file = File::options().write(true).open(&path).unwrap();
    let before = path.metadata().unwrap().ctime_nsec();
    let was_first = std::thread::scope(|scope| {
        scope.spawn(|| slow.write_to(&file));
        while path.metadata().unwrap().ctime_nsec() == before {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(50));
        scope.spawn(|| {
            let since = Instant::now();
            while since.elapsed() < PATIENCE && !is_read.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            slow.let_come();
        });
        let since = Instant::now();
        nights.hot(|| (), || ());
        is_read.store(true, Ordering::SeqCst);
        since.elapsed() < PATIENCE
    });
    drop(file);
    assert!(is_all_new(&path));
    (nights.point().is_empty(), was_first)
}

fn is_all_new(path: &Path) -> bool {
    std::fs::read(path)
        .unwrap()
        .iter()
        .all(|byte| *byte == b'N')
}

#[test]
fn a_write_that_is_under_way_is_read_in_the_window() {
    assert!(try_with(Duration::from_secs(60)).0);
}

/// Else the test above shows nothing.
#[test]
fn without_a_margin_it_would_be_lost() {
    let (is_right, was_first) = try_with(Duration::ZERO);
    assert!(!is_right || !was_first);
}
