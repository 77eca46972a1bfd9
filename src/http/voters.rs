//! Casting votes over HTTP, and the emcee's lists of voters and invites.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::app_state::AppState;
use super::auth::{Emcee, VoterCredentials};
use super::body::{self, Body, EmceeBody, EmceeBytes};
use super::error::{ApiError, ApiResult};
use super::joining::rename_voter;
use crate::actors::active_room::ActiveRoom;
use crate::actors::coordinator::ANSWER_WITHIN;
use crate::actors::messages::{Cast, CastOutcome, Casts, ReplyTo};
use crate::audit;
use crate::domain::Invalid;
use crate::domain::ballot::Refusal;
use crate::domain::ids::{Invite, VoterId};
use crate::domain::text::Name;
use crate::ledger::{Voter, VotersQuery};
use crate::traces::ActiveSpan;
use crate::wire::client::CastMessage;
use crate::wire::http::{InviteView, InvitesBody, VoterPatch, VoterView};
use crate::wire::server::BallotView;

/// Of one call.
const MAX_INVITES: usize = 10_000;
/// Of one page.
const MAX_VOTERS: usize = 1_000;

/// Casts votes, for clients without a socket. The rules are the same.
#[utoipa::path(tag = "voters", params(("room" = String, Path)), request_body = CastMessage, responses(
    (status = 200, body = BallotView, description = "the ballot, also if the votes are refused"),
    (status = 401, description = "bad_token"), (status = 403, description = "removed"),
    (status = 422, description = "not a cast")))]
#[post("/rooms/{room}/votes")]
pub async fn vote(
    state: web::Data<AppState>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    body: Body<CastMessage>,
) -> ApiResult {
    let room = state.room(&path).await?;
    let voter = credentials.voter(&state, &room.board.room())?.voter;
    Ok(HttpResponse::Ok().json(cast(&state, &room, voter, body.0).await?))
}

/// Casts votes and waits for the reply. Without one in time the ballot is refused as `busy`.
///
/// # Errors
/// 403 `removed`; 422 if the cast is not valid.
pub async fn cast(state: &AppState, room: &ActiveRoom, voter: VoterId, cast: CastMessage) -> ApiResult<BallotView> {
    let (round, take, votes) = cast.into_cast()?;
    let (answer, answered) = oneshot::channel();
    let started = Instant::now();
    let reply_to = ReplyTo::Caller(answer);
    let span = state.pod.traces.cast(&room.board.id, round, take);
    let trace = span.as_ref().map(ActiveSpan::trace);
    let cast = Cast { voter: voter.clone(), round, take, votes, reply_to, asked_at: started, trace };
    let busy = || BallotView::new(round, take, String::new(), room.board.votes_per_round(), Some(Refusal::Busy));
    if room.coordinator.casts.try_send(Casts(vec![cast])).is_err() {
        state.pod.metrics.mailbox_refusals.with_label_values(&["coordinator"]).inc();
        return Ok(busy());
    }
    let answer = tokio::time::timeout(ANSWER_WITHIN, answered).await;
    state.pod.metrics.ack_seconds.observe(started.elapsed().as_secs_f64());
    if let Some(span) = span {
        let outcome = |answered: &Result<CastOutcome, _>| answered.as_ref().map_or("busy", CastOutcome::label);
        span.end(answer.as_ref().map_or("busy", outcome));
    }
    match answer {
        Ok(Ok(CastOutcome::Ballot { view, grew })) => {
            if grew {
                room.tell_others(&voter, None, &view);
            }
            Ok(view)
        }
        Ok(Ok(CastOutcome::Removed)) => Err(ApiError::removed()),
        Ok(Ok(CastOutcome::Busy)) => Ok(busy()),
        Ok(Err(_)) | Err(_) => {
            state.pod.metrics.casts.refused(Refusal::Busy).inc();
            Ok(busy())
        }
    }
}

/// Options of [`list`].
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct ListQuery {
    /// Part of a name.
    #[serde(default)]
    q: String,
    /// Continue behind this voter: the `next` of the last page.
    #[serde(default)]
    after: Option<String>,
    /// 1 to 1,000.
    #[serde(default = "fifty")]
    limit: usize,
}

fn fifty() -> usize {
    50
}

/// Lists voters by name.
#[utoipa::path(tag = "voters", params(("room" = String, Path), ListQuery),
    responses((status = 200, description = "{voters: [{voter, name, connected}], next?}")))]
#[get("/rooms/{room}/voters")]
pub async fn list(
    state: web::Data<AppState>,
    path: web::Path<String>,
    _emcee: Emcee,
    query: web::Query<ListQuery>,
) -> ApiResult {
    if !(1..=MAX_VOTERS).contains(&query.limit) {
        return Err(Invalid::new("limit", format!("must be 1 to {MAX_VOTERS}, not {}", query.limit)).into());
    }
    let room = state.room(&path).await?;
    let after = query.after.as_deref().map(VoterId::parse).transpose();
    let after = after.map_err(|error| Invalid::new("after", error.detail))?;
    let query = VotersQuery { text: query.q.clone(), after, limit: query.limit };
    let page = state.pod.ledger.voters(&room.board.id, &query).await?;
    let ids: Vec<_> = page.voters.iter().map(|voter| voter.voter.clone()).collect();
    let present = state.pod.ledger.present(&room.board.id, &state.pod.peers(), &ids).await?;
    let voters = page.voters.iter().zip(present).map(|(voter, connected)| view(voter, connected));
    let mut answer = json!({ "voters": voters.collect::<Vec<_>>() });
    if let Some(next) = page.next {
        answer["next"] = next.to_string().into();
    }
    Ok(HttpResponse::Ok().json(answer))
}

