//! Voters, as the room unit keeps them.
//!
//! A stored voter is the card followed by the **person**: the name and its folded form, parted by a line feed, which no
//! name holds. Scripts cut it apart and need not know how names are folded.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Script, ScriptInvocation};

use super::keys::{PartitionKeys, RoomKeys, control_channel};
use super::link::Link;
use super::{fault, gates, pods, scripts};
use crate::domain::ballot::Ballot;
use crate::domain::ids::{Card, Invite, RoomId, VoterId};
use crate::domain::room::JoinMode;
use crate::domain::text::Name;
use crate::ledger::{FeedEvent, Greeting, Invited, JoinOutcome, JoinRequest, LedgerError, Renaming, SLICE, Voter};

/// Characters of a card.
const CARD: usize = 12;
/// Other names that a lost voter is tried under when its own was given away meanwhile.
const OTHER_NAMES: std::ops::RangeInclusive<u32> = 2..=100;

pub(super) async fn join(link: &Link, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, LedgerError> {
    let mode = match request.mode {
        JoinMode::Open => "open",
        JoinMode::Invite => "invite",
        JoinMode::Closed => "closed",
    };
    let mut call = on_people(&scripts::JOIN, room);
    call.key(RoomKeys(room).invites());
    call.arg(request.voter.as_str()).arg(u8::from(request.has_token));
    call.arg(request.name.as_ref().map(person).unwrap_or_default()).arg(request.card.as_str());
    call.arg(request.invite.as_ref().map_or("", Invite::as_str)).arg(mode);
    suggest(&mut call, &request.suggestions);
    outcome(link, room, call).await
}

pub(super) async fn rename(link: &Link, room: &RoomId, renaming: &Renaming) -> Result<JoinOutcome, LedgerError> {
    let mut call = on_people(&scripts::RENAME_VOTER, room);
    call.arg(renaming.voter.as_str()).arg(person(&renaming.name));
    suggest(&mut call, &renaming.suggestions);
    outcome(link, room, call).await
}

/// A script that begins with `people.lua`, and the keys that this needs.
fn on_people<'s>(script: &'s Script, room: &RoomId) -> ScriptInvocation<'s> {
    let keys = RoomKeys(room);
    let mut call = script.prepare_invoke();
    call.key(keys.voters()).key(keys.names()).key(keys.cards()).key(keys.roster()).key(keys.removed());
    call.key(keys.invited()).key(keys.invite_voters());
    call
}

fn suggest(call: &mut ScriptInvocation<'_>, names: &[Name]) {
    for name in names {
        call.arg(person(name));
    }
}

async fn outcome(link: &Link, room: &RoomId, call: ScriptInvocation<'_>) -> Result<JoinOutcome, LedgerError> {
    let (outcome, voter, text, removed): (String, String, String, bool) =
        link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await?;
    let voter = || decode(room, VoterId::parse(&voter).ok(), &text, removed);
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
        other => return Err(fault::corrupt(&format!("an outcome {other}"), RoomKeys(room).voters())),
    })
}

pub(super) async fn greet(
    link: &Link,
    room: &RoomId,
    partitions: u16,
    greetings: &[Greeting],
) -> Result<Vec<(Voter, Ballot)>, LedgerError> {
    if greetings.is_empty() {
        return Ok(vec![]);
    }
    let (voters, ballots) = link
        .run(|redis| async move {
            let (mut a, b) = (redis.clone(), redis);
            let ids: Vec<VoterId> = greetings.iter().map(|greeting| greeting.voter.clone()).collect();
            let (voters, ballots) =
                tokio::join!(read(&mut a, room, &ids), greeting_ballots(b, room, partitions, greetings));
            Ok((voters?, ballots?))
        })
        .await?;
    let lost = greetings.iter().zip(&voters).filter(|(_, voter)| voter.is_none()).map(|(greeting, _)| greeting);
    let lost: Vec<&Greeting> = lost.collect();
    let mut restored = restore_all(link, room, &lost).await?.into_iter();
    let voters = voters.into_iter().filter_map(|voter| voter.or_else(|| restored.next()));
    Ok(voters.zip(ballots).collect())
}

