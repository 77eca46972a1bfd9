//! Rows 4 to 7: votes stored and answered. Row 11: the same in the embedded ledger. Row 15: with traces.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::trials::{in_turn, middle};
use crate::lab::{Aof, Deployment, Lab, Store};
use crate::measuring::{CASTS_PER_ROUND, Crowd, Dialect, Votes};
use crate::procs::{Meter, SERVER_CORE};
use crate::table::{FLOOR, Limit, Row};

/// Casts of each voter at the beginning of a round that are not measured.
pub(super) const WARM: u32 = 1;
const SOCKETIO_REDIS: &str = "Socket.IO + ioredis";
const REDIS_ALWAYS: &str = "Redis, AOF always";

/// The size of a measure.
#[derive(Clone, Copy)]
struct Drive {
    voters: usize,
    /// Rounds; each voter casts [`CASTS_PER_ROUND`] votes in each.
    rounds: usize,
}

/// The result of one trial.
struct Trial {
    cpu_us: f64,
    redis_us: f64,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Casts of a commit, on average.
    batch: f64,
    ack_bytes: f64,
    /// Share of the server's core, and the measuring client's share of the other one.
    busy: f64,
    client_busy: f64,
}

/// Rows 4 and 5.
pub fn committed(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let voters = lab.count(1_000);
    let (ours, slow) = (Drive { voters, rounds: 20 }, Drive { voters, rounds: 8 });
    let [always, everysec, floor, socketio] = &in_turn(
        lab,
        [
            (REDIS_ALWAYS, &|| tallycast(lab, Store::Redis(Aof::Always), ours)),
            ("Redis, AOF everysec", &|| tallycast(lab, Store::Redis(Aof::EverySecond), ours)),
            (FLOOR, &|| floor(lab, ours)),
            (SOCKETIO_REDIS, &|| socketio(lab, slow)),
        ],
    )?;
    let cpu = |trials: &[Trial]| middle(trials, |trial| trial.cpu_us);
    lab.note("vote_us", cpu(always));
    lab.note("cast_bytes", (Dialect::floor().vote)(0, (1, 5)).len() as f64 + 6.0);
    lab.note("ack_bytes", middle(always, |trial| trial.ack_bytes) + 2.0);
    let row = |name: &str, ours: &[Trial]| {
        let name = format!("a vote committed and answered, CPU, {voters} voters closed loop, {name}");
        let note = format!(
            "p50 {:.1} ms, p99 {:.1} ms with every voter waiting; {:.0} casts a commit",
            middle(ours, |trial| trial.p50_ms),
            middle(ours, |trial| trial.p99_ms),
            middle(ours, |trial| trial.batch)
        );
        let row = Row::new(4, name, "µs", cpu(ours)).beside(FLOOR, cpu(floor)).beside(SOCKETIO_REDIS, cpu(socketio));
        row.note(note)
    };
    let limits = |floor, socketio| [Limit::most(floor).times(FLOOR), Limit::most(socketio).times(SOCKETIO_REDIS)];
    report(row("AOF always", always).must(limits(2.0, 1.0 / 4.0)).aim(limits(1.5, 1.0 / 6.0)));
    report(row("AOF everysec", everysec));

    let per_core = |trials: &[Trial]| 1e6 / cpu(trials);
    let note = format!(
        "by CPU; by the clock {:.0} at {:.0} % of the core, with the client at {:.0} % of the other beside Redis; \
         Socket.IO {:.0} at {:.0} %",
        middle(always, |trial| trial.rate),
        middle(always, |trial| trial.busy * 100.0),
        middle(always, |trial| trial.client_busy * 100.0),
        middle(socketio, |trial| trial.rate),
        middle(socketio, |trial| trial.busy * 100.0),
    );
    let row = Row::new(5, "committed votes per second and server core", "/s", per_core(always));
    let row = row.beside(SOCKETIO_REDIS, per_core(socketio)).note(note);
    report(row.must([Limit::least(4.0).times(SOCKETIO_REDIS)]).aim([Limit::least(6.0).times(SOCKETIO_REDIS)]));
    Ok(())
}

