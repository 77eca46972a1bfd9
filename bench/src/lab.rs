//! Starts the servers that are measured, each on its core, with fresh data each time.

use std::cell::{Cell, RefCell};
use std::iter::Cycle;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::procs::{CLIENT_CORE, Process, SERVER_CORE};
use crate::record::Constants;
use crate::tallycast::Pod;

/// Where servers listen: below the ports that the kernel hands out to connections, or an old one may sit there.
const PORTS: Range<u16> = 9_900..9_990;
/// Where they listen if the kernel hands those out too. Only root may.
const LOW_PORTS: Range<u16> = 900..990;
const HANDED_OUT: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// The project's folder.
    pub root: PathBuf,
    /// The server's binary.
    pub server: PathBuf,
    /// The load tester's binary.
    pub loadtest: PathBuf,
    /// Trials of each contender, at least 1.
    pub rounds: usize,
    /// Scales numbers of sockets and lengths, to try a measure out; 1 for a run that counts.
    pub scale: f64,
    /// The long ones too: a million ballots, 90,000 sockets.
    pub full: bool,
}

/// See [module](self).
pub struct Lab {
    /// How the run is made.
    pub options: Options,
    /// What is measured in passing, for the planner.
    pub constants: RefCell<Constants>,
    dir: TempDir,
    ports: RefCell<Cycle<Range<u16>>>,
    places: Cell<u32>,
    has_packages: Cell<bool>,
}

/// When Redis writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aof {
    /// Never.
    Off,
    /// Once a second: a power cut takes what was acknowledged last.
    EverySecond,
    /// Before it answers.
    Always,
}

impl Aof {
    /// As Redis calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "no",
            Self::EverySecond => "everysec",
            Self::Always => "always",
        }
    }
}

/// Where a Tallycast under measure stores votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A Redis of its own.
    Redis(Aof),
    /// A file.
    Embedded,
}

/// A server under measure.
pub struct Rival {
    /// For its CPU and memory.
    pub pid: u32,
    /// Where it listens.
    pub port: u16,
    _process: Process,
}

/// One or more pods over one store.
pub struct Stand {
    /// The pods, at least one.
    pub pods: Vec<Pod>,
    /// Their Redis, if that is where they store.
    pub redis: Option<Redis>,
}

impl Stand {
    /// The first pod.
    pub fn pod(&self) -> &Pod {
        &self.pods[0]
    }

    /// Of all pods.
    pub fn ports(&self) -> Vec<u16> {
        self.pods.iter().map(|pod| pod.port).collect()
    }

    /// Of all pods.
    pub fn pids(&self) -> Vec<u32> {
        self.pods.iter().map(Pod::pid).collect()
    }

    /// The Redis that must be there.
    pub fn redis(&self) -> &Redis {
        self.redis.as_ref().expect("the stand was made with a Redis")
    }
}

impl Lab {
    /// A lab whose data lie in the project's `target/bench`: the disk counts, and a temporary folder may be memory.
    ///
    /// # Errors
    /// The server was not built.
    pub fn new(options: Options) -> Result<Self> {
        ensure!(
            options.server.is_file(),
            "there is no {}: build it with `cargo build --profile dist`, or name another with --server",
            options.server.display()
        );
        let home = options.root.join("target/bench");
        std::fs::create_dir_all(&home)?;
        let dir = tempfile::Builder::new().prefix("run-").tempdir_in(home)?;
        rlimit::increase_nofile_limit(u64::MAX).context("raising the open-file limit")?;
        Ok(Self {
            options,
            constants: RefCell::default(),
            dir,
            ports: RefCell::new(ports().cycle()),
            places: Cell::new(0),
            has_packages: Cell::new(false),
        })
    }

    /// A number of sockets, voters or ballots, as scaled.
    pub fn count(&self, count: usize) -> usize {
        ((count as f64 * self.options.scale) as usize).max(20)
    }

    /// A length, as scaled.
    pub fn length(&self, secs: f64) -> Duration {
        Duration::from_secs_f64((secs * self.options.scale).max(0.5))
    }

    /// A free port of this machine.
    pub fn free_port(&self) -> Result<u16> {
        let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let free = self.ports.borrow_mut().by_ref().take(PORTS.len()).find(free);
        free.with_context(|| format!("no port of 127.0.0.1 from {:?} can be listened on", ports()))
    }

    /// A path for a file or folder that nobody has yet.
    fn place(&self, name: &str) -> PathBuf {
        self.places.set(self.places.get() + 1);
        self.dir.path().join(format!("{}-{name}", self.places.get()))
    }

    /// Tallycast, `pods` times, all on the same core.
    pub fn stand(&self, store: Store, pods: usize) -> Result<Stand> {
        self.stand_with(store, pods, SERVER_CORE, &[])
    }

