//! The rows of the table: contenders, figures and limits. What the figures mean: `method.md`.

use anyhow::{Result, ensure};

use crate::lab::{Kind, Lab, Size, Store};
use crate::measuring::{CASTS_PER_ROUND, Dialect, TALLY_BYTES};
use crate::record::Record;
use crate::row::{Limit, Row};
use crate::trials::{self, Medians, contest};

const ALWAYS: Kind = Kind::Tallycast(Store::RedisAlways, 1);
const EVERY_SECOND: Kind = Kind::Tallycast(Store::RedisEverySecond, 1);
const EMBEDDED: Kind = Kind::Tallycast(Store::Embedded, 1);

const TALLYCAST: &str = "Tallycast";
const REDIS_ALWAYS: &str = "Redis, AOF always";
const REDIS_EVERY_SECOND: &str = "Redis, AOF everysec";
const FLOOR: &str = "floor";
const FLOOR_BARE: &str = "floor, bare";
const SOCKETIO: &str = "Socket.IO";
const SOCKETIO_BARE: &str = "Socket.IO, bare";
const SOCKETIO_REDIS: &str = "Socket.IO + ioredis";
const SOCKETIO_WITHOUT_AOF: &str = "Socket.IO without AOF";

/// Row 1.
pub fn to_a_thousand(lab: &Lab, record: &mut Record) -> Result<()> {
    tally(lab, record, 1, lab.count(1_000), 0.55, 1.05).map(drop)
}

/// Rows 2 and 3.
pub fn to_ten_thousand(lab: &Lab, record: &mut Record) -> Result<()> {
    let viewers = lab.count(10_000);
    let medians = tally(lab, record, 2, viewers, 0.40, 1.03)?;
    record.note("frame_us", medians.of(TALLYCAST, "frame_us"));
    record.note("frame_bytes", framed(medians.of(TALLYCAST, "text_bytes")));
    let name = format!("one tally to {viewers} viewers, first to last, p50");
    record.put(&Row {
        must: &[Limit::MaxTimes(1.2, FLOOR)],
        aim: &[Limit::MaxTimes(1.05, FLOOR)],
        ..medians.row(3, name, "spread_ms", &[TALLYCAST, FLOOR, SOCKETIO])
    });
    Ok(())
}

/// Rows 1 and 2. The limits are multiples of Socket.IO, which must be kept, and of the floor, which are a goal.
fn tally(lab: &Lab, record: &mut Record, number: u8, viewers: usize, must: f64, aim: f64) -> Result<Medians> {
    let contenders = [(TALLYCAST, ALWAYS), (FLOOR, Kind::Floor), (SOCKETIO, Kind::SocketIo)];
    let medians = contest(lab, Size { voters: viewers, rounds: 1 }, &contenders, trials::fan_out)?;
    let ours = |figure| medians.of(TALLYCAST, figure);
    let socketio = |figure| medians.of(SOCKETIO, figure);
    let bytes = ours("text_bytes");
    let is_fair = (bytes - TALLY_BYTES as f64).abs() < 8.0;
    ensure!(is_fair, "a tally has {bytes:.0} bytes: set TALLY_BYTES, so that the others send as many");
    let name = format!("fan-out of a tally, CPU per delivered frame, {viewers} viewers");
    let (rate, busy) = (ours("frames_per_s"), ours("busy_percent"));
    record.put(&Row {
        must: &[Limit::MaxTimes(1.15, FLOOR), Limit::MaxTimes(must, SOCKETIO)],
        aim: &[Limit::MaxTimes(aim, FLOOR)],
        note: format!(
            "texts of {bytes:.0} bytes; {rate:.0} frames a second at {busy:.0} % of the core, Socket.IO {:.0} at \
             {:.0} %; {:.0} tallies did not reach every viewer",
            socketio("frames_per_s"),
            socketio("busy_percent"),
            ours("partial_tallies"),
        ),
        ..medians.row(number, name, "frame_us", &[TALLYCAST, FLOOR, SOCKETIO])
    });
    Ok(medians)
}