/// Row 6.
pub fn in_redis(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let drive = Drive { voters: lab.count(5_000), rounds: 6 };
    let [everysec, always] = &in_turn(
        lab,
        [
            ("AOF everysec", &|| tallycast(lab, Store::Redis(Aof::EverySecond), drive)),
            ("AOF always", &|| tallycast(lab, Store::Redis(Aof::Always), drive)),
        ],
    )?;
    let redis = |trials: &[Trial]| middle(trials, |trial| trial.redis_us);
    lab.note("redis_vote_us_everysec", redis(everysec));
    lab.note("redis_vote_us_always", redis(always));
    for (word, trials, must, aim) in [("everysec", everysec, 1.6, 1.2), ("always", always, 2.4, 1.8)] {
        let name = format!("Redis CPU per vote at saturation, {} voters, AOF {word}", drive.voters);
        let batch = middle(trials, |trial| trial.batch);
        let note = format!("{batch:.0} casts a commit; {:.0} votes a second", middle(trials, |trial| trial.rate));
        report(Row::new(6, name, "µs", redis(trials)).must([Limit::most(must)]).aim([Limit::most(aim)]).note(note));
    }
    Ok(())
}

/// Row 7.
pub fn of_fifty(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let drive = Drive { voters: 50, rounds: 60 };
    let [ours, socketio] = &in_turn(
        lab,
        [
            (REDIS_ALWAYS, &|| tallycast(lab, Store::Redis(Aof::Always), drive)),
            (SOCKETIO_REDIS, &|| socketio(lab, drive)),
        ],
    )?;
    let [p50, p99]: [fn(&Trial) -> f64; 2] = [|trial| trial.p50_ms, |trial| trial.p99_ms];
    let rate = |trials| middle(trials, |trial: &Trial| trial.rate);
    let note = format!("{:.0} votes a second, Socket.IO {:.0}", rate(ours), rate(socketio));
    let row = Row::new(7, "ack p50 with 50 voters, AOF always", "ms", middle(ours, p50));
    report(row.beside("Socket.IO without AOF", middle(socketio, p50)).note(note));
    let row = Row::new(7, "ack p99 with 50 voters, AOF always", "ms", middle(ours, p99));
    let row = row.beside("Socket.IO without AOF", middle(socketio, p99));
    let most = |factor: f64| Limit::most(factor).times("Socket.IO without AOF");
    report(row.must([most(1.0 / 4.0)]).aim([most(1.0 / 8.0)]));
    Ok(())
}

/// Row 11.
pub fn embedded(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    for voters in [1_000, 5_000].map(|voters| lab.count(voters)) {
        let drive = Drive { voters, rounds: 8 };
        let [file, redis] = &both_ledgers(lab, drive)?;
        let rate = |trials| middle(trials, |trial: &Trial| trial.rate);
        let note = format!(
            "{:.1} µs of CPU a vote; {:.0} casts a commit",
            middle(file, |trial| trial.cpu_us),
            middle(file, |trial| trial.batch)
        );
        let name = format!("embedded ledger: committed votes, {voters} voters closed loop");
        let row = Row::new(11, name, "/s", rate(file)).beside(REDIS_ALWAYS, rate(redis)).note(note);
        report(row.must([Limit::least(50_000.0)]).aim([Limit::least(1.0).times(REDIS_ALWAYS)]));
    }
    let [file, redis] = &both_ledgers(lab, Drive { voters: 50, rounds: 60 })?;
    let p99 = |trials| middle(trials, |trial: &Trial| trial.p99_ms);
    let note = format!("p50 {:.2} ms", middle(file, |trial| trial.p50_ms));
    let row = Row::new(11, "embedded ledger: ack p99 with 50 voters", "ms", p99(file)).beside(REDIS_ALWAYS, p99(redis));
    report(row.must([Limit::most(15.0)]).aim([Limit::most(1.0).times(REDIS_ALWAYS)]).note(note));
    Ok(())
}

fn both_ledgers(lab: &Lab, drive: Drive) -> Result<[Vec<Trial>; 2]> {
    in_turn(
        lab,
        [
            ("embedded", &|| tallycast(lab, Store::Embedded, drive)),
            (REDIS_ALWAYS, &|| tallycast(lab, Store::Redis(Aof::Always), drive)),
        ],
    )
}

/// Row 15.
pub fn traced(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let drive = Drive { voters: lab.count(1_000), rounds: 20 };
    let collector = Collector::start()?;
    let to = |sample| [("TALLYCAST__TRACES__ENDPOINT", collector.url.as_str()), ("TALLYCAST__TRACES__SAMPLE", sample)];
    let with = |settings: &[(&str, &str)]| tallycast_with(lab, Store::Redis(Aof::Always), drive, settings);
    let before = collector.requests.load(Ordering::Relaxed);
    let [off, on] = &in_turn(lab, [("traces off", &|| with(&[])), ("1 % traced", &|| with(&to("0.01")))])?;
    ensure!(collector.requests.load(Ordering::Relaxed) > before, "the collector received nothing");
    let cpu = |trials: &[Trial]| middle(trials, |trial| trial.cpu_us);
    let name = format!("a vote committed and answered, CPU, {} voters closed loop, 1 % traced", drive.voters);
    let note = format!("p99 {:.1} ms, without traces {:.1} ms", middle(on, |t| t.p99_ms), middle(off, |t| t.p99_ms));
    let row = Row::new(15, name, "µs", cpu(on)).beside("traces off", cpu(off)).note(note);
    report(row.must([Limit::most(1.05).times("traces off")]));
    Ok(())
}

