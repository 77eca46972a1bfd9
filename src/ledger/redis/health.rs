//! Whether Redis answers, takes writes, and keeps what it stores.

use std::collections::HashMap;

use async_trait::async_trait;
use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::connections::Connections;
use super::keys::PROBE;
use super::ledger::RedisLedger;
use super::{scripts, slow_log};
use crate::domain::LedgerMs;
use crate::ledger::{Diagnostics, Health, LedgerError, SlowLog};

/// Settings that keep an acknowledged vote, with the value that each must have.
const REQUIRED_SETTINGS: [(&str, &str); 4] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("no-appendfsync-on-rewrite", "no"),
    ("maxmemory-policy", "noeviction"),
];

#[async_trait]
impl Diagnostics for RedisLedger {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        let ping = |mut redis: MultiplexedConnection| async move {
            Ok(redis::cmd("PING").query_async::<()>(&mut redis).await?)
        };
        self.connections.run(ping).await
    }

    async fn check(&self) -> Result<Health, LedgerError> {
        let has_all_rights = self.has_all_rights;
        let check = |redis: MultiplexedConnection| async move {
            let slow_log = async {
                if !has_all_rights {
                    return Ok(None);
                }
                match load_scripts(&mut redis.clone()).await {
                    // who may not, may have them loaded by somebody else
                    Err(refused) if refused.code().is_some() => tracing::debug!(%refused, "scripts cannot be loaded"),
                    loaded => loaded?,
                }
                slow_log::newest(redis.clone()).await
            };
            let (mut a, mut b, mut c) = (redis.clone(), redis.clone(), redis.clone());
            let names = REQUIRED_SETTINGS.map(|(name, _)| name);
            // an empty write is refused for the same reasons as any other: loading, read-only, disk, memory
            let mut probe = redis::cmd("SETRANGE");
            probe.arg(PROBE).arg(0).arg("");
            let mut settings = redis::cmd("CONFIG");
            settings.arg("GET").arg(&names);
            let (now, written, settings, slow) = tokio::join!(
                time(&mut a),
                probe.query_async::<()>(&mut b),
                settings.query_async::<HashMap<String, String>>(&mut c),
                slow_log,
            );
            let now = now?;
            written?;
            let unsafe_because = match settings {
                Ok(settings) => unsafe_settings(&settings).or_else(|| unsafe_failover(&self.connections)),
                Err(refused) if refused.code().is_some() => Some(unreadable(&refused)),
                Err(lost) => return Err(lost.into()),
            };
            // no change is acknowledged without the replicas, so this reason comes before all others
            let unconfirmed = self.connections.unconfirmed(&redis).await?;
            let unconfirmed = unconfirmed.map(|reason| format!("{reason} (ledger.replicas)"));
            Ok(Health { now, unsafe_because: unconfirmed.or(unsafe_because), slow_log: slow? })
        };
        self.connections.run(check).await
    }

    async fn slow_log(&self) -> Result<SlowLog, LedgerError> {
        self.connections.run(slow_log::read).await
    }
}

/// Loads the scripts that Redis does not have: after its start it has none.
async fn load_scripts(redis: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let scripts = scripts::all();
    let mut ask = redis::cmd("SCRIPT");
    ask.arg("EXISTS");
    for script in &scripts {
        ask.arg(script.get_hash());
    }
    let known: Vec<bool> = ask.query_async(redis).await?;
    for (script, _) in scripts.iter().zip(known).filter(|(_, is_known)| !is_known) {
        script.prepare_invoke().load_async(redis).await?;
    }
    Ok(())
}

/// The ledger's time.
pub(super) async fn time(redis: &mut MultiplexedConnection) -> Result<LedgerMs, RedisError> {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(redis).await?;
    Ok(seconds * 1_000 + micros / 1_000)
}

fn unreadable(refused: &RedisError) -> String {
    format!("redis does not tell its settings ({refused}), so it is unknown whether it keeps what it stores")
}

/// A server that can be replaced must not be the only one that holds acknowledged votes.
fn unsafe_failover(connections: &Connections) -> Option<String> {
    let alone = connections.may_fail_over() && connections.replicas() == 0;
    alone.then(|| "a failover may lose acknowledged votes: set ledger.replicas to 1 or more".to_owned())
}

fn unsafe_settings(settings: &HashMap<String, String>) -> Option<String> {
    let wrong = REQUIRED_SETTINGS.iter().filter_map(|(name, must_be)| match settings.get(*name) {
        Some(value) if value == must_be => None,
        Some(value) => Some(format!("redis setting {name} is {value}, and must be {must_be}")),
        None => Some(format!("redis does not tell its setting {name}, which must be {must_be}")),
    });
    let wrong: Vec<String> = wrong.collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: Option<(&str, Option<&str>)>) -> HashMap<String, String> {
        let mut settings: HashMap<_, _> =
            REQUIRED_SETTINGS.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        match change {
            Some((name, Some(value))) => drop(settings.insert(name.into(), value.into())),
            Some((name, None)) => drop(settings.remove(name)),
            None => {}
        }
        settings
    }

    #[test]
    fn a_setting_that_risks_votes_is_named_with_its_value_and_what_it_must_be() {
        assert_eq!(unsafe_settings(&settings(None)), None);
        let reason = unsafe_settings(&settings(Some(("appendfsync", Some("everysec"))))).unwrap();
        assert_eq!(reason, "redis setting appendfsync is everysec, and must be always");
        assert!(unsafe_settings(&settings(Some(("maxmemory-policy", None)))).is_some());
    }
}
