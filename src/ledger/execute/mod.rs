//! Carrying out a command: the room record decides, gates follow.
//!
//! Every step is a compare-and-set on the record, or a desired state that a gate takes only once. So any pod may do any of
//! it at any time, two may do the same at once, and whoever dies in between leaves work that the next one finds and
//! finishes: whoever reads a room does so by [`reconcile_room`] or [`reconcile`], which put the record's desired state on every gate
//! that is behind it.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::{Ledger, LedgerError, RankEntry, Replacement, SLICE, SharedLedger, Voter, VotersQuery};
use crate::audit;
use crate::domain::ballot::Ballot;
use crate::domain::command::{Command, FrozenRanking, Moment, Step};
use crate::domain::gate::{Gate, GateSum, sum};
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::jobs::caused_by;
use crate::domain::ranking::{Group, Scores};
use crate::domain::reveal::MAX_TOP;
use crate::domain::room::{ClosedBy, Room, Round};
use crate::domain::text::Name;
use crate::domain::visibility::darkened;
use crate::domain::{LedgerMs, Refused};

/// How often a command is tried again because somebody else changed the record meanwhile.
const ATTEMPTS: u32 = 32;
/// How long a close tries to reach every gate before it is left to be completed later.
const REACH: Duration = Duration::from_secs(5);
/// Pause between two tries to reach a gate.
const REACH_PAUSE: Duration = Duration::from_millis(200);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// It does not fit.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such room.
    #[error("there is no such room")]
    NoSuchRoom,
    /// The close has begun, votes are refused, and some gate cannot be reached. It is completed by itself.
    #[error("a part of the ledger cannot be reached; votes are refused and the close is completed by itself")]
    Closing,
    /// Others kept changing the record.
    #[error("others keep changing the room; say it again")]
    Contended,
    /// No answer, so the outcome is unknown: say it again.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ExecuteError {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::NoSuchRoom => "no_such_room",
            Self::Closing => "closing",
            Self::Contended => "contended",
            Self::Ledger(_) => "failed",
        }
    }
}

/// A room with its gates, all of them at its desired state.
#[derive(Debug, Clone)]
pub struct RoomSnapshot {
    /// The record.
    pub room: Room,
    /// By partition.
    pub gates: Vec<Gate>,
    /// The ledger's time at the reading.
    pub now: LedgerMs,
    /// Voters joined.
    pub voters: u64,
}

impl RoomSnapshot {
    /// What the gates say together.
    pub fn sum(&self) -> GateSum {
        sum(&self.gates)
    }

    fn moment<'a>(&self, ranking: Option<&'a FrozenRanking>) -> Moment<'a> {
        let closes_at = self.room.running.as_ref().and(self.sum().deadline);
        Moment { now: self.now, closes_at, ranking }
    }
}

/// Reads a room and puts its desired state on gates that lack it.
///
/// # Errors
/// There is no such room, or the ledger's.
pub async fn reconcile_room(ledger: &dyn Ledger, id: &RoomId) -> Result<RoomSnapshot, ExecuteError> {
    let room = ledger.room(id).await?.ok_or(ExecuteError::NoSuchRoom)?;
    reconcile(ledger, room).await?.ok_or(ExecuteError::NoSuchRoom)
}

/// Reads what has changed of a room whose record was `known`, and finishes a command that was cut off between the
/// record and the gates. `None`: there is no such room any more.
///
/// # Errors
/// The ledger's. Some gates may have followed.
pub async fn reconcile(ledger: &dyn Ledger, known: Room) -> Result<Option<RoomSnapshot>, LedgerError> {
    let Some(snapshot) = ledger.snapshot(&known.id, known.partitions).await? else { return Ok(None) };
    let room = match snapshot.seq == known.seq {
        true => known,
        false => match ledger.room(&known.id).await? {
            Some(room) => room,
            None => return Ok(None),
        },
    };
    let mut snapshot = RoomSnapshot { room, gates: snapshot.gates, now: snapshot.now, voters: snapshot.voters };
    follow(ledger, &mut snapshot).await?;
    Ok(Some(snapshot))
}

