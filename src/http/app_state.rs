//! What all handlers share.

use std::sync::Arc;

use actix_web::HttpRequest;

use super::error::{ApiError, ApiResult};
use super::wrong_keys::WrongKeys;
use crate::actors::active_room::ActiveRoom;
use crate::actors::pod::{LedgerClock, Pod};
use crate::actors::rooms::Rooms;
use crate::domain::LedgerMs;
use crate::domain::ids::RoomCode;

/// What every handler may use.
pub struct AppState {
    /// The process.
    pub pod: Arc<Pod>,
    /// Its active rooms.
    pub rooms: Arc<Rooms>,
    /// Where voters reach it; empty: the address asked for.
    pub public_url: String,
    /// Where the emcee reaches it; empty: as `public_url`.
    pub admin_url: String,
    /// Counts wrong keys.
    pub wrong_keys: WrongKeys,
    /// Metrics and probes have a port of their own.
    pub metrics_apart: bool,
}

impl AppState {
    /// URLs whose pages are this server's own.
    pub fn own_urls(&self) -> [&str; 2] {
        [&self.public_url, &self.admin_url]
    }

    /// The active room of a code in a path.
    ///
    /// # Errors
    /// 404, also for what cannot be a code; 503.
    pub async fn room(&self, code: &str) -> ApiResult<Arc<ActiveRoom>> {
        let code = RoomCode::parse(code).map_err(|_| ApiError::no_such_room())?;
        Ok(self.rooms.enter(&code).await?)
    }

    /// The ledger's time.
    pub fn now(&self) -> LedgerMs {
        LedgerClock::now(&self.pod.clock)
    }

    /// Where voters reach this server: as set, else as the request came, unless that was from this very machine.
    pub fn base_url(&self, request: &HttpRequest) -> String {
        let connection = request.connection_info();
        let host = connection.host();
        let is_loopback = ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| host.starts_with(local));
        match &self.pod.voters_url {
            Some(url) if is_loopback || !self.public_url.is_empty() => url.clone(),
            _ => format!("{}://{host}", connection.scheme()),
        }
    }
}
