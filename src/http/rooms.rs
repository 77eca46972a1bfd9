//! Rooms: creating, reading, editing and deleting them, and what their stage shows.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, put, web};
use serde::Deserialize;
use serde_json::json;

use super::app_state::AppState;
use super::auth::{Emcee, Viewer};
use super::body::EmceeBody;
use super::error::{ApiError, ApiResult};
use crate::actors::active_room::ActiveRoom;
use crate::actors::messages::Execute;
use crate::actors::rooms::RoomUnavailable;
use crate::audit;
use crate::domain::Invalid;
use crate::domain::command::Command;
use crate::domain::gate::GateSum;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::Room;
use crate::domain::visibility::{Audience, Blackout};
use crate::ledger::execute::{RoomSnapshot, reconcile_room};
use crate::ledger::{Creation, LedgerError};
use crate::wire::http::{RoomBody, RoomPatch, StageBody};
use crate::wire::room::RoomView;

/// Random codes tried until one is free. There are a billion, so a second try is rare.
const MAX_CODE_TRIES: usize = 16;

/// Creates a room.
#[utoipa::path(tag = "rooms", request_body = RoomBody, responses(
    (status = 201, description = "the room"), (status = 409, description = "ref_taken, with the room"),
    (status = 422, description = "bad_request, naming the field")))]
#[post("/rooms")]
pub async fn create(state: web::Data<AppState>, call: EmceeBody<RoomBody>) -> ApiResult {
    let EmceeBody { emcee, body } = call;
    let plan = body.into_plan()?;
    let id = RoomId::from_entropy(rand::random());
    for _ in 0..MAX_CODE_TRIES {
        let code = RoomCode::from_entropy(rand::random());
        let room = plan.clone().into_room(id.clone(), code, state.now())?;
        match state.pod.ledger.create_room(&room).await? {
            Creation::Created(room) => {
                audit!("room_made", room = %room.id, code = %room.code, title = %room.title, device = emcee.device);
                return Ok(HttpResponse::Created().json(fresh_view(&state, &room).at(state.now())));
            }
            Creation::RefTaken(room) => {
                let active = state.rooms.activate(&room.id).await?;
                let view = view(&state, &active, Audience::Emcee);
                return Err(ApiError::conflict("ref_taken", "another room has this ref").with("room", view));
            }
            Creation::CodeTaken => {}
        }
    }
    Err(ApiError::busy())
}

/// A room as the emcee sees it, made from its record alone.
pub fn fresh_view(state: &AppState, room: &Room) -> RoomView {
    let view = RoomView::new(room, &GateSum::default(), None, Blackout::default(), Audience::Emcee);
    view.reached_at(state.pod.voters_url.as_deref())
}

/// Options of [`list`].
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct ListQuery {
    /// List deleted rooms too.
    #[serde(default)]
    deleted: bool,
}

/// Lists all rooms, newest first, and apart from them the rooms that cannot be read.
#[utoipa::path(tag = "rooms", params(ListQuery),
    responses((status = 200, description = "{rooms: [room], unreadable: [{id, room}]}")))]
#[get("/rooms")]
pub async fn list(state: web::Data<AppState>, _emcee: Emcee, query: web::Query<ListQuery>) -> ApiResult {
    let mut rooms = state.pod.list_rooms().await?.rooms;
    rooms.retain(|room| query.deleted || room.deleted_at.is_none());
    rooms.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    let mut views = vec![];
    for room in rooms {
        // the view of a room that runs or is revealed needs more than its record
        let is_active = room.running.is_some() || room.reveal.is_some() || state.rooms.get(&room.id).is_some();
        if !is_active {
            views.push(json!(fresh_view(&state, &room).at(state.now())));
            continue;
        }
        match state.rooms.activate(&room.id).await {
            Ok(active) => views.push(view(&state, &active, Audience::Emcee)),
            // listed with the rooms that cannot be read
            Err(RoomUnavailable::Ledger(error @ LedgerError::Corrupt(_))) => {
                state.pod.quarantine.add_if_corrupt(&room.id, Some(&room.code), &error);
            }
            Err(absent) => return Err(absent.into()),
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "rooms": views, "unreadable": state.pod.quarantine.views() })))
}

/// The room as its board shows it, with the ledger's time.
pub fn view(state: &AppState, room: &ActiveRoom, audience: Audience) -> serde_json::Value {
    let view = room.board.view(audience, state.now());
    let mut view: serde_json::Value = serde_json::from_str(view.get()).unwrap_or_default();
    view["now"] = state.now().into();
    view
}

/// A room, as far as the caller may see it.
#[utoipa::path(tag = "rooms", params(("room" = String, Path, description = "join code, either case")),
    responses((status = 200, description = "the room"), (status = 404, description = "no_such_room")))]
#[get("/rooms/{room}")]
pub async fn get(state: web::Data<AppState>, path: web::Path<String>, viewer: Viewer) -> ApiResult {
    let room = state.room(&path).await?;
    if viewer.0 == Audience::Emcee {
        refresh(&state, &room).await?;
    }
    Ok(HttpResponse::Ok().json(view(&state, &room, viewer.0)))
}

