//! Opening the file, and refusing, without touching it, a file that is not a ledger.

use std::fs::{self, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, WriteTransaction,
};

use super::claims;
use super::read_only_overlay::ReadOnlyOverlay;
use super::tables::{CLOCK_KEY, FORMAT_KEY, META, Tables};
use crate::domain::LedgerMs;
use crate::platform;

/// Format of the file; raised by a change that older versions of the program cannot read.
pub const FORMAT: u64 = 1;
/// Memory for pages of the file. A whole evening of 1,000 voters takes a few MiB, so all of it stays in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the file cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file open. A second one would count votes that the first does not know.
    #[error("the ledger file {path} is in use by another process: stop that one, or name another file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else; it was not touched.
    #[error("{path} is not a ledger file ({detail}): name another file, or move this one away")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What shows that it is not a ledger.
        detail: String,
    },
    /// A ledger file that is damaged.
    #[error(
        "the ledger file {path} is broken ({detail}), and was left as it is: put a copy of it in its place, or move it away, start with a new one, and bring the rooms back from their archives with `tallycast import`"
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What redb reports.
        detail: String,
    },
    /// A ledger file of a newer version; it was not touched.
    #[error(
        "the ledger file {path} has format {found}, and this version reads {FORMAT}: start the version that wrote it, or name another file"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file cannot be created.
    #[error("cannot make a ledger file in {directory} ({cause}): make the directory writable, or name another file")]
    NotWritable {
        /// The directory for the file.
        directory: PathBuf,
        /// What the system reports.
        cause: io::Error,
    },
    /// The system refuses to open the file, or the disk fails.
    #[error("cannot open the ledger file {path} ({cause}): let it be read and written, or name another file")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        cause: io::Error,
    },
}

impl OpenError {
    /// True if another attempt is useless: what the file is does not change by itself.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Foreign { .. } | Self::Broken { .. } | Self::Newer { .. } => true,
            Self::InUse { .. } | Self::NotWritable { .. } | Self::Failed { .. } => false,
        }
    }
}

/// A file that is ready for use, and the last time stored in it.
pub struct Opened {
    /// The redb database.
    pub database: Database,
    /// See [`CLOCK_KEY`].
    pub clock: LedgerMs,
}

/// Opens the ledger file at `path`, or creates it.
///
/// # Errors
/// See [`OpenError`].
pub fn open_or_create(path: &Path) -> Result<Opened, OpenError> {
    match path.try_exists() {
        Ok(false) => create(path)?,
        Ok(true) => {}
        Err(error) => return Err(failed(path, error)),
    }
    open(path)
}

/// Opens the ledger file at `path`.
///
/// # Errors
/// See [`OpenError`].
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    inspect(path)?;
    let database = builder().open(path).map_err(|error| refusal(path, error))?;
    adopt(database).map_err(|error| broken(path, error))
}

/// Begins a transaction that is on disk when its commit returns.
///
/// Two-phase: after a crash the file holds the last commit that returned, or all of the one that was under way.
///
/// # Errors
/// The file failed.
pub fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

/// Prepares a database: its tables exist, and everything that can be read from it is on disk.
///
/// A killed process, or a failed commit, may have left pages that only the memory of the system holds. A read would
/// return them as stored. So a commit goes before the first read: it writes them to the disk, or fails.
///
/// # Errors
/// The file failed.
pub fn adopt(database: Database) -> Result<Opened, redb::Error> {
    let transaction = begin(&database)?;
    let mut tables = Tables::open(&transaction)?;
    tables.meta.insert(FORMAT_KEY, FORMAT)?;
    let clock = tables.meta.get(CLOCK_KEY)?.map_or(0, |clock| clock.value());
    tables.meta.insert(CLOCK_KEY, clock)?;
    claims::expire_all(&mut tables.imports)?;
    drop(tables);
    transaction.commit()?;
    Ok(Opened { database, clock })
}

/// A redb builder with our settings.
pub fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Creates the file under another name first, so that an interrupted start leaves no incomplete ledger.
fn create(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let not_writable = |cause| OpenError::NotWritable { directory: directory.to_owned(), cause };
    fs::create_dir_all(directory).map_err(not_writable)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}.new", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let made = fill(&fresh).and_then(|()| match fs::hard_link(&fresh, path) {
        // unlike a rename, a link never replaces a file that another process has just created; some file systems have
        // no links
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => fs::rename(&fresh, path),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    let _ = fs::remove_file(&fresh);
    // the file's name is an entry of the directory, which must reach the disk too
    made.and_then(|()| platform::sync_folder(directory)).map_err(not_writable)
}

/// Writes an empty ledger to `fresh` and closes it.
fn fill(fresh: &Path) -> io::Result<()> {
    let _ = fs::remove_file(fresh);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    // private, because cards and invites work like passwords
    let file = platform::private(&mut options).open(fresh)?;
    let database = builder().create_file(file).map_err(io::Error::other)?;
    adopt(database).map(drop).map_err(io::Error::other)
}

/// Checks, without writing, that the file is an undamaged ledger of this format.
fn inspect(path: &Path) -> Result<(), OpenError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| failed(path, error))?;
    if file.metadata().map_err(|error| failed(path, error))?.len() == 0 {
        return Err(OpenError::Foreign { path: path.to_owned(), detail: "it is empty".into() });
    }
    let check = || {
        let overlay = ReadOnlyOverlay::new(file).map_err(|error| refusal(path, error))?;
        let mut database = builder().create_with_backend(overlay).map_err(|error| refusal(path, error))?;
        match database.check_integrity() {
            Ok(true) => check_format(path, &database),
            Ok(false) => Err(OpenError::Broken { path: path.to_owned(), detail: "its checksums do not match".into() }),
            Err(error) => Err(refusal(path, error)),
        }
    };
    // redb trusts what a file says about itself, and panics at some damage
    let detail = || OpenError::Broken { path: path.to_owned(), detail: "its pages are invalid".into() };
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| Err(detail()))
}

fn check_format(path: &Path, database: &impl ReadableDatabase) -> Result<(), OpenError> {
    let transaction = database.begin_read().map_err(|error| broken(path, error.into()))?;
    let format = match transaction.open_table(META) {
        Ok(meta) => meta.get(FORMAT_KEY).map_err(|error| broken(path, error.into()))?.map(|format| format.value()),
        Err(redb::TableError::Storage(error)) => return Err(broken(path, error.into())),
        Err(_) => None,
    };
    match format {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(OpenError::Newer { path: path.to_owned(), found }),
        None => Err(OpenError::Foreign { path: path.to_owned(), detail: "a database of another program".into() }),
    }
}

fn refusal(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
        // what redb reports for a file that does not start like one of its own
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            OpenError::Foreign { path: path.to_owned(), detail: error.to_string() }
        }
        error => broken(path, error.into()),
    }
}

fn broken(path: &Path, error: redb::Error) -> OpenError {
    match error {
        // a file that ends too early is damaged; other I/O errors are those of the disk
        redb::Error::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => failed(path, error),
        error => OpenError::Broken { path: path.to_owned(), detail: error.to_string() },
    }
}

fn failed(path: &Path, error: io::Error) -> OpenError {
    OpenError::Failed { path: path.to_owned(), cause: error }
}
