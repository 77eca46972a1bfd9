//! Whether Redis is there, takes writes, and keeps what it is told.

use std::collections::HashMap;

use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::keys::PROBE;
use super::link::Link;
use super::slow_log;
use crate::domain::LedgerMs;
use crate::ledger::{Health, LedgerError};

/// Settings without which an acknowledged vote may be lost, and what each must be.
const MUST_BE: [(&str, &str); 4] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("no-appendfsync-on-rewrite", "no"),
    ("maxmemory-policy", "noeviction"),
];

pub(super) async fn check(link: &Link) -> Result<Health, LedgerError> {
    link.run(|redis| async move {
        let (mut a, mut b, mut c) = (redis.clone(), redis.clone(), redis.clone());
        let names = MUST_BE.map(|(name, _)| name);
        // a write of nothing is refused for the same reasons as any other write: loading, read-only, disk, memory
        let mut probe = redis::cmd("SETRANGE");
        probe.arg(PROBE).arg(0).arg("");
        let mut settings = redis::cmd("CONFIG");
        settings.arg("GET").arg(&names);
        let (now, written, settings, slow) = tokio::join!(
            time(&mut a),
            probe.query_async::<()>(&mut b),
            settings.query_async::<HashMap<String, String>>(&mut c),
            slow_log::newest(redis.clone()),
        );
        let now = now?;
        written?;
        let unsafe_because = match settings {
            Ok(settings) => unsafe_settings(&settings).or_else(|| unsafe_failover(link)),
            Err(refused) if refused.code().is_some() => Some(unreadable(&refused)),
            Err(lost) => return Err(lost.into()),
        };
        // no change is answered without them, so nothing else is worth saying
        let unconfirmed = link.unconfirmed(&redis).await?.map(|said| format!("{said} (ledger.replicas)"));
        let unsafe_because = unconfirmed.or(unsafe_because);
        Ok(Health { now, unsafe_because, slow_log: slow? })
    })
    .await
}

/// The ledger's time.
pub(super) async fn time(redis: &mut MultiplexedConnection) -> Result<LedgerMs, RedisError> {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(redis).await?;
    Ok(seconds * 1_000 + micros / 1_000)
}

fn unreadable(refused: &RedisError) -> String {
    format!("redis does not tell its settings ({refused}), so nobody knows whether it keeps what it is told")
}

/// A server that another may replace must not be alone with what was acknowledged.
fn unsafe_failover(link: &Link) -> Option<String> {
    let alone = link.may_fail_over() && link.replicas() == 0;
    alone.then(|| "a failover may lose acknowledged votes: set ledger.replicas to 1 or more".to_owned())
}

fn unsafe_settings(settings: &HashMap<String, String>) -> Option<String> {
    let wrong = MUST_BE.iter().filter_map(|(name, must_be)| match settings.get(*name) {
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
        let mut settings: HashMap<_, _> = MUST_BE.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
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
