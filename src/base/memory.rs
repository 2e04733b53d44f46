//! The memory of this host. Our units hide `/proc/meminfo` (`ProcSubset=pid`), and must not be slower for it than a shell is.

use std::path::Path;

const NODES: &str = "/sys/devices/system/node";

/// In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    /// What can be had without anything being swapped out.
    pub available: u64,
}

impl Memory {
    pub fn of_this_host() -> Self {
        let refresh = sysinfo::MemoryRefreshKind::nothing().with_ram();
        let system = sysinfo::System::new_with_specifics(
            sysinfo::RefreshKind::nothing().with_memory(refresh),
        );
        if system.total_memory() > 0 {
            return Self {
                total: system.total_memory(),
                available: system.available_memory(),
            };
        }
        Self::of_nodes(Path::new(NODES)).unwrap_or_else(Self::of_kernel)
    }

    /// What the kernel tells of each bank of memory; not every kernel does.
    fn of_nodes(folder: &Path) -> Option<Self> {
        let mut memory = Self {
            total: 0,
            available: 0,
        };
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            // Only the directories of nodes have one.
            let Ok(text) = std::fs::read_to_string(entry.path().join("meminfo")) else {
                continue;
            };
            memory.total += field(&text, "MemTotal:");
            // As the kernel reckons `MemAvailable`, but for the low watermarks.
            let cache = field(&text, "Active(file):") + field(&text, "Inactive(file):");
            let slab = field(&text, "SReclaimable:");
            memory.available += field(&text, "MemFree:") + cache / 2 + slab / 2;
        }
        (memory.total > 0).then_some(memory)
    }

    /// Without the page cache, so less than there is.
    fn of_kernel() -> Self {
        let info = rustix::system::sysinfo();
        let unit = u64::from(info.mem_unit);
        Self {
            total: info.totalram * unit,
            available: (info.freeram + info.bufferram) * unit,
        }
    }
}

/// `Node 0 MemFree:  1234 kB`, in bytes.
fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(2);
        (words.next()? == name).then(|| words.next()?.parse::<u64>().ok())?
    });
    value.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banks_together_are_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        for node in 0..2 {
            let node_folder = folder.path().join(format!("node{node}"));
            std::fs::create_dir(&node_folder).unwrap();
            let lines = [
                "MemTotal: 1000",
                "MemFree: 100",
                "Active: 999",
                "Active(file): 40",
                "Inactive(file): 20",
                "SReclaimable: 10",
            ];
            let text = lines
                .map(|line| format!("Node {node} {line} kB\n"))
                .concat();
            std::fs::write(node_folder.join("meminfo"), text).unwrap();
        }
        std::fs::write(folder.path().join("possible"), "0-1").unwrap();
        let memory = Memory::of_nodes(folder.path());
        let expected = Memory {
            total: 2000 * 1024,
            available: 270 * 1024,
        };
        assert_eq!(memory, Some(expected));
        assert_eq!(Memory::of_nodes(&folder.path().join("none")), None);
    }

    #[test]
    fn what_the_kernel_tells_is_as_much_as_there_is() {
        let (one, other) = (Memory::of_this_host(), Memory::of_kernel());
        assert_eq!(one.total, other.total);
        assert!(other.available <= other.total);
    }
}
