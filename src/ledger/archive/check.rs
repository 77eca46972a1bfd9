//! Checks whether the lines of an archive fit together. An archive comes from outside: it may be damaged or forged.
//!
//! A ballot without a voter is accepted: a voter with a valid token is restored at the next hello, and a room that has
//! lost voters must not lose their votes too.

use std::collections::{HashMap, HashSet};

use super::format::{Archive, Part};
use super::read::at_line;
use crate::auth::TokenKey;
use crate::domain::ballot::Ballot;
use crate::domain::gate::{Deadline, Tally, partition_of};
use crate::domain::ids::VoterId;
use crate::domain::reveal::{MAX_TOP, Reveal};
use crate::domain::room::Room;
use crate::domain::seal::Tree;
use crate::domain::setup::{SECONDS, check_reference};
use crate::domain::validate::check_number;
use crate::domain::{Invalid, LedgerMs};
use crate::ledger::{Invited, RankEntry, Voter};

/// Most that the clock of another installation may be ahead of ours. The times of a room never fall back, so a room
/// from the future would stand still until our clock catches up.
const MAX_AHEAD_MS: LedgerMs = 3_600_000;

/// Most commands that a room may have had: `command_seq` continues from there, and must not run out of numbers.
const MAX_COMMANDS: u64 = u32::MAX as u64;

/// Ballots of one round and take, by voter.
type Ballots<'a> = HashMap<(u16, u16), HashMap<&'a VoterId, &'a str>>;

fn must(holds: bool, field: &str, detail: impl std::fmt::Display) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid::new(field, detail.to_string())) }
}

impl Archive {
    /// Checks the archive, and recounts the gates from the ballots.
    ///
    /// # Errors
    /// The field that is malformed, out of bounds or contradicts another one.
    pub(super) fn check(&mut self) -> Result<(), Invalid> {
        let record = self.room.validate().and_then(|()| check_reference(self.room.reference.as_deref()));
        let room_to_rise = || must(self.room.command_seq <= MAX_COMMANDS, "command_seq", "is too large");
        record.and_then(|()| room_to_rise()).map_err(|error| at_line(1, &error.inside("record")))?;
        let same = self.head.room == self.room.code
            && self.head.reference == self.room.reference
            && self.head.title == self.room.title.as_str();
        must(same, "archive", "names another room, title or ref than the record")?;
        self.check_people()?;
        let ballots = self.check_ballots()?;
        check_counts(&self.room, &ballots)?;
        self.check_seals()?;
        check_ranking(&self.room, &self.ranking)?;
        self.recount()
    }

    fn check_people(&self) -> Result<(), Invalid> {
        let (mut voters, mut names, mut cards) = (HashSet::new(), HashSet::new(), HashSet::new());
        for part in &self.parts {
            let Part::Voter(Voter { voter, name, card, .. }) = part else { continue };
            check_voter("voter.voter", voter)?;
            must(voters.insert(voter), "voter.voter", format_args!("{voter} is here twice"))?;
            must(names.insert(name.folded()), "voter.name", format_args!("two voters are called {name}"))?;
            must(cards.insert(card), "voter.card", format_args!("two voters have the card of {name}"))?;
        }
        let (mut invites, mut invited) = (HashSet::new(), HashSet::new());
        for part in &self.parts {
            let Part::Invited(Invited { invite, name, voter }) = part else { continue };
            must(invites.insert(invite), "invited.invite", format_args!("two have the invite of {name}"))?;
            must(invited.insert(name.folded()), "invited.name", format_args!("{name} has two invites"))?;
            let used = voter.as_ref().is_none_or(|voter| voters.contains(voter));
            must(used, "invited.voter", format_args!("the invite of {name} leads to a voter who is not here"))?;
        }
        Ok(())
    }

