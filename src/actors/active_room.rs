//! A room that is active in this process: its board, its coordinator, and the sockets that are connected to it here.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::coordinator::handle::CoordinatorHandle;
use super::hello_batcher::HelloBatcher;
use super::messages::SessionMessage;
use super::pod::Pod;
use super::session_handle::SessionHandle;
use crate::board::Board;
use crate::domain::ballot::Ballot;
use crate::domain::ids::VoterId;
use crate::ledger::{DeskSeen, LedgerError, ResumeRequest, RoomBeacon, StageSeen, Voter};
use crate::wire::server::{BallotView, ByeReason};

/// Sockets that one voter may have on one process. A further one replaces the oldest.
const MAX_VOTER_SOCKETS: usize = 4;

/// A room that some socket of this process uses, or that has something due.
pub struct ActiveRoom {
    /// What its sockets are sent.
    pub board: Board,
    /// Commits its casts and executes its commands.
    pub coordinator: CoordinatorHandle,
    hellos: Arc<HelloBatcher>,
    here: Mutex<Connected>,
    /// True if some voter has more than one socket here.
    has_doubles: AtomicBool,
}

/// The sockets of this process, by what they are.
#[derive(Default)]
struct Connected {
    voters: HashMap<VoterId, Vec<(u64, SessionHandle)>>,
    voter_sockets: u64,
    stages: HashMap<u64, StageSocket>,
    desks: HashMap<u64, DeskSocket>,
    /// Voters who came or left since [`ActiveRoom::presence_changes`] was last called.
    changed: HashSet<VoterId>,
}

/// The socket of a stage page.
#[derive(Debug, Clone)]
pub struct StageSocket {
    /// The screen that it says it shows.
    pub screen: String,
    /// The `seq` of the state that it shows.
    pub seq: u64,
    /// When it last said so.
    pub seen: Instant,
}

/// The socket of an emcee page.
#[derive(Clone)]
pub struct DeskSocket {
    /// Id of its sign-in; `None`: it came with the emcee key itself.
    pub sign_in: Option<String>,
    /// The device's name, as the emcee gave it.
    pub device: String,
    /// When it last sent a message.
    pub seen: Instant,
    /// Reaches its session.
    pub session: SessionHandle,
}

impl ActiveRoom {
    /// A room without sockets.
    pub fn new(board: Board, coordinator: CoordinatorHandle) -> Self {
        let (hellos, here) = (Arc::default(), Mutex::default());
        Self { board, coordinator, hellos, here, has_doubles: AtomicBool::new(false) }
    }

