//! The tables of the file, and the form of their keys and values.
//!
//! Keys are tuples, compared part by part, so what is read together is stored together: the ballots of a room's
//! partition, round and take are one range. Records are JSON; ballots have a short form of their own.

use std::borrow::Borrow;

use redb::{Key, ReadableTable, StorageError, Table, TableDefinition, TableError, TransactionError, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

/// A record as JSON.
pub type Json = &'static [u8];
/// Room, partition, round, take, voter.
pub type BallotKey = (&'static str, u16, u16, u16, &'static str);
/// Room, and an id or a name within it.
pub type InRoom = (&'static str, &'static str);

/// Sorts after every id: ids are ASCII without `~`.
pub const AFTER_ALL_IDS: &str = "~";

/// [`FORMAT_KEY`], [`CLOCK_KEY`] and [`IMPORT_KEY`].
pub const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// In [`META`]: the format of the file, [`super::file::FORMAT`].
pub const FORMAT_KEY: &str = "format";
/// In [`META`]: the last time that was stored, in ms. The ledger's clock never falls behind it.
pub const CLOCK_KEY: &str = "clock";
/// In [`META`]: the token of the last import claim.
pub const IMPORT_KEY: &str = "import";

/// Room id to room record.
pub const ROOMS: TableDefinition<&str, Json> = TableDefinition::new("rooms");
/// Join code to room id.
pub const CODES: TableDefinition<&str, &str> = TableDefinition::new("codes");
/// The organiser's own name to room id.
pub const REFS: TableDefinition<&str, &str> = TableDefinition::new("refs");
/// Id of a room that is being imported to its claim.
pub const IMPORTS: TableDefinition<&str, Json> = TableDefinition::new("imports");
/// Room and partition to gate.
pub const GATES: TableDefinition<(&str, u16), Json> = TableDefinition::new("gates");
/// Room, partition and pod to the slips for which the pod received the reply.
pub const ACKNOWLEDGED: TableDefinition<(&str, u16, &str), u64> = TableDefinition::new("acknowledged");
/// Ballots in their stored form.
pub const BALLOTS: TableDefinition<BallotKey, &str> = TableDefinition::new("ballots");
/// Voter id to voter.
pub const VOTERS: TableDefinition<InRoom, Json> = TableDefinition::new("voters");
/// Room to the number of its voters, without the removed ones.
pub const HEADCOUNTS: TableDefinition<&str, u64> = TableDefinition::new("headcounts");
/// Folded name to the voter who has it.
pub const NAMES: TableDefinition<InRoom, &str> = TableDefinition::new("names");
/// Card to voter.
pub const CARDS: TableDefinition<InRoom, &str> = TableDefinition::new("cards");
/// Invite to its name, and to the voter who has used it.
pub const INVITES: TableDefinition<InRoom, Json> = TableDefinition::new("invites");
/// Folded name to the invite that reserves it for good.
pub const INVITED: TableDefinition<InRoom, &str> = TableDefinition::new("invited");
/// Room, ranking and slice to entries.
pub const RANKINGS: TableDefinition<(&str, u64, u32), Json> = TableDefinition::new("rankings");
/// Room and number to a job that is not done yet.
pub const JOBS: TableDefinition<(&str, u64), Json> = TableDefinition::new("jobs");
/// Room and id of every job ever stored, to its number.
pub const JOB_IDS: TableDefinition<InRoom, u64> = TableDefinition::new("job_ids");
/// Ended sign-in to the time at which it would have expired anyway.
pub const SIGN_OUTS: TableDefinition<&str, u64> = TableDefinition::new("sign_outs");

/// Why a change or a read could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file failed: the whole transaction is lost.
    #[error(transparent)]
    File(Box<redb::Error>),
    /// A record is invalid. Found before anything was written, so other changes of the transaction can go on.
    #[error("{0}")]
    Corrupt(String),
    /// The call does not fit the contract or what is stored; nothing was written.
    #[error("{0}")]
    Misused(&'static str),
}

impl StoreError {
    /// True if redb refuses everything from now on, until the file is opened again.
    pub fn needs_reopen(&self) -> bool {
        matches!(self, Self::File(error) if matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo))
    }
}