    fn check_ballots(&self) -> Result<Ballots<'_>, Invalid> {
        let takes = self.room.takes();
        let mut ballots: Ballots<'_> = takes.iter().map(|(round, take, _)| ((*round, *take), HashMap::new())).collect();
        for part in &self.parts {
            let Part::Ballot { round, take, voter, votes, time_ms } = part else { continue };
            check_voter("ballot.voter", voter)?;
            check_number("ballot.time_ms", *time_ms)?;
            let of = format!("round {round}, take {take}");
            let of_take = ballots.get_mut(&(*round, *take));
            let of_take = of_take.ok_or_else(|| Invalid::new("ballot.take", format!("the record has no {of}")))?;
            let most = usize::from(self.room.votes_per_round);
            let detail = format_args!("must be 1 to {most} letters of {of}, not {}", votes.len());
            must((1..=most).contains(&votes.len()), "ballot.votes", detail)?;
            let choices = self.room.round(*round).map_or(0, |round| round.choices.len());
            let known = |byte: u8| byte.checked_sub(b'a').is_some_and(|index| usize::from(index) < choices);
            must(votes.bytes().all(known), "ballot.votes", format_args!("has a letter that is not a choice of {of}"))?;
            must(of_take.insert(voter, votes).is_none(), "ballot.voter", format_args!("{voter} has two in {of}"))?;
        }
        Ok(ballots)
    }

    /// Checks that the seals are those of records and ballots: their salts come from the key of the room's tokens.
    fn check_seals(&self) -> Result<(), Invalid> {
        if !self.room.has_seals() {
            return Ok(());
        }
        let missing = || Invalid::new("record.token_key", "is missing, and the seals need it");
        let key = self.room.token_key.clone().ok_or_else(missing)?;
        let salts = TokenKey::new(&self.room.id, key).salts();
        let mut ballots: HashMap<(u16, u16), Vec<(&VoterId, Ballot)>> = HashMap::new();
        for part in &self.parts {
            let Part::Ballot { round, take, voter, votes, time_ms } = part else { continue };
            let ballot = Ballot { votes: votes.clone(), time_ms: *time_ms };
            ballots.entry((*round, *take)).or_default().push((voter, ballot));
        }
        let tree = |take: (u16, u16)| {
            let of_take = ballots.get(&take).into_iter().flatten().map(|(voter, ballot)| (*voter, ballot));
            let tree = Tree::of_ballots(&salts, take, of_take);
            (tree.root(), tree.size())
        };
        self.room.check_seals(tree).map_err(|error| error.inside("record"))
    }

    /// Recounts the gates from the ballots: the gates were read later, and votes may have been stored in between.
    fn recount(&mut self) -> Result<(), Invalid> {
        let Self { room, parts, .. } = self;
        let mut ballots = vec![vec![]; usize::from(room.partitions)];
        for part in parts.iter() {
            let Part::Ballot { round, take, voter, votes, time_ms } = part else { continue };
            let ballot = Ballot { votes: votes.clone(), time_ms: *time_ms };
            if let Some(of_partition) = ballots.get_mut(usize::from(partition_of(voter.as_str(), room.partitions))) {
                of_partition.push(((*round, *take), ballot));
            }
        }
        let mut missing: HashSet<u16> = (0..room.partitions).collect();
        for part in parts.iter_mut() {
            let Part::Gate { partition, gate } = part else { continue };
            let ballots = ballots.get(usize::from(*partition)).filter(|_| missing.remove(partition));
            let ballots = ballots.ok_or_else(|| {
                Invalid::new("gate.partition", format!("{partition} does not exist, or is here twice"))
            })?;
            gate.fits(room).map_err(|error| error.inside("gate.gate"))?;
            let stored = ballots.iter().map(|(_, ballot)| ballot.votes.len() as u64).sum();
            let at = (gate.round, gate.take);
            let of_take = ballots.iter().filter(|(take, _)| *take == at).map(|(_, ballot)| ballot);
            **gate = std::mem::take(&mut **gate).recounted(of_take, stored)?;
        }
        let missing = missing.into_iter().min();
        must(missing.is_none(), "gate", format_args!("that of partition {} is missing", missing.unwrap_or_default()))
    }

    /// Checks the times against the ledger's clock, which the room follows from now on.
    ///
    /// # Errors
    /// The field with a time in the future.
    pub(super) fn check_times(&self, now: LedgerMs) -> Result<(), Invalid> {
        let latest = now.saturating_add(MAX_AHEAD_MS);
        let longest = LedgerMs::from(*SECONDS.end()) * 1_000;
        let check = |field: &str, time: LedgerMs| {
            let ahead = time.saturating_sub(now) / 1_000;
            let detail =
                format_args!("is {ahead} s ahead of this server's clock: set that right, or the one it comes from");
            must(time <= latest, field, detail)
        };
        let room = &self.room;
        check("record.seq", room.seq)?;
        check("record.created_at", room.created_at)?;
        check("record.deleted_at", room.deleted_at.unwrap_or_default())?;
        if let Some(Deadline::At(time)) = room.running.as_ref().map(|running| running.deadline) {
            check("record.running.deadline", time.saturating_sub(longest))?;
        }
        if let Some(reveal) = &room.reveal {
            check("record.reveal.stepped_at", reveal.stepped_at)?;
        }
        for (round, take, closed) in room.takes() {
            let Some(closed) = closed else { continue };
            let of = format!("record.rounds[{}].takes[{}]", round - 1, take - 1);
            check(&format!("{of}.closed_at"), closed.closed_at)?;
            check(&format!("{of}.tally.version"), closed.tally.version / u64::from(room.partitions))?;
        }
        for part in &self.parts {
            let Part::Gate { gate, .. } = part else { continue };
            check("gate.gate.clock", gate.clock)?;
            check("gate.gate.tally.version", gate.tally.version)?;
            check("gate.gate.deadline", gate.deadline.unwrap_or_default().saturating_sub(longest))?;
        }
        Ok(())
    }
}

