//! Settings: read once, checked once, handed down. Nobody else reads the environment.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use config::{Config, ConfigError, Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// The default of every key: shipped inside the binary, so that it runs from anywhere.
const DEFAULTS: &str = include_str!("../config/default.toml");

/// Most threads for connections. One thread serves many thousands of sockets; more would only cost.
pub const MAX_WORKERS: usize = 64;

/// Everything that can be set. See `config/default.toml` for what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address, role, limits.
    pub server: ServerSettings,
    /// Where metrics are served.
    pub metrics: MetricsSettings,
    /// The emcee's key.
    pub emcee: EmceeSettings,
    /// Where votes are kept.
    pub ledger: LedgerSettings,
    /// What is done outside the ledger because of a change.
    pub jobs: JobSettings,
    /// What is logged.
    pub log: LogSettings,
    /// Where spans go.
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
    /// What this process serves.
    pub role: PodRole,
    /// Where voters reach it.
    pub public_url: String,
    /// Where the emcee reaches it.
    pub admin_url: String,
    /// Activity tokens and cookies.
    pub secret: SecretString,
    /// A file with the secret.
    pub secret_file: String,
    /// Threads for connections, up to [`MAX_WORKERS`]; 0: one for each core, as far as that goes.
    pub workers: usize,
    /// Most sockets; 0: chosen at start.
    pub max_sockets: usize,
    /// Between two tallies to the same socket, in ms.
    pub tick_ms: u64,
    /// Over which goodbyes are spread, in ms.
    pub drain_ms: u64,
}

/// What a process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PodRole {
    /// Everything.
    All,
    /// No emcee routes or pages.
    Audience,
    /// For the emcee.
    Admin,
    /// Does jobs, and serves nobody.
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
    /// As it is set.
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

    /// True if voters are sent here: a full one must not be sent more.
    pub fn serves_audience(self) -> bool {
        matches!(self, Self::All | Self::Audience)
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
    /// A port of its own, up to 65,535; 0: the main one.
    pub port: u32,
}

/// `[emcee]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmceeSettings {
    /// What an emcee signs in with.
    pub key: SecretString,
    /// A file with the key.
    pub key_file: String,
}

/// `[ledger]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerSettings {
    /// `embedded:PATH`, `redis://…`, `rediss://…` or `redis+sentinel://…`.
    pub url: String,
    /// So many replicas confirm a change before it is answered.
    pub replicas: usize,
    /// The certificate authority of a `rediss://` server.
    pub ca_file: String,
    /// Take votes although it is not sure that they are kept.
    pub allow_unverified: bool,
    /// Connections to Redis.
    pub pool_size: usize,
}

/// Which ledger a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerKind {
    /// A file.
    Embedded(PathBuf),
    /// A Redis server's URL.
    Redis(String),
}

/// `[jobs]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// A chat's incoming webhook.
    pub webhook_url: SecretString,
    /// A file with it.
    pub webhook_url_file: String,
    /// Where archives are kept.
    pub export_dir: String,
    /// How long a worker may be silent about a job, in s.
    pub lease_seconds: u64,
}

/// `[traces]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    /// A collector's OTLP over HTTP; empty: nothing is traced.
    pub endpoint: String,
    /// The share of casts that are traced, 0 to 1.
    pub sample: f64,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// How lines look.
    pub format: LogFormat,
    /// `tracing_subscriber::EnvFilter` directives.
    pub filter: String,
}

/// How log lines look.
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

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or variable cannot be read, has a key that does not exist, or a value of the wrong type.
    #[error("settings: {0}")]
    Unreadable(#[from] config::ConfigError),
    /// Key, limit and value.
    #[error("settings: {0}")]
    OutOfRange(String),
}

