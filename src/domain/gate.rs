//! Gates: one for each partition of a room, stored in the ledger beside the ballots that it guards.
//!
//! The room record decides; a gate follows when a **desired state** with a higher `command_seq` reaches it. So any pod
//! can push desired states, any number of times and in any order.

use crc::{CRC_16_XMODEM, Crc};
use serde::{Deserialize, Serialize};

use super::ballot::{Ballot, GateCheck};
use super::{Invalid, LedgerMs};

/// Whether a gate accepts votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum GatePhase {
    /// No round was opened yet.
    #[default]
    Idle,
    /// Votes are accepted until the deadline.
    Open,
    /// Ballots, counts and version of the take are frozen.
    Closed,
}

/// When a round closes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// Not by itself.
    Never,
    /// This many ms after the gate opens.
    After(LedgerMs),
    /// At this time of the ledger's clock.
    At(LedgerMs),
}

/// The state that the room record wants its gates to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredGate {
    /// A gate follows only a higher number than its own.
    pub command_seq: u64,
    /// Round number, from 1.
    pub round: u16,
    /// Take number, from 1.
    pub take: u16,
    /// Number of choices of the round, 2 to 8.
    pub choices: u8,
    /// Slips of a voter, 1 to 100.
    pub votes_per_round: u16,
    /// Open until this deadline; `None` for closed.
    pub open: Option<Deadline>,
}

/// The counts of one take, in the whole room or in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Votes by choice, `a` first.
    pub votes: Vec<u64>,
    /// Voters with at least one vote.
    pub voters: u64,
    /// Rises with every change, also from take to take and round to round.
    pub version: u64,
}

impl Tally {
    /// All votes.
    pub fn total(&self) -> u64 {
        self.votes.iter().sum()
    }

    /// The counts of the letters on these ballots, in a round with this many choices; with version 0. A letter that is not
    /// a choice is not counted.
    pub fn count<'b>(choices: usize, ballots: impl IntoIterator<Item = &'b str>) -> Self {
        let mut tally = Self { votes: vec![0; choices], ..Self::default() };
        for votes in ballots.into_iter().filter(|votes| !votes.is_empty()) {
            tally.voters += 1;
            for letter in votes.bytes() {
                if let Some(count) = tally.votes.get_mut(usize::from(letter.wrapping_sub(b'a'))) {
                    *count += 1;
                }
            }
        }
        tally
    }
}

/// The gate of one partition, with the counts of its current take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gate {
    /// Number of the desired state that it follows; 0 before the first.
    pub command_seq: u64,
    /// Round number; 0 before the first.
    pub round: u16,
    /// Take number; 0 before the first.
    pub take: u16,
    /// Whether votes are accepted.
    pub phase: GatePhase,
    /// Number of choices of the round.
    pub choices: u8,
    /// Slips of a voter.
    pub votes_per_round: u16,
    /// When the take was opened at this gate.
    pub opened_at: LedgerMs,
    /// When the gate starts to refuse votes by itself.
    pub deadline: Option<LedgerMs>,
    /// When it was closed, never later than its deadline.
    pub closed_at: Option<LedgerMs>,
    /// The last time that was stored: the gate's clock never goes back.
    pub clock: LedgerMs,
    /// Counts of (`round`, `take`).
    pub tally: Tally,
    /// Slips ever stored in this partition, over all rounds and takes.
    pub stored: u64,
    /// How many of these slips were acknowledged: the sum of the counts that all pods have reported.
    pub acknowledged: u64,
}

impl Gate {
    /// What this gate says about a cast for `round` and `take` at `now`.
    pub fn check(&self, round: u16, take: u16, now: LedgerMs) -> GateCheck {
        if self.phase != GatePhase::Open || self.round != round || self.is_over(now) {
            return GateCheck::Closed;
        }
        if self.take != take {
            return GateCheck::OtherTake;
        }
        GateCheck::Open { choices: self.choices, votes_per_round: self.votes_per_round }
    }

    /// True once the deadline has passed: then votes are refused, but only the room record closes the round.
    pub fn is_over(&self, now: LedgerMs) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// The gate's time at `now` of the ledger's clock.
    pub fn time(&self, now: LedgerMs) -> LedgerMs {
        now.max(self.clock)
    }

