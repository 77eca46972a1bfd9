//! Redis' slow log: which commands took long, without their keys and values.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value, from_redis_value};

use super::scripts;
use crate::ledger::{LedgerError, SlowCommand, SlowLog, SlowSeen};

/// Most commands that are read: as many as base/redis/redis.conf lets Redis keep.
const MAX_COMMANDS: usize = 256;
/// The setting for the slow log: commands that take longer are logged, in µs; a negative number turns the log off.
const LONGER_THAN: &str = "slowlog-log-slower-than";
/// Error codes of a provider that does not allow a command.
const FORBIDDEN: [&str; 2] = ["ERR", "NOPERM"];

/// Reads the whole log. What the provider forbids is not an error but a reason in the result.
pub(super) async fn read(redis: MultiplexedConnection) -> Result<SlowLog, LedgerError> {
    let (mut a, mut b, mut c) = (redis.clone(), redis.clone(), redis);
    let (commands, server_run, longer_than) = tokio::join!(commands(&mut a), server_run(&mut b), longer_than(&mut c));
    let longer_than = unless_forbidden(longer_than)?.flatten();
    let (commands, unreadable_because) = match commands {
        Err(refused) if is_forbidden(&refused) => {
            (vec![], Some(format!("redis does not tell its slow log ({refused})")))
        }
        _ if longer_than.is_some_and(|micros| micros < 0) => {
            (vec![], Some(format!("redis keeps no slow log: its setting {LONGER_THAN} is negative")))
        }
        commands => (commands?, None),
    };
    let longer_than = longer_than.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros);
    let server_run = unless_forbidden(server_run)?.flatten();
    Ok(SlowLog { commands, server_run, longer_than, unreadable_because })
}

/// How far the log has come, without its commands: cheap enough to be read each second. `None` if the provider forbids
/// it.
pub(super) async fn newest(mut redis: MultiplexedConnection) -> Result<Option<SlowSeen>, RedisError> {
    let mut ask = redis::pipe();
    ask.cmd("SLOWLOG").arg("LEN").cmd("SLOWLOG").arg("GET").arg(1);
    let said = ask.query_async::<(u64, Vec<Vec<Value>>)>(&mut redis).await;
    let Some((entries, newest)) = unless_forbidden(said)? else { return Ok(None) };
    // an entry begins with its id
    let id = newest.into_iter().flatten().next().map(from_redis_value).transpose()?;
    Ok(Some(SlowSeen { newest: id, entries }))
}

fn is_forbidden(error: &RedisError) -> bool {
    error.code().is_some_and(|code| FORBIDDEN.contains(&code))
}

fn unless_forbidden<T>(answer: Result<T, RedisError>) -> Result<Option<T>, RedisError> {
    match answer {
        Err(refused) if is_forbidden(&refused) => Ok(None),
        answer => answer.map(Some),
    }
}

async fn commands(redis: &mut MultiplexedConnection) -> Result<Vec<SlowCommand>, RedisError> {
    let entries: Vec<Vec<Value>> = redis::cmd("SLOWLOG").arg("GET").arg(MAX_COMMANDS).query_async(redis).await?;
    let mut commands = vec![];
    for entry in entries {
        // from Redis 4 on the client follows after these four
        let [id, at, micros, words, ..] = entry.as_slice() else { continue };
        let words: Vec<Vec<u8>> = from_redis_value(words.clone())?;
        commands.push(SlowCommand {
            id: from_redis_value(id.clone())?,
            at: from_redis_value::<u64>(at.clone())? * 1_000,
            took: Duration::from_micros(from_redis_value(micros.clone())?),
            command: name(&words),
        });
    }
    Ok(commands)
}

async fn server_run(redis: &mut MultiplexedConnection) -> Result<Option<String>, RedisError> {
    let info: String = redis::cmd("INFO").arg("server").query_async(redis).await?;
    Ok(info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned()))
}

async fn longer_than(redis: &mut MultiplexedConnection) -> Result<Option<i64>, RedisError> {
    let settings: HashMap<String, i64> = redis::cmd("CONFIG").arg("GET").arg(LONGER_THAN).query_async(redis).await?;
    Ok(settings.get(LONGER_THAN).copied())
}

/// The name of a command, without its keys and values.
fn name(words: &[Vec<u8>]) -> String {
    let word = |n: usize| words.get(n).map(|word| String::from_utf8_lossy(word));
    let command = word(0).unwrap_or_default().to_ascii_uppercase();
    match (command.as_str(), word(1)) {
        ("EVALSHA", Some(hash)) => format!("{command} {}", scripts::name_of(&hash).unwrap_or("(unknown)")),
        _ => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(words: &[&str]) -> String {
        name(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_is_reported_by_name_without_keys_and_values() {
        assert_eq!(name_of(&["hgetall", "a-secret-key"]), "HGETALL");
        assert_eq!(name_of(&["EVALSHA", scripts::COMMIT.get_hash(), "1", "a-secret-key"]), "EVALSHA commit");
        assert_eq!(name_of(&["evalsha", "0123", "1", "secret"]), "EVALSHA (unknown)");
        assert_eq!(name_of(&[]), "");
    }
}