/// Puts the record's desired state on every gate that is behind it.
async fn follow(ledger: &dyn Ledger, snapshot: &mut RoomSnapshot) -> Result<(), LedgerError> {
    let Some(desired) = snapshot.room.desired_gate() else { return Ok(()) };
    if snapshot.gates.iter().all(|gate| gate.command_seq >= desired.command_seq) {
        return Ok(());
    }
    let (now, gates) = ledger.set_gates(&snapshot.room.id, snapshot.room.partitions, &desired).await?;
    snapshot.now = now.max(snapshot.now);
    snapshot.gates = gates;
    Ok(())
}

/// Makes `command` hold, whatever is under way, and answers the room as it is then.
///
/// # Errors
/// See [`ExecuteError`]; after [`ExecuteError::Ledger`] and [`ExecuteError::Closing`] the command may hold or come to
/// hold.
pub async fn execute(ledger: &SharedLedger, id: &RoomId, command: &Command) -> Result<RoomSnapshot, ExecuteError> {
    let shared = ledger;
    let ledger = &**shared;
    let mut frozen: Option<FrozenRanking> = None;
    for _ in 0..ATTEMPTS {
        let mut snapshot = reconcile_room(ledger, id).await?;
        let mut step = snapshot.room.apply(command, snapshot.moment(None))?;
        if step == Step::RankFirst {
            // a ranking frozen for an older record is of no use: its results may have changed
            drop_unused(ledger, id, frozen.take()).await;
            let ranking = freeze(shared, &snapshot.room).await?;
            step = snapshot.room.apply(command, snapshot.moment(Some(&ranking)))?;
            frozen = Some(ranking);
        }
        match step {
            Step::Unchanged => {
                drop_unused(ledger, id, frozen).await;
                return Ok(snapshot);
            }
            Step::CloseFirst(by) => {
                if let Some(closed) = close(ledger, snapshot, by).await?
                    && matches!(command, Command::Close { .. })
                    && closed.room.apply(command, closed.moment(None)) == Ok(Step::Unchanged)
                {
                    return Ok(closed);
                }
            }
            Step::RankFirst => unreachable!("a ranking was given"),
            Step::Store(room) => {
                let jobs = caused_by(&snapshot.room, &room);
                if let Replacement::Stored(stored) = ledger.replace_room(&room, &jobs).await? {
                    let before = std::mem::replace(&mut snapshot.room, stored);
                    drop_older_rankings(ledger, &before, &snapshot.room).await;
                    follow(ledger, &mut snapshot).await?;
                    return Ok(snapshot);
                }
            }
        }
    }
    Err(ExecuteError::Contended)
}

/// Does what is due by itself: a close whose deadline has passed or that somebody began, a blackout that begins, a step
/// of an automatic reveal. Early calls do nothing.
pub async fn execute_due(ledger: &SharedLedger, id: &RoomId) -> Result<RoomSnapshot, ExecuteError> {
    let shared = ledger;
    let ledger = &**shared;
    let mut snapshot = reconcile_room(ledger, id).await?;
    let Moment { now, closes_at, .. } = snapshot.moment(None);
    if let Some(by) = snapshot.room.close_due(now, closes_at) {
        snapshot = match close(ledger, snapshot, by).await? {
            Some(closed) => closed,
            None => reconcile_room(ledger, id).await?,
        };
    } else if let Some(dark) = darkened(&snapshot.room, closes_at, now) {
        snapshot = match ledger.replace_room(&dark, &[]).await? {
            Replacement::Stored(stored) => RoomSnapshot { room: stored, ..snapshot },
            Replacement::Changed(_) => reconcile_room(ledger, id).await?,
        };
    }
    match snapshot.room.next_auto_step() {
        Some((due, step)) if snapshot.now >= due => execute(shared, id, &step).await,
        _ => Ok(snapshot),
    }
}

