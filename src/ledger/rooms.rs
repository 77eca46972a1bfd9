//! Rooms: their records, and the directory of join codes and `ref`s that leads to them.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;

/// Outcome of [`RoomStore::create_room`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// Stored, with its first `seq`.
    Created(Room),
    /// Another room has the code: choose another code.
    CodeTaken,
    /// Another room has the `ref`: this one.
    RefTaken(Room),
}

/// Outcome of [`RoomStore::replace_room`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// Stored, with its new `seq`.
    Stored(Room),
    /// The record has changed since it was read; this is what is stored now.
    Changed(Room),
}

/// All rooms of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Rooms that can be read, deleted ones too.
    pub rooms: Vec<Room>,
    /// Rooms that cannot be read. Their data stays as it is, and the other rooms work without them.
    pub unreadable: Vec<Unreadable>,
}

/// A room whose stored data is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id, as the ledger has it.
    pub id: String,
    /// Its join code, if that is known.
    pub code: Option<RoomCode>,
    /// What is invalid, for the log.
    pub why: String,
}

/// The room records, and the directory of codes and `ref`s.
#[async_trait]
pub trait RoomStore: Send + Sync + 'static {
    /// Stores a new room with its code and `ref`. The same room again changes nothing, and is answered as it is stored.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn create_room(&self, room: &Room) -> Result<Creation, LedgerError>;

    /// All rooms, deleted ones too.
    ///
    /// # Errors
    /// The ledger does not answer. An invalid room is not an error, see [`Listing::unreadable`].
    async fn rooms(&self) -> Result<Listing, LedgerError>;

    /// The room with this code, deleted or not. A room whose import is not finished is not found.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn find_room(&self, code: &RoomCode) -> Result<Option<Room>, LedgerError>;

    /// A room by its id.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn room(&self, id: &RoomId) -> Result<Option<Room>, LedgerError>;

    /// Compare-and-set: stores `room` if the stored record still has `room.seq`, raises `seq`, and announces the
    /// change. The jobs that the change causes are stored in the same step.
    ///
    /// # Errors
    /// See [`LedgerError`]; [`LedgerError::NotApplied`] also if there is no such room.
    async fn replace_room(&self, room: &Room, jobs: &[Job]) -> Result<Replacement, LedgerError>;

    /// Removes everything that is stored of a room, its record and code last: a purge that is cut off can be repeated.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn purge_room(&self, room: &Room) -> Result<(), LedgerError>;
}