    /// The same on other cores, with settings of their own.
    pub fn stand_with(&self, store: Store, pods: usize, cores: &str, settings: &[(&str, &str)]) -> Result<Stand> {
        let mut settings = settings.to_vec();
        let (redis, url) = match store {
            Store::Redis(aof) => {
                let redis = self.redis(aof)?;
                let url = redis.url();
                if aof != Aof::Always {
                    settings.push(("TALLYCAST__LEDGER__ALLOW_UNVERIFIED", "true"));
                }
                (Some(redis), url)
            }
            Store::Embedded => {
                let dir = self.place("ledger");
                std::fs::create_dir(&dir)?;
                (None, format!("embedded:{}/tallycast.redb", dir.display()))
            }
        };
        let pods = (0..pods).map(|_| {
            let port = self.free_port()?;
            Pod::start(&self.options, port, cores, &url, &settings, &self.place("tallycast"))
        });
        Ok(Stand { pods: pods.collect::<Result<_>>()?, redis })
    }

    /// The floor, with broadcasts of so many bytes.
    pub fn floor(&self, payload: usize) -> Result<Rival> {
        let program = std::env::current_exe()?.with_file_name("floor");
        ensure!(program.is_file(), "there is no {}: build it with `cargo build --release -p bench`", program.display());
        let port = self.free_port()?;
        let process = Process::start("floor", SERVER_CORE, &program, &self.place("floor"), |command| {
            command.args(["--port", &port.to_string(), "--payload", &payload.to_string()]);
        })?;
        rival(process, port)
    }

    /// Socket.IO, with broadcasts of so many bytes, and votes in a Redis if there is one.
    pub fn socketio(&self, payload: usize, redis: Option<&Redis>) -> Result<Rival> {
        let home = self.options.root.join("bench/socketio");
        self.install(&home)?;
        let port = self.free_port()?;
        let process = Process::start("socketio", SERVER_CORE, Path::new("node"), &self.place("node"), |command| {
            command.arg("server.mjs").current_dir(&home);
            command.env("PORT", port.to_string()).env("PAYLOAD", payload.to_string());
            command.envs(redis.map(|redis| ("REDIS", redis.port.to_string())));
        })?;
        rival(process, port)
    }

    /// The packages of the Socket.IO server, as its lock file says.
    fn install(&self, home: &Path) -> Result<()> {
        if !self.has_packages.get() && !home.join("node_modules/socket.io").is_dir() {
            eprintln!("installing socket.io and ioredis");
            let mut npm = Command::new("npm");
            npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(home);
            let done = npm.output().context("starting npm: install Node.js 20 or newer")?;
            ensure!(done.status.success(), "npm ci failed: {}", String::from_utf8_lossy(&done.stderr));
        }
        self.has_packages.set(true);
        Ok(())
    }

    /// A Redis of its own, on the client's core.
    pub fn redis(&self, aof: Aof) -> Result<Redis> {
        let port = self.free_port()?;
        let dir = self.place("redis");
        std::fs::create_dir(&dir)?;
        let log = self.place("redis-log");
        let process = Process::start("redis", CLIENT_CORE, Path::new("redis-server"), &log, |command| {
            let port = port.to_string();
            command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
            command.args(["--maxmemory-policy", "noeviction"]).arg("--dir").arg(&dir);
            match aof {
                Aof::Off => command.args(["--appendonly", "no"]),
                on => command.args(["--appendonly", "yes", "--appendfsync", on.word()]),
            };
        })?;
        let mut redis = Redis { process, port };
        redis.process.wait_until(|| listens(port))?;
        Ok(redis)
    }
}

/// A Redis of the lab.
pub struct Redis {
    process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Redis {
    /// For its CPU.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// For whoever wants to connect.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A number of INFO, by its section and name; what is not there is 0.
    pub fn info(&self, section: &str, name: &str) -> Result<f64> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let text: String = redis::cmd("INFO").arg(section).query(&mut connection)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = value.map(|value| value.strip_prefix("calls=").unwrap_or(value));
        let digits =
            value.map(|value| value.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default());
        digits.map_or(Ok(0.0), |digits| digits.parse().with_context(|| format!("{name} in INFO {section}")))
    }
}

fn ports() -> Range<u16> {
    let handed_out = std::fs::read_to_string(HANDED_OUT).unwrap_or_default();
    let first = handed_out.split_ascii_whitespace().next().and_then(|first| first.parse::<u16>().ok());
    if first.is_some_and(|first| first < PORTS.end) { LOW_PORTS } else { PORTS }
}

fn rival(mut process: Process, port: u16) -> Result<Rival> {
    process.wait_until(|| listens(port))?;
    Ok(Rival { pid: process.pid(), port, _process: process })
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
