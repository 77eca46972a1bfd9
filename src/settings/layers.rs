//! Where settings come from: the defaults in the binary, the files in `config`, the environment.

use std::collections::HashMap;

use config::{Config, ConfigError, Environment, File, FileFormat};

/// The default of every key. It is in the binary, so that the binary runs from any folder.
const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The defaults, the files in `config`, and the environment. A later layer overrides an earlier one.
///
/// # Errors
/// A file cannot be read or is not valid TOML.
pub fn all(mut environment: HashMap<String, String>) -> Result<Config, ConfigError> {
    let mut layers = Config::builder()
        .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
        .add_source(File::new("config/default", FileFormat::Toml).required(false));
    if let Some(stage) = environment.remove("TALLYCAST_STAGE").filter(|stage| !stage.is_empty()) {
        layers = layers.add_source(File::new(&format!("config/{stage}"), FileFormat::Toml));
    }
    layers.add_source(variables(environment)).build()
}

/// The defaults and the environment, without files.
///
/// # Errors
/// A variable is not valid.
pub fn without_files(environment: HashMap<String, String>) -> Result<Config, ConfigError> {
    let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    defaults.add_source(variables(environment)).build()
}

/// The environment as a layer.
fn variables(environment: HashMap<String, String>) -> Environment {
    // a short form counts only if its long form is not set
    let short = short_forms(&environment);
    let mut long: HashMap<String, String> =
        environment.into_iter().filter(|(name, _)| name.starts_with("TALLYCAST__")).collect();
    for (name, value) in short {
        long.entry(name.to_owned()).or_insert(value);
    }
    Environment::with_prefix("TALLYCAST").prefix_separator("__").separator("__").source(Some(long))
}

/// The long names of the short variables that are set, with their values.
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
