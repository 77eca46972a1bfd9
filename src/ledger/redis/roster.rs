//! The emcee's list of voters, in pages.

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::keys::RoomKeys;
use super::link::Link;
use super::{fault, people};
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::text::folded;
use crate::ledger::{LedgerError, SLICE, Voter, VotersPage, VotersQuery};

/// Most slices that one call looks through: a rare name in a huge room may take more than one call to find.
const MAX_SLICES: usize = 100;

pub(super) async fn page(link: &Link, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, LedgerError> {
    let wanted = folded(&query.text);
    let limit = query.limit.clamp(1, SLICE);
    // one more tells whether there is another page
    let slice = if wanted.is_empty() { limit + 1 } else { SLICE };
    link.run(|mut redis| async move {
        let mut page = VotersPage { voters: vec![], next: query.after.clone() };
        for _ in 0..MAX_SLICES {
            let voters = read(&mut redis, room, page.next.as_ref(), slice).await?;
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
    })
    .await
}

/// The next voters behind `after`, at most `slice`; less only if these are the last.
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
        let text = text.ok_or_else(|| fault::corrupt("a voter on the roster alone", keys.roster()))?;
        people::decode(room, VoterId::parse(id).ok(), &text, removed)
    });
    voters.collect()
}
