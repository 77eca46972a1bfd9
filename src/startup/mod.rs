//! The composition root: it starts ledger, registry, subscriber, coordinators and HTTP, in this order, and drains them in
//! reverse.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::Arbiter;
use actix_http::HttpService;
use actix_server::{Server, ServerBuilder};
use actix_service::{fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::web;
use anyhow::Context;
use futures_util::future::{join_all, try_join_all};

use crate::actors::messages::CloseSessions;
use crate::actors::pod::{LedgerClock, PodHealth};
use crate::actors::quarantine::Quarantine;
use crate::actors::registry_handle::RegistryHandle;
use crate::actors::rooms::Rooms;
use crate::actors::worker::Webhook;
use crate::actors::{Pod, RoomRegistry, RoundCoordinator, Subscriber, Worker, WorkerOptions};
use crate::board::MAX_SHARDS;
use crate::domain::ids::RoomId;
use crate::http::ws::{ADMIN_SOCKETS, ConnectionLimit, UpgradeRequest, UpgradeService};
use crate::http::{self, AppState, Network, Port};
use crate::ledger::SharedLedger;
use crate::ledger::embedded::EmbeddedLedger;
use crate::ledger::redis::{RedisLedger, RedisOptions};
use crate::metrics::Metrics;
use crate::platform;
use crate::settings::{LedgerKind, PodRole, Settings};
use crate::traces::Traces;
use crate::wire::server::ByeReason;

/// How long a stopping process waits, after the drain, for HTTP requests under way.
const STOP_TIMEOUT_SECS: u64 = 2;
/// How long an idle connection is kept: longer than the 60 s of usual proxies, which would otherwise reuse a closed one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Between two removals of idle addresses from the limit of wrong keys.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);
/// Open files other than sockets.
const OTHER_FILES: usize = 256;
/// Threads for the emcee's own port.
const ADMIN_WORKERS: usize = 1;
/// Connections to the emcee's own port at the same time, besides its sockets. Further ones wait to be accepted.
const ADMIN_CONNECTIONS: usize = 64;
/// Connections to Redis for the emcee's commands.
const COMMAND_CONNECTIONS: usize = 2;

mod listen;
mod room_urls;
mod secrets;

pub use listen::Addresses;
use listen::Listeners;
pub use room_urls::RoomUrls;

/// A process that is ready to serve.
pub struct Application {
    servers: Vec<Server>,
    addresses: Addresses,
    pod: Arc<Pod>,
    shards: Arc<RegistryHandle>,
    drain: Duration,
    /// The setting `server.role`.
    pub role: PodRole,
    /// The setting `ledger.url`, without user name and password.
    pub ledger: String,
    /// The file that holds the emcee's key; `None` if the key was set by value.
    pub key_file: Option<PathBuf>,
    /// URLs of the newest room; `None` with Redis, and on pods that do not serve emcees.
    pub room_urls: Option<RoomUrls>,
}

impl Application {
    /// Opens the ledger, binds the ports, and starts the actors. It needs a running actix system.
    ///
    /// # Errors
    /// A port or the ledger's file is in use, or a key is missing. The text says what to do.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        let (ledger, command_ledger, folder) = open_ledger(&settings)?;
        let auth = secrets::auth(&settings, folder.as_deref())?;
        let key_file = secrets::key_file(&settings.emcee, folder.as_deref());
        let listeners = Listeners::bind(&settings)?;
        let addresses = listeners.addresses()?;

        let shards = Arc::new(RegistryHandle::default());
        let control = Arbiter::new();
        let (name, metrics_of_pod) = (pod_name(), Metrics::new());
        let failed = metrics_of_pod.trace_exports_failed.clone();
        let quarantine = Quarantine::new(&metrics_of_pod);
        let traces = Traces::start(&settings.traces, &name, settings.server.role.name(), failed)?;
        let pod = Arc::new(Pod {
            name,
            ledger,
            command_ledger,
            clock: LedgerClock::default(),
            auth,
            metrics: metrics_of_pod,
            traces,
            quarantine,
            health: PodHealth::new(settings.ledger.allow_unverified),
            tick: Duration::from_millis(settings.server.tick_ms),
            keeps_records: settings.server.role.keeps_records(),
            voters_url: room_urls::voters_url(&settings, addresses.main, folder.is_some()),
            next_session: AtomicU64::new(1),
            peers: std::sync::RwLock::default(),
            acknowledged: AtomicU64::new(0),
        });
        let thread = control.handle();
        let rooms = Arc::new(Rooms::new(
            pod.clone(),
            shards.clone(),
            Box::new(move |rooms, room, partitions| RoundCoordinator::begin(rooms, room, partitions, &thread)),
        ));
        let worker = worker_options(&settings)?;
        let role = settings.server.role;
        let room_urls = match folder {
            Some(_) if role.serves_emcee() => Some(room_urls::of_newest_room(&settings, &pod, &addresses).await?),
            _ => None,
        };
        let (subscriber_rooms, subscriber_shards) = (rooms.clone(), shards.clone());
        control.spawn(async move {
            if let Some(options) = worker {
                Worker::begin(subscriber_rooms.pod.clone(), options);
            }
            Subscriber::begin(subscriber_rooms, subscriber_shards);
        });

        let state = AppState {
            pod: pod.clone(),
            rooms,
            public_url: settings.server.public_url.clone(),
            admin_url: room_urls::admin_url(&settings, &addresses),
            found_url: room_urls::found_url(&settings, addresses.main),
            network: Arc::new(Network::new(&settings.server, &host_name())),
            trees: Arc::default(),
            wrong_keys: Arc::default(),
            port: Port {
                emcee: role.serves_emcee() && addresses.admin.is_none(),
                is_admin: false,
                probes: addresses.metrics.is_none(),
            },
        };
        let cleaned = state.clone();
        actix::spawn(async move {
            loop {
                tokio::time::sleep(CLEANUP_INTERVAL).await;
                cleaned.wrong_keys.remove_idle_addresses();
            }
        });
        let servers = match role.serves_people() {
            true => serve(&settings, listeners, &state, &shards)?,
            false => vec![serve_probes(base(workers(&settings)), listeners.main, state)?.run()],
        };
        let (drain, ledger) = (Duration::from_millis(settings.server.drain_ms), settings.ledger.shown());
        Ok(Self { servers, addresses, pod, shards, drain, role, ledger, key_file, room_urls })
    }

    /// The addresses as bound: a port that was set to 0 has its number here.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until SIGINT or SIGTERM, then drains. First the pod becomes unready. Then every socket, at a random moment
    /// within the drain time and when its cast is answered, is told to reconnect.
    ///
    /// # Errors
    /// An HTTP server ended without a signal.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let Self { servers, pod, shards, drain, .. } = self;
        let handles: Vec<_> = servers.iter().map(Server::handle).collect();
        let last = pod.clone();
        let stopping = actix::spawn(async move {
            platform::stop_signal().await;
            exit_at_ctrl_c();
            tracing::info!(drain_ms = drain.as_millis() as u64, "stopping: sockets are told to reconnect");
            pod.health.drain();
            pod.metrics.draining.set(1);
            pod.is_ready();
            shards.close_sessions(&CloseSessions { room: None, reason: ByeReason::Draining, within: drain });
            drained(&pod, drain).await;
            join_all(handles.iter().map(|handle| handle.stop(true))).await;
        });
        try_join_all(servers).await.context("the server ended by itself")?;
        stopping.abort();
        last.traces.stop();
        Ok(())
    }
}

