//! The emcee's key and the signing secret: set, or made once and kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::Auth;
use crate::domain::ids::RoomId;
use crate::settings::{EmceeSettings, JobSettings, Settings};

/// Where a key that was made is kept, beside an embedded ledger.
const KEY_FILE: &str = "emcee.key";

/// The file that the emcee's key is in; `None` if it was set by value, or is nobody's here.
pub fn key_file(settings: &EmceeSettings, beside: Option<&Path>) -> Option<PathBuf> {
    match (settings.key.expose_secret(), settings.key_file.as_str()) {
        ("", "") => beside.map(|folder| folder.join(KEY_FILE)),
        ("", file) => Some(file.into()),
        _ => None,
    }
}

/// The emcee's key and the signing secret: as set, or made once beside an embedded ledger.
pub fn auth(settings: &Settings, beside: Option<&Path>) -> anyhow::Result<Auth> {
    let key = configured(&settings.emcee.key, &settings.emcee.key_file)?;
    let secret = configured(&settings.server.secret, &settings.server.secret_file)?;
    let key = match (key, beside) {
        (Some(key), _) => key,
        (None, Some(folder)) => kept(&folder.join(KEY_FILE))?,
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

/// The chat's webhook, if there is one.
///
/// # Errors
/// Its file cannot be read, or it is no URL.
pub fn webhook(settings: &JobSettings) -> anyhow::Result<Option<SecretString>> {
    let url = configured(&settings.webhook_url, &settings.webhook_url_file)?;
    if let Some(url) = &url
        && !["http://", "https://"].iter().any(|scheme| url.expose_secret().starts_with(scheme))
    {
        // it is a secret, so it is not said
        bail!("settings: jobs.webhook_url must be http://… or https://…");
    }
    Ok(url)
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

/// A secret made once and kept in a file that only its owner can read.
fn kept(path: &Path) -> anyhow::Result<SecretString> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned().into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
    let secret = made();
    crate::atomic_file::replace(path, secret.as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(secret.into())
}

/// 160 random bits in letters and digits that can be read out.
fn made() -> String {
    RoomId::from_entropy(rand::random()).to_string() + RoomId::from_entropy(rand::random()).as_str()
}
