//! The composition root: ledger, registry, subscriber, coordinators, HTTP, in this order; and the drain, in reverse.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::Arbiter;
use actix_http::HttpService;
use actix_server::{Server, ServerHandle};
use actix_service::{fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::web;
use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};

use crate::actors::pod::{LedgerClock, PodHealth};
use crate::actors::registry::{Dismiss, Rooms, Shards};
use crate::actors::{Pod, RoomRegistry, Subscriber};
use crate::auth::Auth;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{JoinMode, Programme, Room, Split};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;
use crate::http::ws::{Asked, Door, Places};
use crate::http::{self, Site};
use crate::ledger::embedded::EmbeddedLedger;
use crate::ledger::redis::{RedisLedger, RedisOptions};
use crate::ledger::{Creation, SharedLedger};
use crate::metrics::Metrics;
use crate::settings::{LedgerKind, Settings};
use crate::wire::server::ByeReason;

/// Connections that wait to be accepted: everybody joins in one minute.
const BACKLOG: u32 = 4_096;
/// How long a stopping process waits, after its goodbyes, for HTTP requests under way.
const STOP_WITHIN_SECS: u64 = 2;
/// How long an idle connection is kept: longer than the 60 s of usual proxies, which would else meet a closed one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Between two rounds of tidying.
const TIDY: Duration = Duration::from_secs(60);
/// Files that are open beside sockets.
const OTHER_FILES: usize = 256;

/// A process that is ready to serve.
pub struct Application {
    server: Server,
    addresses: Addresses,
    pod: Arc<Pod>,
    shards: Arc<Shards>,
    drain: Duration,
    /// Voter, stage and emcee link of the evening to begin with.
    pub links: Option<Links>,
}

/// Where a process listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Pages, API, sockets.
    pub main: SocketAddr,
    /// Metrics and probes, if apart.
    pub metrics: Option<SocketAddr>,
}

/// What the terminal shows.
#[derive(Debug, Clone)]
pub struct Links {
    /// For phones.
    pub voter: String,
    /// For the projector.
    pub stage: String,
    /// For the emcee, with the key.
    pub emcee: String,
}

impl Application {
    /// Opens the ledger, binds the ports, and prepares everything. Needs a running actix system.
    ///
    /// # Errors
    /// A sentence that says what to do: a port or a ledger file in use, a missing key.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        let (ledger, beside) = open_ledger(&settings)?;
        let auth = auth(&settings, beside.as_deref())?;
        let main = bind(&settings.server.host, settings.server.port as u16)?;
        let metrics = match settings.metrics.port {
            0 => None,
            port => Some(bind(&settings.server.host, port as u16)?),
        };
        let addresses =
            Addresses { main: main.local_addr()?, metrics: metrics.as_ref().map(TcpListener::local_addr).transpose()? };

        let shards = Arc::new(Shards::default());
        let backstage = Arbiter::new();
        let pod = Arc::new(Pod {
            name: pod_name(),
            ledger,
            clock: LedgerClock::default(),
            auth,
            metrics: Metrics::new(),
            rooms: Rooms::new(shards.clone(), backstage.handle()),
            health: PodHealth::new(settings.ledger.allow_unverified),
            tick: Duration::from_millis(settings.server.tick_ms),
            serves_emcee: settings.server.role.serves_emcee(),
            voters_url: voters_url(&settings, addresses.main, beside.is_some()),
            next_session: AtomicU64::new(1),
            peers: std::sync::RwLock::default(),
            acknowledged: AtomicU64::new(0),
            measured: std::sync::Mutex::default(),
        });
        let places = Places::new(pod.clone(), max_sockets(&settings));
        let links = match beside {
            Some(_) if pod.serves_emcee => Some(links(&settings, &pod, addresses.main).await?),
            _ => None,
        };
        let (starting, watched) = (pod.clone(), shards.clone());
        backstage.spawn(async move {
            Subscriber::begin(starting, watched);
        });

        let site = web::Data::new(Site {
            pod: pod.clone(),
            public_url: settings.server.public_url.clone(),
            admin_url: settings.server.admin_url.clone(),
            wrong_keys: http::auth::WrongKeys::default(),
            metrics_apart: metrics.is_some(),
        });
        let tidied = site.clone();
        actix::spawn(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                tidied.wrong_keys.tidy();
            }
        });
        let server = serve(&settings, main, metrics, site, places, shards.clone())?;
        let drain = Duration::from_millis(settings.server.drain_ms);
        Ok(Self { server, addresses, pod, shards, drain, links })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until SIGINT or SIGTERM, then drains: unready first, then every socket is told to come back at a random
    /// moment of the drain's time, once its cast is answered.
    ///
    /// # Errors
    /// The server ended by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let Self { server, pod, shards, drain, .. } = self;
        let handle = server.handle();
        let stopping = actix::spawn(async move {
            stop_signal().await;
            tracing::info!(drain_ms = drain.as_millis() as u64, "stopping: sockets are told to come back");
            pod.health.drain();
            pod.metrics.draining.set(1);
            pod.is_ready();
            shards.dismiss(&Dismiss { room: None, reason: ByeReason::Draining, within: drain });
            goodbyes(&pod, drain).await;
            stop(&handle).await;
        });
        server.await.context("the server ended by itself")?;
        stopping.abort();
        Ok(())
    }
}