/// Rows 4 and 5.
pub fn committed(lab: &Lab, record: &mut Record) -> Result<()> {
    let voters = lab.count(1_000);
    let contenders = [
        (REDIS_ALWAYS, ALWAYS),
        (REDIS_EVERY_SECOND, EVERY_SECOND),
        (FLOOR, Kind::Floor),
        (SOCKETIO_REDIS, Kind::SocketIoRedis),
    ];
    let medians = contest(lab, Size { voters, rounds: 20 }, &contenders, trials::votes)?;
    let ours = |figure| medians.of(REDIS_ALWAYS, figure);
    let cast = (Dialect::tallycast("", &[], CASTS_PER_ROUND).vote)(0, (1, 5));
    record.note("vote_us", ours("vote_us"));
    // with a mask of four bytes
    record.note("cast_bytes", framed(cast.len() as f64) + 4.0);
    record.note("ack_bytes", framed(ours("ack_bytes")));

    let row = |setting, ours| {
        let of = |figure| medians.of(ours, figure);
        let (p50, p99, batch) = (of("p50_ms"), of("p99_ms"), of("casts_per_commit"));
        let name = format!("a vote committed and answered, CPU, {voters} voters closed loop, {setting}");
        Row {
            note: format!("p50 {p50:.1} ms, p99 {p99:.1} ms with every voter waiting; {batch:.0} casts a commit"),
            ..medians.row(4, name, "vote_us", &[ours, FLOOR, SOCKETIO_REDIS])
        }
    };
    record.put(&Row {
        must: &[Limit::MaxTimes(2.0, FLOOR), Limit::MaxTimes(1.0 / 4.0, SOCKETIO_REDIS)],
        aim: &[Limit::MaxTimes(1.5, FLOOR), Limit::MaxTimes(1.0 / 6.0, SOCKETIO_REDIS)],
        ..row("AOF always", REDIS_ALWAYS)
    });
    record.put(&row("AOF everysec", REDIS_EVERY_SECOND));

    let [ours, socketio] = [REDIS_ALWAYS, SOCKETIO_REDIS].map(|contender| {
        let (rate, busy) = (medians.of(contender, "votes_per_s"), medians.of(contender, "busy_percent"));
        format!("{rate:.0} at {busy:.0} %")
    });
    let name = "committed votes per second and server core".to_owned();
    record.put(&Row {
        must: &[Limit::MinTimes(4.0, SOCKETIO_REDIS)],
        aim: &[Limit::MinTimes(6.0, SOCKETIO_REDIS)],
        note: format!("by CPU; by the clock {ours} of the core, Socket.IO {socketio}"),
        ..medians.row(5, name, "votes_per_core_per_s", &[REDIS_ALWAYS, SOCKETIO_REDIS])
    });
    Ok(())
}

/// Row 6.
pub fn in_redis(lab: &Lab, record: &mut Record) -> Result<()> {
    let voters = lab.count(5_000);
    let contenders = [("everysec", EVERY_SECOND), ("always", ALWAYS)];
    let medians = contest(lab, Size { voters, rounds: 6 }, &contenders, trials::votes)?;
    record.note("redis_vote_us_everysec", medians.of("everysec", "redis_vote_us"));
    record.note("redis_vote_us_always", medians.of("always", "redis_vote_us"));
    for (setting, must, aim) in [("everysec", 1.6, 1.2), ("always", 2.4, 1.8)] {
        let (batch, rate) = (medians.of(setting, "casts_per_commit"), medians.of(setting, "votes_per_s"));
        let name = format!("Redis CPU per vote at saturation, {voters} voters, AOF {setting}");
        record.put(&Row {
            must: &[Limit::Max(must)],
            aim: &[Limit::Max(aim)],
            note: format!("{batch:.0} casts a commit; {rate:.0} votes a second"),
            ..medians.row(6, name, "redis_vote_us", &[setting])
        });
    }
    Ok(())
}

/// Row 7.
pub fn of_fifty(lab: &Lab, record: &mut Record) -> Result<()> {
    let contenders = [(TALLYCAST, ALWAYS), (SOCKETIO_WITHOUT_AOF, Kind::SocketIoRedis)];
    let medians = contest(lab, Size { voters: 50, rounds: 60 }, &contenders, trials::votes)?;
    let names = contenders.map(|(name, _)| name);
    let [ours, socketio] = names.map(|name| medians.of(name, "votes_per_s"));
    record.put(&Row {
        note: format!("{ours:.0} votes a second, Socket.IO {socketio:.0}"),
        ..medians.row(7, "ack p50 with 50 voters, AOF always".to_owned(), "p50_ms", &names)
    });
    record.put(&Row {
        must: &[Limit::MaxTimes(1.0 / 4.0, SOCKETIO_WITHOUT_AOF)],
        aim: &[Limit::MaxTimes(1.0 / 8.0, SOCKETIO_WITHOUT_AOF)],
        ..medians.row(7, "ack p99 with 50 voters, AOF always".to_owned(), "p99_ms", &names)
    });
    Ok(())
}