/// Brings the board up to date, so that an emcee sees here what was just done through another pod.
///
/// # Errors
/// 404 if the room is gone; 503 if the ledger does not answer.
pub async fn refresh(state: &AppState, room: &ActiveRoom) -> ApiResult<()> {
    let snapshot = reconcile_room(&*state.pod.command_ledger, &room.board.id).await?;
    Ok(state.rooms.apply_snapshot(room, snapshot).await?)
}

/// Changes a room. Fields that are left out stay as they are.
#[utoipa::path(tag = "rooms", params(("room" = String, Path)), request_body = RoomPatch, responses(
    (status = 200, description = "the room"), (status = 409, description = "not_changeable, naming the field")))]
#[patch("/rooms/{room}")]
pub async fn patch(state: web::Data<AppState>, path: web::Path<String>, call: EmceeBody<RoomPatch>) -> ApiResult {
    let EmceeBody { emcee, body } = call;
    let edit = body.into_edit()?;
    command(&state, &path, &emcee, Command::Edit(edit)).await
}

/// The confirmation of a deletion.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct DeleteQuery {
    /// The room's title.
    #[serde(default)]
    title: String,
}

/// Deletes a room. It can be restored until it is purged.
#[utoipa::path(tag = "rooms", params(("room" = String, Path), DeleteQuery), responses(
    (status = 204, description = "deleted"), (status = 409, description = "round_open"),
    (status = 422, description = "the title does not match")))]
#[delete("/rooms/{room}")]
pub async fn delete(
    state: web::Data<AppState>,
    path: web::Path<String>,
    emcee: Emcee,
    query: web::Query<DeleteQuery>,
) -> ApiResult {
    let room = any_room(&state, &path).await?;
    execute(&room, &emcee, Command::Delete { title: query.into_inner().title }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Restores a deleted room.
#[utoipa::path(tag = "rooms", params(("room" = String, Path)), responses((status = 200, description = "the room")))]
#[post("/rooms/{room}/undelete")]
pub async fn undelete(state: web::Data<AppState>, path: web::Path<String>, emcee: Emcee) -> ApiResult {
    let room = any_room(&state, &path).await?;
    execute(&room, &emcee, Command::Undelete).await?;
    Ok(HttpResponse::Ok().json(view(&state, &room, Audience::Emcee)))
}

/// A room, deleted or not.
async fn any_room(state: &AppState, code: &str) -> ApiResult<Arc<ActiveRoom>> {
    let code = RoomCode::parse(code).map_err(|_| ApiError::no_such_room())?;
    let room = state.pod.command_ledger.find_room(&code).await?.ok_or_else(ApiError::no_such_room)?;
    Ok(state.rooms.activate(&room.id).await?)
}

/// Executes a command and returns the room as the emcee sees it then.
///
/// # Errors
/// 404 `no_such_room`; 409 if the command is refused; 503 if the ledger does not answer.
pub async fn command(state: &AppState, code: &str, emcee: &Emcee, command: Command) -> ApiResult {
    let room = state.room(code).await?;
    execute(&room, emcee, command).await?;
    Ok(HttpResponse::Ok().json(view(state, &room, Audience::Emcee)))
}

/// Executes a command and writes it to the audit log.
///
/// # Errors
/// 409 if the command is refused; 503 if the ledger does not answer.
pub async fn execute(room: &ActiveRoom, emcee: &Emcee, command: Command) -> ApiResult<RoomSnapshot> {
    let text = format!("{command:?}");
    let snapshot = room.coordinator.execute.send(Execute { command }).await??;
    audit!("command", room = %snapshot.room.id, code = %snapshot.room.code, seq = snapshot.room.seq, device = emcee.device, command = text);
    Ok(snapshot)
}

/// Sets what the stage shows.
#[utoipa::path(tag = "rooms", params(("room" = String, Path)), request_body = StageBody,
    responses((status = 200, description = "the room")))]
#[put("/rooms/{room}/stage")]
pub async fn stage(state: web::Data<AppState>, path: web::Path<String>, call: EmceeBody<StageBody>) -> ApiResult {
    let EmceeBody { emcee, body } = call;
    let stage = body.into_stage()?;
    command(&state, &path, &emcee, Command::Stage(stage)).await
}

/// The voter link as a QR code.
#[utoipa::path(tag = "rooms", params(("room" = String, Path)),
    responses((status = 200, description = "an SVG image", content_type = "image/svg+xml")))]
#[get("/rooms/{room}/qr.svg")]
pub async fn qr(request: HttpRequest, state: web::Data<AppState>, path: web::Path<String>) -> ApiResult {
    let room = state.room(&path).await?;
    let link = format!("{}/r/{}", state.base_url(&request), room.board.code);
    let code = qrcode::QrCode::new(link).map_err(|error| Invalid::new("room", error.to_string()))?;
    let svg = code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(240, 240).build();
    Ok(HttpResponse::Ok().content_type("image/svg+xml").body(svg))
}
