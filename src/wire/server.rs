//! Messages of the server on a socket: an object with exactly one key, the name of the message.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::LedgerMs;
use crate::domain::ballot::Refusal;

use super::reveal::{GroupView, RevealView, StandingView};
use super::room::TallyView;

/// A message of the server.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// The whole room. Replaces everything that the client knows about it.
    State {
        /// A [`super::room::RoomView`], encoded once for each audience.
        room: &'a RawValue,
        /// A voter's own part; only in the answer to hello, or after a recovery.
        #[serde(skip_serializing_if = "Option::is_none")]
        you: Option<You>,
    },
    /// Answers a cast.
    Ballot(BallotView),
    /// The ballot grew through another socket of the voter.
    Mine(BallotView),
    /// The newest counts.
    Tally(TallyMessage),
    /// How many voters are here.
    Presence {
        /// Sockets of voters, on all pods.
        connected: u64,
        /// Voters who have joined.
        voters: u64,
    },
    /// The part of the ranking that is shown.
    Reveal(&'a RevealView),
    /// The voter's own place.
    Standing(StandingView),
    /// The next groups, for the emcee.
    Preview {
        /// At most three groups, in the order in which they come.
        next: Vec<GroupView>,
    },
    /// The state of the whole system, for the emcee.
    Desk(DeskView),
    /// Answers a ping.
    Pong {
        /// The id of the ping.
        id: serde_json::Value,
        /// The ledger's time.
        now: LedgerMs,
        /// Version of the room.
        seq: u64,
        /// How fast the ledger answers.
        ledger: LedgerState,
    },
    /// The socket is about to close.
    Bye {
        /// The reason.
        reason: ByeReason,
        /// How long to wait before reconnecting, in ms.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
    /// A message was invalid.
    Error {
        /// A stable word for programs.
        code: &'static str,
        /// An explanation for people.
        detail: String,
    },
}

impl ServerMessage<'_> {
    /// Encodes the text of the frame.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("messages have string keys and finite numbers")
    }
}

/// A voter's own part of `state`.
#[derive(Debug, Clone, Serialize)]
pub struct You {
    /// The voter's id.
    pub voter: String,
    /// The voter's name.
    pub name: String,
    /// The voter's card.
    pub card: String,
    /// The ballot in the round that is open or was open last.
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
    /// Why something was not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refused: Option<Refusal>,
}

impl BallotView {
    /// A ballot, with the slips that are left of `votes_per_round`.
    pub fn new(round: u16, take: u16, votes: String, votes_per_round: u16, refused: Option<Refusal>) -> Self {
        let left = votes_per_round.saturating_sub(votes.len() as u16);
        Self { round, take, votes, left, refused }
    }

    /// The same ballot without a refusal.
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
    /// The counts.
    #[serde(flatten)]
    pub tally: TallyView,
}

/// See [`ServerMessage::Desk`]. All numbers are sums over all pods.
#[derive(Debug, Clone, Serialize)]
pub struct DeskView {
    /// Sockets of voters.
    pub connected: u64,
    /// Voters who have joined.
    pub voters: u64,
    /// Votes stored in the last second.
    pub votes_per_s: u64,
    /// Stored slips that were acknowledged to a pod.
    pub acknowledged: u64,
    /// Slips that are stored.
    pub stored: u64,
    /// Slips in the tally that was sent to the sockets last, on the pod where they are fewest.
    pub shown: u64,
    /// Age of the oldest vote that some sockets were not sent yet, in ms.
    pub oldest_unshown_ms: u64,
    /// All stage pages.
    pub stages: Vec<StageView>,
    /// All emcee pages.
    pub desks: Vec<DeviceView>,
    /// All pods.
    pub pods: Vec<PodView>,
    /// The state of the ledger.
    pub ledger: LedgerView,
    /// Rooms of the installation that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableView>,
}

/// A room that cannot be read. Its data is kept; the log has the details.
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
    /// The screen that the page reports.
    pub screen: String,
    /// The `seq` of the state that it shows.
    pub seq: u64,
    /// Time since its last message, in ms.
    pub seen_ms: u64,
}

/// An emcee page.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceView {
    /// The emcee's name for the device.
    pub device: String,
    /// Time since its last message, in ms.
    pub seen_ms: u64,
}

/// A pod.
#[derive(Debug, Clone, Serialize)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// True if the pod accepts voters.
    pub ready: bool,
    /// Its sockets.
    pub sessions: u64,
}

/// The state of the ledger.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerView {
    /// How fast it answers.
    pub state: LedgerState,
    /// 99th percentile of commit times within the last 10 s, in ms, on the slowest pod; 0 if there were no commits.
    pub commit_p99_ms: f64,
    /// True if an acknowledged vote survives a power cut, which is checked.
    pub durable: bool,
}

/// How fast the ledger answers.
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

/// Why the server closes a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// The pod stops: reconnect.
    Draining,
    /// The voter has opened too many sockets.
    Replaced,
    /// The voter was removed.
    Removed,
    /// The room was deleted.
    RoomDeleted,
    /// The emcee signed out.
    SignedOut,
}