/// Row 8.
pub fn memory(lab: &Lab, record: &mut Record) -> Result<()> {
    let voters = lab.count(10_000);
    let contenders = [(TALLYCAST, ALWAYS), (SOCKETIO_BARE, Kind::SocketIo)];
    let medians = contest(lab, Size { voters, rounds: 1 }, &contenders, trials::memory)?;
    let ours = |figure| medians.of(TALLYCAST, figure);
    record.note("voter_bytes", ours("voter_kib") * 1024.0);
    record.note("idle_us_per_voter_s", ours("idle_percent") * 1e4 / voters as f64);
    for name in ["socket_kernel_bytes", "voter_redis_bytes", "ballot_redis_bytes", "publish_bytes"] {
        record.note(name, ours(name));
    }
    let name = format!("resident memory per joined voter with a ballot, {voters} voters");
    record.put(&Row {
        must: &[Limit::Max(8.0)],
        aim: &[Limit::Max(5.0)],
        ..medians.row(8, name, "voter_kib", &[TALLYCAST, SOCKETIO_BARE])
    });
    let name = format!("CPU of a server with {voters} joined voters who do nothing");
    record.put(&Row { must: &[Limit::Max(2.0)], ..medians.row(8, name, "idle_percent", &[TALLYCAST]) });
    Ok(())
}

/// Row 9.
pub fn storm(lab: &Lab, record: &mut Record) -> Result<()> {
    let voters = lab.count(10_000);
    let contenders = [(TALLYCAST, ALWAYS), (FLOOR_BARE, Kind::Floor), (SOCKETIO_BARE, Kind::SocketIo)];
    let medians = contest(lab, Size { voters, rounds: 1 }, &contenders, trials::storm)?;
    let join_us = medians.of(TALLYCAST, "join_us");
    record.note("hello_us", medians.of(TALLYCAST, "hello_us"));
    record.note("join_us", join_us);
    let name = format!("connect, hello and first state, CPU per voter in a storm of {voters}");
    record.put(&Row {
        must: &[Limit::Max(60.0), Limit::MaxTimes(0.25, SOCKETIO_BARE)],
        aim: &[Limit::Max(35.0)],
        note: format!("a join over HTTP before it: {join_us:.0} µs"),
        ..medians.row(9, name, "hello_us", &[TALLYCAST, FLOOR_BARE, SOCKETIO_BARE])
    });
    Ok(())
}

/// Row 10.
pub fn votes_meanwhile(lab: &Lab, record: &mut Record) -> Result<()> {
    let (viewers, casters) = (lab.count(10_000), lab.count(200));
    let medians = contest(lab, Size { voters: viewers, rounds: 1 }, &[(TALLYCAST, ALWAYS)], |lab, contender| {
        trials::votes_meanwhile(lab, contender, casters)
    })?;
    let ours = |figure| medians.of(TALLYCAST, figure);
    let (tallies, rate, p50, max) = (ours("tallies_per_s"), ours("votes_per_s"), ours("p50_ms"), ours("max_ms"));
    let name = format!("ack p99 of {casters} voters while tallies go to {viewers} viewers on the same core");
    record.put(&Row {
        must: &[Limit::Max(15.0)],
        aim: &[Limit::Max(5.0)],
        note: format!("{tallies:.1} tallies and {rate:.0} votes a second; p50 {p50:.1} ms, longest {max:.1} ms"),
        ..medians.row(10, name, "p99_ms", &[TALLYCAST])
    });
    Ok(())
}