/// A collector that discards every span.
struct Collector {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Collector {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (url, requests) = (format!("http://{}", listener.local_addr()?), Arc::new(AtomicUsize::new(0)));
        let counted = requests.clone();
        // ends with the process
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                std::thread::spawn(move || collect(stream, &counted));
            }
        });
        Ok(Self { url, requests })
    }
}

/// Answers requests until the connection ends.
fn collect(stream: TcpStream, requests: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink())?;
        requests.fetch_add(1, Ordering::Relaxed);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

fn tallycast(lab: &Lab, store: Store, drive: Drive) -> Result<Trial> {
    tallycast_with(lab, store, drive, &[])
}

fn tallycast_with(lab: &Lab, store: Store, drive: Drive, settings: &[(&str, &str)]) -> Result<Trial> {
    let deployment = lab.deploy_with(store, 1, SERVER_CORE, settings)?;
    let mut hall = deployment.pod().hall(drive.voters, drive.rounds, CASTS_PER_ROUND)?;
    let crowd = Crowd::connect(&deployment.ports(), hall.dialect(), drive.voters)?;
    let mut pids = vec![deployment.pod().pid()];
    pids.extend(deployment.redis.as_ref().map(|redis| redis.pid()));
    let before = batches(&deployment)?;
    let trial = run(crowd, drive, &pids, || hall.open_next())?;
    let after = batches(&deployment)?;
    Ok(Trial { batch: (after.0 - before.0) / (after.1 - before.1), ..trial })
}

/// Number of casts and of commits so far.
fn batches(deployment: &Deployment) -> Result<(f64, f64)> {
    let pod = deployment.pod();
    Ok((pod.metric("tallycast_batch_casts_sum")?, pod.metric("tallycast_batch_casts_count")?))
}

fn floor(lab: &Lab, drive: Drive) -> Result<Trial> {
    let reference = lab.floor(1)?;
    let crowd = Crowd::connect(&[reference.port], Dialect::floor(), drive.voters)?;
    run(crowd, drive, &[reference.pid], || Ok(()))
}

fn socketio(lab: &Lab, drive: Drive) -> Result<Trial> {
    let redis = lab.redis(Aof::Off)?;
    let reference = lab.socketio(1, Some(&redis))?;
    let crowd = Crowd::connect(&[reference.port], Dialect::socketio(), drive.voters)?;
    run(crowd, drive, &[reference.pid, redis.pid()], || Ok(()))
}

/// Casts every round's votes and measures all but the first. `pids` are the server and its Redis.
fn run(mut crowd: Crowd, drive: Drive, pids: &[u32], mut next_round: impl FnMut() -> Result<()>) -> Result<Trial> {
    // the measuring client comes last
    let pids = [pids, &[std::process::id()]].concat();
    let mut used = vec![0.0; pids.len()];
    let mut votes = Votes::default();
    for _ in 0..drive.rounds {
        next_round()?;
        // every connection receives the new state before the measurement starts
        crowd.listen(Duration::from_millis(300))?;
        crowd.closed_loop(WARM)?;
        let meter = Meter::start(&pids)?;
        let measured = crowd.closed_loop(CASTS_PER_ROUND - WARM)?;
        used.iter_mut().zip(meter.read()?).for_each(|(sum, us)| *sum += us);
        votes.add(&measured);
    }
    let count = votes.count as f64;
    let share = |us: f64| us / 1e6 / votes.wall.as_secs_f64();
    let client = used.pop().unwrap_or_default();
    Ok(Trial {
        cpu_us: used[0] / count,
        redis_us: used.get(1).map_or(0.0, |us| us / count),
        rate: votes.rate(),
        p50_ms: votes.ms(50.0),
        p99_ms: votes.ms(99.0),
        batch: f64::NAN,
        ack_bytes: votes.ack_bytes as f64 / count,
        busy: share(used[0]),
        client_busy: share(client),
    })
}
