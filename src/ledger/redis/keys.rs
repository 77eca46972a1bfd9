//! Every key and channel name, and nowhere else.
//!
//! Keys of a unit share one `{hash tag}`, so that a script on them also runs on a cluster: the directory, each room,
//! each partition of a room. No key with votes, voters, rooms or records ever has a TTL.

use crate::domain::ids::{RoomId, VoterId};

/// Join code → room id. Every room has a code, so its values are all rooms.
pub(super) const CODES: &str = "tc:{dir}:codes";
/// The organiser's own name → room id.
pub(super) const REFS: &str = "tc:{dir}:refs";
/// Sorted set: room id → when a job of it was last about to be stored, in ms. A hint: see `jobs.rs`.
pub(super) const ROOMS_WITH_JOBS: &str = "tc:{dir}:rooms_with_jobs";
/// Id of a room that is being brought in → its claim: token, until when, partitions, code, `ref`.
pub(super) const IMPORTS: &str = "tc:{dir}:imports";
/// Token of the last claim.
pub(super) const IMPORT_TOKEN: &str = "tc:{dir}:import_token";
/// Never written: see `health.rs`.
pub(super) const PROBE: &str = "tc:{dir}:probe";

/// Exists while a sign-in is ended that would still be valid.
pub(super) fn signed_out(sign_in: &str) -> String {
    format!("tc:{{dir}}:signed_out:{sign_in}")
}

/// The channel of all that is not a gate. Channels do not belong to a database, so its number is part of the name.
pub(super) fn control_channel(database: i64) -> String {
    format!("tc:control:{database}")
}

/// The channel of a room's gates.
pub(super) fn gates_channel(room: &RoomId) -> String {
    format!("tc:gates:{room}")
}

/// Keys of a room.
#[derive(Clone, Copy)]
pub(super) struct RoomKeys<'r>(pub &'r RoomId);

impl RoomKeys<'_> {
    fn key(self, name: &str) -> String {
        format!("tc:{{{}}}:{name}", self.0)
    }

    /// Hash: `seq` and `record`, the room as JSON.
    pub(super) fn record(self) -> String {
        self.key("record")
    }

    /// Hash: voter → card and name, see `people.rs`.
    pub(super) fn voters(self) -> String {
        self.key("voters")
    }

    /// Hash: folded name → voter.
    pub(super) fn names(self) -> String {
        self.key("names")
    }

    /// Hash: card → voter.
    pub(super) fn cards(self) -> String {
        self.key("cards")
    }

    /// Sorted set: all voters by id, for pages.
    pub(super) fn roster(self) -> String {
        self.key("roster")
    }

    /// Set: removed voters. The partitions' sets follow it.
    pub(super) fn removed(self) -> String {
        self.key("removed")
    }

    /// Hash: invite → the invited name.
    pub(super) fn invites(self) -> String {
        self.key("invites")
    }

    /// Hash: folded name → invite.
    pub(super) fn invited(self) -> String {
        self.key("invited")
    }

    /// Hash: used invite → voter.
    pub(super) fn invite_voters(self) -> String {
        self.key("invite_voters")
    }

    /// Token of the import that writes the room, or has written it. Each partition has one too.
    pub(super) fn claim(self) -> String {
        self.key("claim")
    }

    /// Stream: jobs that are not done, as JSON.
    pub(super) fn jobs(self) -> String {
        self.key("jobs")
    }

    /// Hash: id of every job ever stored.
    pub(super) fn job_ids(self) -> String {
        self.key("job_ids")
    }

    /// What all keys of the room begin with, its partitions' too.
    pub(super) fn pattern(self) -> String {
        format!("tc:{{{}[.}}]*", self.0)
    }

    /// The partition that a key of this room belongs to; `None`: the room itself.
    pub(super) fn partition_of(self, key: &str) -> Option<u16> {
        let (tag, _) = key.strip_prefix("tc:{")?.split_once('}')?;
        tag.strip_prefix(self.0.as_str())?.strip_prefix('.')?.parse().ok()
    }

    /// Hash: slice number → ranking entries as JSON.
    pub(super) fn ranking(self, ranking: u64) -> String {
        self.key(&format!("ranking:{ranking}"))
    }

    /// What the keys of all its rankings are like.
    pub(super) fn rankings(self) -> String {
        self.key("ranking:*")
    }

    /// The number of a ranking by its key; `None` if it is not one of this room.
    pub(super) fn ranking_number(self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.key("ranking:"))?.parse().ok()
    }

    /// Set: voters present on a pod. Expires.
    pub(super) fn present(self, pod: &str) -> String {
        self.key(&format!("present:{pod}"))
    }
}