fn check_voter(field: &str, voter: &VoterId) -> Result<(), Invalid> {
    must(voter.is_made(), field, format_args!("{voter} is not an id that a server has made"))
}

/// Checks that the counts of closed takes are those of their ballots.
fn check_counts(room: &Room, ballots: &Ballots<'_>) -> Result<(), Invalid> {
    for (round, take, closed) in room.takes() {
        let (Some(closed), Some(ballots)) = (closed, ballots.get(&(round, take))) else { continue };
        let counted = Tally::count(closed.tally.votes.len(), ballots.values().copied());
        let recount = Tally { version: closed.tally.version, ..counted };
        let field = format!("record.rounds[{}].takes[{}].tally", round - 1, take - 1);
        let Tally { votes, voters, .. } = &closed.tally;
        let detail = format_args!(
            "says {votes:?} of {voters} voters, and the ballots say {:?} of {}",
            recount.votes, recount.voters
        );
        must(recount == closed.tally, &field, detail)?;
    }
    Ok(())
}

/// Checks that the frozen ranking is in order, and that it is the one that the record shows.
fn check_ranking(room: &Room, entries: &[RankEntry]) -> Result<(), Invalid> {
    let Some(Reveal { of, places, .. }) = &room.reveal else {
        return must(entries.is_empty(), "ranked", "the record shows no ranking");
    };
    let count = entries.len() as u64;
    must(count == *of, "ranked", format_args!("{of} voters have a place, and {count} are here"))?;
    let (mut voters, mut first_places) = (HashSet::new(), vec![]);
    let mut before: Option<&RankEntry> = None;
    for (entry, position) in entries.iter().zip(1u32..) {
        check_voter("ranked.voter", &entry.voter)?;
        must(voters.insert(&entry.voter), "ranked.voter", format_args!("{} is here twice", entry.voter))?;
        check_number("ranked.score", entry.score)?;
        check_number("ranked.time_ms", entry.time_ms)?;
        let known = entry.rounds.iter().all(|(round, _)| room.round(*round).is_some());
        must(known, "ranked.rounds", "names a round that does not exist")?;
        let key = |entry: &RankEntry| (u64::MAX - entry.score, entry.time_ms);
        must(before.is_none_or(|before| key(before) <= key(entry)), "ranked.score", "is not in order, best first")?;
        let shares = before.filter(|before| key(before) == key(entry));
        let place = shares.map_or(position, |before| before.place);
        must(entry.place == place, "ranked.place", format_args!("must be {place}, not {}", entry.place))?;
        if shares.is_none() && entry.score > 0 && place <= MAX_TOP {
            first_places.push(place);
        }
        before = Some(entry);
    }
    must(first_places == *places, "record.reveal.places", "are not those of the ranking")
}