/// Waits until the last socket is gone, at most a little longer than the drain.
async fn goodbyes(pod: &Pod, drain: Duration) {
    let patience = tokio::time::Instant::now() + drain + Duration::from_secs(STOP_WITHIN_SECS);
    while pod.metrics.sockets.get() > 0 && tokio::time::Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn stop(handle: &ServerHandle) {
    handle.stop(true).await;
}

/// Resolves at the first SIGINT or SIGTERM; the second SIGINT ends the process at once.
async fn stop_signal() {
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        let Ok(mut terminate) = terminate else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
    actix::spawn(async {
        let _ = tokio::signal::ctrl_c().await;
        std::process::exit(130);
    });
}

fn serve(
    settings: &Settings,
    main: TcpListener,
    metrics: Option<TcpListener>,
    site: web::Data<Site>,
    places: Arc<Places>,
    shards: Arc<Shards>,
) -> anyhow::Result<Server> {
    let workers = match settings.server.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    };
    let (main_site, metrics_site) = (site.clone(), site);
    let mut server = Server::build()
        .workers(workers)
        .backlog(BACKLOG)
        .max_concurrent_connections(usize::MAX >> 8)
        .disable_signals()
        .shutdown_timeout(STOP_WITHIN_SECS)
        .listen("tallycast", main, move || {
            let shard = RoomRegistry::start(main_site.pod.clone(), &shards);
            let door = Door::open(main_site.clone(), shard, places.clone());
            let app = http::app(main_site.clone());
            HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .tcp_nodelay(true)
                .upgrade(fn_service(move |asked: Asked| door.clone().enter(asked)))
                .h1(map_config(app, |()| AppConfig::default()))
                .tcp()
        })?;
    if let Some(metrics) = metrics {
        server = server.listen("metrics", metrics, move || {
            let app = http::metrics_app(metrics_site.clone());
            HttpService::build().keep_alive(KEEP_ALIVE).h1(map_config(app, |()| AppConfig::default())).tcp()
        })?;
    }
    Ok(server.run())
}

/// Opens the ledger; the folder beside an embedded one keeps what is made once.
fn open_ledger(settings: &Settings) -> anyhow::Result<(SharedLedger, Option<std::path::PathBuf>)> {
    match settings.ledger.kind()? {
        LedgerKind::Embedded(path) => {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            let ledger = EmbeddedLedger::open(&path, settings.server.tick_ms)?;
            Ok((Arc::new(ledger), Some(folder)))
        }
        LedgerKind::Redis(url) => {
            let options = RedisOptions {
                tick_ms: settings.server.tick_ms,
                pool_size: settings.ledger.pool_size,
                ..RedisOptions::new(url)
            };
            Ok((Arc::new(RedisLedger::new(options)?), None))
        }
    }
}

/// The emcee's key and the signing secret: as set, or made once beside an embedded ledger.
fn auth(settings: &Settings, beside: Option<&Path>) -> anyhow::Result<Auth> {
    let key = configured(&settings.emcee.key, &settings.emcee.key_file)?;
    let secret = configured(&settings.server.secret, &settings.server.secret_file)?;
    let key = match (key, beside) {
        (Some(key), _) => key,
        (None, Some(folder)) => kept(&folder.join("emcee.key"))?,
        (None, None) if !settings.server.role.serves_emcee() => made().into(),
        (None, None) => bail!(
            "with Redis an emcee key must be set: TALLYCAST__EMCEE__KEY (at least 12 characters), the same on all pods"
        ),
    };
    let secret = match (secret, beside) {
        (Some(secret), _) => secret,
        (None, Some(folder)) => kept(&folder.join("secret"))?,
        (None, None) => bail!(
            "with Redis the signing secret must be set: TALLYCAST__SERVER__SECRET (at least 16 characters), the same \
             on all pods"
        ),
    };
    Ok(Auth::new(key, &secret))
}

fn configured(value: &SecretString, file: &str) -> anyhow::Result<Option<SecretString>> {
    if !value.expose_secret().is_empty() {
        return Ok(Some(value.clone()));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("settings: {file} can not be read"))?;
    match text.trim() {
        short if short.len() < 12 => bail!("settings: {file} must hold at least 12 characters"),
        text => Ok(Some(text.to_owned().into())),
    }
}

