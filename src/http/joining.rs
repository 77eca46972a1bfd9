//! Joining a room, and a voter's own data.

use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::cookie::time::Duration;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};
use serde_json::json;

use super::app_state::AppState;
use super::auth::VoterCredentials;
use super::body::Body;
use super::cookies;
use super::error::{ApiError, ApiResult};
use crate::actors::active_room::ActiveRoom;
use crate::actors::session::VOTER_COOKIE;
use crate::auth::{SIGN_IN_MS, VoterToken};
use crate::domain::Invalid;
use crate::domain::ballot::Ballot;
use crate::domain::ids::{Card, Invite, VoterId};
use crate::domain::text::Name;
use crate::ledger::{JoinOutcome, JoinRequest, RenameRequest, ResumeRequest, Voter, fresh_card};
use crate::wire::http::{JoinBody, JoinedView, RenameBody};

/// Consecutive numbers that are tried behind a name that is taken.
const SUGGESTIONS: u32 = 8;

/// Joins a voter. A repeat with the same card gives the same voter.
#[utoipa::path(tag = "voters", params(("room" = String, Path)), request_body = JoinBody, responses(
    (status = 201, body = JoinedView, description = "a new voter"),
    (status = 200, body = JoinedView, description = "the same voter: known card, used invite, or valid token"),
    (status = 403, description = "invite_needed, bad_invite, join_closed, removed"),
    (status = 409, description = "name_taken, with suggestion")))]
#[post("/rooms/{room}/join")]
pub async fn join(
    request: HttpRequest,
    state: web::Data<AppState>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    body: Body<JoinBody>,
) -> ApiResult {
    let room = state.room(&path).await?;
    let token = credentials.token(&state, &room.board.room());
    let (voter, new) = join_room(&state, &room, token, body.0).await?;
    let view = joined(&state, &room, &voter);
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let cookie = cookie(&request, &state, &room, view.token.clone());
    Ok(HttpResponse::build(status).cookie(cookie).json(view))
}

/// Joins a new voter (`true`), or finds the voter that token, card or invite belong to.
///
/// # Errors
/// 422 for a name or card that is not valid; 403 `invite_needed`, `bad_invite`, `join_closed` or `removed`; 409
/// `name_taken`; 503 if the ledger does not answer.
pub async fn join_room(
    state: &AppState,
    room: &Arc<ActiveRoom>,
    token: Option<VoterToken>,
    body: JoinBody,
) -> ApiResult<(Voter, bool)> {
    let name = body.name.as_deref().map(Name::parse).transpose();
    let has_way_back = token.is_some() || body.card.is_some() || body.invite.is_some();
    let name = match (name, &token) {
        (Ok(name), Some(token)) => name.or_else(|| Some(token.name.clone())),
        (Ok(name), None) => name,
        // a token is enough, so an invalid name beside it does not matter
        (Err(_), _) if token.is_some() => None,
        (Err(invalid), _) => return Err(invalid.into()),
    };
    if name.is_none() && !has_way_back {
        return Err(Invalid::new("name", "is needed").into());
    }
    let mut request = JoinRequest {
        voter: token.as_ref().map_or_else(|| VoterId::from_entropy(rand::random()), |token| token.voter.clone()),
        has_token: token.is_some(),
        suggestions: vec![],
        name,
        card: body.card.as_deref().map(Card::parse).transpose()?.unwrap_or_else(fresh_card),
        invite: match body.invite.as_deref().map(Invite::parse) {
            None => None,
            Some(Ok(invite)) => Some(invite),
            Some(Err(_)) => return Err(bad_invite()),
        },
        mode: room.board.room().join,
    };
    let mut outcome = state.pod.ledger.join(&room.board.id, &request).await?;
    if matches!(outcome, JoinOutcome::NameTaken(_)) {
        // most names are free, so suggestions are made only when they are needed
        request.suggestions = request.name.as_ref().map(suggestions).unwrap_or_default();
        outcome = state.pod.ledger.join(&room.board.id, &request).await?;
    }
    match outcome {
        JoinOutcome::Done(voter) => {
            state.pod.metrics.joins.inc();
            Ok((voter, true))
        }
        JoinOutcome::Known(voter) => Ok((voter, false)),
        outcome => Err(refusal(outcome)),
    }
}

fn bad_invite() -> ApiError {
    ApiError::forbidden("bad_invite", "there is no such invite in this room")
}

/// The error for an outcome without a voter or a new name.
fn refusal(outcome: JoinOutcome) -> ApiError {
    match outcome {
        JoinOutcome::Removed => ApiError::removed(),
        JoinOutcome::NameTaken(suggestion) => {
            let error = ApiError::conflict("name_taken", "somebody else has this name");
            match suggestion {
                Some(name) => error.with("suggestion", name.as_str()),
                None => error,
            }
        }
        JoinOutcome::NameMissing => Invalid::new("name", "is needed").into(),
        JoinOutcome::InviteNeeded => ApiError::forbidden("invite_needed", "this room is for people with an invite"),
        JoinOutcome::BadInvite => bad_invite(),
        JoinOutcome::Closed => ApiError::forbidden("join_closed", "nobody new may join this room now"),
        JoinOutcome::NoSuchVoter => ApiError::not_found("no_such_voter", "there is no such voter"),
        JoinOutcome::Done(_) | JoinOutcome::Known(_) => ApiError::busy(),
    }
}

fn suggestions(name: &Name) -> Vec<Name> {
    let numbers = (2..2 + SUGGESTIONS).chain([rand::random_range(10..100), rand::random_range(100..10_000)]);
    numbers.map(|number| name.numbered(number)).collect()
}

