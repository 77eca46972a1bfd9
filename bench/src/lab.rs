//! Starts the measured servers, each on its core and with empty data.

use std::cell::{Cell, RefCell};
use std::iter::Cycle;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::constants::{self, Constants};
use crate::options::Options;
use crate::procs::{CLIENT_CORE, Process, SERVER_CORE};
use crate::tallycast::Pod;

/// Ports of the servers: below those of outgoing connections, one of which could block a port.
const PORTS: Range<u16> = 9_900..9_990;
/// Ports of the servers if outgoing connections use those above. Only root may listen there.
const LOW_PORTS: Range<u16> = 900..990;
const OUTGOING_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// See [module](self).
pub struct Lab {
    /// The options of the run.
    pub options: Options,
    /// Constants for `loadtest plan` that were measured so far.
    pub constants: RefCell<Constants>,
    dir: TempDir,
    ports: RefCell<Cycle<Range<u16>>>,
    paths: Cell<u32>,
    has_packages: Cell<bool>,
}

/// When Redis writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aof {
    /// Never.
    Off,
    /// Once a second: a power cut loses what was acknowledged last.
    EverySecond,
    /// Before it answers.
    Always,
}

impl Aof {
    /// The value of `appendfsync`.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Off => "no",
            Self::EverySecond => "everysec",
            Self::Always => "always",
        }
    }
}

/// Where a measured Tallycast stores votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A Redis of its own.
    Redis(Aof),
    /// A file.
    Embedded,
}

/// A reference server.
pub struct Reference {
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub port: u16,
    _process: Process,
}

/// One or more pods with one store.
pub struct Deployment {
    /// The pods, at least one.
    pub pods: Vec<Pod>,
    /// Their Redis; none with an embedded store.
    pub redis: Option<Redis>,
}

impl Deployment {
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

    /// Their Redis.
    ///
    /// # Panics
    /// The store is embedded: the caller's mistake.
    pub fn redis(&self) -> &Redis {
        self.redis.as_ref().expect("the deployment has a Redis")
    }
}

impl Lab {
    /// Keeps data in the project's `target/bench`: writes to a disk are measured, and a temporary folder may be in memory.
    ///
    /// # Errors
    /// The server is not built, or the folder cannot be created.
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
            paths: Cell::new(0),
            has_packages: Cell::new(false),
        })
    }

    /// Notes a constant for `loadtest plan`.
    pub fn note(&self, name: &str, value: f64) {
        constants::note(&mut self.constants.borrow_mut(), name, value);
    }

    /// A number of sockets, voters or ballots, scaled.
    pub fn count(&self, count: usize) -> usize {
        ((count as f64 * self.options.scale) as usize).max(20)
    }

    /// A length, scaled.
    pub fn length(&self, secs: f64) -> Duration {
        Duration::from_secs_f64((secs * self.options.scale).max(0.5))
    }

    /// A free port.
    ///
    /// # Errors
    /// Every port is in use.
    pub fn free_port(&self) -> Result<u16> {
        let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let free = self.ports.borrow_mut().by_ref().take(PORTS.len()).find(free);
        free.with_context(|| format!("no port of 127.0.0.1 in {:?} is free", ports()))
    }

    /// A new path for a file or folder.
    fn new_path(&self, name: &str) -> PathBuf {
        self.paths.set(self.paths.get() + 1);
        self.dir.path().join(format!("{}-{name}", self.paths.get()))
    }

    /// Tallycast with so many pods, all on the same core.
    ///
    /// # Errors
    /// A process does not start.
    pub fn deploy(&self, store: Store, pods: usize) -> Result<Deployment> {
        self.deploy_with(store, pods, SERVER_CORE, &[])
    }

    /// As [`Self::deploy`], on other cores and with further settings.
    ///
    /// # Errors
    /// A process does not start.
    pub fn deploy_with(&self, store: Store, pods: usize, cores: &str, settings: &[(&str, &str)]) -> Result<Deployment> {
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
                let dir = self.new_path("ledger");
                std::fs::create_dir(&dir)?;
                (None, format!("embedded:{}/tallycast.redb", dir.display()))
            }
        };
        let pods = (0..pods).map(|_| {
            let port = self.free_port()?;
            Pod::start(&self.options, port, cores, &url, &settings, &self.new_path("tallycast"))
        });
        Ok(Deployment { pods: pods.collect::<Result<_>>()?, redis })
    }

    /// The floor, with broadcasts of `payload` bytes.
    ///
    /// # Errors
    /// It does not start.
    pub fn floor(&self, payload: usize) -> Result<Reference> {
        let program = std::env::current_exe()?.with_file_name("floor");
        ensure!(program.is_file(), "there is no {}: build it with `cargo build --release -p bench`", program.display());
        let port = self.free_port()?;
        let process = Process::start("floor", SERVER_CORE, &program, &self.new_path("floor"), |command| {
            command.args(["--port", &port.to_string(), "--payload", &payload.to_string()]);
        })?;
        reference(process, port)
    }

    /// Socket.IO, with broadcasts of `payload` bytes, and votes in `redis` if there is one.
    ///
    /// # Errors
    /// It does not start, or its packages cannot be installed.
    pub fn socketio(&self, payload: usize, redis: Option<&Redis>) -> Result<Reference> {
        let home = self.options.root.join("bench/socketio");
        self.install(&home)?;
        let port = self.free_port()?;
        let process = Process::start("socketio", SERVER_CORE, Path::new("node"), &self.new_path("node"), |command| {
            command.arg("server.mjs").current_dir(&home);
            command.env("PORT", port.to_string()).env("PAYLOAD", payload.to_string());
            command.envs(redis.map(|redis| ("REDIS", redis.port.to_string())));
        })?;
        reference(process, port)
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

    /// A new Redis on the client's core.
    ///
    /// # Errors
    /// It does not start.
    pub fn redis(&self, aof: Aof) -> Result<Redis> {
        let port = self.free_port()?;
        let dir = self.new_path("redis");
        std::fs::create_dir(&dir)?;
        let log = self.new_path("redis-log");
        let process = Process::start("redis", CLIENT_CORE, Path::new("redis-server"), &log, |command| {
            let port = port.to_string();
            command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
            command.args(["--maxmemory-policy", "noeviction"]).arg("--dir").arg(&dir);
            match aof {
                Aof::Off => command.args(["--appendonly", "no"]),
                on => command.args(["--appendonly", "yes", "--appendfsync", on.setting()]),
            };
        })?;
        let mut redis = Redis { process, port };
        redis.process.wait_until(|| listens(port))?;
        Ok(redis)
    }
}

/// A Redis.
pub struct Redis {
    process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Redis {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A number in INFO, by section and name; 0 if it is missing.
    ///
    /// # Errors
    /// Redis does not answer, or the value is not a number.
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
    let outgoing = std::fs::read_to_string(OUTGOING_PORTS).unwrap_or_default();
    let first = outgoing.split_ascii_whitespace().next().and_then(|first| first.parse::<u16>().ok());
    if first.is_some_and(|first| first < PORTS.end) { LOW_PORTS } else { PORTS }
}

fn reference(mut process: Process, port: u16) -> Result<Reference> {
    process.wait_until(|| listens(port))?;
    Ok(Reference { pid: process.pid(), port, _process: process })
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
