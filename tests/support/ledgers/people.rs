//! Voters, their names and cards.

use tallycast::domain::ids::{Card, Invite, VoterId};
use tallycast::domain::room::JoinMode;
use tallycast::domain::text::Name;
use tallycast::ledger::JoinRequest;

pub fn voter(number: usize) -> VoterId {
    VoterId::parse(&format!("voter-{number}")).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| name(text)).collect()
}

pub fn card() -> Card {
    Card::from_entropy(rand::random())
}

pub fn invite() -> Invite {
    Invite::from_entropy(rand::random())
}

/// The request of a voter who has never joined, for an open room.
pub fn newcomer(called: &str) -> JoinRequest {
    JoinRequest {
        voter: VoterId::from_entropy(rand::random()),
        has_token: false,
        name: Some(name(called)),
        card: card(),
        invite: None,
        mode: JoinMode::Open,
        suggestions: vec![],
    }
}
