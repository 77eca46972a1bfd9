//! The ranking: the emcee's view of it, and its reveal to everybody.

use actix_web::{HttpResponse, get, put, web};
use serde::Deserialize;
use serde_json::json;

use super::app_state::AppState;
use super::auth::Emcee;
use super::body::EmceeBody;
use super::error::{ApiError, ApiResult};
use super::rooms::{execute, refresh};
use crate::domain::Invalid;
use crate::domain::command::Command;
use crate::domain::reveal::{DEFAULT_TOP, MAX_TOP};
use crate::ledger::execute::{rank, run_blocking};
use crate::ledger::{LedgerError, RankEntry};
use crate::wire::http::RevealBody;

/// Sets how much of the ranking is shown.
#[utoipa::path(tag = "ranking", params(("room" = String, Path)), request_body = RevealBody, responses(
    (status = 200, description = "{reveal, preview}"),
    (status = 409, description = "round_open, nothing_closed, not_shown")))]
#[put("/rooms/{room}/reveal")]
pub async fn put_reveal(state: web::Data<AppState>, path: web::Path<String>, call: EmceeBody<RevealBody>) -> ApiResult {
    let EmceeBody { emcee, body: RevealBody { place, top, auto_ms } } = call;
    let room = state.room(&path).await?;
    let snapshot = execute(&room, &emcee, Command::Reveal { place, top, auto_ms }).await?;
    let Some(reveal) = &snapshot.room.reveal else {
        return Ok(HttpResponse::Ok().json(json!({ "reveal": null, "preview": { "next": [] } })));
    };
    let ranking = room.board.ranking(reveal.ranking).ok_or_else(ApiError::busy)?;
    Ok(HttpResponse::Ok().json(json!({
        "reveal": ranking.view(reveal, snapshot.room.seq),
        "preview": { "next": ranking.preview(reveal) },
    })))
}

/// Options of a ranking.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct RankingQuery {
    /// The last place to list, 1 to 1,000.
    #[serde(default = "default_top")]
    top: u32,
}

fn default_top() -> u32 {
    DEFAULT_TOP
}

/// The ranking as it is now. While it is shown, it is the one that was frozen for the reveal.
#[utoipa::path(tag = "ranking", params(("room" = String, Path), RankingQuery),
    responses((status = 200, description = "{of, entries: [{place, voter, name, score, time_ms}]}")))]
#[get("/rooms/{room}/ranking")]
pub async fn get_ranking(
    state: web::Data<AppState>,
    path: web::Path<String>,
    _emcee: Emcee,
    query: web::Query<RankingQuery>,
) -> ApiResult {
    let top = query.top;
    if !(1..=MAX_TOP).contains(&top) {
        return Err(Invalid::new("top", format!("must be 1 to {MAX_TOP}, not {top}")).into());
    }
    let room = state.room(&path).await?;
    refresh(&state, &room).await?;
    let record = room.board.room();
    let shown = record.reveal.as_ref().and_then(|reveal| room.board.ranking(reveal.ranking));
    let (of, entries) = match shown {
        Some(ranking) => (ranking.entries().len(), view(ranking.entries(), top)),
        None => {
            let (ledger, record) = (state.pod.ledger.clone(), record.clone());
            run_blocking(async move {
                let entries = rank(&*ledger, &record).await?;
                Ok::<_, LedgerError>((entries.len(), view(&entries, top)))
            })
            .await?
        }
    };
    Ok(HttpResponse::Ok().json(json!({ "of": of, "entries": entries })))
}

/// Entries down to place `top`, as JSON.
pub fn view(entries: &[RankEntry], top: u32) -> Vec<serde_json::Value> {
    let within = entries.iter().take_while(|entry| entry.place <= top);
    within
        .map(|entry| {
            json!({
                "place": entry.place,
                "voter": entry.voter,
                "name": entry.name,
                "score": entry.score,
                "time_ms": entry.time_ms,
            })
        })
        .collect()
}
