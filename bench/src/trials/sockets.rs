//! What connections cost: memory, CPU time without activity, and CPU time when everybody connects at once.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use super::contest::Figures;
use crate::lab::{Contender, Lab};
use crate::measuring::CASTS_PER_ROUND;
use crate::usage::{Meter, kernel_object_bytes, resident_bytes};

/// Time for work after the last hello or the last socket: presence, allocators that return memory.
const SETTLE: Duration = Duration::from_secs(2);
/// Voters who join over HTTP, for `loadtest plan`.
const JOINERS: usize = 300;

/// Memory of a voter, with a ballot if the contender stores ballots; and CPU time of voters who do nothing.
pub fn memory(lab: &Lab, mut contender: Contender) -> Result<Figures> {
    contender.open_next()?;
    let server = &contender.servers[0];
    let before = (resident_bytes(server)?, kernel_object_bytes()?, contender.redis_bytes()?);
    let mut crowd = contender.connect()?;
    crowd.listen(SETTLE)?;
    let joined = (kernel_object_bytes()?, contender.redis_bytes()?);
    let mut publish_bytes = f64::NAN;
    if let (Some(room), Some(redis)) = (&contender.room, &contender.redis) {
        let mut connection = redis::Client::open(redis.url("redis"))?.get_connection()?;
        connection.set_read_timeout(Some(SETTLE))?;
        let mut channel = connection.as_pubsub();
        channel.subscribe(format!("tc:gates:{}", room.id))?;
        crowd.closed_loop(CASTS_PER_ROUND)?;
        crowd.listen(SETTLE)?;
        publish_bytes = channel.get_message()?.get_payload_bytes().len() as f64;
    }
    let voted = (resident_bytes(server)?, contender.redis_bytes()?);

    let (meter, length) = (Meter::start(&contender.servers)?, lab.length(20.0));
    crowd.listen(length)?;
    let voters = contender.size.voters as f64;
    Ok(vec![
        ("voter_kib", (voted.0 - before.0) / 1024.0 / voters),
        // both ends of a connection are on this machine
        ("socket_kernel_bytes", (joined.0 - before.1) / 2.0 / voters),
        ("voter_redis_bytes", (joined.1 - before.2) / voters),
        ("ballot_redis_bytes", (voted.1 - joined.1) / voters),
        // the message by which pods hear of a commit
        ("publish_bytes", publish_bytes),
        // share of the core
        ("idle_percent", meter.us()? / 1e4 / length.as_secs_f64()),
    ])
}

/// CPU time of a voter when all connect at once, with the work right after the last hello. The first hello writes a voter
/// of Tallycast. So there is a second storm, and its figure counts.
pub fn storm(_: &Lab, mut contender: Contender) -> Result<Figures> {
    contender.open_next()?;
    let mut hello_us = 0.0;
    for _ in 0..if contender.room.is_some() { 2 } else { 1 } {
        let meter = Meter::start(&contender.servers)?;
        let mut crowd = contender.connect()?;
        crowd.listen(Duration::from_millis(200))?;
        hello_us = meter.us()? / contender.size.voters as f64;
        drop(crowd);
        std::thread::sleep(SETTLE);
    }
    let Some(room) = &contender.room else { return Ok(vec![("hello_us", hello_us)]) };
    let meter = Meter::start(&contender.servers)?;
    for number in 0..JOINERS {
        room.call(Method::POST, "join", &json!({"name": format!("Guest {number}")}))?;
    }
    Ok(vec![("hello_us", hello_us), ("join_us", meter.us()? / JOINERS as f64)])
}
