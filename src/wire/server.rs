//! What the server sends on a socket: an object with exactly one key, the message's name.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::LedgerMs;
use crate::domain::ballot::Refusal;

use super::reveal::{GroupView, RevealView, StandingView};
use super::room::TallyView;

/// One message.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// The whole room; replaces all that the client knew of it.
    State {
        /// A [`super::room::RoomView`], encoded once for all who may see the same.
        room: &'a RawValue,
        /// A voter's own part; only when it answers hello, or after a recovery.
        #[serde(skip_serializing_if = "Option::is_none")]
        you: Option<You>,
    },
    /// Answers a cast.
    Ballot(BallotView),
    /// The ballot grew through another socket of the voter.
    Mine(BallotView),
    /// Newest counts.
    Tally(TallyMessage),
    /// Who is here.
    Presence {
        /// Sockets of voters, on all pods.
        connected: u64,
        /// Voters joined.
        voters: u64,
    },
    /// What of the ranking is shown.
    Reveal(&'a RevealView),
    /// The voter's own place.
    Standing(StandingView),
    /// The next groups, for the emcee.
    Preview {
        /// At most three, in the order in which they come.
        next: Vec<GroupView>,
    },
    /// How the show is, for the emcee.
    Desk(DeskView),
    /// Answers a ping.
    Pong {
        /// Of the ping.
        id: serde_json::Value,
        /// The ledger's time.
        now: LedgerMs,
        /// Version of the room.
        seq: u64,
        /// How the ledger answers.
        ledger: LedgerState,
    },
    /// The socket is about to close.
    Bye {
        /// Why.
        reason: ByeReason,
        /// When to come back.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
    /// A frame was not understood.
    Error {
        /// A stable word.
        code: &'static str,
        /// For people.
        detail: String,
    },
}

impl ServerMessage<'_> {
    /// The frame's text.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("messages have string keys and finite numbers")
    }
}

/// A voter's own part of `state`.
#[derive(Debug, Clone, Serialize)]
pub struct You {
    /// Id.
    pub voter: String,
    /// Name.
    pub name: String,
    /// The way back.
    pub card: String,
    /// The ballot of the round that is open or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballot: Option<BallotView>,
}

/// A voter's ballot in a take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BallotView {
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// The whole ballot, as stored for good.
    pub votes: String,
    /// Slips left.
    pub left: u16,
    /// What was not stored, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refused: Option<Refusal>,
}

impl BallotView {
    /// A ballot under a budget.
    pub fn new(round: u16, take: u16, votes: String, votes_per_round: u16, refused: Option<Refusal>) -> Self {
        let left = votes_per_round.saturating_sub(votes.len() as u16);
        Self { round, take, votes, left, refused }
    }

    /// What is stored, without what was refused.
    pub fn stored(&self) -> Self {
        Self { refused: None, ..self.clone() }
    }
}

/// See [`ServerMessage::Tally`].
#[derive(Debug, Clone, Serialize)]
pub struct TallyMessage {
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// Counts.
    #[serde(flatten)]
    pub tally: TallyView,
}

/// See [`ServerMessage::Desk`]; over all pods.
#[derive(Debug, Clone, Serialize)]
pub struct DeskView {
    /// Sockets of voters.
    pub connected: u64,
    /// Voters joined.
    pub voters: u64,
    /// Votes stored in the last second.
    pub votes_per_s: u64,
    /// Slips stored anew whose reply reached a pod.
    pub acknowledged: u64,
    /// Slips stored.
    pub stored: u64,
    /// Slips in the tally that the sockets of the room were last sent, on whichever pod it was the fewest.
    pub shown: u64,
    /// Age of the oldest vote that some of them were not shown yet.
    pub oldest_unshown_ms: u64,
    /// Stage pages.
    pub stages: Vec<StageView>,
    /// Emcee pages.
    pub desks: Vec<DeviceView>,
    /// Processes.
    pub pods: Vec<PodView>,
    /// How the ledger is.
    pub ledger: LedgerView,
    /// Rooms of the installation that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableView>,
}

/// A room that cannot be read. Nothing of it is deleted; the server's log says more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableView {
    /// Its id, as in the log.
    pub id: String,
    /// Its join code, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

/// A stage page.
#[derive(Debug, Clone, Serialize)]
pub struct StageView {
    /// What it says it shows.
    pub screen: String,
    /// The `seq` that it shows.
    pub seq: u64,
    /// Since its last word, in ms.
    pub seen_ms: u64,
}

/// An emcee page.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceView {
    /// What the emcee called it.
    pub device: String,
    /// Since its last word, in ms.
    pub seen_ms: u64,
}

/// One process.
#[derive(Debug, Clone, Serialize)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Takes voters.
    pub ready: bool,
    /// Its sockets.
    pub sessions: u64,
}

/// How the ledger is.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerView {
    /// How it answers.
    pub state: LedgerState,
    /// 99th percentile of the commits of the last 10 s, on the pod where they took longest; 0: there were none.
    pub commit_p99_ms: f64,
    /// An acknowledged vote survives a power cut: checked.
    pub durable: bool,
}

/// How the ledger answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// Within half a second.
    Ok,
    /// Later than that.
    Slow,
    /// Not at all.
    Down,
}

/// Why a socket is closed from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// The pod stops; come back.
    Draining,
    /// A newer socket of the same voter took its place.
    Replaced,
    /// The voter was removed.
    Removed,
    /// The room was deleted.
    RoomDeleted,
    /// The emcee signed out.
    SignedOut,
}
