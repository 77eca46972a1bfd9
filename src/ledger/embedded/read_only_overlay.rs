//! A look at a file that changes nothing in it.
//!
//! The store cannot even tell whose a file is without repairing it first, if its last process was killed. So it is
//! opened through this: writes stay in memory, and the locks are real.

use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, DatabaseError, StorageBackend, backends::FileBackend};

/// Bytes that are kept together once one of them was written.
const BLOCK: usize = 4_096;

/// See the [module](self).
#[derive(Debug)]
pub struct ReadOnlyOverlay {
    file: FileBackend,
    written: Mutex<Written>,
}

/// What was written.
#[derive(Debug)]
struct Written {
    /// The length that the file would have.
    length: u64,
    /// Bytes of the file that can still be seen: a file that was cut and grows again grows by zeros.
    of_file: u64,
    /// By number.
    blocks: HashMap<u64, Box<[u8; BLOCK]>>,
}

impl ReadOnlyOverlay {
    /// At an open file.
    pub fn new(file: std::fs::File) -> Result<Self, DatabaseError> {
        let file = FileBackend::new(file)?;
        let length = file.len()?;
        Ok(Self { file, written: Mutex::new(Written { length, of_file: length, blocks: HashMap::new() }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a block as the file has them.
    fn block_of_file(&self, number: u64, of_file: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let mut block = Box::new([0; BLOCK]);
        let start = number * BLOCK as u64;
        let length = of_file.saturating_sub(start).min(BLOCK as u64) as usize;
        self.file.read(start, &mut block[..length])?;
        Ok(block)
    }
}

/// The blocks that a range of bytes lies in: number, where in the block, where in the range.
fn blocks(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let count = (BLOCK - within).min(length - done);
        let piece = (at / BLOCK as u64, within..within + count, done..done + count);
        done += count;
        (count > 0).then_some(piece)
    })
}

impl StorageBackend for ReadOnlyOverlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, of_range) in blocks(offset, out.len()) {
            match written.blocks.get(&number) {
                Some(block) => out[of_range].copy_from_slice(&block[within]),
                None => out[of_range].copy_from_slice(&self.block_of_file(number, written.of_file)?[within]),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        for (number, within, of_range) in blocks(offset, data.len()) {
            if !written.blocks.contains_key(&number) {
                let block = self.block_of_file(number, written.of_file)?;
                written.blocks.insert(number, block);
            }
            if let Some(block) = written.blocks.get_mut(&number) {
                block[within].copy_from_slice(&data[of_range]);
            }
        }
        written.length = written.length.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written();
        written.length = length;
        written.of_file = written.of_file.min(length);
        written.blocks.retain(|number, _| number * (BLOCK as u64) < length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
