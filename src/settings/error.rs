//! The error of settings.

use std::fmt;

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or variable cannot be read, has an unknown key, or a value of the wrong type.
    #[error("settings: {0}")]
    Unreadable(#[from] config::ConfigError),
    /// A value out of range. The text names key, limit and value.
    #[error("settings: {0}")]
    OutOfRange(String),
}

/// The error for a value outside its limit.
pub fn out_of_range(key: &str, limit: impl fmt::Display, value: impl fmt::Display) -> SettingsError {
    SettingsError::OutOfRange(format!("{key} {limit}, not \"{value}\""))
}
