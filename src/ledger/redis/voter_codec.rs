//! The stored form of a voter: the card followed by the **person**, which is the name and its folded form, separated by
//! a line feed, which no name contains. Scripts split it, so they need not know how names are folded.

use super::error;
use super::keys::RoomKeys;
use crate::domain::ids::{Card, RoomId, VoterId};
use crate::domain::text::Name;
use crate::ledger::{LedgerError, Voter};

/// Characters of a card.
const CARD_CHARS: usize = 12;
/// A name and its folded form, as the scripts take them.
pub(super) fn person(name: &Name) -> String {
    format!("{name}\n{}", name.folded())
}

/// Decodes a stored voter.
pub(super) fn decode_voter(
    room: &RoomId,
    voter: Option<VoterId>,
    text: &str,
    removed: bool,
) -> Result<Voter, LedgerError> {
    let read = || {
        let (card, person) = text.split_at_checked(CARD_CHARS)?;
        let (name, _) = person.split_once('\n')?;
        Some(Voter { voter: voter?, name: Name::parse(name).ok()?, card: Card::parse(card).ok()?, removed })
    };
    read().ok_or_else(|| error::corrupt("invalid voter", RoomKeys(room).voters()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_is_decoded_from_the_stored_form() {
        let room = RoomId::from_entropy([7; 16]);
        let voter = Voter {
            voter: VoterId::parse("v1").unwrap(),
            name: Name::parse("Änne 2").unwrap(),
            card: Card::parse("ABCDEFGHJKLM").unwrap(),
            removed: true,
        };
        let text = format!("{}{}", voter.card, person(&voter.name));
        assert_eq!(decode_voter(&room, Some(voter.voter.clone()), &text, true).unwrap(), voter);
        for broken in ["", "ABCDEFGHJKLM", "ABCDEFGHJKLMAnna", "ABC\nanna", "ABCDEFGHJKL0Anna\nanna"] {
            assert!(decode_voter(&room, Some(voter.voter.clone()), broken, false).is_err(), "{broken:?}");
        }
    }
}
