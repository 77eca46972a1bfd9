//! The ledger's slow log.

use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app_state::AppState;
use super::auth::Emcee;
use super::error::ApiResult;
use crate::domain::LedgerMs;
use crate::ledger::SlowCommand;

/// Which commands are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct SlowLogQuery {
    /// Commands done at or after this time, in ms since 1970. The ledger keeps whole seconds.
    #[serde(default)]
    since: LedgerMs,
}

/// The ledger's slow log.
#[derive(Debug, Serialize, ToSchema)]
struct SlowLogView {
    /// `embedded` or `redis`.
    ledger: &'static str,
    /// Identifies one run of the ledger's server. Another value means that it was restarted or replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_run: Option<String>,
    /// Commands that take longer are logged; missing if the server does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    longer_than_us: Option<u64>,
    /// Newest first.
    commands: Vec<SlowCommandView>,
    /// Why there is no log to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// A command that took long.
#[derive(Debug, Serialize, ToSchema)]
struct SlowCommandView {
    /// Rises by one with each command, from 0 at each start of the ledger's server.
    id: u64,
    /// When it was done, in ms since 1970.
    at: LedgerMs,
    /// How long it took, in µs.
    us: u64,
    /// Its name, without arguments.
    command: String,
}

impl From<SlowCommand> for SlowCommandView {
    fn from(slow: SlowCommand) -> Self {
        let us = u64::try_from(slow.took.as_micros()).unwrap_or(u64::MAX);
        Self { id: slow.id, at: slow.at, us, command: slow.command }
    }
}

/// Commands that the ledger's server logged as slow.
#[utoipa::path(tag = "operations", params(SlowLogQuery), responses((status = 200, body = SlowLogView,
    description = "also where there is none to read, with the reason"), (status = 503, description = "ledger_unavailable")))]
#[get("/ledger/slow-log")]
pub async fn slow_log(state: web::Data<AppState>, _emcee: Emcee, query: web::Query<SlowLogQuery>) -> ApiResult {
    let log = state.pod.ledger.slow_log().await?;
    let since = query.since / 1_000 * 1_000;
    Ok(HttpResponse::Ok().json(SlowLogView {
        ledger: state.pod.ledger.kind(),
        server_run: log.server_run,
        longer_than_us: log.longer_than.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        commands: log.commands.into_iter().filter(|slow| slow.at >= since).map(Into::into).collect(),
        unreadable: log.unreadable_because,
    }))
}