macro_rules! from_file_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::File(Box::new(error.into()))
            }
        }
    )*};
}
from_file_errors!(StorageError, TableError, TransactionError);

/// Reads a record.
///
/// # Errors
/// See [`StoreError`].
pub fn load<'k, K, T>(
    table: &impl ReadableTable<K, Json>,
    key: impl Borrow<K::SelfType<'k>>,
) -> Result<Option<T>, StoreError>
where
    K: Key + 'static,
    T: DeserializeOwned,
{
    table.get(key)?.map(|value| parse(value.value())).transpose()
}

/// Decodes a record.
///
/// # Errors
/// See [`StoreError`].
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|error| {
        let kind = std::any::type_name::<T>();
        StoreError::Corrupt(format!("stored {kind} cannot be read: {error}"))
    })
}

/// Stores a record.
///
/// # Errors
/// See [`StoreError`].
pub fn store<'k, K, T>(
    table: &mut Table<'_, K, Json>,
    key: impl Borrow<K::SelfType<'k>>,
    record: &T,
) -> Result<(), StoreError>
where
    K: Key + 'static,
    T: Serialize,
{
    let json = serde_json::to_vec(record).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    table.insert(key, json.as_slice())?;
    Ok(())
}

/// All tables, open in one write transaction.
pub struct Tables<'txn> {
    pub meta: Table<'txn, &'static str, u64>,
    pub rooms: Table<'txn, &'static str, Json>,
    pub codes: Table<'txn, &'static str, &'static str>,
    pub refs: Table<'txn, &'static str, &'static str>,
    pub imports: Table<'txn, &'static str, Json>,
    pub gates: Table<'txn, (&'static str, u16), Json>,
    pub acknowledged: Table<'txn, (&'static str, u16, &'static str), u64>,
    pub ballots: Table<'txn, BallotKey, &'static str>,
    pub voters: Table<'txn, InRoom, Json>,
    pub headcounts: Table<'txn, &'static str, u64>,
    pub names: Table<'txn, InRoom, &'static str>,
    pub cards: Table<'txn, InRoom, &'static str>,
    pub invites: Table<'txn, InRoom, Json>,
    pub invited: Table<'txn, InRoom, &'static str>,
    pub rankings: Table<'txn, (&'static str, u64, u32), Json>,
    pub jobs: Table<'txn, (&'static str, u64), Json>,
    pub job_ids: Table<'txn, InRoom, u64>,
    pub sign_outs: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    /// Opens all tables, and creates those that a new file lacks: a read transaction cannot create them.
    ///
    /// # Errors
    /// The file failed.
    pub fn open(txn: &'txn WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            meta: txn.open_table(META)?,
            rooms: txn.open_table(ROOMS)?,
            codes: txn.open_table(CODES)?,
            refs: txn.open_table(REFS)?,
            imports: txn.open_table(IMPORTS)?,
            gates: txn.open_table(GATES)?,
            acknowledged: txn.open_table(ACKNOWLEDGED)?,
            ballots: txn.open_table(BALLOTS)?,
            voters: txn.open_table(VOTERS)?,
            headcounts: txn.open_table(HEADCOUNTS)?,
            names: txn.open_table(NAMES)?,
            cards: txn.open_table(CARDS)?,
            invites: txn.open_table(INVITES)?,
            invited: txn.open_table(INVITED)?,
            rankings: txn.open_table(RANKINGS)?,
            jobs: txn.open_table(JOBS)?,
            job_ids: txn.open_table(JOB_IDS)?,
            sign_outs: txn.open_table(SIGN_OUTS)?,
        })
    }
}
