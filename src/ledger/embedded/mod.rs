//! The embedded ledger: one file, one process, no server beside it.
//!
//! ```text
//!  callers ──change──▶ queue ──▶ Writer (one thread) ──one transaction, one commit──▶ file
//!     ▲                              │ answers, after the commit                        │
//!     ├──────────────────────────────┘ events ──▶ feeds                                 │
//!     └──read (blocking pool, at most a few at once)◀──whole states only────────────────┘
//! ```
//!
//! | module | is |
//! | --- | --- |
//! | [`file`], [`look`] | opening the file, and refusing what is not ours without touching it |
//! | [`tables`] | keys and values |
//! | [`clock`] | the ledger's time |
//! | [`store`] | what callers, readers and the writer share |
//! | [`work`], [`writer`] | what is asked of the one thread that writes; group commit, and what is done when the disk fails |
//! | [`rooms`], [`votes`], [`people`], [`ranking`], [`jobs`], [`imports`] under [`claims`], [`moving`], [`pods`] | the changes and reads themselves |

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Backlog, Claimed, Creation, Feed, FeedEvent, GateSnapshot, Greeting, Health, ImportClaim, Invited, JoinOutcome,
    JoinRequest, Ledger, LedgerError, Listing, Part, PartitionWriter, RankEntry, Renaming, Replacement, SlowLog,
    TakenJob, Voter, VotersPage, VotersQuery,
};
use crate::domain::LedgerMs;
use crate::domain::ballot::Ballot;
use crate::domain::gate::{DesiredGate, Gate};
use crate::domain::ids::{Invite, RoomCode, RoomId, VoterId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::domain::text::Name;

mod claims;
mod clock;
mod file;
mod imports;
mod jobs;
mod people;
mod pods;
mod purge;
mod ranking;
mod read_only_overlay;
mod rooms;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod votes;
mod work;
mod writer;

use clock::Clocks;
pub use file::OpenError;
use file::Opened;
use pods::{EmbeddedFeed, Presence};
use store::Store;
use votes::{Address, EmbeddedPartitionWriter};
use writer::{Reopen, Writer};

/// How much work a purge is, in casts: it is a transaction of its own.
const PURGE_WEIGHT: usize = 4_000;

/// See the [module](self). Dropping it finishes what is queued and closes the file.
pub struct EmbeddedLedger {
    store: Arc<Store>,
    presence: Presence,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedLedger {
    /// Opens the ledger file at `path`, or makes it, and publishes each gate at most once in `tick_ms`.
    ///
    /// # Errors
    /// The file is in use, is not a ledger, is broken, or cannot be made or opened. Nothing was changed then.
    pub fn open(path: impl AsRef<Path>, tick_ms: u64) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let opened = file::open_or_create(&path)?;
        Ok(Self::start(opened, Box::new(move || file::open(&path)), clock::clocks(), tick_ms))
    }

    fn start(opened: Opened, reopen: Reopen, clocks: Clocks, tick_ms: u64) -> Self {
        let (store, orders) = Store::new(opened, clocks);
        let writer = Writer::new(Arc::clone(&store), orders, reopen, Duration::from_millis(tick_ms));
        let thread = std::thread::Builder::new().name("ledger writer".into());
        let writer = thread.spawn(move || writer.run()).expect("the system has one more thread");
        Self { store, presence: Presence::default(), writer: Some(writer) }
    }
}

impl Drop for EmbeddedLedger {
    fn drop(&mut self) {
        self.store.close();
        if let Some(writer) = self.writer.take() {
            // it does not end in a panic: that ends the process
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Ledger for EmbeddedLedger {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    async fn check(&self) -> Result<Health, LedgerError> {
        // a commit of nothing but the time: it asks the disk, and waits for whoever is before it
        let now = self.store.change(1, |work| Ok(work.now)).await?;
        Ok(Health { now, unsafe_because: None, slow_log: None })
    }

    async fn slow_log(&self) -> Result<SlowLog, LedgerError> {
        Ok(SlowLog::unreadable(
            "the embedded ledger keeps no slow log; tallycast_commit_seconds tells how long commits take",
        ))
    }

    async fn create_room(&self, room: &Room) -> Result<Creation, LedgerError> {
        let room = room.clone();
        self.store.change(1, move |work| work.create_room(&room)).await
    }

    async fn rooms(&self) -> Result<Listing, LedgerError> {
        self.store.read(rooms::rooms).await
    }

    async fn find_room(&self, code: &RoomCode) -> Result<Option<Room>, LedgerError> {
        let code = code.clone();
        self.store.read(move |transaction| rooms::find_room(transaction, &code)).await
    }

    async fn room(&self, id: &RoomId) -> Result<Option<Room>, LedgerError> {
        let id = id.clone();
        self.store.read(move |transaction| rooms::room(transaction, &id)).await
    }

    async fn replace_room(&self, room: &Room, jobs: &[Job]) -> Result<Replacement, LedgerError> {
        let (room, jobs) = (room.clone(), jobs.to_vec());
        self.store.change(1, move |work| work.replace_room(&room, &jobs)).await
    }

    async fn purge_room(&self, room: &Room) -> Result<(), LedgerError> {
        let room = room.clone();
        self.store.change(PURGE_WEIGHT, move |work| work.purge_room(&room)).await
    }

    async fn begin_import(&self, room: &Room, lease: Duration) -> Result<Claimed, LedgerError> {
        let room = room.clone();
        self.store.change(1, move |work| work.begin_import(&room, lease)).await
    }

    async fn write_parts(&self, claim: &ImportClaim, parts: &[Part]) -> Result<(), LedgerError> {
        let (claim, parts) = (claim.clone(), parts.to_vec());
        self.store.change(parts.len(), move |work| work.write_parts(&claim, &parts)).await
    }

    async fn finish_import(&self, claim: &ImportClaim, room: &Room) -> Result<Room, LedgerError> {
        let (claim, room) = (claim.clone(), room.clone());
        self.store.change(1, move |work| work.finish_import(&claim, &room)).await
    }

    async fn drop_import(&self, claim: &ImportClaim) -> Result<(), LedgerError> {
        let claim = claim.clone();
        self.store.change(PURGE_WEIGHT, move |work| work.drop_import(&claim)).await
    }

    async fn sweep_imports(&self) -> Result<usize, LedgerError> {
        if !self.store.read(claims::are_any).await? {
            return Ok(0);
        }
        self.store.change(PURGE_WEIGHT, |work| work.sweep_imports()).await
    }

    async fn set_gates(
        &self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), LedgerError> {
        let (room, desired) = (room.clone(), desired.clone());
        self.store.change(usize::from(partitions), move |work| work.set_gates(&room, partitions, &desired)).await
    }

    async fn snapshot(&self, room: &RoomId, partitions: u16) -> Result<Option<GateSnapshot>, LedgerError> {
        let (room, store) = (room.clone(), Arc::clone(&self.store));
        self.store.read(move |transaction| rooms::snapshot(transaction, store.now(), &room, partitions)).await
    }

    fn partition_writer(&self, room: &RoomId, partition: u16, pod: &str) -> Box<dyn PartitionWriter> {
        let address = Address { room: room.clone(), partition, pod: pod.to_owned() };
        Box::new(EmbeddedPartitionWriter::new(Arc::clone(&self.store), address))
    }

    async fn ballots_of(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        takes: &[(u16, u16)],
    ) -> Result<Vec<Ballot>, LedgerError> {
        let (room, voter, takes) = (room.clone(), voter.clone(), takes.to_vec());
        self.store.read(move |transaction| votes::ballots_of(transaction, &room, partitions, &voter, &takes)).await
    }

    async fn ballots(
        &self,
        room: &RoomId,
        partition: u16,
        take: (u16, u16),
        cursor: Option<String>,
    ) -> Result<(Vec<(VoterId, Ballot)>, Option<String>), LedgerError> {
        let room = room.clone();
        self.store.read(move |transaction| votes::ballots(transaction, &room, partition, take, cursor.as_deref())).await
    }

    async fn join(&self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, LedgerError> {
        let (room, request) = (room.clone(), request.clone());
        self.store.change(1, move |work| work.join(&room, &request)).await
    }

    async fn greet(
        &self,
        room: &RoomId,
        partitions: u16,
        greetings: &[Greeting],
    ) -> Result<Vec<(Voter, Ballot)>, LedgerError> {
        let (of, who) = (room.clone(), greetings.to_vec());
        let known = self.store.read(move |transaction| people::greeted(transaction, &of, partitions, &who)).await?;
        let mut greeted = Vec::with_capacity(known.len());
        for (greeting, (voter, ballot)) in greetings.iter().zip(known) {
            let voter = match voter {
                Some(voter) => voter,
                None => {
                    let (of, who) = (room.clone(), greeting.clone());
                    self.store.change(1, move |work| work.restore(&of, &who)).await?
                }
            };
            greeted.push((voter, ballot));
        }
        Ok(greeted)
    }

    async fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, LedgerError> {
        let (room, voter) = (room.clone(), voter.clone());
        self.store.read(move |transaction| people::voter(transaction, &room, &voter)).await
    }

    async fn voters(&self, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, LedgerError> {
        let (room, query) = (room.clone(), query.clone());
        self.store.read(move |transaction| people::voters(transaction, &room, &query)).await
    }

    async fn rename(&self, room: &RoomId, renaming: &Renaming) -> Result<JoinOutcome, LedgerError> {
        let (room, renaming) = (room.clone(), renaming.clone());
        self.store.change(1, move |work| work.rename(&room, &renaming)).await
    }

    async fn set_removed(
        &self,
        room: &RoomId,
        _partitions: u16,
        voter: &VoterId,
        removed: bool,
    ) -> Result<Option<Voter>, LedgerError> {
        let (room, voter) = (room.clone(), voter.clone());
        self.store.change(1, move |work| work.set_removed(&room, &voter, removed)).await
    }

    async fn invite(&self, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, LedgerError> {
        let (room, people) = (room.clone(), people.to_vec());
        self.store.change(people.len(), move |work| work.invite(&room, &people)).await
    }

    async fn invites(&self, room: &RoomId) -> Result<Vec<Invited>, LedgerError> {
        let room = room.clone();
        self.store.read(move |transaction| people::invites(transaction, &room)).await
    }

    async fn enqueue(&self, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError> {
        let (room, jobs) = (room.clone(), jobs.to_vec());
        self.store.change(1, move |work| work.enqueue(&room, &jobs)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, LedgerError> {
        self.store.read(jobs::backlog).await
    }

    async fn take_job(&self, room: &RoomId, _worker: &str, lease: Duration) -> Result<Option<TakenJob>, LedgerError> {
        let room = room.clone();
        self.store.change(1, move |work| work.take_job(&room, lease)).await
    }

    async fn finish_job(&self, room: &RoomId, job: &TakenJob) -> Result<(), LedgerError> {
        let (room, entry) = (room.clone(), job.entry.clone());
        self.store.change(1, move |work| work.finish_job(&room, &entry)).await
    }

    async fn store_ranking(
        &self,
        room: &RoomId,
        ranking: u64,
        slice: u32,
        entries: &[RankEntry],
    ) -> Result<(), LedgerError> {
        let (room, entries) = (room.clone(), entries.to_vec());
        self.store.change(entries.len(), move |work| work.store_ranking(&room, ranking, slice, &entries)).await
    }

    async fn ranking(&self, room: &RoomId, ranking: u64, slice: u32) -> Result<Vec<RankEntry>, LedgerError> {
        let room = room.clone();
        self.store.read(move |transaction| ranking::ranking(transaction, &room, ranking, slice)).await
    }

    async fn drop_rankings(&self, room: &RoomId, rankings: Range<u64>) -> Result<(), LedgerError> {
        let room = room.clone();
        self.store.change(1, move |work| work.drop_rankings(&room, &rankings)).await
    }

    fn feed(&self) -> Box<dyn Feed> {
        Box::new(EmbeddedFeed::new(Arc::clone(&self.store)))
    }

    async fn announce(&self, event: &FeedEvent) -> Result<(), LedgerError> {
        self.store.publish(event.clone());
        Ok(())
    }

    async fn note_present(
        &self,
        room: &RoomId,
        pod: &str,
        came: &[VoterId],
        left: &[VoterId],
    ) -> Result<(), LedgerError> {
        self.presence.note(room, pod, came, left);
        Ok(())
    }

    async fn present(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Result<Vec<bool>, LedgerError> {
        Ok(self.presence.of(room, pods, voters))
    }

    async fn sign_out(&self, sign_in: &str, until: LedgerMs) -> Result<(), LedgerError> {
        let sign_in = sign_in.to_owned();
        self.store.change(1, move |work| work.sign_out(&sign_in, until)).await
    }

    async fn is_signed_out(&self, sign_in: &str) -> Result<bool, LedgerError> {
        let (sign_in, store) = (sign_in.to_owned(), Arc::clone(&self.store));
        self.store.read(move |transaction| pods::is_signed_out(transaction, store.now(), &sign_in)).await
    }
}