/// Closes the running round: the record says so, every gate freezes, and the sum of the frozen gates becomes the
/// record. `None` if somebody else changed the record meanwhile.
async fn close(
    ledger: &dyn Ledger,
    mut snapshot: RoomSnapshot,
    by: ClosedBy,
) -> Result<Option<RoomSnapshot>, ExecuteError> {
    let begun = snapshot.room.begin_close(by);
    if begun != snapshot.room {
        match ledger.replace_room(&begun, &[]).await? {
            Replacement::Stored(stored) => snapshot.room = stored,
            Replacement::Changed(_) => return Ok(None),
        }
    }
    let give_up = Instant::now() + REACH;
    while let Err(error) = follow(ledger, &mut snapshot).await {
        if Instant::now() >= give_up {
            tracing::warn!(room = %snapshot.room.id, %error, "a gate is out of reach, the close waits for it");
            return Err(ExecuteError::Closing);
        }
        tokio::time::sleep(REACH_PAUSE).await;
    }
    let finished = snapshot.room.finish_close(&snapshot.sum(), snapshot.now);
    let jobs = caused_by(&snapshot.room, &finished);
    match ledger.replace_room(&finished, &jobs).await {
        Ok(Replacement::Stored(stored)) => {
            note_close(&stored);
            Ok(Some(RoomSnapshot { room: stored, ..snapshot }))
        }
        Ok(Replacement::Changed(_)) => Ok(None),
        Err(_) => Err(ExecuteError::Closing),
    }
}

/// The record of the take that was just closed, for the audit log.
fn note_close(room: &Room) {
    let Some(take) = room.round(room.last_round).and_then(Round::counted) else { return };
    audit!(
        "closed",
        room = %room.id,
        code = %room.code,
        seq = room.seq,
        round = room.last_round,
        take = take.take,
        votes = ?take.tally.votes,
        voters = take.tally.voters,
        version = take.tally.version,
        closed_at = take.closed_at,
        by = ?take.by
    );
}

/// Numbers for the rankings that are frozen from the record with this `seq`. They rise with it, so that those of older
/// records can be told from those that somebody may be about to show; within one record they are random, for two pods
/// may freeze at once.
fn ranking_numbers(seq: u64) -> Range<u64> {
    (seq << 10)..((seq + 1) << 10)
}

/// Drops what nobody shows any more once a reveal begins or is taken away: also what a reveal left behind that failed
/// half way. What cannot be dropped now goes the next time, or with the room.
async fn drop_older_rankings(ledger: &dyn Ledger, before: &Room, stored: &Room) {
    let shown = |room: &Room| room.reveal.as_ref().map(|reveal| reveal.ranking);
    if shown(before) != shown(stored) {
        let oldest_kept = shown(stored).unwrap_or(ranking_numbers(stored.seq).start);
        let _ = ledger.drop_rankings(&stored.id, 0..oldest_kept).await;
    }
}

async fn drop_unused(ledger: &dyn Ledger, id: &RoomId, frozen: Option<FrozenRanking>) {
    if let Some(FrozenRanking { ranking, .. }) = frozen {
        let _ = ledger.drop_rankings(id, ranking..ranking + 1).await;
    }
}

