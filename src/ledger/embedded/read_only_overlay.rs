//! A storage backend that reads a file and never changes it: writes stay in memory, locks are real.
//!
//! If its last process was killed, redb repairs a file before it can tell what the file holds. A file that may belong
//! to another program must not be repaired, so it is inspected through this overlay first.

use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, DatabaseError, StorageBackend, backends::FileBackend};

/// Bytes that are copied to memory together once one of them was written.
const BLOCK_BYTES: usize = 4_096;

/// See the [module](self).
#[derive(Debug)]
pub struct ReadOnlyOverlay {
    file: FileBackend,
    written: Mutex<Written>,
}

/// What was written, and what of the file is still visible.
#[derive(Debug)]
struct Written {
    /// The length that the file would have, in bytes.
    length: u64,
    /// Bytes of the file that are still visible: a file that is truncated and grows again is filled with zeros.
    visible: u64,
    /// The written blocks, by number.
    blocks: HashMap<u64, Box<[u8; BLOCK_BYTES]>>,
}

impl ReadOnlyOverlay {
    /// An overlay over an open file.
    ///
    /// # Errors
    /// The file is locked by another process, or cannot be read.
    pub fn new(file: std::fs::File) -> Result<Self, DatabaseError> {
        let file = FileBackend::new(file)?;
        let length = file.len()?;
        Ok(Self { file, written: Mutex::new(Written { length, visible: length, blocks: HashMap::new() }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block with the bytes of the file.
    fn block_of_file(&self, number: u64, visible: u64) -> io::Result<Box<[u8; BLOCK_BYTES]>> {
        let mut block = Box::new([0; BLOCK_BYTES]);
        let start = number * BLOCK_BYTES as u64;
        let length = visible.saturating_sub(start).min(BLOCK_BYTES as u64) as usize;
        self.file.read(start, &mut block[..length])?;
        Ok(block)
    }
}

/// The blocks that a range of bytes touches: the block's number, the part of the block, the part of the range.
fn blocks(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let in_block = (at % BLOCK_BYTES as u64) as usize;
        let count = (BLOCK_BYTES - in_block).min(length - done);
        let piece = (at / BLOCK_BYTES as u64, in_block..in_block + count, done..done + count);
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
        for (number, in_block, in_range) in blocks(offset, out.len()) {
            match written.blocks.get(&number) {
                Some(block) => out[in_range].copy_from_slice(&block[in_block]),
                None => out[in_range].copy_from_slice(&self.block_of_file(number, written.visible)?[in_block]),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        for (number, in_block, in_range) in blocks(offset, data.len()) {
            if !written.blocks.contains_key(&number) {
                let block = self.block_of_file(number, written.visible)?;
                written.blocks.insert(number, block);
            }
            if let Some(block) = written.blocks.get_mut(&number) {
                block[in_block].copy_from_slice(&data[in_range]);
            }
        }
        written.length = written.length.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written();
        written.length = length;
        written.visible = written.visible.min(length);
        written.blocks.retain(|number, _| number * (BLOCK_BYTES as u64) < length);
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