/// Waits until the last socket is gone and the job under way is done, at most [`STOP_TIMEOUT_SECS`] longer than the
/// drain.
async fn drained(pod: &Pod, drain: Duration) {
    let deadline = tokio::time::Instant::now() + drain + Duration::from_secs(STOP_TIMEOUT_SECS);
    let busy = || pod.metrics.sockets.get() > 0 || pod.metrics.jobs_running.get() > 0;
    while busy() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A second Ctrl-C ends the process without the drain.
fn exit_at_ctrl_c() {
    actix::spawn(async {
        let _ = tokio::signal::ctrl_c().await;
        std::process::exit(130);
    });
}

/// The servers of a process that serves people. The emcee's own port is a server of its own: it has its own threads, and
/// accepts connections by itself.
fn serve(
    settings: &Settings,
    listeners: Listeners,
    state: &AppState,
    shards: &Arc<RegistryHandle>,
) -> anyhow::Result<Vec<Server>> {
    let Listeners { main, admin, metrics } = listeners;
    let role = settings.server.role;
    let limit =
        ConnectionLimit::new(state.pod.clone(), max_sockets(settings), state.port.emcee, role.serves_audience());
    let mut server = serve_people(base(workers(settings)), main, state.clone(), limit, shards)?;
    if let Some(metrics) = metrics {
        server = serve_probes(server, metrics, state.clone())?;
    }
    let mut servers = vec![server.run()];
    if let Some(admin) = admin {
        let port = Port { emcee: true, is_admin: true, ..state.port };
        let limit = ConnectionLimit::of_admin_port(state.pod.clone());
        let server = base(ADMIN_WORKERS).max_concurrent_connections(ADMIN_CONNECTIONS);
        servers.push(serve_people(server, admin, AppState { port, ..state.clone() }, limit, shards)?.run());
    }
    Ok(servers)
}

/// Adds a port with pages, API and sockets.
fn serve_people(
    server: ServerBuilder,
    port: TcpListener,
    state: AppState,
    connection_limit: Arc<ConnectionLimit>,
    shards: &Arc<RegistryHandle>,
) -> anyhow::Result<ServerBuilder> {
    let (state, shards) = (web::Data::new(state), shards.clone());
    Ok(server.listen("tallycast", port, move || {
        let shard = RoomRegistry::start(state.rooms.clone(), &shards);
        let upgrades = UpgradeService::new(state.clone(), shard, connection_limit.clone());
        let app = http::app(state.clone());
        HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .tcp_nodelay(true)
            .upgrade(fn_service(move |request: UpgradeRequest| upgrades.clone().upgrade(request)))
            .h1(map_config(app, |()| AppConfig::default()))
            .tcp()
    })?)
}

/// The part that all servers of a process have in common.
fn base(workers: usize) -> ServerBuilder {
    Server::build()
        .workers(workers)
        .backlog(listen::BACKLOG)
        .max_concurrent_connections(usize::MAX >> 8)
        .disable_signals()
        .shutdown_timeout(STOP_TIMEOUT_SECS)
}

/// Threads for connections to the main port: as set, or one for each core, and with those of the emcee's port never more
/// than [`MAX_SHARDS`].
fn workers(settings: &Settings) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let others = if settings.server.admin_port == 0 { 0 } else { ADMIN_WORKERS };
    bounded_workers(settings.server.workers, cores, others)
}

