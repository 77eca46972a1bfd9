//! The ledger in Redis 7, shared by many pods: one server, or one that sentinels replace. Keys and scripts are made so
//! that they will run on a cluster.
//!
//! | file | holds |
//! | --- | --- |
//! | `route` | where the primary is |
//! | `link` | the way there: pool, own connections, the time a call may take, what replicas confirm |
//! | `fault` | what a failure means: not applied, maybe applied, corrupt |
//! | `keys` | every key and channel name |
//! | `scripts` | one Lua script per change |
//! | `rooms` | room records and their directory |
//! | `gate`, `gates`, `lane` | a gate as it is stored, all of them, and the commits to one |
//! | `people`, `roster` | joins, names, invites, removals; the emcee's list |
//! | `ranking` | frozen rankings |
//! | `jobs` | what is to be done because of a change |
//! | `imports` | rooms from elsewhere |
//! | `moving` | rooms that go for good |
//! | `pods`, `feed`, `listener` | what pods tell each other |
//! | `health`, `slow_log` | whether Redis is there, takes writes, and keeps them; which commands it found slow |
//!
//! A change is one script that checks everything first and writes last, for Redis rolls nothing back. Where a change
//! spans several units it is a row of scripts, each of which may be said again.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Backlog, Claimed, Creation, Feed, FeedEvent, GateSnapshot, Greeting, Health, ImportClaim, Invited, JoinOutcome,
    JoinRequest, Ledger, LedgerError, Listing, Part, PartitionWriter, RankEntry, Renaming, Replacement, SlowLog,
    TakenJob, Voter, VotersPage, VotersQuery,
};
use crate::domain::ballot::Ballot;
use crate::domain::gate::{DesiredGate, Gate};
use crate::domain::ids::{Invite, RoomCode, RoomId, VoterId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::domain::text::Name;
use crate::domain::{Invalid, LedgerMs};

mod fault;
mod feed;
mod gate_codec;
mod gates;
mod health;
mod imports;
mod jobs;
mod keys;
mod link;
mod listener;
mod options;
mod outbox;
mod partition_writer;
mod people;
mod pods;
mod purge;
mod ranking;
mod rooms;
mod roster;
mod route;
mod scripts;
mod slow_log;

pub use options::RedisOptions;

/// See the [module](self). Connects when it is first asked something, and again after every failure.
pub struct RedisLedger {
    link: link::Link,
    tick_ms: u64,
    all_rooms: jobs::AllRooms,
}

impl RedisLedger {
    /// A ledger that connects to nothing yet.
    ///
    /// # Errors
    /// The URL is malformed. The text does not repeat it, for it may hold a password.
    pub fn new(options: RedisOptions) -> Result<Self, Invalid> {
        let all_rooms = jobs::AllRooms::new(options.all_jobs_every);
        Ok(Self { link: link::Link::new(&options)?, tick_ms: options.tick_ms, all_rooms })
    }
}

#[async_trait]
impl Ledger for RedisLedger {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn check(&self) -> Result<Health, LedgerError> {
        health::check(&self.link).await
    }

    async fn slow_log(&self) -> Result<SlowLog, LedgerError> {
        slow_log::read(&self.link).await
    }

    async fn create_room(&self, room: &Room) -> Result<Creation, LedgerError> {
        match rooms::create(&self.link, room).await? {
            Creation::RefTaken(owner) if owner.deleted_at.is_some() => {
                rooms::free_reference(&self.link, &owner).await?;
                rooms::create(&self.link, room).await
            }
            creation => Ok(creation),
        }
    }

    async fn rooms(&self) -> Result<Listing, LedgerError> {
        rooms::all(&self.link).await
    }

    async fn find_room(&self, code: &RoomCode) -> Result<Option<Room>, LedgerError> {
        rooms::find(&self.link, code).await
    }

    async fn room(&self, id: &RoomId) -> Result<Option<Room>, LedgerError> {
        rooms::get(&self.link, id).await
    }

    async fn replace_room(&self, room: &Room, jobs: &[Job]) -> Result<Replacement, LedgerError> {
        rooms::replace(&self.link, room, jobs).await
    }

    async fn purge_room(&self, room: &Room) -> Result<(), LedgerError> {
        purge::purge(&self.link, room).await
    }

    async fn begin_import(&self, room: &Room, lease: Duration) -> Result<Claimed, LedgerError> {
        match imports::begin(&self.link, room, lease).await? {
            Claimed::RefTaken(owner) if owner.deleted_at.is_some() => {
                rooms::free_reference(&self.link, &owner).await?;
                imports::begin(&self.link, room, lease).await
            }
            claimed => Ok(claimed),
        }
    }

    async fn write_parts(&self, claim: &ImportClaim, parts: &[Part]) -> Result<(), LedgerError> {
        imports::write(&self.link, claim, parts).await
    }

    async fn finish_import(&self, claim: &ImportClaim, room: &Room) -> Result<Room, LedgerError> {
        imports::finish(&self.link, claim, room).await
    }

    async fn drop_import(&self, claim: &ImportClaim) -> Result<(), LedgerError> {
        imports::abandon(&self.link, claim).await
    }

    async fn sweep_imports(&self) -> Result<usize, LedgerError> {
        imports::sweep(&self.link).await
    }

    async fn set_gates(
        &self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), LedgerError> {
        gates::set_all(&self.link, room, partitions, desired).await
    }

    async fn snapshot(&self, room: &RoomId, partitions: u16) -> Result<Option<GateSnapshot>, LedgerError> {
        gates::snapshot(&self.link, room, partitions).await
    }

    fn partition_writer(&self, room: &RoomId, partition: u16, pod: &str) -> Box<dyn PartitionWriter> {
        Box::new(partition_writer::RedisPartitionWriter::new(self.link.clone(), room, partition, pod, self.tick_ms))
    }

    async fn ballots_of(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        takes: &[(u16, u16)],
    ) -> Result<Vec<Ballot>, LedgerError> {
        gates::ballots_of(&self.link, room, partitions, voter, takes).await
    }

    async fn ballots(
        &self,
        room: &RoomId,
        partition: u16,
        take: (u16, u16),
        cursor: Option<String>,
    ) -> Result<(Vec<(VoterId, Ballot)>, Option<String>), LedgerError> {
        gates::ballots(&self.link, room, partition, take, cursor).await
    }

    async fn join(&self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, LedgerError> {
        people::join(&self.link, room, request).await
    }

    async fn greet(
        &self,
        room: &RoomId,
        partitions: u16,
        greetings: &[Greeting],
    ) -> Result<Vec<(Voter, Ballot)>, LedgerError> {
        people::greet(&self.link, room, partitions, greetings).await
    }

    async fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, LedgerError> {
        people::get(&self.link, room, voter).await
    }

    async fn voters(&self, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, LedgerError> {
        roster::page(&self.link, room, query).await
    }

    async fn rename(&self, room: &RoomId, renaming: &Renaming) -> Result<JoinOutcome, LedgerError> {
        people::rename(&self.link, room, renaming).await
    }

    async fn set_removed(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        removed: bool,
    ) -> Result<Option<Voter>, LedgerError> {
        people::set_removed(&self.link, room, partitions, voter, removed).await
    }

    async fn invite(&self, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, LedgerError> {
        people::invite(&self.link, room, people).await
    }

    async fn invites(&self, room: &RoomId) -> Result<Vec<Invited>, LedgerError> {
        people::invites(&self.link, room).await
    }

    async fn enqueue(&self, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError> {
        jobs::enqueue(&self.link, room, jobs).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, LedgerError> {
        jobs::backlog(&self.link, &self.all_rooms).await
    }

    async fn take_job(&self, room: &RoomId, worker: &str, lease: Duration) -> Result<Option<TakenJob>, LedgerError> {
        jobs::take(&self.link, room, worker, lease).await
    }

    async fn finish_job(&self, room: &RoomId, job: &TakenJob) -> Result<(), LedgerError> {
        jobs::finish(&self.link, room, job).await
    }

    async fn store_ranking(
        &self,
        room: &RoomId,
        ranking: u64,
        slice: u32,
        entries: &[RankEntry],
    ) -> Result<(), LedgerError> {
        ranking::store(&self.link, room, ranking, slice, entries).await
    }

    async fn ranking(&self, room: &RoomId, ranking: u64, slice: u32) -> Result<Vec<RankEntry>, LedgerError> {
        ranking::get(&self.link, room, ranking, slice).await
    }

    async fn drop_rankings(&self, room: &RoomId, rankings: Range<u64>) -> Result<(), LedgerError> {
        ranking::discard(&self.link, room, rankings).await
    }

    fn feed(&self) -> Box<dyn Feed> {
        Box::new(feed::RedisFeed::new(self.link.clone()))
    }

    async fn announce(&self, event: &FeedEvent) -> Result<(), LedgerError> {
        pods::announce(&self.link, event).await
    }

    async fn note_present(
        &self,
        room: &RoomId,
        pod: &str,
        came: &[VoterId],
        left: &[VoterId],
    ) -> Result<(), LedgerError> {
        pods::note_present(&self.link, room, pod, came, left).await
    }

    async fn present(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Result<Vec<bool>, LedgerError> {
        pods::present(&self.link, room, pods, voters).await
    }

    async fn sign_out(&self, sign_in: &str, until: LedgerMs) -> Result<(), LedgerError> {
        pods::sign_out(&self.link, sign_in, until).await
    }

    async fn is_signed_out(&self, sign_in: &str) -> Result<bool, LedgerError> {
        pods::is_signed_out(&self.link, sign_in).await
    }
}
