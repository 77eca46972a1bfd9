//! Many connections on one thread, with one event loop.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::connection::{Connection, Received};
use super::dialect::Dialect;

/// Connections that are made at the same time.
const CONNECTING: usize = 256;
/// Time for all connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(120);
/// More than a server sends to a socket before it is read again.
const BUFFER_BYTES: usize = 256 * 1024;

/// Connections to one kind of server.
pub struct Crowd {
    pub(super) clients: Vec<Connection>,
    pub(super) dialect: Rc<Dialect>,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    ready: usize,
    began: Instant,
}

impl Crowd {
    /// Connects `count` sockets, spread over the servers at `ports` of this machine, and waits until all are ready.
    ///
    /// # Errors
    /// A connection was refused or closed, or not all were ready within two minutes.
    pub fn connect(ports: &[u16], dialect: Dialect, count: usize) -> Result<Self> {
        let (limit, _) = rlimit::Resource::NOFILE.get().context("reading the open-file limit")?;
        ensure!(
            limit > count as u64 + 64,
            "{count} sockets need more file handles than {limit}: raise the limit with `ulimit -n`"
        );
        let mut crowd = Self {
            clients: Vec::with_capacity(count),
            dialect: Rc::new(dialect),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; BUFFER_BYTES],
            ready: 0,
            began: Instant::now(),
        };
        while crowd.ready < count {
            while crowd.clients.len() < count && crowd.clients.len() - crowd.ready < CONNECTING {
                let number = crowd.clients.len();
                crowd.connect_one(ports[number % ports.len()])?;
            }
            crowd.pump(Duration::from_millis(100), |_, _, _| Ok(()))?;
            let ready = crowd.ready;
            ensure!(crowd.began.elapsed() < CONNECT_TIMEOUT, "only {ready} of {count} sockets were ready in time");
        }
        Ok(crowd)
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// True without a connection.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Ns since the crowd began.
    pub(super) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Only reads and answers pings, for `length`.
    ///
    /// # Errors
    /// A connection was closed.
    pub fn listen(&mut self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.pump(left, |_, _, _| Ok(()))?;
        }
        Ok(())
    }

    /// Waits up to `timeout` for events, and passes on what was received with its time in ns.
    pub(super) fn pump(
        &mut self,
        timeout: Duration,
        mut receive: impl FnMut(&mut Connection, u64, Received<'_>) -> Result<()>,
    ) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let token = event.token();
            let client = &mut self.clients[token.0];
            if client.is_connecting() {
                client.connected(&self.dialect)?;
                self.poll.registry().reregister(&mut client.stream, token, Interest::READABLE)?;
                continue;
            }
            let now = self.began.elapsed().as_nanos() as u64;
            let was_ready = client.is_ready();
            client.read(&self.dialect, &mut self.buffer, &mut |client, received| receive(client, now, received))?;
            self.ready += usize::from(client.is_ready() && !was_ready);
        }
        Ok(())
    }

    fn connect_one(&mut self, port: u16) -> Result<()> {
        let number = self.clients.len();
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).context("connecting")?;
        self.poll.registry().register(&mut stream, Token(number), Interest::WRITABLE)?;
        self.clients.push(Connection::new(number, stream));
        Ok(())
    }
}

impl Drop for Crowd {
    /// Ends connections by a reset: thousands of ports in TIME_WAIT would be missing for the next crowd.
    fn drop(&mut self) {
        for client in &self.clients {
            let _ = SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
        }
    }
}
