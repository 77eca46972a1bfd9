//! Voters, and everything that the room unit keeps about them: names, cards, invites, removals.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Script, ScriptInvocation};

use super::keys::{PartitionKeys, RoomKeys, control_channel};
use super::ledger::RedisLedger;
use super::voter_codec::{decode_voter, person};
use super::votes::decode_ballot;
use super::{error, pods, roster, scripts};
use crate::domain::ballot::Ballot;
use crate::domain::ids::{Invite, RoomId, VoterId};
use crate::domain::room::JoinMode;
use crate::domain::text::Name;
use crate::ledger::{
    FeedEvent, Invited, JoinOutcome, JoinRequest, LedgerError, RenameRequest, ResumeRequest, SLICE, Voter, VoterStore,
    VotersPage, VotersQuery,
};

/// Numbers of the name variations that are tried for a lost voter whose name was given away.
const VARIATIONS: std::ops::RangeInclusive<u32> = 2..=100;

#[async_trait]
impl VoterStore for RedisLedger {
    async fn join(&self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, LedgerError> {
        let mode = match request.mode {
            JoinMode::Open => "open",
            JoinMode::Invite => "invite",
            JoinMode::Closed => "closed",
        };
        let mut call = voters_script(&scripts::JOIN, room);
        call.key(RoomKeys(room).invites());
        call.arg(request.voter.as_str()).arg(u8::from(request.has_token));
        call.arg(request.name.as_ref().map(person).unwrap_or_default()).arg(request.card.as_str());
        call.arg(request.invite.as_ref().map_or("", Invite::as_str)).arg(mode);
        add_suggestions(&mut call, &request.suggestions);
        self.join_outcome(room, call).await
    }

    async fn resume(
        &self,
        room: &RoomId,
        partitions: u16,
        requests: &[ResumeRequest],
    ) -> Result<Vec<(Voter, Ballot)>, LedgerError> {
        if requests.is_empty() {
            return Ok(vec![]);
        }
        let read = |redis: MultiplexedConnection| async move {
            let (mut a, b) = (redis.clone(), redis);
            let ids: Vec<VoterId> = requests.iter().map(|request| request.voter.clone()).collect();
            let (voters, ballots) =
                tokio::join!(read_voters(&mut a, room, &ids), read_ballots(b, room, partitions, requests));
            Ok((voters?, ballots?))
        };
        let (voters, ballots) = self.connections.run(read).await?;
        let lost = requests.iter().zip(&voters).filter(|(_, voter)| voter.is_none()).map(|(request, _)| request);
        let lost: Vec<&ResumeRequest> = lost.collect();
        let mut restored = self.restore_all(room, &lost).await?.into_iter();
        let voters = voters.into_iter().filter_map(|voter| voter.or_else(|| restored.next()));
        Ok(voters.zip(ballots).collect())
    }

    async fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, LedgerError> {
        let ids = std::slice::from_ref(voter);
        let found = self.connections.run(|mut redis| async move { read_voters(&mut redis, room, ids).await }).await?;
        Ok(found.into_iter().next().flatten())
    }

    async fn voters(&self, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, LedgerError> {
        self.connections.run(|mut redis| async move { roster::page(&mut redis, room, query).await }).await
    }

    async fn rename(&self, room: &RoomId, request: &RenameRequest) -> Result<JoinOutcome, LedgerError> {
        let mut call = voters_script(&scripts::RENAME_VOTER, room);
        call.arg(request.voter.as_str()).arg(person(&request.name));
        add_suggestions(&mut call, &request.suggestions);
        self.join_outcome(room, call).await
    }

    /// The room first, then the gate, then the announcement: a socket that returns in between is refused.
    async fn set_removed(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        removed: bool,
    ) -> Result<Option<Voter>, LedgerError> {
        let keys = RoomKeys(room);
        let mut call = scripts::REMOVE_VOTER.prepare_invoke();
        call.key(keys.voters()).key(keys.removed()).arg(voter.as_str()).arg(u8::from(removed));
        let of_gate = PartitionKeys::of(room, partitions, voter).removed();
        let channel = control_channel(self.connections.database());
        let set = |mut redis: MultiplexedConnection| async move {
            let stored: Option<String> = call.invoke_async(&mut redis).await?;
            let Some(text) = stored else { return Ok(None) };
            let () = match removed {
                true => redis.sadd(&of_gate, voter.as_str()).await,
                false => redis.srem(&of_gate, voter.as_str()).await,
            }
            .map_err(error::after_first_step)?;
            if removed {
                let event = FeedEvent::VoterRemoved { room: room.clone(), voter: voter.clone() };
                pods::publish(&mut redis, &channel, &event).await.map_err(error::after_first_step)?;
            }
            decode_voter(room, Some(voter.clone()), &text, removed).map(Some)
        };
        self.connections.change(set).await
    }

    async fn invite(&self, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, LedgerError> {
        let keys = RoomKeys(room);
        let mut invites = vec![];
        for slice in people.chunks(SLICE) {
            let mut call = scripts::INVITE.prepare_invoke();
            call.key(keys.invited()).key(keys.invites());
            for (name, _) in slice {
                call.arg(person(name));
            }
            for (_, invite) in slice {
                call.arg(invite.as_str());
            }
            let invite = |mut redis: MultiplexedConnection| async move { Ok(call.invoke_async(&mut redis).await?) };
            let given = self.connections.change(invite).await;
            let given: Vec<String> =
                if invites.is_empty() { given? } else { given.map_err(error::after_first_step)? };
            if given.len() < slice.len() {
                return Err(LedgerError::NotApplied("an invite belongs to one name".into()));
            }
            for invite in given {
                invites.push(Invite::parse(&invite).map_err(|_| error::corrupt("invalid invite", keys.invited()))?);
            }
        }
        Ok(invites)
    }

    /// All invites, as they are at one moment.
    async fn invites(&self, room: &RoomId) -> Result<Vec<Invited>, LedgerError> {
        let keys = RoomKeys(room);
        let read = |mut redis: MultiplexedConnection| async move {
            let mut reads = redis::pipe();
            reads.atomic().hgetall(keys.invites()).hgetall(keys.invite_voters());
            let (people, voters): (HashMap<String, String>, HashMap<String, String>) =
                reads.query_async(&mut redis).await?;
            let corrupt = || error::corrupt("invalid invite", keys.invites());
            let invited = people.iter().map(|(invite, person)| {
                let (name, _) = person.split_once('\n').ok_or_else(corrupt)?;
                let voter = voters.get(invite).map(|voter| VoterId::parse(voter)).transpose().map_err(|_| corrupt())?;
                let (invite, name) =
                    Invite::parse(invite).and_then(|invite| Ok((invite, Name::parse(name)?))).map_err(|_| corrupt())?;
                Ok(Invited { invite, name, voter })
            });
            let mut invited: Vec<Invited> = invited.collect::<Result<_, LedgerError>>()?;
            invited.sort_by(|a, b| a.invite.cmp(&b.invite));
            Ok(invited)
        };
        self.connections.run(read).await
    }
}

impl RedisLedger {
    /// Carries out a join or a renaming.
    async fn join_outcome(&self, room: &RoomId, call: ScriptInvocation<'_>) -> Result<JoinOutcome, LedgerError> {
        let invoke = |mut redis: MultiplexedConnection| async move { Ok(call.invoke_async(&mut redis).await?) };
        let (outcome, voter, text, removed): (String, String, String, bool) = self.connections.change(invoke).await?;
        let voter = || decode_voter(room, VoterId::parse(&voter).ok(), &text, removed);
        Ok(match outcome.as_str() {
            "done" => JoinOutcome::Done(voter()?),
            "known" => JoinOutcome::Known(voter()?),
            "removed" => JoinOutcome::Removed,
            "name_taken" => JoinOutcome::NameTaken(text.split_once('\n').and_then(|(name, _)| Name::parse(name).ok())),
            "name_missing" => JoinOutcome::NameMissing,
            "invite_needed" => JoinOutcome::InviteNeeded,
            "bad_invite" => JoinOutcome::BadInvite,
            "closed" => JoinOutcome::Closed,
            "no_such_voter" => JoinOutcome::NoSuchVoter,
            "id_taken" => return Err(LedgerError::NotApplied("a new voter needs a new id".into())),
            other => return Err(error::corrupt(&format!("unknown outcome {other}"), RoomKeys(room).voters())),
        })
    }

    /// Writes voters again whom the ledger has lost; normally there are none.
    async fn restore_all(&self, room: &RoomId, lost: &[&ResumeRequest]) -> Result<Vec<Voter>, LedgerError> {
        if lost.is_empty() {
            return Ok(vec![]);
        }
        let restore_all = |redis: MultiplexedConnection| async move {
            let restored = lost.iter().map(|request| {
                let mut redis = redis.clone();
                async move { restore(&mut redis, room, request).await }
            });
            try_join_all(restored).await
        };
        self.connections.change(restore_all).await
    }
}

/// A call of a script that begins with `voters.lua`, with the keys that it needs.
fn voters_script<'s>(script: &'s Script, room: &RoomId) -> ScriptInvocation<'s> {
    let keys = RoomKeys(room);
    let mut call = script.prepare_invoke();
    call.key(keys.voters()).key(keys.names()).key(keys.cards()).key(keys.roster()).key(keys.removed());
    call.key(keys.invited()).key(keys.invite_voters());
    call
}

fn add_suggestions(call: &mut ScriptInvocation<'_>, names: &[Name]) {
    for name in names {
        call.arg(person(name));
    }
}

/// Voters by id, `None` for each that does not exist.
async fn read_voters(
    redis: &mut MultiplexedConnection,
    room: &RoomId,
    voters: &[VoterId],
) -> Result<Vec<Option<Voter>>, LedgerError> {
    let keys = RoomKeys(room);
    let ids: Vec<&str> = voters.iter().map(VoterId::as_str).collect();
    let mut reads = redis::pipe();
    reads.hmget(keys.voters(), &ids).smismember(keys.removed(), &ids);
    let (texts, removed): (Vec<Option<String>>, Vec<bool>) = reads.query_async(redis).await?;
    let found = texts.into_iter().zip(removed).zip(voters);
    found
        .map(|((text, removed), voter)| {
            text.map(|text| decode_voter(room, Some(voter.clone()), &text, removed)).transpose()
        })
        .collect()
}

/// The ballots that the requests ask for, with one read for each round, take and partition.
async fn read_ballots(
    redis: MultiplexedConnection,
    room: &RoomId,
    partitions: u16,
    requests: &[ResumeRequest],
) -> Result<Vec<Ballot>, LedgerError> {
    let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        if let Some(take) = request.take {
            let key = PartitionKeys::of(room, partitions, &request.voter).ballots(take);
            by_key.entry(key).or_default().push(index);
        }
    }
    let reads = by_key.into_iter().map(|(key, who)| {
        let mut redis = redis.clone();
        async move {
            let ids: Vec<&str> = who.iter().map(|index| requests[*index].voter.as_str()).collect();
            let stored: Vec<Option<String>> = redis.hmget(&key, &ids).await?;
            let ballots = stored.iter().map(|text| decode_ballot(&key, text.as_deref()));
            Ok::<_, LedgerError>((who, ballots.collect::<Result<Vec<_>, _>>()?))
        }
    });
    let mut ballots = vec![Ballot::default(); requests.len()];
    for (who, read) in try_join_all(reads).await? {
        for (index, ballot) in who.into_iter().zip(read) {
            ballots[index] = ballot;
        }
    }
    Ok(ballots)
}

