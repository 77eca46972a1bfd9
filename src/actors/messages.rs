//! The messages between the actors of one process.
//!
//! Every mailbox is bounded. The last column says what happens when the receiver's is full: no sender ever waits for
//! one, and nothing that was lost this way stays lost.
//!
//! | message | from | to | when the mailbox is full |
//! | --- | --- | --- | --- |
//! | [`Casts`] | registry shard, HTTP | coordinator | the sender answers `busy` |
//! | [`Execute`] | HTTP | coordinator | the caller waits for a place |
//! | [`Reschedule`] | whoever changes a board | coordinator | counted; the subscriber's comparison sends it again within a second |
//! | [`CastResults`] | coordinator | registry shard | the shard's sweep answers `busy` after [`super::in_flight::OVERDUE`] |
//! | [`BoardChanged`] | board | every registry shard | the shard's sweep finds the change within a second |
//! | [`CloseSessions`] | subscriber, drain | every registry shard | logged; the drain's own deadline closes the sockets |
//! | [`SessionMessage`] | registry shard, active room | session | the sweep closes the socket, see [`super::session_handle`] |

use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::ballot::{Cast as Votes, Refusal};
use crate::domain::command::Command;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::execute::{ExecuteError, RoomSnapshot};
use crate::traces::CastTrace;
use crate::wire::server::{BallotView, ByeReason};

/// All casts that one thread has read in one turn, in one message: waking another thread costs as much as reading
/// several sockets.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Casts(pub Vec<Cast>);

/// One voter's cast, on its way to the ledger.
pub struct Cast {
    /// The voter whose ballot it extends.
    pub voter: VoterId,
    /// Round number, from 1.
    pub round: u16,
    /// Take number, from 1.
    pub take: u16,
    /// The first slip and the letters.
    pub votes: Votes,
    /// Where the outcome goes.
    pub reply_to: ReplyTo,
    /// When it was received. It is answered `busy` [`super::in_flight::OVERDUE`] later.
    pub asked_at: Instant,
    /// Set if this cast is traced.
    pub trace: Option<CastTrace>,
}

/// Who waits for the outcome of a cast.
#[derive(Debug)]
pub enum ReplyTo {
    /// A socket of this process.
    Socket {
        /// Index of the registry shard that has the subscription.
        shard: usize,
        /// Id of the subscription.
        subscription: u64,
        /// The cast's number on that socket, sent back with the outcome.
        number: u32,
    },
    /// A caller over HTTP.
    Caller(oneshot::Sender<CastOutcome>),
}

/// What became of a cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CastOutcome {
    /// The ledger has judged it.
    Ballot {
        /// The ballot as stored.
        view: BallotView,
        /// True if this cast added to it: the voter's other sockets must be told.
        grew: bool,
    },
    /// Unknown: the client must send the same cast again.
    Busy,
    /// The voter was removed from the room.
    Removed,
}

impl CastOutcome {
    /// The label that metrics and traces use.
    pub fn label(&self) -> &'static str {
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

/// An emcee's command. The answer comes when it holds, or cannot.
#[derive(Message)]
#[rtype(result = "Result<RoomSnapshot, ExecuteError>")]
pub struct Execute {
    /// What must hold.
    pub command: Command,
}

/// The board has changed: set the timer anew for what is due next.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reschedule;

/// The board of `room` has changed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct BoardChanged {
    /// The board's room.
    pub room: RoomId,
}

/// The outcomes of one batch for the sockets of one shard.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CastResults {
    /// The room of all these casts.
    pub room: RoomId,
    /// In the order of the casts.
    pub results: Vec<CastResult>,
}

/// The outcome of one socket's cast.
#[derive(Debug)]
pub struct CastResult {
    /// Id of the subscription.
    pub subscription: u64,
    /// The cast's number on that socket.
    pub number: u32,
    /// What the socket is told.
    pub outcome: CastOutcome,
}

/// Close sockets.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct CloseSessions {
    /// Those of this room; `None`: all.
    pub room: Option<RoomId>,
    /// Sent to each client in its goodbye.
    pub reason: ByeReason,
    /// Each socket is closed at a random moment within this time, so that not all clients come back at once.
    pub within: Duration,
}

/// A message to one session.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub enum SessionMessage {
    /// The cast in flight was answered.
    Answered,
    /// Say goodbye and close, after the answer to a cast in flight.
    Leave {
        /// Sent to the client.
        reason: ByeReason,
        /// How long the client stays away, in ms; `None`: its own back-off.
        retry_ms: Option<u64>,
    },
    /// The voter's ballot grew through another socket.
    Mine(BallotView),
}