impl Settings {
    /// Loads all layers from the working directory and the environment.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn load() -> Result<Self, SettingsError> {
        Self::from_environment(std::env::vars().collect())
    }

    /// Loads all layers with the given environment.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_environment(environment: HashMap<String, String>) -> Result<Self, SettingsError> {
        let settings: Self = all_layers(environment)?.try_deserialize()?;
        settings.validate()?;
        Ok(settings)
    }

    /// Checks every bound.
    fn validate(&self) -> Result<(), SettingsError> {
        range("server.port", u64::from(self.server.port), 0, u64::from(u16::MAX))?;
        range("metrics.port", u64::from(self.metrics.port), 0, u64::from(u16::MAX))?;
        range("server.workers", self.server.workers as u64, 0, MAX_WORKERS as u64)?;
        range("server.tick_ms", self.server.tick_ms, 20, 2_000)?;
        range("server.drain_ms", self.server.drain_ms, 0, 60_000)?;
        range("server.max_sockets", self.server.max_sockets as u64, 0, 1_000_000)?;
        range("ledger.replicas", self.ledger.replicas as u64, 0, 5)?;
        range("ledger.pool_size", self.ledger.pool_size as u64, 1, 256)?;
        range("jobs.lease_seconds", self.jobs.lease_seconds, 1, 3_600)?;
        at_least("server.secret", &self.server.secret, 16)?;
        at_least("emcee.key", &self.emcee.key, 12)?;
        if !(0.0..=1.0).contains(&self.traces.sample) {
            return Err(refuse("traces.sample", "must be 0 to 1", self.traces.sample));
        }
        for (key, url) in [
            ("server.public_url", &self.server.public_url),
            ("server.admin_url", &self.server.admin_url),
            ("traces.endpoint", &self.traces.endpoint),
        ] {
            let host = url.strip_prefix("http://").or(url.strip_prefix("https://"));
            if !url.is_empty() && host.is_none_or(|host| host.trim_end_matches('/').is_empty()) {
                return Err(refuse(key, "must be http://… or https://…", url));
            }
        }
        self.ledger.kind().map(drop)
    }
}

impl LogSettings {
    /// How to log, as far as it can be told: also where settings are refused, that is to be said as they ask for.
    pub fn load() -> Self {
        let environment: HashMap<String, String> = std::env::vars().collect();
        let without_files = || {
            let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
            defaults.add_source(variables(environment.clone())).build()
        };
        let layers = all_layers(environment.clone()).or_else(|_| without_files()).unwrap_or_default();
        Self {
            format: layers.get("log.format").unwrap_or(LogFormat::Auto),
            filter: layers.get("log.filter").unwrap_or_else(|_| "info".to_owned()),
        }
    }
}

impl LedgerSettings {
    /// The URL for people to read: without the name and the password that may be in it.
    pub fn shown(&self) -> String {
        match (self.url.split_once("://"), self.url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
            _ => self.url.clone(),
        }
    }

    /// Which ledger `url` names.
    ///
    /// # Errors
    /// Neither.
    pub fn kind(&self) -> Result<LedgerKind, SettingsError> {
        match self.url.split_once(':') {
            Some(("embedded", path)) if !path.is_empty() => Ok(LedgerKind::Embedded(path.into())),
            Some(("redis" | "rediss" | "redis+sentinel", rest)) if rest.starts_with("//") => {
                Ok(LedgerKind::Redis(self.url.clone()))
            }
            Some(("redis+cluster", _)) => {
                let says = "may not be redis+cluster:// in this version; one Redis carries more than a million voters";
                Err(SettingsError::OutOfRange(format!("ledger.url {says}")))
            }
            // what comes behind the scheme may hold a password
            scheme => {
                let scheme = scheme.map_or("", |(scheme, _)| scheme);
                Err(refuse(
                    "ledger.url",
                    "must be embedded:PATH, redis://host:port or rediss://host:port",
                    format!("{scheme}:…"),
                ))
            }
        }
    }
}

/// The defaults, the files in `config`, and the environment, the last of which wins.
fn all_layers(mut environment: HashMap<String, String>) -> Result<Config, ConfigError> {
    let mut layers = Config::builder()
        .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
        .add_source(File::new("config/default", FileFormat::Toml).required(false));
    if let Some(stage) = environment.remove("TALLYCAST_STAGE").filter(|stage| !stage.is_empty()) {
        layers = layers.add_source(File::new(&format!("config/{stage}"), FileFormat::Toml));
    }
    layers.add_source(variables(environment)).build()
}

/// The environment as a layer.
fn variables(environment: HashMap<String, String>) -> Environment {
    // a short form stands in where its long form is not set
    let short = short_forms(&environment);
    let mut long: HashMap<String, String> =
        environment.into_iter().filter(|(name, _)| name.starts_with("TALLYCAST__")).collect();
    for (name, value) in short {
        long.entry(name.to_owned()).or_insert(value);
    }
    Environment::with_prefix("TALLYCAST").prefix_separator("__").separator("__").source(Some(long))
}