    /// Follows a desired state. `false` if it is not newer than the one that the gate follows already.
    ///
    /// # Invariants
    /// The room record never opens a take twice, and never changes the number of choices within a take. So the counts
    /// start at zero when the gate comes to a new take.
    pub fn follow(&mut self, desired: &DesiredGate, now: LedgerMs) -> bool {
        if desired.command_seq <= self.command_seq {
            return false;
        }
        let now = self.time(now);
        let same_take = self.phase != GatePhase::Idle && (self.round, self.take) == (desired.round, desired.take);
        if !same_take {
            self.opened_at = now;
            self.closed_at = None;
            self.deadline = None;
            self.tally.votes = vec![0; usize::from(desired.choices)];
            self.tally.voters = 0;
        }
        match desired.open {
            Some(deadline) => {
                self.phase = GatePhase::Open;
                self.closed_at = None;
                self.deadline = match deadline {
                    Deadline::Never => None,
                    Deadline::After(ms) => Some(self.opened_at + ms),
                    Deadline::At(time) => Some(time),
                };
            }
            None if same_take && self.phase == GatePhase::Closed => {}
            None => {
                self.phase = GatePhase::Closed;
                self.closed_at = Some(self.deadline.map_or(now, |deadline| deadline.min(now)).max(self.opened_at));
            }
        }
        self.command_seq = desired.command_seq;
        self.round = desired.round;
        self.take = desired.take;
        self.choices = desired.choices;
        self.votes_per_round = desired.votes_per_round;
        self.touch(now);
        true
    }

    /// Counts letters that were appended to a ballot.
    pub fn count(&mut self, appended: &str, first_of_voter: bool, now: LedgerMs) {
        for letter in appended.bytes() {
            if let Some(count) = self.tally.votes.get_mut(usize::from(letter.wrapping_sub(b'a'))) {
                *count += 1;
            }
        }
        self.tally.voters += u64::from(first_of_voter);
        self.stored += appended.len() as u64;
        self.touch(now);
    }

    /// This gate with counts from its ballots, for an import: `ballots` are those of its current take, and `stored` is
    /// the number of letters on all ballots of its partition.
    ///
    /// # Errors
    /// A ballot has a letter that is not a choice of the round.
    pub fn recounted<'b>(self, ballots: impl Iterator<Item = &'b Ballot>, stored: u64) -> Result<Self, Invalid> {
        let mut tally = Tally { votes: vec![0; usize::from(self.choices)], voters: 0, version: self.tally.version };
        for ballot in ballots.filter(|ballot| !ballot.votes.is_empty()) {
            tally.voters += 1;
            for letter in ballot.votes.bytes() {
                let count = tally.votes.get_mut(usize::from(letter.wrapping_sub(b'a')));
                *count.ok_or_else(|| Invalid::new("votes", "has a letter that is not a choice of its round"))? += 1;
            }
        }
        Ok(Self { tally, stored, acknowledged: self.acknowledged.min(stored), ..self })
    }

    /// Raises clock and version: `max(previous + 1, ledger time)`.
    fn touch(&mut self, now: LedgerMs) {
        self.clock = self.time(now);
        self.tally.version = (self.tally.version + 1).max(self.clock);
    }
}

/// All gates of a room added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GateSum {
    /// Round of the gates; that of the newest gate if they differ.
    pub round: u16,
    /// Take of the gates; that of the newest gate if they differ.
    pub take: u16,
    /// The lowest `command_seq`: every gate has reached it.
    pub command_seq: u64,
    /// The earliest time of opening.
    pub opened_at: LedgerMs,
    /// The latest deadline.
    pub deadline: Option<LedgerMs>,
    /// The latest time of closing.
    pub closed_at: Option<LedgerMs>,
    /// The sum of the counts; its version is the sum of the versions of the gates.
    pub tally: Tally,
    /// Slips ever stored in the room.
    pub stored: u64,
    /// Slips that were acknowledged.
    pub acknowledged: u64,
}

/// Adds up all gates of a room. The counts of gates that have not reached the newest take are left out. Their versions
/// are added, so the version of the sum never falls.
pub fn sum<'g, I>(gates: I) -> GateSum
where
    I: IntoIterator<Item = &'g Gate>,
    I::IntoIter: Clone,
{
    let gates = gates.into_iter();
    let Some(newest) = gates.clone().max_by_key(|gate| gate.command_seq) else { return GateSum::default() };
    let mut sum = GateSum {
        round: newest.round,
        take: newest.take,
        command_seq: gates.clone().map(|gate| gate.command_seq).min().unwrap_or_default(),
        tally: Tally { votes: vec![0; usize::from(newest.choices)], ..Tally::default() },
        ..GateSum::default()
    };
    let current = || gates.clone().filter(|gate| (gate.round, gate.take) == (newest.round, newest.take));
    sum.opened_at = current().map(|gate| gate.opened_at).min().unwrap_or_default();
    sum.deadline = current().filter_map(|gate| gate.deadline).max();
    sum.closed_at = current().filter_map(|gate| gate.closed_at).max();
    for gate in current() {
        for (sum, votes) in sum.tally.votes.iter_mut().zip(&gate.tally.votes) {
            *sum += votes;
        }
        sum.tally.voters += gate.tally.voters;
    }
    for gate in gates {
        sum.tally.version += gate.tally.version;
        sum.stored += gate.stored;
        sum.acknowledged += gate.acknowledged;
    }
    sum
}

