//! The records of closed takes, and the audit that recounts their votes.

use actix_web::{HttpResponse, get, web};
use serde_json::json;

use super::app_state::AppState;
use super::auth::{Emcee, Viewer};
use super::error::{ApiError, ApiResult};
use super::rooms;
use crate::domain::gate::Tally;
use crate::domain::ids::RoomId;
use crate::domain::visibility::Audience;
use crate::ledger::Ledger;
use crate::ledger::execute::{all_ballots, reconcile_room, run_blocking};
use crate::wire::room::ListedRecord;

/// How often a recount is done if votes arrive while it runs.
const MAX_RECOUNTS: usize = 5;

/// Lists the records of closed takes with their seals, as far as the caller may see them.
#[utoipa::path(tag = "records", params(("room" = String, Path)), responses((status = 200,
    description = "{records: [{round, take, counted, votes, voters, opened_at, closed_at, by, seal?, previous?}]}")))]
#[get("/rooms/{room}/records")]
pub async fn records(state: web::Data<AppState>, path: web::Path<String>, viewer: Viewer) -> ApiResult {
    let active = state.room(&path).await?;
    if viewer.0 == Audience::Emcee {
        rooms::refresh(&state, &active).await?;
    }
    Ok(HttpResponse::Ok().json(json!({ "records": ListedRecord::all(&active.board.room(), viewer.0) })))
}

/// Recounts every take from its ballots.
#[utoipa::path(tag = "records", params(("room" = String, Path)),
    responses((status = 200, description = "{ok, rounds: [{round, take, tally, recount, voters}]}")))]
#[get("/rooms/{room}/audit")]
pub async fn audit(state: web::Data<AppState>, path: web::Path<String>, _emcee: Emcee) -> ApiResult {
    let active = state.room(&path).await?;
    let (ledger, id) = (state.pod.ledger.clone(), active.board.id.clone());
    let rounds = run_blocking(async move { recounts(&*ledger, &id).await }).await?.ok_or_else(ApiError::busy)?;
    let ok = rounds.iter().all(|(_, _, tally, recount)| tally.votes == recount.votes && tally.voters == recount.voters);
    let rounds = rounds.into_iter().map(|(round, take, tally, recount)| {
        json!({
            "round": round,
            "take": take,
            "tally": tally.votes,
            "recount": recount.votes,
            "voters": recount.voters,
        })
    });
    Ok(HttpResponse::Ok().json(json!({ "ok": ok, "rounds": rounds.collect::<Vec<_>>() })))
}

/// Every take with its tally and its recount. It is done again if votes arrive meanwhile.
async fn recounts(ledger: &dyn Ledger, id: &RoomId) -> ApiResult<Option<Vec<(u16, u16, Tally, Tally)>>> {
    let mut counted = None;
    for _ in 0..MAX_RECOUNTS {
        let before = reconcile_room(ledger, id).await?;
        let mut rounds = vec![];
        for (round, take, record) in before.room.takes() {
            let ballots = all_ballots(ledger, &before.room, (round, take)).await?;
            let choices = before.room.round(round).map_or(0, |round| round.choices.len());
            let tally = record.map_or_else(|| before.sum().tally, |record| record.tally.clone());
            let recount = Tally::count(choices, ballots.values().map(|ballot| ballot.votes.as_str()));
            rounds.push((round, take, tally, recount));
        }
        let after = reconcile_room(ledger, id).await?;
        let is_unchanged = before.sum().tally.version == after.sum().tally.version && before.room.seq == after.room.seq;
        counted = Some(rounds);
        if is_unchanged {
            break;
        }
    }
    Ok(counted)
}
