//! A voter's proof that the own ballot is in the sealed record.

use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app_state::AppState;
use super::auth::VoterCredentials;
use super::error::{ApiError, ApiResult};
use super::joining::voter_with_ballot;
use crate::actors::worker::raise_alarm;
use crate::domain::LedgerMs;
use crate::domain::seal::{Digest, leaf};
use crate::domain::visibility::{Audience, sees_record};
use crate::ledger::LedgerError;
use crate::ledger::execute::{hash_ballots, run_blocking};
use crate::wire::room::ListedRecord;

/// Options of a proof.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct ProofQuery {
    /// The round, in the take that counts.
    round: u16,
}

/// That a ballot is in a sealed record. See the module `domain::seal` for how the hashes are made.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProofView {
    /// The hash of the ballot.
    #[schema(value_type = String)]
    leaf: Digest,
    /// The hashes that lead from the leaf to the root, the lowest first.
    #[schema(value_type = Vec<String>)]
    path: Vec<Digest>,
    /// The seal of the record.
    #[schema(value_type = String)]
    seal: Digest,
    /// The place of the leaf in the tree, from 0: it tells which of two neighbours is on the left.
    index: u64,
    /// Leaves of the tree.
    size: u64,
    /// The voter's id.
    voter: String,
    /// The ballot.
    votes: String,
    /// Its time.
    time_ms: LedgerMs,
    /// Its salt.
    #[schema(value_type = String)]
    salt: Digest,
    /// The record that is sealed, as in the list of records.
    #[schema(value_type = Object)]
    record: ListedRecord,
}

/// Proves that the voter's ballot is in the sealed record of a round.
#[utoipa::path(tag = "voters", params(("room" = String, Path), ProofQuery), responses((status = 200, body = ProofView),
    (status = 401, description = "bad_token"), (status = 403, description = "removed"),
    (status = 404, description = "no_such_round, not_sealed, no_ballot, too_many_voters"),
    (status = 409, description = "seal_broken: the ballots are not those that were sealed")))]
#[get("/rooms/{room}/me/proof")]
pub async fn proof(
    state: web::Data<AppState>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    query: web::Query<ProofQuery>,
) -> ApiResult {
    let active = state.room(&path).await?;
    let room = active.board.room();
    let token = credentials.voter(&state, &room)?;
    let number = query.round;
    let round = room.round(number);
    let round = round.ok_or_else(|| ApiError::not_found("no_such_round", &format!("there is no round {number}")))?;
    let seen = round.counted().filter(|take| sees_record(&room, number, take, Audience::Public));
    let sealed = seen.and_then(|take| Some((take, take.seal.as_ref()?)));
    let (record, seal) =
        sealed.ok_or_else(|| ApiError::not_found("not_sealed", "there is no sealed record of this round yet"))?;

    let take = (number, record.take);
    let (voter, ballot) = voter_with_ballot(&state, &active, token, Some(take)).await?;
    if ballot.votes.is_empty() {
        return Err(ApiError::not_found("no_ballot", "this voter did not vote in this round"));
    }
    let salts = state.pod.token_key(&room).salts();
    let salt = salts.of(take, &voter.voter);
    let leaf = leaf(salt, &voter.voter, &ballot);
    let (ledger, known) = (state.pod.ledger.clone(), room.clone());
    let hash = async move { Ok::<_, LedgerError>(hash_ballots(&*ledger, &known, take, &salts).await?.tree) };
    let tree = state.trees.get(seal, || run_blocking(hash)).await?;
    let Some((index, tree)) = tree.and_then(|tree| Some((tree.index_of(&leaf)?, tree))) else {
        let what = "the ballots are not those that were sealed";
        // a whole hall may ask
        if state.trees.is_first_broken(seal) {
            let (of, occasion) = (format!("round {number}, take {}", take.1), format!("seal-{number}-{}", take.1));
            raise_alarm(&state.pod, &room, &occasion, &format!("{of}: {what}; audit the room")).await;
        }
        return Err(ApiError::conflict("seal_broken", what));
    };
    Ok(HttpResponse::Ok().json(ProofView {
        leaf,
        path: tree.path(index),
        seal: seal.seal,
        index,
        size: tree.size(),
        voter: voter.voter.to_string(),
        votes: ballot.votes,
        time_ms: ballot.time_ms,
        salt,
        record: ListedRecord::new(number, round, record),
    }))
}