/// CRC-16/XMODEM, which Redis Cluster also uses for its key slots. Ballots are stored by it, so it can never change.
const PARTITION_CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The partition that keeps a voter's ballots: the CRC-16 of the voter id modulo `partitions`.
pub fn partition_of(voter: &str, partitions: u16) -> u16 {
    PARTITION_CRC.checksum(voter.as_bytes()) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(command_seq: u64, take: u16, open: Option<Deadline>) -> DesiredGate {
        DesiredGate { command_seq, round: 1, take, choices: 2, votes_per_round: 10, open }
    }

    #[test]
    fn a_gate_follows_only_a_newer_desired_state() {
        let mut gate = Gate::default();
        assert!(gate.follow(&desired(2, 1, Some(Deadline::Never)), 100));
        let open = gate.clone();
        assert!(!gate.follow(&desired(2, 1, None), 200));
        assert!(!gate.follow(&desired(1, 1, None), 200));
        assert_eq!(gate, open);
    }

    #[test]
    fn votes_are_refused_after_the_deadline_and_a_later_close_is_dated_at_it() {
        let mut gate = Gate::default();
        gate.follow(&desired(1, 1, Some(Deadline::After(50))), 100);
        assert!(matches!(gate.check(1, 1, 149), GateCheck::Open { .. }));
        assert_eq!(gate.check(1, 1, 150), GateCheck::Closed);
        gate.follow(&desired(2, 1, None), 10_000);
        assert_eq!(gate.closed_at, Some(150));
    }

    #[test]
    fn a_closed_take_keeps_its_close_time_and_counts() {
        let mut gate = Gate::default();
        gate.follow(&desired(1, 1, Some(Deadline::Never)), 100);
        gate.count("ab", true, 120);
        gate.follow(&desired(2, 1, None), 130);
        gate.follow(&desired(3, 1, None), 500);
        assert_eq!((gate.closed_at, gate.tally.votes.clone()), (Some(130), vec![1, 1]));
    }

    #[test]
    fn the_next_take_starts_with_zero_counts_and_a_higher_version() {
        let mut gate = Gate::default();
        gate.follow(&desired(1, 1, Some(Deadline::Never)), 100);
        gate.count("aaab", true, 101);
        let version = gate.tally.version;
        gate.follow(&desired(2, 2, Some(Deadline::Never)), 50);
        assert_eq!((gate.tally.total(), gate.tally.voters, gate.stored), (0, 0, 4));
        assert!(gate.tally.version > version);
        assert_eq!(gate.check(1, 1, 200), GateCheck::OtherTake);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_set_the_gate_back() {
        let mut gate = Gate::default();
        gate.follow(&desired(1, 1, Some(Deadline::After(50))), 1_000);
        gate.count("a", true, 1_020);
        assert_eq!(gate.time(10), 1_020);
    }

    #[test]
    fn the_crc_has_the_published_check_value() {
        assert_eq!(PARTITION_CRC.checksum(b"123456789"), 0x31C3);
        assert_eq!(partition_of("123456789", 0xFFFF), 0x31C3);
    }

    /// Computed by the bitwise definition. Another result would lose the stored ballots of a voter.
    #[test]
    fn stored_partitions_do_not_change() {
        let bitwise = |voter: &str| {
            voter.bytes().fold(0u16, |crc, byte| {
                let step = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
                (0..8).fold(crc ^ (u16::from(byte) << 8), step)
            })
        };
        for number in 0..1_000u32 {
            let voter = format!("voter-{number}");
            for partitions in 1..=64 {
                assert_eq!(partition_of(&voter, partitions), bitwise(&voter) % partitions, "{voter}");
            }
        }
        assert_eq!(partition_of("anybody", 0), 0);
    }

    #[test]
    fn only_gates_at_the_newest_take_are_counted() {
        let mut gates = vec![Gate::default(), Gate::default()];
        for gate in &mut gates {
            gate.follow(&desired(1, 1, Some(Deadline::Never)), 10);
            gate.count("a", true, 11);
        }
        let before = sum(&gates).tally.version;
        gates[0].follow(&desired(3, 2, Some(Deadline::Never)), 12);
        let sum = sum(&gates);
        assert_eq!((sum.take, sum.tally.total(), sum.command_seq), (2, 0, 1));
        assert!(sum.tally.version > before);
    }
}
