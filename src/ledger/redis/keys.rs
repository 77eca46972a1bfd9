//! Every key and channel name. No other file spells one.
//!
//! The keys of a unit share one `{hash tag}`, so that a script on them can also run on a cluster. The units are the
//! directory, each room, and each partition of a room. No key with votes, voters, rooms or records ever has a TTL.

use crate::domain::ids::{RoomId, VoterId};

/// Join code → room id. Every room has a code, so its values are all rooms.
pub(super) const CODES: &str = "tc:{dir}:codes";
/// The organiser's own name → room id.
pub(super) const REFS: &str = "tc:{dir}:refs";
/// Sorted set: room id → when a job of the room was last about to be stored, in ms. A hint, see `job_hints.rs`.
pub(super) const ROOMS_WITH_JOBS: &str = "tc:{dir}:rooms_with_jobs";
/// Id of a room that is being imported → its claim: token, expiry, partitions, code, `ref`.
pub(super) const IMPORTS: &str = "tc:{dir}:imports";
/// Token of the last import claim.
pub(super) const IMPORT_TOKEN: &str = "tc:{dir}:import_token";
/// Never written: see `health.rs`.
pub(super) const PROBE: &str = "tc:{dir}:probe";

/// How the names of channels begin.
const CONTROL: &str = "tc:control:";
const BEACONS: &str = "tc:beacons:";

/// Exists from the end of a sign-in until the time at which it would have expired anyway.
pub(super) fn signed_out(sign_in: &str) -> String {
    format!("tc:{{dir}}:signed_out:{sign_in}")
}

/// The channel of all messages except gates and beacons: those that only processes with the emcee or jobs may send.
/// Channels do not belong to a database, so its number is part of the name.
pub(super) fn control_channel(database: i64) -> String {
    format!("{CONTROL}{database}")
}

/// True for the control channel of any database.
pub(super) fn is_control_channel(channel: &str) -> bool {
    channel.starts_with(CONTROL)
}

/// The channel of beacons, which every process sends.
pub(super) fn beacons_channel(database: i64) -> String {
    format!("{BEACONS}{database}")
}

/// True for the beacons' channel of any database.
pub(super) fn is_beacons_channel(channel: &str) -> bool {
    channel.starts_with(BEACONS)
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

    /// Hash: voter → card and name, see `voter_codec.rs`.
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

    /// Sorted set: all voters, sorted by id for pages.
    pub(super) fn roster(self) -> String {
        self.key("roster")
    }

    /// Set: removed voters. The sets of the partitions are updated after it.
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

    /// Token of the import that is writing the room or has written it. Each partition has one too.
    pub(super) fn claim(self) -> String {
        self.key("claim")
    }

    /// Stream: jobs that are not done yet, as JSON.
    pub(super) fn jobs(self) -> String {
        self.key("jobs")
    }

    /// Hash: ids of all jobs that were ever stored.
    pub(super) fn job_ids(self) -> String {
        self.key("job_ids")
    }

    /// A pattern that matches all keys of the room, those of its partitions too.
    pub(super) fn pattern(self) -> String {
        format!("tc:{{{}[.}}]*", self.0)
    }

    /// The partition that a key of this room belongs to; `None` if it belongs to the room itself.
    pub(super) fn partition_of(self, key: &str) -> Option<u16> {
        let (tag, _) = key.strip_prefix("tc:{")?.split_once('}')?;
        tag.strip_prefix(self.0.as_str())?.strip_prefix('.')?.parse().ok()
    }

    /// Hash: slice number → ranking entries as JSON.
    pub(super) fn ranking(self, ranking: u64) -> String {
        self.key(&format!("ranking:{ranking}"))
    }

    /// A pattern that matches the keys of all its rankings.
    pub(super) fn rankings(self) -> String {
        self.key("ranking:*")
    }

    /// The number of the ranking with this key; `None` if it is not a ranking of this room.
    pub(super) fn ranking_number(self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.key("ranking:"))?.parse().ok()
    }

    /// Set: voters who are present on a pod. Expires.
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

    /// Hash: see `gate_codec.rs`.
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

    /// Set: removed voters, whose casts are refused in this partition.
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
    fn the_number_of_a_ranking_is_read_from_its_key() {
        let (room, other) = (RoomId::from_entropy([7; 16]), RoomId::from_entropy([8; 16]));
        assert_eq!(RoomKeys(&room).ranking_number(&RoomKeys(&room).ranking(7)), Some(7));
        assert_eq!(RoomKeys(&room).ranking_number(&RoomKeys(&other).ranking(7)), None);
        assert_eq!(RoomKeys(&room).ranking_number(&RoomKeys(&room).rankings()), None);
    }

    #[test]
    fn a_room_id_cannot_form_a_key_of_the_directory() {
        assert!(RoomId::parse("dir").is_err());
        // nor a pattern that matches more than the room's own keys
        for id in ["abcdefghijklmno*", "abcdefghijklmno[", "abcdefghijklmn.1", "abcdefghijklmno}"] {
            assert!(RoomId::parse(id).is_err(), "{id}");
        }
    }

    #[test]
    fn ballots_of_different_takes_have_different_keys() {
        let keys = PartitionKeys::new(&RoomId::from_entropy([7; 16]), 0);
        assert_ne!(keys.ballots((1, 11)), keys.ballots((11, 1)));
    }
}
