//! Files that only their owner can read, and that are complete as soon as they have their name.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::platform;

/// A file that is being written under a temporary name in the same folder. Dropping it removes the temporary file.
pub struct AtomicFile {
    path: PathBuf,
    /// Created with access for its owner alone, as all temporary files are.
    file: NamedTempFile,
}

impl AtomicFile {
    /// Starts a file for `path`. A file with that name stays until [`AtomicFile::finish`].
    ///
    /// # Errors
    /// The path has no file name, or its folder does not exist or cannot be written to.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
        let prefix = format!(".{}.", name.to_string_lossy());
        let file = tempfile::Builder::new().prefix(&prefix).suffix(".part").tempfile_in(folder(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Syncs the file to disk, then gives it its name.
    ///
    /// # Errors
    /// The file cannot be written or renamed. Nothing with its name has changed then.
    pub fn finish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.path).map_err(|failed| failed.error)?;
        platform::sync_folder(folder(&self.path))
    }
}

/// Replaces a file by `bytes`, completely or not at all. The folder is created if it does not exist.
///
/// # Errors
/// The file cannot be written. Then it is as it was before.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder(path))?;
    let mut file = AtomicFile::begin(path)?;
    file.write_all(bytes)?;
    file.finish()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_completely_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("room.ndjson");
        std::fs::write(&path, "before").unwrap();
        let mut file = AtomicFile::begin(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        let mut file = AtomicFile::begin(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");
    }

    #[test]
    fn an_atomic_file_is_as_private_as_other_private_files() {
        let folder = tempfile::tempdir().unwrap();
        let (atomic, private) = (folder.path().join("atomic"), folder.path().join("private"));
        replace(&atomic, b"secret").unwrap();
        let mut options = std::fs::File::options();
        platform::private(&mut options).write(true).create_new(true).open(&private).unwrap();
        let permissions = |path| std::fs::metadata(path).unwrap().permissions();
        assert_eq!(permissions(&atomic), permissions(&private));
    }
}
