//! The feed: what pods tell each other. Any message may be lost, repeated or reordered; none is the truth.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::gate::Gate;
use crate::domain::ids::{RoomId, VoterId};

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedEvent {
    /// The newest counts of one gate.
    Gate {
        /// Its room.
        room: RoomId,
        /// Its partition.
        partition: u16,
        /// All of it, absolute.
        gate: Box<Gate>,
    },
    /// A room record was stored; read it.
    RoomChanged {
        /// Which.
        room: RoomId,
        /// Its version.
        seq: u64,
    },
    /// A voter was removed: end the sockets.
    VoterRemoved {
        /// Where.
        room: RoomId,
        /// Who.
        voter: VoterId,
    },
    /// An emcee signed out: end the sockets of that sign-in.
    SignedOut {
        /// Which sign-in.
        sign_in: String,
    },
    /// A pod lives.
    Beacon(Beacon),
    /// Messages may have been lost: take snapshots. Made by the feed itself, at each (re)connection.
    Resumed,
    /// The feed's connection is gone; it comes back by itself.
    Lost,
}

/// What a pod says of itself each second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Beacon {
    /// The pod's name, unique in the installation and for each start.
    pub pod: String,
    /// Takes voters.
    pub ready: bool,
    /// All sockets.
    pub sessions: u64,
    /// 99th percentile of its commits within the last 10 s, in ms; 0: there was none. Missing from older pods.
    #[serde(default)]
    pub commit_p99_ms: f64,
    /// Rooms that have sockets there. Of others it has nothing to say: what nobody waits for is not unshown.
    pub rooms: Vec<RoomBeacon>,
}

/// What a pod says of one room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomBeacon {
    /// Which.
    pub room: RoomId,
    /// Sockets of voters.
    pub connected: u64,
    /// Slips in the newest tally that went to all its sockets, counted like [`Gate::stored`].
    pub shown: u64,
    /// Age of the oldest vote that they were not shown, in ms. Missing from older pods.
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
    /// What it says it shows.
    pub screen: String,
    /// The `seq` that it shows.
    pub seq: u64,
    /// Since its last word, in ms.
    pub seen_ms: u64,
}

/// An emcee page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeskSeen {
    /// What the emcee called it at sign-in.
    pub device: String,
    /// Since its last word, in ms.
    pub seen_ms: u64,
}

/// A pod's end of the feed. It reconnects by itself, for ever.
#[async_trait]
pub trait Feed: Send {
    /// Follow the gates of these rooms from now on, and no others. Room changes, removals, sign-outs and beacons of
    /// all rooms come anyway.
    async fn follow(&mut self, rooms: Vec<RoomId>);

    /// The next message. Cancel-safe.
    async fn next(&mut self) -> FeedEvent;

    /// Drop the connection and make another: what was sent came not back.
    async fn reconnect(&mut self);
}
