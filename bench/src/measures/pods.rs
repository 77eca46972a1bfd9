//! Row 12: the cost of more pods on one Redis. All pods share one core, so their CPU time adds up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::fan_out::TALLY_EVERY;
use super::trials::{in_turn, middle};
use super::votes::WARM;
use crate::lab::{Aof, Lab, Redis, Store};
use crate::measuring::{CASTS_PER_ROUND, Crowd, MAX_CASTS_PER_ROUND};
use crate::procs::Meter;
use crate::table::{Limit, Row};

const PODS: [usize; 3] = [1, 2, 4];
/// Rounds of measured votes.
const ROUNDS: usize = 10;
/// Voters while publishes are counted, and the time between two casts of each: a thousand votes per second.
const CASTERS: usize = 200;
const CAST_EVERY: Duration = Duration::from_millis(200);

struct Trial {
    vote_us: f64,
    /// Casts of a commit.
    batch: f64,
    frame_us: f64,
    /// Messages on the room's channel, with a thousand votes per second.
    publishes_per_s: f64,
    publish_bytes: f64,
    /// PUBLISH calls of all kinds in the same time.
    publish_calls_per_s: f64,
}

/// Row 12.
pub fn level(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let trials =
        in_turn(lab, [("1 pod", &|| trial(lab, 1)), ("2 pods", &|| trial(lab, 2)), ("4 pods", &|| trial(lab, 4))])?;
    let mut level = |what: &str, figure: fn(&Trial) -> f64| {
        let one = middle(&trials[0], figure);
        for (pods, trials) in PODS.iter().zip(&trials).skip(1) {
            let row = Row::new(12, format!("{what}, {pods} pods on one Redis"), "µs", middle(trials, figure));
            let note = format!("{:.0} casts a commit", middle(trials, |trial| trial.batch));
            report(row.beside("1 pod", one).must([Limit::most(1.1).times("1 pod")]).note(note));
        }
    };
    level("CPU per vote", |trial| trial.vote_us);
    level("CPU per delivered frame", |trial| trial.frame_us);
    for (pods, trials) in PODS.iter().zip(&trials) {
        let name = format!("publishes per second and room while votes come, pods: {pods}");
        let row = Row::new(12, name, "/s", middle(trials, |trial| trial.publishes_per_s));
        let calls = middle(trials, |trial| trial.publish_calls_per_s);
        report(row.must([Limit::most(20.0)]).note(format!("{calls:.0} PUBLISH calls per second in all, with beacons")));
    }
    lab.note("publish_bytes", middle(&trials[0], |trial| trial.publish_bytes));
    Ok(())
}

fn trial(lab: &Lab, pods: usize) -> Result<Trial> {
    let deployment = lab.deploy(Store::Redis(Aof::Always), pods)?;
    let pids = deployment.pids();
    let sum = |meter: &Meter| meter.read().map(|each| each.iter().sum::<f64>());

    let voters = lab.count(2_000);
    let mut hall = deployment.pod().hall(voters, ROUNDS, CASTS_PER_ROUND)?;
    let mut crowd = Crowd::connect(&deployment.ports(), hall.dialect(), voters)?;
    let (mut used, mut votes) = (0.0, 0);
    for _ in 0..ROUNDS {
        hall.open_next()?;
        // every connection receives the new state before the measurement starts
        crowd.listen(Duration::from_millis(300))?;
        crowd.closed_loop(WARM)?;
        let meter = Meter::start(&pids)?;
        votes += crowd.closed_loop(CASTS_PER_ROUND - WARM)?.count;
        used += sum(&meter)?;
    }
    let vote_us = used / votes as f64;
    let sum_of = |series: &str| deployment.pods.iter().map(|pod| pod.metric(series)).sum::<Result<f64>>();
    let batch = sum_of("tallycast_batch_casts_sum")? / sum_of("tallycast_batch_casts_count")?;
    drop(crowd);

    let viewers = lab.count(4_000);
    let mut hall = deployment.pod().hall(viewers, 1, MAX_CASTS_PER_ROUND)?;
    hall.open_next()?;
    let mut crowd = Crowd::connect(&deployment.ports(), hall.dialect(), viewers)?;
    crowd.fan_out(TALLY_EVERY, Duration::from_secs(1))?;
    let meter = Meter::start(&pids)?;
    let fan = crowd.fan_out(TALLY_EVERY, lab.length(5.0))?;
    let frame_us = sum(&meter)? / fan.frames as f64;

    let listener = Listener::open(deployment.redis(), &format!("tc:gates:{}", hall.id))?;
    let publish_calls = || deployment.redis().info("commandstats", "cmdstat_publish");
    let calls = publish_calls()?;
    let end = Instant::now() + lab.length(5.0);
    crowd.paced(lab.count(CASTERS), CAST_EVERY, || Instant::now() < end)?;
    let counted = listener.close()?;
    let publish_calls_per_s = (publish_calls()? - calls) / counted.wall.as_secs_f64();

    Ok(Trial {
        vote_us,
        batch,
        frame_us,
        publishes_per_s: counted.messages as f64 / counted.wall.as_secs_f64(),
        publish_bytes: counted.bytes as f64 / counted.messages as f64,
        publish_calls_per_s,
    })
}

/// Counts the messages of a channel.
struct Listener {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Counted>>,
}

struct Counted {
    messages: u64,
    bytes: u64,
    wall: Duration,
}

impl Listener {
    fn open(redis: &Redis, channel: &str) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut connection = redis::Client::open(redis.url())?.get_connection()?;
        connection.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (told, channel) = (stop.clone(), channel.to_owned());
        let thread = std::thread::spawn(move || {
            let mut pubsub = connection.as_pubsub();
            pubsub.subscribe(channel)?;
            let began = Instant::now();
            let mut counted = Counted { messages: 0, bytes: 0, wall: Duration::ZERO };
            while !told.load(Ordering::Relaxed) {
                match pubsub.get_message() {
                    Ok(message) => {
                        counted.messages += 1;
                        counted.bytes += message.get_payload_bytes().len() as u64;
                    }
                    Err(error) if error.is_timeout() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            counted.wall = began.elapsed();
            Ok(counted)
        });
        Ok(Self { stop, thread })
    }

    fn close(self) -> Result<Counted> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the thread that counts messages has failed")?
    }
}
