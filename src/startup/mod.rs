//! The composition root: it starts ledger, registry, subscriber, coordinators and HTTP, in this order, and drains them in
//! reverse.

use std::net::{SocketAddr, TcpListener};
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

use crate::actors::messages::CloseSessions;
use crate::actors::pod::{LedgerClock, PodHealth};
use crate::actors::quarantine::Quarantine;
use crate::actors::registry_handle::RegistryHandle;
use crate::actors::rooms::Rooms;
use crate::actors::worker::Webhook;
use crate::actors::{Pod, RoomRegistry, RoundCoordinator, Subscriber, Worker, WorkerOptions};
use crate::board::MAX_SHARDS;
use crate::domain::ids::RoomId;
use crate::http::ws::{ConnectionLimit, UpgradeRequest, UpgradeService};
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

mod listen;
mod room_urls;
mod secrets;

pub use room_urls::RoomUrls;

/// A process that is ready to serve.
pub struct Application {
    server: Server,
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

/// The addresses that a process listens on.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Pages, API, sockets.
    pub main: SocketAddr,
    /// Metrics and probes, if they have a port of their own.
    pub metrics: Option<SocketAddr>,
}

impl Application {
    /// Opens the ledger, binds the ports, and starts the actors. It needs a running actix system.
    ///
    /// # Errors
    /// A port or the ledger's file is in use, or a key is missing. The text says what to do.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        let (ledger, folder) = open_ledger(&settings)?;
        let auth = secrets::auth(&settings, folder.as_deref())?;
        let key_file = secrets::key_file(&settings.emcee, folder.as_deref());
        let (main, metrics) = listeners(&settings)?;
        let addresses =
            Addresses { main: main.local_addr()?, metrics: metrics.as_ref().map(TcpListener::local_addr).transpose()? };

