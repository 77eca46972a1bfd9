//! The export of a room.

use actix_web::{HttpResponse, get, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app_state::AppState;
use super::auth::Emcee;
use super::error::{ApiError, ApiResult};
use super::{reveal, rooms};
use crate::actors::active_room::ActiveRoom;
use crate::audit;
use crate::domain::Invalid;
use crate::domain::room::Room;
use crate::domain::visibility::Audience;
use crate::ledger::archive::Archive;
use crate::ledger::execute::{rank, run_blocking};

mod contents;

use contents::Contents;

/// The format of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One object.
    #[default]
    Json,
    /// One line for each ballot.
    Csv,
    /// One object a line.
    Ndjson,
    /// The body of a `POST /rooms`.
    Event,
    /// The whole room with its secrets, for `POST /rooms/import`.
    Archive,
}

impl Format {
    /// The word in the query.
    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Event => "event",
            Self::Archive => "archive",
        }
    }
}

/// Whether an export has the names of the voters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// It has.
    #[default]
    Yes,
    /// It has only their ids, which are random.
    No,
}

/// Options of an export.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct ExportQuery {
    /// `json`, `csv`, `ndjson`, `event` or `archive`.
    #[serde(default)]
    format: Format,
    /// `yes` or `no`. Not for an archive, see `mask`.
    #[serde(default)]
    names: Names,
    /// An archive without names, cards, invites and keys.
    #[serde(default)]
    mask: bool,
}

/// Exports a room with its voters and votes.
#[utoipa::path(tag = "records", params(("room" = String, Path), ExportQuery),
    responses((status = 200, description = "see docs/protocol.md")))]
#[get("/rooms/{room}/export")]
pub async fn export(
    state: web::Data<AppState>,
    path: web::Path<String>,
    emcee: Emcee,
    query: web::Query<ExportQuery>,
) -> ApiResult {
    let ExportQuery { format, names, mask } = query.into_inner();
    if format == Format::Archive && names == Names::No {
        return Err(Invalid::new("names", "an archive without names is written with mask=true").into());
    }
    let active = state.room(&path).await?;
    rooms::refresh(&state, &active).await?;
    let room = active.board.room();
    let response = match format {
        Format::Event => HttpResponse::Ok().json(event(&room)),
        Format::Archive => archive(&state, &room, mask).await?,
        Format::Json | Format::Csv | Format::Ndjson => votes(&state, &active, format, names).await?,
    };
    let has_names = names == Names::Yes && !mask && format != Format::Event;
    audit!("exported", room = %room.id, code = %room.code, format = format.as_str(), names = has_names, device = emcee.device);
    Ok(response)
}

/// Everything that was voted.
async fn votes(state: &AppState, active: &ActiveRoom, format: Format, names: Names) -> ApiResult {
    let room = active.board.room();
    let shown = room.reveal.as_ref().and_then(|reveal| active.board.ranking(reveal.ranking));
    let view = rooms::view(state, active, Audience::Emcee);
    let (ledger, salts) = (state.pod.ledger.clone(), state.pod.token_key(&room).salts());
    let (kind, text) = run_blocking(async move {
        let ranking = match shown {
            Some(shown) => reveal::view(shown.entries(), u32::MAX),
            None => reveal::view(&rank(&*ledger, &room).await?, u32::MAX),
        };
        let mut contents = Contents::read(&*ledger, room, view, ranking, salts).await?;
        if names == Names::No {
            contents.drop_names();
        }
        Ok::<_, ApiError>(match format {
            Format::Csv => ("text/csv; charset=utf-8", contents.csv()?),
            Format::Ndjson => ("application/x-ndjson", contents.lines()),
            _ => ("application/json", contents.object().to_string()),
        })
    })
    .await?;
    Ok(HttpResponse::Ok().content_type(kind).body(text))
}

async fn archive(state: &AppState, room: &Room, mask: bool) -> ApiResult {
    let (ledger, key, id) = (state.pod.ledger.clone(), state.pod.token_key(room), room.id.clone());
    let text = run_blocking(async move {
        let archive = Archive::of(&*ledger, &id, key.expose()).await?;
        Ok::<_, ApiError>(if mask { archive.masked() } else { archive }.write()?)
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").body(text.await?))
}

/// The plan of a room as the body of `POST /rooms`, without the `ref`: that is unique.
fn event(room: &Room) -> Value {
    let rounds = room.rounds.iter().map(|round| {
        let choices = round.choices.iter().map(|choice| json!({ "label": choice.label, "color": choice.color }));
        let mut plan = json!({
            "title": round.title,
            "choices": choices.collect::<Vec<_>>(),
            "split": round.split,
            "blackout_seconds": round.blackout_seconds,
        });
        if let Some(seconds) = round.seconds {
            plan["seconds"] = seconds.into();
        }
        plan
    });
    json!({
        "title": room.title,
        "votes_per_round": room.votes_per_round,
        "join": room.join,
        "programme": room.programme,
        "rehearsal": room.rehearsal,
        "partitions": room.partitions,
        "rounds": rounds.collect::<Vec<_>>(),
    })
}
