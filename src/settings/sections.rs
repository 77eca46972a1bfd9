//! The settings by section, as in `config/default.toml`.

use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::error::{SettingsError, out_of_range};
use super::lists;

/// The limit of threads for connections. One thread serves many thousands of sockets, so more would only cost.
pub const MAX_WORKERS: usize = 64;

/// All settings. `config/default.toml` describes every key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Addresses, role, limits.
    pub server: ServerSettings,
    /// The port of the metrics.
    pub metrics: MetricsSettings,
    /// The emcee's key.
    pub emcee: EmceeSettings,
    /// Where votes are stored.
    pub ledger: LedgerSettings,
    /// Webhook and archives.
    pub jobs: JobSettings,
    /// Format and filter of logs.
    pub log: LogSettings,
    /// The collector of spans.
    pub traces: TraceSettings,
}

/// `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address to listen on.
    pub host: String,
    /// Port, up to 65,535; 0: any free one.
    pub port: u32,
    /// The emcee's own port, up to 65,535; 0: the emcee uses `port` too.
    pub admin_port: u32,
    /// Which part of the service this process has.
    pub role: PodRole,
    /// URL for voters; empty: the address of the request.
    pub public_url: String,
    /// URL for the emcee; empty: as `public_url`.
    pub admin_url: String,
    /// Proxies that are believed when they say where a request came from.
    #[serde(deserialize_with = "lists::trusted_hops")]
    pub trusted_hops: Vec<IpNet>,
    /// Names of this server beside the hosts of the two URLs.
    #[serde(deserialize_with = "lists::allowed_hosts")]
    pub allowed_hosts: Vec<String>,
    /// Signs tokens and cookies.
    pub secret: SecretString,
    /// A file that holds the secret.
    pub secret_file: String,
    /// Threads for connections, up to [`MAX_WORKERS`]; 0: one for each core.
    pub workers: usize,
    /// The limit of sockets; 0: chosen at the start.
    pub max_sockets: usize,
    /// Shortest time between two tallies to the same socket, in ms.
    pub tick_ms: u64,
    /// Over how many ms a stopping process tells its sockets to reconnect.
    pub drain_ms: u64,
}

/// Which part of the service a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PodRole {
    /// Everything.
    All,
    /// No emcee routes or pages.
    Audience,
    /// Everything, for the emcee; voters are not sent here.
    Admin,
    /// Jobs, probes and metrics only.
    Worker,
}

impl TryFrom<String> for PodRole {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "all" => Ok(Self::All),
            "audience" => Ok(Self::Audience),
            "admin" => Ok(Self::Admin),
            "worker" => Ok(Self::Worker),
            _ => Err(format!("server.role must be all, audience, admin or worker, not \"{text}\"")),
        }
    }
}

impl PodRole {
    /// The value of the setting.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Audience => "audience",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }

    /// True if emcee routes and pages exist here.
    pub fn serves_emcee(self) -> bool {
        matches!(self, Self::All | Self::Admin)
    }

    /// True if pages, API and sockets exist here.
    pub fn serves_people(self) -> bool {
        self != Self::Worker
    }

    /// True if voters are sent here, so that a full process must become unready.
    pub fn serves_audience(self) -> bool {
        matches!(self, Self::All | Self::Audience)
    }

    /// True if what is due in a room is done here, and what follows from it is stored: closes, reveals, alarms. A process
    /// for the audience only stores votes and voters, so its user of Redis needs no right to write records and jobs.
    pub fn keeps_records(self) -> bool {
        self != Self::Audience
    }

    /// True if jobs are done here.
    pub fn does_jobs(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

/// `[metrics]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// The port of the metrics, up to 65,535; 0: the main port.
    pub port: u32,
}

/// `[emcee]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmceeSettings {
    /// What an emcee signs in with.
    pub key: SecretString,
    /// A file that holds the key.
    pub key_file: String,
}

/// `[ledger]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerSettings {
    /// `embedded:PATH`, `redis://…`, `rediss://…` or `redis+sentinel://…`. It may hold a password.
    pub url: SecretString,
    /// The user of Redis; empty: that of the URL.
    pub user: String,
    /// The user's password; empty: that of the URL.
    pub password: SecretString,
    /// A file that holds the password.
    pub password_file: String,
    /// How many replicas must confirm a change before it is acknowledged.
    pub replicas: usize,
    /// A file with the certificate authority of a `rediss://` server.
    pub ca_file: String,
    /// Take votes even if Redis may lose acknowledged ones.
    pub allow_unverified: bool,
    /// Connections to Redis besides those of the coordinators.
    pub pool_size: usize,
}

/// Which ledger a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerKind {
    /// An embedded one, in this file.
    Embedded(PathBuf),
    /// A Redis server.
    Redis,
}

/// `[jobs]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// A chat's incoming webhook.
    pub webhook_url: SecretString,
    /// A file that holds the webhook's URL.
    pub webhook_url_file: String,
    /// The folder for archives; empty: none are written.
    pub export_dir: String,
    /// How long a worker may be silent about a job before another one takes it, in s.
    pub lease_seconds: u64,
}

/// `[traces]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    /// The URL of a collector (OTLP over HTTP); empty: nothing is traced.
    pub endpoint: String,
    /// The share of casts that are traced, 0 to 1.
    pub sample: f64,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// The format of lines.
    pub format: LogFormat,
    /// `tracing_subscriber::EnvFilter` directives.
    pub filter: String,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// Text if standard output is a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("log.format must be auto, text or json, not \"{text}\"")),
        }
    }
}

impl LedgerSettings {
    /// The URL without user name and password, to show it.
    pub fn shown(&self) -> String {
        let url = self.url.expose_secret();
        match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
            _ => url.to_owned(),
        }
    }

    /// Which ledger `url` names.
    ///
    /// # Errors
    /// It names neither of them.
    pub fn kind(&self) -> Result<LedgerKind, SettingsError> {
        match self.url.expose_secret().split_once(':') {
            Some(("embedded", path)) if !path.is_empty() => Ok(LedgerKind::Embedded(path.into())),
            Some(("redis" | "rediss" | "redis+sentinel", rest)) if rest.starts_with("//") => Ok(LedgerKind::Redis),
            Some(("redis+cluster", _)) => {
                let limit = "may not be redis+cluster:// in this version; one Redis carries more than a million voters";
                Err(SettingsError::OutOfRange(format!("ledger.url {limit}")))
            }
            // the rest of the URL may hold a password, so the error does not show it
            scheme => {
                let scheme = scheme.map_or("", |(scheme, _)| scheme);
                Err(out_of_range(
                    "ledger.url",
                    "must be embedded:PATH, redis://host:port or rediss://host:port",
                    format!("{scheme}:…"),
                ))
            }
        }
    }
}
