//! The state that all handlers share.

use std::sync::Arc;

use actix_web::HttpRequest;

use super::error::{ApiError, ApiResult};
use super::network::{Arrival, Network};
use super::origin::Origin;
use super::trees::Trees;
use super::wrong_keys::WrongKeys;
use crate::actors::active_room::ActiveRoom;
use crate::actors::pod::{LedgerClock, Pod};
use crate::actors::rooms::Rooms;
use crate::domain::LedgerMs;
use crate::domain::ids::RoomCode;

/// See [module](self). Each port has its own.
#[derive(Clone)]
pub struct AppState {
    /// What actors and handlers of this process share.
    pub pod: Arc<Pod>,
    /// The active rooms of this process.
    pub rooms: Arc<Rooms>,
    /// The setting `server.public_url`; may be empty.
    pub public_url: String,
    /// Where emcees reach this server, without a slash at the end: as set, or as it was found at the start.
    pub admin_url: String,
    /// Where voters reach this server, without a slash at the end: `public_url`, or the address that was found at the
    /// start.
    pub found_url: String,
    /// Which proxies are believed, and which hosts and origins are this server's.
    pub network: Arc<Network>,
    /// The ballots of sealed takes, for proofs.
    pub trees: Arc<Trees>,
    /// The limit of wrong keys.
    pub wrong_keys: Arc<WrongKeys>,
    /// What the port serves that a request came to.
    pub port: Port,
}

/// What a port serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// True if emcees are served here: their page, calls and sockets, the description of the API, and the metrics.
    pub emcee: bool,
    /// True if voters come to another port of this process.
    pub is_admin: bool,
    /// True if the probes, and the metrics, are here.
    pub probes: bool,
}

impl AppState {
    /// How a request came here.
    pub fn arrival(&self, request: &HttpRequest) -> Arrival {
        self.network.arrival(request.peer_addr(), request.headers())
    }

    /// The origin of the page that sends a request.
    pub fn origin(&self, request: &HttpRequest) -> Origin {
        Origin::of(request.headers(), &self.network, &self.arrival(request))
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

    /// The URL of this server for voters: as set, or as the request names this server. A request to a loopback address or
    /// to the emcee's port does not tell how phones reach it; then it is the URL that was found at the start.
    pub fn base_url(&self, request: &HttpRequest) -> String {
        let arrival = self.arrival(request);
        let is_told = self.public_url.is_empty() && !self.port.is_admin && !arrival.is_to_loopback();
        if is_told { arrival.base_url() } else { self.found_url.clone() }
    }
}
