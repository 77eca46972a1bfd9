//! Voters, their cards, invites and removals. The rules of joining are in `joining.rs`.

use std::ops::Bound;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable};
use serde::{Deserialize, Serialize};

use super::ledger::EmbeddedLedger;
use super::tables::{AFTER_ALL_IDS, BALLOTS, INVITES, StoreError, VOTERS, load, parse, store};
use super::votes::stored_ballot;
use super::write_transaction::WriteTransaction;
use crate::domain::ballot::Ballot;
use crate::domain::gate::partition_of;
use crate::domain::ids::{Invite, RoomId, VoterId};
use crate::domain::text::{Name, folded};
use crate::ledger::{
    FeedEvent, Invited, JoinOutcome, JoinRequest, LedgerError, RenameRequest, ResumeRequest, Voter, VoterStore,
    VotersPage, VotersQuery,
};

/// An invite, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Invitation {
    /// The name that it reserves.
    pub(super) name: Name,
    /// The voter who has used it.
    pub(super) voter: Option<VoterId>,
}

#[async_trait]
impl VoterStore for EmbeddedLedger {
    async fn join(&self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, LedgerError> {
        let (room, request) = (room.clone(), request.clone());
        self.store.write(1, move |transaction| transaction.join(&room, &request)).await
    }

    async fn resume(
        &self,
        room: &RoomId,
        partitions: u16,
        requests: &[ResumeRequest],
    ) -> Result<Vec<(Voter, Ballot)>, LedgerError> {
        let (id, batch) = (room.clone(), requests.to_vec());
        let known = self.store.read(move |transaction| known_voters(transaction, &id, partitions, &batch)).await?;
        let mut resumed = Vec::with_capacity(known.len());
        for (request, (voter, ballot)) in requests.iter().zip(known) {
            let voter = match voter {
                Some(voter) => voter,
                None => {
                    let (id, request) = (room.clone(), request.clone());
                    self.store.write(1, move |transaction| transaction.restore_voter(&id, &request)).await?
                }
            };
            resumed.push((voter, ballot));
        }
        Ok(resumed)
    }

    async fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, LedgerError> {
        let (room, voter) = (room.clone(), voter.clone());
        let read = move |transaction: &ReadTransaction| {
            load(&transaction.open_table(VOTERS)?, (room.as_str(), voter.as_str()))
        };
        self.store.read(read).await
    }

    async fn voters(&self, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, LedgerError> {
        let (room, query) = (room.clone(), query.clone());
        self.store.read(move |transaction| voters_page(transaction, &room, &query)).await
    }

    async fn rename(&self, room: &RoomId, request: &RenameRequest) -> Result<JoinOutcome, LedgerError> {
        let (room, request) = (room.clone(), request.clone());
        self.store.write(1, move |transaction| transaction.rename(&room, &request)).await
    }

    async fn set_removed(
        &self,
        room: &RoomId,
        _partitions: u16,
        voter: &VoterId,
        removed: bool,
    ) -> Result<Option<Voter>, LedgerError> {
        let (room, voter) = (room.clone(), voter.clone());
        self.store.write(1, move |transaction| transaction.set_removed(&room, &voter, removed)).await
    }

    async fn invite(&self, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, LedgerError> {
        let (room, people) = (room.clone(), people.to_vec());
        self.store.write(people.len(), move |transaction| transaction.invite(&room, &people)).await
    }

    async fn invites(&self, room: &RoomId) -> Result<Vec<Invited>, LedgerError> {
        let room = room.clone();
        let read = move |transaction: &ReadTransaction| {
            let table = transaction.open_table(INVITES)?;
            let invites = table.range::<(&str, &str)>((room.as_str(), "")..(room.as_str(), AFTER_ALL_IDS))?;
            let invites = invites.map(|entry| {
                let (key, value) = entry?;
                let Invitation { name, voter } = parse(value.value())?;
                let invite = Invite::parse(key.value().1).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                Ok(Invited { invite, name, voter })
            });
            invites.collect()
        };
        self.store.read(read).await
    }
}

impl WriteTransaction<'_> {
    /// Removes a voter, or takes that back. Votes are refused from this transaction on.
    fn set_removed(&mut self, room: &RoomId, id: &VoterId, removed: bool) -> Result<Option<Voter>, StoreError> {
        let Some(voter) = self.voter(room, id)? else { return Ok(None) };
        let changed = Voter { removed, ..voter.clone() };
        if voter.removed != removed {
            store(&mut self.tables.voters, (room.as_str(), id.as_str()), &changed)?;
            self.change_headcount(room, if removed { -1 } else { 1 })?;
        }
        if removed {
            self.announce(FeedEvent::VoterRemoved { room: room.clone(), voter: id.clone() });
        }
        Ok(Some(changed))
    }

    /// Invites people. A name that was invited before keeps its invite.
    fn invite(&mut self, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, StoreError> {
        for (name, invite) in people {
            let stored = self.invitation(room, invite)?;
            if stored.is_some_and(|stored| stored.name.folded() != name.folded()) {
                return Err(StoreError::Misused("an invite belongs to one name"));
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

    pub(super) fn write_voter(&mut self, room: &RoomId, voter: &Voter) -> Result<(), StoreError> {
        let id = voter.voter.as_str();
        store(&mut self.tables.voters, (room.as_str(), id), voter)?;
        self.tables.names.insert((room.as_str(), voter.name.folded().as_str()), id)?;
        self.tables.cards.insert((room.as_str(), voter.card.as_str()), id)?;
        self.change_headcount(room, 1)
    }

    /// Writes a voter of an import. The same voter again changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn import_voter(&mut self, room: &RoomId, voter: &Voter) -> Result<(), StoreError> {
        if self.voter(room, &voter.voter)?.is_some() {
            return Ok(());
        }
        self.write_voter(room, voter)?;
        self.change_headcount(room, if voter.removed { -1 } else { 0 })
    }

    /// Writes an invite of an import.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn import_invite(&mut self, room: &RoomId, invited: &Invited) -> Result<(), StoreError> {
        let invite = invited.invite.as_str();
        self.tables.invited.insert((room.as_str(), invited.name.folded().as_str()), invite)?;
        let invitation = Invitation { name: invited.name.clone(), voter: invited.voter.clone() };
        store(&mut self.tables.invites, (room.as_str(), invite), &invitation)
    }

    fn change_headcount(&mut self, room: &RoomId, difference: i64) -> Result<(), StoreError> {
        let heads = self.tables.headcounts.get(room.as_str())?.map_or(0, |count| count.value());
        self.tables.headcounts.insert(room.as_str(), heads.saturating_add_signed(difference))?;
        Ok(())
    }

    pub(super) fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, StoreError> {
        load(&self.tables.voters, (room.as_str(), voter.as_str()))
    }

    pub(super) fn invitation(&self, room: &RoomId, invite: &Invite) -> Result<Option<Invitation>, StoreError> {
        load(&self.tables.invites, (room.as_str(), invite.as_str()))
    }
}

/// The voter and the ballot of each request; `None` for a voter whom the ledger has lost.
fn known_voters(
    transaction: &ReadTransaction,
    room: &RoomId,
    partitions: u16,
    requests: &[ResumeRequest],
) -> Result<Vec<(Option<Voter>, Ballot)>, StoreError> {
    let (voters, ballots) = (transaction.open_table(VOTERS)?, transaction.open_table(BALLOTS)?);
    let known = requests.iter().map(|request| {
        let id = request.voter.as_str();
        let voter = load(&voters, (room.as_str(), id))?;
        let Some((round, take)) = request.take else { return Ok((voter, Ballot::default())) };
        Ok((voter, stored_ballot(&ballots, (room.as_str(), partition_of(id, partitions), round, take, id))?))
    });
    known.collect()
}

/// A page of voters whose name contains the text of the query.
fn voters_page(transaction: &ReadTransaction, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, StoreError> {
    let table = transaction.open_table(VOTERS)?;
    let after = query.after.as_ref().map_or("", VoterId::as_str);
    let range = (Bound::Excluded((room.as_str(), after)), Bound::Excluded((room.as_str(), AFTER_ALL_IDS)));
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
