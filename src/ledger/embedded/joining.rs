//! Joining and names.
//!
//! A name is taken by the voter who has it, and also by the invite that was made for it. An invite reserves its name for
//! good: a person invited as Anna can become Anna however late they join.

use redb::ReadableTable;

use super::tables::{StoreError, load, store};
use super::voters::Invitation;
use super::write_transaction::WriteTransaction;
use crate::domain::ids::{Invite, RoomId, VoterId};
use crate::domain::room::JoinMode;
use crate::domain::text::Name;
use crate::ledger::{JoinOutcome, JoinRequest, RenameRequest, ResumeRequest, Voter};

impl WriteTransaction<'_> {
    /// Joins a voter. One who is known by token, card or invite is answered as known, whatever else the request says.
    pub(super) fn join(&mut self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, StoreError> {
        if let Some(voter) = self.known_by_token_or_card(room, request)? {
            return Ok(known(voter));
        }
        let invitation = match &request.invite {
            None => None,
            Some(invite) => match self.invitation(room, invite)? {
                None => return Ok(JoinOutcome::BadInvite),
                Some(Invitation { voter: Some(voter), .. }) => return self.invited_voter(room, &voter).map(known),
                unused => unused,
            },
        };
        // the holder of a token was admitted before
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

    /// Writes a voter again whom the ledger has lost. If another voter has the name by now, a variation of it is used.
    pub(super) fn restore_voter(&mut self, room: &RoomId, request: &ResumeRequest) -> Result<Voter, StoreError> {
        if let Some(voter) = self.voter(room, &request.voter)? {
            return Ok(voter);
        }
        let free = |name: &Name| self.is_free(room, name, &request.voter, None);
        let mut name = request.name.clone();
        let mut number = 2;
        while !free(&name)? {
            name = request.name.numbered(number);
            number += 1;
        }
        let voter = Voter { voter: request.voter.clone(), name, card: request.card.clone(), removed: false };
        self.write_voter(room, &voter)?;
        Ok(voter)
    }

    /// Gives a voter another name. The old name is free then, unless an invite reserves it.
    pub(super) fn rename(&mut self, room: &RoomId, request: &RenameRequest) -> Result<JoinOutcome, StoreError> {
        let Some(voter) = self.voter(room, &request.voter)? else { return Ok(JoinOutcome::NoSuchVoter) };
        let free = |name: &Name| self.is_free(room, name, &request.voter, None);
        if !free(&request.name)? {
            return first_free(&request.suggestions, free).map(JoinOutcome::NameTaken);
        }
        let renamed = Voter { name: request.name.clone(), ..voter.clone() };
        self.tables.names.remove((room.as_str(), voter.name.folded().as_str()))?;
        self.tables.names.insert((room.as_str(), renamed.name.folded().as_str()), renamed.voter.as_str())?;
        store(&mut self.tables.voters, (room.as_str(), renamed.voter.as_str()), &renamed)?;
        Ok(JoinOutcome::Done(renamed))
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

    /// True if no other voter has the name, and no invite reserves it except that of `voter` or the `given` one.
    fn is_free(&self, room: &RoomId, name: &Name, voter: &VoterId, given: Option<&Invite>) -> Result<bool, StoreError> {
        let folded = name.folded();
        let key = (room.as_str(), folded.as_str());
        if self.tables.names.get(key)?.is_some_and(|owner| owner.value() != voter.as_str()) {
            return Ok(false);
        }
        let Some(invite) = self.tables.invited.get(key)? else { return Ok(true) };
        if given.is_some_and(|given| given.as_str() == invite.value()) {
            return Ok(true);
        }
        let invitation: Option<Invitation> = load(&self.tables.invites, (room.as_str(), invite.value()))?;
        Ok(invitation.is_none_or(|invitation| invitation.voter.as_ref() == Some(voter)))
    }

    fn invited_voter(&self, room: &RoomId, voter: &VoterId) -> Result<Voter, StoreError> {
        self.voter(room, voter)?
            .ok_or_else(|| StoreError::Corrupt("an invite leads to a voter who does not exist".into()))
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
