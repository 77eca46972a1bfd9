//! Starts contenders: the measured servers, each on its core and with empty data.

use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::measuring::{Crowd, Dialect, TALLY_BYTES};
use crate::options::Options;
use crate::room::{EMCEE_KEY, Room, SECRET};
use crate::server::{CLIENT_CORE, SERVER_CORE, Server};

/// Data of the servers. Writes to a disk are measured, and a temporary folder may be in memory.
const DATA: &str = "target/bench";
const SOCKETIO: &str = "bench/socketio";

/// Where a measured Tallycast stores votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A Redis of its own that writes to its disk before it answers.
    RedisAlways,
    /// A Redis of its own that writes to its disk once a second: a power cut loses what was acknowledged last.
    RedisEverySecond,
    /// A file.
    Embedded,
}

/// A kind of contender.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// So many pods with one store, all on the same core.
    Tallycast(Store, usize),
    /// The server that only moves bytes.
    Floor,
    /// Socket.IO, which answers votes at once.
    SocketIo,
    /// Socket.IO, which stores votes in a Redis of its own. That does not write to its disk.
    SocketIoRedis,
}

/// How large a measure is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Connections.
    pub voters: usize,
    /// Rounds of voting.
    pub rounds: usize,
}

/// A contender that runs: its servers, and the messages of their clients.
pub struct Contender {
    /// The pods of Tallycast, or the one other server.
    pub servers: Vec<Server>,
    /// Their Redis.
    pub redis: Option<Server>,
    /// The room of Tallycast.
    pub room: Option<Room>,
    /// Of the measure.
    pub size: Size,
    dialect: Rc<Dialect>,
}

impl Contender {
    /// Connects every voter, spread over the servers.
    pub fn connect(&self) -> Result<Crowd> {
        let ports: Vec<u16> = self.servers.iter().map(|server| server.port).collect();
        Crowd::connect(&ports, self.dialect.clone(), self.size.voters)
    }

    /// Opens the next round, if the contender has rounds.
    pub fn open_next(&mut self) -> Result<()> {
        self.room.as_mut().map_or(Ok(()), Room::open_next)
    }

    /// Average number of casts that Tallycast has stored in a commit; not a number for others.
    pub fn casts_per_commit(&self) -> Result<f64> {
        if self.room.is_none() {
            return Ok(f64::NAN);
        }
        let (mut casts, mut commits) = (0.0, 0.0);
        for pod in &self.servers {
            let text = reqwest::blocking::get(pod.url("http") + "/metrics")?.text()?;
            let value = |series: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
                line.and_then(|value| value.parse::<f64>().ok()).with_context(|| format!("{series} in /metrics"))
            };
            casts += value("tallycast_batch_casts_sum")?;
            commits += value("tallycast_batch_casts_count")?;
        }
        Ok(casts / commits)
    }

    /// Memory that Redis uses, in bytes; 0 without one.
    pub fn redis_bytes(&self) -> Result<f64> {
        let Some(redis) = &self.redis else { return Ok(0.0) };
        let mut connection = redis::Client::open(redis.url("redis"))?.get_connection()?;
        let memory: redis::InfoDict = redis::cmd("INFO").arg("memory").query(&mut connection)?;
        memory.get("used_memory").context("used_memory in INFO")
    }
}

/// See [module](self).
pub struct Lab {
    /// The options of the run.
    pub options: Options,
}

impl Lab {
    /// Prepares the machine for a run in the project's folder.
    pub fn new(options: Options) -> Result<Self> {
        ensure!(
            options.server.is_file(),
            "there is no {}: build it with `cargo build --profile dist`, or name another with --server",
            options.server.display()
        );
        std::fs::create_dir_all(DATA)?;
        rlimit::increase_nofile_limit(u64::MAX).context("raising the open-file limit")?;
        Ok(Self { options })
    }

    /// A number of sockets, voters or ballots, scaled.
    pub fn count(&self, count: usize) -> usize {
        ((count as f64 * self.options.scale) as usize).max(20)
    }

    /// A length, scaled.
    pub fn length(&self, secs: f64) -> Duration {
        Duration::from_secs_f64((secs * self.options.scale).max(0.5))
    }

