//! The floor: the cost of a WebSocket server that only moves bytes. One thread, epoll, one buffer.
//!
//! A text that begins with `v` is answered with `a` and the rest; `b` broadcasts `--payload` bytes to every client. A
//! broadcast is one encoded frame and one write for each client; a client that would block is skipped. It checks nothing and
//! stores nothing, so no useful server can be cheaper through the same calls.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use bench::measuring::stream::{BUFFER_BYTES, Part, Stream};
use clap::Parser;
use client::frame;
use client::tungstenite::handshake::derive_accept_key;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

const LISTENER: Token = Token(usize::MAX);

/// A WebSocket server that only moves bytes.
#[derive(Parser)]
struct Args {
    /// Port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Bytes of a broadcast's text.
    #[arg(long)]
    payload: usize,
}

struct Client {
    stream: Stream,
    /// Bytes that the kernel did not accept.
    unsent: Vec<u8>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))
        .with_context(|| format!("listening on port {}", args.port))?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let broadcast = frame::from_server(frame::TEXT, &vec![b't'; args.payload]);
    let mut buffer = vec![0; BUFFER_BYTES];
    // by token; `None`: the client is gone
    let mut clients: Vec<Option<Client>> = vec![];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            let Token(at) = event.token();
            if event.token() == LISTENER {
                accept(&listener, poll.registry(), &mut clients)?;
            } else if let Some(client) = &mut clients[at] {
                match client.serve(&mut buffer) {
                    Ok(asked) => (0..asked).for_each(|_| send_all(&mut clients, &broadcast)),
                    // an invalid request, or a closed connection
                    Err(_) => clients[at] = None,
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, registry: &Registry, clients: &mut Vec<Option<Client>>) -> Result<()> {
    loop {
        let mut tcp: TcpStream = match listener.accept() {
            Ok((tcp, _)) => tcp,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accepting"),
        };
        tcp.set_nodelay(true)?;
        registry.register(&mut tcp, Token(clients.len()), Interest::READABLE | Interest::WRITABLE)?;
        clients.push(Some(Client { stream: Stream::new(tcp), unsent: vec![] }));
    }
}

fn send_all(clients: &mut [Option<Client>], broadcast: &[u8]) {
    for client in clients.iter_mut().flatten() {
        if client.stream.is_upgraded && client.unsent.is_empty() {
            // an error is reported again by the client's next event
            let _ = client.send(broadcast);
        }
    }
}

impl Client {
    /// Sends what is left and answers what was received. Gives the number of broadcasts that were asked for.
    fn serve(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let unsent = std::mem::take(&mut self.unsent);
        if !unsent.is_empty() {
            self.send(&unsent)?;
        }
        let (mut asked, size) = (0, buffer.len());
        while let Some(mut bytes) = self.stream.read(buffer)? {
            let is_full = bytes.len() == size;
            while let Some(part) = self.stream.next_part(&mut bytes) {
                match part {
                    Part::Head(request) => self.upgrade(request)?,
                    Part::Frame(frame::TEXT, text) => match text.first_mut() {
                        Some(kind @ b'v') => {
                            *kind = b'a';
                            self.send(&frame::from_server(frame::TEXT, text))?;
                        }
                        Some(b'b') => asked += 1,
                        _ => {}
                    },
                    Part::Frame(frame::PING, payload) => self.send(&frame::from_server(frame::PONG, payload))?,
                    Part::Frame(frame::CLOSE, _) => bail!("closed"),
                    Part::Frame(..) => {}
                }
            }
            if !is_full {
                break;
            }
        }
        Ok(asked)
    }

    fn upgrade(&mut self, request: &[u8]) -> Result<()> {
        let key = std::str::from_utf8(request)?.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
        });
        let accept = derive_accept_key(key.context("no key")?.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.send(answer.as_bytes())
    }

    fn send(&mut self, wire: &[u8]) -> Result<()> {
        let sent = match self.unsent.is_empty().then(|| self.stream.tcp.write(wire)) {
            None => 0,
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => 0,
            Some(sent) => sent?,
        };
        self.unsent.extend_from_slice(&wire[sent..]);
        Ok(())
    }
}
