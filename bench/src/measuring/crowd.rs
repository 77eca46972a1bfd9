//! Many connections on one thread, with one event loop.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Received};
use super::dialect::Dialect;
use super::stream::BUFFER_BYTES;

/// Connections that wait for their handshake or hello at the same time.
const MAX_CONNECTING: usize = 256;
/// Time for all connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(120);

/// Connections to one kind of server.
pub struct Crowd {
    pub(super) clients: Vec<Connection>,
    pub(super) dialect: Rc<Dialect>,
    poll: Poll,
    events: Events,
    /// Connections with something to read.
    readable: Vec<usize>,
    received: VecDeque<(usize, Instant, Received)>,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Connects `count` sockets, spread over the servers at `ports` of this machine, and waits until all are ready.
    ///
    /// # Errors
    /// A connection was refused or closed, or not all were ready within two minutes.
    pub fn connect(ports: &[u16], dialect: Rc<Dialect>, count: usize) -> Result<Self> {
        let mut crowd = Self {
            clients: Vec::with_capacity(count),
            dialect,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            readable: vec![],
            received: VecDeque::new(),
            buffer: vec![0; BUFFER_BYTES],
        };
        let (began, mut ready) = (Instant::now(), 0);
        while ready < count {
            while crowd.clients.len() < count.min(ready + MAX_CONNECTING) {
                let number = crowd.clients.len();
                let client = Connection::open(number, ports[number % ports.len()], crowd.dialect.clone());
                let mut client = client.with_context(|| format!("connecting socket {number}"))?;
                crowd.poll.registry().register(&mut client.stream.tcp, Token(number), Interest::READABLE)?;
                crowd.clients.push(client);
            }
            let next = crowd.next(Duration::from_millis(100))?;
            ready += usize::from(matches!(next, Some((_, _, Received::Ready))));
            ensure!(began.elapsed() < CONNECT_TIMEOUT, "only {ready} of {count} sockets were ready in time");
        }
        Ok(crowd)
    }

    /// Only reads, for `length`.
    ///
    /// # Errors
    /// A connection was closed.
    pub fn listen(&mut self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.next(left)?;
        }
        Ok(())
    }

    /// What was received next: by which connection, when, and what. `None`: nothing within `timeout`.
    pub(super) fn next(&mut self, timeout: Duration) -> Result<Option<(usize, Instant, Received)>> {
        if self.received.is_empty() && self.readable.is_empty() {
            match self.poll.poll(&mut self.events, Some(timeout)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                polled => polled?,
            }
            self.readable.extend(self.events.iter().map(|event| event.token().0));
        }
        while self.received.is_empty()
            && let Some(number) = self.readable.pop()
        {
            let now = Instant::now();
            let received = |received| self.received.push_back((number, now, received));
            self.clients[number].read(&mut self.buffer, received).with_context(|| format!("socket {number}"))?;
        }
        Ok(self.received.pop_front())
    }
}
