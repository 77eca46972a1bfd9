//! What a board knows of its room, and how that is encoded into frames.

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

/// What a board knows of its room.
pub(super) struct BoardState {
    pub(super) room: Arc<Room>,
    /// By partition; `None` until it was read.
    pub(super) gates: Vec<Option<Gate>>,
    /// Voters joined.
    pub(super) voters: u64,
    /// Sockets of voters on all pods and voters joined, as sockets were last told.
    pub(super) presence: (u64, u64),
    pub(super) ranking: Option<Arc<ShownRanking>>,
    pub(super) desk: Option<DeskView>,
    /// Of the frame that was encoded last.
    pub(super) revision: u64,
    /// Whether the running round is dark.
    pub(super) blackout: Blackout,
    /// When the newest counts were put here.
    pub(super) tally_at: Instant,
    /// Votes that some socket of this process was not sent yet.
    pub(super) unshown: Unshown,
    /// What has changed since the last encoding.
    pub(super) dirty: DirtyFlags,
    /// Where voters reach this server, if that is known for sure.
    pub(super) voters_url: Option<String>,
    /// The room as each audience sees it, kept from the first request until the next change.
    pub(super) views: [Option<Arc<RawValue>>; 2],
}

/// Parts of a board.
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
    /// The sum of the gates, if every gate is known.
    pub(super) fn sum(&self) -> Option<GateSum> {
        self.gates.iter().all(Option::is_some).then(|| sum(self.gates.iter().flatten()))
    }

    /// When the running round closes by itself.
    pub(super) fn closes_at(&self) -> Option<LedgerMs> {
        self.room.running.as_ref()?;
        self.sum()?.deadline
    }

    /// When the running round goes dark; `None` once the record says that it is.
    pub(super) fn dark_from(&self) -> Option<LedgerMs> {
        visibility::dark_from(&self.room, self.closes_at())
    }

    /// Notes whether the round is dark at `now`. Returns true if that changes what may be seen.
    pub(super) fn update_blackout(&mut self, now: LedgerMs) -> bool {
        let closes_at = self.closes_at();
        self.blackout.update(&self.room, closes_at, now)
    }

    /// Puts a gate, if it is newer. Returns what has changed.
    pub(super) fn put_gate(&mut self, partition: usize, gate: Gate) -> DirtyFlags {
        let Some(place) = self.gates.get_mut(partition) else { return DirtyFlags::default() };
        let follows_newer_command = place.as_ref().is_none_or(|old| gate.command_seq > old.command_seq);
        let newer = place.as_ref().is_none_or(|old| gate.tally.version > old.tally.version);
        if !follows_newer_command && !newer {
            // only the number of acknowledged slips may have grown
            if let Some(old) = place {
                old.acknowledged = old.acknowledged.max(gate.acknowledged);
            }
            return DirtyFlags::default();
        }
        *place = Some(gate);
        DirtyFlags { room: follows_newer_command, tally: true, ..DirtyFlags::default() }
    }

    /// Encodes the dirty parts for one audience.
    pub(super) fn encode(&mut self, frames: &mut Frames, audience: Audience, dirty: DirtyFlags) {
        let sum = self.sum();
        if dirty.room {
            self.encode_room(frames, sum.as_ref(), audience);
        }
        if dirty.room || dirty.tally {
            self.encode_tally(frames, sum.as_ref(), audience);
            frames.stored = sum.as_ref().map_or(frames.stored, |sum| sum.stored);
            frames.tally_at = self.tally_at;
        }
        if dirty.presence {
            let (connected, voters) = self.presence;
            let presence = ServerMessage::Presence { connected, voters };
            self.set(frames, PRESENCE, Some(presence));
        }
        if dirty.desk && audience == Audience::Emcee {
            let desk = self.desk.clone().map(ServerMessage::Desk);
            self.set(frames, DESK, desk);
        }
    }

    /// The reveal that the record shows, with its ranking.
    fn shown(&self) -> Option<(Reveal, Arc<ShownRanking>)> {
        let reveal = self.room.reveal.as_ref()?;
        let ranking = self.ranking.as_ref().filter(|ranking| ranking.number == reveal.ranking)?;
        Some((reveal.clone(), ranking.clone()))
    }

    /// The whole room as `audience` sees it.
    pub(super) fn room_view(&self, sum: Option<&GateSum>, audience: Audience) -> Arc<RawValue> {
        let reveal = self.shown().map(|(reveal, ranking)| ranking.view(&reveal, self.room.seq));
        let no_counts = GateSum::default();
        let view = RoomView::new(&self.room, sum.unwrap_or(&no_counts), reveal, self.blackout, audience);
        let json = serde_json::to_string(&view.reached_at(self.voters_url.as_deref()));
        let json = json.and_then(RawValue::from_string);
        json.expect("views have string keys and finite numbers").into()
    }

    fn encode_room(&mut self, frames: &mut Frames, sum: Option<&GateSum>, audience: Audience) {
        let state = self.room_view(sum, audience);
        self.set(frames, STATE, Some(ServerMessage::State { room: &state, you: None }));
        let shown = self.shown();
        let reveal = shown.as_ref().map(|(reveal, ranking)| ranking.view(reveal, self.room.seq));
        self.set(frames, REVEAL, reveal.as_ref().map(ServerMessage::Reveal));
        let preview = shown.filter(|_| audience == Audience::Emcee);
        let preview = preview.map(|(reveal, ranking)| ServerMessage::Preview { next: ranking.preview(&reveal) });
        self.set(frames, PREVIEW, preview);
    }

    fn encode_tally(&mut self, frames: &mut Frames, sum: Option<&GateSum>, audience: Audience) {
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