    fn here(&self) -> std::sync::MutexGuard<'_, Connected> {
        self.here.lock().expect("the lock is never poisoned")
    }

    /// A voter's socket has connected. Their oldest one is closed if there are more than [`MAX_VOTER_SOCKETS`].
    pub fn voter_came(&self, voter: &VoterId, socket: u64, session: SessionHandle) {
        let mut here = self.here();
        here.voter_sockets += 1;
        here.changed.insert(voter.clone());
        let sockets = here.voters.entry(voter.clone()).or_default();
        sockets.push((socket, session));
        if sockets.len() > MAX_VOTER_SOCKETS {
            let (_, oldest) = sockets.remove(0);
            here.voter_sockets -= 1;
            oldest.send(SessionMessage::Leave { reason: ByeReason::Replaced, retry_ms: None });
        }
        self.note_doubles(&here);
    }

    fn note_doubles(&self, here: &Connected) {
        self.has_doubles.store(here.voter_sockets > here.voters.len() as u64, Ordering::Release);
    }

    /// A voter's socket has gone. It may have been replaced before.
    pub fn voter_left(&self, voter: &VoterId, socket: u64) {
        let mut here = self.here();
        let Some(sockets) = here.voters.get_mut(voter) else { return };
        let before = sockets.len();
        sockets.retain(|(id, _)| *id != socket);
        let gone = before - sockets.len();
        if sockets.is_empty() {
            here.voters.remove(voter);
        }
        here.voter_sockets -= gone as u64;
        here.changed.insert(voter.clone());
        self.note_doubles(&here);
    }

    /// A stage has said what it shows.
    pub fn stage_seen(&self, socket: u64, stage: StageSocket) {
        self.here().stages.insert(socket, stage);
    }

    /// An emcee page has connected or sent a message.
    pub fn desk_seen(&self, socket: u64, desk: DeskSocket) {
        self.here().desks.insert(socket, desk);
    }

    /// The socket of a stage or an emcee page has gone.
    pub fn left(&self, socket: u64) {
        let mut here = self.here();
        here.stages.remove(&socket);
        here.desks.remove(&socket);
    }

    /// Tells the voter's sockets, but not `except`, that the ballot grew.
    pub fn tell_others(&self, voter: &VoterId, except: Option<u64>, ballot: &BallotView) {
        // nearly no voter has a second socket: skip the lookup
        if except.is_some() && !self.has_doubles.load(Ordering::Acquire) {
            return;
        }
        let here = self.here();
        let Some(sockets) = here.voters.get(voter) else { return };
        for (_, session) in sockets.iter().filter(|(id, _)| Some(*id) != except) {
            session.send(SessionMessage::Mine(ballot.stored()));
        }
    }

    /// Closes the sockets of a removed voter.
    pub fn close_sessions_of_voter(&self, voter: &VoterId) {
        for (_, session) in self.here().voters.get(voter).into_iter().flatten() {
            session.send(SessionMessage::Leave { reason: ByeReason::Removed, retry_ms: None });
        }
    }

    /// Closes the emcee pages of a sign-in that was ended.
    pub fn close_sessions_of_sign_in(&self, sign_in: &str) {
        for desk in self.here().desks.values().filter(|desk| desk.sign_in.as_deref() == Some(sign_in)) {
            desk.session.send(SessionMessage::Leave { reason: ByeReason::SignedOut, retry_ms: None });
        }
    }

    /// Voters who came and voters who left since this was last called.
    pub fn presence_changes(&self) -> (Vec<VoterId>, Vec<VoterId>) {
        let mut here = self.here();
        let changed = std::mem::take(&mut here.changed);
        changed.into_iter().partition(|voter| here.voters.contains_key(voter))
    }

    /// Marks all voters here as changed, so that their presence is stored again.
    pub fn mark_all_changed(&self) {
        let mut here = self.here();
        let all: Vec<_> = here.voters.keys().cloned().collect();
        here.changed.extend(all);
    }

    /// True if an emcee page is connected.
    pub fn has_desks(&self) -> bool {
        !self.here().desks.is_empty()
    }

    /// True without sockets.
    pub fn is_empty(&self) -> bool {
        let here = self.here();
        here.voters.is_empty() && here.stages.is_empty() && here.desks.is_empty()
    }

    /// The room's part of this process's beacon; `None` without sockets.
    pub fn beacon(&self) -> Option<RoomBeacon> {
        let shown = self.board.shown()?;
        let here = self.here();
        let seen_ms = |seen: Instant| seen.elapsed().as_millis() as u64;
        Some(RoomBeacon {
            room: self.board.id.clone(),
            connected: here.voter_sockets,
            shown,
            oldest_unshown_ms: self.board.oldest_unshown().as_millis() as u64,
            stages: here
                .stages
                .values()
                .map(|stage| StageSeen { screen: stage.screen.clone(), seq: stage.seq, seen_ms: seen_ms(stage.seen) })
                .collect(),
            desks: here
                .desks
                .values()
                .map(|desk| DeskSeen { device: desk.device.clone(), seen_ms: seen_ms(desk.seen) })
                .collect(),
        })
    }

    /// Reads a voter and their ballot at hello, see [`HelloBatcher::greet`].
    ///
    /// # Errors
    /// The ledger's.
    pub async fn greet(&self, pod: &Pod, greeting: ResumeRequest) -> Result<(Voter, Ballot), LedgerError> {
        self.hellos.greet(&pod.ledger, self.board.room(), greeting).await
    }
}