/// Writes a voter again, under its own name or, if that was given away, under a variation of it.
async fn restore(
    redis: &mut MultiplexedConnection,
    room: &RoomId,
    request: &ResumeRequest,
) -> Result<Voter, LedgerError> {
    let own = restore_as(redis, room, request, std::slice::from_ref(&request.name)).await?;
    let restored = match own {
        Some(voter) => Some(voter),
        None => {
            let others: Vec<Name> = VARIATIONS.map(|n| request.name.numbered(n)).collect();
            restore_as(redis, room, request, &others).await?
        }
    };
    restored.ok_or_else(|| LedgerError::NotApplied("every variation of the lost voter's name is taken".into()))
}

/// Writes a voter again under the first of `names` that is free; `None` if all are taken.
async fn restore_as(
    redis: &mut MultiplexedConnection,
    room: &RoomId,
    request: &ResumeRequest,
    names: &[Name],
) -> Result<Option<Voter>, LedgerError> {
    let mut call = voters_script(&scripts::RESTORE_VOTER, room);
    call.arg(request.voter.as_str()).arg(request.card.as_str());
    for name in names {
        call.arg(person(name));
    }
    let (text, removed): (String, bool) = call.invoke_async(redis).await?;
    if text.is_empty() {
        return Ok(None);
    }
    decode_voter(room, Some(request.voter.clone()), &text, removed).map(Some)
}
