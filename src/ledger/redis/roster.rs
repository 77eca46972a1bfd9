//! The emcee's list of voters, in pages.

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::error;
use super::keys::RoomKeys;
use super::voter_codec::decode_voter;
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::text::folded;
use crate::ledger::{LedgerError, SLICE, Voter, VotersPage, VotersQuery};

/// Most slices that one call searches: a rare name in a huge room may take more than one call to find.
const MAX_SLICES: usize = 100;

/// A page of voters whose name contains the text of the query.
pub(super) async fn page(
    redis: &mut MultiplexedConnection,
    room: &RoomId,
    query: &VotersQuery,
) -> Result<VotersPage, LedgerError> {
    let wanted = folded(&query.text);
    let limit = query.limit.clamp(1, SLICE);
    // one more tells whether there is another page
    let slice = if wanted.is_empty() { limit + 1 } else { SLICE };
    let mut page = VotersPage { voters: vec![], next: query.after.clone() };
    for _ in 0..MAX_SLICES {
        let voters = read(redis, room, page.next.as_ref(), slice).await?;
        let is_last = voters.len() < slice;
        for voter in voters {
            let fits = voter.name.folded().contains(&wanted);
            if fits && page.voters.len() == limit {
                page.next = page.voters.last().map(|last| last.voter.clone());
                return Ok(page);
            }
            page.next = Some(voter.voter.clone());
            if fits {
                page.voters.push(voter);
            }
        }
        if is_last {
            page.next = None;
            return Ok(page);
        }
    }
    Ok(page)
}

/// The next voters after `after`: `slice` of them, or fewer if these are the last.
async fn read(
    redis: &mut MultiplexedConnection,
    room: &RoomId,
    after: Option<&VoterId>,
    slice: usize,
) -> Result<Vec<Voter>, LedgerError> {
    let keys = RoomKeys(room);
    let from = after.map_or("-".to_owned(), |voter| format!("({voter}"));
    let ids: Vec<String> = redis.zrangebylex_limit(keys.roster(), from, "+", 0, slice as isize).await?;
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let mut reads = redis::pipe();
    reads.hmget(keys.voters(), &ids).cmd("SMISMEMBER").arg(keys.removed()).arg(&ids);
    let (texts, removed): (Vec<Option<String>>, Vec<bool>) = reads.query_async(redis).await?;
    let voters = ids.iter().zip(texts).zip(removed).map(|((id, text), removed)| {
        let text = text.ok_or_else(|| error::corrupt("voter who is only in the list", keys.roster()))?;
        decode_voter(room, VoterId::parse(id).ok(), &text, removed)
    });
    voters.collect()
}
