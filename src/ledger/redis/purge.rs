//! Removing keys of a room, found by a scan over all keys.

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::connections::Connections;
use crate::ledger::{LedgerError, SLICE};

/// Unlinks the keys that match a pattern and satisfy `is_removed`.
pub(super) async fn unlink_matching(
    connections: &Connections,
    pattern: &str,
    is_removed: impl Fn(&String) -> bool,
) -> Result<(), LedgerError> {
    let mut cursor = String::from("0");
    loop {
        // a call for each step: a large installation has more keys than one call has time for
        let (next, mut found) = connections.run(|redis| scan(redis, cursor, pattern.to_owned())).await?;
        found.retain(&is_removed);
        if !found.is_empty() {
            connections.change(|mut redis| async move { Ok(redis.unlink::<_, ()>(&found).await?) }).await?;
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// One step of a scan over all keys: the next cursor, and the matching keys.
pub(super) async fn scan(
    mut redis: MultiplexedConnection,
    cursor: String,
    pattern: String,
) -> Result<(String, Vec<String>), LedgerError> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SLICE);
    Ok(scan.query_async(&mut redis).await?)
}
