//! One reader at a time for each rotating disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::discovery::disk::Disks;
use crate::error::Result;

/// Whose turn it is, by the name of the disk.
#[derive(Debug, Default)]
pub struct Turns(Mutex<BTreeMap<String, Arc<Semaphore>>>);

impl Turns {
    /// Waits until all of `disks` are free, and has them for as long as the answer lives. Without one it does not wait.
    pub async fn take(&self, disks: &Disks) -> Result<Vec<OwnedSemaphorePermit>> {
        let mut turn = Vec::new();
        // In the order of their names, so that two who want the same disks never wait for each other.
        for disk in disks {
            turn.push(self.of(disk).acquire_owned().await?);
        }
        Ok(turn)
    }

    fn of(&self, disk: &str) -> Arc<Semaphore> {
        let mut disks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = disks.entry(disk.to_owned());
        Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_disk_has_one_reader_and_flash_has_many() {
        let turns = Turns::default();
        let disks = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let take = |names: &[&str]| turns.take(&disks(names)).now_or_never().map(Result::unwrap);
        let array = take(&["sda", "sdb"]).unwrap();
        assert!(take(&["sdb"]).is_none());
        assert!(take(&["sdc"]).is_some());
        assert!(take(&[]).is_some() && take(&[]).is_some());
        drop(array);
        assert!(take(&["sdb", "sda"]).is_some());
    }
}
