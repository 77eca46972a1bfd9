//! The state of a room: what its board knows, and how that is written into frames.

use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::frame::{DESK, Frame, Frames, PRESENCE, PREVIEW, REVEAL, STATE, Slot, TALLY};
use super::ranking::ShownRanking;
use super::unshown::Unshown;
use crate::domain::LedgerMs;
use crate::domain::gate::{Gate, GateSum, sum};
use crate::domain::reveal::Reveal;
use crate::domain::room::Room;
use crate::domain::visibility::{self, Audience, Blackout};
use crate::wire::room::{RoomView, TallyView};
use crate::wire::server::{DeskView, ServerMessage, TallyMessage};

/// What a board knows.
pub(super) struct BoardState {
    pub(super) room: Arc<Room>,
    pub(super) gates: Vec<Option<Gate>>,
    pub(super) voters: u64,
    /// Sockets of voters on all pods, and voters joined, as last told.
    pub(super) presence: (u64, u64),
    pub(super) ranking: Option<Arc<ShownRanking>>,
    pub(super) desk: Option<DeskView>,
    pub(super) revision: u64,
    /// Whether the running round is dark.
    pub(super) blackout: Blackout,
    pub(super) tally_at: Instant,
    /// Votes that listeners here were not shown yet.
    pub(super) unshown: Unshown,
    /// What is not in the frames yet.
    pub(super) unwritten: DirtyFlags,
    /// Where voters reach this server, if that is sure.
    pub(super) voters_url: Option<String>,
    /// The room as each audience sees it now, once somebody has asked.
    pub(super) views: [Option<Arc<RawValue>>; 2],
}

/// Which parts have changed since frames were last encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DirtyFlags {
    pub(super) room: bool,
    pub(super) tally: bool,
    pub(super) presence: bool,
    pub(super) desk: bool,
}

impl DirtyFlags {
    pub(super) const ALL: Self = Self { room: true, tally: true, presence: true, desk: true };

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            room: self.room || other.room,
            tally: self.tally || other.tally,
            presence: self.presence || other.presence,
            desk: self.desk || other.desk,
        }
    }
}

impl BoardState {
    /// The gates' sum, once every gate is known.
    pub(super) fn sum(&self) -> Option<GateSum> {
        self.gates.iter().all(Option::is_some).then(|| sum(self.gates.iter().flatten()))
    }

    pub(super) fn closes_at(&self) -> Option<LedgerMs> {
        self.room.running.as_ref()?;
        self.sum()?.deadline
    }

    /// When the running round is to go dark, until the record knows that it is.
    pub(super) fn dark_from(&self) -> Option<LedgerMs> {
        visibility::dark_from(&self.room, self.closes_at())
    }

    /// Notices that the round has gone dark. True if that has changed what may be seen.
    pub(super) fn look_at_blackout(&mut self, now: LedgerMs) -> bool {
        let closes_at = self.closes_at();
        self.blackout.look(&self.room, closes_at, now)
    }

    pub(super) fn put_gate(&mut self, partition: usize, gate: Gate) -> DirtyFlags {
        let Some(place) = self.gates.get_mut(partition) else { return DirtyFlags::default() };
        let moved = place.as_ref().is_none_or(|old| gate.command_seq > old.command_seq);
        let newer = place.as_ref().is_none_or(|old| gate.tally.version > old.tally.version);
        if !moved && !newer {
            // only the pods' acknowledgements may have grown
            if let Some(old) = place {
                old.acknowledged = old.acknowledged.max(gate.acknowledged);
            }
            return DirtyFlags::default();
        }
        *place = Some(gate);
        DirtyFlags { room: moved, tally: true, ..DirtyFlags::default() }
    }

    pub(super) fn write(&mut self, frames: &mut Frames, audience: Audience, changed: DirtyFlags) {
        let sum = self.sum();
        if changed.room {
            self.write_room(frames, sum.as_ref(), audience);
        }
        if changed.room || changed.tally {
            self.write_tally(frames, sum.as_ref(), audience);
            frames.stored = sum.as_ref().map_or(frames.stored, |sum| sum.stored);
            frames.tally_at = self.tally_at;
        }
        if changed.presence {
            let (connected, voters) = self.presence;
            let presence = ServerMessage::Presence { connected, voters };
            self.set(frames, PRESENCE, Some(presence));
        }
        if changed.desk && audience == Audience::Emcee {
            let desk = self.desk.clone().map(ServerMessage::Desk);
            self.set(frames, DESK, desk);
        }
    }

    /// What of the frozen ranking is shown, and the ranking.
    fn shown(&self) -> Option<(Reveal, Arc<ShownRanking>)> {
        let reveal = self.room.reveal.as_ref()?;
        let ranking = self.ranking.as_ref().filter(|ranking| ranking.number == reveal.ranking)?;
        Some((reveal.clone(), ranking.clone()))
    }

    pub(super) fn room_view(&self, sum: Option<&GateSum>, audience: Audience) -> Arc<RawValue> {
        let reveal = self.shown().map(|(reveal, ranking)| ranking.view(&reveal, self.room.seq));
        let nothing = GateSum::default();
        let view = RoomView::new(&self.room, sum.unwrap_or(&nothing), reveal, self.blackout, audience);
        let json = serde_json::to_string(&view.reached_at(self.voters_url.as_deref()));
        let json = json.and_then(RawValue::from_string);
        json.expect("views have string keys and finite numbers").into()
    }

    fn write_room(&mut self, frames: &mut Frames, sum: Option<&GateSum>, audience: Audience) {
        let state = self.room_view(sum, audience);
        self.set(frames, STATE, Some(ServerMessage::State { room: &state, you: None }));
        let shown = self.shown();
        let reveal = shown.as_ref().map(|(reveal, ranking)| ranking.view(reveal, self.room.seq));
        self.set(frames, REVEAL, reveal.as_ref().map(ServerMessage::Reveal));
        let preview = shown.filter(|_| audience == Audience::Emcee);
        let preview = preview.map(|(reveal, ranking)| ServerMessage::Preview { next: ranking.preview(&reveal) });
        self.set(frames, PREVIEW, preview);
    }

    fn write_tally(&mut self, frames: &mut Frames, sum: Option<&GateSum>, audience: Audience) {
        let running = self.room.running.as_ref();
        let live = sum.filter(|sum| running.is_some_and(|r| (r.round, r.take) == (sum.round, sum.take)));
        let message = live.map(|sum| {
            let split = visibility::sees_split(&self.room, sum.round, self.blackout, audience);
            let tally = TallyView::new(&sum.tally, split);
            ServerMessage::Tally(TallyMessage { round: sum.round, take: sum.take, tally })
        });
        self.set(frames, TALLY, message);
    }

    fn set(&mut self, frames: &mut Frames, slot: usize, message: Option<ServerMessage<'_>>) {
        let Some(message) = message else {
            frames.slots[slot] = None;
            return;
        };
        self.revision += 1;
        frames.slots[slot] = Some(Slot { revision: self.revision, frame: Frame::new(&message.encode()) });
    }
}
