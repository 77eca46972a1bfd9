//! Files that only their owner can read, and that are whole as soon as they have their name.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::platform;

/// A file that is being written, under another name until it is whole. Dropped before, it leaves nothing.
pub struct AtomicFile {
    path: PathBuf,
    draft: PathBuf,
    file: Option<File>,
}

impl AtomicFile {
    /// Begins a file at `path`; one that is there stays until [`AtomicFile::finish`].
    ///
    /// # Errors
    /// The folder is not there, or cannot be written to.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("this is no name of a file"))?;
        let draft = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), rand::random::<u32>()));
        let mut options = File::options();
        let file = platform::private(&mut options).write(true).create_new(true).open(&draft)?;
        Ok(Self { path: path.to_owned(), draft, file: Some(file) })
    }

    /// Gives the file its name, once it is on disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        std::fs::rename(&self.draft, &self.path)?;
        platform::sync_folder(folder(&self.path))
    }
}

/// Puts `bytes` in the place of a file, whole or not at all; the folder is made if need be.
///
/// # Errors
/// It cannot be written; the file is as it was then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder(path))?;
    let mut draft = AtomicFile::begin(path)?;
    draft.write_all(bytes)?;
    draft.finish()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // gone already if it was finished
        let _ = std::fs::remove_file(&self.draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("room.ndjson");
        std::fs::write(&path, "before").unwrap();
        let mut draft = AtomicFile::begin(&path).unwrap();
        draft.write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        let mut draft = AtomicFile::begin(&path).unwrap();
        draft.write_all(b"whole").unwrap();
        draft.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}