/// Keys of one partition of a room.
#[derive(Clone)]
pub(super) struct PartitionKeys {
    tag: String,
}

impl PartitionKeys {
    pub(super) fn new(room: &RoomId, partition: u16) -> Self {
        Self { tag: format!("tc:{{{room}.{partition}}}") }
    }

    /// The partition that keeps this voter's ballots.
    pub(super) fn of(room: &RoomId, partitions: u16, voter: &VoterId) -> Self {
        Self::new(room, crate::domain::gate::partition_of(voter.as_str(), partitions))
    }

    /// Hash: see `gate.rs`.
    pub(super) fn gate(&self) -> String {
        format!("{}:gate", self.tag)
    }

    /// Hash: voter → [`crate::domain::ballot::Ballot::encode`].
    pub(super) fn ballots(&self, (round, take): (u16, u16)) -> String {
        format!("{}:ballots:{round}.{take}", self.tag)
    }

    /// See [`RoomKeys::claim`].
    pub(super) fn claim(&self) -> String {
        format!("{}:claim", self.tag)
    }

    /// Set: removed voters, from whom no votes are taken here.
    pub(super) fn removed(&self) -> String {
        format!("{}:removed", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str) -> &str {
        let (_, rest) = key.split_once('{').unwrap();
        rest.split_once('}').unwrap().0
    }

    #[test]
    fn keys_of_a_unit_share_its_hash_tag() {
        let room = RoomId::from_entropy([7; 16]);
        let keys = RoomKeys(&room);
        for key in [keys.record(), keys.roster(), keys.ranking(7), keys.claim(), keys.present("pod{1}")] {
            assert_eq!((tag(&key), keys.partition_of(&key)), (room.as_str(), None), "{key}");
        }
        let of = PartitionKeys::new(&room, 3);
        for key in [of.gate(), of.ballots((2, 1)), of.claim(), of.removed()] {
            assert_eq!((tag(&key), keys.partition_of(&key)), (&*format!("{room}.3"), Some(3)), "{key}");
        }
        for key in [CODES, REFS, ROOMS_WITH_JOBS, IMPORTS, IMPORT_TOKEN, PROBE, &signed_out("{x}")] {
            assert_eq!(tag(key), "dir", "{key}");
        }
    }

    #[test]
    fn a_ranking_is_known_by_its_key() {
        let (room, other) = (RoomId::from_entropy([7; 16]), RoomId::from_entropy([8; 16]));
        assert_eq!(RoomKeys(&room).ranking_number(&RoomKeys(&room).ranking(7)), Some(7));
        assert_eq!(RoomKeys(&room).ranking_number(&RoomKeys(&other).ranking(7)), None);
        assert_eq!(RoomKeys(&room).ranking_number(&RoomKeys(&room).rankings()), None);
    }

    #[test]
    fn no_room_can_spell_a_key_of_the_directory() {
        assert!(RoomId::parse("dir").is_err());
        // nor a pattern that would match more than its own keys
        for id in ["abcdefghijklmno*", "abcdefghijklmno[", "abcdefghijklmn.1", "abcdefghijklmno}"] {
            assert!(RoomId::parse(id).is_err(), "{id}");
        }
    }

    #[test]
    fn ballots_of_different_takes_lie_apart() {
        let keys = PartitionKeys::new(&RoomId::from_entropy([7; 16]), 0);
        assert_ne!(keys.ballots((1, 11)), keys.ballots((11, 1)));
    }
}
