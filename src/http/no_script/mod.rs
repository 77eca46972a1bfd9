//! The voter's page for browsers without script: HTML forms do all that a voter needs.
//!
//! Each form holds the slip that it is for. So a form that is sent twice is a repeat and counts once.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use maud::Markup;
use serde::Deserialize;

use super::app_state::AppState;
use super::auth::VoterCredentials;
use super::error::{ApiError, ApiResult};
use super::joining::{cookie, join_room, joined, known_voter};
use super::origin::{Origin, cross_origin};
use super::voters::cast;
use crate::actors::active_room::ActiveRoom;
use crate::domain::ballot::{Ballot, Refusal};
use crate::domain::room::{Room, RoomPhase};
use crate::domain::visibility::{Audience, sees_split};
use crate::ledger::Voter;
use crate::wire::client::CastMessage;
use crate::wire::http::JoinBody;

mod page;

use page::OpenRound;

/// `/r/{room}/plain` and its two forms.
pub fn routes(service: &mut web::ServiceConfig) {
    service
        .route("/r/{room}/plain", web::get().to(get_page))
        .route("/r/{room}/plain/join", web::post().to(join))
        .route("/r/{room}/plain/vote", web::post().to(vote));
}

#[derive(Deserialize)]
struct PageQuery {
    /// Why the last vote was not stored.
    refused: Option<Refusal>,
}

async fn get_page(
    state: web::Data<AppState>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    query: web::Query<PageQuery>,
) -> ApiResult {
    let room = state.room(&path).await?;
    let refused = query.refused.map(|refusal| ApiError::conflict(refusal.as_str(), describe(refusal)));
    show(&state, &room, &credentials, refused).await
}

fn describe(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Closed => "the round was closed before this vote arrived",
        Refusal::StaleTake => "the round was started again; vote again",
        Refusal::OutOfVotes => "all your votes in this round are used",
        Refusal::Busy => "no answer yet; vote again, nothing counts twice",
        Refusal::BadChoice | Refusal::Gap | Refusal::Conflict => "this page was old; look at your votes below",
    }
}

async fn join(
    request: HttpRequest,
    state: web::Data<AppState>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    form: web::Form<JoinBody>,
) -> ApiResult {
    refuse_foreign_pages(&request, &state)?;
    let room = state.room(&path).await?;
    let JoinBody { name, card, invite } = form.into_inner();
    let body = JoinBody { name: filled(name), card: filled(card), invite: filled(invite) };
    match join_room(&state, &room, None, body).await {
        Ok((voter, _)) => {
            let token = joined(&state, &room, &voter).token;
            Ok(HttpResponse::SeeOther()
                .cookie(cookie(&request, &state, &room, token))
                .insert_header((header::LOCATION, format!("/r/{}/plain", room.board.code)))
                .finish())
        }
        Err(error) => show(&state, &room, &credentials, Some(error)).await,
    }
}

/// A field of a form, unless it was left empty.
fn filled(field: Option<String>) -> Option<String> {
    field.filter(|text| !text.trim().is_empty())
}

#[derive(Deserialize)]
struct VoteForm {
    round: u16,
    take: u16,
    slip: u32,
    votes: String,
}

async fn vote(
    request: HttpRequest,
    state: web::Data<AppState>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    form: web::Form<VoteForm>,
) -> ApiResult {
    refuse_foreign_pages(&request, &state)?;
    let room = state.room(&path).await?;
    let voter = credentials.voter(&state, &room.board.room())?.voter;
    let VoteForm { round, take, slip, votes } = form.into_inner();
    let ballot = cast(&state, &room, voter, CastMessage { round, take, slip, votes }).await?;
    let refused = match ballot.refused {
        None => String::new(),
        Some(refusal) => format!("?refused={}", refusal.as_str()),
    };
    let back = format!("/r/{}/plain{refused}", room.board.code);
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, back)).finish())
}

fn refuse_foreign_pages(request: &HttpRequest, state: &AppState) -> ApiResult<()> {
    match state.origin(request) {
        Origin::Foreign => Err(cross_origin()),
        Origin::Own | Origin::None => Ok(()),
    }
}

async fn show(
    state: &AppState,
    room: &Arc<ActiveRoom>,
    credentials: &VoterCredentials,
    error: Option<ApiError>,
) -> ApiResult {
    let voter = match credentials.voter(state, &room.board.room()) {
        Ok(token) => Some(known_voter(state, room, token).await?),
        Err(_) => None,
    };
    let record = room.board.room();
    let content = match &voter {
        None => page::join_form(&record),
        Some((voter, ballot)) => content(state, room, &record, voter, ballot),
    };
    let alert = error.as_ref().map(ToString::to_string);
    let html = page::document(&record, voter.is_some(), alert.as_deref(), &content);
    let status = error.map_or(StatusCode::OK, |error| error.status_code());
    Ok(HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html.into_string()))
}

/// What a voter sees in this phase of the room.
fn content(state: &AppState, active: &ActiveRoom, room: &Room, voter: &Voter, ballot: &Ballot) -> Markup {
    let phase = match room.phase() {
        RoomPhase::Lobby => page::lobby(),
        RoomPhase::Voting => open_round(state, active, room, ballot),
        RoomPhase::Between => page::between_rounds(room, ballot),
        RoomPhase::Reveal | RoomPhase::Finished => {
            let standing = active.board.standing(&voter.voter);
            page::ranking(standing.as_ref().map(|(_, standing)| standing))
        }
    };
    page::voter(voter, &phase)
}

fn open_round(state: &AppState, active: &ActiveRoom, room: &Room, ballot: &Ballot) -> Markup {
    let Some((number, take)) = room.current_take() else { return Markup::default() };
    let Some(round) = room.round(number) else { return Markup::default() };
    let (_, gates) = active.board.record_and_counts();
    let gates = gates.filter(|gates| (gates.round, gates.take) == (number, take));
    let shows_split = || sees_split(room, number, active.board.blackout(state.now()), Audience::Public);
    page::open_round(&OpenRound {
        room,
        round,
        number,
        take,
        ballot,
        tally: gates.as_ref().map(|gates| &gates.tally),
        shows_split: gates.is_some() && shows_split(),
    })
}