/// Writes voters again whom the ledger has lost; mostly there are none.
async fn restore_all(link: &Link, room: &RoomId, lost: &[&Greeting]) -> Result<Vec<Voter>, LedgerError> {
    if lost.is_empty() {
        return Ok(vec![]);
    }
    link.change(|redis| async move {
        let restored = lost.iter().map(|greeting| {
            let mut redis = redis.clone();
            async move { restore(&mut redis, room, greeting).await }
        });
        try_join_all(restored).await
    })
    .await
}

/// One read for all ballots that lie together.
async fn greeting_ballots(
    redis: MultiplexedConnection,
    room: &RoomId,
    partitions: u16,
    greetings: &[Greeting],
) -> Result<Vec<Ballot>, LedgerError> {
    let mut together: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, greeting) in greetings.iter().enumerate() {
        if let Some(take) = greeting.take {
            let key = PartitionKeys::of(room, partitions, &greeting.voter).ballots(take);
            together.entry(key).or_default().push(index);
        }
    }
    let reads = together.into_iter().map(|(key, who)| {
        let mut redis = redis.clone();
        async move {
            let ids: Vec<&str> = who.iter().map(|index| greetings[*index].voter.as_str()).collect();
            let stored: Vec<Option<String>> = redis.hmget(&key, &ids).await?;
            let ballots = stored.iter().map(|text| gates::ballot(&key, text.as_deref()));
            Ok::<_, LedgerError>((who, ballots.collect::<Result<Vec<_>, _>>()?))
        }
    });
    let mut ballots = vec![Ballot::default(); greetings.len()];
    for (who, read) in try_join_all(reads).await? {
        for (index, ballot) in who.into_iter().zip(read) {
            ballots[index] = ballot;
        }
    }
    Ok(ballots)
}

/// Under its own name, or if that was given away meanwhile, under a variation of it.
async fn restore(redis: &mut MultiplexedConnection, room: &RoomId, greeting: &Greeting) -> Result<Voter, LedgerError> {
    let own = restore_as(redis, room, greeting, std::slice::from_ref(&greeting.name)).await?;
    let restored = match own {
        Some(voter) => Some(voter),
        None => {
            let others: Vec<Name> = OTHER_NAMES.map(|n| greeting.name.numbered(n)).collect();
            restore_as(redis, room, greeting, &others).await?
        }
    };
    restored.ok_or_else(|| LedgerError::NotApplied("no name like that of the lost voter is free".into()))
}

/// Under the first of `names` that is free; `None` if none is.
async fn restore_as(
    redis: &mut MultiplexedConnection,
    room: &RoomId,
    greeting: &Greeting,
    names: &[Name],
) -> Result<Option<Voter>, LedgerError> {
    let mut call = on_people(&scripts::RESTORE_VOTER, room);
    call.arg(greeting.voter.as_str()).arg(greeting.card.as_str());
    for name in names {
        call.arg(person(name));
    }
    let (text, removed): (String, bool) = call.invoke_async(redis).await?;
    if text.is_empty() {
        return Ok(None);
    }
    decode(room, Some(greeting.voter.clone()), &text, removed).map(Some)
}