fn view(voter: &Voter, connected: bool) -> VoterView {
    VoterView { voter: voter.voter.to_string(), name: voter.name.to_string(), connected, removed: voter.removed }
}

/// Renames a voter, removes one, or restores one.
#[utoipa::path(tag = "voters", params(("room" = String, Path), ("voter" = String, Path)), request_body = VoterPatch,
    responses((status = 200, body = VoterView), (status = 404, description = "no_such_voter"),
    (status = 409, description = "name_taken")))]
#[patch("/rooms/{room}/voters/{voter}")]
pub async fn patch(
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
    call: EmceeBody<VoterPatch>,
) -> ApiResult {
    let EmceeBody { emcee, body: VoterPatch { name, removed } } = call;
    let name = name.as_deref().map(Name::parse).transpose()?;
    let room = state.room(&path.0).await?;
    let no_such_voter = || ApiError::not_found("no_such_voter", "there is no such voter");
    let id = VoterId::parse(&path.1).map_err(|_| no_such_voter())?;
    let mut voter = state.pod.command_ledger.voter(&room.board.id, &id).await?.ok_or_else(no_such_voter)?;
    if let Some(name) = name {
        voter = rename_voter(&state, &room, id.clone(), name).await?;
        audit!("voter_renamed", room = %room.board.id, code = %room.board.code, voter = %id, device = emcee.device);
    }
    if let Some(removed) = removed {
        let partitions = room.board.room().partitions;
        let changed = state.pod.command_ledger.set_removed(&room.board.id, partitions, &id, removed).await?;
        voter = changed.ok_or_else(no_such_voter)?;
        let (of, code) = (&room.board.id, &room.board.code);
        if removed {
            room.close_sessions_of_voter(&id);
            audit!("voter_removed", room = %of, %code, voter = %id, device = emcee.device);
        } else {
            audit!("voter_restored", room = %of, %code, voter = %id, device = emcee.device);
        }
    }
    let present = state.pod.ledger.present(&room.board.id, &state.pod.peers(), &[id]).await?;
    Ok(HttpResponse::Ok().json(view(&voter, present.first().copied().unwrap_or_default())))
}

/// Invites people, by names in JSON or in the `name` column of a CSV. A name that has an invite keeps it.
#[utoipa::path(tag = "voters", params(("room" = String, Path)), request_body = InvitesBody, responses(
    (status = 201, description = "{invites: [{name, invite, url}]}"),
    (status = 422, description = "bad_request, naming the name")))]
#[post("/rooms/{room}/invites")]
pub async fn invite(
    request: HttpRequest,
    state: web::Data<AppState>,
    path: web::Path<String>,
    call: EmceeBytes,
) -> ApiResult {
    let EmceeBytes { emcee, bytes } = call;
    let room = state.room(&path).await?;
    let names = match request.headers().get("content-type").and_then(|kind| kind.to_str().ok()) {
        Some(kind) if kind.starts_with("text/csv") => body::names_of_csv(&bytes)?,
        _ => body::parse::<InvitesBody>(&bytes)?.names,
    };
    if names.len() > MAX_INVITES {
        return Err(Invalid::new("names", format!("must be at most {MAX_INVITES}, not {}", names.len())).into());
    }
    let parse = |(index, name): (usize, &String)| {
        Name::parse(name).map_err(|error| Invalid::new(format!("names[{index}]"), error.detail))
    };
    let names = names.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    let people: Vec<_> = names.into_iter().map(|name| (name, Invite::from_entropy(rand::random()))).collect();
    let invites = state.pod.ledger.invite(&room.board.id, &people).await?;
    let count = people.len();
    audit!("invited", room = %room.board.id, code = %room.board.code, people = count, device = emcee.device);
    let link = format!("{}/r/{}", state.base_url(&request), room.board.code);
    let invites = people.iter().zip(invites).map(|((name, _), invite)| invite_view(&link, name, &invite));
    Ok(HttpResponse::Created().json(json!({ "invites": invites.collect::<Vec<_>>() })))
}

/// Lists all invites by name.
#[utoipa::path(tag = "voters", params(("room" = String, Path)),
    responses((status = 200, description = "{invites: [{name, invite, url}]}")))]
#[get("/rooms/{room}/invites")]
pub async fn invited(
    request: HttpRequest,
    state: web::Data<AppState>,
    path: web::Path<String>,
    emcee: Emcee,
) -> ApiResult {
    let room = state.room(&path).await?;
    let mut invited = state.pod.ledger.invites(&room.board.id).await?;
    // who has an invite can vote as that person, so reading them is on record too
    let count = invited.len();
    audit!("invites_read", room = %room.board.id, code = %room.board.code, people = count, device = emcee.device);
    invited.sort_by(|a, b| a.name.cmp(&b.name));
    let link = format!("{}/r/{}", state.base_url(&request), room.board.code);
    let invites = invited.into_iter().map(|invited| invite_view(&link, &invited.name, &invited.invite));
    Ok(HttpResponse::Ok().json(json!({ "invites": invites.collect::<Vec<_>>() })))
}

fn invite_view(link: &str, name: &Name, code: &Invite) -> InviteView {
    InviteView { name: name.to_string(), url: format!("{link}#invite={code}"), invite: code.to_string() }
}