    /// Starts a contender.
    pub fn start(&self, kind: Kind, size: Size) -> Result<Contender> {
        let (servers, redis, room, dialect) = match kind {
            Kind::Tallycast(store, pods) => {
                let (servers, redis) = self.tallycast(store, pods, SERVER_CORE, &[])?;
                let room = Room::create(&servers[0], size.rounds)?;
                let dialect = room.dialect(size.voters)?;
                (servers, redis, Some(room), dialect)
            }
            Kind::Floor => (vec![floor()?], None, None, Dialect::floor()),
            Kind::SocketIo => (vec![socketio(None)?], None, None, Dialect::socketio()),
            Kind::SocketIoRedis => {
                let redis = redis(&["--appendonly", "no"])?;
                (vec![socketio(Some(&redis))?], Some(redis), None, Dialect::socketio())
            }
        };
        Ok(Contender { servers, redis, room, size, dialect: Rc::new(dialect) })
    }

    /// So many pods with one store. Everything that has a default is left at it, but for the worker threads, one, because
    /// there is one core, and for what `settings` say.
    pub fn tallycast(
        &self,
        store: Store,
        pods: usize,
        cores: &str,
        settings: &[(&str, &str)],
    ) -> Result<(Vec<Server>, Option<Server>)> {
        let redis = match store {
            Store::RedisAlways => Some(redis(&["--appendonly", "yes", "--appendfsync", "always"])?),
            Store::RedisEverySecond => Some(redis(&["--appendonly", "yes", "--appendfsync", "everysec"])?),
            Store::Embedded => None,
        };
        let pod = |_| {
            let mut pod = Server::start(DATA, "tallycast", cores, &self.options.server, |command, port, dir| {
                let file = || format!("embedded:{}/tallycast.redb", dir.display());
                command.env("TALLYCAST__LEDGER__URL", redis.as_ref().map_or_else(file, |redis| redis.url("redis")));
                command.env("TALLYCAST__LEDGER__ALLOW_UNVERIFIED", (store == Store::RedisEverySecond).to_string());
                command.env("SERVER_PORT", port).env("TALLYCAST__SERVER__HOST", "127.0.0.1");
                command.env("TALLYCAST__SERVER__WORKERS", "1").env("TALLYCAST__SERVER__SECRET", SECRET);
                command.env("TALLYCAST__EMCEE__KEY", EMCEE_KEY).envs(settings.iter().copied());
            })?;
            let ready = pod.url("http") + "/readyz";
            pod.wait_until(|| reqwest::blocking::get(&ready).is_ok_and(|answer| answer.status().is_success()))?;
            Ok(pod)
        };
        Ok(((0..pods).map(pod).collect::<Result<_>>()?, redis))
    }
}

fn floor() -> Result<Server> {
    let program = std::env::current_exe()?.with_file_name("floor");
    ensure!(program.is_file(), "there is no {}: build it with `cargo build --release -p bench`", program.display());
    Server::start(DATA, "floor", SERVER_CORE, &program, |command, port, _| {
        command.args(["--port", port, "--payload", &TALLY_BYTES.to_string()]);
    })
}

fn socketio(redis: Option<&Server>) -> Result<Server> {
    if !Path::new(SOCKETIO).join("node_modules/socket.io").is_dir() {
        eprintln!("installing socket.io and ioredis");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(SOCKETIO);
        let done = npm.output().context("starting npm: install Node.js 20 or newer")?;
        ensure!(done.status.success(), "npm ci failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    Server::start(DATA, "socketio", SERVER_CORE, "node", |command, port, _| {
        command.arg("server.mjs").current_dir(SOCKETIO);
        command.env("PORT", port).env("PAYLOAD", TALLY_BYTES.to_string());
        command.envs(redis.map(|redis| ("REDIS", redis.port.to_string())));
    })
}

/// A Redis on the client's core.
fn redis(durability: &[&str]) -> Result<Server> {
    Server::start(DATA, "redis", CLIENT_CORE, "redis-server", |command, port, dir| {
        command.args(["--port", port, "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]);
        command.args(durability).arg("--dir").arg(dir);
    })
}