/// Every ballot of one take.
pub async fn all_ballots(
    ledger: &dyn Ledger,
    room: &Room,
    take: (u16, u16),
) -> Result<HashMap<VoterId, Ballot>, LedgerError> {
    let mut ballots = HashMap::new();
    for partition in 0..room.partitions {
        let mut cursor = None;
        loop {
            let (slice, next) = ledger.ballots(&room.id, partition, take, cursor).await?;
            ballots.extend(slice);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(ballots)
}

/// All voters, removed ones too.
pub async fn voters(ledger: &dyn Ledger, id: &RoomId) -> Result<Vec<Voter>, LedgerError> {
    let mut voters = vec![];
    let mut after = None;
    loop {
        let page = ledger.voters(id, &VotersQuery { text: String::new(), after, limit: SLICE }).await?;
        voters.extend(page.voters);
        after = page.next;
        if after.is_none() {
            return Ok(voters);
        }
    }
}

/// Names of all voters, and who of them was removed.
pub async fn all_voters(
    ledger: &dyn Ledger,
    id: &RoomId,
) -> Result<(HashMap<VoterId, Name>, HashSet<VoterId>), LedgerError> {
    let (mut names, mut removed) = (HashMap::new(), HashSet::new());
    for voter in voters(ledger, id).await? {
        if voter.removed {
            removed.insert(voter.voter.clone());
        }
        names.insert(voter.voter, voter.name);
    }
    Ok((names, removed))
}

/// Does work on all of a room on a thread of its own: a million ballots take seconds, and nobody's votes wait for that.
///
/// # Errors
/// Those of the work.
pub async fn run_blocking<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<LedgerError> + Send + 'static,
{
    // the connections stay with this runtime, and answer from there
    let here = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || here.block_on(work)).await;
    done.unwrap_or_else(|error| Err(LedgerError::NotApplied(error.to_string()).into()))
}

/// The ranking as the ballots say now, best first.
///
/// # Errors
/// The ledger's.
pub async fn rank(ledger: &dyn Ledger, room: &Room) -> Result<Vec<RankEntry>, LedgerError> {
    let mut scores = Scores::default();
    for (number, take) in room.counted() {
        for (voter, ballot) in all_ballots(ledger, room, (number, take.take)).await? {
            scores.add(voter, number, take.winner(), &ballot);
        }
    }
    let (names, removed) = all_voters(ledger, &room.id).await?;
    for voter in &removed {
        scores.remove(voter);
    }
    Ok(entries(scores.rank(), scores, &names))
}

fn entries(groups: Vec<Group>, scores: Scores, names: &HashMap<VoterId, Name>) -> Vec<RankEntry> {
    let mut scores = scores.into_scores();
    let members = groups.into_iter().flat_map(|group| {
        let place = group.place;
        group.voters.into_iter().map(move |voter| (place, voter))
    });
    let entry = |(place, voter): (u32, VoterId)| {
        let score = scores.remove(&voter)?;
        let name = names.get(&voter).cloned().or_else(|| Name::parse(voter.as_str()).ok())?;
        Some(RankEntry { place, voter, name, score: score.score, time_ms: score.time_ms, rounds: score.rounds })
    };
    members.filter_map(entry).collect()
}

/// Computes the ranking and stores it, so that every step of the reveal reads the same.
async fn freeze(ledger: &SharedLedger, room: &Room) -> Result<FrozenRanking, LedgerError> {
    let (ledger, room) = (ledger.clone(), room.clone());
    run_blocking(async move {
        let entries = rank(&*ledger, &room).await?;
        let ranking = rand::random_range(ranking_numbers(room.seq));
        for (slice, entries) in (0..).zip(entries.chunks(SLICE)) {
            ledger.store_ranking(&room.id, ranking, slice, entries).await?;
        }
        let mut places: Vec<u32> = vec![];
        for entry in entries.iter().take_while(|entry| entry.place <= MAX_TOP && entry.score > 0) {
            if places.last() != Some(&entry.place) {
                places.push(entry.place);
            }
        }
        Ok(FrozenRanking { ranking, of: entries.len() as u64, places })
    })
    .await
}

/// The whole frozen ranking, best first.
pub async fn frozen(ledger: &dyn Ledger, id: &RoomId, ranking: u64) -> Result<Vec<RankEntry>, LedgerError> {
    let mut entries = vec![];
    for slice in 0.. {
        let more = ledger.ranking(id, ranking, slice).await?;
        if more.is_empty() {
            break;
        }
        entries.extend(more);
    }
    Ok(entries)
}
