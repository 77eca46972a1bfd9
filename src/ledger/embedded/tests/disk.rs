//! A disk that can lose power: what was not synced may be gone, whole or in part.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::Rng;
use redb::StorageBackend;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// A handle; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is read: all that was written.
    seen: Vec<u8>,
    /// What survives for certain.
    durable: Vec<u8>,
    /// Written since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Syncs so far.
    syncs: u32,
    /// Operations until every further one fails; `None`: all succeed.
    left: Option<u32>,
    /// Every read fails.
    reads_fail: bool,
}

impl Disk {
    /// Every operation after the next `operations` fails.
    pub fn fail_after(&self, operations: u32) {
        self.0.lock().unwrap().left = Some(operations);
    }

    /// Every read fails.
    pub fn fail_reads(&self) {
        self.0.lock().unwrap().reads_fail = true;
    }

    /// Operations and reads succeed again.
    pub fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        state.left = None;
        state.reads_fail = false;
    }

    /// Every operation waits until the guard is dropped.
    pub fn stand_still(&self) -> MutexGuard<'_, impl Sized> {
        self.0.lock().unwrap()
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u32 {
        self.0.lock().unwrap().syncs
    }

    /// The disk as it may be found after a power cut now.
    pub fn after_power_cut(&self, rng: &mut impl Rng) -> Disk {
        let state = self.0.lock().unwrap();
        let mut durable = state.durable.clone();
        for (offset, data) in &state.unsynced {
            let sectors = data.len().div_ceil(SECTOR);
            let kept = (rng.random_range(0..=sectors) * SECTOR).min(data.len());
            durable[*offset..offset + kept].copy_from_slice(&data[..kept]);
        }
        Disk(Arc::new(Mutex::new(State { seen: durable.clone(), durable, ..State::default() })))
    }

    fn work<T>(&self, work: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        match &mut state.left {
            Some(0) => return Err(io::Error::other("the disk has failed")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(work(&mut state))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        if state.reads_fail {
            return Err(io::Error::other("the disk has failed"));
        }
        let offset = offset as usize;
        let data = state.seen.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.work(|state| {
            state.seen.resize(len as usize, 0);
            state.durable.resize(len as usize, 0);
            state.unsynced.retain(|(offset, data)| offset + data.len() <= len as usize);
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.work(|state| {
            state.durable = state.seen.clone();
            state.unsynced.clear();
            state.syncs += 1;
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.work(|state| {
            let offset = offset as usize;
            state.seen[offset..offset + data.len()].copy_from_slice(data);
            state.unsynced.push((offset, data.to_vec()));
        })
    }
}