/// Row 11.
pub fn embedded(lab: &Lab, record: &mut Record) -> Result<()> {
    let both = |size| contest(lab, size, &[(TALLYCAST, EMBEDDED), (REDIS_ALWAYS, ALWAYS)], trials::votes);
    for voters in [1_000, 5_000].map(|voters| lab.count(voters)) {
        let medians = both(Size { voters, rounds: 8 })?;
        let (cpu_us, batch) = (medians.of(TALLYCAST, "vote_us"), medians.of(TALLYCAST, "casts_per_commit"));
        let name = format!("embedded ledger: committed votes, {voters} voters closed loop");
        record.put(&Row {
            must: &[Limit::Min(50_000.0)],
            aim: &[Limit::MinTimes(1.0, REDIS_ALWAYS)],
            note: format!("{cpu_us:.1} µs of CPU a vote; {batch:.0} casts a commit"),
            ..medians.row(11, name, "votes_per_s", &[TALLYCAST, REDIS_ALWAYS])
        });
    }
    let medians = both(Size { voters: 50, rounds: 60 })?;
    let name = "embedded ledger: ack p99 with 50 voters".to_owned();
    record.put(&Row {
        must: &[Limit::Max(15.0)],
        aim: &[Limit::MaxTimes(1.0, REDIS_ALWAYS)],
        note: format!("p50 {:.2} ms", medians.of(TALLYCAST, "p50_ms")),
        ..medians.row(11, name, "p99_ms", &[TALLYCAST, REDIS_ALWAYS])
    });
    Ok(())
}

/// Row 12.
pub fn pods(lab: &Lab, record: &mut Record) -> Result<()> {
    let pods = |number| Kind::Tallycast(Store::RedisAlways, number);
    let contenders = [("1 pod", pods(1)), ("2 pods", pods(2)), ("4 pods", pods(4))];
    let votes = contest(lab, Size { voters: lab.count(2_000), rounds: 10 }, &contenders, trials::votes)?;
    let frames = contest(lab, Size { voters: lab.count(4_000), rounds: 1 }, &contenders, trials::fan_out)?;
    let figures = [("vote", "vote_us", &votes), ("delivered frame", "frame_us", &frames)];
    for (what, figure, medians) in figures {
        for pods in ["2 pods", "4 pods"] {
            let name = format!("CPU per {what}, {pods} on one Redis");
            record.put(&Row {
                must: &[Limit::MaxTimes(1.1, "1 pod")],
                note: format!("{:.0} casts a commit", votes.of(pods, "casts_per_commit")),
                ..medians.row(12, name, figure, &[pods, "1 pod"])
            });
        }
    }
    Ok(())
}

/// Row 13.
pub fn hundred_thousand_ballots(lab: &Lab, record: &mut Record) -> Result<()> {
    ranking(lab, record, lab.count(100_000), Limit::Max(1_000.0), Limit::Max(300.0))
}

/// Row 13.
pub fn million_ballots(lab: &Lab, record: &mut Record) -> Result<()> {
    ranking(lab, record, lab.count(1_000_000), Limit::Max(10_000.0), Limit::Max(3_000.0))
}

fn ranking(lab: &Lab, record: &mut Record, ballots: usize, must: Limit, aim: Limit) -> Result<()> {
    // the speed of storing does not matter here
    let medians = contest(lab, Size { voters: 50, rounds: 1 }, &[(TALLYCAST, EVERY_SECOND)], |_, contender| {
        trials::ranking(contender, ballots)
    })?;
    for (what, took, ack) in [("ranking", "ranking_ms", "ranking_ack_ms"), ("audit", "audit_ms", "audit_ack_ms")] {
        let name = format!("{what} of {ballots} ballots");
        record.put(&Row { must: &[must], aim: &[aim], ..medians.row(13, name.clone(), took, &[TALLYCAST]) });
        let name = format!("longest ack of 50 other voters during the {name}");
        record.put(&Row {
            must: &[Limit::Max(20.0)],
            note: format!("{:.1} ms without it", medians.of(TALLYCAST, "quiet_ack_ms")),
            ..medians.row(13, name, ack, &[TALLYCAST])
        });
    }
    Ok(())
}

/// Row 14.
pub fn ninety_thousand(lab: &Lab, record: &mut Record) -> Result<()> {
    let (errors, note) = trials::ninety_thousand(lab)?;
    let measure = "90,000 voters over five pods: errors and refusals".to_owned();
    record.put(&Row {
        number: 14,
        measure,
        figures: vec![(TALLYCAST, errors)],
        must: &[Limit::Max(0.0)],
        note,
        ..Row::default()
    });
    Ok(())
}

/// Length of a server's frame with a text of so many bytes.
fn framed(text_bytes: f64) -> f64 {
    text_bytes.round() + if text_bytes < 126.0 { 2.0 } else { 4.0 }
}
