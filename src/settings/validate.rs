//! The bounds of every setting.

use secrecy::{ExposeSecret, SecretString};

use super::error::{SettingsError, out_of_range};
use super::sections::{MAX_WORKERS, Settings};

/// Checks every bound.
///
/// # Errors
/// [`SettingsError::OutOfRange`].
pub fn validate(settings: &Settings) -> Result<(), SettingsError> {
    check_range("server.port", u64::from(settings.server.port), 0, u64::from(u16::MAX))?;
    check_range("server.admin_port", u64::from(settings.server.admin_port), 0, u64::from(u16::MAX))?;
    if settings.server.admin_port != 0 && !settings.server.role.serves_emcee() {
        return Err(out_of_range(
            "server.admin_port",
            "must be 0 with server.role audience or worker",
            settings.server.admin_port,
        ));
    }
    check_range("metrics.port", u64::from(settings.metrics.port), 0, u64::from(u16::MAX))?;
    check_range("server.workers", settings.server.workers as u64, 0, MAX_WORKERS as u64)?;
    check_range("server.tick_ms", settings.server.tick_ms, 20, 2_000)?;
    check_range("server.drain_ms", settings.server.drain_ms, 0, 60_000)?;
    check_range("server.max_sockets", settings.server.max_sockets as u64, 0, 1_000_000)?;
    check_range("ledger.replicas", settings.ledger.replicas as u64, 0, 5)?;
    check_range("ledger.pool_size", settings.ledger.pool_size as u64, 1, 256)?;
    check_range("jobs.lease_seconds", settings.jobs.lease_seconds, 1, 3_600)?;
    check_length("server.secret", &settings.server.secret, 16)?;
    check_length("emcee.key", &settings.emcee.key, 12)?;
    check_length("ledger.password", &settings.ledger.password, 12)?;
    if !(0.0..=1.0).contains(&settings.traces.sample) {
        return Err(out_of_range("traces.sample", "must be 0 to 1", settings.traces.sample));
    }
    for (key, url) in [
        ("server.public_url", &settings.server.public_url),
        ("server.admin_url", &settings.server.admin_url),
        ("traces.endpoint", &settings.traces.endpoint),
    ] {
        let host = url.strip_prefix("http://").or(url.strip_prefix("https://"));
        if !url.is_empty() && host.is_none_or(|host| host.trim_end_matches('/').is_empty()) {
            return Err(out_of_range(key, "must be http://… or https://…", url));
        }
    }
    settings.ledger.kind().map(drop)
}

fn check_range(key: &str, value: u64, min: u64, max: u64) -> Result<(), SettingsError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(out_of_range(key, format!("must be {min} to {max}"), value))
}

fn check_length(key: &str, secret: &SecretString, min: usize) -> Result<(), SettingsError> {
    let length = secret.expose_secret().len();
    if length == 0 || length >= min {
        return Ok(());
    }
    Err(SettingsError::OutOfRange(format!("{key} must have at least {min} characters, not {length}")))
}
