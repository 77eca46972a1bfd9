//! The feed: messages between pods. Any of them may be lost, repeated or reordered, so none is relied upon: each second
//! every pod compares its boards with the ledger.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::gate::Gate;
use crate::domain::ids::{RoomId, VoterId};

/// One message of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedEvent {
    /// The newest counts of one gate.
    Gate {
        /// The gate's room.
        room: RoomId,
        /// The gate's partition.
        partition: u16,
        /// The whole gate, with absolute counts.
        gate: Box<Gate>,
    },
    /// A room record was stored: read it.
    RoomChanged {
        /// The room's id.
        room: RoomId,
        /// Version of the record.
        seq: u64,
    },
    /// A voter was removed: close the voter's sockets.
    VoterRemoved {
        /// The room's id.
        room: RoomId,
        /// The voter's id.
        voter: VoterId,
    },
    /// An emcee signed out: close the sockets of that sign-in.
    SignedOut {
        /// Id of the sign-in.
        sign_in: String,
    },
    /// A pod is alive.
    Beacon(Beacon),
    /// Messages may have been lost: read snapshots. Made by the feed itself, at each (re)connection.
    Resumed,
    /// The connection is lost; the feed reconnects by itself.
    Lost,
}

/// What a pod reports about itself each second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Beacon {
    /// The pod's name, unique in the installation and for each start.
    pub pod: String,
    /// True if the pod accepts voters.
    pub ready: bool,
    /// All its sockets.
    pub sessions: u64,
    /// 99th percentile of its commit times within the last 10 s, in ms; 0 if there was none. Older pods leave it out.
    #[serde(default)]
    pub commit_p99_ms: f64,
    /// Rooms that have sockets on this pod. A room without sockets has nothing to show, so nothing unshown either.
    pub rooms: Vec<RoomBeacon>,
}

/// What a pod reports about one room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomBeacon {
    /// The room's id.
    pub room: RoomId,
    /// Sockets of voters.
    pub connected: u64,
    /// Slips in the newest tally that went to all its sockets, counted like [`Gate::stored`].
    pub shown: u64,
    /// Age of the oldest vote that those sockets were not sent yet, in ms. Older pods leave it out.
    #[serde(default)]
    pub oldest_unshown_ms: u64,
    /// Its stage pages.
    pub stages: Vec<StageSeen>,
    /// Its emcee pages.
    pub desks: Vec<DeskSeen>,
}

/// A stage page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSeen {
    /// The screen that the page reports.
    pub screen: String,
    /// The `seq` of the state that it shows.
    pub seq: u64,
    /// Time since its last message, in ms.
    pub seen_ms: u64,
}

/// An emcee page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeskSeen {
    /// What the emcee called it at sign-in.
    pub device: String,
    /// Time since its last message, in ms.
    pub seen_ms: u64,
}

/// A pod's subscription to the feed. It reconnects by itself, without limit.
#[async_trait]
pub trait Feed: Send {
    /// Receives the gates of these rooms from now on, and of no others. Room changes, removals, sign-outs and beacons
    /// are received for all rooms.
    async fn follow(&mut self, rooms: Vec<RoomId>);

    /// The next message. Cancel-safe.
    async fn next(&mut self) -> FeedEvent;

    /// Drops the connection and makes another: a message of this pod did not come back.
    async fn reconnect(&mut self);
}