        let shards = Arc::new(RegistryHandle::default());
        let control = Arbiter::new();
        let (name, metrics_of_pod) = (pod_name(), Metrics::new());
        let failed = metrics_of_pod.trace_exports_failed.clone();
        let quarantine = Quarantine::new(&metrics_of_pod);
        let traces = Traces::start(&settings.traces, &name, settings.server.role.name(), failed)?;
        let pod = Arc::new(Pod {
            name,
            ledger,
            clock: LedgerClock::default(),
            auth,
            metrics: metrics_of_pod,
            traces,
            quarantine,
            health: PodHealth::new(settings.ledger.allow_unverified),
            tick: Duration::from_millis(settings.server.tick_ms),
            serves_emcee: settings.server.role.serves_emcee(),
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
        let connection_limit =
            ConnectionLimit::new(pod.clone(), max_sockets(&settings), settings.server.role.serves_audience());
        let room_urls = match folder {
            Some(_) if pod.serves_emcee => Some(room_urls::of_newest_room(&settings, &pod, addresses.main).await?),
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
            admin_url: settings.server.admin_url.clone(),
            found_url: room_urls::found_url(&settings, addresses.main),
            network: Arc::new(Network::new(&settings.server, &host_name())),
            wrong_keys: Arc::default(),
            port: Port { emcee: settings.server.role.serves_emcee(), is_admin: false, probes: metrics.is_none() },
        };
        let state = web::Data::new(state);
        let cleaned = state.clone();
        actix::spawn(async move {
            loop {
                tokio::time::sleep(CLEANUP_INTERVAL).await;
                cleaned.wrong_keys.remove_idle_addresses();
            }
        });
        let server = match settings.server.role.serves_people() {
            true => serve(&settings, main, metrics, state, connection_limit, shards.clone())?,
            false => serve_probes(base(&settings), main, state)?.run(),
        };
        let drain = Duration::from_millis(settings.server.drain_ms);
        let (role, ledger) = (settings.server.role, settings.ledger.shown());
        Ok(Self { server, addresses, pod, shards, drain, role, ledger, key_file, room_urls })
    }

    /// The addresses as bound: a port that was set to 0 has its number here.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until SIGINT or SIGTERM, then drains. First the pod becomes unready. Then every socket, at a random moment
    /// within the drain time and when its cast is answered, is told to reconnect.
    ///
    /// # Errors
    /// The HTTP server ended without a signal.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let Self { server, pod, shards, drain, .. } = self;
        let (handle, last) = (server.handle(), pod.clone());
        let stopping = actix::spawn(async move {
            platform::stop_signal().await;
            exit_at_ctrl_c();
            tracing::info!(drain_ms = drain.as_millis() as u64, "stopping: sockets are told to reconnect");
            pod.health.drain();
            pod.metrics.draining.set(1);
            pod.is_ready();
            shards.close_sessions(&CloseSessions { room: None, reason: ByeReason::Draining, within: drain });
            drained(&pod, drain).await;
            handle.stop(true).await;
        });
        server.await.context("the server ended by itself")?;
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

fn serve(
    settings: &Settings,
    main: TcpListener,
    metrics: Option<TcpListener>,
    state: web::Data<AppState>,
    connection_limit: Arc<ConnectionLimit>,
    shards: Arc<RegistryHandle>,
) -> anyhow::Result<Server> {
    let main_state = state.clone();
    let server = base(settings).listen("tallycast", main, move || {
        let shard = RoomRegistry::start(main_state.rooms.clone(), &shards);
        let upgrades = UpgradeService::new(main_state.clone(), shard, connection_limit.clone());
        let app = http::app(main_state.clone());
        HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .tcp_nodelay(true)
            .upgrade(fn_service(move |request: UpgradeRequest| upgrades.clone().upgrade(request)))
            .h1(map_config(app, |()| AppConfig::default()))
            .tcp()
    })?;
    let server = match metrics {
        Some(metrics) => serve_probes(server, metrics, state)?,
        None => server,
    };
    Ok(server.run())
}

/// The part that all servers of a process have in common.
fn base(settings: &Settings) -> ServerBuilder {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Server::build()
        .workers(workers(settings.server.workers, cores))
        .backlog(listen::BACKLOG)
        .max_concurrent_connections(usize::MAX >> 8)
        .disable_signals()
        .shutdown_timeout(STOP_TIMEOUT_SECS)
}

/// Threads for connections: as set, or one for each core, and never more than [`MAX_SHARDS`].
fn workers(setting: usize, cores: usize) -> usize {
    let workers = if setting == 0 { cores } else { setting };
    workers.min(MAX_SHARDS)
}

/// Adds a port that serves metrics and probes only.
fn serve_probes(server: ServerBuilder, port: TcpListener, state: web::Data<AppState>) -> anyhow::Result<ServerBuilder> {
    Ok(server.listen("metrics", port, move || {
        let app = http::metrics_app(state.clone());
        HttpService::build().keep_alive(KEEP_ALIVE).h1(map_config(app, |()| AppConfig::default())).tcp()
    })?)
}

/// The main port, and that of the metrics if it is another one. A worker has one port, for metrics and probes.
fn listeners(settings: &Settings) -> anyhow::Result<(TcpListener, Option<TcpListener>)> {
    let bind = |port: u32| listen::bind(&settings.server.host, port as u16);
    match (settings.metrics.port, settings.server.role.serves_people()) {
        (0, _) => Ok((bind(settings.server.port)?, None)),
        (metrics, true) => Ok((bind(settings.server.port)?, Some(bind(metrics)?))),
        (metrics, false) => Ok((bind(metrics)?, None)),
    }
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

/// Opens the ledger. With an embedded one comes its folder, which also keeps generated keys.
fn open_ledger(settings: &Settings) -> anyhow::Result<(SharedLedger, Option<PathBuf>)> {
    match settings.ledger.kind()? {
        LedgerKind::Embedded(path) => {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            let ledger = EmbeddedLedger::open(&path, settings.server.tick_ms)?;
            Ok((Arc::new(ledger), Some(folder)))
        }
        LedgerKind::Redis(url) => {
            let ca = match settings.ledger.ca_file.as_str() {
                "" => None,
                file => Some(std::fs::read(file).with_context(|| format!("settings: ledger.ca_file {file}"))?),
            };
            let options = RedisOptions {
                ca,
                replicas: settings.ledger.replicas,
                tick_ms: settings.server.tick_ms,
                pool_size: settings.ledger.pool_size,
                ..RedisOptions::new(url)
            };
            Ok((Arc::new(RedisLedger::new(options)?), None))
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
    let possible = platform::open_files().saturating_sub(OTHER_FILES) * 9 / 10;
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
            assert_eq!(workers(setting, cores), threads, "{setting} set on {cores} cores");
        }
    }
}
