//! A simulated disk that can fail and lose power: what was not synced may be lost, whole or in part.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::Rng;
use redb::StorageBackend;

/// The disk writes this many bytes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A handle to the disk; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What reads return: everything that was written.
    written: Vec<u8>,
    /// What survives a power cut for certain.
    durable: Vec<u8>,
    /// Written since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Syncs so far.
    syncs: u32,
    /// Operations that still succeed before all fail; `None` if none fails.
    left: Option<u32>,
    /// True if every read fails.
    reads_fail: bool,
}

impl Disk {
    /// Lets every operation after the next `operations` fail.
    pub fn fail_after(&self, operations: u32) {
        self.0.lock().unwrap().left = Some(operations);
    }

    /// Lets every read fail.
    pub fn fail_reads(&self) {
        self.0.lock().unwrap().reads_fail = true;
    }

    /// Lets all operations succeed again.
    pub fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        state.left = None;
        state.reads_fail = false;
    }

    /// Lets every operation wait until the guard is dropped.
    pub fn hang(&self) -> MutexGuard<'_, impl Sized> {
        self.0.lock().unwrap()
    }

    /// The number of syncs so far.
    pub fn syncs(&self) -> u32 {
        self.0.lock().unwrap().syncs
    }

    /// A disk as it may be found after a power cut at this moment.
    pub fn after_power_cut(&self, rng: &mut impl Rng) -> Disk {
        let state = self.0.lock().unwrap();
        let mut durable = state.durable.clone();
        for (offset, data) in &state.unsynced {
            let sectors = data.len().div_ceil(SECTOR_BYTES);
            let kept = (rng.random_range(0..=sectors) * SECTOR_BYTES).min(data.len());
            durable[*offset..offset + kept].copy_from_slice(&data[..kept]);
        }
        Disk(Arc::new(Mutex::new(State { written: durable.clone(), durable, ..State::default() })))
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
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        if state.reads_fail {
            return Err(io::Error::other("the disk has failed"));
        }
        let offset = offset as usize;
        let data = state.written.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.work(|state| {
            state.written.resize(len as usize, 0);
            state.durable.resize(len as usize, 0);
            state.unsynced.retain(|(offset, data)| offset + data.len() <= len as usize);
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.work(|state| {
            state.durable = state.written.clone();
            state.unsynced.clear();
            state.syncs += 1;
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.work(|state| {
            let offset = offset as usize;
            state.written[offset..offset + data.len()].copy_from_slice(data);
            state.unsynced.push((offset, data.to_vec()));
        })
    }
}
