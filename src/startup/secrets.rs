//! The emcee's key and the signing secret: read from the settings, or generated once and kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::Auth;
use crate::domain::ids::RoomId;
use crate::settings::{EmceeSettings, JobSettings, LedgerSettings, Settings};

/// The file of a generated key, in the folder of an embedded ledger.
const KEY_FILE: &str = "emcee.key";

/// The file that holds the emcee's key; `None` if the key was set by value or there is none. `folder` is that of an
/// embedded ledger.
pub fn key_file(settings: &EmceeSettings, folder: Option<&Path>) -> Option<PathBuf> {
    match (settings.key.expose_secret(), settings.key_file.as_str()) {
        ("", "") => folder.map(|folder| folder.join(KEY_FILE)),
        ("", file) => Some(file.into()),
        _ => None,
    }
}

/// The emcee's key and the signing secret: as set, or generated once in the folder of an embedded ledger.
///
/// # Errors
/// With Redis one of them is not set, or a file cannot be read or written.
pub fn auth(settings: &Settings, folder: Option<&Path>) -> anyhow::Result<Auth> {
    let key = configured(&settings.emcee.key, &settings.emcee.key_file)?;
    let secret = configured(&settings.server.secret, &settings.server.secret_file)?;
    let key = match (key, folder) {
        (Some(key), _) => key,
        (None, Some(folder)) => read_or_generate(&folder.join(KEY_FILE))?,
        (None, None) if !settings.server.role.serves_emcee() => generate().into(),
        (None, None) => bail!(
            "with Redis an emcee key must be set: TALLYCAST__EMCEE__KEY (at least 12 characters), the same on all pods"
        ),
    };
    let secret = match (secret, folder) {
        (Some(secret), _) => secret,
        (None, Some(folder)) => read_or_generate(&folder.join("secret"))?,
        (None, None) => bail!(
            "with Redis the signing secret must be set: TALLYCAST__SERVER__SECRET (at least 16 characters), the same \
             on all pods"
        ),
    };
    Ok(Auth::new(key, &secret))
}

/// The chat's webhook, if one is set. Its file may be missing or empty, as where a mounted secret has none.
///
/// # Errors
/// Its file cannot be read, or it is not a valid URL.
pub fn webhook(settings: &JobSettings) -> anyhow::Result<Option<SecretString>> {
    let file = settings.webhook_url_file.as_str();
    if settings.webhook_url.expose_secret().is_empty() && !file.is_empty() && is_missing_or_empty(file) {
        tracing::info!(file, "there is no webhook in this file, so no messages are sent");
        return Ok(None);
    }
    let url = configured(&settings.webhook_url, file)?;
    if let Some(url) = &url
        && !["http://", "https://"].iter().any(|scheme| url.expose_secret().starts_with(scheme))
    {
        // the URL is a secret, so the error does not show it
        bail!("settings: jobs.webhook_url must be http://… or https://…");
    }
    Ok(url)
}

/// The password of Redis, if it is not in the URL.
///
/// # Errors
/// Its file cannot be read, or is too short.
pub fn ledger_password(settings: &LedgerSettings) -> anyhow::Result<Option<SecretString>> {
    configured(&settings.password, &settings.password_file)
}

fn configured(value: &SecretString, file: &str) -> anyhow::Result<Option<SecretString>> {
    if !value.expose_secret().is_empty() {
        return Ok(Some(value.clone()));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("settings: {file} cannot be read"))?;
    match text.trim() {
        short if short.len() < 12 => bail!("settings: {file} must hold at least 12 characters"),
        text => Ok(Some(text.to_owned().into())),
    }
}

fn is_missing_or_empty(file: &str) -> bool {
    match std::fs::read(file) {
        Ok(bytes) => bytes.trim_ascii().is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The secret in a file that only its owner can read; generated if there is no such file yet.
fn read_or_generate(path: &Path) -> anyhow::Result<SecretString> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned().into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
    let secret = generate();
    crate::atomic_file::replace(path, secret.as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(secret.into())
}

/// 160 random bits, in letters and digits that are easy to read aloud.
fn generate() -> String {
    RoomId::from_entropy(rand::random()).to_string() + RoomId::from_entropy(rand::random()).as_str()
}
