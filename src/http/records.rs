//! The export of a room, and the audit that recounts its votes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use actix_web::{HttpResponse, get, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app_state::AppState;
use super::auth::Emcee;
use super::error::{ApiError, ApiResult};
use super::{reveal, rooms};
use crate::domain::Invalid;
use crate::domain::ballot::Ballot;
use crate::domain::gate::Tally;
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::room::{Room, Take, letter};
use crate::domain::text::Name;
use crate::domain::visibility::Audience;
use crate::ledger::Ledger;
use crate::ledger::archive::Archive;
use crate::ledger::execute::{all_ballots, all_names, rank, reconcile_room, run_blocking};
use crate::wire::room::RecordView;

/// How often a recount is done if votes arrive while it runs.
const MAX_RECOUNTS: usize = 5;

/// The format of an export.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
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

/// Options of an export.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct ExportQuery {
    /// `json`, `csv`, `ndjson`, `event` or `archive`.
    #[serde(default)]
    format: Format,
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
    _emcee: Emcee,
    query: web::Query<ExportQuery>,
) -> ApiResult {
    let active = state.room(&path).await?;
    rooms::refresh(&state, &active).await?;
    let room = active.board.room();
    if let Format::Event = query.format {
        return Ok(HttpResponse::Ok().json(event(&room)));
    }
    if let Format::Archive = query.format {
        return archive(&state, &room, query.mask).await;
    }
    let shown = room.reveal.as_ref().and_then(|reveal| active.board.ranking(reveal.ranking));
    let view = rooms::view(&state, &active, Audience::Emcee);
    let (ledger, format) = (state.pod.ledger.clone(), query.format);
    let (kind, text) = run_blocking(async move {
        let contents = read_contents(&*ledger, room).await?;
        let ranking = match shown {
            Some(shown) => reveal::view(shown.entries(), u32::MAX),
            None => reveal::view(&rank(&*ledger, &contents.room).await?, u32::MAX),
        };
        contents.write(&json!(view), ranking, format)
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

/// A room with its voters and ballots.
struct Contents {
    room: Arc<Room>,
    names: HashMap<VoterId, Name>,
    removed: HashSet<VoterId>,
    /// The ballots of each take, sorted by voter.
    ballots: Vec<BallotsOfTake>,
}

async fn read_contents(ledger: &dyn Ledger, room: Arc<Room>) -> ApiResult<Contents> {
    let (names, removed) = all_names(ledger, &room.id).await?;
    let mut ballots = vec![];
    for (round, take, _) in room.takes() {
        let mut cast: Vec<_> = all_ballots(ledger, &room, (round, take)).await?.into_iter().collect();
        cast.sort_by(|(a, _), (b, _)| a.cmp(b));
        ballots.push(((round, take), cast));
    }
    Ok(Contents { room, names, removed, ballots })
}

impl Contents {
    /// The export as media type and text.
    ///
    /// # Errors
    /// The CSV cannot be written.
    fn write(&self, view: &Value, ranking: Vec<Value>, format: Format) -> ApiResult<(&'static str, String)> {
        let mut voters: Vec<_> = self.names.iter().collect();
        voters.sort();
        let voters = voters.into_iter().map(|(voter, name)| match self.removed.contains(voter) {
            true => json!({ "voter": voter, "name": name, "removed": true }),
            false => json!({ "voter": voter, "name": name }),
        });
        Ok(match format {
            Format::Csv => ("text/csv; charset=utf-8", csv(&self.room, &self.ballots, &self.names)?),
            Format::Ndjson => {
                let mut lines = vec![json!({ "room": view })];
                lines.extend(voters.map(|voter| json!({ "voter": voter })));
                for ((round, take), cast) in &self.ballots {
                    let record = record_of(&self.room, *round, *take).map(RecordView::new);
                    lines.push(json!({ "take": { "round": round, "take": take, "record": record } }));
                    lines.extend(cast.iter().map(|(voter, ballot)| {
                        json!({ "ballot": { "round": round, "take": take, "voter": voter, "votes": ballot.votes, "time_ms": ballot.time_ms } })
                    }));
                }
                lines.extend(ranking.into_iter().map(|entry| json!({ "ranking": entry })));
                ("application/x-ndjson", lines.iter().map(|line| format!("{line}\n")).collect())
            }
            Format::Json | Format::Event | Format::Archive => {
                let contents = json!({
                    "room": view,
                    "voters": voters.collect::<Vec<_>>(),
                    "rounds": rounds(&self.room, &self.ballots),
                    "ranking": ranking,
                });
                ("application/json", contents.to_string())
            }
        })
    }
}

/// The record of a closed take.
fn record_of(room: &Room, round: u16, take: u16) -> Option<&Take> {
    room.round(round)?.takes.iter().find(|known| known.take == take)
}

/// Round and take, with the ballots of its voters.
type BallotsOfTake = ((u16, u16), Vec<(VoterId, Ballot)>);

fn rounds(room: &Room, ballots: &[BallotsOfTake]) -> Vec<Value> {
    let round = |(number, round): (u16, &crate::domain::room::Round)| {
        let of_round = ballots.iter().filter(|((n, _), _)| *n == number);
        let takes = of_round.map(|((_, take), cast)| {
            let cast = cast
                .iter()
                .map(|(voter, ballot)| json!({ "voter": voter, "votes": ballot.votes, "time_ms": ballot.time_ms }));
            let mut view = json!({ "take": take, "counted": *take == round.take, "ballots": cast.collect::<Vec<_>>() });
            if let Some(record) = record_of(room, number, *take) {
                view["record"] = serde_json::to_value(RecordView::new(record)).unwrap_or_default();
            }
            view
        });
        json!({ "round": number, "takes": takes.collect::<Vec<_>>() })
    };
    (1u16..).zip(&room.rounds).map(round).collect()
}

fn csv(room: &Room, ballots: &[BallotsOfTake], names: &HashMap<VoterId, Name>) -> ApiResult<String> {
    let failed = |error: csv::Error| Invalid::new("export", error.to_string());
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(vec![]);
    csv.write_record(["round", "take", "counted", "voter", "name", "votes", "time_ms"]).map_err(failed)?;
    for ((round, take), cast) in ballots {
        let counted = room.round(*round).is_some_and(|round| round.take == *take);
        for (voter, ballot) in cast {
            let name = names.get(voter).map_or("", Name::as_str);
            // a spreadsheet would evaluate a name that begins like a formula
            let name = if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.to_owned() };
            let row = [
                round.to_string(),
                take.to_string(),
                counted.to_string(),
                voter.to_string(),
                name,
                ballot.votes.clone(),
                ballot.time_ms.to_string(),
            ];
            csv.write_record(row).map_err(failed)?;
        }
    }
    let text = csv.into_inner().map_err(|error| Invalid::new("export", error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
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
            rounds.push((round, take, tally, recount(&ballots, choices)));
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

/// Counts the votes and the voters of ballots.
fn recount(ballots: &HashMap<VoterId, Ballot>, choices: usize) -> Tally {
    let count = |index: usize| {
        let wanted = letter(index as u8);
        ballots.values().map(|ballot| ballot.votes.chars().filter(|vote| *vote == wanted).count() as u64).sum()
    };
    let voters = ballots.values().filter(|ballot| !ballot.votes.is_empty()).count() as u64;
    Tally { votes: (0..choices).map(count).collect(), voters, version: 0 }
}
