//! The state that all handlers share.

use std::sync::Arc;

use actix_web::HttpRequest;

use super::error::{ApiError, ApiResult};
use super::wrong_keys::WrongKeys;
use crate::actors::active_room::ActiveRoom;
use crate::actors::pod::{LedgerClock, Pod};
use crate::actors::rooms::Rooms;
use crate::domain::LedgerMs;
use crate::domain::ids::RoomCode;

/// See [module](self).
pub struct AppState {
    /// What actors and handlers of this process share.
    pub pod: Arc<Pod>,
    /// The active rooms of this process.
    pub rooms: Arc<Rooms>,
    /// The setting `server.public_url`; may be empty.
    pub public_url: String,
    /// The setting `server.admin_url`; may be empty.
    pub admin_url: String,
    /// The limit of wrong keys.
    pub wrong_keys: WrongKeys,
    /// True if metrics and probes have a port of their own, so that the main port does not serve them.
    pub metrics_apart: bool,
}

impl AppState {
    /// URLs that are this server's own origins.
    pub fn own_urls(&self) -> [&str; 2] {
        [&self.public_url, &self.admin_url]
    }

    /// The active room of a code in a path.
    ///
    /// # Errors
    /// 404 `no_such_room`, also for a code that is not valid; 503 if the ledger does not answer.
    pub async fn room(&self, code: &str) -> ApiResult<Arc<ActiveRoom>> {
        let code = RoomCode::parse(code).map_err(|_| ApiError::no_such_room())?;
        Ok(self.rooms.enter(&code).await?)
    }

    /// The ledger's time, in ms since 1970.
    pub fn now(&self) -> LedgerMs {
        LedgerClock::now(&self.pod.clock)
    }

    /// The URL of this server for voters: as set, or the host of the request. A request to a loopback address does not tell
    /// how phones reach the server; then it is the URL that was found at the start.
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
