//! Rounds: opening, timing, closing, voiding, showing and deciding them. Every call names the state that is wanted, so a
//! repeat changes nothing.

use actix_web::{post, web};

use super::app_state::AppState;
use super::auth::Emcee;
use super::body::EmceeBody;
use super::error::{ApiError, ApiResult};
use super::rooms::command;
use crate::domain::command::Command;
use crate::wire::http::{CloseBody, DeadlineBody, DecideBody, OpenBody, TakeBody};

/// The room and the round of a path.
#[derive(serde::Deserialize)]
pub struct RoundPath {
    room: String,
    round: String,
}

impl RoundPath {
    fn round(&self) -> ApiResult<u16> {
        let round = self.round.parse().ok().filter(|round| *round > 0);
        round.ok_or_else(|| ApiError::not_found("no_such_round", &format!("there is no round {}", self.round)))
    }
}

/// Opens a round.
#[utoipa::path(tag = "rounds", params(("room" = String, Path), ("round" = u16, Path)), request_body = OpenBody,
    responses((status = 200, description = "the room"),
    (status = 409, description = "another_round_open, already_closed, other_take, ranking_shown")))]
#[post("/rooms/{room}/rounds/{round}/open")]
pub async fn open_round(
    state: web::Data<AppState>,
    path: web::Path<RoundPath>,
    call: EmceeBody<OpenBody>,
) -> ApiResult {
    let EmceeBody { emcee, body: OpenBody { take, seconds } } = call;
    let round = path.round()?;
    command(&state, &path.room, &emcee, Command::Open { round, take, seconds }).await
}

/// Sets when the open round closes.
#[utoipa::path(tag = "rounds", params(("room" = String, Path), ("round" = u16, Path)), request_body = DeadlineBody,
    responses((status = 200, description = "the room"), (status = 409, description = "not_open")))]
#[post("/rooms/{room}/rounds/{round}/deadline")]
pub async fn set_deadline(
    state: web::Data<AppState>,
    path: web::Path<RoundPath>,
    call: EmceeBody<DeadlineBody>,
) -> ApiResult {
    let EmceeBody { emcee, body } = call;
    let round = path.round()?;
    command(&state, &path.room, &emcee, Command::Deadline { round, closes_at: body.closes_at }).await
}

/// Closes a round for good.
#[utoipa::path(tag = "rounds", params(("room" = String, Path), ("round" = u16, Path)), request_body = CloseBody,
    responses((status = 200, description = "the room, final"), (status = 409, description = "not_open"),
    (status = 503, description = "closing: votes are refused, and the close is completed by itself")))]
#[post("/rooms/{room}/rounds/{round}/close")]
pub async fn close_round(
    state: web::Data<AppState>,
    path: web::Path<RoundPath>,
    call: EmceeBody<CloseBody>,
) -> ApiResult {
    let EmceeBody { emcee, body } = call;
    let round = path.round()?;
    command(&state, &path.room, &emcee, Command::Close { round, take: body.take }).await
}

/// Sets which take counts. The next unused number voids the round.
#[utoipa::path(tag = "rounds", params(("room" = String, Path), ("round" = u16, Path)), request_body = TakeBody,
    responses((status = 200, description = "the room"),
    (status = 409, description = "another_round_open, ranking_shown")))]
#[post("/rooms/{room}/rounds/{round}/take")]
pub async fn set_take(state: web::Data<AppState>, path: web::Path<RoundPath>, call: EmceeBody<TakeBody>) -> ApiResult {
    let EmceeBody { emcee, body } = call;
    let round = path.round()?;
    command(&state, &path.room, &emcee, Command::Take { round, take: body.take }).await
}

/// Shows the result of a round whose split is held back.
#[utoipa::path(tag = "rounds", params(("room" = String, Path), ("round" = u16, Path)), responses(
    (status = 200, description = "the room"),
    (status = 409, description = "another_round_open, not_closed, ranking_shown")))]
#[post("/rooms/{room}/rounds/{round}/show")]
pub async fn show_result(state: web::Data<AppState>, path: web::Path<RoundPath>, emcee: Emcee) -> ApiResult {
    let round = path.round()?;
    command(&state, &path.room, &emcee, Command::Show { round }).await
}

/// Sets the outcome by the emcee's decision, or by the votes again.
#[utoipa::path(tag = "rounds", params(("room" = String, Path), ("round" = u16, Path)), request_body = DecideBody,
    responses((status = 200, description = "the room"),
    (status = 409, description = "another_round_open, not_closed, ranking_shown")))]
#[post("/rooms/{room}/rounds/{round}/decide")]
pub async fn decide_winner(
    state: web::Data<AppState>,
    path: web::Path<RoundPath>,
    call: EmceeBody<DecideBody>,
) -> ApiResult {
    let EmceeBody { emcee, body } = call;
    let outcome = body.outcome()?;
    let round = path.round()?;
    command(&state, &path.room, &emcee, Command::Decide { round, outcome }).await
}
