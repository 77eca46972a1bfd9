//! Settings: read once, checked once, and handed down. No other part of the server reads its settings from the environment.
//!
//! | file | holds |
//! | --- | --- |
//! | `sections` | the settings as types |
//! | `lists` | those that are lists |
//! | `layers` | where they come from |
//! | `validate` | their bounds |
//! | `error` | why they are refused |

use std::collections::HashMap;

mod error;
mod layers;
mod lists;
mod sections;
mod validate;

pub use error::SettingsError;
pub use sections::{
    EmceeSettings, JobSettings, LedgerKind, LedgerSettings, LogFormat, LogSettings, MAX_WORKERS, MetricsSettings,
    PodRole, ServerSettings, Settings, TraceSettings,
};

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
        let settings: Self = layers::all(environment)?.try_deserialize()?;
        validate::validate(&settings)?;
        Ok(settings)
    }
}

impl LogSettings {
    /// The settings of logs, as far as they can be read. They are needed even if other settings are refused, to report that
    /// in the right format.
    pub fn load() -> Self {
        let environment: HashMap<String, String> = std::env::vars().collect();
        let layers =
            layers::all(environment.clone()).or_else(|_| layers::without_files(environment)).unwrap_or_default();
        Self {
            format: layers.get("log.format").unwrap_or(LogFormat::Auto),
            filter: layers.get("log.filter").unwrap_or_else(|_| "info".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

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
        assert_eq!(settings.ledger.kind().unwrap(), LedgerKind::Redis);
        assert_eq!(settings.ledger.url.expose_secret(), "redis://db:6379");
        assert_eq!(settings.server.role, PodRole::Admin);
        let settings = load(&[("SERVER_PORT", "9001"), ("TALLYCAST__SERVER__PORT", "9002")]).unwrap();
        assert_eq!(settings.server.port, 9002);
    }

    #[test]
    fn an_invalid_value_is_refused_with_key_limit_and_value() {
        for (name, value, says) in [
            ("TALLYCAST__SERVER__TICK_MS", "5", &["server.tick_ms", "20 to 2000", "5"][..]),
            ("TALLYCAST__SERVER__WORKERS", "65", &["server.workers", "0 to 64", "65"]),
            ("TALLYCAST__SERVER__PORT", "70000", &["server.port", "65535", "70000"]),
            ("TALLYCAST__SERVER__PORT", "eighty", &["server.port", "eighty"]),
            ("TALLYCAST__SERVER__ROLE", "boss", &["server.role", "all, audience, admin or worker", "boss"]),
            ("TALLYCAST__SERVER__SECRET", "short", &["server.secret", "16", "5"]),
            ("TALLYCAST__SERVER__TRUSTED_HOPS", "10.0.0.0/8,nginx", &["server.trusted_hops", "networks", "\"nginx\""]),
            ("TALLYCAST__SERVER__TRUSTED_HOPS", "10.0.0.0/33", &["server.trusted_hops", "10.0.0.0/33"]),
            ("TALLYCAST__SERVER__ALLOWED_HOSTS", "a.example:80", &["server.allowed_hosts", "port", "a.example:80"]),
            ("TALLYCAST__SERVER__ALLOWED_HOSTS", "https://a.example", &["server.allowed_hosts", "scheme", "https://"]),
            ("TALLYCAST__LEDGER__PASSWORD", "short", &["ledger.password", "12", "5"]),
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
    fn a_list_is_an_array_in_a_file_and_has_commas_or_spaces_in_a_variable() {
        let settings = load(&[
            ("TALLYCAST__SERVER__TRUSTED_HOPS", "10.1.0.0/16, 127.0.0.1 fd00::/8"),
            ("TALLYCAST__SERVER__ALLOWED_HOSTS", " A.example,,b.example. "),
        ]);
        let server = settings.unwrap().server;
        let hops: Vec<_> = server.trusted_hops.iter().map(ToString::to_string).collect();
        assert_eq!(hops, ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8"]);
        assert_eq!(server.allowed_hosts, ["a.example", "b.example"]);
        let server = load(&[]).unwrap().server;
        assert!(server.trusted_hops.is_empty() && server.allowed_hosts.is_empty(), "nobody is believed by default");
    }

    #[test]
    fn a_secret_is_never_printed() {
        let settings = load(&[
            ("TALLYCAST__EMCEE__KEY", "hush-hush-hush"),
            ("TALLYCAST__SERVER__SECRET", "hush-hush-hush-hush"),
            ("TALLYCAST__LEDGER__URL", "redis://user:hush-hush-hush@db"),
            ("TALLYCAST__LEDGER__PASSWORD", "hush-hush-hush"),
            ("TALLYCAST__JOBS__WEBHOOK_URL", "https://chat.example.org/hush"),
        ])
        .unwrap();
        let printed = format!("{settings:?} {}", settings.ledger.shown());
        assert!(printed.contains("redis://db") && !printed.contains("hush"), "{printed}");
    }
}