/// The response to a join, with a new token.
pub fn joined(state: &AppState, room: &ActiveRoom, voter: &Voter) -> JoinedView {
    JoinedView {
        voter: voter.voter.to_string(),
        name: voter.name.to_string(),
        token: state.pod.token_key(&room.board.room()).sign(&voter.voter, &voter.name),
        card: voter.card.to_string(),
    }
}

/// The voter's cookie for this room.
pub fn cookie(request: &HttpRequest, state: &AppState, room: &ActiveRoom, token: String) -> Cookie<'static> {
    let name = format!("{VOTER_COOKIE}{}", room.board.id);
    cookies::cookie(&state.arrival(request), &name, token, Duration::milliseconds(SIGN_IN_MS as i64))
}

/// The voter of a valid token, with the current ballot. A ledger that has lost the voter stores it again.
///
/// # Errors
/// 403 `removed`; 503 if the ledger does not answer.
pub async fn known_voter(state: &AppState, room: &Arc<ActiveRoom>, token: VoterToken) -> ApiResult<(Voter, Ballot)> {
    voter_with_ballot(state, room, token, room.board.room().current_take()).await
}

/// The same with the ballot of this round and take.
///
/// # Errors
/// As [`known_voter`].
pub async fn voter_with_ballot(
    state: &AppState,
    room: &Arc<ActiveRoom>,
    token: VoterToken,
    take: Option<(u16, u16)>,
) -> ApiResult<(Voter, Ballot)> {
    let greeting = ResumeRequest { voter: token.voter, name: token.name, card: fresh_card(), take };
    let (voter, ballot) = room.greet(&state.pod, greeting).await?;
    if voter.removed { Err(ApiError::removed()) } else { Ok((voter, ballot)) }
}

/// The voter's name, card, ballots and place.
#[utoipa::path(tag = "voters", params(("room" = String, Path)), responses(
    (status = 200, description = "{voter, name, card, ballots: [{round, take, votes, left}], standing?}"),
    (status = 401, description = "bad_token"), (status = 403, description = "removed")))]
#[get("/rooms/{room}/me")]
pub async fn me(state: web::Data<AppState>, path: web::Path<String>, credentials: VoterCredentials) -> ApiResult {
    let room = state.room(&path).await?;
    let token = credentials.voter(&state, &room.board.room())?;
    let (voter, _) = known_voter(&state, &room, token).await?;
    let record = room.board.room();
    let is_open = |round| record.running.as_ref().is_some_and(|running| running.round == round);
    let begun = (1u16..).zip(&record.rounds).filter(|(number, round)| is_open(*number) || round.counted().is_some());
    let takes: Vec<(u16, u16)> = begun.map(|(number, round)| (number, round.take)).collect();
    let ballots = state.pod.ledger.ballots_of(&record.id, record.partitions, &voter.voter, &takes).await?;
    let ballots = takes.iter().zip(ballots).map(|((round, take), ballot)| {
        let left = usize::from(record.votes_per_round).saturating_sub(ballot.votes.len());
        json!({ "round": round, "take": take, "votes": ballot.votes, "left": left })
    });
    let mut me = json!({
        "voter": voter.voter,
        "name": voter.name,
        "card": voter.card,
        "ballots": ballots.collect::<Vec<_>>(),
    });
    if let Some((_, standing)) = room.board.standing(&voter.voter) {
        me["standing"] = serde_json::to_value(standing).unwrap_or_default();
    }
    Ok(HttpResponse::Ok().json(me))
}

/// Changes the voter's name, until the first vote.
#[utoipa::path(tag = "voters", params(("room" = String, Path)), request_body = RenameBody, responses(
    (status = 200, body = JoinedView), (status = 409, description = "name_taken; not_changeable after the first vote")))]
#[patch("/rooms/{room}/me")]
pub async fn rename(
    request: HttpRequest,
    state: web::Data<AppState>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    body: Body<RenameBody>,
) -> ApiResult {
    let name = Name::parse(&body.0.name)?;
    let room = state.room(&path).await?;
    let token = credentials.voter(&state, &room.board.room())?;
    let (voter, _) = known_voter(&state, &room, token).await?;
    if voter.name != name {
        let record = room.board.room();
        let mut takes: Vec<(u16, u16)> = vec![];
        for (number, round) in (1u16..).zip(&record.rounds) {
            takes.extend(round.takes.iter().map(|take| (number, take.take)));
            takes.push((number, round.take));
        }
        let ballots = state.pod.ledger.ballots_of(&record.id, record.partitions, &voter.voter, &takes).await?;
        if ballots.iter().any(|ballot| !ballot.votes.is_empty()) {
            return Err(ApiError::conflict("not_changeable", "the name cannot change after the first vote")
                .with("field", "name"));
        }
    }
    let voter = rename_voter(&state, &room, voter.voter, name).await?;
    let view = joined(&state, &room, &voter);
    let cookie = cookie(&request, &state, &room, view.token.clone());
    Ok(HttpResponse::Ok().cookie(cookie).json(view))
}

/// Gives a voter another name.
///
/// # Errors
/// 404 `no_such_voter`; 409 `name_taken`; 503 if the ledger does not answer.
pub async fn rename_voter(state: &AppState, room: &ActiveRoom, voter: VoterId, name: Name) -> ApiResult<Voter> {
    let renaming = RenameRequest { voter, suggestions: suggestions(&name), name };
    match state.pod.ledger.rename(&room.board.id, &renaming).await? {
        JoinOutcome::Done(voter) | JoinOutcome::Known(voter) => Ok(voter),
        outcome => Err(refusal(outcome)),
    }
}
