//! The messages between the actors of one process.
//!
//! | message | from | to | where its mailbox is full |
//! | --- | --- | --- | --- |
//! | [`Casts`] | shards, HTTP | coordinator | the sender answers `busy` |
//! | [`Execute`] | HTTP | coordinator | the caller waits |
//! | [`Reschedule`] | whoever puts news on a board | coordinator | counted; the comparison of the next second tells it again |
//! | [`CastResults`] | coordinator | a shard of the registry | the sweep of the next second answers `busy` |
//! | [`BoardChanged`] | a board | every shard | the sweep of the next second finds the news |
//! | [`CloseSessions`] | subscriber, drain | every shard | logged |
//! | [`SessionMessage`] | shards, rooms | a session | the sweep closes its socket, see [`super::session_handle::SessionHandle`] |

use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::ballot::{Cast as Votes, Refusal};
use crate::domain::command::Command;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::execute::{ExecuteError, RoomSnapshot};
use crate::traces::CastTrace;
use crate::wire::server::{BallotView, ByeReason};

/// What came in one turn of a thread: one message and one wake-up for all of it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Casts(pub Vec<Cast>);

/// Votes of one voter.
pub struct Cast {
    /// Whose.
    pub voter: VoterId,
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// From which slip, and which letters.
    pub votes: Votes,
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// When it came: who waits is told `busy` after [`super::in_flight::OVERDUE`].
    pub asked_at: Instant,
    /// If it is traced.
    pub trace: Option<CastTrace>,
}

/// Who waits for what becomes of a cast.
#[derive(Debug)]
pub enum ReplyTo {
    /// A socket.
    Socket {
        /// The shard that has its subscription.
        shard: usize,
        /// The subscription.
        subscription: u64,
        /// Of the cast, to be given back with the answer.
        number: u32,
    },
    /// A caller over HTTP. Dropped without an answer: `busy`.
    Caller(oneshot::Sender<CastOutcome>),
}

/// What became of a cast.
#[derive(Debug, Clone)]
pub enum CastOutcome {
    /// The ballot as stored; `grew` if this cast added to it.
    Ballot {
        /// For the wire.
        view: BallotView,
        /// Other sockets of the voter want to know.
        grew: bool,
    },
    /// No promise: send the same again.
    Busy,
    /// The voter was removed.
    Removed,
}

impl CastOutcome {
    /// In a word, as the metrics have it.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Busy => Refusal::Busy.as_str(),
            Self::Ballot { view, grew } => match view.refused {
                Some(refusal) => refusal.as_str(),
                None if *grew => "stored",
                None => "repeat",
            },
        }
    }
}

/// A command of the emcee.
#[derive(Message)]
#[rtype(result = "Result<RoomSnapshot, ExecuteError>")]
pub struct Execute {
    /// What shall be.
    pub command: Command,
}

/// The board has news: look again at what is due when.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reschedule;

/// The board of `room` has news.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct BoardChanged {
    /// Which.
    pub room: RoomId,
}

/// What became of casts of `room`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CastResults {
    /// Which.
    pub room: RoomId,
    /// In the order of the casts.
    pub answers: Vec<CastResult>,
}

/// What became of one cast.
#[derive(Debug)]
pub struct CastResult {
    /// Whose.
    pub subscription: u64,
    /// Of the cast.
    pub number: u32,
    /// What the socket is told.
    pub answer: CastOutcome,
}

/// Sockets must go.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct CloseSessions {
    /// Of this room; `None`: all.
    pub room: Option<RoomId>,
    /// What they are told.
    pub reason: ByeReason,
    /// Spread over this time.
    pub within: Duration,
}

/// A word to one session.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub enum SessionMessage {
    /// The cast under way was answered.
    Answered,
    /// Say goodbye and close, once a cast under way is answered.
    Leave {
        /// What the client is told.
        reason: ByeReason,
        /// When it may come back.
        retry_ms: Option<u64>,
    },
    /// The voter's ballot grew through another socket.
    Mine(BallotView),
}