/// A secret made once and kept in a file that only its owner can read.
fn kept(path: &Path) -> anyhow::Result<SecretString> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned().into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} can not be read", path.display())),
    }
    let secret = made();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        std::io::Write::write_all(&mut file, secret.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("{} can not be written", path.display()))?;
    Ok(secret.into())
}

/// 160 random bits in letters and digits that can be read out.
fn made() -> String {
    RoomId::from_entropy(rand::random()).to_string() + RoomId::from_entropy(rand::random()).as_str()
}

fn bind(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    let address: IpAddr =
        host.parse().with_context(|| format!("settings: server.host must be an IP address, not \"{host}\""))?;
    let address = SocketAddr::new(address, port);
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).and_then(|()| socket.listen(BACKLOG as i32)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} is in use by another process; stop it, or choose another port with SERVER_PORT"
        ),
        std::io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("port {port} needs rights that this user has not; choose one above 1023 with SERVER_PORT")
        }
        _ => anyhow::anyhow!("{address} can not be listened on: {error}"),
    })?;
    Ok(socket.into())
}

/// A name that no other start has: the host's, and four random characters.
fn pod_name() -> String {
    let host = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host: String =
        host.unwrap_or_default().trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let host = if host.is_empty() { "pod".to_owned() } else { host };
    format!("{host}-{}", &RoomId::from_entropy(rand::random()).as_str()[..6])
}

/// Most sockets: as set, or 90 % of what the open-file limit leaves.
fn max_sockets(settings: &Settings) -> usize {
    match settings.server.max_sockets {
        0 => open_files().saturating_sub(OTHER_FILES) * 9 / 10,
        sockets => sockets,
    }
}

/// The soft limit of open files of this process.
#[cfg(target_os = "linux")]
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1_024)
}

/// The soft limit of open files of this process, where it can not be asked.
#[cfg(not(target_os = "linux"))]
fn open_files() -> usize {
    1_024
}

/// The links of the newest room; the first start makes a sample of seven rounds.
async fn links(settings: &Settings, pod: &Pod, main: SocketAddr) -> anyhow::Result<Links> {
    let rooms = pod.ledger.rooms().await?;
    let newest = rooms.into_iter().filter(|room| room.deleted_at.is_none()).max_by_key(|room| room.created_at);
    let room = match newest {
        Some(room) => room,
        None => sample(pod).await?,
    };
    let public = pod.voters_url.clone().unwrap_or_else(|| format!("http://{main}"));
    let admin = match settings.server.admin_url.trim_end_matches('/') {
        "" => public.clone(),
        admin => admin.to_owned(),
    };
    Ok(Links {
        voter: format!("{public}/r/{}", room.code),
        stage: format!("{public}/stage/{}", room.code),
        emcee: format!("{admin}/emcee#{}", pod.auth.emcee_key()),
    })
}

/// Where voters reach this server: as set; a process alone finds the address that leads out of its machine.
fn voters_url(settings: &Settings, main: SocketAddr, alone: bool) -> Option<String> {
    match settings.server.public_url.trim_end_matches('/') {
        "" => alone.then(|| format!("http://{}", reachable(main))),
        url => Some(url.to_owned()),
    }
}

/// An address that phones can reach: where everything is listened on, the one that leads out of this machine.
fn reachable(main: SocketAddr) -> SocketAddr {
    if !main.ip().is_unspecified() {
        return main;
    }
    // connecting a UDP socket sends nothing: it only asks which address would be used
    let leads_out = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let ip = leads_out.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
    SocketAddr::new(if ip.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { ip }, main.port())
}

/// Seven rounds of A against B, to begin with.
async fn sample(pod: &Pod) -> anyhow::Result<Room> {
    const ROUNDS: [(&str, &str, &str); 7] = [
        ("Warm-up", "Coffee", "Tea"),
        ("The song", "Team Red", "Team Blue"),
        ("The dance", "Team Red", "Team Blue"),
        ("The joke", "Team Red", "Team Blue"),
        ("The quiz", "Team Red", "Team Blue"),
        ("The cake", "Team Red", "Team Blue"),
        ("The final", "Team Red", "Team Blue"),
    ];
    let round = |(title, a, b): &(&str, &str, &str)| {
        RoundPlan::new(title, &[((*a).to_owned(), None), ((*b).to_owned(), None)], None, Split::Live, 0)
    };
    let plan = Plan {
        title: Title::parse("Our evening")?,
        reference: None,
        votes_per_round: 10,
        join: JoinMode::Open,
        programme: Programme::Open,
        rehearsal: false,
        partitions: 1,
        rounds: ROUNDS.iter().map(round).collect::<Result<_, _>>()?,
    };
    let room =
        plan.into_room(RoomId::from_entropy(rand::random()), RoomCode::from_entropy(rand::random()), pod.clock.now())?;
    match pod.ledger.create_room(&room).await? {
        Creation::Created(room) => Ok(room),
        Creation::CodeTaken | Creation::RefTaken(_) => bail!("the first room could not be made"),
    }
}