/// Short variables, as the long ones that they stand for.
fn short_forms(environment: &HashMap<String, String>) -> Vec<(&'static str, String)> {
    let get = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let redis = get("REDIS_HOST")
        .map(|host| format!("redis://{host}:{}", get("REDIS_PORT").unwrap_or_else(|| "6379".to_owned())));
    let role = get("ADMIN").filter(|value| value == "1").map(|_| "admin".to_owned());
    let forms = [
        ("TALLYCAST__SERVER__PORT", get("SERVER_PORT")),
        ("TALLYCAST__LEDGER__URL", redis),
        ("TALLYCAST__SERVER__ROLE", role),
    ];
    forms.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn refuse(key: &str, limit: impl fmt::Display, value: impl fmt::Display) -> SettingsError {
    SettingsError::OutOfRange(format!("{key} {limit}, not \"{value}\""))
}

fn range(key: &str, value: u64, least: u64, most: u64) -> Result<(), SettingsError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(refuse(key, format!("must be {least} to {most}"), value))
}

fn at_least(key: &str, secret: &SecretString, least: usize) -> Result<(), SettingsError> {
    let length = secret.expose_secret().len();
    if length == 0 || length >= least {
        return Ok(());
    }
    Err(SettingsError::OutOfRange(format!("{key} must have at least {least} characters, not {length}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_environment(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn every_shipped_file_loads() {
        load(&[]).unwrap();
        for entry in std::fs::read_dir("config").unwrap() {
            let path = entry.unwrap().path();
            let stage = path.file_stem().unwrap().to_str().unwrap().to_owned();
            load(&[("TALLYCAST_STAGE", &stage)]).unwrap_or_else(|error| panic!("{stage}: {error}"));
        }
    }

    #[test]
    fn the_environment_wins_and_the_long_form_over_the_short() {
        let settings = load(&[("SERVER_PORT", "9001"), ("REDIS_HOST", "db"), ("ADMIN", "1")]).unwrap();
        assert_eq!(settings.server.port, 9001);
        assert_eq!(settings.ledger.kind().unwrap(), LedgerKind::Redis("redis://db:6379".into()));
        assert_eq!(settings.server.role, PodRole::Admin);
        let settings = load(&[("SERVER_PORT", "9001"), ("TALLYCAST__SERVER__PORT", "9002")]).unwrap();
        assert_eq!(settings.server.port, 9002);
    }

    #[test]
    fn what_can_not_be_is_refused_with_key_limit_and_value() {
        for (name, value, says) in [
            ("TALLYCAST__SERVER__TICK_MS", "5", &["server.tick_ms", "20 to 2000", "5"][..]),
            ("TALLYCAST__SERVER__WORKERS", "65", &["server.workers", "0 to 64", "65"]),
            ("TALLYCAST__SERVER__PORT", "70000", &["server.port", "65535", "70000"]),
            ("TALLYCAST__SERVER__PORT", "eighty", &["server.port", "eighty"]),
            ("TALLYCAST__SERVER__ROLE", "boss", &["server.role", "all, audience, admin or worker", "boss"]),
            ("TALLYCAST__SERVER__SECRET", "short", &["server.secret", "16", "5"]),
            ("TALLYCAST__LEDGER__URL", "mysql://x", &["ledger.url", "embedded:PATH", "mysql:"]),
            ("TALLYCAST__JOBS__LEASE_SECONDS", "0", &["jobs.lease_seconds", "1 to 3600", "0"]),
            ("TALLYCAST__TRACES__ENDPOINT", "collector:4318", &["traces.endpoint", "http://", "collector:4318"]),
            ("TALLYCAST__TRACES__SAMPLE", "1.5", &["traces.sample", "0 to 1", "1.5"]),
            ("TALLYCAST__TRACES__SAMPLE", "nan", &["traces.sample", "0 to 1"]),
            ("TALLYCAST__TRACES__SAMPLE", "some", &["traces.sample", "some"]),
            ("TALLYCAST__SERVER__PROT", "80", &["prot"]),
            ("TALLYCAST__SEVER__PORT", "80", &["sever"]),
        ] {
            let error = load(&[(name, value)]).unwrap_err().to_string();
            for word in says {
                assert!(error.contains(word), "{name}={value}: {error}");
            }
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let settings = load(&[("TALLYCAST__EMCEE__KEY", "hush-hush-hush")]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
