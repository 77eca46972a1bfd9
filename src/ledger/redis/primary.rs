//! Where the primary is: at a fixed address, or where the sentinels say.
//!
//! With sentinels it is looked up again after every failure: a primary that does not answer, or has become a replica,
//! may have been replaced.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use deadpool_redis::{Manager, Pool, Runtime};
use futures_util::FutureExt;
use futures_util::future::select_ok;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    TlsCertificates,
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::error;
use super::options::RedisOptions;
use crate::domain::Invalid;
use crate::ledger::LedgerError;

/// The port of a sentinel whose address has no port.
const DEFAULT_SENTINEL_PORT: u16 = 26_379;

/// The server that accepts changes, and connections to it.
pub(super) struct Primary {
    address: String,
    pub(super) client: Client,
    pub(super) pool: Pool,
}

/// Finds the primary and caches it; clones share the cache.
#[derive(Clone)]
pub(super) struct PrimaryResolver(Arc<Inner>);

struct Inner {
    config: AsyncConnectionConfig,
    connect_timeout: Duration,
    pool_size: usize,
    /// `None` if it must be looked up.
    primary: ArcSwapOption<Primary>,
    sentinels: Option<Sentinels>,
}

struct Sentinels {
    addresses: Vec<(String, u16)>,
    /// The name that the sentinels have for the primary and its replicas.
    name: String,
    /// User, password and database of the primary.
    settings: RedisConnectionInfo,
    /// Held during a lookup: the other callers wait for its result.
    lookup: Mutex<()>,
}

impl PrimaryResolver {
    /// Checks the options; connects to nothing yet.
    pub(super) fn new(options: &RedisOptions) -> Result<Self, Invalid> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout.min(options.response_timeout)))
            .set_response_timeout(Some(options.response_timeout));
        let (info, sentinels) = match options.url.expose_secret().strip_prefix("redis+sentinel://") {
            Some(rest) => (None, Some(Sentinels::parse(rest, options)?)),
            None => (Some(connection_info(options)?), None),
        };
        let connect_timeout = options.connect_timeout.min(options.response_timeout);
        let primary = ArcSwapOption::empty();
        let inner = Inner { config, connect_timeout, pool_size: options.pool_size, primary, sentinels };
        if let Some(info) = info {
            let primary = inner.connect_to(info).map_err(bad_url)?;
            inner.primary.store(Some(Arc::new(primary)));
        }
        Ok(Self(Arc::new(inner)))
    }

    /// The number of the database that the keys are in.
    pub(super) fn database(&self) -> i64 {
        match (&self.0.sentinels, self.0.primary.load().as_ref()) {
            (Some(sentinels), _) => sentinels.settings.db(),
            (None, Some(primary)) => primary.client.get_connection_info().redis_settings().db(),
            (None, None) => 0,
        }
    }

    /// True if another server may take the primary's place.
    pub(super) fn may_change(&self) -> bool {
        self.0.sentinels.is_some()
    }

    /// How connections are made.
    pub(super) fn config(&self) -> &AsyncConnectionConfig {
        &self.0.config
    }

    /// The primary: the cached one, or the one that the sentinels name.
    pub(super) async fn resolve(&self) -> Result<Arc<Primary>, LedgerError> {
        if let Some(primary) = self.0.primary.load_full() {
            return Ok(primary);
        }
        let Some(sentinels) = &self.0.sentinels else { return Err(error::unreachable("there is no address")) };
        let _lookup = sentinels.lookup.lock().await;
        if let Some(primary) = self.0.primary.load_full() {
            return Ok(primary);
        }
        let found = sentinels.find(&self.0.config).await?;
        let address = found.addr().to_string();
        let primary = Arc::new(self.0.connect_to(found).map_err(error::unreachable)?);
        tracing::info!(address, "the sentinels named the primary");
        self.0.primary.store(Some(primary.clone()));
        Ok(primary)
    }

    /// A call on this primary has failed: it is looked up again.
    pub(super) fn invalidate(&self, primary: &Arc<Primary>) {
        let is_current = |current: &Primary| current.address == primary.address;
        if self.may_change() && self.0.primary.load().as_deref().is_some_and(is_current) {
            self.0.primary.store(None);
        }
    }

    /// A call on a connection outside of the pool has failed: the primary is looked up again.
    pub(super) fn invalidate_current(&self) {
        if self.may_change() {
            self.0.primary.store(None);
        }
    }
}

impl Inner {
    fn connect_to(&self, info: ConnectionInfo) -> Result<Primary, String> {
        // commands and replies are small: waiting for more to send only adds latency
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let timeout = Some(self.connect_timeout);
        let manager = Manager::new_with_config(info.clone(), self.config.clone()).map_err(|e| e.to_string())?;
        let pool = Pool::builder(manager)
            .max_size(self.pool_size.max(1))
            .wait_timeout(timeout)
            .create_timeout(timeout)
            .recycle_timeout(timeout)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| e.to_string())?;
        let address = info.addr().to_string();
        Ok(Primary { address, client: Client::open(info).map_err(|e| e.to_string())?, pool })
    }
}

