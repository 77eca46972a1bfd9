//! A frozen ranking in memory, and the parts of it that a reveal shows.

use std::collections::HashMap;

use crate::domain::ids::VoterId;
use crate::domain::reveal::Reveal;
use crate::ledger::RankEntry;
use crate::wire::reveal::{GroupView, RevealView, StandingRound, StandingView};

/// Groups to come that emcees are sent.
const PREVIEW: usize = 3;

/// A frozen ranking, best first.
pub struct ShownRanking {
    /// Its number in the ledger.
    pub number: u64,
    entries: Vec<RankEntry>,
    by_voter: HashMap<VoterId, usize>,
}

impl ShownRanking {
    /// A ranking as the ledger stores it, best first.
    pub fn new(number: u64, entries: Vec<RankEntry>) -> Self {
        let by_voter = entries.iter().enumerate().map(|(index, entry)| (entry.voter.clone(), index)).collect();
        Self { number, entries, by_voter }
    }

    /// All entries, best first.
    pub fn entries(&self) -> &[RankEntry] {
        &self.entries
    }

    /// What everybody is shown.
    pub fn view(&self, reveal: &Reveal, seq: u64) -> RevealView {
        RevealView {
            seq,
            top: reveal.top,
            of: reveal.of,
            place: reveal.place,
            next: reveal.to_come().next(),
            shown: reveal.shown().filter_map(|place| self.group(place)).collect(),
            auto_ms: reveal.auto_ms,
            done: reveal.is_done(),
        }
    }

    /// The groups to come, next one first.
    pub fn preview(&self, reveal: &Reveal) -> Vec<GroupView> {
        reveal.to_come().take(PREVIEW).filter_map(|place| self.group(place)).collect()
    }

    /// A voter's own standing, once its place was shown or the reveal is done.
    pub fn standing(&self, reveal: &Reveal, voter: &VoterId) -> Option<StandingView> {
        let entry = &self.entries[*self.by_voter.get(voter)?];
        if !reveal.is_done() && !reveal.shown().any(|place| place == entry.place) {
            return None;
        }
        let round = |(round, on_winner): &(u16, u16)| StandingRound { round: *round, on_winner: *on_winner };
        Some(StandingView {
            place: entry.place,
            score: entry.score,
            of: reveal.of,
            rounds: entry.rounds.iter().map(round).collect(),
        })
    }

    /// Everybody at `place`: the group begins at the index `place - 1`.
    fn group(&self, place: u32) -> Option<GroupView> {
        let first = self.entries.get(place as usize - 1)?;
        let members = self.entries[place as usize - 1..].iter().take_while(|entry| entry.place == place);
        Some(GroupView { place, score: first.score, names: members.map(|entry| entry.name.to_string()).collect() })
    }
}
