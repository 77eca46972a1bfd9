//! The ledger: everything that is stored for good, and the only clock that decides anything.
//!
//! One contract, [`Ledger`], in parts, each in a file of its own together with its types:
//!
//! | part | stores |
//! | --- | --- |
//! | [`RoomStore`] (`rooms`) | room records, and the directory of codes and `ref`s |
//! | [`VoteStore`] (`votes`) | gates and ballots |
//! | [`VoterStore`] (`voters`) | voters, their names, cards and invites |
//! | [`RankingStore`] (`ranking`) | frozen rankings |
//! | [`JobStore`] (`jobs`) | what must be done because of a change |
//! | [`ImportStore`] (`imports`) | rooms that come from another installation |
//! | [`PodStore`] (`pods`) | the feed, presence, ended sign-ins |
//! | [`Diagnostics`] (`diagnostics`) | nothing: it tells how the ledger is doing |
//!
//! Two implementations pass the same contract tests (`tests/ledger_contract.rs`) and the same state-machine test
//! against a plain reference (`tests/ledger_model.rs`): [`embedded`], a file, and [`redis`], which many pods share.
//! Both have a file for each part; how they are doing is in `redis/health.rs` and `embedded/ledger.rs`. What several calls do together is in [`execute`] (commands, ranking, scans) and
//! [`archive`].
//!
//! # The contract
//! - A call that returns `Ok` has stored its change durably before it returns.
//! - A change is atomic: all of it or nothing. It checks everything first and writes last.
//! - Every change can be repeated. A repeated commit finds its letters on the ballots and counts nothing twice; a
//!   repeated desired state moves no gate; a repeated join with the same card is the same voter.
//! - Votes are judged by [`crate::domain::ballot::judge`] against the gate, by the ledger's own clock, in the same
//!   step that stores them.
//! - Versions and `seq` are `max(previous + 1, ledger time in ms)`: they never fall.
//! - What is published on the feed is absolute and versioned, so messages may be lost, repeated and reordered.

use std::sync::Arc;

pub mod archive;
mod diagnostics;
pub mod embedded;
mod error;
pub mod execute;
mod feed;
mod imports;
mod jobs;
mod pods;
mod ranking;
pub mod redis;
mod rooms;
mod voters;
mod votes;

pub use archive::format::Part;
pub use diagnostics::{Diagnostics, Health, SlowCommand, SlowLog, SlowSeen};
pub use error::LedgerError;
pub use feed::{Beacon, DeskSeen, Feed, FeedEvent, RoomBeacon, StageSeen};
pub use imports::{Claimed, ImportClaim, ImportStore};
pub use jobs::{Backlog, JobStore, TakenJob};
pub use pods::PodStore;
pub use ranking::{RankEntry, RankingStore};
pub use rooms::{Creation, Listing, Replacement, RoomStore, Unreadable};
pub use voters::{
    Invited, JoinOutcome, JoinRequest, RenameRequest, ResumeRequest, Voter, VoterStore, VotersPage, VotersQuery,
    fresh_card,
};
pub use votes::{Batch, Commit, GateSnapshot, MAX_CASTS, PartitionWriter, Verdict, VoteStore};

/// Most ballots, voters, ranking entries or parts of one call.
pub const SLICE: usize = 1_000;

/// The whole contract, see the [module](self): whatever implements its parts is a ledger.
///
/// The methods of all parts can be called on a `dyn Ledger` without importing them.
pub trait Ledger:
    Diagnostics + RoomStore + VoteStore + VoterStore + RankingStore + JobStore + ImportStore + PodStore
{
}

impl<L> Ledger for L where
    L: Diagnostics + RoomStore + VoteStore + VoterStore + RankingStore + JobStore + ImportStore + PodStore
{
}

/// A handle to the ledger that all parts of the process share.
pub type SharedLedger = Arc<dyn Ledger>;