pub(super) async fn get(link: &Link, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, LedgerError> {
    let voters = std::slice::from_ref(voter);
    let found = link.run(|mut redis| async move { read(&mut redis, room, voters).await }).await?;
    Ok(found.into_iter().next().flatten())
}

/// Voters by id, `None` for each that is not there.
async fn read(
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
        .map(|((text, removed), voter)| text.map(|text| decode(room, Some(voter.clone()), &text, removed)).transpose())
        .collect()
}

/// The room first, then the gate, then the announcement: a socket that comes back meanwhile is refused.
pub(super) async fn set_removed(
    link: &Link,
    room: &RoomId,
    partitions: u16,
    voter: &VoterId,
    removed: bool,
) -> Result<Option<Voter>, LedgerError> {
    let keys = RoomKeys(room);
    let mut call = scripts::REMOVE_VOTER.prepare_invoke();
    call.key(keys.voters()).key(keys.removed()).arg(voter.as_str()).arg(u8::from(removed));
    let gate = PartitionKeys::of(room, partitions, voter).removed();
    let channel = control_channel(link.database());
    link.change(|mut redis| async move {
        let stored: Option<String> = call.invoke_async(&mut redis).await?;
        let Some(text) = stored else { return Ok(None) };
        let () = match removed {
            true => redis.sadd(&gate, voter.as_str()).await,
            false => redis.srem(&gate, voter.as_str()).await,
        }
        .map_err(fault::after_a_step)?;
        if removed {
            let event = FeedEvent::VoterRemoved { room: room.clone(), voter: voter.clone() };
            pods::publish(&mut redis, &channel, &event).await.map_err(fault::after_a_step)?;
        }
        decode(room, Some(voter.clone()), &text, removed).map(Some)
    })
    .await
}

pub(super) async fn invite(link: &Link, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, LedgerError> {
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
        let given = link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await;
        let given: Vec<String> = if invites.is_empty() { given? } else { given.map_err(fault::after_a_step)? };
        if given.len() < slice.len() {
            return Err(LedgerError::NotApplied("an invite is for one name".into()));
        }
        for invite in given {
            invites.push(Invite::parse(&invite).map_err(|_| fault::corrupt("no invite", keys.invited()))?);
        }
    }
    Ok(invites)
}

/// A name and its folded form, as scripts take it.
pub(super) fn person(name: &Name) -> String {
    format!("{name}\n{}", name.folded())
}

/// All invites, as they lie together at one moment.
pub(super) async fn invites(link: &Link, room: &RoomId) -> Result<Vec<Invited>, LedgerError> {
    let keys = RoomKeys(room);
    link.run(|mut redis| async move {
        let mut reads = redis::pipe();
        reads.atomic().hgetall(keys.invites()).hgetall(keys.invite_voters());
        let (people, voters): (HashMap<String, String>, HashMap<String, String>) =
            reads.query_async(&mut redis).await?;
        let corrupt = || fault::corrupt("no invite", keys.invites());
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
    })
    .await
}

/// Reads a stored voter.
pub(super) fn decode(room: &RoomId, voter: Option<VoterId>, text: &str, removed: bool) -> Result<Voter, LedgerError> {
    let read = || {
        let (card, person) = text.split_at_checked(CARD)?;
        let (name, _) = person.split_once('\n')?;
        Some(Voter { voter: voter?, name: Name::parse(name).ok()?, card: Card::parse(card).ok()?, removed })
    };
    read().ok_or_else(|| fault::corrupt("no voter", RoomKeys(room).voters()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_comes_back_from_the_stored_form() {
        let room = RoomId::from_entropy([7; 16]);
        let voter = Voter {
            voter: VoterId::parse("v1").unwrap(),
            name: Name::parse("Änne 2").unwrap(),
            card: Card::parse("ABCDEFGHJKLM").unwrap(),
            removed: true,
        };
        let text = format!("{}{}", voter.card, person(&voter.name));
        assert_eq!(decode(&room, Some(voter.voter.clone()), &text, true).unwrap(), voter);
        for broken in ["", "ABCDEFGHJKLM", "ABCDEFGHJKLMAnna", "ABC\nanna", "ABCDEFGHJKL0Anna\nanna"] {
            assert!(decode(&room, Some(voter.voter.clone()), broken, false).is_err(), "{broken:?}");
        }
    }
}
