//! Executing a command: the room record decides, the gates follow.
//!
//! Every step is a compare-and-set on the record, or a desired state that a gate applies only once. So any pod can do
//! any step at any time, and two pods can do the same step at once. If a pod dies between two steps, the next pod that
//! reads the room finishes its work: rooms are read by [`reconcile_room`] or [`reconcile_record`], which apply the
//! record's desired state to every gate that is behind it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Ledger, LedgerError, Replacement, SharedLedger};
use crate::audit;
use crate::domain::command::{Command, FrozenRanking, Moment, Step};
use crate::domain::gate::{Gate, GateSum, sum};
use crate::domain::ids::RoomId;
use crate::domain::jobs::caused_by;
use crate::domain::room::{ClosedBy, Room, Round};
use crate::domain::visibility::darkened;
use crate::domain::{LedgerMs, Refused};

mod ranking;
mod scan;
mod sealing;

use ranking::{drop_older_rankings, drop_unused, freeze};
pub use ranking::{frozen, rank};
pub use scan::{all_ballots, all_names, all_voters, run_blocking};
pub use sealing::{HashedBallots, hash_ballots};

/// Attempts of a command while other commands keep changing the record.
const MAX_ATTEMPTS: u32 = 32;
/// How long a close tries to reach every gate before it is left to be completed later.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two attempts to reach a gate.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The command does not fit the state of the room, or is malformed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such room.
    #[error("there is no such room")]
    NoSuchRoom,
    /// The close has begun and votes are refused, but some gate cannot be reached. The close completes by itself.
    #[error("a part of the ledger cannot be reached; votes are refused and the close is completed by itself")]
    Closing,
    /// Other commands kept changing the record.
    #[error("others keep changing the room; say it again")]
    Contended,
    /// The ledger did not answer, so the outcome is unknown: send the command again.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ExecuteError {
    /// One word for metrics and traces.
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
    /// The room record.
    pub room: Room,
    /// All gates, by partition.
    pub gates: Vec<Gate>,
    /// The ledger's time when they were read.
    pub now: LedgerMs,
    /// Voters who have joined, without the removed ones.
    pub voters: u64,
}

impl RoomSnapshot {
    /// All gates added up.
    pub fn sum(&self) -> GateSum {
        sum(&self.gates)
    }

    fn moment<'a>(&self, ranking: Option<&'a FrozenRanking>) -> Moment<'a> {
        let closes_at = self.room.running.as_ref().and(self.sum().deadline);
        Moment { now: self.now, closes_at, ranking }
    }
}

/// Reads a room, and reconciles its gates with the record.
///
/// # Errors
/// [`ExecuteError::NoSuchRoom`] and [`ExecuteError::Ledger`]. Some gates may have changed.
pub async fn reconcile_room(ledger: &dyn Ledger, id: &RoomId) -> Result<RoomSnapshot, ExecuteError> {
    let room = ledger.room(id).await?.ok_or(ExecuteError::NoSuchRoom)?;
    reconcile_record(ledger, room).await?.ok_or(ExecuteError::NoSuchRoom)
}

/// The same for a room whose record is known: reads the gates, and the record only if it has changed. `None` if the
/// room does not exist any more.
///
/// # Errors
/// See [`LedgerError`]. Some gates may have changed.
pub async fn reconcile_record(ledger: &dyn Ledger, known: Room) -> Result<Option<RoomSnapshot>, LedgerError> {
    let Some(gates) = ledger.gate_snapshot(&known.id, known.partitions).await? else { return Ok(None) };
    let room = match gates.seq == known.seq {
        true => known,
        false => match ledger.room(&known.id).await? {
            Some(room) => room,
            None => return Ok(None),
        },
    };
    let mut snapshot = RoomSnapshot { room, gates: gates.gates, now: gates.now, voters: gates.voters };
    reconcile_gates(ledger, &mut snapshot).await?;
    Ok(Some(snapshot))
}

/// Applies the record's desired state to every gate that is behind it.
async fn reconcile_gates(ledger: &dyn Ledger, snapshot: &mut RoomSnapshot) -> Result<(), LedgerError> {
    let Some(desired) = snapshot.room.desired_gate() else { return Ok(()) };
    if snapshot.gates.iter().all(|gate| gate.command_seq >= desired.command_seq) {
        return Ok(());
    }
    let (now, gates) = ledger.set_gates(&snapshot.room.id, snapshot.room.partitions, &desired).await?;
    snapshot.now = now.max(snapshot.now);
    snapshot.gates = gates;
    Ok(())
}

/// Executes a command, and returns the room as it is then.
///
/// # Errors
/// See [`ExecuteError`]. After [`ExecuteError::Ledger`] and [`ExecuteError::Closing`] the command may be executed
/// already, or later.
pub async fn execute(ledger: &SharedLedger, id: &RoomId, command: &Command) -> Result<RoomSnapshot, ExecuteError> {
    let shared = ledger;
    let ledger = &**shared;
    let mut frozen: Option<FrozenRanking> = None;
    for _ in 0..MAX_ATTEMPTS {
        let mut snapshot = reconcile_room(ledger, id).await?;
        let mut step = snapshot.room.apply(command, snapshot.moment(None))?;
        if step == Step::RankFirst {
            // a ranking that was frozen for an older record is useless: the results may have changed
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
                    if let Command::Seal { round, take, .. } = command {
                        log_seal(&snapshot.room, *round, *take);
                    }
                    drop_older_rankings(ledger, &before, &snapshot.room).await;
                    reconcile_gates(ledger, &mut snapshot).await?;
                    return Ok(snapshot);
                }
            }
        }
    }
    Err(ExecuteError::Contended)
}

/// Does what is due without a command: a close whose deadline has passed or that was begun, the start of a blackout, a
/// step of an automatic reveal. An early call does nothing.
///
/// # Errors
/// As [`execute`].
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

/// Closes the running round: the record begins the close, every gate freezes, and the sum of the frozen gates is stored
/// in the record. `None` if the record was changed by another command.
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
    let give_up_at = Instant::now() + CLOSE_TIMEOUT;
    while let Err(error) = reconcile_gates(ledger, &mut snapshot).await {
        if Instant::now() >= give_up_at {
            tracing::warn!(room = %snapshot.room.id, %error, "a gate cannot be reached; the close waits for it");
            return Err(ExecuteError::Closing);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    let finished = snapshot.room.finish_close(&snapshot.sum(), snapshot.now);
    let jobs = caused_by(&snapshot.room, &finished);
    match ledger.replace_room(&finished, &jobs).await {
        Ok(Replacement::Stored(stored)) => {
            log_close(&stored);
            Ok(Some(RoomSnapshot { room: stored, ..snapshot }))
        }
        Ok(Replacement::Changed(_)) => Ok(None),
        Err(_) => Err(ExecuteError::Closing),
    }
}

/// Writes the record of the take that was just closed to the audit log.
fn log_close(room: &Room) {
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

/// Writes the seal that was just added to the audit log.
fn log_seal(room: &Room, round: u16, take: u16) {
    let seal = room.round(round).and_then(|round| round.takes.iter().find(|known| known.take == take)?.seal.as_ref());
    let Some(seal) = seal else { return };
    audit!(
        "sealed",
        room = %room.id,
        code = %room.code,
        round,
        take,
        seal_number = seal.number,
        seal = %seal.seal,
        leaves = seal.leaves
    );
}
