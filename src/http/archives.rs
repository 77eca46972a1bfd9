//! Importing rooms from archives, and removing rooms for good.

use actix_web::{HttpResponse, post, web};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;

use super::app_state::AppState;
use super::auth::Emcee;
use super::body::EmceeBody;
use super::error::{ApiError, ApiResult};
use super::rooms::{execute, fresh_view, view};
use crate::audit;
use crate::domain::Invalid;
use crate::domain::command::Command;
use crate::domain::ids::RoomCode;
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::domain::visibility::Audience;
use crate::ledger::archive::{Archive, Import};
use crate::ledger::execute::run_blocking;

/// An archive of this size has about two million ballots.
const MAX_ARCHIVE_BYTES: usize = 512 * 1024 * 1024;

/// Options of an import.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct ImportQuery {
    /// Import it as a copy with a new id, a new code and another `ref` (`copy-of-…`).
    #[serde(default)]
    fresh: bool,
}

/// Imports a room that `export?format=archive` wrote: with its code, voters, cards and tokens.
#[utoipa::path(tag = "records", params(ImportQuery), request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 201, description = "the room"), (status = 200, description = "it exists already and is the same"),
    (status = 409, description = "room_exists, code_taken, ref_taken, import_running"),
    (status = 422, description = "bad_request, naming the field")))]
#[post("/rooms/import")]
pub async fn import(
    state: web::Data<AppState>,
    emcee: Emcee,
    query: web::Query<ImportQuery>,
    mut payload: web::Payload,
) -> ApiResult {
    let mut bytes = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Invalid::new("body", error.to_string()))?;
        if bytes.len() + chunk.len() > MAX_ARCHIVE_BYTES {
            return Err(Invalid::new("body", format!("must be at most {MAX_ARCHIVE_BYTES} bytes")).into());
        }
        bytes.extend_from_slice(&chunk);
    }
    let (ledger, fresh) = (state.pod.ledger.clone(), query.fresh);
    let imported = run_blocking(async move {
        let text = std::str::from_utf8(&bytes).map_err(|error| Invalid::new("body", error.to_string()))?;
        let archive = Archive::read(text)?;
        let archive = if fresh { archive.fresh() } else { archive };
        Ok::<_, ApiError>(archive.import(&*ledger).await?)
    });
    match imported.await? {
        Import::Done(room) => {
            log_import(&room, &emcee, true);
            Ok(HttpResponse::Created().json(imported_view(&state, &room).await?))
        }
        Import::Unchanged(room) => {
            log_import(&room, &emcee, false);
            Ok(HttpResponse::Ok().json(imported_view(&state, &room).await?))
        }
        Import::Exists(room) => {
            let detail = "this room exists already and differs from the archive";
            Err(ApiError::conflict("room_exists", detail).with("room", imported_view(&state, &room).await?))
        }
        Import::Running => {
            let detail = "this room, or one with its code or ref, is being imported just now; try again in a while";
            Err(ApiError::conflict("import_running", detail).retry_after(5))
        }
        Import::Refused(invalid) => Err(invalid.into()),
        Import::CodeTaken => Err(ApiError::conflict("code_taken", "another room has this code; import it as fresh")),
        Import::RefTaken(room) => {
            let error = ApiError::conflict("ref_taken", "another room has this ref; delete that one first");
            Err(error.with("room", imported_view(&state, &room).await?))
        }
    }
}

/// `new` is false if the room was here already, the same.
fn log_import(room: &Room, emcee: &Emcee, new: bool) {
    audit!("room_imported", room = %room.id, code = %room.code, title = %room.title, new, device = emcee.device);
}

async fn imported_view(state: &AppState, room: &Room) -> ApiResult<serde_json::Value> {
    if room.deleted_at.is_some() {
        return Ok(json!(fresh_view(state, room).at(state.now())));
    }
    let active = state.rooms.activate(&room.id).await?;
    Ok(view(state, &active, Audience::Emcee))
}

/// Which rooms to remove.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeBody {
    /// Rooms deleted longer ago than this, in s; with `all` also rooms changed last longer ago.
    older_than_seconds: u64,
    /// Remove also rooms that are not deleted, except while a round is open.
    #[serde(default)]
    all: bool,
    /// Remove of these only the room with this code.
    room: Option<String>,
    /// Only list them.
    #[serde(default)]
    dry_run: bool,
}

/// Removes old rooms for good: those deleted long enough ago, or all that have not changed for so long. The removal itself
/// is a job.
#[utoipa::path(tag = "records", request_body = PurgeBody,
    responses((status = 200, description = "{rooms: [{room, title, since}], jobs}")))]
#[post("/purge")]
pub async fn purge(state: web::Data<AppState>, call: EmceeBody<PurgeBody>) -> ApiResult {
    let EmceeBody { emcee, body: PurgeBody { older_than_seconds, all, room: only, dry_run } } = call;
    let only = only.map(|code| RoomCode::parse(&code).map_err(|_| ApiError::no_such_room())).transpose()?;
    let before = state.now().saturating_sub(older_than_seconds.saturating_mul(1_000));
    let (mut rooms, mut jobs) = (vec![], vec![]);
    for room in state.pod.list_rooms().await?.rooms {
        if only.as_ref().is_some_and(|code| *code != room.code) {
            continue;
        }
        // the version of a record is the time at which it was stored
        let since = match room.deleted_at {
            Some(deleted_at) => deleted_at,
            None if all && room.running.is_none() => room.seq,
            None => continue,
        };
        if since > before {
            continue;
        }
        rooms.push(json!({ "room": room.code, "title": room.title, "since": since }));
        if !dry_run {
            jobs.push(enqueue_purge(&state, &emcee, room).await?);
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "rooms": rooms, "jobs": jobs })))
}

/// Deletes the room unless it is deleted, and enqueues the job that removes it. Returns the job's id.
async fn enqueue_purge(state: &AppState, emcee: &Emcee, mut room: Room) -> ApiResult<String> {
    if room.deleted_at.is_none() {
        let active = state.rooms.activate(&room.id).await?;
        room = execute(&active, emcee, Command::Delete { title: room.title.to_string() }).await?.room;
    }
    let job = Job::purge(&room);
    state.pod.ledger.enqueue(&room.id, std::slice::from_ref(&job)).await?;
    audit!("purge_ordered", room = %room.id, code = %room.code, title = %room.title, device = emcee.device);
    Ok(job.id)
}