fn bounded_workers(setting: usize, cores: usize, others: usize) -> usize {
    let workers = if setting == 0 { cores } else { setting };
    workers.min(MAX_SHARDS - others)
}

/// Adds a port that serves metrics and probes only.
fn serve_probes(server: ServerBuilder, port: TcpListener, state: AppState) -> anyhow::Result<ServerBuilder> {
    let state = web::Data::new(state);
    Ok(server.listen("metrics", port, move || {
        let app = http::metrics_app(state.clone());
        HttpService::build().keep_alive(KEEP_ALIVE).h1(map_config(app, |()| AppConfig::default())).tcp()
    })?)
}

/// How this process does jobs; `None`: it does none.
fn worker_options(settings: &Settings) -> anyhow::Result<Option<WorkerOptions>> {
    if !settings.server.role.does_jobs() {
        return Ok(None);
    }
    let webhook = secrets::webhook(&settings.jobs)?.map(Webhook::new).transpose()?;
    let export_dir = Some(settings.jobs.export_dir.as_str()).filter(|folder| !folder.is_empty()).map(Into::into);
    Ok(Some(WorkerOptions { webhook, export_dir, lease: Duration::from_secs(settings.jobs.lease_seconds) }))
}

/// Opens the ledger: the way to it for everybody, and that for the emcee's commands. With an embedded one comes its
/// folder, which also keeps generated keys.
fn open_ledger(settings: &Settings) -> anyhow::Result<(SharedLedger, SharedLedger, Option<PathBuf>)> {
    match settings.ledger.kind()? {
        LedgerKind::Embedded(path) => {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            let ledger = EmbeddedLedger::open(&path, settings.server.tick_ms)?;
            let commands = ledger.for_commands();
            Ok((Arc::new(ledger), Arc::new(commands), Some(folder)))
        }
        LedgerKind::Redis => {
            let ca = match settings.ledger.ca_file.as_str() {
                "" => None,
                file => Some(std::fs::read(file).with_context(|| format!("settings: ledger.ca_file {file}"))?),
            };
            let options = RedisOptions {
                user: settings.ledger.user.clone(),
                password: secrets::ledger_password(&settings.ledger)?,
                ca,
                has_all_rights: settings.server.role.keeps_records(),
                replicas: settings.ledger.replicas,
                tick_ms: settings.server.tick_ms,
                pool_size: settings.ledger.pool_size,
                ..RedisOptions::new(settings.ledger.url.clone())
            };
            let commands = RedisOptions { pool_size: COMMAND_CONNECTIONS, ..options.clone() };
            Ok((Arc::new(RedisLedger::new(options)?), Arc::new(RedisLedger::new(commands)?), None))
        }
    }
}

/// The name of this machine or container; empty if it has none.
fn host_name() -> String {
    let host = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    host.unwrap_or_default().trim().to_owned()
}

/// The host's name and six random characters, so that no other start has the same name.
fn pod_name() -> String {
    let host: String = host_name().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let host = if host.is_empty() { "pod".to_owned() } else { host };
    format!("{host}-{}", &RoomId::from_entropy(rand::random()).as_str()[..6])
}

/// The limit of sockets: as set, and never more than 90 % of what the open-file limit leaves.
fn max_sockets(settings: &Settings) -> usize {
    if !settings.server.role.serves_people() {
        return 0;
    }
    let reserved = if settings.server.admin_port == 0 { 0 } else { ADMIN_CONNECTIONS + ADMIN_SOCKETS };
    let possible = platform::open_files().saturating_sub(OTHER_FILES + reserved) * 9 / 10;
    match settings.server.max_sockets {
        0 => possible,
        wanted if wanted > possible => {
            tracing::warn!(wanted, possible, "the open-file limit allows fewer sockets than server.max_sockets");
            possible
        }
        wanted => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_worker_threads_than_shards() {
        for (setting, cores, threads) in [(0, 1, 1), (0, 64, 64), (0, 65, 64), (0, 384, 64), (3, 384, 3), (64, 2, 64)] {
            assert_eq!(bounded_workers(setting, cores, 0), threads, "{setting} set on {cores} cores");
            assert!(bounded_workers(setting, cores, 1) < MAX_SHARDS, "the emcee's thread has one too");
        }
    }
}