impl Sentinels {
    /// Reads `[user:password@]host[:port][,…]/name[/database]`.
    fn parse(rest: &str, options: &RedisOptions) -> Result<Self, Invalid> {
        let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(login, rest)| (login, rest));
        let mut parts = rest.split('/');
        let hosts = parts.next().unwrap_or_default();
        let name = parts.next().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| bad_url("it does not name the primary, as in …/tallycast/0"))?;
        let database = parts.next().unwrap_or("0");
        let address = |host: &str| {
            let (host, port) =
                host.rsplit_once(':').map_or((host, Some(DEFAULT_SENTINEL_PORT)), |(h, p)| (h, p.parse().ok()));
            (!host.is_empty()).then_some((host.to_owned(), port?))
        };
        let addresses = hosts.split(',').map(address).collect::<Option<Vec<_>>>();
        let addresses = addresses.ok_or_else(|| bad_url("a sentinel is not host:port"))?;
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        let like = format!("redis://{login}primary/{database}").into_connection_info();
        let settings = with_login(like.map_err(|e| bad_url(e.to_string()))?.redis_settings(), options);
        Ok(Self { addresses, name: name.to_owned(), settings, lookup: Mutex::default() })
    }

    /// Asks all sentinels at once, and takes the first answer.
    async fn find(&self, config: &AsyncConnectionConfig) -> Result<ConnectionInfo, LedgerError> {
        let lookups = self.addresses.iter().map(|(host, port)| {
            async move {
                let client = Client::open((host.as_str(), *port)).map_err(error::unreachable)?;
                let connected = client.get_multiplexed_async_connection_with_config(config).await;
                let mut sentinel = connected.map_err(error::unreachable)?;
                let mut ask = redis::cmd("SENTINEL");
                ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
                let named: Option<(String, u16)> = ask.query_async(&mut sentinel).await.map_err(error::unreachable)?;
                named.ok_or_else(|| error::unreachable(format!("the sentinels do not know {}", self.name)))
            }
            .boxed()
        });
        let ((host, port), _) = select_ok(lookups).await?;
        let info = ConnectionAddr::Tcp(host, port).into_connection_info().map_err(error::unreachable)?;
        Ok(info.set_redis_settings(self.settings.clone()))
    }
}

fn connection_info(options: &RedisOptions) -> Result<ConnectionInfo, Invalid> {
    let url = options.url.expose_secret();
    if !url.starts_with("redis://") && !url.starts_with("rediss://") {
        return Err(bad_url("it does not begin with redis://"));
    }
    let info = url.into_connection_info().map_err(|e| bad_url(e.to_string()))?;
    let settings = with_login(info.redis_settings(), options);
    let info = info.set_redis_settings(settings);
    let Some(ca) = &options.ca else { return Ok(info) };
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) };
    let client = Client::build_with_tls(info, certificates).map_err(|e| Invalid::new("ca_file", e.to_string()))?;
    Ok(client.get_connection_info().clone())
}

/// The settings of a connection with the login of the options, where they have one. A user with few rights may not say
/// which library a connection comes from, so it does not.
fn with_login(settings: &RedisConnectionInfo, options: &RedisOptions) -> RedisConnectionInfo {
    let mut settings = settings.clone();
    if !options.user.is_empty() {
        settings = settings.set_username(&options.user).set_skip_set_lib_name();
    }
    if let Some(password) = &options.password {
        settings = settings.set_password(password.expose_secret());
    }
    settings
}

/// The error does not repeat the URL, because it may hold a password.
fn bad_url(why: impl std::fmt::Display) -> Invalid {
    let forms = "redis[s]://[user:password@]host[:port][/database] or redis+sentinel://host[:port][,…]/name[/database]";
    Invalid::new("url", format!("must be {forms}, but {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_url_names_the_sentinels_the_primary_and_the_login() {
        let sentinels = Sentinels::parse("anna:se@cret@a:1,b,c:3/tallycast/7", &RedisOptions::new("")).unwrap();
        let addresses = [("a".to_owned(), 1), ("b".to_owned(), DEFAULT_SENTINEL_PORT), ("c".to_owned(), 3)];
        assert_eq!((sentinels.addresses.as_slice(), sentinels.name.as_str()), (&addresses[..], "tallycast"));
        assert_eq!(sentinels.settings.db(), 7);
    }

    #[test]
    fn a_malformed_url_is_refused_without_repeating_the_password() {
        for url in [
            "",
            "localhost:6379",
            "http://u:secret@h",
            "redis://",
            "redis://u:secret@h:99999",
            "redis://h/secret",
            "redis+sentinel://u:secret@h",
            "redis+sentinel://u:secret@h:port/name",
            "redis+sentinel://u:secret@h/name/secret",
        ] {
            let error =
                PrimaryResolver::new(&RedisOptions::new(url)).err().unwrap_or_else(|| panic!("{url} was accepted"));
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.to_string().contains("must be redis[s]://"), "{error}");
        }
    }

    #[test]
    fn user_and_password_of_the_options_come_before_those_of_the_url() {
        for url in ["redis://u:old@192.0.2.1/7", "redis+sentinel://u:old@192.0.2.1/name/7"] {
            let login = |options: &RedisOptions| match PrimaryResolver::new(options).unwrap().0.as_ref() {
                Inner { sentinels: Some(sentinels), .. } => sentinels.settings.clone(),
                Inner { primary, .. } => {
                    let primary = primary.load_full().unwrap();
                    primary.client.get_connection_info().redis_settings().clone()
                }
            };
            let of_url = login(&RedisOptions::new(url));
            assert_eq!((of_url.username(), of_url.password(), of_url.db()), (Some("u"), Some("old"), 7));
            let mut options = RedisOptions::new(url);
            (options.user, options.password) = ("anna".into(), Some("new".into()));
            let of_options = login(&options);
            assert_eq!((of_options.username(), of_options.password(), of_options.db()), (Some("anna"), Some("new"), 7));
        }
    }

    #[test]
    fn the_database_is_read_from_the_url_and_nothing_is_connected() {
        let database = |url: &str| PrimaryResolver::new(&RedisOptions::new(url)).unwrap().database();
        assert_eq!(database("redis://u:p@192.0.2.1:1/7"), 7);
        assert_eq!(database("redis://192.0.2.1"), 0);
        assert_eq!(database("redis+sentinel://192.0.2.1/name/3"), 3);
    }
}
