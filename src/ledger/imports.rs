//! Imports: rooms that come from another installation, written part by part under a claim.

use std::time::Duration;

use async_trait::async_trait;

use super::archive::format::Part;
use super::error::LedgerError;
use crate::domain::ids::RoomId;
use crate::domain::room::Room;

/// The right to import a room. Its token is a fencing token: a claim is refused wherever a newer one was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportClaim {
    /// The room.
    pub room: RoomId,
    /// The room's partitions.
    pub partitions: u16,
    /// Higher than that of every claim before.
    pub token: u64,
    /// The claim expires when nothing was written under it for this long.
    pub lease: Duration,
}

/// Outcome of [`ImportStore::begin_import`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The caller may write.
    Held(ImportClaim),
    /// The room is stored already.
    Exists(Room),
    /// Another import has claimed the id, the code or the `ref`.
    Running,
    /// Another room has the code.
    CodeTaken,
    /// Another room has the `ref`: this one.
    RefTaken(Room),
}

/// Imports that are under way. Nobody can see a room before its import is finished.
#[async_trait]
pub trait ImportStore: Send + Sync + 'static {
    /// Claims the id, code and `ref` of a room. The claim expires `lease` after the last write.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn begin_import(&self, room: &Room, lease: Duration) -> Result<Claimed, LedgerError>;

    /// Writes at most [`SLICE`](super::SLICE) parts, and renews the claim. The same parts again change nothing.
    ///
    /// # Errors
    /// See [`LedgerError`]; [`LedgerError::NotApplied`] also if the claim has expired and was taken over.
    async fn write_parts(&self, claim: &ImportClaim, parts: &[Part]) -> Result<(), LedgerError>;

    /// Stores the record and releases the claim: from now on the room is visible. Returns the record with its `seq`.
    ///
    /// # Errors
    /// As [`ImportStore::write_parts`].
    async fn finish_import(&self, claim: &ImportClaim, room: &Room) -> Result<Room, LedgerError>;

    /// Removes what was written under the claim, and nothing else. A finished room stays.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn drop_import(&self, claim: &ImportClaim) -> Result<(), LedgerError>;

    /// Drops every import whose claim has expired. Returns how many there were.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn sweep_imports(&self) -> Result<usize, LedgerError>;
}
