//! Rooms that go for good.

use redis::AsyncCommands;

use super::keys::{CODES, REFS, RoomKeys};
use super::link::Link;
use super::scripts;
use crate::domain::room::Room;
use crate::ledger::{LedgerError, SLICE};

/// Everything but the record and the jobs first: as long as those are there, whoever purges can begin again.
pub(super) async fn purge(link: &Link, room: &Room) -> Result<(), LedgerError> {
    let keys = RoomKeys(&room.id);
    let last = [keys.record(), keys.jobs(), keys.job_ids()];
    unlink_matching(link, &keys.pattern(), |key| !last.contains(key)).await?;
    link.change(|mut redis| async move {
        let mut release = scripts::RELEASE_CODE.key(CODES);
        release.key(REFS).arg(room.id.as_str()).arg(room.code.as_str());
        if let Some(reference) = &room.reference {
            release.arg(reference);
        }
        let () = release.invoke_async(&mut redis).await?;
        Ok(redis.unlink::<_, ()>(&last).await?)
    })
    .await
}

/// Unlinks the keys that match a pattern and are meant.
pub(super) async fn unlink_matching(
    link: &Link,
    pattern: &str,
    is_meant: impl Fn(&String) -> bool,
) -> Result<(), LedgerError> {
    let mut cursor = String::from("0");
    loop {
        // a call for each step: a large installation has more keys than one call has time for
        let (next, mut found) = link.run(|redis| scan(redis, cursor, pattern.to_owned())).await?;
        found.retain(&is_meant);
        if !found.is_empty() {
            link.change(|mut redis| async move { Ok(redis.unlink::<_, ()>(&found).await?) }).await?;
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// One step through all keys that fit.
pub(super) async fn scan(
    mut redis: redis::aio::MultiplexedConnection,
    cursor: String,
    pattern: String,
) -> Result<(String, Vec<String>), LedgerError> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SLICE);
    Ok(scan.query_async(&mut redis).await?)
}
