//! A room that is active in this process: its board, its coordinator, and who is here.

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
use crate::ledger::{DeskSeen, Greeting, LedgerError, RoomBeacon, StageSeen, Voter};
use crate::wire::server::{BallotView, ByeReason};

/// Sockets that a voter may hold on one pod.
const MAX_VOTER_SOCKETS: usize = 4;

/// A room that somebody on this pod uses, or that this pod watches because a round is open.
pub struct ActiveRoom {
    /// What its sockets are shown.
    pub board: Board,
    /// Takes its casts and carries out its commands.
    pub coordinator: CoordinatorHandle,
    /// Receives its voters.
    batcher: Arc<HelloBatcher>,
    here: Mutex<Here>,
    /// Some voter has more than one socket here.
    has_doubles: AtomicBool,
}

/// Who is here, on this pod.
#[derive(Default)]
struct Here {
    voters: HashMap<VoterId, Vec<(u64, SessionHandle)>>,
    voter_sockets: u64,
    stages: HashMap<u64, StageSocket>,
    desks: HashMap<u64, DeskSocket>,
    /// Voters whose presence changed since it was last asked for.
    changed: HashSet<VoterId>,
}

/// A stage page's socket.
#[derive(Debug, Clone)]
pub struct StageSocket {
    /// What it says it shows.
    pub screen: String,
    /// The `seq` that it shows.
    pub seq: u64,
    /// Its last word.
    pub seen: Instant,
}

/// An emcee page's socket.
#[derive(Clone)]
pub struct DeskSocket {
    /// The sign-in it came with; `None`: the key itself.
    pub sign_in: Option<String>,
    /// What the emcee called the device.
    pub device: String,
    /// Its last word.
    pub seen: Instant,
    /// Its session.
    pub session: SessionHandle,
}

impl ActiveRoom {
    /// A room in which nobody is yet.
    pub fn new(board: Board, coordinator: CoordinatorHandle) -> Self {
        let (batcher, here) = (Arc::default(), Mutex::default());
        Self { board, coordinator, batcher, here, has_doubles: AtomicBool::new(false) }
    }

    fn here(&self) -> std::sync::MutexGuard<'_, Here> {
        self.here.lock().expect("the lock is never poisoned")
    }

    /// A voter's socket comes. The oldest goes if there are too many.
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

    fn note_doubles(&self, here: &Here) {
        self.has_doubles.store(here.voter_sockets > here.voters.len() as u64, Ordering::Release);
    }

    /// A voter's socket is gone; it may have been replaced before.
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

    /// A stage says what it shows.
    pub fn stage_seen(&self, socket: u64, stage: StageSocket) {
        self.here().stages.insert(socket, stage);
    }

    /// An emcee page comes, or says a word.
    pub fn desk_seen(&self, socket: u64, desk: DeskSocket) {
        self.here().desks.insert(socket, desk);
    }

    /// A stage or an emcee page is gone.
    pub fn left(&self, socket: u64) {
        let mut here = self.here();
        here.stages.remove(&socket);
        here.desks.remove(&socket);
    }

    /// Tells the voter's other sockets that the ballot grew.
    pub fn tell_others(&self, voter: &VoterId, except: Option<u64>, ballot: &BallotView) {
        // nearly nobody has: do not look each of them up
        if except.is_some() && !self.has_doubles.load(Ordering::Acquire) {
            return;
        }
        let here = self.here();
        let Some(sockets) = here.voters.get(voter) else { return };
        for (_, session) in sockets.iter().filter(|(id, _)| Some(*id) != except) {
            session.send(SessionMessage::Mine(ballot.stored()));
        }
    }

    /// Ends the sockets of a removed voter.
    pub fn close_sessions_of_voter(&self, voter: &VoterId) {
        for (_, session) in self.here().voters.get(voter).into_iter().flatten() {
            session.send(SessionMessage::Leave { reason: ByeReason::Removed, retry_ms: None });
        }
    }

    /// Ends the sockets of a sign-in.
    pub fn close_sessions_of_sign_in(&self, sign_in: &str) {
        for desk in self.here().desks.values().filter(|desk| desk.sign_in.as_deref() == Some(sign_in)) {
            desk.session.send(SessionMessage::Leave { reason: ByeReason::SignedOut, retry_ms: None });
        }
    }

    /// Voters who came and left since this was last asked.
    pub fn presence_changes(&self) -> (Vec<VoterId>, Vec<VoterId>) {
        let mut here = self.here();
        let changed = std::mem::take(&mut here.changed);
        changed.into_iter().partition(|voter| here.voters.contains_key(voter))
    }

    /// All voters here, to be noted anew.
    pub fn note_all(&self) {
        let mut here = self.here();
        let all: Vec<_> = here.voters.keys().cloned().collect();
        here.changed.extend(all);
    }

    /// True if an emcee page is here.
    pub fn has_desks(&self) -> bool {
        !self.here().desks.is_empty()
    }

    /// True if nobody is here.
    pub fn is_empty(&self) -> bool {
        let here = self.here();
        here.voters.is_empty() && here.stages.is_empty() && here.desks.is_empty()
    }

    /// What this pod says of the room; nothing if it has no sockets here.
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

    /// Greets one voter; see [`HelloBatcher::greet`].
    ///
    /// # Errors
    /// The ledger's.
    pub async fn greet(&self, pod: &Pod, greeting: Greeting) -> Result<(Voter, Ballot), LedgerError> {
        self.batcher.greet(&pod.ledger, self.board.room(), greeting).await
    }
}
