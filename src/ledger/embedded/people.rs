//! Voters, their names, cards and invites.
//!
//! A name belongs to the voter who has it, and to the invite that was made for it: that one reserves it for ever, so
//! that whoever was invited as Anna can still become Anna.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable};
use serde::{Deserialize, Serialize};

use super::tables::{BALLOTS, BEHIND_ALL_IDS, INVITES, StoreError, VOTERS, load, parse, store};
use super::votes::stored_ballot;
use super::work::Work;
use crate::domain::ballot::Ballot;
use crate::domain::gate::partition_of;
use crate::domain::ids::{Invite, RoomId, VoterId};
use crate::domain::room::JoinMode;
use crate::domain::text::{Name, folded};
use crate::ledger::{FeedEvent, Greeting, Invited, JoinOutcome, JoinRequest, Renaming, Voter, VotersPage, VotersQuery};

/// Whom an invite is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invitation {
    /// The name that it reserves.
    name: Name,
    /// Who has used it.
    voter: Option<VoterId>,
}

impl Work<'_> {
    /// Joins a voter. Whoever is known by token, card or invite is answered as known, whatever else is asked.
    pub fn join(&mut self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, StoreError> {
        if let Some(voter) = self.known_by_token_or_card(room, request)? {
            return Ok(known(voter));
        }
        let invitation = match &request.invite {
            None => None,
            Some(invite) => match self.invitation(room, invite)? {
                None => return Ok(JoinOutcome::BadInvite),
                Some(Invitation { voter: Some(voter), .. }) => return self.expect_voter(room, &voter).map(known),
                unused => unused,
            },
        };
        // a token proves that its holder was let in before
        match request.mode {
            JoinMode::Closed if !request.has_token => return Ok(JoinOutcome::Closed),
            JoinMode::Invite if !request.has_token && invitation.is_none() => return Ok(JoinOutcome::InviteNeeded),
            _ => {}
        }
        let invited_as = invitation.as_ref().map(|invitation| &invitation.name);
        let Some(name) = request.name.as_ref().or(invited_as) else { return Ok(JoinOutcome::NameMissing) };
        let free = |name: &Name| self.is_free(room, name, &request.voter, request.invite.as_ref());
        if !free(name)? {
            return first_free(&request.suggestions, free).map(JoinOutcome::NameTaken);
        }
        if self.voter(room, &request.voter)?.is_some() {
            return Err(StoreError::Misused("a new voter needs a new id"));
        }
        let voter =
            Voter { voter: request.voter.clone(), name: name.clone(), card: request.card.clone(), removed: false };
        if let (Some(invite), Some(invitation)) = (&request.invite, invitation) {
            let used = Invitation { voter: Some(voter.voter.clone()), ..invitation };
            store(&mut self.tables.invites, (room.as_str(), invite.as_str()), &used)?;
        }
        self.write_voter(room, &voter)?;
        Ok(JoinOutcome::Done(voter))
    }

    /// Writes a voter again whom the ledger has lost. The name may be somebody else's by now: then a variation of it.
    pub fn restore(&mut self, room: &RoomId, greeting: &Greeting) -> Result<Voter, StoreError> {
        if let Some(voter) = self.voter(room, &greeting.voter)? {
            return Ok(voter);
        }
        let free = |name: &Name| self.is_free(room, name, &greeting.voter, None);
        let mut name = greeting.name.clone();
        let mut number = 2;
        while !free(&name)? {
            name = greeting.name.numbered(number);
            number += 1;
        }
        let voter = Voter { voter: greeting.voter.clone(), name, card: greeting.card.clone(), removed: false };
        self.write_voter(room, &voter)?;
        Ok(voter)
    }

    /// Gives a voter another name; the old one is free then, unless an invite reserves it.
    pub fn rename(&mut self, room: &RoomId, renaming: &Renaming) -> Result<JoinOutcome, StoreError> {
        let Some(voter) = self.voter(room, &renaming.voter)? else { return Ok(JoinOutcome::NoSuchVoter) };
        let free = |name: &Name| self.is_free(room, name, &renaming.voter, None);
        if !free(&renaming.name)? {
            return first_free(&renaming.suggestions, free).map(JoinOutcome::NameTaken);
        }
        let renamed = Voter { name: renaming.name.clone(), ..voter.clone() };
        self.tables.names.remove((room.as_str(), voter.name.folded().as_str()))?;
        self.tables.names.insert((room.as_str(), renamed.name.folded().as_str()), renamed.voter.as_str())?;
        store(&mut self.tables.voters, (room.as_str(), renamed.voter.as_str()), &renamed)?;
        Ok(JoinOutcome::Done(renamed))
    }

    /// Removes a voter or takes that back. Votes are refused from this transaction on.
    pub fn set_removed(&mut self, room: &RoomId, id: &VoterId, removed: bool) -> Result<Option<Voter>, StoreError> {
        let Some(voter) = self.voter(room, id)? else { return Ok(None) };
        let changed = Voter { removed, ..voter.clone() };
        if voter.removed != removed {
            store(&mut self.tables.voters, (room.as_str(), id.as_str()), &changed)?;
            self.add_heads(room, if removed { -1 } else { 1 })?;
        }
        if removed {
            self.announce(FeedEvent::VoterRemoved { room: room.clone(), voter: id.clone() });
        }
        Ok(Some(changed))
    }

    /// Invites people; a name that was invited before keeps its invite.
    pub fn invite(&mut self, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, StoreError> {
        for (name, invite) in people {
            let holder = self.invitation(room, invite)?;
            if holder.is_some_and(|holder| holder.name.folded() != name.folded()) {
                return Err(StoreError::Misused("an invite is for one name"));
            }
        }
        people.iter().map(|(name, invite)| self.invite_one(room, name, invite)).collect()
    }

    fn invite_one(&mut self, room: &RoomId, name: &Name, invite: &Invite) -> Result<Invite, StoreError> {
        let folded = name.folded();
        if let Some(before) = self.tables.invited.get((room.as_str(), folded.as_str()))? {
            return Invite::parse(before.value()).map_err(|error| StoreError::Corrupt(error.to_string()));
        }
        self.tables.invited.insert((room.as_str(), folded.as_str()), invite.as_str())?;
        let invitation = Invitation { name: name.clone(), voter: None };
        store(&mut self.tables.invites, (room.as_str(), invite.as_str()), &invitation)?;
        Ok(invite.clone())
    }

    fn known_by_token_or_card(&self, room: &RoomId, request: &JoinRequest) -> Result<Option<Voter>, StoreError> {
        if request.has_token
            && let Some(voter) = self.voter(room, &request.voter)?
        {
            return Ok(Some(voter));
        }
        let Some(voter) = self.tables.cards.get((room.as_str(), request.card.as_str()))? else { return Ok(None) };
        load(&self.tables.voters, (room.as_str(), voter.value()))
    }

    /// Nobody else has the name, and no invite but that of `voter`, or the one in hand, reserves it.
    fn is_free(&self, room: &RoomId, name: &Name, voter: &VoterId, hand: Option<&Invite>) -> Result<bool, StoreError> {
        let folded = name.folded();
        let key = (room.as_str(), folded.as_str());
        if self.tables.names.get(key)?.is_some_and(|holder| holder.value() != voter.as_str()) {
            return Ok(false);
        }
        let Some(invite) = self.tables.invited.get(key)? else { return Ok(true) };
        if hand.is_some_and(|hand| hand.as_str() == invite.value()) {
            return Ok(true);
        }
        let invitation: Option<Invitation> = load(&self.tables.invites, (room.as_str(), invite.value()))?;
        Ok(invitation.is_none_or(|invitation| invitation.voter.as_ref() == Some(voter)))
    }

    fn write_voter(&mut self, room: &RoomId, voter: &Voter) -> Result<(), StoreError> {
        let id = voter.voter.as_str();
        store(&mut self.tables.voters, (room.as_str(), id), voter)?;
        self.tables.names.insert((room.as_str(), voter.name.folded().as_str()), id)?;
        self.tables.cards.insert((room.as_str(), voter.card.as_str()), id)?;
        self.add_heads(room, 1)
    }

    /// Writes a voter who comes from elsewhere; the same again changes nothing.
    pub fn bring_voter(&mut self, room: &RoomId, voter: &Voter) -> Result<(), StoreError> {
        if self.voter(room, &voter.voter)?.is_some() {
            return Ok(());
        }
        self.write_voter(room, voter)?;
        self.add_heads(room, if voter.removed { -1 } else { 0 })
    }

    /// Writes an invite that comes from elsewhere.
    pub fn bring_invite(&mut self, room: &RoomId, invited: &Invited) -> Result<(), StoreError> {
        let invite = invited.invite.as_str();
        self.tables.invited.insert((room.as_str(), invited.name.folded().as_str()), invite)?;
        let invitation = Invitation { name: invited.name.clone(), voter: invited.voter.clone() };
        store(&mut self.tables.invites, (room.as_str(), invite), &invitation)
    }

    fn add_heads(&mut self, room: &RoomId, difference: i64) -> Result<(), StoreError> {
        let heads = self.tables.headcounts.get(room.as_str())?.map_or(0, |count| count.value());
        self.tables.headcounts.insert(room.as_str(), heads.saturating_add_signed(difference))?;
        Ok(())
    }

    fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, StoreError> {
        load(&self.tables.voters, (room.as_str(), voter.as_str()))
    }

    fn expect_voter(&self, room: &RoomId, voter: &VoterId) -> Result<Voter, StoreError> {
        self.voter(room, voter)?.ok_or_else(|| StoreError::Corrupt("an invite leads to no voter".into()))
    }

    fn invitation(&self, room: &RoomId, invite: &Invite) -> Result<Option<Invitation>, StoreError> {
        load(&self.tables.invites, (room.as_str(), invite.as_str()))
    }
}

fn known(voter: Voter) -> JoinOutcome {
    if voter.removed { JoinOutcome::Removed } else { JoinOutcome::Known(voter) }
}

fn first_free(names: &[Name], free: impl Fn(&Name) -> Result<bool, StoreError>) -> Result<Option<Name>, StoreError> {
    for name in names {
        if free(name)? {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// A voter by id.
pub fn voter(transaction: &ReadTransaction, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, StoreError> {
    load(&transaction.open_table(VOTERS)?, (room.as_str(), voter.as_str()))
}

/// All invites.
pub fn invites(transaction: &ReadTransaction, room: &RoomId) -> Result<Vec<Invited>, StoreError> {
    let table = transaction.open_table(INVITES)?;
    let invites = table.range::<(&str, &str)>((room.as_str(), "")..(room.as_str(), BEHIND_ALL_IDS))?;
    let invites = invites.map(|entry| {
        let (key, value) = entry?;
        let Invitation { name, voter } = parse(value.value())?;
        let invite = Invite::parse(key.value().1).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(Invited { invite, name, voter })
    });
    invites.collect()
}

/// The voters that are greeted, as far as they are known, and their ballots.
pub fn greeted(
    transaction: &ReadTransaction,
    room: &RoomId,
    partitions: u16,
    greetings: &[Greeting],
) -> Result<Vec<(Option<Voter>, Ballot)>, StoreError> {
    let (voters, ballots) = (transaction.open_table(VOTERS)?, transaction.open_table(BALLOTS)?);
    let greeted = greetings.iter().map(|greeting| {
        let id = greeting.voter.as_str();
        let voter = load(&voters, (room.as_str(), id))?;
        let Some((round, take)) = greeting.take else { return Ok((voter, Ballot::default())) };
        Ok((voter, stored_ballot(&ballots, (room.as_str(), partition_of(id, partitions), round, take, id))?))
    });
    greeted.collect()
}

/// A page of voters, by id, whose name holds the text asked for.
pub fn voters(transaction: &ReadTransaction, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, StoreError> {
    let table = transaction.open_table(VOTERS)?;
    let after = query.after.as_ref().map_or("", VoterId::as_str);
    let range = (Bound::Excluded((room.as_str(), after)), Bound::Excluded((room.as_str(), BEHIND_ALL_IDS)));
    let text = folded(&query.text);
    let mut page = VotersPage::default();
    for entry in table.range::<(&str, &str)>(range)? {
        let voter: Voter = parse(entry?.1.value())?;
        if !voter.name.folded().contains(&text) {
            continue;
        }
        if page.voters.len() == query.limit {
            page.next = page.voters.last().map(|last| last.voter.clone());
            break;
        }
        page.voters.push(voter);
    }
    Ok(page)
}
